//! Gradients, for first-order search: what can be gone through backwards.
//!
//! Each trait takes a *cotangent*, the gradient of some number with respect to what a part gave,
//! to the gradient with respect to what the part was given (a vector-Jacobian product). Rows go
//! one at a time, so a recipe's gradient depends on nothing but the recipe.

use crate::denoiser::{Conditioning, Encoded};
use candle_core::{Result, Tensor};
use noisesearch_core::level::Level;
use noisesearch_core::recipe::VerifierName;

/// A [`crate::denoiser::Network`] backwards.
pub trait NetworkGradient: Send + Sync {
    /// `x` and `cotangent`: `[1, c, h, w]` f32 -> the cotangent of `x`, same shape.
    fn vjp(&self, x: &Tensor, at: Level, row: &Encoded, cotangent: &Tensor) -> Result<Tensor>;
}

/// A [`crate::denoiser::Denoiser`] backwards.
pub trait DenoiserGradient: Send + Sync {
    /// `x`, and the cotangent of its clean-sample prediction: `[1, c, h, w]` f32 -> the cotangent
    /// of `x`, same shape. Costs [`noisesearch_core::ledger::BACKWARD_NFE`].
    fn vjp(&self, x: &Tensor, at: Level, cond: &Conditioning, cotangent: &Tensor)
    -> Result<Tensor>;
}

/// A [`crate::denoiser::Decoder`] backwards.
pub trait DecoderGradient: Send + Sync {
    /// `latents: [1, c, h, w]` and the cotangent of their image `[1, 1|3, H, W]` -> the cotangent
    /// of the latents. Rounding to 8 bits is passed straight through; clamping is not.
    fn vjp(&self, latents: &Tensor, cotangent: &Tensor) -> Result<Tensor>;
}

/// What a recipe may climb.
pub trait Slope: Sync {
    /// The gradient of a verifier's score with respect to a clean latent `x0: [1, c, h, w]`, same
    /// shape; `None` when there is no such verifier, or it or the decoder has no gradient.
    fn slope(&self, verifier: VerifierName, x0: &Tensor) -> Result<Option<Tensor>>;
}
