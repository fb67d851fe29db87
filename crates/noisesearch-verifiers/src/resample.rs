//! Antialiased resizing of one channel, as Pillow's `Image.resize` does it for bytes and as
//! torchvision's antialiased `resize` does it for floats: the preprocessing of all published
//! image scorers.
//!
//! ```text
//! s     = max(1, from / to)                       width of the filter when shrinking
//! c(i)  = (i + 1/2) from / to
//! out_i = sum_j f((j + 1/2 - c(i)) / s) in_j / sum_j f((j + 1/2 - c(i)) / s)
//! ```
//!
//! over the `j` inside the image; first along lines, then along columns, as Pillow does wherever
//! both sides shrink alike (since 13 it goes the other way where the height shrinks far more).
//! Bytes are summed with weights of 22 fractional bits, and rounded and clamped after each of the
//! two passes.

use std::ops::Range;

/// The interpolation kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Filter {
    /// A triangle of half-width 1.
    Bilinear,
    /// Keys' cubic with a = -1/2, of half-width 2 (Keys 1981, equation 4).
    Bicubic,
}

impl Filter {
    fn support(self) -> f64 {
        match self {
            Self::Bilinear => 1.0,
            Self::Bicubic => 2.0,
        }
    }

    fn at(self, x: f64) -> f64 {
        const A: f64 = -0.5;
        let x = x.abs();
        match self {
            Self::Bilinear => (1.0 - x).max(0.0),
            Self::Bicubic if x < 1.0 => ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0,
            Self::Bicubic if x < 2.0 => (((x - 5.0) * x + 8.0) * x - 4.0) * A,
            Self::Bicubic => 0.0,
        }
    }
}

/// A pixel value and how it is averaged.
pub trait Value: Copy + Default {
    /// A weight as it is multiplied.
    type Weight: Copy;
    /// A weight, all of which add up to 1.
    fn weight(w: f64) -> Self::Weight;
    /// The weighted sum of as many values as there are weights.
    fn sum(weights: &[Self::Weight], values: impl Iterator<Item = Self>) -> Self;
}

/// Fractional bits of a byte's weight: 32, less 8 of the pixel and 2 for overshoot.
const FRACTION: u32 = 22;

impl Value for u8 {
    type Weight = i32;

    fn weight(w: f64) -> i32 {
        (w * f64::from(1 << FRACTION)).round() as i32
    }

    fn sum(weights: &[i32], values: impl Iterator<Item = u8>) -> u8 {
        let products = weights.iter().zip(values).map(|(w, v)| w * i32::from(v));
        let sum = products.fold(1 << (FRACTION - 1), |sum: i32, p| sum + p);
        (sum >> FRACTION).clamp(0, 255) as u8
    }
}

impl Value for f32 {
    type Weight = f32;

    fn weight(w: f64) -> f32 {
        w as f32
    }

    fn sum(weights: &[f32], values: impl Iterator<Item = f32>) -> f32 {
        let products = weights.iter().zip(values).map(|(w, v)| w * v);
        products.fold(0.0, |sum, p| sum + p)
    }
}

/// `image: [height, width]` of size `from`, row-major, to size `to`; no size is zero.
pub fn resize<V: Value>(image: &[V], from: [usize; 2], to: [usize; 2], filter: Filter) -> Vec<V> {
    resize_part(image, from, to, to.map(|n| 0..n), filter)
}

/// The lines and columns `part` of what [`resize`] makes, and nothing of the rest is computed: of
/// a picture of one line resized to a square's height, the middle is a sliver.
pub fn resize_part<V: Value>(
    image: &[V],
    from: [usize; 2],
    to: [usize; 2],
    part: [Range<usize>; 2],
    filter: Filter,
) -> Vec<V> {
    let ([height, width], [rows, columns]) = (from, part);
    let wide = columns.len();
    let lines = image.chunks_exact(width);
    let lines: Vec<V> = if to[1] == width {
        let cut = lines.flat_map(|line| &line[columns.clone()]);
        cut.copied().collect()
    } else {
        let taps = taps::<V>(width, to[1], columns, filter);
        let of_line = |line: &[V]| {
            let of_tap = |tap: &Tap<V>| V::sum(&tap.weights, line[tap.first..].iter().copied());
            taps.iter().map(of_tap).collect::<Vec<V>>()
        };
        lines.flat_map(of_line).collect()
    };
    if to[0] == height {
        return lines[rows.start * wide..rows.end * wide].to_vec();
    }
    let mut out = Vec::with_capacity(rows.len() * wide);
    for tap in taps::<V>(height, to[0], rows, filter) {
        out.extend((0..wide).map(|x| {
            let column = lines[tap.first * wide + x..].iter().step_by(wide);
            V::sum(&tap.weights, column.copied())
        }));
    }
    out
}

