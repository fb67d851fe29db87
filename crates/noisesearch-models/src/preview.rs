//! Pictures of latents by a linear map instead of an autoencoder's decoder. The latents of latent
//! diffusion (Rombach et al., arXiv 2112.10752) keep the layout of the picture, so that a pixel's
//! colour is nearly linear in the channels above it.
//!
//! ```text
//! min over A, b of sum_p | A z_p + b - mean of the decoder's picture under p |^2
//! ```
//!
//! over the pixels p of a few drawn latents, by normal equations in f64. A latent is the mean of
//! noises that are constant over blocks of 1, 4 and 16 pixels, scaled to variance 1: the decoder
//! sees flat regions and detail alike.

use crate::decode::Pixels;
use crate::denoiser::Decoder;
use candle_core::{Device, Result, Tensor};
use noisesearch_core::noise::Stream;

/// Changes whenever the same decoder would be fitted otherwise; part of a run's fingerprint.
pub const FIT_VERSION: u32 = 1;

/// Latents that are decoded for the fit: 1024 equations a colour, for at most 65 unknowns.
const LATENTS: usize = 4;
/// Their side.
const SIDE: usize = 16;
/// Sides of the blocks over which their noises are constant.
const BLOCKS: [usize; 3] = [1, 4, 16];
/// The root of those noises.
const ROOT: u64 = 0x7072_6576_6965_7773;

/// A linear decoder that stands for another one.
#[derive(Clone, Debug)]
pub struct Linear {
    /// For each of three colours: a weight a channel, then the bias; pixels are in `[0, 1]`.
    rows: [Vec<f64>; 3],
    /// Pixels of the picture for one of the latent, both ways.
    factor: usize,
    share: f64,
}

/// Why there is no such map.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FitError {
    /// Nothing is gained.
    #[error("its decoder makes pictures of {found:?} of latents of {SIDE} by {SIDE}")]
    Pixels {
        /// The decoder's answer to a batch of latents.
        found: Vec<usize>,
    },
    /// The decoder's pictures, or the map, are not finite.
    #[error("its decoder's pictures of drawn latents have no linear map")]
    Singular,
    /// The decoder failed.
    #[error("its decoder failed on drawn latents: {0}")]
    Decoder(#[from] candle_core::Error),
}

impl Linear {
    /// Fits the map to a decoder of latents of this many channels, into pictures with colours.
    pub fn fit(decoder: &dyn Decoder, channels: usize) -> std::result::Result<Self, FitError> {
        let latents = latents(channels);
        let shape = (LATENTS, channels, SIDE, SIDE);
        let pictures = decoder.decode(&Tensor::from_slice(&latents, shape, &Device::Cpu)?)?;
        let (b, colours, height, width) = pictures.dims4()?;
        let factor = height / SIDE;
        let whole = [b, colours, height, width] == [LATENTS, 3, factor * SIDE, factor * SIDE];
        if !whole || factor < 2 {
            let found = pictures.dims().to_vec();
            return Err(FitError::Pixels { found });
        }
        let pictures = pictures.flatten_all()?.to_vec1::<f32>()?;
        let means = means(&pictures, factor);
        if !means.iter().all(|mean| mean.is_finite()) {
            return Err(FitError::Singular);
        }
        let solved = solve(&latents, &means, channels).ok_or(FitError::Singular)?;
        let mut map = Self {
            rows: solved,
            factor,
            share: 0.0,
        };
        map.share = map.explained(&latents, &means, channels);
        Ok(map)
    }

    /// The share of the variance of the decoder's pictures, averaged over the pixels of one of the
    /// latent, that the map explains (R^2): 1 where the decoder is linear.
    pub fn explained_share(&self) -> f64 {
        self.share
    }

    fn explained(&self, latents: &[f32], means: &[f64], channels: usize) -> f64 {
        let (mut off, mut all) = (0.0, 0.0);
        for (colour, row) in self.rows.iter().enumerate() {
            let wanted = || (0..LATENTS * SIDE * SIDE).map(|p| means[at(p, colour, 3)]);
            let mean = wanted().sum::<f64>() / (LATENTS * SIDE * SIDE) as f64;
            for (p, wanted) in wanted().enumerate() {
                let got = dot(row, |c| latents[at(p, c, channels)]);
                off += (got - wanted).powi(2);
                all += (wanted - mean).powi(2);
            }
        }
        if all > 0.0 { 1.0 - off / all } else { 1.0 }
    }
}

impl Decoder for Linear {
    fn decode(&self, latents: &Tensor) -> Result<Tensor> {
        let (b, channels, h, w) = latents.dims4()?;
        if channels + 1 != self.rows[0].len() {
            candle_core::bail!("a map of other latents was given {channels} channels");
        }
        let values = latents.flatten_all()?.to_vec1::<f32>()?;
        let (height, width) = (h * self.factor, w * self.factor);
        let mut pixels = Vec::with_capacity(b * 3 * height * width);
        for latent in values.chunks_exact(channels * h * w) {
            for row in &self.rows {
                let colour = |p| dot(row, |c| latent[c * h * w + p]) as f32;
                let small: Vec<f32> = (0..h * w).map(colour).collect();
                enlarge(&small, [h, w], self.factor, &mut pixels);
            }
        }
        let pixels = Tensor::from_vec(pixels, (b, 3, height, width), latents.device())?;
        // From [0, 1] to the range of pixel models.
        Pixels.decode(&pixels.affine(2.0, -1.0)?)
    }
}

