//! Deterministic solvers: plain functions from noise to sample that know only the clean-sample
//! prediction x0. Every step is a weighted sum of the state and of predictions, computed in f64
//! and rounded once, element by element; rows never meet.

mod ddim;
mod dpmpp_2m;
mod euler;
mod heun;
mod stochastic;
mod tape;

pub use stochastic::{Draw, diffuse};
pub use tape::{Tape, Vjp};

use crate::elementwise::by_stretch;
use crate::path::NoisePath;
use noisesearch_core::ledger::NfeRule;
use noisesearch_core::level::Level;
use std::fmt;
use std::str::FromStr;

/// Predicts x0 for the state at a level; same length.
pub type Predict<'a, E> = dyn FnMut(&[f32], Level) -> Result<Vec<f32>, E> + 'a;

/// Where a solver goes: at least two levels, descending, on a path.
#[derive(Clone, Copy, Debug)]
pub struct Route<'a> {
    /// The path on which the levels lie.
    pub path: &'a NoisePath,
    /// Levels from the present one to the last, see [`crate::schedule::Schedule::levels`].
    pub levels: &'a [Level],
}

/// A deterministic solver.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Solver {
    /// First order.
    #[default]
    Euler,
    /// Second order in two evaluations a step; the step to level 0 is Euler's.
    Heun,
    /// First order, written for variance-preserving paths; the same rule as Euler.
    Ddim,
    /// Second order in one evaluation a step.
    Dpmpp2M,
}

/// A name that is no solver's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown solver `{0}`; known: euler, heun, ddim, dpmpp-2m")]
pub struct UnknownSolver(pub String);

impl Solver {
    /// Every solver.
    pub const ALL: [Self; 4] = [Self::Euler, Self::Heun, Self::Ddim, Self::Dpmpp2M];

    /// The name by which a user asks for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Euler => "euler",
            Self::Heun => "heun",
            Self::Ddim => "ddim",
            Self::Dpmpp2M => "dpmpp-2m",
        }
    }

    /// What a solve costs.
    pub fn nfe_rule(self) -> NfeRule {
        let (per_step, saved_at_zero) = match self {
            Self::Heun => (2, 1),
            Self::Euler | Self::Ddim | Self::Dpmpp2M => (1, 0),
        };
        NfeRule {
            per_step,
            saved_at_zero,
        }
    }

    /// Moves `x` (any number of rows, f32) along `route`. Errors are those of `predict`.
    pub fn solve<E>(
        self,
        route: Route<'_>,
        x: &mut [f32],
        predict: &mut Predict<'_, E>,
    ) -> Result<(), E> {
        match self {
            Self::Euler => euler::solve(route, x, predict),
            Self::Heun => heun::solve(route, x, predict),
            Self::Ddim => ddim::solve(route, x, predict),
            Self::Dpmpp2M => dpmpp_2m::solve(route, x, predict),
        }
    }
}

impl fmt::Display for Solver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Solver {
    type Err = UnknownSolver;
    fn from_str(name: &str) -> Result<Self, UnknownSolver> {
        Self::ALL
            .into_iter()
            .find(|solver| solver.name() == name)
            .ok_or_else(|| UnknownSolver(name.to_owned()))
    }
}

/// `x <- keep x + sum of weight * term`, in the order given.
fn combine<const N: usize>(x: &mut [f32], keep: f64, terms: [(f64, &[f32]); N]) {
    by_stretch(x, |first, x| {
        let terms = terms.map(|(weight, term)| (weight, &term[first..][..x.len()]));
        for (i, x) in x.iter_mut().enumerate() {
            let mut sum = keep * f64::from(*x);
            for (weight, term) in terms {
                sum += weight * f64::from(term[i]);
            }
            *x = sum as f32;
        }
    });
}
