//! First-order search (Ma et al., arXiv 2501.09732, figure 14; digest 2.5). The paper counts a
//! backward evaluation as three forward ones; it gives no update rule, so the rule is ours:
//!
//! ```text
//! climbers p = 1 .. P: n_p the best of T ~ N(0, I), r_p = rate; each climber in turn:
//!     y = ascend(n_p, dV(solve(n_p)) / dn_p, r_p)         |y| = |n_p|, see noise::ascend
//!     V(solve(y)) better than V(solve(n_p))?   n_p <- y   else   r_p <- r_p / 2
//! ```
//!
//! A climber whose fresh noises all failed tries more of them. It starts again when its rate fell
//! below an eighth of the first, or its recipe has no room; what it found competes at the end. A
//! step bills the solve of its candidate, the solve through which the gradient is taken, and
//! [`BACKWARD_NFE`] for each evaluation of the latter. The baseline is job 0.

use super::desk::{Cost, Desk};
use super::terms::{at_least_one, require};
use super::{Search, SearchError, StopReason, Terms};
use crate::job::{Job, JobId, Outcome, Scores, View};
use crate::ledger::BACKWARD_NFE;
use crate::limits::MOVES_MAX;
use crate::noise::candidate_root;
use crate::objective::Entry;
use crate::recipe::{Move, VerifierName};
use serde::{Deserialize, Serialize};

/// Climbers at most: each is a recipe in memory.
const PIVOTS_MAX: u32 = 1024;
/// Fresh noises of a climb at most.
const TRIES_MAX: u32 = 65536;
/// A first step that is shorter moves no pixel.
const RATE_MIN: f32 = 1e-3;
/// A climber whose rate fell below this share of the first starts again.
const RATE_SHARE_MIN: f32 = 1.0 / 8.0;

/// Settings of first-order search.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
pub struct Spec {
    /// P, noises that climb side by side, 1 to 1024; default 1.
    pub pivots: u32,
    /// T, fresh noises that a climb begins with, of which the best climbs, 1 to 65536; default 1.
    #[serde(skip_serializing_if = "is_one")]
    pub tries: u32,
    /// Length of the first step as a share of the noise's norm, 0.001 to 1; default 0.2,
    /// the best of 0.05, 0.1, 0.2 and 0.4 on three classes of `glyphs-small`.
    pub rate: f32,
    /// The verifier whose gradient is followed; a run fills in its first optimised one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub follow: Option<VerifierName>,
}

impl Default for Spec {
    fn default() -> Self {
        Self {
            pivots: 1,
            tries: 1,
            rate: 0.2,
            follow: None,
        }
    }
}

/// The only number of tries there was at first; journals do not mention it.
fn is_one(tries: &u32) -> bool {
    *tries == 1
}

/// First-order search.
pub struct FirstOrder {
    desk: Desk,
    tries: u32,
    rate: f32,
    follow: VerifierName,
    /// Fresh noises started so far.
    starts: u64,
    climbers: Vec<Climber>,
}

/// One noise on its way up.
struct Climber {
    /// The best so far of this climb, once one is told.
    pivot: Option<Seat>,
    /// Fresh noises so far.
    tried: u32,
    rate: f32,
    /// The candidate that is out: its noise, and the step from the pivot unless it is fresh.
    out: Option<(u64, Option<Move>)>,
}

/// A candidate that was told.
struct Seat {
    job: JobId,
    scores: Scores,
    root: u64,
    /// From the fresh noise.
    ascents: Vec<Move>,
}

impl FirstOrder {
    /// Fails when a setting is out of range, no verifier is followed, the budget is below one
    /// candidate, or final samples are made in another number format.
    pub fn new(terms: &Terms, spec: &Spec) -> Result<Self, SearchError> {
        if terms.ladder {
            return Err(SearchError::Ladder);
        }
        at_least_one("pivots", spec.pivots.into())?;
        let few = spec.pivots <= PIVOTS_MAX;
        require("pivots", spec.pivots, few, "at most 1024")?;
        let inside = (RATE_MIN..=1.0).contains(&spec.rate);
        require("rate", spec.rate, inside, "between 0.001 and 1")?;
        at_least_one("tries", spec.tries.into())?;
        let few = spec.tries <= TRIES_MAX;
        require("tries", spec.tries, few, "at most 65536")?;
        let Some(follow) = spec.follow else {
            return Err(SearchError::Setting {
                name: "follow",
                value: "missing".into(),
                rule: "the verifier whose gradient is followed",
            });
        };
        let one = Cost {
            nfe: terms.candidate_nfe(),
            evals: 1,
        };
        Ok(Self {
            desk: Desk::open(terms, one)?,
            tries: spec.tries,
            rate: spec.rate,
            follow,
            starts: 0,
            climbers: (0..spec.pivots).map(|_| Climber::new(spec.rate)).collect(),
        })
    }

