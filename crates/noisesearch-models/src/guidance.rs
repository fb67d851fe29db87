//! Classifier-free guidance (Ho and Salimans, arXiv 2207.12598):
//!
//! ```text
//! output = u + g (c - u)       c, u: the network with the task's and with the empty encoding
//! ```

use crate::denoiser::{Conditioning, Denoiser, Encoded, LatentShape, Network};
use crate::elementwise::by_stretch;
use crate::gradient::{DenoiserGradient, NetworkGradient};
use crate::layers::floats;
use crate::path::NoisePath;
use crate::prediction::{Prediction, PredictionError};
use candle_core::{Result, Tensor};
use noisesearch_core::level::Level;
use std::sync::Arc;

/// A [`Denoiser`] made of a network, what it predicts, and its path.
pub struct Guided {
    network: Arc<dyn Network>,
    prediction: Prediction,
    path: NoisePath,
    shape: LatentShape,
}

impl Guided {
    /// Joins a network with what it predicts on which path, for rows of `shape`.
    pub fn new(
        network: Arc<dyn Network>,
        prediction: Prediction,
        path: NoisePath,
        shape: LatentShape,
    ) -> std::result::Result<Self, PredictionError> {
        prediction.check(&path)?;
        Ok(Self {
            network,
            prediction,
            path,
            shape,
        })
    }

    /// The network's output for `x`; where that is guided, with the task's encoding and then
    /// with the empty one, in one call of twice the rows.
    fn predict(&self, x: &Tensor, at: Level, cond: &Conditioning) -> Result<Tensor> {
        let rows = x.dim(0)?;
        let mut encodings: Vec<&Encoded> = vec![&cond.cond; rows];
        if !is_guided(cond) {
            return self.network.predict(x, at, &encodings);
        }
        encodings.resize(2 * rows, &cond.uncond);
        self.network
            .predict(&Tensor::cat(&[x, x], 0)?, at, &encodings)
    }
}

impl Denoiser for Guided {
    fn shape(&self) -> LatentShape {
        self.shape
    }

    fn denoise(&self, x: &Tensor, at: Level, cond: &Conditioning) -> Result<Tensor> {
        let (keep, turn) = self.prediction.weights(self.path.at(at));
        let output = self.predict(x, at, cond)?.contiguous()?;
        let given = x.contiguous()?;
        let (given, output) = (given.storage_and_layout(), output.storage_and_layout());
        let (given, output) = (floats(&given)?, floats(&output)?);
        let halves = if is_guided(cond) { 2 } else { 1 };
        if output.len() != halves * given.len() {
            candle_core::bail!("a network gave {} values for {}", output.len(), given.len())
        }
        let (with, without) = output.split_at(given.len());
        let mut x0 = vec![0.0; given.len()];
        by_stretch(&mut x0, |first, x0| {
            let here = first..first + x0.len();
            x0.copy_from_slice(&with[here.clone()]);
            for (c, u) in x0.iter_mut().zip(without.iter().skip(first)) {
                *c = u + cond.guidance * (*c - u);
            }
            for (out, x) in x0.iter_mut().zip(&given[here]) {
                *out = (keep * f64::from(*x) + turn * f64::from(*out)) as f32;
            }
        });
        Tensor::from_vec(x0, x.shape(), x.device())
    }

    fn passes_per_row(&self, cond: &Conditioning) -> u64 {
        if is_guided(cond) { 2 } else { 1 }
    }

    fn gradient(&self) -> Option<Box<dyn DenoiserGradient + '_>> {
        let network = self.network.gradient()?;
        Some(Box::new(GuidedGradient {
            network,
            guided: self,
        }))
    }
}

/// A [`Guided`] backwards: the transposes of its weighted sums.
struct GuidedGradient<'a> {
    network: &'a dyn NetworkGradient,
    guided: &'a Guided,
}

impl DenoiserGradient for GuidedGradient<'_> {
    fn vjp(
        &self,
        x: &Tensor,
        at: Level,
        cond: &Conditioning,
        cotangent: &Tensor,
    ) -> Result<Tensor> {
        let Guided {
            prediction, path, ..
        } = self.guided;
        let (keep, turn) = prediction.weights(path.at(at));
        let given = flat(cotangent)?;
        let through = |row: &Encoded, share: f64| -> Result<Vec<f32>> {
            let part = given.iter().map(|d| (share * f64::from(*d)) as f32);
            let part = Tensor::from_vec(part.collect::<Vec<f32>>(), x.shape(), x.device())?;
            flat(&self.network.vjp(x, at, row, &part)?)
        };
        let scale = f64::from(cond.guidance);
        let (with, without) = rayon::join(
            || through(&cond.cond, turn * scale),
            || match is_guided(cond) {
                true => through(&cond.uncond, turn * (1.0 - scale)),
                false => Ok(vec![0.0; given.len()]),
            },
        );
        let parts = given.iter().zip(with?).zip(without?);
        let sum = parts.map(|((d, c), u)| (keep * f64::from(*d)) as f32 + (c + u));
        Tensor::from_vec(sum.collect::<Vec<f32>>(), x.shape(), x.device())
    }
}

/// Whether the unguided half matters: at scale 1 it cancels.
fn is_guided(cond: &Conditioning) -> bool {
    cond.guidance != 1.0
}

/// A tensor's values in row-major order.
fn flat(x: &Tensor) -> Result<Vec<f32>> {
    x.flatten_all()?.to_vec1()
}
