//! Which family of models a checkpoint is of: the one place that knows them all.

use super::{dit, flux, pixart, sd15, sdxl};
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
    /// FLUX.1.
    Flux,
    /// PixArt-Alpha and -Sigma.
    PixArt,
    /// DiT and SiT.
    Dit,
}

/// Names in a `model_index.json`, and the family.
const CLASSES: [(&str, Family); 7] = [
    ("StableDiffusionPipeline", Family::StableDiffusion),
    ("StableDiffusionXLPipeline", Family::StableDiffusionXl),
    ("FluxPipeline", Family::Flux),
    ("PixArtSigmaPipeline", Family::PixArt),
    ("PixArtAlphaPipeline", Family::PixArt),
    ("DiTPipeline", Family::Dit),
    ("SiTPipeline", Family::Dit),
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
            Layout::Autoencoder | Layout::OpenClip | Layout::Diffusers => None,
        }
    }

    /// The published model whose settings a checkpoint without a known name is used with.
    pub fn like(self, checkpoint: &Checkpoint) -> &'static str {
        let flag = |key: &str| {
            let config = checkpoint
                .config::<serde_json::Value>(self.network())
                .ok()?;
            config.get(key)?.as_bool()
        };
        match self {
            Self::StableDiffusion => "sd1.5",
            Self::StableDiffusionXl => "sdxl",
            Self::Flux if flag("guidance_embeds") == Some(false) => "flux.1-schnell",
            Self::Flux => "flux.1-dev",
            Self::PixArt => "pixart-sigma",
            Self::Dit if checkpoint.pipeline() == Some("DiTPipeline") => "dit-xl-2-256",
            Self::Dit => "sit-xl-2-256",
        }
    }

    /// Whether it is asked with prompts; else with classes.
    pub fn takes_prompts(self) -> bool {
        self != Self::Dit
    }

    /// Width and height in pixels for which a checkpoint was trained, as its network's
    /// configuration says, eight pixels for one of the latent.
    pub fn side(self, checkpoint: &Checkpoint) -> usize {
        let usual = match self {
            Self::Flux => return 1024,
            Self::Dit => 32,
            _ => 64,
        };
        let config = checkpoint.config::<serde_json::Value>(self.network());
        let size = config.ok().and_then(|config| {
            let size = config.get("sample_size").or(config.get("input_size"));
            size?.as_u64()
        });
        usize::try_from(size.unwrap_or(usual))
            .unwrap_or(usize::MAX)
            .saturating_mul(8)
    }

    /// Billions of multiply-adds of one pass at the size of training, where they are known.
    pub fn gflop(self, checkpoint: &Checkpoint) -> Option<f64> {
        match self {
            Self::Dit => dit::multiply_adds(checkpoint).map(|count| count as f64 / 1e9),
            _ => None,
        }
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
            Self::Flux => flux::open(checkpoint, options),
            Self::PixArt => pixart::open(checkpoint, options),
            Self::Dit => dit::open(checkpoint, options),
        }
    }

    /// The component whose passes are counted.
    pub fn network(self) -> &'static str {
        match self {
            Self::StableDiffusion | Self::StableDiffusionXl => "unet",
            Self::Flux | Self::PixArt | Self::Dit => "transformer",
        }
    }
}
