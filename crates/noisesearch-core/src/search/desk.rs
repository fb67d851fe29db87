//! What every algorithm needs: numbered jobs within the budget, tells in order, the best so far.

use super::terms::{SearchError, Terms};
use super::{JobId, Outcome, StopReason};
use crate::budget::Budget;
use crate::job::{Job, Scores, View};
use crate::objective::{Entry, Objective};
use crate::recipe::Recipe;

/// A cost in both units of a budget.
#[derive(Clone, Copy)]
pub(super) struct Cost {
    pub nfe: u64,
    pub evals: u64,
}

/// The bookkeeping of one search.
pub(super) struct Desk {
    pub terms: Terms,
    /// NFE set aside for the finals of so many candidates.
    reserve: fn(&Terms, u64) -> u64,
    /// Of the budget, the reserve included.
    left: Cost,
    asked: u64,
    told: u64,
    over: Option<StopReason>,
    podium: Podium,
}

impl Desk {
    /// Checks the terms and that the budget pays for `smallest`, one candidate, and for making it
    /// again where the best are made again.
    pub fn open(terms: &Terms, smallest: Cost) -> Result<Self, SearchError> {
        Self::with_reserve(terms, smallest, Terms::final_nfe)
    }

    /// The same for a search whose cost in all, finals included, is `whole`.
    pub fn planned(terms: &Terms, whole: Cost) -> Result<Self, SearchError> {
        Self::with_reserve(terms, whole, |_, _| 0)
    }

    fn with_reserve(
        terms: &Terms,
        smallest: Cost,
        reserve: fn(&Terms, u64) -> u64,
    ) -> Result<Self, SearchError> {
        terms.check()?;
        let needed_nfe = smallest.nfe.saturating_add(reserve(terms, 1));
        let too_small = |smallest| SearchError::BudgetTooSmall {
            given: terms.budget,
            smallest,
        };
        let left = match terms.budget {
            Budget::Nfe(n) if n < needed_nfe => return Err(too_small(Budget::Nfe(needed_nfe))),
            Budget::Evals(n) if n < smallest.evals => {
                return Err(too_small(Budget::Evals(smallest.evals)));
            }
            Budget::Nfe(n) => Cost {
                nfe: n,
                evals: u64::MAX,
            },
            Budget::Evals(n) => Cost {
                nfe: u64::MAX,
                evals: n,
            },
            Budget::Seconds(_) => Cost {
                nfe: u64::MAX,
                evals: u64::MAX,
            },
        };
        let podium = Podium {
            keep: terms.keep,
            entries: Vec::new(),
        };
        Ok(Self {
            terms: terms.clone(),
            reserve,
            left,
            asked: 0,
            told: 0,
            over: None,
            podium,
        })
    }

    /// Jobs asked so far: the number of the next one.
    pub fn asked(&self) -> u64 {
        self.asked
    }

    /// Whether the budget pays for one more job of `nfe`, and then for the finals.
    pub fn affords(&self, nfe: u64) -> bool {
        let finals = (self.reserve)(&self.terms, self.asked + 1);
        nfe.saturating_add(finals) <= self.left.nfe && self.left.evals > 0
    }

    /// The next job, paid for; `None` when the budget does not allow it or the search is over.
    pub fn issue(&mut self, recipe: Recipe, view: View, nfe: u64) -> Option<Job> {
        if self.over.is_some() || !self.affords(nfe) {
            return None;
        }
        self.left.nfe -= nfe;
        self.left.evals -= 1;
        let id = JobId(self.asked);
        self.asked += 1;
        Some(Job {
            id,
            recipe,
            view,
            nfe,
        })
    }

    /// Takes the next outcome in order; `None` when the search is over and it does not count.
    pub fn receive<'a>(&mut self, job: JobId, outcome: &'a Outcome) -> Option<Told<'a>> {
        if self.over.is_some() {
            return None;
        }
        assert!(
            job.0 == self.told && job.0 < self.asked,
            "told job {}, but the next one in order is {} of {} asked",
            job.0,
            self.told,
            self.asked
        );
        self.told += 1;
        Some(Told {
            job,
            scores: outcome.scores(),
        })
    }

    /// Lets a finished candidate compete, and ends the search when it reaches the goal.
    pub fn enter(&mut self, told: Told) {
        let Some(scores) = told.scores else { return };
        self.podium.enter(&self.terms.objective, told.job, scores);
        if self.terms.goal.is_some_and(|goal| goal.reached(scores)) {
            self.close(StopReason::Target);
        }
    }

    /// Whether every job asked was told.
    pub fn idle(&self) -> bool {
        self.asked == self.told
    }

    /// Ends the search, unless it is over already.
    pub fn close(&mut self, reason: StopReason) {
        self.over = self.over.or(Some(reason));
    }

    /// Why the search is over, once it is.
    pub fn over(&self) -> Option<StopReason> {
        self.over
    }

    /// The best finished candidates.
    pub fn finalists(&self, keep: usize) -> Vec<JobId> {
        self.podium.best(&self.terms.objective, keep)
    }
}

/// One outcome that counts.
#[derive(Clone, Copy)]
pub(super) struct Told<'a> {
    pub job: JobId,
    pub scores: Option<&'a Scores>,
}

/// The best `keep` candidates, best first; under mean rank all of them, in job order.
struct Podium {
    keep: usize,
    entries: Vec<(JobId, Scores)>,
}

impl Podium {
    /// Jobs enter in order, so an equal one that came before stays ahead.
    fn enter(&mut self, objective: &Objective, job: JobId, scores: &Scores) {
        let place = match objective.value(scores) {
            None => self.entries.len(),
            value => self
                .entries
                .partition_point(|(_, held)| objective.value(held) >= value),
        };
        let ranked_by_set = matches!(objective, Objective::MeanRank(_));
        if ranked_by_set || place < self.keep {
            self.entries.insert(place, (job, scores.clone()));
        }
        if !ranked_by_set {
            self.entries.truncate(self.keep);
        }
    }

    fn best(&self, objective: &Objective, keep: usize) -> Vec<JobId> {
        let keep = keep.min(self.keep);
        if !matches!(objective, Objective::MeanRank(_)) {
            return self
                .entries
                .iter()
                .take(keep)
                .map(|(job, _)| *job)
                .collect();
        }
        let set: Vec<Entry> = self
            .entries
            .iter()
            .map(|(job, s)| Entry {
                job: *job,
                scores: Some(s),
            })
            .collect();
        let order = objective.order(&set);
        order
            .into_iter()
            .take(keep)
            .map(|place| set[place].job)
            .collect()
    }
}
