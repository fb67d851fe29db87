//! The layers that published networks are made of, on tensors of any device.
//!
//! A sequence is `[b, tokens, channels]`, an image `[b, height, width, channels]`: channels are
//! always innermost, so a 1x1 convolution is a [`Linear`] and an image is a sequence by `reshape`.
//! On the CPU a layer holds packed weights, f32, bf16 or int8, and runs the kernels of
//! [`crate::nn`] with all threads; elsewhere it holds tensors and runs candle's operations, and on
//! a CUDA device kernels of ours around the products (`fused`). All
//! follow one formula, which the tests compute again. On the CPU a row's result does not depend on
//! its neighbours, on the batch or on the number of threads, bit for bit.

mod activation;
mod attention;
mod conv;
mod embed;
mod floats;
mod fused;
mod linear;
mod mlp;
mod norm;
mod residual;
mod rotary;
mod source;

pub use crate::nn::activation::Activation;
pub use crate::nn::bf16::Order as SumOrder;
pub use activation::{activate, gated};
pub use attention::{Attend, attention};
pub use conv::{Before, Conv2d, Geometry, upsample};
pub use embed::{Order, timestep, timestep_closed};
pub(crate) use floats::floats;
pub use floats::{channels_first, channels_last};
pub use linear::Linear;
pub(crate) use linear::finished;
pub use mlp::Mlp;
pub(crate) use norm::modulated;
pub use norm::{GroupNorm, LayerNorm, RmsNorm};
pub use residual::{add, add_gated, add_to_pixels};
pub use rotary::Rotary;
pub use source::{Loaded, Place, Products, Source};

#[cfg(test)]
pub(crate) mod testing;