/// What one output value is made of.
struct Tap<V: Value> {
    first: usize,
    weights: Vec<V::Weight>,
}

/// For the outputs `of`, of `to` in all.
fn taps<V: Value>(from: usize, to: usize, of: Range<usize>, filter: Filter) -> Vec<Tap<V>> {
    let step = from as f64 / to as f64;
    let scale = step.max(1.0);
    let support = filter.support() * scale;
    let of_output = |i: usize| {
        let centre = (i as f64 + 0.5) * step;
        // A float becomes an integer towards zero, and a negative one becomes 0.
        let first = (centre - support + 0.5) as usize;
        let end = ((centre + support + 0.5) as usize).min(from);
        let raw = (first..end).map(|j| filter.at((j as f64 - centre + 0.5) * (1.0 / scale)));
        let raw: Vec<f64> = raw.collect();
        let sum: f64 = raw.iter().sum();
        let weights = raw.iter().map(|w| V::weight(w / sum)).collect();
        Tap { first, weights }
    };
    of.map(of_output).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use noisesearch_models::parity::uniform;
    use serde::Deserialize;

    /// `parity/preprocess.py`.
    const GOLDEN: &str = include_str!("../../../parity/goldens/resample.json");

    #[derive(Deserialize)]
    struct Golden {
        cases: Vec<Case>,
    }

    #[derive(Deserialize)]
    struct Case {
        from: [usize; 2],
        to: [usize; 2],
        filter: String,
        /// Of Pillow, every byte.
        bytes: Vec<u8>,
        /// Of torchvision, some values evenly spread.
        floats: Vec<f64>,
    }

    fn cases() -> Vec<Case> {
        serde_json::from_str::<Golden>(GOLDEN).unwrap().cases
    }

    fn filter(name: &str) -> Filter {
        match name {
            "bicubic" => Filter::Bicubic,
            "bilinear" => Filter::Bilinear,
            other => panic!("{other}"),
        }
    }

    fn bytes(count: usize) -> Vec<u8> {
        let floats = uniform("resample", count);
        floats.iter().map(|u| ((u + 1.0) * 128.0) as u8).collect()
    }

    /// No byte differs. A cubic with a = -0.6 differs in every case.
    #[test]
    fn golden_bytes_are_those_of_pillow() {
        for case in cases() {
            let image = bytes(case.from[0] * case.from[1]);
            let got = resize(&image, case.from, case.to, filter(&case.filter));
            assert_eq!(got, case.bytes, "{:?} to {:?}", case.from, case.to);
        }
    }

    /// Within 2e-6; without the wider filter when shrinking the first error is 6e-2.
    #[test]
    fn golden_floats_are_those_of_torchvision() {
        for case in cases() {
            let image = bytes(case.from[0] * case.from[1]);
            let image: Vec<f32> = image.iter().map(|&b| f32::from(b) / 255.0).collect();
            let got = resize(&image, case.from, case.to, filter(&case.filter));
            let count = case.floats.len();
            for (i, want) in case.floats.iter().enumerate() {
                let got = f64::from(got[i * got.len() / count]);
                assert!((got - want).abs() < 2e-6, "{got} for {want}");
            }
        }
    }

    #[test]
    fn a_part_is_that_of_the_whole() {
        for case in cases() {
            let image = bytes(case.from[0] * case.from[1]);
            let [height, width] = case.to;
            let part = [height / 3..height, width / 4..width.div_ceil(2)];
            let [rows, columns] = part.clone();
            let lines = rows.map(|y| &case.bytes[y * width..][columns.clone()]);
            let got = resize_part(&image, case.from, case.to, part, filter(&case.filter));
            assert_eq!(got, lines.collect::<Vec<_>>().concat());
        }
    }

    #[test]
    fn constants_stay() {
        for value in [0u8, 1, 127, 254, 255] {
            let out = resize(&[value; 35], [5, 7], [9, 3], Filter::Bicubic);
            assert_eq!(out, [value; 27]);
        }
    }
}
