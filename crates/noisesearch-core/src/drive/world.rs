//! What is outside a search: workers, a clock, somebody who watches and may cancel.

use crate::job::{Job, JobId, Outcome};
use crate::ledger::Ledger;
use crate::search::Search;

/// Everything around [`super::drive`] that it does not decide itself.
pub trait World {
    /// What ends the run early but resumable, for example a device that is out of memory.
    type Error: std::error::Error;

    /// Takes jobs to be made and scored, in any batch and order. A job that was lost comes again.
    fn submit(&mut self, jobs: &[Job]) -> Result<(), Self::Error>;

    /// What finished since the last call, in any order; waits for something when there is
    /// nothing. May return empty, for example to let a cancellation be seen, but should not do
    /// so without waiting.
    fn poll(&mut self) -> Result<Vec<Finished>, Self::Error>;

    /// A job was told to the search: it is durable and billed. Also called, before anything is
    /// submitted, for every job that an earlier process told.
    fn told(&mut self, news: &News) -> Result<(), Self::Error>;

    /// Seconds since this process began the run; never less than before.
    fn seconds(&mut self) -> f64;

    /// Whether somebody asked the run to stop, resumable. Asked once a round.
    fn cancelled(&mut self) -> bool;
}

/// The end of one attempt at a job.
#[derive(Clone, Debug, PartialEq)]
pub struct Finished {
    /// The job.
    pub job: JobId,
    /// Its outcome, or why there is none.
    pub result: Result<Outcome, Lost>,
    /// What this attempt really ran, padding and recomputation included; its seconds are
    /// ignored, because attempts overlap.
    pub spent: Ledger,
}

/// The worker died, hung or answered nonsense; says what happened. The job is tried again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lost(pub String);

/// One job that counts.
#[derive(Clone, Copy)]
pub struct News<'a> {
    /// The job.
    pub job: &'a Job,
    /// What became of it.
    pub outcome: &'a Outcome,
    /// What the run was billed so far; its seconds are 0.
    pub billed: &'a Ledger,
    /// What was really spent so far, earlier processes included as far as known.
    pub spent: &'a Ledger,
    /// The search, to be asked for its finalists.
    pub search: &'a dyn Search,
    /// Whether an earlier process made it; then its picture is not at hand.
    pub replayed: bool,
}
