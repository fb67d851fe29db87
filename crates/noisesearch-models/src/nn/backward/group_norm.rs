//! Group norm backwards.

use super::silu_slope;
use crate::nn::group_norm::{GroupNorm, spread};
use crate::nn::isa::{Isa, Kernel};
use crate::nn::norm::Affine;

/// Of [`GroupNorm::apply`], whose input was `x: [pixels, channels]`: adds
/// `e - mean(e) - n mean(e n)` to `into`, where `n` is the normalised image, means are over a
/// group, and `e` is the cotangent times what the norm multiplies a channel of `x` by.
pub fn group_norm(isa: Isa, norm: &GroupNorm, x: &[f32], cotangent: &[f32], into: &mut [f32]) {
    back(isa, norm, [x, cotangent], None, false, into);
}

/// Of [`GroupNorm::silu`], whose input was `x: [pixels, channels]`: the same, with a cotangent
/// times the slope of the SiLU.
pub fn group_norm_silu(
    isa: Isa,
    norm: &GroupNorm,
    x: &[f32],
    modulation: Option<Affine>,
    cotangent: &[f32],
    into: &mut [f32],
) {
    back(isa, norm, [x, cotangent], modulation, true, into);
}

fn back(
    isa: Isa,
    norm: &GroupNorm,
    [x, cotangent]: [&[f32]; 2],
    modulation: Option<Affine>,
    silu: bool,
    into: &mut [f32],
) {
    let statistics = norm.statistics_alone(isa, x);
    let [inverses, means] = &statistics;
    let [scale, shift] = norm.fold(isa, statistics.clone(), modulation);
    isa.run(Back {
        x,
        cotangent,
        inverses,
        means,
        scale: &scale,
        shift: &shift,
        silu,
        members: norm.members(),
        into,
    });
}

/// The way back; what is not an image is one number a channel.
struct Back<'a> {
    x: &'a [f32],
    cotangent: &'a [f32],
    inverses: &'a [f32],
    means: &'a [f32],
    scale: &'a [f32],
    shift: &'a [f32],
    silu: bool,
    /// Channels of a group.
    members: usize,
    into: &'a mut [f32],
}

impl Kernel for Back<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let channels = self.scale.len();
        let size = (self.x.len() / channels * self.members) as f32;
        let mut e = vec![0.0; self.x.len()];
        let (mut mean, mut slope) = (vec![0.0; channels], vec![0.0; channels]);
        let normal = |c: usize, x: f32| (x - self.means[c]) * self.inverses[c];
        let pixels = self.x.chunks_exact(channels);
        let given = pixels.zip(self.cotangent.chunks_exact(channels));
        for ((x, cotangent), e) in given.zip(e.chunks_exact_mut(channels)) {
            for c in 0..channels {
                let y = x[c].mul_add(self.scale[c], self.shift[c]);
                let bend = if self.silu { silu_slope(y) } else { 1.0 };
                e[c] = cotangent[c] * bend * self.scale[c];
                mean[c] += e[c];
                slope[c] += e[c] * normal(c, x[c]);
            }
        }
        spread(&mut mean, self.members, |total| total / size);
        spread(&mut slope, self.members, |total| total / size);
        let pixels = self.x.chunks_exact(channels).zip(e.chunks_exact(channels));
        for ((x, e), into) in pixels.zip(self.into.chunks_exact_mut(channels)) {
            for c in 0..channels {
                into[c] += e[c] - mean[c] - normal(c, x[c]) * slope[c];
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::backward::tests::{CLOSE, differences};
    use crate::nn::buffer::Arena;
    use crate::nn::conv::Padded;
    use crate::nn::testing::{assert_close, same_on_every_isa, wave};

    const SHAPE: [usize; 3] = [3, 2, 24];
    const FLOATS: usize = 3 * 2 * 24;

    fn norm() -> GroupNorm {
        GroupNorm::new(wave(24, 1.5), wave(24, 0.5), 4, 1e-2)
    }

    #[test]
    fn it_is_what_differences_say() {
        let (x, d) = (wave(FLOATS, 2.0), wave(FLOATS, 1.0));
        let forward = |x: &[f32]| {
            let mut out = vec![0.0; FLOATS];
            norm().apply(Isa::PLAIN, x, &mut out);
            out
        };
        let got = same_on_every_isa(|isa| {
            let mut got = vec![0.0; FLOATS];
            group_norm(isa, &norm(), &x, &d, &mut got);
            got
        });
        assert_close(&got, &differences(&x, &d, forward), CLOSE);
    }

    #[test]
    fn with_silu_it_is_what_differences_say_and_is_added() {
        let (x, d) = (wave(FLOATS, 2.0), wave(FLOATS, 1.0));
        let (scale, shift) = (wave(24, 0.7), wave(24, 0.3));
        let modulated = Affine {
            scale: &scale,
            shift: &shift,
        };
        for modulation in [None, Some(modulated)] {
            let forward = |x: &[f32]| {
                let mut out = Padded::take(&mut Arena::default(), SHAPE);
                norm().silu(Isa::PLAIN, x, modulation, &mut out);
                out.lines_mut().flat_map(|line| line.to_vec()).collect()
            };
            let got = same_on_every_isa(|isa| {
                let mut got = x.clone();
                group_norm_silu(isa, &norm(), &x, modulation, &d, &mut got);
                got
            });
            let slopes = differences(&x, &d, forward).into_iter();
            let want: Vec<f64> = slopes.zip(&x).map(|(d, x)| d + f64::from(*x)).collect();
            assert_close(&got, &want, CLOSE);
        }
    }
}
