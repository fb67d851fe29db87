//! Group norm with SiLU (Wu and He 2018, arXiv 1803.08494): `y = gamma * (x - mean) / sqrt(var +
//! eps) + beta` with the mean and variance of a group of channels over the whole image.

use super::activation::silu_one;
use super::conv::Padded;
use super::isa::{Isa, Kernel};
use super::lanes::{Lanes, PANEL, load};
use super::norm::Affine;
use rayon::prelude::*;

/// Floats that are worked on in one loop. Over a pixel of few channels the compiler's loop of
/// several vectors at a time would never be entered.
const STRETCH: usize = 256;

/// Pixels that are summed in one loop, a multiple of 4.
const RUN: usize = 16;

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

    /// Channels of a group.
    pub(super) fn members(&self) -> usize {
        self.gamma.len() / self.groups
    }

    /// `1 / sqrt(var + eps)` and the mean of every channel's group; `sums` is [`column_sums`] of
    /// an image.
    fn statistics(&self, pixels: usize, sums: impl Fn(&mut [f32], bool)) -> [Vec<f32>; 2] {
        let members = self.members();
        let size = (pixels * members) as f32;
        let mut means = vec![0.0; self.gamma.len()];
        sums(&mut means, false);
        spread(&mut means, members, |total| total / size);
        let mut inverses = means.clone();
        sums(&mut inverses, true);
        spread(&mut inverses, members, |total| {
            1.0 / (total / size + self.eps).sqrt()
        });
        [inverses, means]
    }

    /// The same for `x: [pixels, channels]` on this thread.
    pub(super) fn statistics_alone(&self, isa: Isa, x: &[f32]) -> [Vec<f32>; 2] {
        let channels = self.gamma.len();
        self.statistics(x.len() / channels, |totals, squared| {
            isa.run(ColumnSums {
                x,
                channels,
                totals,
                squared,
            });
        })
    }

    /// `y = gamma * normalised + beta`, then `(1 + scale) * y + shift` if there is a modulation,
    /// as one factor and summand a channel, from [`Self::statistics`].
    pub(super) fn fold(
        &self,
        isa: Isa,
        statistics: [Vec<f32>; 2],
        modulation: Option<Affine>,
    ) -> [Vec<f32>; 2] {
        let [mut scale, mut shift] = statistics;
        isa.run(Fold {
            norm: self,
            modulation,
            into: [&mut scale, &mut shift],
        });
        [scale, shift]
    }

    /// What the norm does to an image `x: [pixels, channels]`, found on this thread.
    fn fit_alone(&self, isa: Isa, x: &[f32], modulation: Option<Affine>) -> Fitted {
        Fitted::new(self.fold(isa, self.statistics_alone(isa, x), modulation))
    }

    /// What the norm does to an image `x: [pixels, channels]`, found by all threads.
    pub fn fit(&self, isa: Isa, x: &[f32]) -> Fitted {
        let channels = self.gamma.len();
        let even = channels.div_ceil(rayon::current_num_threads().max(1));
        let part = even.next_multiple_of(PANEL);
        let sums = |totals: &mut [f32], squared| {
            let parts = totals.par_chunks_mut(part).enumerate();
            parts.for_each(|(i, totals)| {
                isa.run(ColumnSums {
                    x: &x[i * part..],
                    channels,
                    totals,
                    squared,
                });
            });
        };
        let statistics = self.statistics(x.len() / channels, sums);
        Fitted::new(self.fold(isa, statistics, None))
    }

    /// `out = silu(group_norm(x))` for `x: [height, width, channels]`, into a bordered image that
    /// a convolution reads. With a modulation it comes before the SiLU: `(1 + scale) * y + shift`.
    pub fn silu(&self, isa: Isa, x: &[f32], modulation: Option<Affine>, out: &mut Padded) {
        let fitted = self.fit_alone(isa, x, modulation);
        let [_, width, channels] = out.shape();
        for (line, x) in out.lines_mut().zip(x.chunks_exact(width * channels)) {
            fitted.apply(isa, x, true, line);
        }
    }

    /// `out = group_norm(x)` for `x: [pixels, channels]`.
    pub fn apply(&self, isa: Isa, x: &[f32], out: &mut [f32]) {
        self.fit_alone(isa, x, None).apply(isa, x, false, out);
    }
}

/// A group norm with the statistics of one image: a factor and a summand a channel, for several
/// pixels.
#[derive(Debug)]
pub struct Fitted {
    scale: Vec<f32>,
    shift: Vec<f32>,
}

