//! The evaluator of the glyphs models: a classifier that was trained apart from the verifier.
//!
//! Its class probabilities stand in for those of the Inception network in the inception score,
//! its features in FID, precision and recall.

use super::class_of;
use super::judge::{FEATURES, Judge};
use crate::metrics::describe::Describer;
use crate::metrics::{Features, same_dim};
use crate::verifier::{Samples, Verifier, VerifierId};
use candle_core::{Error, Result, Tensor};
use noisesearch_models::lab::GLYPHS;
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

    /// Probabilities of the classes for rows of features.
    fn classified(&self, features: &[Vec<f32>]) -> Vec<Vec<f32>> {
        let mut rows = self.judge.logits(features);
        for row in &mut rows {
            let classes = row.len();
            softmax(Isa::best(), row, classes, 1.0);
        }
        rows
    }
}

/// Describes pictures `[b, 1, 32, 32]` by 64 features, none below 0, and 36 classes.
impl Describer for Oracle {
    fn id(&self) -> (&str, &str) {
        (&self.id.name, &self.id.weights)
    }

    fn features(&self, images: &Tensor) -> Result<Features> {
        let rows = self.judge.features(images)?;
        Features::from_rows(FEATURES, &rows).map_err(Error::wrap)
    }

    fn probabilities(&self, features: &Features) -> Result<Features> {
        same_dim(FEATURES, features.dim()).map_err(Error::wrap)?;
        let rows: Vec<Vec<f32>> = features.rows().map(<[f32]>::to_vec).collect();
        let rows = self.classified(&rows);
        Features::from_rows(GLYPHS.len(), &rows).map_err(Error::wrap)
    }
}

impl Verifier for Oracle {
    fn id(&self) -> &VerifierId {
        &self.id
    }

    fn score(&self, task: &Task, samples: &Samples) -> Result<Vec<f64>> {
        let class = class_of(task)?;
        let rows = self.classified(&self.judge.features(samples.images)?);
        Ok(rows.iter().map(|row| f64::from(row[class])).collect())
    }
}
