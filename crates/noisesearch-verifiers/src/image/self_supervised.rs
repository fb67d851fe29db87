//! `clip-self`, `dino-self` and `siglip-self`: how much the x0-prediction at level 0.4 already
//! looks like the finished image (Ma et al. 2025, arXiv 2501.09732, section 3.1). They need
//! neither prompt nor class.
//!
//! ```text
//! score = cos(f(x0-prediction), f(image))
//! ```
//!
//! `f` is CLIP's image embedding, DINOv2's class token after the last norm, or SigLIP's pooled
//! embedding. Preprocessing is that of transformers on Pillow: for CLIP as in
//! [`super::clipscore`], for DINOv2 as in [`super::dinov2_class`], for SigLIP squashed to the
//! tower's size by a bicubic on bytes, to `[-1, 1]`.

use super::{Entry, Opened, dot, finite, id, preprocess, space, units};
use crate::preprocess::{Colours, Fit, Preprocess};
use crate::resample::Filter;
use crate::verifier::{Samples, Verifier, VerifierId};
use crate::vision::dinov2::{self, Dinov2};
use crate::vision::siglip::{self, Siglip};
use candle_core::{Result, Tensor, bail};
use noisesearch_core::level::Level;
use noisesearch_models::checkpoint::Checkpoint;
use noisesearch_models::layers::{Place, Source};
use noisesearch_models::task::Task;
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
    Agreement::verifier(CLIP.name, &hash, preprocess, features)
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
    Agreement::verifier(DINO.name, &hash, preprocess, features)
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
    Agreement::verifier(SIGLIP.name, &hash, preprocess, features)
}

/// Preprocessed images `[b, 3, side, side]` to features `[b, d]`.
type Features = Box<dyn Fn(&Tensor) -> Result<Tensor> + Send + Sync>;

/// Compares an image with its early prediction.
struct Agreement {
    id: VerifierId,
    preprocess: Preprocess,
    features: Features,
}

impl Agreement {
    fn verifier(
        name: &str,
        hash: &str,
        preprocess: Preprocess,
        features: impl Fn(&Tensor) -> Result<Tensor> + Send + Sync + 'static,
    ) -> Opened {
        Ok(Box::new(Self {
            id: id(name, hash, 1),
            preprocess,
            features: Box::new(features),
        }))
    }

    fn units(&self, images: &Tensor) -> Result<Vec<Vec<f32>>> {
        units(&(self.features)(&self.preprocess.apply(images)?)?)
    }
}

impl Verifier for Agreement {
    fn id(&self) -> &VerifierId {
        &self.id
    }

    fn takes_rough_previews(&self) -> bool {
        false
    }

    fn early_level(&self) -> Option<Level> {
        Level::new(0.4).ok()
    }

    fn score(&self, _task: &Task, samples: &Samples) -> Result<Vec<f64>> {
        let name = &self.id.name;
        let Some(early) = samples.early else {
            bail!(
                "the verifier \"{name}\" compares an image with its x0-prediction at level 0.4, \
                 and was given none"
            )
        };
        if early.dims() != samples.images.dims() {
            let (early, images) = (early.dims(), samples.images.dims());
            bail!("x0-predictions {early:?} do not belong to images {images:?}")
        }
        let (early, last) = (self.units(early)?, self.units(samples.images)?);
        finite(
            name,
            early.iter().zip(&last).map(|(a, b)| dot(a, b)).collect(),
        )
    }
}
