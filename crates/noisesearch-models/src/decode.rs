//! Decoders: from latents to images as a PNG holds them.

use crate::denoiser::Decoder;
use crate::elementwise::{all_finite, by_stretch};
use crate::gradient::DecoderGradient;
use candle_core::{Result, Tensor, bail};

/// Pixel-space models: `[-1, 1]` to `[0, 1]`, clamped and rounded to multiples of 1/255. A pixel
/// that is not finite is refused: it would be black, and scored.
#[derive(Clone, Copy, Debug)]
pub struct Pixels;

impl Decoder for Pixels {
    fn decode(&self, latents: &Tensor) -> Result<Tensor> {
        let mut images = latents.flatten_all()?.to_vec1::<f32>()?;
        if !all_finite(&images) {
            let at = images.iter().position(|v| !v.is_finite()).unwrap_or(0);
            let row = at / (images.len() / latents.dim(0)?.max(1)).max(1);
            bail!(
                "the decoder computed {} for a pixel of image {row} of its batch: its weights are \
                 damaged, or its numbers are too large for this format; use --dtype bf16 or f32",
                images[at]
            )
        }
        let level = |v: f32| ((v * 0.5 + 0.5).clamp(0.0, 1.0) * 255.0).round() / 255.0;
        by_stretch(&mut images, |_, image| {
            image.iter_mut().for_each(|v| *v = level(*v));
        });
        Tensor::from_vec(images, latents.shape(), latents.device())
    }

    fn gradient(&self) -> Option<&dyn DecoderGradient> {
        Some(self)
    }
}

impl DecoderGradient for Pixels {
    fn vjp(&self, latents: &Tensor, cotangent: &Tensor) -> Result<Tensor> {
        let values = latents.flatten_all()?.to_vec1::<f32>()?;
        let mut slopes = cotangent.flatten_all()?.to_vec1::<f32>()?;
        for (slope, value) in slopes.iter_mut().zip(values) {
            let inside = (-1.0..=1.0).contains(&value);
            *slope *= if inside { 0.5 } else { 0.0 };
        }
        Tensor::from_vec(slopes, latents.shape(), latents.device())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    #[test]
    fn pixels_are_what_eight_bits_hold() {
        let x = Tensor::new(&[[-2.0f32, -1.0, 0.0, 0.3, 1.0, 9.0]], &Device::Cpu).unwrap();
        let y = Pixels
            .decode(&x)
            .unwrap()
            .flatten_all()
            .unwrap()
            .to_vec1::<f32>()
            .unwrap();
        assert_eq!(y, [0.0, 0.0, 128.0 / 255.0, 166.0 / 255.0, 1.0, 1.0]);
    }

    /// Once they became black pictures, which verifiers scored.
    #[test]
    fn pixels_that_are_not_finite_are_refused() {
        for bad in [f32::NAN, f32::INFINITY] {
            let x = Tensor::new(&[[0.0f32, 1.0], [0.5, bad]], &Device::Cpu).unwrap();
            let error = Pixels.decode(&x).unwrap_err().to_string();
            let says = format!("computed {bad} for a pixel of image 1 of its batch");
            assert!(
                error.contains(&says) && error.contains("--dtype bf16"),
                "{error}"
            );
        }
    }

    #[test]
    fn the_way_back_passes_rounding_and_stops_at_the_clamp() {
        let x = Tensor::new(&[[-2.0f32, -1.0, 0.3, 1.0, 1.01]], &Device::Cpu).unwrap();
        let slopes = Pixels.vjp(&x, &x.ones_like().unwrap()).unwrap();
        let slopes = slopes.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        assert_eq!(slopes, [0.0, 0.5, 0.5, 0.5, 0.0]);
    }
}
