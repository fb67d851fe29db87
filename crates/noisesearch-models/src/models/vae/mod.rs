//! The decoder of a variational autoencoder with a KL penalty, from which latent diffusion takes
//! its images (Rombach et al., arXiv 2112.10752): `image = D(latent / scaling_factor +
//! shift_factor)`. One code for the 4-channel autoencoders of Stable Diffusion and the 16-channel
//! ones of later families.

mod config;
mod decoder;
mod tiles;

pub use config::VaeConfig;

use crate::checkpoint::Checkpoint;
use crate::decode::Pixels;
use crate::denoiser::Decoder;
use crate::layers::{Loaded, Place, Source, channels_first, channels_last};
use crate::pipeline::OpenError;
use candle_core::{DType, Device, Result, Tensor};
use decoder::Network;
use tiles::Tiling;

/// Pixels of the largest image that is decoded whole, eight by eight of them for one of the latent.
pub const WHOLE_PIXELS_MAX: usize = (8 * Tiling::DEFAULT.side).pow(2);

/// An autoencoder of which the decoder is loaded.
#[derive(Debug)]
pub struct Vae {
    network: Network,
    scale: f64,
    shift: f64,
    channels: usize,
    factor: usize,
    tiling: Tiling,
    place: Place,
}

impl Vae {
    /// Opens component `vae` of a checkpoint.
    pub fn open(checkpoint: &Checkpoint, place: &Place) -> std::result::Result<Self, OpenError> {
        let config: VaeConfig = checkpoint.config("vae")?;
        config.check()?;
        let mut weights = checkpoint.weights("vae")?;
        let place = wide(place, &config);
        let vae = Self::load(Source::new(&mut weights, &place), &config)?;
        weights.finish()?;
        Ok(vae)
    }

    /// Takes the tensors of a decoder whose configuration was checked, and passes over those of
    /// the encoder: `encoder` and `quant_conv`.
    pub fn load(mut s: Source, config: &VaeConfig) -> Loaded<Self> {
        s.skip("encoder.");
        s.skip("quant_conv.");
        let place = s.place().clone();
        Ok(Self {
            network: Network::load(s, config)?,
            scale: config.scaling_factor,
            shift: config.shift_factor.unwrap_or(0.0),
            channels: config.latent_channels,
            factor: config.factor(),
            tiling: Tiling::DEFAULT,
            place,
        })
    }

    /// Channels of the latents.
    pub fn channels(&self) -> usize {
        self.channels
    }

    /// Pixels of the image for one of the latent, both ways: 8 in every published model.
    pub fn factor(&self) -> usize {
        self.factor
    }

    /// `latents: [b, c, h, w]` f32 to pixels `[b, 3, factor h, factor w]` f32, in `[-1, 1]` or a
    /// little beyond. One row after the other, and in overlapping tiles where a row is large: the
    /// network's memory grows neither with the batch nor, beyond a large row, with its size.
    pub fn pixels(&self, latents: &Tensor) -> Result<Tensor> {
        let rows = (0..latents.dim(0)?).map(|i| self.row(&latents.narrow(0, i, 1)?));
        Tensor::cat(&rows.collect::<Result<Vec<_>>>()?, 0)?.to_device(latents.device())
    }

    /// One row of [`Self::pixels`], on the CPU.
    fn row(&self, latent: &Tensor) -> Result<Tensor> {
        let z = latent.affine(1.0 / self.scale, self.shift)?;
        let z = channels_last(&z)?
            .to_device(&self.place.device)?
            .to_dtype(self.place.dtype)?;
        let image = self.tiling.apply(&z, self.factor, |tile| {
            let pixels = self.network.forward(tile, &mut |_, _| Ok(()))?;
            pixels.to_dtype(DType::F32)?.to_device(&Device::Cpu)
        })?;
        channels_first(&image)
    }
}

/// The same place, in f32 instead of f16 for a decoder that overflows in it, as that of Stable
/// Diffusion XL does.
fn wide(place: &Place, config: &VaeConfig) -> Place {
    let dtype = match place.dtype {
        DType::F16 if config.force_upcast => DType::F32,
        other => other,
    };
    Place {
        dtype,
        ..place.clone()
    }
}

impl Decoder for Vae {
    fn decode(&self, latents: &Tensor) -> Result<Tensor> {
        Pixels.decode(&self.pixels(latents)?)
    }
}

#[cfg(test)]
mod tests;
