//! Zero-order search, ZO-N (Ma et al., arXiv 2501.09732, section 3.2; digest 2.2 and 2.3).
//!
//! ```text
//! pivot n ~ N(0, I); each round:
//!     y_1 .. y_N = neighbours of n: |y| = |n|, cos(y, n) = c, direction uniform
//!     n <- the best of {n, y_1, .. y_N} by V(solve(.)); n keeps the score it has
//! ```
//!
//! A pivot is never scored again, so a round bills N candidates. The first round of a pivot asks
//! for it and its neighbours together. The last round may be partial: the budget decides. A
//! pivot that failed, and one whose recipe has no room for another nudge, is always replaced by
//! fresh noise; it stays among the finalists. The baseline is job 0, the first pivot.

use super::desk::{Cost, Desk};
use super::terms::{at_least_one, require};
use super::{Search, SearchError, StopReason, Terms};
use crate::job::{Job, JobId, Outcome, Scores, View};
use crate::limits::MOVES_MAX;
use crate::noise::candidate_root;
use crate::objective::Entry;
use crate::recipe::Move;
use serde::{Deserialize, Serialize};

/// Settings of zero-order search.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
pub struct Spec {
    /// N, neighbours a round; default 4, where the paper finds little left to gain.
    pub neighbours: u32,
    /// c, cosine of a neighbour with its pivot, in (-1, 1); default 0.95, the authors' value.
    pub cosine: f32,
    /// What to do when no neighbour beats the pivot; default keep.
    pub stuck: Stuck,
    /// K, the most rounds; default: as many as the budget pays for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rounds: Option<u32>,
}

/// What to do when no neighbour beats the pivot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stuck {
    /// Keep the pivot and count the round.
    #[default]
    Keep,
    /// Start again from fresh noise and count the round; the old pivot competes at the end.
    Restart,
    /// Repeat the round with other neighbours and do not count it.
    Retry,
}

impl Default for Spec {
    fn default() -> Self {
        Self {
            neighbours: 4,
            cosine: 0.95,
            stuck: Stuck::Keep,
            rounds: None,
        }
    }
}

/// Zero-order search.
pub struct ZeroOrder {
    desk: Desk,
    spec: Spec,
    /// Fresh noises started so far; the present pivot descends from the last.
    starts: u64,
    /// The present pivot's nudges from its fresh noise.
    nudges: Vec<Move>,
    /// Neighbours drawn from the present fresh noise: no draw number repeats along a chain.
    draws: u32,
    /// The pivot, once asked; then the neighbours of this round.
    round: Vec<Seat>,
    /// Rounds counted.
    rounds: u32,
}

/// One candidate of the round.
struct Seat {
    job: JobId,
    /// The nudge from the pivot; `None` for the pivot itself.
    nudge: Option<Move>,
    scores: Option<Scores>,
}

impl ZeroOrder {
    /// Fails when a setting is out of range or the budget is below one candidate.
    pub fn new(terms: &Terms, spec: &Spec) -> Result<Self, SearchError> {
        at_least_one("neighbours", spec.neighbours.into())?;
        at_least_one("rounds", spec.rounds.unwrap_or(1).into())?;
        let inside = spec.cosine > -1.0 && spec.cosine < 1.0;
        require("cosine", spec.cosine, inside, "strictly between -1 and 1")?;
        let one = Cost {
            nfe: terms.candidate_nfe(),
            evals: 1,
        };
        let desk = Desk::open(terms, one)?;
        let spec = spec.clone();
        let (nudges, round) = (Vec::new(), Vec::new());
        Ok(Self {
            desk,
            spec,
            starts: 1,
            nudges,
            draws: 0,
            round,
            rounds: 0,
        })
    }

    /// The pivot if it was not asked yet, else another neighbour; `None` when the round is full
    /// or the budget is spent.
    fn next_job(&mut self) -> Option<Job> {
        if self.full() {
            return None;
        }
        let nudge = (!self.round.is_empty()).then_some(Move::Nudge {
            draw: self.draws,
            cosine: self.spec.cosine,
        });
        let mut nudges = self.nudges.clone();
        nudges.extend(nudge);
        let terms = &self.desk.terms;
        let recipe = terms.whole(candidate_root(terms.seed, self.starts - 1), &nudges);
        let nfe = terms.candidate_nfe();
        let job = self.desk.issue(recipe, View::Final, nfe)?;
        self.draws += u32::from(nudge.is_some());
        self.round.push(Seat {
            job: job.id,
            nudge,
            scores: None,
        });
        Some(job)
    }

    fn full(&self) -> bool {
        self.round.len() as u64 > u64::from(self.spec.neighbours)
    }

    fn broke(&self) -> bool {
        !self.desk.affords(self.desk.terms.candidate_nfe())
    }

    /// Moves the pivot, and ends the search when nothing more can be asked. Ties, and a round
    /// without any score, go to the pivot: it has the lowest job id.
    fn end_round(&mut self) {
        let seats = self.round.iter();
        let set: Vec<Entry> = seats
            .map(|seat| Entry {
                job: seat.job,
                scores: seat.scores.as_ref(),
            })
            .collect();
        let best = self.desk.terms.objective.order(&set)[0];
        let winner = self.round.swap_remove(best);
        self.round.clear();
        let stuck = winner.nudge.is_none();
        let failed = winner.scores.is_none();
        self.rounds += u32::from(!stuck || self.spec.stuck != Stuck::Retry);
        self.nudges.extend(winner.nudge);
        let chain_full = self.nudges.len() + 2 > MOVES_MAX;
        if failed || chain_full || (stuck && self.spec.stuck == Stuck::Restart) {
            self.starts += 1;
            self.nudges.clear();
            self.draws = 0;
        } else {
            self.round.push(Seat {
                nudge: None,
                ..winner
            });
        }
        if self.spec.rounds.is_some_and(|most| self.rounds >= most) {
            self.desk.close(StopReason::Exhausted);
        } else if self.broke() {
            self.desk.close(StopReason::Budget);
        }
    }
}

impl Search for ZeroOrder {
    fn ask(&mut self, room: usize) -> Vec<Job> {
        (0..room).map_while(|_| self.next_job()).collect()
    }

    fn tell(&mut self, job: JobId, outcome: &Outcome) {
        let Some(told) = self.desk.receive(job, outcome) else {
            return;
        };
        self.desk.enter(told);
        if let Some(seat) = self.round.iter_mut().find(|seat| seat.job == job) {
            seat.scores = told.scores.cloned();
        }
        if self.desk.idle() && (self.full() || self.broke()) {
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
        Some(JobId(0))
    }
}
