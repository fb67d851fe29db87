//! One cell: its search is driven by the loop of every run, over what is known.

use crate::error::StudyError;
use crate::known::Known;
use crate::maker::{Maker, Wanted};
use crate::plan::{Cell, Plan};
use crate::row::{Cost, Pool, Row};
use noisesearch::spec::{Checked, SpecError};
use noisesearch_core::disk::Nowhere;
use noisesearch_core::drive::{DriveError, Finished, Lost, News, Rules, Verdict, World, drive};
use noisesearch_core::job::{Job, JobId, Outcome, Scores, View};
use noisesearch_core::journal::{Fingerprint, Journal};
use noisesearch_core::ledger::{Ledger, PaperAxis};
use noisesearch_core::level::Level;
use noisesearch_core::objective::Objective;
use noisesearch_core::recipe::Recipe;
use noisesearch_core::search::{SearchSpec, StopReason, Terms};
use noisesearch_models::task::Task;
use std::collections::BTreeMap;

/// What a search of `spec` is given when all of `panel` judge.
pub fn terms(spec: &Checked, panel: &[String]) -> Result<Terms, SpecError> {
    let mut terms = spec.terms()?;
    terms.objective = Objective::parse(&spec.objective.text(&spec.scored()), panel)?;
    let goal = spec.until.as_ref().map(|target| target.resolve(panel));
    terms.goal = goal.transpose()?;
    // Only the best is asked for.
    terms.keep = 1;
    Ok(terms)
}

/// How a cell ended.
pub enum Ended {
    /// With its answer; with none when every candidate failed.
    Done(Option<Box<Answer>>),
    /// Somebody asked to stop.
    Cancelled,
}

/// A row and the recipe that it names.
pub struct Answer {
    /// The row.
    pub row: Row,
    /// The answer's recipe.
    pub recipe: Recipe,
}

/// Runs a cell.
pub fn run(
    plan: &Plan,
    cell: &Cell,
    maker: &mut Maker,
    cancelled: &dyn Fn() -> bool,
) -> Result<Ended, StudyError> {
    let spec = &cell.spec;
    let refused = |error: SpecError| StudyError::Engine(error.into());
    let terms = terms(spec, &maker.opened.panel).map_err(refused)?;
    let search = spec
        .search
        .build(&terms)
        .map_err(|error| refused(error.into()));
    let mut search = search?;
    let rules = Rules {
        budget: spec.budget,
        room: spec.batch,
        verifiers: maker.opened.panel.len(),
        passes_per_nfe: maker.opened.engine.passes_per_nfe(),
    };
    let mut desk = Desk::new(maker, cancelled);
    let diverged = |problem: String| StudyError::Diverged {
        cell: plan.whereabouts(cell),
        problem,
    };
    let opened = Journal::create(&Nowhere, &Fingerprint::default());
    let opened = opened.map_err(|error| diverged(error.to_string()))?;
    let verdict = match drive(&mut *search, opened, rules, &mut desk) {
        Ok(verdict) => verdict,
        Err(DriveError::World(error)) => return Err(error),
        Err(error) => return Err(diverged(error.to_string())),
    };
    if verdict.stop == StopReason::Cancelled {
        return Ok(Ended::Cancelled);
    }
    let Some(&best) = search.finalists(1).first() else {
        return Ok(Ended::Done(None));
    };
    let answer = desk.answer(best, &terms, verdict)?;
    let answer = answer.map(|found| desk.row(plan, cell, found));
    Ok(Ended::Done(answer.map(Box::new)))
}

/// Answers the loop from what is known; makes what is not.
struct Desk<'a, 'm> {
    maker: &'a mut Maker<'m>,
    cancelled: &'a dyn Fn() -> bool,
    waiting: Vec<Job>,
    /// Finished candidates with their scores, in job order.
    finished: Vec<(JobId, Recipe, Scores)>,
    seconds: f64,
}

/// The answer of a search and what it cost in all.
struct Found {
    recipe: Recipe,
    scores: Scores,
    verdict: Verdict,
    final_nfe: u64,
}

impl<'a, 'm> Desk<'a, 'm> {
    fn new(maker: &'a mut Maker<'m>, cancelled: &'a dyn Fn() -> bool) -> Self {
        Self {
            maker,
            cancelled,
            waiting: Vec::new(),
            finished: Vec::new(),
            seconds: 0.0,
        }
    }

    /// The best candidate, made again with the final steps where those differ. One that fails
    /// there stays as the search saw it.
    fn answer(
        &mut self,
        best: JobId,
        terms: &Terms,
        verdict: Verdict,
    ) -> Result<Option<Found>, StudyError> {
        let found = self.finished.iter().find(|(job, ..)| *job == best).cloned();
        let Some((_, recipe, scores)) = found else {
            return Ok(None);
        };
        let Some((again, final_nfe)) = terms.remake(&recipe) else {
            let final_nfe = 0;
            return Ok(Some(Found {
                recipe,
                scores,
                verdict,
                final_nfe,
            }));
        };
        let wanted = vec![(again.clone(), View::Final)];
        let fresh = self.maker.fresh(wanted);
        self.maker.make(&fresh)?;
        let made = self.maker.known(again.id(), View::Final).cloned();
        self.seconds += made.as_ref().map_or(0.0, |known| known.seconds);
        let (recipe, scores) = match made.map(|known| known.outcome) {
            Some(Outcome::Scored(scores)) => (again, scores),
            _ => (recipe, scores),
        };
        Ok(Some(Found {
            recipe,
            scores,
            verdict,
            final_nfe,
        }))
    }

