//! Rotary positions.

use super::floats::{copied, floats, on_cpu, share};
use super::{Place, fused};
use candle_core::{DType, Result, Tensor, bail};
use rayon::prelude::*;

/// Rotary positions (Su et al. 2021, arXiv 2104.09864): neighbouring features `(x, y)` of a head
/// are turned by the angle of their token and frequency,
///
/// ```text
/// x' = x cos a - y sin a        y' = y cos a + x sin a
/// ```
#[derive(Clone, Debug)]
pub struct Rotary {
    /// Cosines and sines, `[tokens, head_dim / 2]` f32.
    cos: Tensor,
    sin: Tensor,
}

impl Rotary {
    /// From `angles: [tokens, head_dim / 2]` in radians, row-major.
    pub fn new(angles: &[f64], tokens: usize, place: &Place) -> Result<Self> {
        let half = angles.len() / tokens.max(1);
        let send = |f: fn(f64) -> f64| {
            let values: Vec<f32> = angles.iter().map(|&a| f(a) as f32).collect();
            Tensor::from_vec(values, (tokens, half), &place.device)
        };
        Ok(Self {
            cos: send(libm::cos)?,
            sin: send(libm::sin)?,
        })
    }

    /// `x: [b, tokens, heads * head_dim]`, same shape.
    pub fn apply(&self, x: &Tensor) -> Result<Tensor> {
        let (tokens, half) = self.cos.dims2()?;
        let (_, n, channels) = x.dims3()?;
        if n != tokens || half == 0 || channels % (2 * half) != 0 {
            bail!("rotary positions of {tokens} tokens and {half} frequencies over {x:?}")
        }
        if fused::takes(x, 2 * half) {
            return fused::rotary(x, &self.cos, &self.sin)?.launch();
        }
        if !on_cpu(x) {
            return self.plain(x);
        }
        let mut out = copied(x)?;
        let (cos, sin) = (self.cos.storage_and_layout(), self.sin.storage_and_layout());
        let (cos, sin) = (floats(&cos)?, floats(&sin)?);
        let part = share(out.len() / channels);
        let parts = out.par_chunks_mut(part * channels).enumerate();
        parts.for_each(|(i, rows)| {
            for (j, row) in rows.chunks_exact_mut(channels).enumerate() {
                let at = (i * part + j) % tokens * half;
                let angles = || cos[at..][..half].iter().zip(&sin[at..][..half]);
                for head in row.chunks_exact_mut(2 * half) {
                    for (pair, (cos, sin)) in head.chunks_exact_mut(2).zip(angles()) {
                        let (x, y) = (pair[0], pair[1]);
                        pair[0] = x * cos - y * sin;
                        pair[1] = y * cos + x * sin;
                    }
                }
            }
        });
        Tensor::from_vec(out, x.shape(), x.device())
    }

    fn plain(&self, x: &Tensor) -> Result<Tensor> {
        let (tokens, half) = self.cos.dims2()?;
        let (b, _, channels) = x.dims3()?;
        let pairs = x.to_dtype(DType::F32)?;
        let pairs = pairs.reshape((b, tokens, channels / (2 * half), half, 2))?;
        let (x0, x1) = (pairs.narrow(4, 0, 1)?, pairs.narrow(4, 1, 1)?);
        let cos = self.cos.reshape((1, tokens, 1, half, 1))?;
        let sin = self.sin.reshape((1, tokens, 1, half, 1))?;
        let first = (x0.broadcast_mul(&cos)? - x1.broadcast_mul(&sin)?)?;
        let second = (x1.broadcast_mul(&cos)? + x0.broadcast_mul(&sin)?)?;
        let turned = Tensor::cat(&[first, second], 4)?.reshape(x.shape())?;
        turned.to_dtype(x.dtype())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layers::testing::{close, each_place, here, values};

    #[test]
    fn pairs_are_turned_as_complex_numbers() {
        let (b, tokens, heads, half) = (2, 9, 3, 2);
        let x = values(&[b, tokens, heads * 2 * half], 1);
        let angles: Vec<f64> = (0..tokens * half).map(|i| i as f64 * 0.7).collect();
        let flat: Vec<f32> = x.flatten_all().unwrap().to_vec1().unwrap();
        let mut want = flat.clone();
        for (i, pair) in want.chunks_exact_mut(2).enumerate() {
            let (token, frequency) = (i / (heads * half) % tokens, i % half);
            let (sin, cos) = angles[token * half + frequency].sin_cos();
            let (re, im) = (f64::from(pair[0]), f64::from(pair[1]));
            pair[0] = (re * cos - im * sin) as f32;
            pair[1] = (re * sin + im * cos) as f32;
        }
        let want = Tensor::from_vec(want, x.shape(), x.device()).unwrap();
        each_place(|place| {
            let rotary = Rotary::new(&angles, tokens, place).unwrap();
            let got = rotary.apply(&here(place, &x)).unwrap();
            close(&got, &want, 1e-6);
        });
    }

    #[test]
    fn another_number_of_tokens_is_an_error() {
        let rotary = Rotary::new(&[0.0; 8], 4, &Place::cpu()).unwrap();
        assert!(rotary.apply(&values(&[1, 5, 8], 1)).is_err());
        assert!(rotary.apply(&values(&[1, 4, 6], 1)).is_err());
    }
}
