//! The inception score (Salimans et al. 2016, arXiv 1606.03498, section 4).
//!
//! ```text
//! IS = exp(mean over samples of KL(p(y | sample) || p(y))),   p(y) = mean of p(y | sample)
//! ```
//!
//! 1 to the number of classes, higher is better. The usual ten splits exist for an error bar and
//! lower the score of small sets; one split is the default here.

use super::{Caution, Features, MetricError};

/// Samples of each class below which the score is said to be too small.
const OF_CLASS_MIN: usize = 10;
/// A row of probabilities sums to 1 within this: what f32 makes of a thousand classes.
const SUM_TOLERANCE: f64 = 1e-3;

/// The score of a set.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct InceptionScore {
    /// Mean over the splits, 1 to the number of classes.
    pub value: f64,
    /// Standard deviation over the splits, with their number as the divisor; 0 for one split.
    pub deviation: f64,
    /// Samples of all splits together.
    pub n: usize,
    /// Whether they are few.
    pub caution: Option<Caution>,
}

impl InceptionScore {
    /// Of `probabilities: [n, classes]`, in `splits` parts of samples in order, at least 1; parts
    /// differ by at most one sample.
    pub fn of(probabilities: &Features, splits: usize) -> Result<Self, MetricError> {
        let (n, classes) = (probabilities.len(), probabilities.dim());
        if n < splits.max(1) {
            return Err(MetricError::TooFew {
                metric: "the inception score",
                found: n,
                least: splits.max(1),
            });
        }
        let rows: Vec<&[f32]> = probabilities.rows().collect();
        if let Some(row) = rows.iter().position(|row| !is_distribution(row)) {
            return Err(MetricError::NoDistribution { row });
        }
        let splits = splits.max(1);
        let part = |i: usize| score(&rows[i * n / splits..(i + 1) * n / splits]);
        let scores: Vec<f64> = (0..splits).map(part).collect();
        let mean = scores.iter().sum::<f64>() / splits as f64;
        let squares = scores.iter().map(|score| (score - mean).powi(2));
        Ok(Self {
            value: mean,
            deviation: (squares.sum::<f64>() / splits as f64).sqrt(),
            n,
            caution: (n / splits < OF_CLASS_MIN * classes)
                .then_some(Caution::FewOfClass { n, classes }),
        })
    }
}

fn is_distribution(row: &[f32]) -> bool {
    let sum: f64 = row.iter().map(|&p| f64::from(p)).sum();
    row.iter().all(|&p| p >= 0.0) && (sum - 1.0).abs() <= SUM_TOLERANCE
}

/// Of one part, not empty. A probability of 0 adds nothing.
fn score(rows: &[&[f32]]) -> f64 {
    let n = rows.len() as f64;
    let classes = rows.first().map_or(0, |row| row.len());
    let mut mean = vec![0.0; classes];
    for row in rows {
        mean.iter_mut()
            .zip(*row)
            .for_each(|(sum, &p)| *sum += f64::from(p) / n);
    }
    let divergence = |row: &&[f32]| -> f64 {
        let pairs = row.iter().zip(&mean).filter(|(p, _)| **p > 0.0);
        pairs
            .map(|(&p, mean)| f64::from(p) * (f64::from(p).ln() - mean.ln()))
            .sum()
    };
    (rows.iter().map(divergence).sum::<f64>() / n).exp()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table<const C: usize>(rows: &[[f32; C]]) -> Features {
        Features::new(C, rows.concat()).unwrap()
    }

    #[test]
    fn closed_forms() {
        let sure = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]];
        let score = InceptionScore::of(&table(&sure), 1).unwrap();
        assert!((score.value - 3.0).abs() < 1e-12, "{score:?}");
        assert_eq!((score.deviation, score.n), (0.0, 3));
        let same = table(&[[0.2, 0.8]; 5]);
        assert!((InceptionScore::of(&same, 1).unwrap().value - 1.0).abs() < 1e-12);
        // Every part sees one class only.
        let score = InceptionScore::of(&table(&sure), 3).unwrap();
        assert_eq!((score.value, score.deviation), (1.0, 0.0));
    }

    #[test]
    fn few_samples_are_said_and_none_is_an_error() {
        let rows = vec![0.5; 2 * 20];
        let enough = InceptionScore::of(&Features::new(2, rows).unwrap(), 1).unwrap();
        assert_eq!(enough.caution, None);
        let few = InceptionScore::of(&table(&[[0.5, 0.5]; 19]), 1).unwrap();
        assert_eq!(few.caution, Some(Caution::FewOfClass { n: 19, classes: 2 }));
        let none = Features::new(2, vec![]).unwrap();
        let few = InceptionScore::of(&none, 1);
        assert!(matches!(few, Err(MetricError::TooFew { least: 1, .. })));
        let few = InceptionScore::of(&table(&[[0.5, 0.5]; 2]), 3);
        assert!(matches!(few, Err(MetricError::TooFew { least: 3, .. })));
    }

    #[test]
    fn what_is_no_distribution_is_an_error() {
        for row in [[0.5, 0.6], [-0.5, 1.5], [0.0, 0.0]] {
            let error = InceptionScore::of(&table(&[[0.5, 0.5], row]), 1);
            assert_eq!(error, Err(MetricError::NoDistribution { row: 1 }));
        }
    }
}
