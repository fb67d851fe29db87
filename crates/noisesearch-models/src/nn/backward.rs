//! The operations backwards: from a cotangent of what an operation gave to one of what it was
//! given (a vector-Jacobian product). Weights are constants.
//!
//! Products of matrices are the forward ones with [`super::gemm::PackedWeight::transposed`]. Like
//! forwards, each output is computed in one fixed order of exactly rounded operations.

use super::activation::{exp2_one, softmax};
use super::attention::usual_scale;
use super::isa::{Isa, Kernel};
use super::lanes::{PANEL, sum, sum_of_squares, tree};

/// Of [`super::norm::layer_norm_modulated`], whose input was `x: [rows, channels]`: adds
/// `(d - mean(d) - n mean(d n)) / sqrt(var + eps)` to `into`, where `n` is the normalised row and
/// `d = cotangent (1 + scale)`.
pub fn layer_norm_modulated(
    x: &[f32],
    eps: f32,
    scale: &[f32],
    cotangent: &[f32],
    into: &mut [f32],
) {
    let channels = scale.len();
    let size = channels as f32;
    let (mut normal, mut d) = (vec![0.0; channels], vec![0.0; channels]);
    let rows = x
        .chunks_exact(channels)
        .zip(cotangent.chunks_exact(channels));
    for ((x, cotangent), into) in rows.zip(into.chunks_exact_mut(channels)) {
        let mean = sum(x) / size;
        let inverse = 1.0 / (sum_of_squares(x, mean) / size + eps).sqrt();
        for i in 0..channels {
            normal[i] = (x[i] - mean) * inverse;
            d[i] = cotangent[i] * (1.0 + scale[i]);
        }
        let mean = sum(&d) / size;
        let slope = dot(&d, &normal) / size;
        for i in 0..channels {
            into[i] += (d[i] - mean - normal[i] * slope) * inverse;
        }
    }
}

/// Of [`super::activation::gelu`], whose input was `x`: `cotangent *= gelu'(x)`.
pub fn gelu(isa: Isa, x: &[f32], cotangent: &mut [f32]) {
    isa.run(Gelu { x, cotangent });
}

struct Gelu<'a> {
    x: &'a [f32],
    cotangent: &'a mut [f32],
}

impl Kernel for Gelu<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        for (d, &x) in self.cotangent.iter_mut().zip(self.x) {
            *d *= gelu_slope(x);
        }
    }
}

/// The derivative of `x s`, `s = 1 / (1 + e^-v)`, `v = 2 sqrt(2/pi) (x + 0.044715 x^3)`:
/// `s + x s (1 - s) v'`.
#[inline(always)]
fn gelu_slope(x: f32) -> f32 {
    const LINEAR: f32 = 1.595_769; // 2 sqrt(2/pi)
    const CUBIC: f32 = LINEAR * 0.044_715;
    const LOG2_E: f32 = std::f32::consts::LOG2_E;
    let square = x * x;
    let s = 1.0 / (1.0 + exp2_one(x * square.mul_add(CUBIC, LINEAR) * -LOG2_E));
    let rise = square.mul_add(3.0 * CUBIC, LINEAR);
    (x * (s * (1.0 - s))).mul_add(rise, s)
}

/// Of self-attention on `qkv: [tokens, 3 * heads * dim]` (`nn::attention::Attention::packed`): a
/// cotangent `[tokens, heads * dim]` to one of `qkv`.
///
/// ```text
/// dV = P^T dO,  dS = P (dP - sum(P dP)) scale,  dP = dO V^T,  dQ = dS K,  dK = dS^T Q
/// ```
pub fn attention(
    isa: Isa,
    qkv: &[f32],
    [heads, dim]: [usize; 2],
    cotangent: &[f32],
    into: &mut [f32],
) {
    let (width, scale) = (heads * dim, usual_scale(dim));
    let tokens = cotangent.len() / width;
    into.fill(0.0);
    let (mut p, mut slope) = (vec![0.0; tokens], vec![0.0; tokens]);
    for head in 0..heads {
        let start = |token: usize, part: usize| (token * 3 + part) * width + head * dim;
        let of = |token: usize, part: usize| &qkv[start(token, part)..][..dim];
        for query in 0..tokens {
            let d = &cotangent[query * width + head * dim..][..dim];
            for key in 0..tokens {
                p[key] = dot(of(query, 0), of(key, 1));
                slope[key] = dot(d, of(key, 2));
            }
            softmax(isa, &mut p, tokens, scale);
            let mean = dot(&p, &slope);
            for key in 0..tokens {
                let s = p[key] * (slope[key] - mean) * scale;
                add(s, of(key, 1), &mut into[start(query, 0)..][..dim]);
                add(s, of(query, 0), &mut into[start(key, 1)..][..dim]);
                add(p[key], d, &mut into[start(key, 2)..][..dim]);
            }
        }
    }
}

