//! Elementwise functions and softmax, from exactly rounded operations only.
//!
//! The platform's `exp` and `tanh` differ from machine to machine; these do not.

use super::isa::{Isa, Kernel};
use super::lanes::{PANEL, sum};
use std::f32::consts::{FRAC_1_SQRT_2, LN_2, LOG2_E};

/// Adding it rounds a small float to an integer, which then stands in the low mantissa bits.
const ROUND: f32 = 12_582_912.0;
/// `2^f` on `[-0.5, 0.5]`, minimax with relative error 2e-9 before rounding, highest power first.
const EXP2: [f32; 6] = [
    0.000_153_458_12,
    0.001_339_993_1,
    0.009_618_489,
    0.055_503_286,
    0.240_226_46,
    LN_2,
];

/// `2^t`, relative error under 2e-7; held at `2^±125` beyond. NaN stays NaN.
#[inline(always)]
pub(crate) fn exp2_one(t: f32) -> f32 {
    let t = if t < -125.0 { -125.0 } else { t };
    let t = if t > 125.0 { 125.0 } else { t };
    let shifted = t + ROUND;
    let f = t - (shifted - ROUND);
    let mut p = EXP2[0];
    p = p.mul_add(f, EXP2[1]);
    p = p.mul_add(f, EXP2[2]);
    p = p.mul_add(f, EXP2[3]);
    p = p.mul_add(f, EXP2[4]);
    p = p.mul_add(f, EXP2[5]);
    p = p.mul_add(f, 1.0);
    // The integer part goes into the exponent: 2^n has the bits (n + 127) << 23.
    p * f32::from_bits((shifted.to_bits() << 23).wrapping_add(0x3f80_0000))
}

/// `1 / x` for `x` in `1..2^126`, relative error under 2e-7: three of Newton's steps from a guess
/// that reverses the exponent. A division takes several times as long.
#[inline(always)]
pub(crate) fn reciprocal_one(x: f32) -> f32 {
    const REVERSED: u32 = 0x7ef3_11c7;
    let mut r = f32::from_bits(REVERSED.wrapping_sub(x.to_bits()));
    for _ in 0..3 {
        r = (-x).mul_add(r, 1.0).mul_add(r, r);
    }
    r
}

/// `x / (1 + e^-x)`.
#[inline(always)]
pub(crate) fn silu_one(x: f32) -> f32 {
    x * reciprocal_one(1.0 + exp2_one(x * -LOG2_E))
}

/// `x/2 (1 + tanh u) = x / (1 + e^-2u)` with `u = sqrt(2/pi) (x + 0.044715 x^3)`.
#[inline(always)]
pub(crate) fn gelu_one(x: f32) -> f32 {
    const LINEAR: f32 = -2.302_208_2; // -2 log2(e) sqrt(2/pi)
    const CUBIC: f32 = LINEAR * 0.044_715;
    x * reciprocal_one(1.0 + exp2_one(x * (x * x).mul_add(CUBIC, LINEAR)))
}

/// `x = silu(x)` for every element.
pub fn silu(isa: Isa, x: &mut [f32]) {
    Activation::Silu.apply(isa, x);
}

/// `x = gelu(x)` for every element, in its tanh form.
pub fn gelu(isa: Isa, x: &mut [f32]) {
    Activation::GeluTanh.apply(isa, x);
}

/// `erf(x)` from a rational function of degrees 13 and 8, absolute error under 3e-7; the
/// coefficients are those of Eigen's and XLA's single-precision `erf`.
#[inline(always)]
fn erf_one(x: f32) -> f32 {
    const TOP: [f32; 7] = [
        -2.726_142_3e-10,
        2.770_681_4e-8,
        -2.101_024e-6,
        -5.692_506_3e-5,
        -7.349_906e-4,
        -2.954_6e-3,
        -1.609_603_4e-2,
    ];
    const BOTTOM: [f32; 5] = [
        -1.456_607_2e-5,
        -2.133_740_5e-4,
        -1.682_827e-3,
        -7.373_329_4e-3,
        -1.426_473_9e-2,
    ];
    let x = if x < -4.0 { -4.0 } else { x };
    let x = if x > 4.0 { 4.0 } else { x };
    let square = x * x;
    let (mut top, mut bottom) = (TOP[0], BOTTOM[0]);
    for &c in &TOP[1..] {
        top = top.mul_add(square, c);
    }
    for &c in &BOTTOM[1..] {
        bottom = bottom.mul_add(square, c);
    }
    x * top / bottom
}

