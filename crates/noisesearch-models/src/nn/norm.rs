//! Norms of rows: layer norm with modulation, RMS norm and lengths; and means over pixels.

use super::group_norm::column_sums;
use super::isa::{Isa, Kernel};
use super::lanes::{sum, sum_of_squares};

/// What follows the normalisation: `scale * y + shift`, one value a channel.
#[derive(Clone, Copy, Debug)]
pub struct Affine<'a> {
    /// Factors, `[channels]`.
    pub scale: &'a [f32],
    /// Summands, `[channels]`.
    pub shift: &'a [f32],
}

/// `out = scale * (x - mean) / sqrt(var + eps) + shift` for every row of `x: [rows, channels]`.
pub fn layer_norm(isa: Isa, x: &[f32], eps: f32, affine: Affine, out: &mut [f32]) {
    isa.run(LayerNorm {
        x,
        eps,
        affine,
        plus: 0.0,
        out,
    });
}

/// Layer norm without weights, then `(1 + scale) * y + shift` (adaLN).
pub fn layer_norm_modulated(isa: Isa, x: &[f32], eps: f32, affine: Affine, out: &mut [f32]) {
    isa.run(LayerNorm {
        x,
        eps,
        affine,
        plus: 1.0,
        out,
    });
}

struct LayerNorm<'a> {
    x: &'a [f32],
    eps: f32,
    affine: Affine<'a>,
    /// Added to the scale.
    plus: f32,
    out: &'a mut [f32],
}

impl Kernel for LayerNorm<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let channels = self.affine.scale.len();
        let shift = &self.affine.shift[..channels];
        let size = channels as f32;
        for (x, out) in self
            .x
            .chunks_exact(channels)
            .zip(self.out.chunks_exact_mut(channels))
        {
            let mean = sum(x) / size;
            let inverse = 1.0 / (sum_of_squares(x, mean) / size + self.eps).sqrt();
            for i in 0..channels {
                let scale = self.affine.scale[i] + self.plus;
                out[i] = ((x[i] - mean) * inverse).mul_add(scale, shift[i]);
            }
        }
    }
}

/// `out = scale * x / sqrt(mean(x^2) + eps)` for every row of `x: [rows, channels]` (Zhang and
/// Sennrich 2019, arXiv 1910.07467).
pub fn rms_norm(isa: Isa, x: &[f32], eps: f32, scale: &[f32], out: &mut [f32]) {
    isa.run(RmsNorm { x, eps, scale, out });
}

struct RmsNorm<'a> {
    x: &'a [f32],
    eps: f32,
    scale: &'a [f32],
    out: &'a mut [f32],
}

impl Kernel for RmsNorm<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let channels = self.scale.len();
        let rows = self.x.chunks_exact(channels);
        for (x, out) in rows.zip(self.out.chunks_exact_mut(channels)) {
            let inverse = 1.0 / (sum_of_squares(x, 0.0) / channels as f32 + self.eps).sqrt();
            for i in 0..channels {
                out[i] = x[i] * inverse * self.scale[i];
            }
        }
    }
}

/// Mean over the pixels of `x: [pixels, channels]` into `out: [channels]`.
pub fn global_average(isa: Isa, x: &[f32], out: &mut [f32]) {
    isa.run(GlobalAverage { x, out });
}

struct GlobalAverage<'a> {
    x: &'a [f32],
    out: &'a mut [f32],
}

impl Kernel for GlobalAverage<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let pixels = (self.x.len() / self.out.len()) as f32;
        column_sums(self.x, self.out.len(), self.out, false);
        self.out.iter_mut().for_each(|x| *x /= pixels);
    }
}

/// Scales every row of `x: [rows, channels]` to length 1; a row shorter than `eps` is divided by
/// `eps`, as PyTorch's `normalize` does.
pub fn normalize_rows(isa: Isa, x: &mut [f32], channels: usize, eps: f32) {
    isa.run(NormalizeRows { x, channels, eps });
}

struct NormalizeRows<'a> {
    x: &'a mut [f32],
    channels: usize,
    eps: f32,
}

impl Kernel for NormalizeRows<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        for row in self.x.chunks_exact_mut(self.channels) {
            let length = sum_of_squares(row, 0.0).sqrt();
            let length = if length < self.eps { self.eps } else { length };
            row.iter_mut().for_each(|x| *x /= length);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::testing::{assert_close, same_on_every_isa, standardised, wave};

    #[test]
    fn layer_norms_follow_their_formulas() {
        for channels in [5, 16, 72, 128] {
            let x: Vec<f32> = wave(3 * channels, 2.0).iter().map(|x| x + 3.0).collect();
            let (scale, shift) = (wave(channels, 0.5), wave(channels, 0.25));
            let affine = Affine {
                scale: &scale,
                shift: &shift,
            };
            for plus in [0.0, 1.0] {
                let got = same_on_every_isa(|isa| {
                    let mut out = vec![0.0; x.len()];
                    match plus {
                        0.0 => layer_norm(isa, &x, 1e-6, affine, &mut out),
                        _ => layer_norm_modulated(isa, &x, 1e-6, affine, &mut out),
                    }
                    out
                });
                let mut want = Vec::new();
                for row in x.chunks(channels) {
                    let wide: Vec<f64> = row.iter().map(|&x| f64::from(x)).collect();
                    for (i, y) in standardised(&wide, 1e-6).into_iter().enumerate() {
                        want.push(y * (plus + f64::from(scale[i])) + f64::from(shift[i]));
                    }
                }
                assert_close(&got, &want, 2e-6);
            }
        }
    }

    #[test]
    fn rms_norm_follows_its_formula() {
        let (x, scale) = (wave(3 * 20, 2.0), wave(20, 0.5));
        let got = same_on_every_isa(|isa| {
            let mut out = vec![0.0; x.len()];
            rms_norm(isa, &x, 1e-3, &scale, &mut out);
            out
        });
        let mut want = Vec::new();
        for row in x.chunks(20) {
            let mean = row.iter().map(|&x| f64::from(x).powi(2)).sum::<f64>() / 20.0;
            for (&x, &s) in row.iter().zip(&scale) {
                want.push(f64::from(x) * f64::from(s) / (mean + 1e-3).sqrt());
            }
        }
        assert_close(&got, &want, 1e-6);
    }

    #[test]
    fn averages_and_lengths_follow_their_formulas() {
        let (pixels, channels) = (23, 20);
        let x = wave(pixels * channels, 1.0);
        let average = same_on_every_isa(|isa| {
            let mut out = vec![0.0; channels];
            global_average(isa, &x, &mut out);
            out
        });
        let column = |c: usize| x.iter().skip(c).step_by(channels).map(|&x| f64::from(x));
        let want: Vec<f64> = (0..channels)
            .map(|c| column(c).sum::<f64>() / 23.0)
            .collect();
        assert_close(&average, &want, 1e-6);
        let unit = same_on_every_isa(|isa| {
            let mut y = x.clone();
            normalize_rows(isa, &mut y, channels, 1e-12);
            y
        });
        let length = |row: &[f32]| {
            row.iter()
                .map(|&x| f64::from(x).powi(2))
                .sum::<f64>()
                .sqrt()
        };
        let want: Vec<f64> = x
            .chunks(channels)
            .flat_map(|row| row.iter().map(|&x| f64::from(x) / length(row)))
            .collect();
        assert_close(&unit, &want, 1e-6);
    }
}
