//! What a search asks for and what it is told.

use crate::recipe::Recipe;
use serde::{Deserialize, Serialize};

/// Position of a job in the order in which a search asked for them; dense from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct JobId(pub u64);

/// What of a recipe's state is decoded and scored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum View {
    /// The finished sample; the recipe ends at level 0.
    Final,
    /// The x0-prediction at the level where the recipe ends (above 0). Costs one more NFE.
    Preview,
}

/// One candidate to be made and scored.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Job {
    /// Dense number of this job.
    pub id: JobId,
    /// How to make it.
    pub recipe: Recipe,
    /// What to score.
    pub view: View,
    /// Search NFE billed for it: what the algorithm asks for beyond what earlier jobs paid.
    pub nfe: u64,
}

/// One finite score per verifier, in the order of the run's verifier list.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(transparent)]
pub struct Scores(Vec<f64>);

impl Scores {
    /// Accepts `values` if every one is finite; otherwise says which is not.
    pub fn new(values: Vec<f64>) -> Result<Self, Failure> {
        match values.iter().position(|v| !v.is_finite()) {
            Some(verifier) => Err(Failure::NonFiniteScore { verifier }),
            None => Ok(Self(values)),
        }
    }

    /// The scores, in verifier order.
    pub fn values(&self) -> &[f64] {
        &self.0
    }
}

/// Why a candidate has no score.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(tag = "failure", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Failure {
    /// The state stopped being finite.
    #[error("non-finite value after network evaluation {evaluation} of the recipe")]
    NonFinite {
        /// 1-based count of network evaluations along the whole recipe.
        evaluation: u32,
    },
    /// A verifier returned NaN or infinity.
    #[error("verifier {verifier} returned a non-finite score")]
    NonFiniteScore {
        /// Index in the run's verifier list.
        verifier: usize,
    },
    /// A worker died, hung or answered nonsense, also on retry.
    #[error("worker failed: {reason}")]
    Worker {
        /// What happened.
        reason: String,
    },
}

/// What became of a job.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// Made and scored.
    Scored(Scores),
    /// Not scored; ranks last.
    Failed(Failure),
}

impl Outcome {
    /// The scores, unless it failed.
    pub fn scores(&self) -> Option<&Scores> {
        match self {
            Self::Scored(scores) => Some(scores),
            Self::Failed(_) => None,
        }
    }
}
