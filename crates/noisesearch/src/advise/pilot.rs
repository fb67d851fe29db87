//! The measurement behind an advice: a few tasks, a few noises each, scored early and late.

use crate::engine::Engine;
use crate::error::Error;
use crate::spec::Checked;
use noisesearch_core::job::{JobId, Outcome, Scores, View};
use noisesearch_core::level::Level;
use noisesearch_core::noise::candidate_root;
use noisesearch_core::objective::{Entry, Objective};
use noisesearch_core::recipe::{Move, Recipe};
use serde::{Deserialize, Serialize};
use std::sync::atomic::{AtomicBool, Ordering};

/// Pilot noises are those of this seed, which no run can have.
const PILOT_SEED: u64 = u64::MAX;

/// Levels where predictions are tried, as near as the steps allow.
const LEVELS: [f64; 8] = [0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2];

/// Shares of the final steps that candidates are tried with.
const SHARES: [f64; 4] = [0.25, 0.375, 0.5, 0.75];

/// How a candidate was looked at.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Look {
    /// The x0-prediction at a level on the way of the final steps.
    Preview {
        /// The noise level, in (0, 1).
        level: f64,
    },
    /// The whole solve with fewer steps.
    Steps {
        /// How many.
        steps: u16,
    },
    /// The whole solve with the final steps.
    Final,
}

/// One task: for every look, how good every noise looked ([`Objective::merits`]).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TaskLooks {
    /// Prompt or class.
    pub task: String,
    /// `[look][noise]`; `None` where the candidate failed.
    pub merits: Vec<Vec<Option<f64>>>,
}

/// Everything that was measured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Pilot {
    /// What decides the numbers: model, verifiers, settings.
    pub fingerprint: String,
    /// Final steps.
    pub steps: u16,
    /// The looks, [`Look::Final`] last.
    pub looks: Vec<Look>,
    /// Whether merits are scores, and not ranks among the noises of one task.
    pub scores: bool,
    /// What each task gave.
    pub tasks: Vec<TaskLooks>,
}

impl Pilot {
    /// Whether this is the measurement of that fingerprint, with everything in its place.
    pub fn fits(&self, fingerprint: &str) -> bool {
        let noises = |task: &TaskLooks| task.merits.first().map_or(0, Vec::len);
        let whole = |task: &TaskLooks| {
            let noises = noises(task);
            task.merits.len() == self.looks.len() && task.merits.iter().all(|m| m.len() == noises)
        };
        self.fingerprint == fingerprint
            && self.looks.last() == Some(&Look::Final)
            && !self.tasks.is_empty()
            && self.tasks.iter().all(whole)
    }

    /// The looks that a model with `steps` final steps can be given.
    pub fn looks(steps: u16) -> Vec<Look> {
        let whole = f64::from(steps);
        let mut looks: Vec<Look> = Vec::new();
        let mut add = |look| {
            if !looks.contains(&look) {
                looks.push(look);
            }
        };
        for level in LEVELS {
            let done = (whole * (1.0 - level)).round();
            if done >= 1.0 && done < whole {
                let level = 1.0 - done / whole;
                add(Look::Preview { level });
            }
        }
        for share in SHARES {
            let few = (whole * share).round() as u16;
            if few >= 1 && few < steps {
                add(Look::Steps { steps: few });
            }
        }
        add(Look::Final);
        looks
    }

    /// Measures one task and adds it. Takes the NFE of about three final solves a noise.
    fn add(&mut self, engine: &mut Engine, spec: &Checked, noises: u64) -> Result<(), Error> {
        engine.turn(spec)?;
        let mut merits = Vec::with_capacity(self.looks.len());
        for (recipe_of, view) in ways(&self.looks, self.steps) {
            let recipes: Vec<Recipe> = (0..noises)
                .map(|noise| recipe_of.at(candidate_root(PILOT_SEED, noise)))
                .collect();
            let wanted: Vec<_> = recipes.iter().map(|recipe| (recipe, view)).collect();
            let scores = engine
                .make(&wanted)?
                .into_iter()
                .map(|made| match made.result {
                    Ok(Outcome::Scored(scores)) => Some(scores),
                    _ => None,
                });
            merits.push(merits_of(&spec.objective, &scores.collect::<Vec<_>>()));
        }
        let task = spec.subject().to_owned();
        self.tasks.push(TaskLooks { task, merits });
        Ok(())
    }

    /// Measures every task of `specs`, which differ in nothing else, with the engine of one of
    /// them. `None` when there is none, or it was cancelled.
    pub fn measure(
        engine: &mut Engine,
        specs: &[Checked],
        noises: u64,
        cancel: &AtomicBool,
    ) -> Result<Option<Self>, Error> {
        let Some(first) = specs.first() else {
            return Ok(None);
        };
        let mut pilot = Self {
            fingerprint: String::new(),
            steps: first.steps,
            looks: Self::looks(first.steps),
            scores: !matches!(first.objective, Objective::MeanRank(_)),
            tasks: Vec::with_capacity(specs.len()),
        };
        for spec in specs {
            if cancel.load(Ordering::Relaxed) {
                return Ok(None);
            }
            pilot.add(engine, spec, noises)?;
        }
        Ok(Some(pilot))
    }
}

/// A way from noise to a look.
struct Way(Vec<Move>);

impl Way {
    fn at(&self, root: u64) -> Recipe {
        let moves = self.0.clone();
        Recipe { root, moves }
    }
}

/// One way a look. Previews lie on one chain, so that each goes on from the one before.
fn ways(looks: &[Look], steps: u16) -> Vec<(Way, View)> {
    let whole = f64::from(steps);
    let (mut chain, mut done) = (Vec::new(), 0);
    let mut go = |to: f64| {
        let at = (whole * (1.0 - to)).round() as u16;
        chain.push(Move::Denoise {
            to: Level::new(to as f32).unwrap_or(Level::CLEAN),
            steps: at - done,
        });
        done = at;
        Way(chain.clone())
    };
    let way = |look: &Look| match *look {
        Look::Preview { level } => (go(level), View::Preview),
        Look::Final => (go(0.0), View::Final),
        Look::Steps { steps } => {
            let to = Level::CLEAN;
            (Way(vec![Move::Denoise { to, steps }]), View::Final)
        }
    };
    looks.iter().map(way).collect()
}

/// Merits of a set of scores; `None` where there are none.
pub(super) fn merits_of(objective: &Objective, scores: &[Option<Scores>]) -> Vec<Option<f64>> {
    let entry = |(at, scores): (usize, &Option<Scores>)| (JobId(at as u64), scores.clone());
    let held: Vec<_> = scores.iter().enumerate().map(entry).collect();
    let set: Vec<Entry> = held
        .iter()
        .map(|(job, scores)| Entry {
            job: *job,
            scores: scores.as_ref(),
        })
        .collect();
    let merits = objective.merits(&set).into_iter();
    merits
        .map(|merit| merit.is_finite().then_some(merit))
        .collect()
}
