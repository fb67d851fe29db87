//! Vision towers of published scorers: a picture as a sequence of patches through a transformer
//! (Dosovitskiy et al. 2020, arXiv 2010.11929).
//!
//! ```text
//! x = [class, patches] + positions
//! x = x + attention(norm(x));   x = x + mlp(norm(x))      every block
//! ```

pub mod block;
pub mod clip;
pub mod dinov2;
pub mod siglip;

use candle_core::{Result, Tensor, bail};
use noisesearch_models::layers::Activation;
use noisesearch_models::limits::{FEATURES_MAX, LAYERS_MAX};
use noisesearch_models::pipeline::OpenError;

/// Tokens of an image: twice as many as any published tower has at its largest.
const TOKENS_MAX: usize = 1 << 13;

/// Whether sizes from a `config.json` can be those of a network.
///
/// # Errors
/// The first that is 0 or larger than any published network's, by name.
fn sizes_are_legal(sizes: &[(&str, usize)]) -> std::result::Result<(), OpenError> {
    let legal = |(name, size): &&(&str, usize)| match *name {
        "num_hidden_layers" => (1..=LAYERS_MAX).contains(size),
        _ => (1..=FEATURES_MAX).contains(size),
    };
    match sizes.iter().find(|size| !legal(size)) {
        Some((name, size)) => Err(unsupported(name, size, "those of a published model")),
        None => Ok(()),
    }
}

/// Whether an image of `side` can be cut into patches.
///
/// # Errors
/// Not a single one, or more than any published tower sees.
pub(crate) fn patches_are_legal(side: usize, patch: usize) -> std::result::Result<(), OpenError> {
    match side / patch {
        0 => Err(unsupported("patch_size", patch, "at most the image's size")),
        n if n * n > TOKENS_MAX => Err(unsupported("patch_size", patch, "larger patches")),
        _ => Ok(()),
    }
}

/// The activation of this name in transformers.
fn activation(name: &str) -> std::result::Result<Activation, OpenError> {
    match name {
        "quick_gelu" => Ok(Activation::QuickGelu),
        "gelu" => Ok(Activation::Gelu),
        "gelu_new" | "gelu_pytorch_tanh" => Ok(Activation::GeluTanh),
        other => Err(unsupported(
            "hidden_act",
            other,
            "quick_gelu, gelu, gelu_pytorch_tanh",
        )),
    }
}

fn unsupported(what: &str, found: impl std::fmt::Display, supported: &str) -> OpenError {
    OpenError::Unsupported {
        what: format!("{what} of the vision tower"),
        found: found.to_string(),
        supported: supported.to_owned(),
    }
}

/// `images: [b, 3, side, side]` to `[b, patches, 3 patch patch]` in reading order; lines and
/// columns that fill no patch are left out, as a convolution does.
pub(crate) fn patches(images: &Tensor, side: usize, patch: usize) -> Result<Tensor> {
    let (b, channels, height, width) = images.dims4()?;
    if [channels, height, width] != [3, side, side] {
        bail!("a tower of [b, 3, {side}, {side}] was given {images:?}")
    }
    let n = side / patch;
    let whole = images.narrow(2, 0, n * patch)?.narrow(3, 0, n * patch)?;
    let whole = whole.contiguous()?.reshape(&[b, 3, n, patch, n, patch])?;
    let whole = whole.permute([0, 2, 4, 1, 3, 5])?.contiguous()?;
    whole.reshape((b, n * n, 3 * patch * patch))
}

/// `token: [w]` before every row of `x: [b, n, w]`, and then the sum with `positions: [n + 1, w]`.
pub(crate) fn with_class(token: &Tensor, x: &Tensor, positions: &Tensor) -> Result<Tensor> {
    let (b, _, w) = x.dims3()?;
    let token = token.reshape((1, 1, w))?.broadcast_as((b, 1, w))?;
    let x = Tensor::cat(&[&token.contiguous()?, x], 1)?;
    x.broadcast_add(positions)
}
