//! Random search: best of n (Ma et al., arXiv 2501.09732, section 3.2; digest 2.1).
//!
//! ```text
//! x_i ~ N(0, I), i = 0, 1, ...        answer = argmax_i V(solve(x_i))
//! ```
//!
//! Candidate i depends on the seed and i alone: a larger budget keeps the earlier candidates.
//! The baseline is job 0.

use super::desk::{Cost, Desk};
use super::{Search, SearchError, StopReason, Terms};
use crate::job::{Job, JobId, Outcome, View};
use crate::noise::candidate_root;
use serde::{Deserialize, Serialize};

/// Settings of random search: none.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spec {}

/// Random search.
pub struct Random {
    desk: Desk,
}

impl Random {
    /// Fails when the terms do not hold or the budget is below one candidate.
    pub fn new(terms: &Terms, _spec: &Spec) -> Result<Self, SearchError> {
        let one = Cost {
            nfe: terms.candidate_nfe(),
            evals: 1,
        };
        Ok(Self {
            desk: Desk::open(terms, one)?,
        })
    }
}

impl Search for Random {
    fn ask(&mut self, room: usize) -> Vec<Job> {
        let next = |_| {
            let terms = &self.desk.terms;
            let recipe = terms.whole(candidate_root(terms.seed, self.desk.asked()), &[]);
            let nfe = terms.candidate_nfe();
            self.desk.issue(recipe, View::Final, nfe)
        };
        (0..room).map_while(next).collect()
    }

    fn tell(&mut self, job: JobId, outcome: &Outcome) {
        let Some(told) = self.desk.receive(job, outcome) else {
            return;
        };
        self.desk.enter(told);
        if self.desk.idle() && !self.desk.affords(self.desk.terms.candidate_nfe()) {
            self.desk.close(StopReason::Budget);
        }
    }

    fn stop(&self) -> Option<StopReason> {
        self.desk.over()
    }

    fn cancel(&mut self) {
        self.desk.close(StopReason::Cancelled);
    }

    fn finalists(&self, keep: usize) -> Vec<JobId> {
        self.desk.finalists(keep)
    }

    fn baseline(&self) -> Option<JobId> {
        Some(JobId(0))
    }
}
