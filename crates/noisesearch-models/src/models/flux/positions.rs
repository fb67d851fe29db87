//! Positions of tokens, and the way between latents and tokens.

use super::FluxConfig;
use crate::layers::{Place, Rotary};
use candle_core::{Result, Tensor};

/// Base of the rotary frequencies.
const THETA: f64 = 10_000.0;

/// Rotary positions of `text` tokens, all at (0, 0, 0), followed by the tokens of an image of
/// `lines` by `columns` at (0, line, column). An axis of `d` features turns by
/// `position * 10000^(-2i/d)`, `i` from 0.
pub(super) fn rotary(
    config: &FluxConfig,
    text: usize,
    [lines, columns]: [usize; 2],
    place: &Place,
) -> Result<Rotary> {
    let [_, vertical, horizontal] = config.axes_dims_rope;
    let half = config.attention_head_dim / 2;
    let still = half - (vertical + horizontal) / 2;
    let tokens = text + lines * columns;
    let mut angles = vec![0.0; tokens * half];
    let (down, across) = (turns(lines, vertical), turns(columns, horizontal));
    for (i, token) in angles.chunks_exact_mut(half).skip(text).enumerate() {
        let (down, across) = (&down[i / columns], &across[i % columns]);
        token[still..][..down.len()].copy_from_slice(down);
        token[still + down.len()..].copy_from_slice(across);
    }
    Rotary::new(&angles, tokens, place)
}

/// Angles of an axis of `features` at every position of `0..count`.
fn turns(count: usize, features: usize) -> Vec<Vec<f64>> {
    let frequency = |i| libm::pow(THETA, -(2.0 * i as f64) / features as f64);
    let at = |position: usize| {
        let angles = (0..features / 2).map(|i| position as f64 * frequency(i));
        angles.collect()
    };
    (0..count).map(at).collect()
}

/// `[b, c, h, w]` to `[b, h/2 * w/2, 4 c]`: two by two pixels of a latent are a token, its
/// features in the order channel, line, column.
pub(super) fn pack(x: &Tensor) -> Result<Tensor> {
    let (b, c, h, w) = x.dims4()?;
    x.reshape(&[b, c, h / 2, 2, w / 2, 2])?
        .permute([0, 2, 4, 1, 3, 5])?
        .reshape((b, h / 2 * (w / 2), 4 * c))
}

/// The inverse of [`pack`], to a latent of `h` by `w`.
pub(super) fn unpack(x: &Tensor, [h, w]: [usize; 2]) -> Result<Tensor> {
    let (b, _, c) = x.dims3()?;
    x.reshape(&[b, h / 2, w / 2, c / 4, 2, 2])?
        .permute([0, 3, 1, 4, 2, 5])?
        .reshape((b, c / 4, h, w))
}
