//! What came out of a run: `summary.json` and the object printed by `--json`.

use noisesearch_core::ledger::{Fees, Ledger};
use noisesearch_core::recipe::{Recipe, RecipeId};
use noisesearch_core::search::StopReason;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// What came out of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Summary {
    /// The run directory.
    pub run: PathBuf,
    /// Why it ended; `cancelled` can be resumed.
    pub stop: StopReason,
    /// The answer; `None` when no candidate was finished.
    pub best: Option<Shown>,
    /// What the model gives without search: the first noise at the final steps.
    pub baseline: Option<Shown>,
    /// The best candidates, best first, at most `count`: as the search scored them, or as they
    /// were made again where it made them in another number format.
    pub kept: Vec<Shown>,
    /// What the algorithm asked for.
    pub billed: Column,
    /// What really ran, in all sessions as far as they could say: recomputation and the baseline
    /// included, but not what ran in a process that was killed after its last journal line.
    pub spent: Column,
    /// Wall-clock seconds of all sessions, likewise.
    pub seconds: f64,
    /// The most bytes of memory that the process held which wrote this; left out where the system
    /// does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peak_bytes: Option<u64>,
    /// Checksum of the whole journal, in hexadecimal; two people may compare.
    pub journal: String,
}

/// One image and what is known about it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Shown {
    /// BLAKE3 of the recipe.
    pub id: RecipeId,
    /// How to make it, in the human form.
    #[serde(with = "as_text")]
    pub recipe: Recipe,
    /// Score by verifier; empty when it failed.
    pub scores: BTreeMap<String, f64>,
    /// For one that was made again: its scores as the search saw it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub searched: BTreeMap<String, f64>,
    /// The PNG.
    pub image: PathBuf,
}

/// A ledger column as printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Column {
    /// Denoiser evaluations during search; a guided evaluation is one.
    pub search_nfe: u64,
    /// Denoiser evaluations of the final generation.
    pub final_nfe: u64,
    /// Network passes: two per guided evaluation.
    pub passes: u64,
    /// Scores asked of verifiers.
    pub verifier_calls: u64,
    /// What verifiers were charged; left out when nothing.
    #[serde(default, skip_serializing_if = "Fees::is_free")]
    pub fees: Fees,
}

impl From<Ledger> for Column {
    fn from(ledger: Ledger) -> Self {
        Self {
            search_nfe: ledger.search_nfe,
            final_nfe: ledger.final_nfe,
            passes: ledger.passes,
            verifier_calls: ledger.verifier_calls,
            fees: ledger.fees,
        }
    }
}

/// A recipe in its human form.
pub(crate) mod as_text {
    use noisesearch_core::recipe::Recipe;
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serializer};

    pub fn serialize<S: Serializer>(recipe: &Recipe, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(recipe)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Recipe, D::Error> {
        String::deserialize(from)?.parse().map_err(D::Error::custom)
    }
}
