//! Layer norm with modulation and group norm with SiLU.

use super::activation::silu_one;
use super::conv::Padded;
use super::isa::{Isa, Kernel};
use super::lanes::{Lanes, PANEL, load, sum, sum_of_squares};
use rayon::prelude::*;

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

/// Group norm weights.
#[derive(Debug)]
pub struct GroupNorm {
    gamma: Vec<f32>,
    beta: Vec<f32>,
    groups: usize,
    eps: f32,
}

impl GroupNorm {
    /// `gamma` and `beta`: `[channels]`, with `channels` a multiple of `groups`.
    pub fn new(gamma: Vec<f32>, beta: Vec<f32>, groups: usize, eps: f32) -> Self {
        assert!(gamma.len() == beta.len() && gamma.len().is_multiple_of(groups));
        Self {
            gamma,
            beta,
            groups,
            eps,
        }
    }

    /// `y = gamma * normalised + beta` for an image `x: [pixels, channels]`, then
    /// `(1 + scale) * y + shift` if there is a modulation, as one factor and summand a channel.
    fn affine(&self, isa: Isa, x: &[f32], modulation: Option<Affine>) -> [Vec<f32>; 2] {
        isa.run(Statistics {
            norm: self,
            x,
            modulation,
        })
    }

    /// `out = silu(group_norm(x))` for `x: [height, width, channels]`, into a bordered image that
    /// a convolution reads. With a modulation it comes before the SiLU: `(1 + scale) * y + shift`.
    pub fn silu(&self, isa: Isa, x: &[f32], modulation: Option<Affine>, out: &mut Padded) {
        let [scale, shift] = self.affine(isa, x, modulation);
        let affine = Affine {
            scale: &scale,
            shift: &shift,
        };
        let [_, width, channels] = out.shape();
        for (line, x) in out.lines_mut().zip(x.chunks_exact(width * channels)) {
            isa.run(Apply {
                x,
                affine,
                silu: true,
                out: line,
            });
        }
    }

    /// `out = group_norm(x)` for `x: [pixels, channels]`.
    pub fn apply(&self, isa: Isa, x: &[f32], out: &mut [f32]) {
        let [scale, shift] = self.affine(isa, x, None);
        let affine = Affine {
            scale: &scale,
            shift: &shift,
        };
        isa.run(Apply {
            x,
            affine,
            silu: false,
            out,
        });
    }

    /// `out = group_norm(x)`, or its SiLU, for one image `x: [pixels, channels]`, by all threads.
    pub fn apply_shared(&self, isa: Isa, x: &[f32], silu: bool, out: &mut [f32]) {
        let channels = self.gamma.len();
        let part = (x.len() / channels).div_ceil(rayon::current_num_threads()) * channels;
        let [scale, shift] = self.affine(isa, x, None);
        let affine = Affine {
            scale: &scale,
            shift: &shift,
        };
        let parts = x.par_chunks(part).zip(out.par_chunks_mut(part));
        parts.for_each(|(x, out)| {
            isa.run(Apply {
                x,
                affine,
                silu,
                out,
            });
        });
    }
}

/// Mean and variance of groups, folded with the weights into one affine map.
struct Statistics<'a> {
    norm: &'a GroupNorm,
    x: &'a [f32],
    modulation: Option<Affine<'a>>,
}

impl Kernel for Statistics<'_> {
    type Output = [Vec<f32>; 2];

    #[inline(always)]
    fn run(self) -> Self::Output {
        let norm = self.norm;
        let channels = norm.gamma.len();
        let members = channels / norm.groups;
        let size = (self.x.len() / norm.groups) as f32;
        let mut means = vec![0.0; channels];
        column_sums(self.x, &mut means, false);
        spread(&mut means, members, |total| total / size);
        let mut scales = means.clone();
        column_sums(self.x, &mut scales, true);
        spread(&mut scales, members, |total| {
            1.0 / (total / size + norm.eps).sqrt()
        });
        for i in 0..channels {
            let mut scale = scales[i] * norm.gamma[i];
            let mut shift = (-means[i]).mul_add(scale, norm.beta[i]);
            if let Some(m) = self.modulation {
                let factor = 1.0 + m.scale[i];
                (scale, shift) = (scale * factor, shift.mul_add(factor, m.shift[i]));
            }
            (scales[i], means[i]) = (scale, shift);
        }
        [scales, means]
    }
}

