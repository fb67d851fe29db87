//! Made-up workers: they answer late and in any order, die, answer nonsense and return NaN.

use super::dice::Dice;
use super::landscape::Landscape;
use super::run::Witness;
use crate::disk::{Disk, DiskError};
use crate::drive::{Finished, Lost, News, World};
use crate::job::{Failure, Job, JobId, Outcome, Scores};
use crate::ledger::Ledger;
use crate::limits::RETRIES_MAX;
use std::collections::BTreeMap;

/// What workers do besides their work; probabilities in `[0, 1]`.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Weather {
    /// Decides all of it.
    pub seed: u64,
    /// That an attempt is lost, at most twice in a row.
    pub lost: f64,
    /// That a recipe kills every worker that tries it.
    pub deadly: f64,
    /// That a recipe becomes NaN on the way.
    pub nan: f64,
    /// That a recipe is scored NaN.
    pub nan_score: f64,
    /// Whether answers come late and in any order.
    pub late: bool,
    /// Tells after which the user cancels, if at all.
    pub cancel_after: Option<u64>,
}

/// Workers, clock and watcher of one process.
pub(super) struct Workers<'a> {
    pub landscape: Landscape,
    pub weather: Weather,
    pub disk: &'a dyn Disk,
    pub witness: &'a Witness,
    pub told: Vec<(Job, Outcome)>,
    best: Option<JobId>,
    waiting: Vec<Job>,
    attempts: BTreeMap<JobId, u32>,
    dice: Dice,
    seconds: f64,
}

impl<'a> Workers<'a> {
    pub fn new(
        landscape: Landscape,
        weather: Weather,
        disk: &'a dyn Disk,
        witness: &'a Witness,
    ) -> Self {
        Self {
            landscape,
            weather,
            disk,
            witness,
            told: Vec::new(),
            best: None,
            waiting: Vec::new(),
            attempts: BTreeMap::new(),
            dice: Dice::new(weather.seed),
            seconds: 0.0,
        }
    }

    fn attempt(&mut self, job: &Job) -> Result<Outcome, Lost> {
        // What a recipe does depends on the recipe alone, whoever tries it and when.
        let id = job.recipe.id();
        let key = id
            .as_bytes()
            .first_chunk()
            .map_or(0, |b| u64::from_le_bytes(*b));
        let mut fate = Dice::new(key ^ self.weather.seed);
        if fate.chance(self.weather.deadly) {
            return Err(Lost("worker panicked".repeat(100)));
        }
        if fate.chance(self.weather.nan) {
            let evaluation = 1 + fate.below(job.nfe) as u32;
            return Ok(Outcome::Failed(Failure::NonFinite { evaluation }));
        }
        let mut scores = self.landscape.scores(&job.recipe);
        if fate.chance(self.weather.nan_score) {
            scores[0] = f64::NAN;
        }
        let attempts = self.attempts.entry(job.id).or_default();
        *attempts += 1;
        if *attempts <= RETRIES_MAX && self.dice.chance(self.weather.lost) {
            if self.dice.below(2) == 0 {
                return Err(Lost("worker exited".to_owned()));
            }
            scores = vec![0.0; self.landscape.verifiers + 1]; // a wrong count
        }
        Ok(Scores::new(scores).map_or_else(Outcome::Failed, Outcome::Scored))
    }
}

impl World for Workers<'_> {
    type Error = DiskError;

    fn submit(&mut self, jobs: &[Job]) -> Result<(), DiskError> {
        self.waiting.extend_from_slice(jobs);
        Ok(())
    }

    fn poll(&mut self) -> Result<Vec<Finished>, DiskError> {
        self.seconds += 0.25;
        let most = self.waiting.len() as u64;
        let count = if self.weather.late {
            self.dice.below(most + 1)
        } else {
            most
        };
        let mut finished = Vec::new();
        for _ in 0..count {
            let place = if self.weather.late {
                self.dice.below(self.waiting.len() as u64)
            } else {
                0
            };
            let job = self.waiting.remove(place as usize);
            let spent = Ledger {
                search_nfe: job.nfe,
                passes: job.nfe,
                ..Ledger::default()
            };
            let result = self.attempt(&job);
            finished.push(Finished {
                job: job.id,
                result,
                spent,
            });
        }
        Ok(finished)
    }

    fn told(&mut self, news: &News) -> Result<(), DiskError> {
        self.told.push((news.job.clone(), news.outcome.clone()));
        self.witness.saw(news.job.id);
        let best = news.search.finalists(1).first().copied();
        if best != self.best {
            self.best = best;
            self.disk
                .replace("best.txt", format!("{best:?}").as_bytes())?;
        }
        Ok(())
    }

    fn seconds(&mut self) -> f64 {
        self.seconds
    }

    fn cancelled(&mut self) -> bool {
        let told = self.told.len() as u64;
        self.weather.cancel_after.is_some_and(|most| told >= most)
    }
}
