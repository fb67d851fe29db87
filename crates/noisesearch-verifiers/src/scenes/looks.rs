//! `looks`: how clean a rendering is, whatever it shows; trained by `lab/scenes/train_looks.py`
//! to tell clean scenes from damaged ones. The score is the logit; higher is cleaner.

use super::tower::Tower;
use crate::verifier::{Samples, ScoreGradient, Verifier, VerifierId};
use candle_core::{Result, Tensor};
use noisesearch_models::task::Task;
use noisesearch_models::weights::{Weights, WeightsError};

/// Channels after the first convolution.
const WIDTH: usize = 16;
const WEIGHTS: &[u8] = include_bytes!("../../../../lab/weights/scenes-looks.safetensors");

/// The scorer of clean rendering.
#[derive(Debug)]
pub struct Looks {
    id: VerifierId,
    tower: Tower,
}

impl Looks {
    /// With the embedded weights.
    pub fn new() -> std::result::Result<Self, WeightsError> {
        Self::load(Weights::from_bytes(WEIGHTS)?)
    }

    /// Consumes every tensor of a checkpoint.
    pub fn load(mut weights: Weights) -> std::result::Result<Self, WeightsError> {
        let id = VerifierId {
            name: "looks".into(),
            weights: weights.hash().into(),
            version: 1,
        };
        let tower = Tower::load(&mut weights, "", 1, WIDTH)?;
        weights.finish()?;
        Ok(Self { id, tower })
    }
}

impl Verifier for Looks {
    fn id(&self) -> &VerifierId {
        &self.id
    }

    fn score(&self, _task: &Task, samples: &Samples) -> Result<Vec<f64>> {
        let rows = self.tower.apply(samples.images)?;
        Ok(rows.into_iter().flatten().map(f64::from).collect())
    }

    fn gradient(&self) -> Option<&dyn ScoreGradient> {
        Some(self)
    }
}

impl ScoreGradient for Looks {
    fn slope(&self, _task: &Task, image: &Tensor) -> Result<Tensor> {
        self.tower.slope(image, |_| vec![1.0])
    }
}
