//! The U-Net of Stable Diffusion 1 and 2 (Rombach et al., arXiv 2112.10752) and of Stable
//! Diffusion XL (Podell et al., arXiv 2307.01952), in the tensor names of diffusers'
//! `UNet2DConditionModel`.
//!
//! Latents go down through resolutions of residual blocks and transformers and up again. Blocks
//! are told the time by an embedding of 1000 level - 1, to which SDXL adds one of pooled text and
//! of the sizes that it was trained to be told.

mod blocks;
mod config;
mod pipeline;
mod transformer;

pub use config::{PerBlock, UNetConfig};
pub use pipeline::Latent;

use crate::checkpoint::Checkpoint;
use crate::denoiser::{Encoded, Network};
use crate::layers::{
    Activation, Before, Conv2d, Geometry, GroupNorm, Linear, Loaded, Order, Place, Source,
    activate, add, channels_first, channels_last, timestep,
};
use crate::path::VP_STEPS;
use crate::pipeline::OpenError;
use blocks::{Down, EPS, Middle, Up};
use candle_core::{DType, Result, Tensor, bail};
use noisesearch_core::level::Level;

/// The network.
#[derive(Debug)]
pub struct UNet {
    conv_in: Conv2d,
    time: Embedding,
    added: Option<Embedding>,
    downs: Vec<Down>,
    mid: Middle,
    ups: Vec<Up>,
    norm_out: GroupNorm,
    conv_out: Conv2d,
    /// Sinusoidal features of the time.
    sinusoids: usize,
    place: Place,
}

/// What every block is given.
#[derive(Debug)]
struct Given {
    /// `[b, time]`, the SiLU of the time embedding.
    time: Tensor,
    /// `[b, n, context]`.
    words: Tensor,
}

/// Shown what each part computed, by name; its errors end the evaluation.
type Watch<'a> = &'a mut dyn FnMut(&str, &Tensor) -> Result<()>;

impl UNet {
    /// Opens component `unet` of a checkpoint; also returns its configuration.
    pub fn open(
        checkpoint: &Checkpoint,
        place: &Place,
    ) -> std::result::Result<(Self, UNetConfig), OpenError> {
        let config = UNetConfig::new(checkpoint.config("unet")?)?;
        let mut weights = checkpoint.weights("unet")?;
        let unet = Self::load(Source::new(&mut weights, place), &config)?;
        weights.finish()?;
        Ok((unet, config))
    }

    /// Takes every tensor of the network. `config` is of [`UNetConfig::new`], which checks it.
    pub fn load(mut s: Source, config: &UNetConfig) -> Loaded<Self> {
        let widths = &config.block_out_channels;
        let (fine, coarse) = (widths[0], widths[widths.len() - 1]);
        let time = config.time();
        let same = Geometry::SAME_3X3;
        let added = match config.projection_class_embeddings_input_dim {
            Some(inputs) if config.addition_embed_type.is_some() => {
                Some(Embedding::load(s.at("add_embedding"), inputs, time)?)
            }
            _ => None,
        };
        let downs = (0..widths.len()).map(|i| {
            let inputs = widths[i.saturating_sub(1)];
            Down::load(s.at(format_args!("down_blocks.{i}")), i, inputs, config)
        });
        let downs = downs.collect::<Loaded<_>>()?;
        let ups = (0..widths.len()).map(|i| {
            let inputs = if i == 0 {
                coarse
            } else {
                widths[widths.len() - i]
            };
            Up::load(s.at(format_args!("up_blocks.{i}")), i, inputs, config)
        });
        let ups = ups.collect::<Loaded<_>>()?;
        let groups = config.norm_num_groups;
        Ok(Self {
            conv_in: Conv2d::load(s.at("conv_in"), [config.in_channels, fine], same)?,
            time: Embedding::load(s.at("time_embedding"), fine, time)?,
            added,
            downs,
            mid: Middle::load(s.at("mid_block"), config)?,
            ups,
            norm_out: GroupNorm::load(s.at("conv_norm_out"), fine, groups, EPS)?,
            conv_out: Conv2d::load(s.at("conv_out"), [fine, config.out_channels], same)?,
            sinusoids: fine,
            place: s.place().clone(),
        })
    }

    /// What the network predicts for `x: [b, h, w, c]`, same shape. `t` is its own time, an index
    /// in `0..1000` or between two.
    fn forward(&self, x: &Tensor, given: &Given, watch: Watch) -> Result<Tensor> {
        let mut x = self.conv_in.forward(x)?;
        watch("conv_in", &x)?;
        let mut kept = vec![x.clone()];
        for (i, down) in self.downs.iter().enumerate() {
            x = down.forward(x, given, &mut kept)?;
            watch(&format!("down{i}"), &x)?;
        }
        x = self.mid.forward(&x, given)?;
        watch("mid", &x)?;
        for (i, up) in self.ups.iter().enumerate() {
            x = up.forward(x, given, &mut kept)?;
            watch(&format!("up{i}"), &x)?;
        }
        self.conv_out.around(&x, Before::Norm(&self.norm_out), None)
    }

    /// Joins what the rows are given at time `t`, an index in `0..1000` or between two.
    fn given(&self, t: f64, rows: &[&Encoded]) -> Result<Given> {
        let part = |i: usize| {
            let parts = rows.iter().map(|row| match row.tensors.get(i) {
                Some(tensor) => Ok(tensor),
                None => bail!("a U-Net row has {} tensors", row.tensors.len()),
            });
            let parts = parts.collect::<Result<Vec<_>>>()?;
            let joined = Tensor::stack(&parts, 0)?;
            joined
                .to_device(&self.place.device)?
                .to_dtype(self.place.dtype)
        };
        let times = vec![t; rows.len()];
        let times = timestep(&times, self.sinusoids, Order::CosineFirst, &self.place)?;
        let mut time = self.time.forward(&times)?;
        if let Some(added) = &self.added {
            time = add(&added.forward(&part(1)?)?, &time)?;
        }
        Ok(Given {
            time: activate(&time, Activation::Silu)?,
            words: part(0)?,
        })
    }
}

impl Network for UNet {
    /// A row's tensors are the context `[n, context]` and, where the network is told more,
    /// `[pooled + six sizes]`.
    fn predict(&self, x: &Tensor, at: Level, rows: &[&Encoded]) -> Result<Tensor> {
        let given = self.given(VP_STEPS as f64 * f64::from(at.get()) - 1.0, rows)?;
        let inside = channels_last(x)?
            .to_device(&self.place.device)?
            .to_dtype(self.place.dtype)?;
        let out = self.forward(&inside, &given, &mut |_, _| Ok(()))?;
        channels_first(&out.to_dtype(DType::F32)?)?.to_device(x.device())
    }
}

/// Two layers with a SiLU between them.
#[derive(Debug)]
struct Embedding {
    first: Linear,
    second: Linear,
}

impl Embedding {
    fn load(mut s: Source, inputs: usize, outputs: usize) -> Loaded<Self> {
        Ok(Self {
            first: Linear::load(s.at("linear_1"), inputs, outputs)?,
            second: Linear::load(s.at("linear_2"), outputs, outputs)?,
        })
    }

    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        self.second
            .forward(&self.first.activated(x, Activation::Silu)?)
    }
}

#[cfg(test)]
mod tests;
