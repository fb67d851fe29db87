//! Successive halving (Karnin et al. 2013; Jamieson and Talwalkar, arXiv 1502.07943) over noises,
//! judged early by x0-predictions.
//!
//! ```text
//! n noises, solved from level 1 to the first rung
//! at every rung: score the x0-predictions (one NFE each), keep the best 1 / factor
//! solve the survivors on to the next rung, and from the last one to level 0
//! answer = the best finished sample
//! ```
//!
//! At equal cost it looks at more noises than best-of-n and spends most where the prediction
//! already looks good; how far a prediction can be trusted is the rank correlation that `advise`
//! measures.
//! Failed candidates never survive; when all of a round failed, the search is exhausted. Only
//! finished samples compete for the answer and are held against a target. There is no baseline: no
//! candidate is a plain solve.

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

/// Settings of successive halving.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
pub struct Spec {
    /// n, noises at the first rung; default: as many as the budget pays for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub starts: Option<u32>,
    /// Levels where predictions are judged, falling, inside (0, 1); default 0.75 and 0.5.
    pub rungs: Vec<f64>,
    /// One in this many survives a rung, at least 2; default 3.
    pub factor: u32,
}

impl Default for Spec {
    fn default() -> Self {
        Self {
            starts: None,
            rungs: vec![0.75, 0.5],
            factor: 3,
        }
    }
}

impl Spec {
    /// The same with every setting explicit. Fails when a setting is out of range or the budget
    /// does not pay for one noise on its whole way.
    pub fn resolve(&self, terms: &Terms) -> Result<Self, SearchError> {
        Ok(Self {
            starts: Some(Plan::new(terms, self)?.starts),
            ..self.clone()
        })
    }
}

/// A stretch between two judgements.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Leg {
    to: Level,
    steps: u16,
}

/// A spec with every choice made and checked.
struct Plan {
    starts: u32,
    factor: u32,
    legs: Vec<Leg>,
}

impl Plan {
    fn new(terms: &Terms, spec: &Spec) -> Result<Self, SearchError> {
        terms.check()?;
        require("factor", spec.factor, spec.factor >= 2, "at least 2")?;
        let mut plan = Self {
            starts: 1,
            factor: spec.factor,
            legs: legs(spec, terms.search_steps)?,
        };
        let affordable = plan.affordable(terms)?;
        plan.starts = spec.starts.unwrap_or(affordable);
        at_least_one("starts", plan.starts.into())?;
        Ok(plan)
    }

    /// The largest n that the budget pays for, at least 1.
    fn affordable(&self, terms: &Terms) -> Result<u32, SearchError> {
        let fits = |starts| {
            let cost = self.cost(terms, starts);
            match terms.budget {
                Budget::Nfe(most) => Ok(cost.nfe <= most),
                Budget::Evals(most) => Ok(cost.evals <= most),
                Budget::Seconds(_) => Err(SearchError::TimeBudget(terms.budget)),
            }
        };
        let (mut low, mut high) = (1, u32::MAX);
        while low < high {
            let middle = low + (high - low).div_ceil(2);
            if fits(middle)? {
                low = middle;
            } else {
                high = middle - 1;
            }
        }
        Ok(low)
    }

    /// Candidates that solve leg `round` when `starts` began.
    fn alive(&self, starts: u32, round: usize) -> u64 {
        let alive = |left: u64, _| left.div_ceil(self.factor.into());
        (0..round).fold(u64::from(starts), alive)
    }

    /// What a whole search over `starts` noises is billed.
    fn cost(&self, terms: &Terms, starts: u32) -> Cost {
        let mut cost = Cost { nfe: 0, evals: 0 };
        for (round, leg) in self.legs.iter().enumerate() {
            let alive = self.alive(starts, round);
            let nfe = alive.saturating_mul(leg_nfe(terms, leg));
            cost.nfe = cost.nfe.saturating_add(nfe);
            cost.evals = cost.evals.saturating_add(alive);
        }
        cost
    }
}

fn leg_nfe(terms: &Terms, leg: &Leg) -> u64 {
    let preview = match leg.to == Level::CLEAN {
        true => 0,
        false => PREVIEW_NFE,
    };
    terms.nfe.nfe(leg.steps, leg.to).saturating_add(preview)
}

