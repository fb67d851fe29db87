//! What every search is given, whatever the algorithm.

use crate::budget::{Budget, Goal};
use crate::ledger::NfeRule;
use crate::level::Level;
use crate::objective::Objective;
use crate::recipe::{Move, Recipe};

/// What every search is given, whatever the algorithm.
#[derive(Clone, Debug, PartialEq)]
pub struct Terms {
    /// Decides every root key.
    pub seed: u64,
    /// What may be billed.
    pub budget: Budget,
    /// Solver steps of one candidate during search, at least 1.
    pub search_steps: u16,
    /// Solver steps of the winner, at least 1; when they differ from `search_steps`, the winner
    /// is made again.
    pub final_steps: u16,
    /// Whether candidates are made in another number format than final samples; then all that are
    /// kept are made again.
    pub ladder: bool,
    /// What the solver's steps cost.
    pub nfe: NfeRule,
    /// What makes one candidate better than another.
    pub objective: Objective,
    /// A score of a finished candidate that ends the search early.
    pub goal: Option<Goal>,
    /// How many of the best are kept, at least 1. Rejected candidates are forgotten, except
    /// under mean rank, which compares all of them.
    pub keep: usize,
}

/// A search that cannot be made as asked.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum SearchError {
    /// The budget does not pay for one candidate.
    #[error("budget {given} is too small for one candidate; the smallest that works is {smallest}")]
    BudgetTooSmall {
        /// The budget.
        given: Budget,
        /// The smallest of its kind that works with these settings.
        smallest: Budget,
    },
    /// A setting outside its range.
    #[error("{name} is {value}; it must be {rule}")]
    Setting {
        /// The setting.
        name: &'static str,
        /// What it was.
        value: String,
        /// What it must be.
        rule: &'static str,
    },
    /// First-order search beside a ladder.
    #[error(
        "this search climbs gradients, which lead elsewhere in another number format; make its \
         candidates in the format of the answer"
    )]
    Ladder,
    /// Paths and halving finish all at once at their end, so time could run out before any picture.
    #[error("this search cannot plan for a budget of {0}; give it as nfe or evals")]
    TimeBudget(Budget),
}

impl Terms {
    /// NFE of one whole candidate during search.
    pub fn candidate_nfe(&self) -> u64 {
        self.nfe.nfe(self.search_steps, Level::CLEAN)
    }

    /// How many of the best are made again when the search is over: all that are kept after a
    /// ladder, else the winner if its final steps differ.
    pub fn finals(&self) -> usize {
        match (self.ladder, self.final_steps == self.search_steps) {
            (true, _) => self.keep,
            (false, same) => usize::from(!same),
        }
    }

    /// NFE of making again the best of so many candidates, each one whole solve.
    pub fn final_nfe(&self, candidates: u64) -> u64 {
        let each = self.nfe.nfe(self.final_steps, Level::CLEAN);
        each.saturating_mul(candidates.min(self.finals() as u64))
    }

    /// How one of the best is made again and what that is billed; `None` when it already is the
    /// final sample: neither steps nor number format differ, or the steps do and it is not one
    /// whole solve (search over paths). After a ladder such a one is made again as it is.
    pub fn remake(&self, winner: &Recipe) -> Option<(Recipe, u64)> {
        if self.finals() == 0 {
            return None;
        }
        match winner.with_final_steps(self.final_steps) {
            Some(again) => Some((again, self.final_nfe(1))),
            None => self.ladder.then(|| (winner.clone(), winner.nfe(&self.nfe))),
        }
    }

    /// The recipe of noise `root`, changed by `nudges`, solved in one go.
    pub(crate) fn whole(&self, root: u64, nudges: &[Move]) -> Recipe {
        let mut moves = Vec::with_capacity(nudges.len() + 1);
        moves.extend_from_slice(nudges);
        moves.push(Move::Denoise {
            to: Level::CLEAN,
            steps: self.search_steps,
        });
        Recipe { root, moves }
    }

    /// Checks the ranges of the settings above.
    pub(crate) fn check(&self) -> Result<(), SearchError> {
        at_least_one("search steps", self.search_steps.into())?;
        at_least_one("final steps", self.final_steps.into())?;
        at_least_one("NFE of one candidate", self.candidate_nfe())?;
        at_least_one("candidates to keep", self.keep as u64)
    }
}

/// Refuses a zero.
pub(crate) fn at_least_one(name: &'static str, value: u64) -> Result<(), SearchError> {
    require(name, value, value >= 1, "at least 1")
}

/// Refuses `value` unless `holds`, which `rule` puts in words.
pub(crate) fn require(
    name: &'static str,
    value: impl ToString,
    holds: bool,
    rule: &'static str,
) -> Result<(), SearchError> {
    if holds {
        return Ok(());
    }
    Err(SearchError::Setting {
        name,
        value: value.to_string(),
        rule,
    })
}
