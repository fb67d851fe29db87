//! What the tests of this module share.

use super::isa::Isa;

/// `len` numbers in `±size`, neither regular nor random.
pub(crate) fn wave(len: usize, size: f32) -> Vec<f32> {
    let phase = len as f64 * 0.37 + f64::from(size);
    (0..len)
        .map(|i| size * ((i as f64 * 12.9898 + phase).sin() * 43758.5453).sin() as f32)
        .collect()
}

/// The result of `compute` at the best level, after every level has given the same bits.
pub(crate) fn same_on_every_isa(compute: impl Fn(Isa) -> Vec<f32>) -> Vec<f32> {
    let plain = compute(Isa::PLAIN);
    for isa in Isa::available() {
        let other = compute(isa);
        assert_eq!(plain.len(), other.len());
        for (i, (a, b)) in plain.iter().zip(&other).enumerate() {
            assert_eq!(
                a.to_bits(),
                b.to_bits(),
                "element {i}: plain {a}, {isa:?} {b}"
            );
        }
    }
    plain
}

/// Every element within `tolerance` times the largest of `want`.
pub(crate) fn assert_close(got: &[f32], want: &[f64], tolerance: f64) {
    assert_eq!(got.len(), want.len());
    let size = want.iter().fold(0.0f64, |m, w| m.max(w.abs()));
    for (i, (g, w)) in got.iter().zip(want).enumerate() {
        let error = (f64::from(*g) - w).abs() / size;
        assert!(
            error <= tolerance,
            "element {i}: {g} for {w}, {error:.1e} of the largest"
        );
    }
}

/// `(x - mean) / sqrt(var + eps)`.
pub(crate) fn standardised(x: &[f64], eps: f64) -> Vec<f64> {
    let n = x.len() as f64;
    let mean = x.iter().sum::<f64>() / n;
    let variance = x.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / n;
    x.iter()
        .map(|x| (x - mean) / (variance + eps).sqrt())
        .collect()
}
