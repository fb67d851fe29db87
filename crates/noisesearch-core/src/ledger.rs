//! Two honest columns: what the algorithm asked for (*billed*) and what really ran (*spent*).

use serde::{Deserialize, Serialize};

/// One column of the ledger.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Ledger {
    /// Function evaluations of the denoiser during search; a guided evaluation is one.
    pub search_nfe: u64,
    /// Function evaluations of the final generation, when the winner is made again.
    pub final_nfe: u64,
    /// Network passes: two per guided evaluation.
    pub passes: u64,
    /// Scores asked of verifiers, one per candidate and verifier.
    pub verifier_calls: u64,
    /// Wall-clock seconds.
    pub seconds: f64,
}

/// How many NFE a deterministic solve costs: `per_step * steps`, less `saved_at_zero` when it
/// ends at level 0 (Heun's last step is Euler).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NfeRule {
    /// Evaluations a step.
    pub per_step: u64,
    /// Evaluations saved by the last step to level 0.
    pub saved_at_zero: u64,
}
