//! Which family of models a checkpoint is of: the one place that knows them all.

use super::{sd15, sdxl};
use crate::checkpoint::Checkpoint;
use crate::pipeline::{OpenError, Options, Pipeline};
use crate::weights::{Contents, Layout};
use std::sync::Arc;

/// A family of models that are opened alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// Stable Diffusion 1 and 2.
    StableDiffusion,
    /// Stable Diffusion XL.
    StableDiffusionXl,
}

/// Names in a `model_index.json`, and the family.
const CLASSES: [(&str, Family); 2] = [
    ("StableDiffusionPipeline", Family::StableDiffusion),
    ("StableDiffusionXLPipeline", Family::StableDiffusionXl),
];

impl Family {
    /// The family that a checkpoint's `model_index.json` names.
    pub fn of(checkpoint: &Checkpoint) -> Result<Self, OpenError> {
        let class = checkpoint.pipeline().unwrap_or("(nothing)");
        let found = CLASSES.iter().find(|(name, _)| *name == class);
        found
            .map(|(_, family)| *family)
            .ok_or_else(|| OpenError::Unsupported {
                what: format!("_class_name of {}/model_index.json", checkpoint.name()),
                found: class.chars().take(80).collect(),
                supported: CLASSES.map(|(name, _)| name).join(", "),
            })
    }

    /// The published model whose configurations and tokenizers a single file in the layout of its
    /// authors is used with; `None` for a file that holds one component only.
    pub fn of_file(contents: &Contents) -> Option<&'static str> {
        match contents.layout {
            Layout::StableDiffusion => Some("sd1.5"),
            Layout::StableDiffusionXl => Some("sdxl"),
            Layout::Flux => Some(match contents.has("guidance_in.") {
                true => "flux.1-dev",
                false => "flux.1-schnell",
            }),
            Layout::Autoencoder | Layout::Diffusers => None,
        }
    }

    /// Whether it is asked with prompts; else with classes.
    pub fn takes_prompts(self) -> bool {
        match self {
            Self::StableDiffusion | Self::StableDiffusionXl => true,
        }
    }

    /// Width and height in pixels for which a checkpoint was trained, as its network's
    /// `sample_size` says, eight pixels for one of the latent.
    pub fn side(self, checkpoint: &Checkpoint) -> usize {
        let config = checkpoint.config::<serde_json::Value>(self.network());
        let size = config.ok().and_then(|config| config.get("sample_size")?.as_u64());
        size.map_or(512, |size| (size as usize).saturating_mul(8))
    }

    /// Opens a checkpoint.
    pub fn open(
        self,
        checkpoint: &Arc<Checkpoint>,
        options: &Options,
    ) -> Result<Pipeline, OpenError> {
        match self {
            Self::StableDiffusion => sd15::open(checkpoint, options),
            Self::StableDiffusionXl => sdxl::open(checkpoint, options),
        }
    }

    /// The component whose passes are counted.
    pub fn network(self) -> &'static str {
        match self {
            Self::StableDiffusion | Self::StableDiffusionXl => "unet",
        }
    }
}
