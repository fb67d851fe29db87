//! One search of a race: driven by the loop of every run, with nothing kept on the disk.

use super::pilot::merits_of;
use super::race::{Entrant, Unit};
use crate::engine::Engine;
use crate::error::Error;
use crate::spec::{Checked, SpecError};
use noisesearch_core::budget::Budget;
use noisesearch_core::disk::Nowhere;
use noisesearch_core::drive::{DriveError, Finished, News, Rules, World, drive};
use noisesearch_core::job::{Job, JobId, Outcome, Scores, View};
use noisesearch_core::journal::{Fingerprint, Journal};
use noisesearch_core::ledger::Ledger;
use noisesearch_core::recipe::Recipe;
use noisesearch_core::search::{StopReason, Terms};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

/// Seeds of a race count down from here, the last that a run can have.
const SEED_LAST: u64 = i64::MAX as u64;

/// Where searches of a race are made.
pub struct Track<'a> {
    /// Makes and scores.
    pub engine: &'a mut Engine,
    /// One spec a task.
    pub specs: &'a [Checked],
    /// What every search may be billed, in NFE.
    pub budget_nfe: u64,
    /// Whether somebody asked to stop.
    pub cancel: &'a AtomicBool,
    /// Named in errors.
    pub out: &'a Path,
}

/// What an entrant is given on a task.
pub fn terms(
    spec: &Checked,
    entrant: &Entrant,
    budget_nfe: u64,
    seed: u64,
) -> Result<Terms, SpecError> {
    Ok(Terms {
        seed,
        budget: Budget::Nfe(budget_nfe),
        search_steps: entrant.search_steps,
        final_steps: spec.steps,
        goal: None,
        keep: 1,
        ..spec.terms()?
    })
}

impl Track<'_> {
    /// Merits of the entrants' answers among each other; `None` when it was stopped.
    pub fn play(
        &mut self,
        unit: Unit,
        entrants: &[&Entrant],
    ) -> Result<Option<Vec<Option<f64>>>, Error> {
        let spec = &self.specs[unit.task];
        self.engine.turn(spec)?;
        let mut answers = Vec::with_capacity(entrants.len());
        for entrant in entrants {
            let terms = terms(spec, entrant, self.budget_nfe, SEED_LAST - unit.seed)?;
            match self.search(spec, entrant, &terms)? {
                Ended::Answer(scores) => answers.push(scores),
                Ended::Cancelled => return Ok(None),
            }
        }
        Ok(Some(merits_of(&spec.objective, &answers)))
    }

    fn search(&mut self, spec: &Checked, entrant: &Entrant, terms: &Terms) -> Result<Ended, Error> {
        let mut search = entrant.search.build(terms).map_err(SpecError::from)?;
        let journal = |source| Error::Journal {
            run: self.out.to_owned(),
            source,
        };
        let opened = Journal::create(&Nowhere, &Fingerprint::default()).map_err(journal)?;
        let rules = Rules {
            budget: terms.budget,
            room: spec.batch,
            verifiers: spec.scored().len(),
            passes_per_nfe: self.engine.passes_per_nfe(),
        };
        let mut lane = Lane {
            engine: self.engine,
            cancel: self.cancel,
            waiting: Vec::new(),
            finished: Vec::new(),
        };
        let verdict = drive(&mut *search, opened, rules, &mut lane);
        let verdict = verdict.map_err(|error| match error {
            DriveError::World(error) => error,
            other => Error::Diverged {
                run: self.out.to_owned(),
                problem: other.to_string(),
            },
        })?;
        if verdict.stop == StopReason::Cancelled {
            return Ok(Ended::Cancelled);
        }
        let best = search.finalists(1).first().copied();
        lane.answer(best, terms).map(Ended::Answer)
    }
}

/// How a search ended.
enum Ended {
    /// With the scores of its answer, if it has one.
    Answer(Option<Scores>),
    Cancelled,
}

/// The world of one search.
struct Lane<'a> {
    engine: &'a mut Engine,
    cancel: &'a AtomicBool,
    waiting: Vec<Job>,
    /// Finished candidates with their scores.
    finished: Vec<(JobId, Recipe, Scores)>,
}

impl Lane<'_> {
    /// Scores of the best candidate, made again with the final steps where those differ; one that
    /// fails there stays as the search saw it.
    fn answer(&mut self, best: Option<JobId>, terms: &Terms) -> Result<Option<Scores>, Error> {
        let found = self.finished.iter().find(|(job, ..)| Some(*job) == best);
        let Some((_, recipe, scores)) = found.cloned() else {
            return Ok(None);
        };
        let Some((again, _)) = terms.remake(&recipe) else {
            return Ok(Some(scores));
        };
        let made = self.engine.make(&[(&again, View::Final)])?;
        let again = made.into_iter().next().map(|made| made.result);
        match again {
            Some(Ok(Outcome::Scored(scores))) => Ok(Some(scores)),
            _ => Ok(Some(scores)),
        }
    }
}

impl World for Lane<'_> {
    type Error = Error;

    fn submit(&mut self, jobs: &[Job]) -> Result<(), Error> {
        self.waiting.extend_from_slice(jobs);
        Ok(())
    }

    fn poll(&mut self) -> Result<Vec<Finished>, Error> {
        let jobs = std::mem::take(&mut self.waiting);
        let wanted: Vec<_> = jobs.iter().map(|job| (&job.recipe, job.view)).collect();
        let made = self.engine.make(&wanted)?;
        let finished = |(job, made): (&Job, crate::engine::Made)| Finished {
            job: job.id,
            result: made.result,
            spent: Ledger::default(),
        };
        Ok(jobs.iter().zip(made).map(finished).collect())
    }

    fn told(&mut self, news: &News) -> Result<(), Error> {
        if let (Outcome::Scored(scores), View::Final) = (news.outcome, news.job.view) {
            let recipe = news.job.recipe.clone();
            self.finished.push((news.job.id, recipe, scores.clone()));
        }
        Ok(())
    }

    /// A race knows no budget in seconds.
    fn seconds(&mut self) -> f64 {
        0.0
    }

    fn cancelled(&mut self) -> bool {
        self.cancel.load(Ordering::Relaxed)
    }
}
