//! The self-supervised verifier: how much the x0-prediction at level 0.4 already looks like the
//! final sample (Ma et al. 2025, arXiv 2501.09732, section 3.1), as the cosine of the angle
//! between their features. It needs no label.

use super::judge::Judge;
use crate::verifier::{Samples, Verifier, VerifierId};
use candle_core::Result;
use noisesearch_core::level::Level;
use noisesearch_models::task::Task;
use std::sync::Arc;

/// Scores by the agreement of `glyphs-classifier`'s features, in `[0, 1]`.
#[derive(Debug)]
pub struct SelfSupervised {
    id: VerifierId,
    judge: Arc<Judge>,
}

impl SelfSupervised {
    /// Version of the arithmetic.
    const VERSION: u32 = 1;

    /// Judges by [`Judge::classifier`].
    pub fn new(judge: Arc<Judge>) -> Self {
        let id = VerifierId {
            name: "self".into(),
            weights: judge.hash().into(),
            version: Self::VERSION,
        };
        Self { id, judge }
    }
}

impl Verifier for SelfSupervised {
    fn id(&self) -> &VerifierId {
        &self.id
    }

    fn takes_rough_previews(&self) -> bool {
        false
    }

    fn early_level(&self) -> Option<Level> {
        Level::new(0.4).ok()
    }

    fn score(&self, _task: &Task, samples: &Samples) -> Result<Vec<f64>> {
        let Some(early) = samples.early else {
            candle_core::bail!(
                "the verifier \"self\" compares a sample with its x0-prediction at level 0.4, \
                 and was given none"
            );
        };
        if early.dims() != samples.images.dims() {
            candle_core::bail!(
                "x0-predictions {:?} do not belong to samples {:?}",
                early.dims(),
                samples.images.dims()
            );
        }
        let early = self.judge.features(early)?;
        let last = self.judge.features(samples.images)?;
        Ok(early.iter().zip(&last).map(|(a, b)| cosine(a, b)).collect())
    }
}

/// Cosine of the angle between `a` and `b`, in f64; 0 when either has no length.
fn cosine(a: &[f32], b: &[f32]) -> f64 {
    let dot = |a: &[f32], b: &[f32]| -> f64 {
        let products = a.iter().zip(b).map(|(x, y)| f64::from(*x) * f64::from(*y));
        products.sum()
    };
    let length = (dot(a, a) * dot(b, b)).sqrt();
    if length == 0.0 {
        0.0
    } else {
        dot(a, b) / length
    }
}

#[cfg(test)]
mod tests {
    use super::cosine;

    #[test]
    fn the_cosine_sees_directions_only() {
        assert_eq!(cosine(&[3.0, 4.0], &[6.0, 8.0]), 1.0);
        assert_eq!(cosine(&[1.0, 0.0], &[0.0, 5.0]), 0.0);
        assert_eq!(cosine(&[1.0, 0.0], &[3.0, 4.0]), 0.6);
        assert_eq!(cosine(&[0.0, 0.0], &[3.0, 4.0]), 0.0);
    }
}
