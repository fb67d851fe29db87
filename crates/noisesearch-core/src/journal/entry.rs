//! What the journal remembers of a run.

use crate::job::{Failure, JobId, Outcome, Scores};
use crate::ledger::Ledger;
use crate::recipe::RecipeId;
use crate::search::StopReason;
use serde::{Deserialize, Serialize};

/// One durable step of a run: one line, one write, one sync.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// Outcomes, in job order, each of which may now be told to the search.
    pub told: Vec<Told>,
    /// All that was spent up to here, as far as known: what ran in a process that was killed
    /// before its next entry is in no entry.
    pub spent: Ledger,
    /// Set in the last entry of a run that ended for good, so that a run stopped by its time
    /// budget stays stopped. A run that was cancelled has none and can be resumed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<StopReason>,
}

/// What became of one job.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Told {
    /// The job.
    pub job: JobId,
    /// Its recipe, which the search must ask for again on resume.
    pub recipe: RecipeId,
    /// Search NFE billed for it.
    pub nfe: u64,
    /// Its scores or its failure.
    #[serde(with = "outcome")]
    pub outcome: Outcome,
}

/// An outcome as a line holds it, for `serde(with)`: `{"scores": [0.5]}` or
/// `{"failed": {"failure": "non_finite", "evaluation": 3}}`.
pub mod outcome {
    use super::{Failure, Outcome, Scores};
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    #[derive(Serialize, Deserialize)]
    #[serde(rename_all = "lowercase")]
    enum Line {
        Scores(Vec<f64>),
        Failed(Failure),
    }

    /// Writes it.
    pub fn serialize<S: Serializer>(outcome: &Outcome, to: S) -> Result<S::Ok, S::Error> {
        match outcome {
            Outcome::Scored(scores) => Line::Scores(scores.values().to_vec()),
            Outcome::Failed(failure) => Line::Failed(failure.clone()),
        }
        .serialize(to)
    }

    /// Reads it; scores that are not finite are an error.
    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Outcome, D::Error> {
        Ok(match Line::deserialize(from)? {
            Line::Scores(values) => Outcome::Scored(Scores::new(values).map_err(D::Error::custom)?),
            Line::Failed(failure) => Outcome::Failed(failure),
        })
    }
}
