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
//! measures. What happens to failed candidates, and that there is no baseline, is said in
//! `rounds.rs`.

use super::desk::Cost;
use super::rounds::{self, Rounds, again_nfe, leg_nfe};
use super::terms::{at_least_one, require};
use super::{Search, SearchError, Terms};
use crate::budget::Budget;
use crate::level::Level;
use crate::limits::{LEVEL_EPSILON, MOVES_MAX};
use crate::noise::candidate_root;
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
    seed: u64,
    starts: u32,
    factor: u32,
    legs: Vec<Leg>,
}

impl Plan {
    fn new(terms: &Terms, spec: &Spec) -> Result<Self, SearchError> {
        terms.check()?;
        require("factor", spec.factor, spec.factor >= 2, "at least 2")?;
        let mut plan = Self {
            seed: terms.seed,
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

    /// What a whole search over `starts` noises is billed, finals included.
    fn cost(&self, terms: &Terms, starts: u32) -> Cost {
        let finished = self.alive(starts, self.legs.len() - 1);
        let mut cost = Cost {
            nfe: again_nfe(terms, finished, self.solve_nfe(terms)),
            evals: 0,
        };
        for (round, leg) in self.legs.iter().enumerate() {
            let alive = self.alive(starts, round);
            let nfe = alive.saturating_mul(leg_nfe(terms, leg.steps, leg.to));
            cost.nfe = cost.nfe.saturating_add(nfe);
            cost.evals = cost.evals.saturating_add(alive);
        }
        cost
    }

    /// NFE of all legs of one noise, without previews.
    fn solve_nfe(&self, terms: &Terms) -> u64 {
        let legs = self.legs.iter();
        legs.map(|leg| terms.nfe.nfe(leg.steps, leg.to)).sum()
    }
}

/// The legs between the rungs, at least one. A rung is moved to the nearest of `steps` even steps,
/// so that a survivor is what a plain solve of an evenly spaced schedule would have made of its
/// noise.
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

impl rounds::Plan for Plan {
    fn rounds(&self) -> usize {
        self.legs.len()
    }

    /// The noises of the first round are not kept: there may be very many.
    fn size(&self, round: usize, survivors: &[Recipe]) -> usize {
        match round {
            0 => self.starts as usize,
            _ => survivors.len(),
        }
    }

    fn recipe(&self, round: usize, place: usize, survivors: &[Recipe]) -> Recipe {
        let noise = || Recipe {
            root: candidate_root(self.seed, place as u64),
            moves: Vec::new(),
        };
        let mut recipe = survivors.get(place).cloned().unwrap_or_else(noise);
        let Leg { to, steps } = self.legs[round];
        recipe.moves.push(Move::Denoise { to, steps });
        recipe
    }

    fn nfe(&self, terms: &Terms, round: usize, _place: usize) -> u64 {
        let Leg { to, steps } = self.legs[round];
        leg_nfe(terms, steps, to)
    }

    fn keep(&self, round: usize) -> usize {
        self.alive(self.starts, round + 1) as usize
    }
}

/// A fresh search. Fails when a setting is out of range or the budget does not pay for all rounds.
pub fn search(terms: &Terms, spec: &Spec) -> Result<Box<dyn Search>, SearchError> {
    let plan = Plan::new(terms, spec)?;
    let cost = plan.cost(terms, plan.starts);
    let planned = spec.starts.is_none();
    Ok(Box::new(Rounds::new(
        terms,
        plan,
        cost,
        Vec::new(),
        planned,
    )?))
}
