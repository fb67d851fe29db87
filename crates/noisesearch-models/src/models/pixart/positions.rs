//! Positions of tokens: sines and cosines of their columns and lines.

use super::PixArtConfig;

/// Longest period, over 2 pi.
const MAX_PERIOD: f64 = 10_000.0;

/// `[lines * columns, hidden]`: for each of column and line, half the features, which are sines
/// and then cosines of `position * 10000^(-4i/hidden)`, `i` from 0.
///
/// However many lines there are, their positions span `sample_size / patch_size /
/// interpolation`, so that a larger image is a finer grid and not a wider one.
pub(super) fn positions(config: &PixArtConfig, lines: usize, columns: usize) -> Vec<f32> {
    let down = axis(config, lines);
    let across = axis(config, columns);
    let mut out = Vec::with_capacity(lines * columns * config.hidden());
    for down in &down {
        for across in &across {
            out.extend_from_slice(across);
            out.extend_from_slice(down);
        }
    }
    out
}

/// Features of every position of an axis with `count` of them.
fn axis(config: &PixArtConfig, count: usize) -> Vec<Vec<f32>> {
    let base = config.sample_size / config.patch_size;
    let stretch = (count as f64 / base as f64) as f32;
    let quarter = config.hidden() / 4;
    let features = |i: usize| {
        let position = f64::from(i as f32 / stretch / config.interpolation());
        let angle = |i: usize| position * libm::pow(MAX_PERIOD, -(i as f64) / quarter as f64);
        let sines = (0..quarter).map(|i| libm::sin(angle(i)) as f32);
        let cosines = (0..quarter).map(|i| libm::cos(angle(i)) as f32);
        sines.chain(cosines).collect()
    };
    (0..count).map(features).collect()
}
