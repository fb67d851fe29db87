//! The operations backwards: from a cotangent of what an operation gave to one of what it was
//! given (a vector-Jacobian product). Weights are constants.
//!
//! Products of matrices are the forward ones with [`PackedWeight::back`]. Like forwards, each
//! output is computed in one fixed order of exactly rounded operations.

mod group_norm;

use super::activation::{exp2_one, reciprocal_one, softmax};
use super::attention::{Attention, Tokens};
use super::buffer::Arena;
use super::conv::{Conv3x3, Padded};
use super::gemm::{Epilogue, PackedWeight, Windows};
use super::isa::{Isa, Kernel};
use super::lanes::{PANEL, sum, sum_of_squares, tree};
pub use group_norm::{group_norm, group_norm_silu};
use std::f32::consts::LOG2_E;

/// Of a linear layer on rows: a cotangent `[rows, outputs]` to one of its input `[rows, inputs]`.
pub fn linear(isa: Isa, layer: &PackedWeight, cotangent: &[f32]) -> Vec<f32> {
    let back = layer.back();
    let rows = Windows::rows(cotangent, back.inputs());
    let mut into = vec![0.0; rows.count * back.outputs()];
    back.apply(isa, rows, &mut into, Epilogue::Store);
    into
}

/// Of a convolution of an image of `height` and `width`: a cotangent `[h', w', outputs]` to one
/// of the image. Outputs that are `stride` pixels apart are put there, with zeros between.
pub fn conv3x3(
    isa: Isa,
    arena: &mut Arena,
    conv: &Conv3x3,
    [height, width]: [usize; 2],
    cotangent: &[f32],
) -> Vec<f32> {
    let back = conv.back();
    let mut padded = Padded::take(arena, [height, width, conv.outputs()]);
    padded.fill_apart(cotangent, conv.stride());
    let mut into = vec![0.0; height * width * back.outputs()];
    back.apply(isa, &padded, &mut into, Epilogue::Store);
    padded.give(arena);
    into
}

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
    let square = x * x;
    let s = 1.0 / (1.0 + exp2_one(x * square.mul_add(CUBIC, LINEAR) * -LOG2_E));
    let rise = square.mul_add(3.0 * CUBIC, LINEAR);
    (x * (s * (1.0 - s))).mul_add(rise, s)
}

/// Of [`super::activation::silu`], whose input was `x`: `cotangent *= silu'(x)`.
pub fn silu(isa: Isa, x: &[f32], cotangent: &mut [f32]) {
    isa.run(Silu { x, cotangent });
}

struct Silu<'a> {
    x: &'a [f32],
    cotangent: &'a mut [f32],
}

impl Kernel for Silu<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        for (d, &x) in self.cotangent.iter_mut().zip(self.x) {
            *d *= silu_slope(x);
        }
    }
}

/// The derivative of `x s`, `s = 1 / (1 + e^-x)`: `s + x s (1 - s)`.
#[inline(always)]
fn silu_slope(x: f32) -> f32 {
    let s = reciprocal_one(1.0 + exp2_one(x * -LOG2_E));
    (x * (1.0 - s)).mul_add(s, s)
}

/// Of attention of tokens to themselves, without a bias: a cotangent `[tokens, heads * dim]` to
/// one of queries, keys and values, `[tokens, q | k | v]`.
///
/// ```text
/// dV = P^T dO,  dS = P (dP - sum(P dP)) scale,  dP = dO V^T,  dQ = dS K,  dK = dS^T Q
/// ```
pub fn attention(isa: Isa, of: &Attention, cotangent: &[f32], into: &mut [f32]) {
    let (dim, width) = (of.head_dim, of.heads * of.head_dim);
    into.fill(0.0);
    for_keys(isa, of, cotangent, |head, query, key, [p, s]| {
        let start = |token: usize, part: usize| (token * 3 + part) * width + head * dim;
        let d = &cotangent[query * width + head * dim..][..dim];
        let [q, k] = [(of.q, query), (of.k, key)].map(|(of, at)| features(of, at, head, dim));
        add(s, k, &mut into[start(query, 0)..][..dim]);
        add(s, q, &mut into[start(key, 1)..][..dim]);
        add(p, d, &mut into[start(key, 2)..][..dim]);
    });
}

/// The same where keys and values are constants: to one of queries, `[queries, heads * dim]`.
pub fn attention_to_constants(isa: Isa, of: &Attention, cotangent: &[f32], into: &mut [f32]) {
    let (dim, width) = (of.head_dim, of.heads * of.head_dim);
    into.fill(0.0);
    for_keys(isa, of, cotangent, |head, query, key, [_, s]| {
        let into = &mut into[query * width + head * dim..][..dim];
        add(s, features(of.k, key, head, dim), into);
    });
}

/// Calls `visit(head, query, key, [weight, slope of the score])`, keys innermost.
fn for_keys(
    isa: Isa,
    of: &Attention,
    cotangent: &[f32],
    mut visit: impl FnMut(usize, usize, usize, [f32; 2]),
) {
    let (dim, width) = (of.head_dim, of.heads * of.head_dim);
    let keys = of.k.count;
    let (mut p, mut slope) = (vec![0.0; keys], vec![0.0; keys]);
    for head in 0..of.heads {
        for query in 0..of.q.count {
            let d = &cotangent[query * width + head * dim..][..dim];
            let q = features(of.q, query, head, dim);
            for key in 0..keys {
                p[key] = dot(q, features(of.k, key, head, dim));
                slope[key] = dot(d, features(of.v, key, head, dim));
            }
            softmax(isa, &mut p, keys, of.scale);
            let mean = dot(&p, &slope);
            for key in 0..keys {
                let s = p[key] * (slope[key] - mean) * of.scale;
                visit(head, query, key, [p[key], s]);
            }
        }
    }
}

