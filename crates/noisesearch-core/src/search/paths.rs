//! Search over paths, Paths-N (Ma et al., arXiv 2501.09732, section 3.2; digest 2.4).
//!
//! ```text
//! N noises, solved from level 1 to s = sigma                            (first leg)
//! until s = 0:
//!     renoise each survivor M times to s + forward, solve to max(0, s + forward - backward)
//!     score the x0-predictions (one NFE each; at 0 the sample itself)
//!     keep the best N of all N M;  s <- max(0, s + forward - backward)
//! answer = the best of the last round
//! ```
//!
//! The first job of a path pays its first leg. Renoisings are drawn anew for every slot, so two
//! survivors of one parent get different noises. Failed candidates never survive; when all of a
//! round failed, the search is exhausted. Only finished samples (the last round) compete for the
//! answer and are held against a target. There is no baseline: no candidate is a plain solve.

use super::desk::{Cost, Desk};
use super::terms::{at_least_one, require};
use super::{Search, SearchError, StopReason, Terms};
use crate::budget::Budget;
use crate::job::{Job, JobId, Outcome, Scores, View};
use crate::ledger::PREVIEW_NFE;
use crate::level::Level;
use crate::limits::{LEVEL_EPSILON, MOVES_MAX};
use crate::noise::candidate_root;
use crate::objective::Entry;
use crate::recipe::{Move, Recipe};
use serde::{Deserialize, Serialize};

/// Settings of search over paths. What is not given is decided by the terms
/// ([`Spec::resolve`]).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
pub struct Spec {
    /// N, paths kept; default 2, the paper's choice for text to image.
    pub paths: u32,
    /// M, renoisings of each path a round; default: as many as the budget pays for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub noises: Option<u32>,
    /// Level where the search starts, in (0, 1); default 0.11.
    pub sigma: f64,
    /// How far up a renoising goes, above 0, with `sigma + forward` at most 1; default 0.78.
    pub forward: f64,
    /// How far down a leg goes from there, above `forward`; default 0.81.
    pub backward: f64,
    /// Solver steps of the first leg; default: the search steps' share of `1 - sigma`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_steps: Option<u16>,
    /// L, solver steps of a backward leg; default: a quarter of the search steps, which is what
    /// the paper's plotted cost amounts to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub leg_steps: Option<u16>,
}

impl Default for Spec {
    fn default() -> Self {
        let (first_steps, leg_steps) = (None, None);
        let (sigma, forward, backward) = (0.11, 0.78, 0.81);
        Self {
            paths: 2,
            noises: None,
            sigma,
            forward,
            backward,
            first_steps,
            leg_steps,
        }
    }
}

impl Spec {
    /// The same with every setting explicit. Fails when a setting is out of range or the budget
    /// does not pay for one renoising of every path.
    pub fn resolve(&self, terms: &Terms) -> Result<Self, SearchError> {
        let plan = Plan::new(terms, self)?;
        Ok(Self {
            noises: Some(plan.noises),
            first_steps: Some(plan.first_steps),
            leg_steps: Some(plan.leg_steps),
            ..self.clone()
        })
    }
}

/// One round: the level renoised to, and the level solved to.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Leg {
    up: Level,
    down: Level,
}

/// A spec with every choice made and checked.
struct Plan {
    paths: u32,
    noises: u32,
    start: Level,
    legs: Vec<Leg>,
    first_steps: u16,
    leg_steps: u16,
}

impl Plan {
    fn new(terms: &Terms, spec: &Spec) -> Result<Self, SearchError> {
        terms.check()?;
        at_least_one("paths", spec.paths.into())?;
        let share = |part: f64| (f64::from(terms.search_steps) * part).round().max(1.0) as u16;
        let mut plan = Self {
            paths: spec.paths,
            noises: 1,
            legs: legs(spec)?,
            start: level(spec.sigma)?,
            first_steps: spec.first_steps.unwrap_or_else(|| share(1.0 - spec.sigma)),
            leg_steps: spec.leg_steps.unwrap_or_else(|| share(0.25)),
        };
        at_least_one("first-steps", plan.first_steps.into())?;
        at_least_one("leg-steps", plan.leg_steps.into())?;
        let most = u32::MAX / plan.paths;
        let affordable = plan.affordable_noises(terms)?.clamp(1, most.into()) as u32;
        plan.noises = spec.noises.unwrap_or(affordable);
        let drawable = (1..=most).contains(&plan.noises);
        require(
            "noises",
            plan.noises,
            drawable,
            "at least 1, with N M below 2^32",
        )?;
        Ok(plan)
    }

