//! `clip-self`, `dino-self` and `siglip-self`: an image agrees with its early prediction, by
//! CLIP's image embedding, DINOv2's class token after the last norm, or SigLIP's pooled embedding.
//!
//! Preprocessing is that of transformers on Pillow: for CLIP as in [`super::clipscore`], for
//! DINOv2 as in [`super::dinov2_class`], for SigLIP squashed to the tower's size by a bicubic on
//! bytes, to `[-1, 1]`.

use super::{Entry, Opened, id, preprocess, rows, space};
use crate::agreement::Agreement;
use crate::preprocess::{Colours, Fit, Preprocess};
use crate::resample::Filter;
use crate::vision::dinov2::{self, Dinov2};
use crate::vision::siglip::{self, Siglip};
use candle_core::{Result, Tensor};
use noisesearch_models::checkpoint::Checkpoint;
use noisesearch_models::layers::{Place, Source};
use serde::Deserialize;
use std::path::Path;

/// What the registry says of `clip-self`.
pub const CLIP: Entry = Entry {
    name: "clip-self",
    about: "agreement of the image with its early prediction, by CLIP; -1 to 1",
    open: open_clip,
    ..super::clipscore::ENTRY
};

/// What the registry says of `dino-self`.
pub const DINO: Entry = Entry {
    name: "dino-self",
    about: "agreement of the image with its early prediction, by DINOv2; -1 to 1",
    repository: "facebook/dinov2-base",
    file: "model.safetensors",
    bytes: 346_000_000,
    licence: "Apache-2.0",
    open: open_dino,
};

/// What the registry says of `siglip-self`.
pub const SIGLIP: Entry = Entry {
    name: "siglip-self",
    about: "agreement of the image with its early prediction, by SigLIP; -1 to 1",
    repository: "google/siglip-so400m-patch14-384",
    file: "model.safetensors",
    bytes: 3_512_000_000,
    licence: "Apache-2.0",
    open: open_siglip,
};

/// Opens a folder of transformers' `CLIPModel`.
pub fn open_clip(folder: &Path) -> Opened {
    let files = Checkpoint::of_network(folder);
    let (tower, preprocess, hash) = space::vision_alone(&files)?;
    let features = move |images: &Tensor| tower.forward(images);
    agreement(CLIP.name, &hash, preprocess, features)
}

/// Opens a folder of transformers' `Dinov2Model`.
pub fn open_dino(folder: &Path) -> Opened {
    let files = Checkpoint::of_network(folder);
    let config: dinov2::Config = files.config("")?;
    let preprocess = dinov2::steps(&files, &config)?;
    let mut weights = files.weights("")?;
    let hash = weights.hash().to_owned();
    let place = Place::cpu();
    let source = Source::new(&mut weights, &place);
    let tower = Dinov2::load(source, &config, config.shape()?, preprocess.side)?;
    weights.finish()?;
    let features = move |images: &Tensor| tower.forward(images);
    agreement(DINO.name, &hash, preprocess, features)
}

/// A `config.json` of transformers' `SiglipModel`.
#[derive(Deserialize)]
struct Both {
    #[serde(default)]
    vision_config: siglip::Config,
}

/// Opens a folder of transformers' `SiglipModel`.
pub fn open_siglip(folder: &Path) -> Opened {
    let files = Checkpoint::of_network(folder);
    let config = files.config::<Both>("")?.vision_config;
    let shape = config.shape()?;
    let usual = Preprocess {
        side: config.image_size,
        fit: Fit::Squash,
        filter: Filter::Bicubic,
        colours: Colours::SIGNED,
    };
    let preprocess = preprocess(&files, usual, config.image_size)?;
    let mut weights = files.weights("")?;
    let hash = weights.hash().to_owned();
    for unused in ["text_model.", "logit_"] {
        weights.skip(unused);
    }
    let tower = Siglip::load(Source::new(&mut weights, &Place::cpu()), &config, shape)?;
    weights.finish()?;
    let features = move |images: &Tensor| tower.forward(images);
    agreement(SIGLIP.name, &hash, preprocess, features)
}

/// Compares what `forward` makes of preprocessed images `[b, 3, side, side]`, `[b, d]`.
fn agreement(
    name: &str,
    hash: &str,
    preprocess: Preprocess,
    forward: impl Fn(&Tensor) -> Result<Tensor> + Send + Sync + 'static,
) -> Opened {
    let features = move |images: &Tensor| rows(&forward(&preprocess.apply(images)?)?);
    // Version 1 divided by the lengths in f32.
    Ok(Box::new(Agreement::new(id(name, hash, 2), features)))
}
