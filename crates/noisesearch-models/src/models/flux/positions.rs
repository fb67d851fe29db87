//! Positions of tokens.

use super::FluxConfig;
use crate::layers::{Place, Rotary};
use candle_core::Result;

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
