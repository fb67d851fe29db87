//! The supervised verifier of class-conditional models: the classifier's logit of the class that
//! was asked for (Ma et al. 2025, arXiv 2501.09732, section 3.1).

use super::class_of;
use super::judge::Judge;
use crate::verifier::{Samples, ScoreGradient, Verifier, VerifierId};
use candle_core::{Result, Tensor};
use noisesearch_models::task::Task;
use std::sync::Arc;

/// Scores by the class logit of `glyphs-classifier`.
#[derive(Debug)]
pub struct Classifier {
    id: VerifierId,
    judge: Arc<Judge>,
}

impl Classifier {
    /// Version of the arithmetic.
    const VERSION: u32 = 1;

    /// Judges by [`Judge::classifier`].
    pub fn new(judge: Arc<Judge>) -> Self {
        let id = VerifierId {
            name: "classifier".into(),
            weights: judge.hash().into(),
            version: Self::VERSION,
        };
        Self { id, judge }
    }
}

impl Verifier for Classifier {
    fn id(&self) -> &VerifierId {
        &self.id
    }

    fn score(&self, task: &Task, samples: &Samples) -> Result<Vec<f64>> {
        let class = class_of(task)?;
        let logits = self.judge.logits(&self.judge.features(samples.images)?);
        Ok(logits.iter().map(|row| f64::from(row[class])).collect())
    }

    fn gradient(&self) -> Option<&dyn ScoreGradient> {
        Some(self)
    }
}

impl ScoreGradient for Classifier {
    fn slope(&self, task: &Task, image: &Tensor) -> Result<Tensor> {
        self.judge.slope(image, class_of(task)?)
    }
}
