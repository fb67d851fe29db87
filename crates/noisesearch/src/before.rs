//! What earlier processes of a run did, as far as they could say.

use crate::report;
use crate::rundir::RunDir;
use crate::summary::Column;
use noisesearch_core::journal::Opened;
use noisesearch_core::ledger::Ledger;
use noisesearch_core::search::StopReason;

/// What earlier processes of a run did.
pub struct Before {
    /// Candidates that they told.
    pub told: u64,
    /// What they spent that the journal does not tell; no seconds.
    pub unjournalled: Ledger,
    /// How long they worked.
    pub seconds: f64,
    /// Whether one of them brought the run to its end.
    pub ended: bool,
}

impl Before {
    /// What the journal says, and what the summary says that was written after it.
    pub fn of(run: &RunDir, opened: &Opened) -> Self {
        let told = opened.entries.iter().map(|entry| entry.told.len() as u64);
        let journal = opened.entries.last().map(|entry| entry.spent);
        let journal = journal.unwrap_or_default();
        // One that cannot be read is written anew.
        let summary = report::summary(run, opened.journal.head()).ok().flatten();
        let (unjournalled, seconds) = match &summary {
            Some(summary) => (more(summary.spent, journal), summary.seconds),
            None => (Ledger::default(), journal.seconds),
        };
        Self {
            told: told.sum(),
            unjournalled,
            seconds,
            ended: summary.is_some_and(|summary| summary.stop != StopReason::Cancelled),
        }
    }
}

/// What is in `all` beyond `part`.
fn more(all: Column, part: Ledger) -> Ledger {
    Ledger {
        search_nfe: all.search_nfe.saturating_sub(part.search_nfe),
        final_nfe: all.final_nfe.saturating_sub(part.final_nfe),
        passes: all.passes.saturating_sub(part.passes),
        verifier_calls: all.verifier_calls.saturating_sub(part.verifier_calls),
        fees: all.fees - part.fees,
        seconds: 0.0,
    }
}