/// Of a ReLU that gave `y`: nothing passes where it gave 0.
pub fn relu(y: &[f32], cotangent: &mut [f32]) {
    for (d, &y) in cotangent.iter_mut().zip(y) {
        *d = if y > 0.0 { *d } else { 0.0 };
    }
}

/// Of [`super::resample::average_pool`], whose input had this shape: a quarter to each pixel.
pub fn average_pool([height, width, channels]: [usize; 3], cotangent: &[f32], into: &mut [f32]) {
    for_pools([height, width, channels], |block, pixels| {
        pixels
            .iter()
            .for_each(|&pixel| into[pixel] = 0.25 * cotangent[block]);
    });
}

/// Of [`super::resample::max_pool`], whose input was `x` of this shape: all to the pixel that was
/// taken, the first in reading order of those that are equal.
pub fn max_pool(x: &[f32], shape: [usize; 3], cotangent: &[f32], into: &mut [f32]) {
    into.fill(0.0);
    for_pools(shape, |block, pixels| {
        let larger = |a: usize, b: usize| if x[b] > x[a] { b } else { a };
        let [a, b, c, d] = pixels;
        into[larger(larger(a, b), larger(c, d))] = cotangent[block];
    });
}

/// Calls `visit(place in the small image, the four places in the large one)`.
fn for_pools([height, width, channels]: [usize; 3], mut visit: impl FnMut(usize, [usize; 4])) {
    for y in 0..height / 2 {
        for x in 0..width / 2 {
            for c in 0..channels {
                let at = |dy, dx| ((2 * y + dy) * width + 2 * x + dx) * channels + c;
                let block = (y * (width / 2) + x) * channels + c;
                visit(block, [at(0, 0), at(0, 1), at(1, 0), at(1, 1)]);
            }
        }
    }
}

/// Sum of products, in the order of [`sum`].
fn dot(a: &[f32], b: &[f32]) -> f32 {
    let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<PANEL>(), b.as_chunks::<PANEL>());
    let mut lanes = [0.0; PANEL];
    for (lane, (a, b)) in lanes.iter_mut().zip(a_rest.iter().zip(b_rest)) {
        *lane = a * b;
    }
    for (a, b) in a.iter().zip(b) {
        for j in 0..PANEL {
            lanes[j] += a[j] * b[j];
        }
    }
    tree(lanes)
}