    /// The largest M that the budget pays for; 0 when it pays for none.
    fn affordable_noises(&self, terms: &Terms) -> Result<u64, SearchError> {
        let (none, one) = (self.cost(terms, 0), self.cost(terms, 1));
        match terms.budget {
            Budget::Nfe(n) => Ok(n.saturating_sub(none.nfe) / (one.nfe - none.nfe).max(1)),
            Budget::Evals(n) => Ok(n / one.evals),
            Budget::Seconds(_) => Err(SearchError::TimeBudget(terms.budget)),
        }
    }

    /// What a whole search with M = `noises` is billed.
    fn cost(&self, terms: &Terms, noises: u32) -> Cost {
        let legs = self.legs.iter().map(|leg| self.leg_nfe(terms, leg));
        let renoising = legs.fold(0, u64::saturating_add);
        let path = self
            .first_nfe(terms)
            .saturating_add(renoising.saturating_mul(noises.into()));
        let jobs = u64::from(self.paths) * u64::from(noises);
        let evals = jobs.saturating_mul(self.legs.len() as u64);
        Cost {
            nfe: path.saturating_mul(self.paths.into()),
            evals,
        }
    }

    fn first_nfe(&self, terms: &Terms) -> u64 {
        terms.nfe.nfe(self.first_steps, self.start)
    }

    /// One renoising of one path in the round of `leg`.
    fn leg_nfe(&self, terms: &Terms, leg: &Leg) -> u64 {
        let preview = if leg.down == Level::CLEAN {
            0
        } else {
            PREVIEW_NFE
        };
        terms
            .nfe
            .nfe(self.leg_steps, leg.down)
            .saturating_add(preview)
    }
}

/// The rounds, from `sigma` until the level is 0.
fn legs(spec: &Spec) -> Result<Vec<Leg>, SearchError> {
    let Spec {
        sigma,
        forward,
        backward,
        ..
    } = *spec;
    let inside = sigma > LEVEL_EPSILON && sigma < 1.0 - LEVEL_EPSILON;
    require("sigma", sigma, inside, "strictly between 0 and 1")?;
    let room = forward > LEVEL_EPSILON && sigma + forward < 1.0 + LEVEL_EPSILON;
    require(
        "forward",
        forward,
        room,
        "above 0, with sigma + forward at most 1",
    )?;
    let gain = backward - forward;
    let falls = gain > LEVEL_EPSILON && backward <= 1.0;
    require("backward", backward, falls, "above forward and at most 1")?;
    let rounds = ((sigma - LEVEL_EPSILON) / gain).ceil().max(1.0);
    let fits = 1.0 + 2.0 * rounds <= MOVES_MAX as f64;
    require(
        "backward - forward",
        gain,
        fits,
        "large enough for at most 127 rounds to level 0",
    )?;
    let leg = |round| {
        let from = sigma - f64::from(round) * gain;
        Ok(Leg {
            up: level(from + forward)?,
            down: level(from - gain)?,
        })
    };
    (0..rounds as u32).map(leg).collect()
}

/// The level nearest to `value`; what rounding left below 0 or above 1 becomes that.
fn level(value: f64) -> Result<Level, SearchError> {
    let value = if value < LEVEL_EPSILON {
        0.0
    } else {
        value.min(1.0)
    };
    Level::new(value as f32).map_err(|error| SearchError::Setting {
        name: "a level of sigma, forward and backward",
        value: error.0.to_string(),
        rule: "within [0, 1]",
    })
}