/// `totals[c] = sum over pixels of x[c]`, or of `(x[c] - totals[c])^2` if `squared`.
#[inline(always)]
fn column_sums(x: &[f32], totals: &mut [f32], squared: bool) {
    let channels = totals.len();
    for (chunk, totals) in totals.chunks_mut(PANEL).enumerate() {
        let mean = if squared { load(totals) } else { [0.0; PANEL] };
        // Four sums that take turns, so that an addition need not wait for the one before.
        let mut sums = [[0.0; PANEL]; 4];
        let mut pixels = x.chunks_exact(4 * channels);
        for four in &mut pixels {
            for (turn, sum) in sums.iter_mut().enumerate() {
                let from = turn * channels + chunk * PANEL;
                add(sum, &load(&four[from..][..totals.len()]), &mean, squared);
            }
        }
        for pixel in pixels.remainder().chunks_exact(channels) {
            let from = chunk * PANEL;
            add(
                &mut sums[0],
                &load(&pixel[from..][..totals.len()]),
                &mean,
                squared,
            );
        }
        for (j, total) in totals.iter_mut().enumerate() {
            *total = (sums[0][j] + sums[1][j]) + (sums[2][j] + sums[3][j]);
        }
    }
}

#[inline(always)]
fn add(sum: &mut Lanes, x: &Lanes, mean: &Lanes, squared: bool) {
    for j in 0..PANEL {
        let d = x[j] - mean[j];
        sum[j] = if squared {
            d.mul_add(d, sum[j])
        } else {
            sum[j] + x[j]
        };
    }
}

/// Replaces the sums of each group's channels by `f` of the group's sum.
#[inline(always)]
fn spread(sums: &mut [f32], members: usize, f: impl Fn(f32) -> f32) {
    for group in sums.chunks_exact_mut(members) {
        let value = f(group.iter().fold(0.0, |a, b| a + b));
        group.fill(value);
    }
}

/// `out = scale * x + shift`, then SiLU if asked.
struct Apply<'a> {
    x: &'a [f32],
    affine: Affine<'a>,
    silu: bool,
    out: &'a mut [f32],
}

impl Kernel for Apply<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Affine { scale, shift } = self.affine;
        let channels = scale.len();
        for (x, out) in self
            .x
            .chunks_exact(channels)
            .zip(self.out.chunks_exact_mut(channels))
        {
            for i in 0..channels {
                let y = x[i].mul_add(scale[i], shift[i]);
                out[i] = if self.silu { silu_one(y) } else { y };
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
        column_sums(self.x, self.out, false);
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
    use crate::nn::buffer::Arena;
    use crate::nn::testing::{assert_close, same_on_every_isa, wave};

    fn standardised(x: &[f64], eps: f64) -> Vec<f64> {
        let n = x.len() as f64;
        let mean = x.iter().sum::<f64>() / n;
        let variance = x.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / n;
        x.iter()
            .map(|x| (x - mean) / (variance + eps).sqrt())
            .collect()
    }

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
    fn group_norm_follows_its_formula() {
        for (channels, groups, modulated) in [(32, 8, true), (12, 3, false), (48, 4, true)] {
            let [height, width] = [5, 3];
            let x: Vec<f32> = wave(height * width * channels, 2.0);
            let (gamma, beta) = (wave(channels, 1.5), wave(channels, 0.5));
            let (scale, shift) = (wave(channels, 0.7), wave(channels, 0.3));
            let modulation = modulated.then_some(Affine {
                scale: &scale,
                shift: &shift,
            });
            let norm = GroupNorm::new(gamma.clone(), beta.clone(), groups, 1e-5);
            let got = same_on_every_isa(|isa| {
                let mut out = Padded::take(&mut Arena::default(), [height, width, channels]);
                norm.silu(isa, &x, modulation, &mut out);
                out.lines_mut().flat_map(|l| l.to_vec()).collect()
            });
            let members = channels / groups;
            let mut want = vec![0.0; x.len()];
            for g in 0..groups {
                let of_group = |i: usize| i % channels / members == g;
                let at: Vec<usize> = (0..x.len()).filter(|&i| of_group(i)).collect();
                let group: Vec<f64> = at.iter().map(|&i| f64::from(x[i])).collect();
                for (&i, y) in at.iter().zip(standardised(&group, 1e-5)) {
                    let c = i % channels;
                    let mut y = y * f64::from(gamma[c]) + f64::from(beta[c]);
                    if modulated {
                        y = y * (1.0 + f64::from(scale[c])) + f64::from(shift[c]);
                    }
                    want[i] = y / (1.0 + (-y).exp());
                }
            }
            assert_close(&got, &want, 2e-6);
        }
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
