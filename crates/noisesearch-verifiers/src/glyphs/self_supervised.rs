//! `self` of the glyphs: an image agrees with its early prediction, by the features of
//! `glyphs-classifier`.

use super::judge::Judge;
use crate::agreement::Agreement;
use crate::verifier::VerifierId;
use std::sync::Arc;

/// Judges by [`Judge::classifier`]; its features are never below 0, so that scores are not either.
pub fn self_supervised(judge: Arc<Judge>) -> Agreement {
    let id = VerifierId {
        name: "self".into(),
        weights: judge.hash().into(),
        version: 1,
    };
    Agreement::new(id, move |images| judge.features(images))
}