    fn row(&self, plan: &Plan, cell: &Cell, found: Found) -> Answer {
        let (spec, panel) = (&cell.spec, &self.maker.opened.panel);
        let engine = &self.maker.opened.engine;
        let setting = &plan.settings[cell.setting];
        let scores = found.scores.values();
        let features = self.maker.known(found.recipe.id(), View::Final);
        let passes = panel
            .iter()
            .zip(scores)
            .enumerate()
            .filter_map(|(at, (name, &score))| Some((name.clone(), engine.passes(at, score)?)));
        let row = Row {
            study: plan.name.clone(),
            arm: plan.file.arms[setting.arm].name.clone(),
            point: setting.point,
            task: spec.subject().to_owned(),
            category: plan.tasks[cell.task].category.clone(),
            seed: spec.seed,
            cost: self.cost(spec, &found),
            recipe: found.recipe.to_string(),
            scores: panel.iter().cloned().zip(scores.iter().copied()).collect(),
            passes: passes.collect(),
            optimised: spec.verifiers.clone(),
            pool: self.pool(spec),
            features: features.map_or_else(Vec::new, |known| known.features.clone()),
        };
        Answer {
            row,
            recipe: found.recipe,
        }
    }

    fn cost(&self, spec: &Checked, found: &Found) -> Cost {
        let opened = &self.maker.opened;
        let billed = Ledger {
            final_nfe: found.final_nfe,
            passes: found.verdict.billed.passes + found.final_nfe * opened.engine.passes_per_nfe(),
            ..found.verdict.billed
        };
        Cost {
            candidates: found.verdict.told,
            search_nfe: billed.search_nfe,
            final_nfe: billed.final_nfe,
            paper_nfe: billed.paper_nfe(paper_axis(spec)),
            passes: billed.passes,
            gflop: opened.gflop.map(|gflop| gflop * billed.passes as f64),
            seconds: self.seconds,
        }
    }

    /// How every verifier scored the finished candidates.
    fn pool(&self, spec: &Checked) -> BTreeMap<String, Pool> {
        let panel = &self.maker.opened.panel;
        let column = |at: usize| -> Vec<f64> {
            self.finished
                .iter()
                .map(|(_, _, scores)| scores.values()[at])
                .collect()
        };
        let first = panel
            .iter()
            .position(|name| Some(name) == spec.verifiers.first());
        let first = first.map(column).unwrap_or_default();
        let pool = |(at, name): (usize, &String)| (name.clone(), Pool::of(&column(at), &first));
        panel.iter().enumerate().map(pool).collect()
    }
}

/// The convention by which the paper (arXiv 2501.09732) plots a search: for prompts every
/// evaluation; for classes as in its figures 3 to 6 and 10.
fn paper_axis(spec: &Checked) -> PaperAxis {
    let candidate_nfe = spec.nfe_rule().nfe(spec.search_steps, Level::CLEAN);
    match (&spec.task, &spec.search) {
        (Task::Prompt(_), _) | (_, SearchSpec::FirstOrder(_) | SearchSpec::Halving(_)) => {
            PaperAxis::Total
        }
        (_, SearchSpec::Random(_)) => PaperAxis::Random { candidate_nfe },
        (_, SearchSpec::ZeroOrder(search)) => PaperAxis::ZeroOrder {
            candidate_nfe,
            neighbours: search.neighbours.into(),
        },
        (_, SearchSpec::Paths(search)) => PaperAxis::Paths {
            first_leg_nfe: search.first_steps.map_or(0, |steps| {
                // The first leg ends above level 0.
                spec.nfe_rule().nfe(steps, Level::NOISE)
            }),
            paths: search.paths.into(),
        },
    }
}

impl World for Desk<'_, '_> {
    type Error = StudyError;

    fn submit(&mut self, jobs: &[Job]) -> Result<(), StudyError> {
        self.waiting.extend_from_slice(jobs);
        Ok(())
    }

    fn poll(&mut self) -> Result<Vec<Finished>, StudyError> {
        let jobs = std::mem::take(&mut self.waiting);
        let wanted: Vec<Wanted> = jobs
            .iter()
            .map(|job| (job.recipe.clone(), job.view))
            .collect();
        let fresh = self.maker.fresh(wanted);
        let lost = self.maker.make(&fresh)?;
        let lost = || {
            Lost(
                lost.clone()
                    .unwrap_or_else(|| "it was not scored".to_owned()),
            )
        };
        let mut finished = Vec::with_capacity(jobs.len());
        for job in jobs {
            let known: Option<&Known> = self.maker.outcome(&job);
            self.seconds += known.map_or(0.0, |known| known.seconds);
            finished.push(Finished {
                job: job.id,
                result: known.map_or_else(|| Err(lost()), |known| Ok(known.outcome.clone())),
                spent: Ledger::default(),
            });
        }
        Ok(finished)
    }

    fn told(&mut self, news: &News) -> Result<(), StudyError> {
        if let (Outcome::Scored(scores), View::Final) = (news.outcome, news.job.view) {
            self.finished
                .push((news.job.id, news.job.recipe.clone(), scores.clone()));
        }
        Ok(())
    }

    /// Seconds that the evaluations took, whoever made them: a budget of seconds is the same
    /// again on the same known outcomes.
    fn seconds(&mut self) -> f64 {
        self.seconds
    }

    fn cancelled(&mut self) -> bool {
        (self.cancelled)()
    }
}
