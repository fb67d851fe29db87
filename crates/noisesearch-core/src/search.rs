//! The search seam: ask, tell, stop. One algorithm is one file below `search/`.
//!
//! ```text
//! while search.stop().is_none() {
//!     run(search.ask(room));                        // in any batch, on any worker, in any order
//!     search.tell(next job in order, its outcome);  // after the outcome was made durable
//! }
//! ```

mod desk;
pub mod first_order;
pub mod halving;
pub mod paths;
pub mod random;
mod rounds;
mod spec;
mod terms;
pub mod zero_order;

pub use spec::SearchSpec;
pub use terms::{SearchError, Terms};

use crate::job::{Job, JobId, Outcome};
use serde::{Deserialize, Serialize};

/// Why a search is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
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

/// A search algorithm. No tensors, no clock, no random state: same tells, same asks, whatever
/// the `room` of each ask. [`crate::conformance::search`] is what every one must pass.
pub trait Search: Send {
    /// At most `room` new jobs, numbered densely in the order of asking. Empty means that it
    /// needs tells first, or is over. Never empty while it is not over, `room` is not 0 and no
    /// job is outstanding.
    fn ask(&mut self, room: usize) -> Vec<Job>;

    /// The outcome of a job; called in job order, whatever finished first. Ignored once the
    /// search is over, so that jobs outstanding at that moment never count.
    ///
    /// # Panics
    /// When `job` is not the next one in order: a fault of the caller.
    fn tell(&mut self, job: JobId, outcome: &Outcome);

    /// Why the search is over, once it is: nothing more will be asked, and jobs that are
    /// outstanding (possible after [`StopReason::Target`] and [`StopReason::Cancelled`]) are
    /// neither told nor billed.
    fn stop(&self) -> Option<StopReason>;

    /// Ends the search, for example when time is up. Does nothing once it is over.
    fn cancel(&mut self);

    /// The finished candidates that compete for the answer, best first, at most `keep` and at
    /// most [`Terms::keep`].
    fn finalists(&self, keep: usize) -> Vec<JobId>;

    /// The candidate to compare with: the plain first noise at the full search steps. `None` for
    /// an algorithm that never makes it.
    fn baseline(&self) -> Option<JobId>;
}
