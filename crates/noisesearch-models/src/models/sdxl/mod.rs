//! Stable Diffusion XL (Podell et al., arXiv 2307.01952): a larger U-Net that reads the
//! penultimate states of two CLIP text encoders side by side, and is told the second one's pooled
//! text and the sizes of the image. Usually 1024x1024 pixels.
//!
//! Tuned versions, such as that of Diffusion-DPO (Wallace et al., arXiv 2311.12908), have the same
//! parts with other weights.

use super::prompts::{prompt, refuse};
use super::unet::{Latent, UNetConfig};
use crate::checkpoint::Checkpoint;
use crate::denoiser::{Conditioner, Conditioning, Encoded, TaskError};
use crate::pipeline::{OpenError, Options, Pipeline};
use crate::task::Task;
use crate::text::{ClipComponent, ClipTextOutput};
use candle_core::{D, DType, Device, Result, Tensor};
use serde_json::Value;
use std::sync::Arc;

/// Opens a `StableDiffusionXLPipeline`. Width and height are multiples of 8.
pub fn open(
    checkpoint: &Arc<Checkpoint>,
    options: &Options,
) -> std::result::Result<Pipeline, OpenError> {
    let clip =
        |tokenizer, encoder| ClipComponent::open(checkpoint, tokenizer, encoder, &options.place);
    let first = clip("tokenizer", "text_encoder")?;
    let second = clip("tokenizer_2", "text_encoder_2")?;
    let latent = Latent::open(checkpoint, options)?;
    latent.check_context(first.config().hidden_size + second.config().hidden_size)?;
    let pooled = second.config().projection_dim;
    if latent.config.pooled() != Some(pooled) {
        return Err(OpenError::Unsupported {
            what: "pooled text that the U-Net is told".into(),
            found: format!("{:?} features", latent.config.pooled()),
            supported: format!("projection_dim {pooled} of text_encoder_2/config.json"),
        });
    }
    let zeros = checkpoint.setting("force_zeros_for_empty_prompt");
    let words = Words {
        first,
        second,
        zeros: zeros.and_then(Value::as_bool).unwrap_or(true),
        config: latent.config.clone(),
        size: [options.height as f64, options.width as f64],
    };
    let components = ["unet", "vae", "text_encoder", "text_encoder_2"];
    latent.pipeline(Box::new(words), checkpoint, &components)
}

/// Encodes prompts.
struct Words {
    first: ClipComponent,
    second: ClipComponent,
    /// Whether the unconditional encoding is zeros or that of the empty prompt.
    zeros: bool,
    config: UNetConfig,
    /// Height and width of the image.
    size: [f64; 2],
}

impl Words {
    fn both(&self, prompt: &str) -> std::result::Result<Conditioning, OpenError> {
        let [a, a_empty] = self.first.encode([prompt, ""])?;
        let [b, b_empty] = self.second.encode([prompt, ""])?;
        let (words, pooled) = joined(&a, &b)?;
        let (no_words, no_pooled) = match self.zeros {
            true => (words.zeros_like()?, pooled.zeros_like()?),
            false => joined(&a_empty, &b_empty)?,
        };
        Ok(Conditioning {
            cond: self.row(words, &pooled)?,
            uncond: self.row(no_words, &no_pooled)?,
            guidance: 1.0,
        })
    }

    /// The context and what is added to the time: no image was scaled or cropped.
    fn row(&self, words: Tensor, pooled: &Tensor) -> Result<Encoded> {
        let [height, width] = self.size;
        let sizes = [height, width, 0.0, 0.0, height, width];
        let added = self.config.added(pooled, sizes)?;
        Ok(Encoded {
            tensors: vec![words, added],
        })
    }
}

/// `[n, d + d']` of both encoders' states, and the pooled text of the second; f32 on the CPU.
fn joined(first: &ClipTextOutput, second: &ClipTextOutput) -> Result<(Tensor, Tensor)> {
    let states = [&first.penultimate, &second.penultimate];
    let words = Tensor::cat(&states, D::Minus1)?;
    let home = |x: &Tensor| x.to_dtype(DType::F32)?.to_device(&Device::Cpu);
    Ok((home(&words)?, home(&second.pooled)?))
}

impl Conditioner for Words {
    fn encode(&self, task: &Task, guidance: f32) -> std::result::Result<Conditioning, TaskError> {
        let encoded = self.both(prompt(task)?).map_err(refuse)?;
        Ok(Conditioning {
            guidance,
            ..encoded
        })
    }
}
