//! Sinusoidal embeddings and the small networks that follow them.

use super::gemm::{Epilogue, PackedWeight, Windows};
use super::isa::Isa;

/// Longest period of a sinusoidal embedding.
const MAX_PERIOD: f64 = 10_000.0;

/// `[cos(t f_0), …, sin(t f_0), …]` with `f_i = 10000^(-i / half)`, `half = out.len() / 2`, as in
/// DiT and SiT. Computed in f64 with portable functions and rounded once.
pub fn sinusoidal(t: f32, out: &mut [f32]) {
    let (cosines, sines) = out.split_at_mut(out.len() / 2);
    let half = cosines.len() as f64;
    for (i, (cos, sin)) in cosines.iter_mut().zip(sines).enumerate() {
        let angle = f64::from(t) * libm::exp(-libm::log(MAX_PERIOD) * i as f64 / half);
        (*cos, *sin) = (libm::cos(angle) as f32, libm::sin(angle) as f32);
    }
}

/// `linear, SiLU, linear`.
#[derive(Debug)]
pub struct SiluMlp {
    /// First layer.
    pub first: PackedWeight,
    /// Second layer.
    pub second: PackedWeight,
}

impl SiluMlp {
    /// `x: [rows, inputs]` -> `[rows, outputs]`. Meant for a few rows a forward: it allocates.
    pub fn apply(&self, isa: Isa, x: &[f32]) -> Vec<f32> {
        let left = Windows::rows(x, self.first.inputs());
        let mut hidden = vec![0.0; left.count * self.first.outputs()];
        let mut out = vec![0.0; left.count * self.second.outputs()];
        self.first.apply(isa, left, &mut hidden, Epilogue::Silu);
        let hidden = Windows::rows(&hidden, self.second.inputs());
        self.second.apply(isa, hidden, &mut out, Epilogue::Store);
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::testing::{assert_close, same_on_every_isa, wave};

    #[test]
    fn sinusoids_follow_the_formula() {
        let mut got = vec![0.0; 6];
        sinusoidal(0.75, &mut got);
        let angles = [
            0.75,
            0.75 / 10_000f64.powf(1.0 / 3.0),
            0.75 / 10_000f64.powf(2.0 / 3.0),
        ];
        let want: Vec<f64> = angles
            .iter()
            .map(|a| a.cos())
            .chain(angles.iter().map(|a| a.sin()))
            .collect();
        assert_close(&got, &want, 1e-7);
    }

    #[test]
    fn the_mlp_is_two_layers_with_silu_between() {
        let (w, v) = (wave(4 * 3, 1.0), wave(2 * 4, 1.0));
        let mlp = SiluMlp {
            first: PackedWeight::new(&w, &[], 4, 3),
            second: PackedWeight::new(&v, &[0.5, -0.5], 2, 4),
        };
        let x = [1.0, -2.0, 0.5];
        let got = same_on_every_isa(|isa| mlp.apply(isa, &x));
        let dot =
            |a: &[f32], b: &[f64]| -> f64 { a.iter().zip(b).map(|(a, b)| f64::from(*a) * b).sum() };
        let x: Vec<f64> = x.iter().map(|&x| f64::from(x)).collect();
        let hidden: Vec<f64> = w.chunks(3).map(|w| dot(w, &x)).collect();
        let hidden: Vec<f64> = hidden.iter().map(|h| h / (1.0 + (-h).exp())).collect();
        let want = [dot(&v[..4], &hidden) + 0.5, dot(&v[4..], &hidden) - 0.5];
        assert_close(&got, &want, 1e-6);
    }
}