/// What a token has for a head.
fn features(tokens: Tokens<'_>, token: usize, head: usize, dim: usize) -> &[f32] {
    &tokens.data[token * tokens.stride + head * dim..][..dim]
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
    use crate::nn::attention::usual_scale;
    use crate::nn::norm::Affine;
    use crate::nn::testing::{assert_close, same_on_every_isa, wave};
    use crate::nn::{activation, norm, resample};

    /// Central differences of `cotangent . forward(x)`, which is smooth around `x`.
    pub(super) fn differences(
        x: &[f32],
        cotangent: &[f32],
        forward: impl Fn(&[f32]) -> Vec<f32>,
    ) -> Vec<f64> {
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
    pub(super) const CLOSE: f64 = 2e-4;

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
    fn activations_are_what_differences_say() {
        type There = fn(Isa, &mut [f32]);
        type Back = fn(Isa, &[f32], &mut [f32]);
        let pairs: [(There, Back); 2] = [(activation::gelu, gelu), (activation::silu, silu)];
        let (x, d) = (wave(200, 4.0), wave(200, 1.0));
        for (there, back) in pairs {
            let forward = |x: &[f32]| {
                let mut y = x.to_vec();
                there(Isa::PLAIN, &mut y);
                y
            };
            let got = same_on_every_isa(|isa| {
                let mut got = d.clone();
                back(isa, &x, &mut got);
                got
            });
            assert_close(&got, &differences(&x, &d, forward), CLOSE);
        }
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
            attention(isa, &Attention::packed(&qkv, heads, dim), &d, &mut got);
            got
        });
        assert_close(&got, &differences(&qkv, &d, forward), CLOSE);
    }

    /// Of queries `[queries, 2 * 3]` to `[keys, 2 * 2 * 3]`, by two heads.
    fn crossed<'a>(q: &'a [f32], kv: &'a [f32]) -> Attention<'a> {
        let tokens = |data: &'a [f32], count, stride| Tokens {
            data,
            count,
            stride,
        };
        Attention {
            q: tokens(q, q.len() / 6, 6),
            k: tokens(kv, kv.len() / 12, 12),
            v: tokens(&kv[6..], kv.len() / 12, 12),
            heads: 2,
            head_dim: 3,
            scale: usual_scale(3),
            bias: None,
            order: None,
        }
    }

    #[test]
    fn attention_to_constants_is_what_differences_say() {
        let (q, kv, d) = (wave(4 * 6, 1.2), wave(7 * 12, 1.1), wave(4 * 6, 1.0));
        let forward = |q: &[f32]| {
            let mut out = vec![0.0; q.len()];
            crossed(q, &kv).apply(Isa::PLAIN, &mut Arena::default(), &mut out);
            out
        };
        let got = same_on_every_isa(|isa| {
            let mut got = vec![f32::NAN; q.len()];
            attention_to_constants(isa, &crossed(&q, &kv), &d, &mut got);
            got
        });
        assert_close(&got, &differences(&q, &d, forward), CLOSE);
    }

    /// `d . f(x) = back(d) . x` for a linear `f`; taps that are not mirrored, or pixels that are
    /// put one further, give another number altogether.
    fn assert_adjoint(there: &[f32], d: &[f32], back: &[f32], x: &[f32]) {
        let product = |a: &[f32], b: &[f32]| -> f64 {
            assert_eq!(a.len(), b.len());
            let products = a.iter().zip(b);
            products.map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
        };
        let (left, right) = (product(there, d), product(back, x));
        assert!((left / right - 1.0).abs() < 1e-5, "{left} and {right}");
    }

    #[test]
    fn convolutions_and_linear_layers_go_back_by_their_adjoints() {
        let mut arena = Arena::default();
        for ([height, width, channels], outputs, stride) in
            [([5, 7, 3], 4, 1), ([6, 8, 5], 16, 2), ([7, 5, 4], 3, 2)]
        {
            let weight = wave(outputs * channels * 9, 1.0);
            let conv = Conv3x3::new(&weight, &[], channels, stride);
            let [lines, columns] = conv.output_size([height, width]);
            let x = wave(height * width * channels, 1.0);
            let d = wave(lines * columns * outputs, 1.5);
            let mut image = Padded::take(&mut arena, [height, width, channels]);
            image.fill(&x);
            let mut there = vec![0.0; d.len()];
            conv.apply(Isa::PLAIN, &image, &mut there, Epilogue::Store);
            image.give(&mut arena);
            let back = same_on_every_isa(|isa| {
                conv3x3(isa, &mut Arena::default(), &conv, [height, width], &d)
            });
            assert_adjoint(&there, &d, &back, &x);
        }
        let layer = PackedWeight::new(&wave(5 * 18, 1.0), &[], 5, 18);
        let (x, d) = (wave(3 * 18, 1.0), wave(3 * 5, 1.5));
        let mut there = vec![0.0; 3 * 5];
        layer.apply(
            Isa::PLAIN,
            Windows::rows(&x, 18),
            &mut there,
            Epilogue::Store,
        );
        assert_adjoint(&there, &d, &linear(Isa::PLAIN, &layer, &d), &x);
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
