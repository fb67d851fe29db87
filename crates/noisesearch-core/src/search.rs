//! The search seam: ask, tell, stop.

use crate::job::{Job, JobId, Outcome};

/// Why a search has no more to ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopReason {
    /// The next candidate would exceed the budget.
    Budget,
    /// The target score was reached.
    Target,
    /// The algorithm has nothing left to try.
    Exhausted,
    /// Somebody asked it to stop.
    Cancelled,
}

/// A search algorithm. No tensors, no clock, no random state: same tells, same asks.
pub trait Search: Send {
    /// At most `room` new jobs; empty means that it needs tells first, or has stopped.
    fn ask(&mut self, room: usize) -> Vec<Job>;
    /// The outcome of a job; called in job order, whatever finished first.
    fn tell(&mut self, job: JobId, outcome: &Outcome);
    /// Why there is no more to ask, once that is so.
    fn stop(&self) -> Option<StopReason>;
    /// The finished candidates that compete for the answer, best first, at most `keep`.
    fn finalists(&self, keep: usize) -> Vec<JobId>;
}
