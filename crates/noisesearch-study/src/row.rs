//! What a cell gave: one row of `results.jsonl`.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The answer of one cell and what it cost.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// Stem of the study's file.
    pub study: String,
    /// Name of the arm.
    pub arm: String,
    /// The point's place in its arm, from 0.
    pub point: usize,
    /// Prompt or class.
    pub task: String,
    /// Category of the prompt, if it has one.
    pub category: Option<String>,
    /// From which every noise was drawn.
    pub seed: u64,
    /// What it cost.
    pub cost: Cost,
    /// The answer's recipe in readable form.
    pub recipe: String,
    /// The answer's score by verifier, optimised or watched.
    pub scores: BTreeMap<String, f64>,
    /// Whether the answer passes, by verifier that can tell.
    pub passes: BTreeMap<String, bool>,
    /// Verifiers that the search optimised.
    pub optimised: Vec<String>,
    /// The finished candidates that the answer was chosen from, by verifier.
    pub pool: BTreeMap<String, Pool>,
    /// By verifier, Spearman's correlation of its scores of the finished candidates as the search
    /// saw them with those in the number format of the answer; empty where no measure asks for it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub ranks: BTreeMap<String, f64>,
    /// By optimised verifier that varies, its score of the answer when it was asked again; empty
    /// where none does.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub again: BTreeMap<String, f64>,
    /// Features of the answer, for measures of a whole set of pictures; empty where no describer
    /// knows this model's pictures.
    pub features: Vec<f32>,
}

/// How a verifier scored the candidates of one cell.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Pool {
    /// Finished candidates with a score.
    pub candidates: u64,
    /// Mean of their scores.
    pub mean: f64,
    /// Their standard deviation (n - 1); 0 for one candidate.
    pub deviation: f64,
    /// Correlation with the first optimised verifier over the candidates; 0 where there is none.
    pub correlation: f64,
}

impl Pool {
    /// Of the scores of a verifier, beside those of the first optimised one for the same
    /// candidates.
    pub fn of(scores: &[f64], first: &[f64]) -> Self {
        let count = scores.len() as f64;
        let mean = |of: &[f64]| of.iter().sum::<f64>() / count.max(1.0);
        let (here, there) = (mean(scores), mean(first));
        let about = |of: &[f64], middle: f64| of.iter().map(|x| (x - middle).powi(2)).sum::<f64>();
        let (spread, other) = (about(scores, here), about(first, there));
        let pairs = scores.iter().zip(first);
        let shared: f64 = pairs.map(|(x, y)| (x - here) * (y - there)).sum();
        let varied = spread > 0.0 && other > 0.0;
        Self {
            candidates: scores.len() as u64,
            mean: here,
            deviation: (spread / (count - 1.0).max(1.0)).sqrt(),
            correlation: if varied {
                shared / (spread * other).sqrt()
            } else {
                0.0
            },
        }
    }
}

/// What the answer of one cell cost.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Cost {
    /// Finished candidates and previews that were scored.
    pub candidates: u64,
    /// Evaluations billed to the search.
    pub search_nfe: u64,
    /// Evaluations billed to making the answer again with the final steps.
    pub final_nfe: u64,
    /// As the paper plots it.
    pub paper_nfe: u64,
    /// Network passes billed.
    pub passes: u64,
    /// GFLOP of those passes, where the network's cost is known.
    pub gflop: Option<f64>,
    /// Seconds that its evaluations took, whether this cell made them or another one had.
    pub seconds: f64,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `statistics.stdev` and `statistics.correlation` of Python 3.12.
    #[test]
    fn a_pool_is_mean_deviation_and_correlation() {
        let (scores, first) = ([1.0, 2.0, 4.0], [3.0, -1.0, 5.0]);
        let pool = Pool::of(&scores, &first);
        assert_eq!((pool.candidates, pool.mean), (3, 7.0 / 3.0));
        // n instead of n - 1 would give 1.247.
        assert!(
            (pool.deviation - 1.5275252316519468).abs() < 1e-12,
            "{}",
            pool.deviation
        );
        assert!(
            (pool.correlation - 0.4999999999999999).abs() < 1e-12,
            "{}",
            pool.correlation
        );
        assert!((Pool::of(&scores, &scores).correlation - 1.0).abs() < 1e-12);
        let one = Pool::of(&[2.5], &[0.0]);
        assert_eq!((one.mean, one.deviation, one.correlation), (2.5, 0.0, 0.0));
        assert_eq!(Pool::of(&[], &[]).mean, 0.0);
    }
}
