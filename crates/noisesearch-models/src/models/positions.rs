//! Positions of tokens on a plane as sines and cosines (Vaswani et al., arXiv 1706.03762, section
//! 3.5, for two axes as in He et al., arXiv 2111.06377).

/// Longest period, over 2 pi.
const MAX_PERIOD: f64 = 10_000.0;

/// `[lines * columns, hidden]`: for each of column and line, half the features, which are sines
/// and then cosines of `position * 10000^(-4i/hidden)`, `i` from 0. `down` and `across` are the
/// positions of the lines and of the columns.
pub(super) fn positions(down: &[f32], across: &[f32], hidden: usize) -> Vec<f32> {
    let [down, across] = [down, across].map(|axis| features(axis, hidden / 4));
    let mut out = Vec::with_capacity(down.len() * across.len() * hidden);
    for down in &down {
        for across in &across {
            out.extend_from_slice(across);
            out.extend_from_slice(down);
        }
    }
    out
}

/// Features of every position of an axis: `count` sines and `count` cosines.
fn features(axis: &[f32], count: usize) -> Vec<Vec<f32>> {
    let features = |&position: &f32| {
        let frequency = |i: usize| libm::pow(MAX_PERIOD, -(i as f64) / count as f64);
        let angle = |i: usize| f64::from(position) * frequency(i);
        let sines = (0..count).map(|i| libm::sin(angle(i)) as f32);
        let cosines = (0..count).map(|i| libm::cos(angle(i)) as f32);
        sines.chain(cosines).collect()
    };
    axis.iter().map(features).collect()
}
