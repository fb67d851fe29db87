//! Measures of a whole set of answers, against the pictures that the model was trained on.

use crate::measure::SetMeasure;
use noisesearch_verifiers::metrics::describe::Describer;
use noisesearch_verifiers::metrics::frechet::{Frechet, Gaussian};
use noisesearch_verifiers::metrics::inception_score::InceptionScore;
use noisesearch_verifiers::metrics::precision_recall::{K, PrecisionRecall};
use noisesearch_verifiers::metrics::{Features, MetricError};

/// The pictures that a model was trained on, as features, and who described them.
pub struct Population {
    reference: Features,
    gaussian: Gaussian,
    describer: Box<dyn Describer>,
}

/// A set that cannot be measured.
#[derive(Debug, thiserror::Error)]
pub enum PopulationError {
    /// By its features.
    #[error("cannot measure a set of answers: {0}")]
    Metric(#[from] MetricError),
    /// The describer failed.
    #[error("cannot tell classes from stored features: {0}")]
    Describe(#[from] candle_core::Error),
}

impl Population {
    /// From features of training pictures, `[n, d]`, and the describer that made them.
    pub fn new(reference: Features, describer: Box<dyn Describer>) -> Result<Self, MetricError> {
        let gaussian = Gaussian::of(&reference)?;
        Ok(Self {
            reference,
            gaussian,
            describer,
        })
    }

    /// One measure of the answers with these features, `[d]` each.
    ///
    /// Precision and recall take as many training pictures as there are answers, evenly spaced:
    /// neighbourhoods of sets of different size are not comparable (arXiv 1904.06991, section 2).
    pub fn measure(&self, which: SetMeasure, answers: &[&[f32]]) -> Result<f64, PopulationError> {
        let answers = Features::new(self.reference.dim(), answers.concat())?;
        Ok(match which {
            SetMeasure::Fid => Frechet::of(&Gaussian::of(&answers)?, &self.gaussian)?.value,
            SetMeasure::Is => {
                InceptionScore::of(&self.describer.probabilities(&answers)?, 1)?.value
            }
            SetMeasure::Precision => self.neighbours(&answers)?.precision,
            SetMeasure::Recall => self.neighbours(&answers)?.recall,
        })
    }

    fn neighbours(&self, answers: &Features) -> Result<PrecisionRecall, MetricError> {
        let rows: Vec<&[f32]> = self.reference.rows().collect();
        let count = answers.len().min(rows.len());
        let spaced = (0..count).flat_map(|i| rows[i * rows.len() / count].iter().copied());
        let real = Features::new(self.reference.dim(), spaced.collect())?;
        PrecisionRecall::of(&real, answers, K)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use noisesearch_verifiers::glyphs;
    use noisesearch_verifiers::glyphs::judge::Judge;
    use noisesearch_verifiers::glyphs::oracle::Oracle;

    /// Real pictures are their own answers; one picture again and again is precise, has no recall
    /// and one class.
    #[test]
    fn real_pictures_score_well_and_one_picture_does_not() {
        let reference = glyphs::reference().unwrap();
        let oracle = Oracle::new(Judge::oracle().unwrap());
        let population = Population::new(reference.clone(), Box::new(oracle)).unwrap();
        let rows: Vec<&[f32]> = reference.rows().collect();
        let real: Vec<&[f32]> = rows.iter().step_by(7).copied().collect();
        let same = vec![rows[0]; real.len()];
        let of = |which, set: &[&[f32]]| population.measure(which, set).unwrap();
        assert!(10.0 * of(SetMeasure::Fid, &real) < of(SetMeasure::Fid, &same));
        let score = [&real, &same].map(|set| of(SetMeasure::Is, set));
        // The whole reference has 23 to 25: the oracle is seldom sure.
        assert!(score[0] > 22.0 && score[1] < 1.01, "{score:?}");
        let recall = [&real, &same].map(|set| of(SetMeasure::Recall, set));
        assert!(recall[0] > 0.9 && recall[1] < 0.1, "{recall:?}");
    }
}