impl Fitted {
    /// From [`GroupNorm::fold`], repeated to [`STRETCH`] floats or more.
    fn new([scale, shift]: [Vec<f32>; 2]) -> Self {
        let repeats = STRETCH.div_ceil(scale.len().max(1));
        Self {
            scale: scale.repeat(repeats),
            shift: shift.repeat(repeats),
        }
    }

    /// `out = group_norm(x)`, or its SiLU, for some pixels `x: [pixels, channels]` of the image.
    pub fn apply(&self, isa: Isa, x: &[f32], silu: bool, out: &mut [f32]) {
        let affine = Affine {
            scale: &self.scale,
            shift: &self.shift,
        };
        isa.run(Apply {
            x,
            affine,
            silu,
            out,
        });
    }
}

/// Folds `into`, inverse deviations and means of channels, with the weights into factors and
/// summands.
struct Fold<'a> {
    norm: &'a GroupNorm,
    modulation: Option<Affine<'a>>,
    into: [&'a mut [f32]; 2],
}

impl Kernel for Fold<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let [scales, shifts] = self.into;
        for i in 0..scales.len() {
            let mut scale = scales[i] * self.norm.gamma[i];
            let mut shift = (-shifts[i]).mul_add(scale, self.norm.beta[i]);
            if let Some(m) = self.modulation {
                let factor = 1.0 + m.scale[i];
                (scale, shift) = (scale * factor, shift.mul_add(factor, m.shift[i]));
            }
            (scales[i], shifts[i]) = (scale, shift);
        }
    }
}

/// [`column_sums`] at an instruction level.
struct ColumnSums<'a> {
    x: &'a [f32],
    channels: usize,
    totals: &'a mut [f32],
    squared: bool,
}

impl Kernel for ColumnSums<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        column_sums(self.x, self.channels, self.totals, self.squared);
    }
}

/// `totals[c] = sum over pixels of x[c]`, or of `(x[c] - totals[c])^2` if `squared`, for as many
/// of the `channels` as there are totals; `x` starts at the first of them.
#[inline(always)]
pub(super) fn column_sums(x: &[f32], channels: usize, totals: &mut [f32], squared: bool) {
    // The last pixel ends with the last total.
    let pixels = (x.len() + channels - totals.len()) / channels;
    // Four sums that take turns, so that an addition need not wait for the one before.
    let mut sums = vec![[[0.0; PANEL]; 4]; totals.len().div_ceil(PANEL)];
    // A few pixels at a time, so that memory is read in the order in which it lies.
    for first in (0..pixels).step_by(RUN) {
        let run = first..(first + RUN).min(pixels);
        for (chunk, (totals, sums)) in totals.chunks(PANEL).zip(&mut sums).enumerate() {
            let mean = if squared { load(totals) } else { [0.0; PANEL] };
            let at = |pixel: usize| &x[pixel * channels + chunk * PANEL..][..totals.len()];
            let fours = run.len() / 4 * 4;
            for turns in run.clone().take(fours).step_by(4) {
                for (turn, sum) in sums.iter_mut().enumerate() {
                    add(sum, &load(at(turns + turn)), &mean, squared);
                }
            }
            for pixel in run.clone().skip(fours) {
                add(&mut sums[0], &load(at(pixel)), &mean, squared);
            }
        }
    }
    for (totals, sums) in totals.chunks_mut(PANEL).zip(&sums) {
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
pub(super) fn spread(sums: &mut [f32], members: usize, f: impl Fn(f32) -> f32) {
    for group in sums.chunks_exact_mut(members) {
        let value = f(group.iter().fold(0.0, |a, b| a + b));
        group.fill(value);
    }
}

/// `out = scale * x + shift`, then SiLU if asked; `affine` is repeated for several pixels.
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
        let stretch = self.affine.scale.len();
        let outs = self.out.chunks_mut(stretch);
        for (x, out) in self.x.chunks(stretch).zip(outs) {
            let [scale, shift] = [self.affine.scale, self.affine.shift].map(|s| &s[..x.len()]);
            let affine = x.iter().zip(scale).zip(shift);
            for (out, ((x, scale), shift)) in out.iter_mut().zip(affine) {
                let y = x.mul_add(*scale, *shift);
                *out = if self.silu { silu_one(y) } else { y };
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::buffer::Arena;
    use crate::nn::testing::{assert_close, same_on_every_isa, standardised, wave};

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
}