/// What follows a linear layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// `x / (1 + e^-x)`, also called swish.
    Silu,
    /// `x/2 (1 + erf(x / sqrt 2))`, PyTorch's default GELU.
    Gelu,
    /// The same with `tanh(sqrt(2/pi) (x + 0.044715 x^3))` for `erf`; also called `gelu_new`.
    GeluTanh,
    /// `x / (1 + e^(-1.702 x))`, of OpenAI's CLIP.
    QuickGelu,
    /// `max(x, 0)`.
    Relu,
}

impl Activation {
    /// `x = f(x)` for every element.
    pub fn apply(self, isa: Isa, x: &mut [f32]) {
        isa.run(Each { x, f: self });
    }
}

struct Each<'a> {
    x: &'a mut [f32],
    f: Activation,
}

impl Kernel for Each<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        match self.f {
            Activation::Silu => self.x.iter_mut().for_each(|x| *x = silu_one(*x)),
            Activation::GeluTanh => self.x.iter_mut().for_each(|x| *x = gelu_one(*x)),
            Activation::Gelu => {
                let f = |x: f32| 0.5 * x * (1.0 + erf_one(x * FRAC_1_SQRT_2));
                self.x.iter_mut().for_each(|x| *x = f(*x));
            }
            Activation::QuickGelu => {
                let f = |x: f32| x * reciprocal_one(1.0 + exp2_one(x * (-1.702 * LOG2_E)));
                self.x.iter_mut().for_each(|x| *x = f(*x));
            }
            Activation::Relu => {
                let f = |x: f32| if x < 0.0 { 0.0 } else { x };
                self.x.iter_mut().for_each(|x| *x = f(*x));
            }
        }
    }
}

/// Each row of `x: [rows, cols]` becomes `softmax(scale * row)`; `scale > 0`.
pub fn softmax(isa: Isa, x: &mut [f32], cols: usize, scale: f32) {
    isa.run(Softmax { x, cols, scale });
}

struct Softmax<'a> {
    x: &'a mut [f32],
    cols: usize,
    scale: f32,
}

impl Kernel for Softmax<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        for row in self.x.chunks_exact_mut(self.cols) {
            softmax_row(row, self.scale * LOG2_E);
        }
    }
}

