//! The evaluator of the glyphs models: a classifier that was trained apart from the verifier.
//!
//! Its class probabilities stand in for those of the Inception network in the inception score,
//! its features in FID, precision and recall.

use super::class_of;
use super::judge::Judge;
use crate::verifier::{Samples, Verifier, VerifierId};
use candle_core::{Result, Tensor};
use noisesearch_models::nn::activation::softmax;
use noisesearch_models::nn::isa::Isa;
use noisesearch_models::task::Task;

/// Scores by the probability that `glyphs-oracle` gives the class that was asked for.
#[derive(Debug)]
pub struct Oracle {
    id: VerifierId,
    judge: Judge,
}

impl Oracle {
    /// Version of the arithmetic.
    const VERSION: u32 = 1;

    /// Judges by [`Judge::oracle`].
    pub fn new(judge: Judge) -> Self {
        let id = VerifierId {
            name: "oracle".into(),
            weights: judge.hash().into(),
            version: Self::VERSION,
        };
        Self { id, judge }
    }

    /// Features of `images: [b, 1, 32, 32]` in `[0, 1]`, 64 a row, none below 0.
    pub fn features(&self, images: &Tensor) -> Result<Vec<Vec<f32>>> {
        self.judge.features(images)
    }

    /// Probabilities of the classes for every row of [`Oracle::features`]; a row sums to 1.
    pub fn probabilities(&self, features: &[Vec<f32>]) -> Vec<Vec<f32>> {
        let mut rows = self.judge.logits(features);
        for row in &mut rows {
            let classes = row.len();
            softmax(Isa::best(), row, classes, 1.0);
        }
        rows
    }
}

impl Verifier for Oracle {
    fn id(&self) -> &VerifierId {
        &self.id
    }

    fn score(&self, task: &Task, samples: &Samples) -> Result<Vec<f64>> {
        let class = class_of(task)?;
        let rows = self.probabilities(&self.features(samples.images)?);
        Ok(rows.iter().map(|row| f64::from(row[class])).collect())
    }
}