    /// Whose turn it is.
    fn turn(&self) -> usize {
        (self.desk.asked() % self.climbers.len() as u64) as usize
    }

    /// The pivot from which a climber is to step; `None` while it tries fresh noises.
    fn pivot<'a>(&self, climber: &'a Climber) -> Option<&'a Seat> {
        let pivot = climber.pivot.as_ref();
        pivot.filter(|_| climber.tried >= self.tries)
    }

    /// What the next job of a climber bills: a whole candidate, and for a step from a pivot also
    /// the gradient there.
    fn bill(&self, climber: &Climber) -> u64 {
        let solve = self.desk.terms.candidate_nfe();
        let solves = match self.pivot(climber) {
            None => 1,
            Some(_) => 1 + 1 + BACKWARD_NFE,
        };
        solve.saturating_mul(solves)
    }

    /// The next climber's next candidate; `None` while its last one is out, and when the budget
    /// is spent.
    fn next_job(&mut self) -> Option<Job> {
        let turn = self.turn();
        let climber = &self.climbers[turn];
        if climber.out.is_some() {
            return None;
        }
        let (nfe, terms) = (self.bill(climber), &self.desk.terms);
        let (root, mut moves, step) = match self.pivot(climber) {
            None => (candidate_root(terms.seed, self.starts), Vec::new(), None),
            Some(pivot) => {
                let step = Move::Ascend {
                    verifier: self.follow,
                    rate: climber.rate,
                    steps: terms.search_steps,
                };
                (pivot.root, pivot.ascents.clone(), Some(step))
            }
        };
        moves.extend(step);
        let recipe = terms.whole(root, &moves);
        let job = self.desk.issue(recipe, View::Final, nfe)?;
        let climber = &mut self.climbers[turn];
        if step.is_none() {
            self.starts += 1;
            climber.tried += 1;
        }
        climber.out = Some((root, step));
        Some(job)
    }

    /// Moves the climber whose candidate `job` was told. Ties go to the pivot, which came before.
    fn settle(&mut self, turn: usize, job: JobId, scores: Option<&Scores>) {
        let least = self.rate * RATE_SHARE_MIN;
        let climber = &mut self.climbers[turn];
        let Some((root, step)) = climber.out.take() else {
            return;
        };
        let better = scores.is_some_and(|scores| match &climber.pivot {
            None => true,
            Some(pivot) => {
                let entry = |job, scores| Entry {
                    job,
                    scores: Some(scores),
                };
                let set = [entry(pivot.job, &pivot.scores), entry(job, scores)];
                self.desk.terms.objective.order(&set)[0] == 1
            }
        });
        if let Some(scores) = scores.filter(|_| better) {
            let before = climber.pivot.take().filter(|_| step.is_some());
            let mut ascents = before.map_or_else(Vec::new, |pivot| pivot.ascents);
            ascents.extend(step);
            climber.pivot = Some(Seat {
                job,
                scores: scores.clone(),
                root,
                ascents,
            });
        } else if step.is_some() {
            climber.rate /= 2.0;
        }
        let length = climber
            .pivot
            .as_ref()
            .map_or(0, |pivot| pivot.ascents.len());
        if climber.rate < least || length + 2 > MOVES_MAX {
            *climber = Climber::new(self.rate);
        }
    }
}

impl Climber {
    /// One that is to start from fresh noise.
    fn new(rate: f32) -> Self {
        Self {
            pivot: None,
            tried: 0,
            rate,
            out: None,
        }
    }
}

impl Search for FirstOrder {
    fn ask(&mut self, room: usize) -> Vec<Job> {
        (0..room).map_while(|_| self.next_job()).collect()
    }

    fn tell(&mut self, job: JobId, outcome: &Outcome) {
        let Some(told) = self.desk.receive(job, outcome) else {
            return;
        };
        self.desk.enter(told);
        let turn = (job.0 % self.climbers.len() as u64) as usize;
        self.settle(turn, job, told.scores);
        let next = self.bill(&self.climbers[self.turn()]);
        if self.desk.idle() && !self.desk.affords(next) {
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
