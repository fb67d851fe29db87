//! Stable Diffusion 1 and 2 (Rombach et al., arXiv 2112.10752): a U-Net in the latents of an
//! autoencoder, reading the last states of one CLIP text encoder. Usually 512x512 pixels.

use super::prompts::{prompt, refuse};
use super::unet::Latent;
use crate::checkpoint::Checkpoint;
use crate::denoiser::{Conditioner, Conditioning, Encoded, TaskError};
use crate::pipeline::{OpenError, Options, Pipeline};
use crate::task::Task;
use crate::text::{ClipComponent, ClipTextOutput};
use candle_core::{DType, Device, Result};
use std::sync::Arc;

/// Opens a `StableDiffusionPipeline`. Width and height are multiples of 8.
pub fn open(
    checkpoint: &Arc<Checkpoint>,
    options: &Options,
) -> std::result::Result<Pipeline, OpenError> {
    let clip = ClipComponent::open(checkpoint, "tokenizer", "text_encoder", &options.place)?;
    let latent = Latent::open(checkpoint, options)?;
    latent.check_context(clip.config().hidden_size)?;
    if let Some(kind) = &latent.config.addition_embed_type {
        return Err(OpenError::Unsupported {
            what: "addition_embed_type of unet/config.json".into(),
            found: kind.clone(),
            supported: "none in this family; text_time belongs to sdxl".into(),
        });
    }
    let components = ["unet", "vae", "text_encoder"];
    latent.pipeline(Box::new(Words(clip)), checkpoint, &components)
}

/// Encodes prompts; the empty one is the unconditional.
struct Words(ClipComponent);

impl Conditioner for Words {
    fn encode(&self, task: &Task, guidance: f32) -> std::result::Result<Conditioning, TaskError> {
        let prompt = prompt(task)?;
        let [cond, uncond] = self.0.encode([prompt, ""]).map_err(refuse)?;
        let row = |text: &ClipTextOutput| -> Result<Encoded> {
            let words = text.last.to_dtype(DType::F32)?.to_device(&Device::Cpu)?;
            Ok(Encoded {
                tensors: vec![words],
            })
        };
        Ok(Conditioning {
            cond: row(&cond).map_err(refuse)?,
            uncond: row(&uncond).map_err(refuse)?,
            guidance,
        })
    }
}
