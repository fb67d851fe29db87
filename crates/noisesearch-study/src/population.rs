//! Measures of a whole set of answers, against the pictures that the model was trained on.

use crate::error::StudyError;
use crate::measure::SetMeasure;
use noisesearch::registry::Registry;
use noisesearch::spec::Checked;
use noisesearch_verifiers::fid::DIRECTIONS;
use noisesearch_verifiers::metrics::describe::Describer;
use noisesearch_verifiers::metrics::frechet::{Frechet, Gaussian};
use noisesearch_verifiers::metrics::greedy::{Set, Target};
use noisesearch_verifiers::metrics::inception_score::InceptionScore;
use noisesearch_verifiers::metrics::precision_recall::{K, PrecisionRecall};
use noisesearch_verifiers::metrics::{Caution, Features, MetricError};

/// The pictures that a model was trained on, as features, and who described them.
pub struct Population {
    reference: Features,
    gaussian: Gaussian,
    describer: Box<dyn Describer>,
}

/// A measure of a set, and why it should be read with care.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Measured {
    /// The number.
    pub value: f64,
    /// Where the answers are few for it.
    pub caution: Option<Caution>,
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
    /// What sets of pictures of a setting's model are measured against, where that is known.
    pub fn of(setting: &Checked, registry: &Registry) -> Result<Option<Self>, StudyError> {
        let (task, files) = (&setting.task, &setting.files);
        let entry = registry.model_for(task, Some(&setting.model), files);
        let entry = entry.map_err(noisesearch::Error::from)?;
        let reference = registry.reference_for(&entry);
        let reference = reference.map_err(noisesearch::Error::from)?;
        let describer = registry.describer_for(&entry);
        let known = reference.zip(describer.map_err(noisesearch::Error::from)?);
        let made = known.map(|(reference, describer)| Self::new(reference, describer));
        Ok(made.transpose().map_err(PopulationError::from)?)
    }

    /// From features of training pictures, `[n, d]`, and the describer that made them.
    pub fn new(reference: Features, describer: Box<dyn Describer>) -> Result<Self, MetricError> {
        let gaussian = Gaussian::of(&reference)?;
        Ok(Self {
            reference,
            gaussian,
            describer,
        })
    }

    /// No answers yet, of which each further one is chosen for the FID of all.
    pub fn nobody(&self) -> Result<Set, MetricError> {
        let directions = self.reference.dim().min(DIRECTIONS);
        Ok(Set::new(Target::new(&self.gaussian, directions)?))
    }

    /// One measure of the answers with these features, `[d]` each.
    ///
    /// Precision and recall take as many training pictures as there are answers: neighbourhoods of
    /// sets of different size are not comparable (arXiv 1904.06991, section 2). They are the first
    /// ones of a fixed order, so that a few answers less change a few of them only and a jackknife
    /// sees what answers do, not what other pictures would.
    pub fn measure(
        &self,
        which: SetMeasure,
        answers: &[&[f32]],
    ) -> Result<Measured, PopulationError> {
        let answers = Features::new(self.reference.dim(), answers.concat())?;
        let (value, caution) = match which {
            SetMeasure::Fid => {
                let fid = Frechet::of(&Gaussian::of(&answers)?, &self.gaussian)?;
                (fid.value, fid.caution)
            }
            SetMeasure::Is => {
                let score = InceptionScore::of(&self.describer.probabilities(&answers)?, 1)?;
                (score.value, score.caution)
            }
            SetMeasure::Precision => {
                let near = self.neighbours(&answers)?;
                (near.precision, near.caution)
            }
            SetMeasure::Recall => {
                let near = self.neighbours(&answers)?;
                (near.recall, near.caution)
            }
        };
        Ok(Measured { value, caution })
    }

    fn neighbours(&self, answers: &Features) -> Result<PrecisionRecall, MetricError> {
        let rows: Vec<&[f32]> = self.reference.rows().collect();
        let first = spread(rows.len()).take(answers.len());
        let real = first.flat_map(|row| rows[row].iter().copied()).collect();
        let real = Features::new(self.reference.dim(), real)?;
        PrecisionRecall::of(&real, answers, K)
    }
}

/// The numbers below `n`, each once, in steps of about the golden section: however many come
/// first, they are spread evenly.
fn spread(n: usize) -> impl Iterator<Item = usize> {
    let golden = (0.618 * n as f64) as usize;
    let coprime = |step: &usize| divisor(*step, n) == 1;
    let step = (golden.max(1)..).find(coprime).unwrap_or(1);
    (0..n).map(move |i| i * step % n)
}

/// The greatest common one.
fn divisor(a: usize, b: usize) -> usize {
    if b == 0 { a } else { divisor(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::{GROUPS, jackknife};
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
        let of = |which, set: &[&[f32]]| population.measure(which, set).unwrap().value;
        assert!(10.0 * of(SetMeasure::Fid, &real) < of(SetMeasure::Fid, &same));
        let score = [&real, &same].map(|set| of(SetMeasure::Is, set));
        // The whole reference has 23 to 25: the oracle is seldom sure.
        assert!(score[0] > 22.0 && score[1] < 1.01, "{score:?}");
        let recall = [&real, &same].map(|set| of(SetMeasure::Recall, set));
        assert!(recall[0] > 0.9 && recall[1] < 0.1, "{recall:?}");
    }

    /// Regression: groups of 45 units leave 42 or 43 answers, and each count was held against other
    /// pictures, which the jackknife took for what its groups do.
    #[test]
    fn intervals_of_neighbours_do_not_depend_on_whether_groups_are_alike() {
        let reference = glyphs::reference().unwrap();
        let oracle = Oracle::new(Judge::oracle().unwrap());
        let population = Population::new(reference.clone(), Box::new(oracle)).unwrap();
        let rows: Vec<&[f32]> = reference.rows().collect();
        let answers: Vec<&[f32]> = rows.iter().skip(13).step_by(83).copied().collect();
        let width = |n: usize| {
            let without = |group: Option<usize>| {
                let kept = (0..n).filter(|unit| Some(unit % GROUPS) != group);
                let kept: Vec<&[f32]> = kept.map(|unit| answers[unit]).collect();
                let found = population.measure(SetMeasure::Recall, &kept);
                found.unwrap().value
            };
            let groups: Vec<f64> = (0..GROUPS).map(|group| without(Some(group))).collect();
            let found = jackknife(without(None), &groups, n);
            found.high - found.low
        };
        // Before: 0.28, 0.32, 0.71, 0.32.
        let widths = [40, 41, 45, 50].map(width);
        let most = widths.into_iter().fold(0.0, f64::max);
        assert!(0.1 < widths[0] && most < 1.8 * widths[0], "{widths:?}");
    }

    #[test]
    fn the_order_of_pictures_holds_each_once_and_begins_everywhere() {
        for n in [0, 1, 2, 3, 36, 5400] {
            let mut order: Vec<usize> = spread(n).collect();
            order.sort_unstable();
            assert_eq!(order, (0..n).collect::<Vec<_>>());
        }
        // Of 36 classes of 150 pictures each, 72 pictures show nearly all.
        let classes: std::collections::BTreeSet<usize> =
            spread(5400).take(72).map(|row| row / 150).collect();
        assert!(classes.len() >= 35, "{classes:?}");
    }
}