/// The legs between the rungs. A rung is moved to the nearest of `steps` even steps, so that a
/// survivor is what a plain solve of an evenly spaced schedule would have made of its noise.
fn legs(spec: &Spec, steps: u16) -> Result<Vec<Leg>, SearchError> {
    const NAME: &str = "rungs";
    let shown = || format!("{:?}", spec.rungs);
    let few = !spec.rungs.is_empty() && spec.rungs.len() < MOVES_MAX;
    require(NAME, shown(), few, "1 to 254 levels")?;
    let whole = f64::from(steps);
    let (mut legs, mut done) = (Vec::with_capacity(spec.rungs.len() + 1), 0);
    for &rung in &spec.rungs {
        let inside = rung > LEVEL_EPSILON && rung < 1.0 - LEVEL_EPSILON;
        require(NAME, shown(), inside, "strictly between 0 and 1")?;
        let at = (whole * (1.0 - rung)).round() as u16;
        let rule = "falling, each at least one search step below the one before and above 0";
        require(NAME, shown(), at > done && at < steps, rule)?;
        let level = 1.0 - f64::from(at) / whole;
        let to = Level::new(level as f32).map_err(|error| SearchError::Setting {
            name: NAME,
            value: error.0.to_string(),
            rule: "within [0, 1]",
        })?;
        legs.push(Leg {
            to,
            steps: at - done,
        });
        done = at;
    }
    legs.push(Leg {
        to: Level::CLEAN,
        steps: steps - done,
    });
    Ok(legs)
}

/// Successive halving.
pub struct Halving {
    desk: Desk,
    plan: Plan,
    /// Present leg, counted from 0; the number of legs when all are done.
    round: usize,
    /// Who solves this leg; noises in the first.
    survivors: Vec<Recipe>,
    /// Jobs asked in this round.
    asked: usize,
    /// The jobs of this round that were told, and their scores unless they failed.
    told: Vec<(JobId, Option<Scores>)>,
    /// Why the search is over after the last round.
    ending: StopReason,
}

impl Halving {
    /// Fails when a setting is out of range or the budget does not pay for all rounds.
    pub fn new(terms: &Terms, spec: &Spec) -> Result<Self, SearchError> {
        let plan = Plan::new(terms, spec)?;
        let desk = Desk::open(terms, plan.cost(terms, plan.starts), 0)?;
        let ending = match spec.starts {
            Some(_) => StopReason::Exhausted,
            None => StopReason::Budget, // it chose n
        };
        Ok(Self {
            desk,
            plan,
            round: 0,
            survivors: Vec::new(),
            asked: 0,
            told: Vec::new(),
            ending,
        })
    }

    /// Jobs in this round.
    fn round_size(&self) -> usize {
        match self.round {
            0 => self.plan.starts as usize,
            _ => self.survivors.len(),
        }
    }

    /// Candidate `place` of this round.
    fn recipe(&self, place: usize, leg: Leg) -> Recipe {
        let noise = || Recipe {
            root: candidate_root(self.desk.terms.seed, place as u64),
            moves: Vec::new(),
        };
        let mut recipe = self.survivors.get(place).cloned().unwrap_or_else(noise);
        recipe.moves.push(Move::Denoise {
            to: leg.to,
            steps: leg.steps,
        });
        recipe
    }

    fn next_job(&mut self) -> Option<Job> {
        if self.asked >= self.round_size() {
            return None;
        }
        let leg = *self.plan.legs.get(self.round)?;
        let view = match leg.to == Level::CLEAN {
            true => View::Final,
            false => View::Preview,
        };
        let nfe = leg_nfe(&self.desk.terms, &leg);
        let job = self.desk.issue(self.recipe(self.asked, leg), view, nfe)?;
        self.asked += 1;
        Some(job)
    }

    /// The best of this round go on, in the order of their noises.
    fn end_round(&mut self, leg: Leg) {
        let set: Vec<Entry> = self
            .told
            .iter()
            .map(|(job, scores)| Entry {
                job: *job,
                scores: scores.as_ref(),
            })
            .collect();
        let keep = self.plan.alive(self.plan.starts, self.round + 1) as usize;
        let order = self.desk.terms.objective.order(&set).into_iter();
        let healthy = order.filter(|&place| set[place].scores.is_some());
        let mut best: Vec<usize> = healthy.take(keep).collect();
        best.sort_unstable();
        let on = best.iter().map(|&place| self.recipe(place, leg));
        self.survivors = on.collect();
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

impl Search for Halving {
    fn ask(&mut self, room: usize) -> Vec<Job> {
        (0..room).map_while(|_| self.next_job()).collect()
    }

    fn tell(&mut self, job: JobId, outcome: &Outcome) {
        let Some(told) = self.desk.receive(job, outcome) else {
            return;
        };
        let leg = self.plan.legs[self.round];
        if leg.to == Level::CLEAN {
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
