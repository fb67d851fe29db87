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
//! survivors of one parent get different noises. What happens to failed candidates, and that there
//! is no baseline, is said in `rounds.rs`.

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

    /// What a whole search with M = `noises` is billed, finals included. These are set aside for
    /// as many as are kept, also where fewer are finished.
    fn cost(&self, terms: &Terms, noises: u32) -> Cost {
        let legs = self
            .legs
            .iter()
            .map(|leg| leg_nfe(terms, self.leg_steps, leg.down));
        let renoising = legs.fold(0, u64::saturating_add);
        let path = self
            .first_nfe(terms)
            .saturating_add(renoising.saturating_mul(noises.into()));
        let jobs = u64::from(self.paths) * u64::from(noises);
        let evals = jobs.saturating_mul(self.legs.len() as u64);
        let finals = again_nfe(terms, u64::MAX, self.path_nfe(terms));
        Cost {
            nfe: path
                .saturating_mul(self.paths.into())
                .saturating_add(finals),
            evals,
        }
    }

    fn first_nfe(&self, terms: &Terms) -> u64 {
        terms.nfe.nfe(self.first_steps, self.start)
    }

    /// NFE of one path from its noise to its end, without previews.
    fn path_nfe(&self, terms: &Terms) -> u64 {
        let legs = self.legs.iter();
        let legs = legs.map(|leg| terms.nfe.nfe(self.leg_steps, leg.down));
        legs.fold(self.first_nfe(terms), u64::saturating_add)
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

impl rounds::Plan for Plan {
    fn rounds(&self) -> usize {
        self.legs.len()
    }

    /// Every survivor is renoised M times.
    fn size(&self, _round: usize, survivors: &[Recipe]) -> usize {
        survivors.len() * self.noises as usize
    }

    /// Slot by slot, so that a path's cost comes first.
    fn recipe(&self, round: usize, place: usize, survivors: &[Recipe]) -> Recipe {
        let Leg { up, down } = self.legs[round];
        let mut recipe = survivors[place / self.noises as usize].clone();
        recipe.moves.push(Move::Renoise {
            draw: place as u32,
            to: up,
        });
        recipe.moves.push(Move::Denoise {
            to: down,
            steps: self.leg_steps,
        });
        recipe
    }

    fn nfe(&self, terms: &Terms, round: usize, place: usize) -> u64 {
        let opens_path = round == 0 && place.is_multiple_of(self.noises as usize);
        let first = match opens_path {
            true => self.first_nfe(terms),
            false => 0,
        };
        first + leg_nfe(terms, self.leg_steps, self.legs[round].down)
    }

    /// The best N over all paths.
    fn keep(&self, _round: usize) -> usize {
        self.paths as usize
    }
}

/// A fresh search. Fails when a setting is out of range or the budget does not pay for all rounds.
pub fn search(terms: &Terms, spec: &Spec) -> Result<Box<dyn Search>, SearchError> {
    let plan = Plan::new(terms, spec)?;
    let first = Move::Denoise {
        to: plan.start,
        steps: plan.first_steps,
    };
    let start = |slot: u32| Recipe {
        root: candidate_root(terms.seed, slot.into()),
        moves: vec![first],
    };
    let cost = plan.cost(terms, plan.noises);
    let starts = (0..plan.paths).map(start);
    let planned = spec.noises.is_none();
    Ok(Box::new(Rounds::new(terms, plan, cost, starts, planned)?))
}