/// Search over paths.
pub struct Paths {
    desk: Desk,
    plan: Plan,
    /// Present round, counted from 0; the number of legs when all are done.
    round: usize,
    /// Where this round's renoisings start.
    survivors: Vec<Recipe>,
    /// Jobs asked in this round.
    asked: usize,
    /// The jobs of this round that were told, and their scores unless they failed.
    told: Vec<(JobId, Option<Scores>)>,
    /// Why the search is over after the last round.
    ending: StopReason,
}

impl Paths {
    /// Fails when a setting is out of range or the budget does not pay for all rounds.
    pub fn new(terms: &Terms, spec: &Spec) -> Result<Self, SearchError> {
        let plan = Plan::new(terms, spec)?;
        let desk = Desk::open(terms, plan.cost(terms, plan.noises), 0)?;
        let first = Move::Denoise {
            to: plan.start,
            steps: plan.first_steps,
        };
        let start = |slot: u32| Recipe {
            root: candidate_root(terms.seed, slot.into()),
            moves: vec![first],
        };
        let survivors = (0..plan.paths).map(start).collect();
        let ending = match spec.noises {
            Some(_) => StopReason::Exhausted,
            None => StopReason::Budget, // it chose M
        };
        Ok(Self {
            desk,
            plan,
            round: 0,
            survivors,
            asked: 0,
            told: Vec::new(),
            ending,
        })
    }

    /// Jobs in this round: every survivor renoised M times.
    fn round_size(&self) -> usize {
        self.survivors.len() * self.plan.noises as usize
    }

    /// Candidate `place` of this round; slot by slot, so that a path's cost comes first.
    fn recipe(&self, place: usize, leg: Leg) -> Recipe {
        let mut recipe = self.survivors[place / self.plan.noises as usize].clone();
        recipe.moves.push(Move::Renoise {
            draw: place as u32,
            to: leg.up,
        });
        recipe.moves.push(Move::Denoise {
            to: leg.down,
            steps: self.plan.leg_steps,
        });
        recipe
    }

    fn next_job(&mut self) -> Option<Job> {
        let place = self.asked;
        if place >= self.round_size() {
            return None;
        }
        let leg = *self.plan.legs.get(self.round)?;
        let view = if leg.down == Level::CLEAN {
            View::Final
        } else {
            View::Preview
        };
        let opens_path = self.round == 0 && place.is_multiple_of(self.plan.noises as usize);
        let terms = &self.desk.terms;
        let first = if opens_path {
            self.plan.first_nfe(terms)
        } else {
            0
        };
        let nfe = first + self.plan.leg_nfe(terms, &leg);
        let job = self.desk.issue(self.recipe(place, leg), view, nfe)?;
        self.asked += 1;
        Some(job)
    }

    /// The best N over all paths survive.
    fn end_round(&mut self, leg: Leg) {
        let set: Vec<Entry> = self
            .told
            .iter()
            .map(|(job, s)| Entry {
                job: *job,
                scores: s.as_ref(),
            })
            .collect();
        let order = self.desk.terms.objective.order(&set).into_iter();
        let alive = order.filter(|&place| set[place].scores.is_some());
        let best = alive.take(self.plan.paths as usize);
        self.survivors = best.map(|place| self.recipe(place, leg)).collect();
        self.told.clear();
        self.asked = 0;
        self.round += 1;
        if self.round == self.plan.legs.len() {
            self.desk.close(self.ending);
        } else if self.survivors.is_empty() {
            self.desk.close(StopReason::Exhausted);
        }
    }
}

impl Search for Paths {
    fn ask(&mut self, room: usize) -> Vec<Job> {
        (0..room).map_while(|_| self.next_job()).collect()
    }

    fn tell(&mut self, job: JobId, outcome: &Outcome) {
        let Some(told) = self.desk.receive(job, outcome) else {
            return;
        };
        let leg = self.plan.legs[self.round];
        if leg.down == Level::CLEAN {
            self.desk.enter(told);
        }
        self.told.push((job, told.scores.cloned()));
        if self.told.len() == self.round_size() {
            self.end_round(leg);
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
