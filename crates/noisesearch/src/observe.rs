//! Who watches a run, and who may stop it.

use crate::spec::Checked;
use noisesearch_core::budget::Budget;
use noisesearch_core::job::Scores;
use noisesearch_core::ledger::Ledger;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

/// Told how a run goes, on the thread that runs it. Every method may be left out.
pub trait Observer {
    /// The run directory is there and the work begins; `told` candidates are already in the
    /// journal when a run is resumed.
    fn started(&mut self, _run: &Path, _spec: &Checked, _told: u64) {}

    /// A candidate was told to the search; called in job order, after its journal line is safe.
    fn progress(&mut self, _progress: &Progress) {}

    /// An image file of the run is new or was replaced: the baseline or the best so far.
    fn image(&mut self, _path: &Path) {}

    /// Something that a person should read, such as a torn journal line that was dropped.
    fn note(&mut self, _text: &str) {}
}

/// An observer that does not look.
impl Observer for () {}

/// How far a run is.
#[derive(Clone, Debug)]
pub struct Progress<'a> {
    /// What is run; scores are in the order of its [`crate::spec::Resolved::scored`].
    pub spec: &'a Checked,
    /// Candidates told, failed ones included.
    pub candidates: u64,
    /// Candidates that failed.
    pub failed: u64,
    /// Scores of the best candidate so far.
    pub best: Option<&'a Scores>,
    /// What was billed so far.
    pub billed: Ledger,
    /// Seconds of all sessions of this run so far.
    pub seconds: f64,
}

impl Progress<'_> {
    /// Which part of the budget is gone, in `[0, 1]`.
    pub fn fraction(&self) -> f64 {
        let share = match self.spec.budget {
            Budget::Nfe(nfe) => self.billed.total_nfe() as f64 / nfe.max(1) as f64,
            Budget::Evals(evals) => self.candidates as f64 / evals.max(1) as f64,
            Budget::Seconds(seconds) => self.seconds / seconds,
        };
        share.clamp(0.0, 1.0)
    }

    /// Seconds that the rest of the budget takes at the speed so far; `None` before there is one.
    pub fn seconds_left(&self) -> Option<f64> {
        let done = self.fraction();
        (done > 0.0).then(|| self.seconds * (1.0 - done) / done)
    }
}

/// An observer and a flag that stops the run after the batch in flight.
pub struct Control<'a> {
    /// Who watches.
    pub observer: &'a mut dyn Observer,
    /// Set to true, from any thread or a signal handler, to stop; the run can be resumed.
    pub cancel: &'a AtomicBool,
}

impl Control<'_> {
    /// Whether somebody asked to stop.
    pub fn cancelled(&self) -> bool {
        self.cancel.load(Ordering::Relaxed)
    }
}
