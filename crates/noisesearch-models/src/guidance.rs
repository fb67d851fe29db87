//! Classifier-free guidance (Ho and Salimans, arXiv 2207.12598):
//!
//! ```text
//! output = u + g (c - u)       c, u: the network with the task's and with the empty encoding
//! ```

use crate::denoiser::{Conditioning, Denoiser, Encoded, LatentShape, Network};
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

    /// The network's output for `x`, guided: both halves in one call of twice the rows.
    fn predict(&self, x: &Tensor, at: Level, cond: &Conditioning) -> Result<Vec<f32>> {
        let rows = x.dim(0)?;
        let mut encodings: Vec<&Encoded> = vec![&cond.cond; rows];
        if !is_guided(cond) {
            return flat(&self.network.predict(x, at, &encodings)?);
        }
        encodings.resize(2 * rows, &cond.uncond);
        let twice = Tensor::cat(&[x, x], 0)?;
        let mut with = flat(&self.network.predict(&twice, at, &encodings)?)?;
        let without = with.split_off(with.len() / 2);
        for (c, u) in with.iter_mut().zip(without) {
            *c = u + cond.guidance * (*c - u);
        }
        Ok(with)
    }
}

impl Denoiser for Guided {
    fn shape(&self) -> LatentShape {
        self.shape
    }

    fn denoise(&self, x: &Tensor, at: Level, cond: &Conditioning) -> Result<Tensor> {
        let (keep, turn) = self.prediction.weights(self.path.at(at));
        let mut x0 = self.predict(x, at, cond)?;
        for (out, x) in x0.iter_mut().zip(flat(x)?) {
            *out = (keep * f64::from(x) + turn * f64::from(*out)) as f32;
        }
        Tensor::from_vec(x0, x.shape(), x.device())
    }

    fn passes_per_row(&self, cond: &Conditioning) -> u64 {
        if is_guided(cond) { 2 } else { 1 }
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
