//! `self` of the scenes: a picture agrees with its early prediction, by the image half of `clip`.

use super::clip::Clip;
use crate::agreement::Agreement;
use crate::verifier::{Verifier, VerifierId};

/// Judges by the embedding of `clip`'s pictures; prompts are not looked at.
pub fn self_supervised(clip: Clip) -> Agreement {
    let id = VerifierId {
        name: "self".into(),
        weights: clip.id().weights.clone(),
        version: 1,
    };
    Agreement::new(id, move |images| clip.embed_images(images))
}