/// Weights times values, and the bias.
fn dot(row: &[f64], value: impl Fn(usize) -> f32) -> f64 {
    let (bias, weights) = row.split_last().map_or((0.0, row), |(b, w)| (*b, w));
    let terms = weights.iter().enumerate();
    terms.fold(bias, |sum, (c, w)| sum + w * f64::from(value(c)))
}

/// Where channel `c` of pixel `p`, counted over all latents, lies in `[LATENTS, channels, pixels]`.
fn at(p: usize, c: usize, channels: usize) -> usize {
    (p / (SIDE * SIDE) * channels + c) * SIDE * SIDE + p % (SIDE * SIDE)
}

/// Drawn latents `[LATENTS, channels, SIDE, SIDE]`.
fn latents(channels: usize) -> Vec<f32> {
    let count = LATENTS * channels * SIDE * SIDE;
    let scale = (BLOCKS.len() as f32).sqrt().recip();
    let mut sum = vec![0.0; count];
    for (draw, block) in (0..).zip(BLOCKS) {
        let noise = Stream::of_move(ROOT, 0, draw).normals(count);
        for (i, value) in sum.iter_mut().enumerate() {
            let (y, x) = (i / SIDE % SIDE, i % SIDE);
            let corner = i - y % block * SIDE - x % block;
            *value += scale * noise[corner];
        }
    }
    sum
}

/// Pictures `[LATENTS, 3, factor SIDE, factor SIDE]` averaged to `[LATENTS, 3, SIDE, SIDE]`.
fn means(pictures: &[f32], factor: usize) -> Vec<f64> {
    let wide = SIDE * factor;
    let mut means = vec![0.0; pictures.len() / (factor * factor)];
    for (i, &value) in pictures.iter().enumerate() {
        let (plane, y, x) = (i / (wide * wide), i / wide % wide, i % wide);
        means[(plane * SIDE + y / factor) * SIDE + x / factor] += f64::from(value);
    }
    for mean in &mut means {
        *mean /= (factor * factor) as f64;
    }
    means
}

/// The least squares of all three colours; `None` where the equations are singular.
fn solve(latents: &[f32], means: &[f64], channels: usize) -> Option<[Vec<f64>; 3]> {
    let n = channels + 1;
    let mut system = vec![vec![0.0; n + 3]; n];
    for p in 0..LATENTS * SIDE * SIDE {
        let mut z: Vec<f64> = (0..channels)
            .map(|c| f64::from(latents[at(p, c, channels)]))
            .collect();
        z.push(1.0);
        let right: Vec<f64> = (0..3).map(|colour| means[at(p, colour, 3)]).collect();
        for (row, left) in system.iter_mut().zip(&z) {
            for (sum, value) in row.iter_mut().zip(z.iter().chain(&right)) {
                *sum += left * value;
            }
        }
    }
    // The matrix is positive definite, so that no rows are exchanged.
    for i in 0..n {
        let pivot = system[i].clone();
        if pivot[i] <= 0.0 || !pivot[i].is_finite() {
            return None;
        }
        for (j, row) in system.iter_mut().enumerate().filter(|(j, _)| *j != i) {
            let ratio = row[i] / pivot[i];
            let from = i.min(j);
            for (value, above) in row[from..].iter_mut().zip(&pivot[from..]) {
                *value -= ratio * above;
            }
        }
    }
    Some([0, 1, 2].map(|colour| {
        (0..n)
            .map(|i| system[i][n + colour] / system[i][i])
            .collect()
    }))
}

/// Appends one colour `[h, w]`, `factor` times larger both ways: bilinear between the centres of
/// pixels, constant beyond the outermost.
fn enlarge(small: &[f32], [h, w]: [usize; 2], factor: usize, out: &mut Vec<f32>) {
    let place = |i: usize, size: usize| {
        let x = ((i as f32 + 0.5) / factor as f32 - 0.5).clamp(0.0, (size - 1) as f32);
        let low = (x as usize).min(size - 1);
        (low, (low + 1).min(size - 1), x - low as f32)
    };
    let across: Vec<_> = (0..w * factor).map(|x| place(x, w)).collect();
    for y in 0..h * factor {
        let (top, bottom, down) = place(y, h);
        for &(left, right, along) in &across {
            let line = |y: usize| {
                let (a, b) = (small[y * w + left], small[y * w + right]);
                a + along * (b - a)
            };
            let (a, b) = (line(top), line(bottom));
            out.push(a + down * (b - a));
        }
    }
}

#[cfg(test)]
mod tests;