/// `row = 2^(scale (row - max)) / sum`.
#[inline(always)]
fn softmax_row(row: &mut [f32], scale: f32) {
    let mut tops = [f32::NEG_INFINITY; PANEL];
    let (chunks, rest) = row.as_chunks::<PANEL>();
    for chunk in chunks {
        for j in 0..PANEL {
            tops[j] = if chunk[j] > tops[j] {
                chunk[j]
            } else {
                tops[j]
            };
        }
    }
    for &x in rest {
        tops[0] = if x > tops[0] { x } else { tops[0] };
    }
    let top = tops
        .into_iter()
        .fold(f32::NEG_INFINITY, |a, b| if b > a { b } else { a });
    let offset = -(top * scale);
    for x in row.iter_mut() {
        *x = exp2_one(x.mul_add(scale, offset));
    }
    let inverse = 1.0 / sum(row);
    for x in row.iter_mut() {
        *x *= inverse;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// With two steps the error is 3e-5.
    #[test]
    fn reciprocals_follow_division() {
        for i in 0..2_000_000_u32 {
            let x = f32::from_bits(0x3f80_0000 + i * 527);
            let error = f64::from(reciprocal_one(x)) * f64::from(x) - 1.0;
            assert!(error.abs() < 2e-7, "{x}: {error:.1e}");
        }
        assert!(reciprocal_one(f32::NAN).is_nan());
    }
    use crate::nn::testing::{assert_close, same_on_every_isa, wave};

    #[test]
    fn exp2_is_accurate_and_exact_at_integers() {
        for i in -1250..=1250 {
            let t = i as f32 * 0.1;
            let (got, want) = (f64::from(exp2_one(t)), f64::from(t).exp2());
            assert!((got / want - 1.0).abs() < 2e-7, "2^{t}: {got} {want}");
        }
        assert_eq!(
            (exp2_one(0.0), exp2_one(7.0), exp2_one(-3.0)),
            (1.0, 128.0, 0.125)
        );
        assert!(exp2_one(f32::NAN).is_nan() && exp2_one(1e30).is_finite());
        assert!(exp2_one(f32::NEG_INFINITY) < 1e-37);
    }

    #[test]
    fn silu_and_gelu_follow_their_formulas() {
        let x: Vec<f32> = (-120..=120).map(|i| i as f32 * 0.1).collect();
        let got = same_on_every_isa(|isa| {
            let mut y = [x.clone(), x.clone()];
            silu(isa, &mut y[0]);
            gelu(isa, &mut y[1]);
            y.concat()
        });
        let wide = x.iter().map(|&x| f64::from(x));
        let gelu = |x: f64| {
            let u = (2.0 / std::f64::consts::PI).sqrt() * (x + 0.044715 * x * x * x);
            0.5 * x * (1.0 + u.tanh())
        };
        let silu = |x: f64| x / (1.0 + (-x).exp());
        let want = wide.clone().map(silu).chain(wide.map(gelu));
        for (i, (got, want)) in got.iter().zip(want).enumerate() {
            let error = (f64::from(*got) - want).abs() / want.abs().max(0.1);
            assert!(error < 4e-7, "element {i}: {got} for {want}");
        }
    }

    #[test]
    fn activations_follow_their_formulas() {
        let x: Vec<f32> = (-120..=120).map(|i| i as f32 * 0.1).collect();
        type Plain = fn(f64) -> f64;
        let cases: [(Activation, Plain); 3] = [
            (Activation::Gelu, |x| {
                0.5 * x * (1.0 + libm::erf(x / 2.0f64.sqrt()))
            }),
            (Activation::QuickGelu, |x| x / (1.0 + (-1.702 * x).exp())),
            (Activation::Relu, |x| x.max(0.0)),
        ];
        for (activation, plain) in cases {
            let got = same_on_every_isa(|isa| {
                let mut y = x.clone();
                activation.apply(isa, &mut y);
                y
            });
            for (x, got) in x.iter().zip(got) {
                let want = plain(f64::from(*x));
                let error = (f64::from(got) - want).abs() / f64::from(x.abs()).max(1.0);
                assert!(error < 4e-7, "{activation:?} of {x}: {got} for {want}");
            }
        }
    }

    #[test]
    fn softmax_follows_its_formula() {
        for cols in [1, 16, 23, 64] {
            let x = wave(5 * cols, 9.0);
            let got = same_on_every_isa(|isa| {
                let mut y = x.clone();
                softmax(isa, &mut y, cols, 0.7);
                y
            });
            let want: Vec<f64> = x
                .chunks(cols)
                .flat_map(|row| {
                    let e: Vec<f64> = row.iter().map(|&x| (0.7 * f64::from(x)).exp()).collect();
                    let total: f64 = e.iter().sum();
                    e.into_iter().map(move |e| e / total)
                })
                .collect();
            assert_close(&got, &want, 1e-6);
        }
    }

    #[test]
    fn a_nan_is_not_hidden() {
        let mut row = [0.0, f32::NAN, 1.0];
        softmax(Isa::best(), &mut row, 3, 1.0);
        assert!(row.iter().any(|x| x.is_nan()));
    }
}