/// `into += factor x`.
fn add(factor: f32, x: &[f32], into: &mut [f32]) {
    into.iter_mut().zip(x).for_each(|(y, x)| *y += factor * x);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::attention::Attention;
    use crate::nn::buffer::Arena;
    use crate::nn::norm::Affine;
    use crate::nn::testing::{assert_close, same_on_every_isa, wave};
    use crate::nn::{activation, norm, resample};

    /// Central differences of `cotangent . forward(x)`, which is smooth around `x`.
    fn differences(x: &[f32], cotangent: &[f32], forward: impl Fn(&[f32]) -> Vec<f32>) -> Vec<f64> {
        const STEP: f32 = 1.0 / 128.0;
        let at = |i: usize, step: f32| -> f64 {
            let mut x = x.to_vec();
            x[i] += step;
            let y = forward(&x);
            let products = y.iter().zip(cotangent);
            products.map(|(y, d)| f64::from(*y) * f64::from(*d)).sum()
        };
        // Fourth order: the error is that of rounding.
        let one = |i: usize, h: f32| (at(i, h) - at(i, -h)) / f64::from(2.0 * h);
        let slope = |i| (4.0 * one(i, STEP) - one(i, 2.0 * STEP)) / 3.0;
        (0..x.len()).map(slope).collect()
    }

    /// Tolerance of the differences, seen to fail (7e-4 and more) in each rule when one term of it
    /// is a hundredth too large.
    const CLOSE: f64 = 2e-4;

    #[test]
    fn layer_norm_is_what_differences_say() {
        let (x, scale, d) = (wave(3 * 21, 1.0), wave(21, 0.5), wave(3 * 21, 1.5));
        let forward = |x: &[f32]| {
            let (mut out, shift) = (vec![0.0; x.len()], vec![0.3; 21]);
            let affine = Affine {
                scale: &scale,
                shift: &shift,
            };
            norm::layer_norm_modulated(Isa::PLAIN, x, 1e-2, affine, &mut out);
            out
        };
        let mut got = vec![0.0; x.len()];
        layer_norm_modulated(&x, 1e-2, &scale, &d, &mut got);
        assert_close(&got, &differences(&x, &d, forward), CLOSE);
    }

    #[test]
    fn gelu_is_what_differences_say() {
        let (x, d) = (wave(200, 4.0), wave(200, 1.0));
        let forward = |x: &[f32]| {
            let mut y = x.to_vec();
            activation::gelu(Isa::PLAIN, &mut y);
            y
        };
        let got = same_on_every_isa(|isa| {
            let mut got = d.clone();
            gelu(isa, &x, &mut got);
            got
        });
        assert_close(&got, &differences(&x, &d, forward), CLOSE);
    }

    #[test]
    fn attention_is_what_differences_say() {
        let (tokens, heads, dim) = (5, 2, 3);
        let width = heads * dim;
        let (qkv, d) = (wave(tokens * 3 * width, 1.2), wave(tokens * width, 1.0));
        let forward = |qkv: &[f32]| {
            let mut out = vec![0.0; tokens * width];
            let mut arena = Arena::default();
            Attention::packed(qkv, heads, dim).apply(Isa::PLAIN, &mut arena, &mut out);
            out
        };
        let got = same_on_every_isa(|isa| {
            let mut got = vec![f32::NAN; qkv.len()];
            attention(isa, &qkv, [heads, dim], &d, &mut got);
            got
        });
        assert_close(&got, &differences(&qkv, &d, forward), CLOSE);
    }

    #[test]
    fn pools_and_relu_are_what_differences_say() {
        let shape = [4, 6, 3];
        // Numbers that are a tenth apart: no step makes another pixel the largest.
        let x: Vec<f32> = (0..72).map(|i| (i * 29 % 72) as f32 * 0.1).collect();
        let d = wave(18, 1.0);
        let forward = |pool: fn(&[f32], [usize; 3], &mut [f32])| {
            move |x: &[f32]| {
                let mut out = vec![0.0; 18];
                pool(x, shape, &mut out);
                out
            }
        };
        let mut got = vec![f32::NAN; 72];
        average_pool(shape, &d, &mut got);
        assert_close(
            &got,
            &differences(&x, &d, forward(resample::average_pool)),
            CLOSE,
        );
        max_pool(&x, shape, &d, &mut got);
        assert_close(
            &got,
            &differences(&x, &d, forward(resample::max_pool)),
            CLOSE,
        );
        let mut passed = vec![1.0; 4];
        relu(&[0.0, 2.0, 0.0, 1.0], &mut passed);
        assert_eq!(passed, [0.0, 1.0, 0.0, 1.0]);
        // Equal pixels: the first is taken, as in PyTorch.
        let mut equal = vec![f32::NAN; 4];
        max_pool(&[3.0; 4], [2, 2, 1], &[5.0], &mut equal);
        assert_eq!(equal, [5.0, 0.0, 0.0, 0.0]);
    }
}
