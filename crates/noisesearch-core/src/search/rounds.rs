//! What searches in rounds share: every survivor is taken on a leg further, judged together with
//! its round, and the best survive.
//!
//! ```text
//! until all legs are done: ask the candidates of the round, wait for all, keep the best
//! answer = the best finished sample
//! ```
//!
//! Candidates of the last round are finished samples; before it the x0-prediction is scored, which
//! takes one NFE. Failed candidates never survive; when all of a round failed, the search is
//! exhausted. Only finished samples compete for the answer and are held against a target. There is
//! no baseline: no candidate is a plain solve.

use super::desk::{Cost, Desk};
use super::{Search, SearchError, StopReason, Terms};
use crate::job::{Job, JobId, Outcome, Scores, View};
use crate::ledger::PREVIEW_NFE;
use crate::level::Level;
use crate::objective::Entry;
use crate::recipe::Recipe;

/// What an algorithm in rounds decides.
pub(super) trait Plan: Send {
    /// Rounds in all, at least 1.
    fn rounds(&self) -> usize;
    /// Candidates of a round.
    fn size(&self, round: usize, survivors: &[Recipe]) -> usize;
    /// Candidate `place` of a round; it ends at level 0 in the last round and only there.
    fn recipe(&self, round: usize, place: usize, survivors: &[Recipe]) -> Recipe;
    /// What it is billed.
    fn nfe(&self, terms: &Terms, round: usize, place: usize) -> u64;
    /// Candidates of a round that survive it, at most.
    fn keep(&self, round: usize) -> usize;
}

/// NFE of a leg of `steps` to level `to`, with the preview where it does not end at 0.
pub(super) fn leg_nfe(terms: &Terms, steps: u16, to: Level) -> u64 {
    let preview = match to == Level::CLEAN {
        true => 0,
        false => PREVIEW_NFE,
    };
    terms.nfe.nfe(steps, to).saturating_add(preview)
}

/// NFE of making again the best of `finished` samples, `each` of so many NFE.
pub(super) fn again_nfe(terms: &Terms, finished: u64, each: u64) -> u64 {
    match terms.ladder {
        true => each.saturating_mul(finished.min(terms.finals() as u64)),
        // What is no whole solve has no finer steps.
        false => 0,
    }
}

/// A search in rounds.
pub(super) struct Rounds<P> {
    desk: Desk,
    plan: P,
    /// Present round, counted from 0.
    round: usize,
    /// Where this round's candidates start, best first.
    survivors: Vec<Recipe>,
    /// Jobs asked in this round.
    asked: usize,
    /// The jobs of this round that were told, and their scores unless they failed.
    told: Vec<(JobId, Option<Scores>)>,
    /// Why the search is over after the last round.
    ending: StopReason,
}

impl<P: Plan> Rounds<P> {
    /// A fresh search that costs `cost` in all, finals included, and goes on from `starts`.
    /// `planned` says whether its size was chosen to fit the budget, which then is why it ends.
    pub fn new(
        terms: &Terms,
        plan: P,
        cost: Cost,
        starts: impl IntoIterator<Item = Recipe>,
        planned: bool,
    ) -> Result<Self, SearchError> {
        let ending = match planned {
            true => StopReason::Budget,
            false => StopReason::Exhausted,
        };
        // First, so that nothing is made of what cannot be paid for.
        let desk = Desk::planned(terms, cost)?;
        Ok(Self {
            desk,
            plan,
            round: 0,
            survivors: starts.into_iter().collect(),
            asked: 0,
            told: Vec::new(),
            ending,
        })
    }

    fn size(&self) -> usize {
        self.plan.size(self.round, &self.survivors)
    }

    fn last(&self) -> bool {
        self.round + 1 == self.plan.rounds()
    }

    fn next_job(&mut self) -> Option<Job> {
        if self.asked >= self.size() {
            return None;
        }
        let view = match self.last() {
            true => View::Final,
            false => View::Preview,
        };
        let recipe = self.plan.recipe(self.round, self.asked, &self.survivors);
        let nfe = self.plan.nfe(&self.desk.terms, self.round, self.asked);
        let job = self.desk.issue(recipe, view, nfe)?;
        self.asked += 1;
        Some(job)
    }

    fn end_round(&mut self) {
        if self.last() {
            self.desk.close(self.ending);
            return;
        }
        let set = self.told.iter().map(|(job, scores)| Entry {
            job: *job,
            scores: scores.as_ref(),
        });
        let order = self.desk.terms.objective.order(&set.collect::<Vec<_>>());
        let best = order
            .into_iter()
            .filter(|&place| self.told[place].1.is_some());
        let on = |place| self.plan.recipe(self.round, place, &self.survivors);
        self.survivors = best.take(self.plan.keep(self.round)).map(on).collect();
        self.told.clear();
        self.asked = 0;
        self.round += 1;
        if self.survivors.is_empty() {
            self.desk.close(StopReason::Exhausted);
        }
    }
}

impl<P: Plan> Search for Rounds<P> {
    fn ask(&mut self, room: usize) -> Vec<Job> {
        (0..room).map_while(|_| self.next_job()).collect()
    }

    fn tell(&mut self, job: JobId, outcome: &Outcome) {
        let Some(told) = self.desk.receive(job, outcome) else {
            return;
        };
        if self.last() {
            self.desk.enter(told);
        }
        self.told.push((job, told.scores.cloned()));
        if self.told.len() == self.size() {
            self.end_round();
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
        None
    }
}
