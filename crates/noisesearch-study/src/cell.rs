//! One cell: its search is driven by the loop of every run, over what is known.

use crate::error::StudyError;
use crate::greedy::Greedy;
use crate::known::Known;
use crate::maker::{Maker, Wanted};
use crate::plan::{Cell, Plan};
use crate::row::{Cost, Pool, Row};
use crate::stats::spearman;
use noisesearch::spec::{Checked, SpecError};
use noisesearch_core::disk::Nowhere;
use noisesearch_core::drive::{DriveError, Finished, Lost, News, Rules, Verdict, World, drive};
use noisesearch_core::job::{Job, JobId, Outcome, Scores, View};
use noisesearch_core::journal::{Fingerprint, Journal};
use noisesearch_core::ledger::{Ledger, PaperAxis};
use noisesearch_core::level::Level;
use noisesearch_core::objective::{Entry, Objective};
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
    // Only the best is asked for, which after a ladder is chosen among all that are kept.
    if !terms.ladder {
        terms.keep = 1;
    }
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

/// Runs a cell. Its answer is the best by the objective, or the one that `greedy` chooses.
pub fn run(
    plan: &Plan,
    cell: &Cell,
    maker: &mut Maker,
    greedy: Option<&mut Greedy>,
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
        passes_per_nfe: maker.opened.engines.candidates().passes_per_nfe(),
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
    let finalists = match &greedy {
        Some(greedy) => desk.nearest(greedy).into_iter().collect(),
        None => search.finalists(terms.keep),
    };
    let found = desk.answer(&finalists, &terms, verdict)?;
    let Some(found) = found else {
        return Ok(Ended::Done(None));
    };
    let ranks = match plan.ranks {
        true => desk.ranks()?,
        false => BTreeMap::new(),
    };
    let again = desk.second_look(spec, &found.recipe)?;
    let answer = desk.row(plan, cell, found);
    let mut row = Row {
        ranks,
        again,
        ..answer.row
    };
    if let Some(greedy) = greedy {
        greedy.accept(&row.features);
        row.optimised.clear();
    }
    Ok(Ended::Done(Some(Box::new(Answer { row, ..answer }))))
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

/// What recipes give, made where it is not known, and how many were made.
fn given(mut maker: Maker, recipes: Vec<Recipe>) -> Result<(Vec<Option<Known>>, u64), StudyError> {
    let wanted = recipes.iter().map(|recipe| (recipe.clone(), View::Final));
    let fresh = maker.fresh(wanted.collect());
    maker.make(&fresh)?;
    let known = |recipe: &Recipe| maker.known(recipe.id(), View::Final).cloned();
    Ok((recipes.iter().map(known).collect(), maker.made))
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

    /// The candidate that `greedy` chooses among those that finished.
    fn nearest(&self, greedy: &Greedy) -> Option<JobId> {
        let known = |recipe: &Recipe| self.maker.known(recipe.id(), View::Final);
        let described = self.finished.iter().filter_map(|(job, recipe, _)| {
            let features = &known(recipe)?.features;
            Some((*job, features.as_slice()))
        });
        greedy.nearest(described)
    }

    /// The best candidate; where the best are made again, the best of those by their new scores.
    /// What fails then stays as the search saw it.
    fn answer(
        &mut self,
        finalists: &[JobId],
        terms: &Terms,
        verdict: Verdict,
    ) -> Result<Option<Found>, StudyError> {
        let held = |job: &JobId| self.finished.iter().find(|(id, ..)| id == job).cloned();
        let best: Vec<(JobId, Recipe, Scores)> = finalists.iter().filter_map(held).collect();
        let Some((_, recipe, scores)) = best.first().cloned() else {
            return Ok(None);
        };
        let again = best.iter().take(terms.finals());
        let again = again.filter_map(|(job, recipe, _)| {
            let (again, nfe) = terms.remake(recipe)?;
            Some((*job, again, nfe))
        });
        let again: Vec<(JobId, Recipe, u64)> = again.collect();
        let mut found = Found {
            recipe,
            scores,
            verdict,
            final_nfe: again.iter().map(|(.., nfe)| nfe).sum(),
        };
        let wanted = again.iter().map(|(_, recipe, _)| recipe.clone()).collect();
        let known = self.again(wanted)?;
        self.seconds += known
            .iter()
            .flatten()
            .map(|known| known.seconds)
            .sum::<f64>();
        let entries = again.iter().zip(&known).map(|((job, ..), known)| Entry {
            job: *job,
            scores: known.as_ref().and_then(|known| known.outcome.scores()),
        });
        let order = terms.objective.order(&entries.collect::<Vec<_>>());
        let first = order.first().map(|&place| (&again[place].1, &known[place]));
        if let Some((recipe, Some(known))) = first
            && let Outcome::Scored(scores) = &known.outcome
        {
            (found.recipe, found.scores) = (recipe.clone(), scores.clone());
        }
        Ok(Some(found))
    }

    /// What recipes give as they are handed out; `None` for one that was lost.
    fn again(&mut self, recipes: Vec<Recipe>) -> Result<Vec<Option<Known>>, StudyError> {
        let (known, made) = given(self.maker.finals(), recipes)?;
        self.maker.made += made;
        Ok(known)
    }

    /// What the optimised verifiers that vary say of the answer when they are asked again. Part of
    /// no cost.
    fn second_look(
        &mut self,
        spec: &Checked,
        recipe: &Recipe,
    ) -> Result<BTreeMap<String, f64>, StudyError> {
        let opened = self.maker.opened;
        let vary = |(at, name): &(usize, &String)| {
            opened.engines.finals().varies(*at) && spec.verifiers.contains(name)
        };
        let vary: Vec<(usize, &String)> = opened.panel.iter().enumerate().filter(vary).collect();
        if vary.is_empty() {
            return Ok(BTreeMap::new());
        }
        let (known, made) = given(self.maker.afresh(), vec![recipe.clone()])?;
        self.maker.made += made;
        let scores = known
            .first()
            .and_then(|known| known.as_ref()?.outcome.scores());
        let of = |scores: &Scores| {
            let named = vary
                .iter()
                .map(|(at, name)| ((*name).clone(), scores.values()[*at]));
            named.collect()
        };
        Ok(scores.map_or_else(BTreeMap::new, of))
    }

    /// By verifier, Spearman's correlation of the scores of the same finished candidates as the
    /// search saw them and in the number format of the answer. Part of no cost.
    fn ranks(&mut self) -> Result<BTreeMap<String, f64>, StudyError> {
        let recipes = self.finished.iter().map(|(_, recipe, _)| recipe.clone());
        let again = self.again(recipes.collect())?;
        let pairs = self.finished.iter().zip(&again);
        let pairs = pairs.filter_map(|((.., seen), known)| {
            let made = known.as_ref()?.outcome.scores()?;
            Some((seen.values(), made.values()))
        });
        let (seen, made): (Vec<&[f64]>, Vec<&[f64]>) = pairs.unzip();
        if seen.len() < 2 {
            return Ok(BTreeMap::new());
        }
        let column = |of: &[&[f64]], at: usize| of.iter().map(|v| v[at]).collect::<Vec<f64>>();
        let rank = |at| spearman(&column(&seen, at), &column(&made, at));
        let panel = self.maker.opened.panel.iter().enumerate();
        Ok(panel.map(|(at, name)| (name.clone(), rank(at))).collect())
    }

    fn row(&mut self, plan: &Plan, cell: &Cell, found: Found) -> Answer {
        let described = self.maker.finals();
        let described = described.known(found.recipe.id(), View::Final);
        let features = described.map_or_else(Vec::new, |known| known.features.clone());
        let (spec, panel) = (&cell.spec, &self.maker.opened.panel);
        let engine = self.maker.opened.engines.finals();
        let setting = &plan.settings[cell.setting];
        let scores = found.scores.values();
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
            ranks: BTreeMap::new(),
            again: BTreeMap::new(),
            features,
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
            passes: found.verdict.billed.passes
                + found.final_nfe * opened.engines.candidates().passes_per_nfe(),
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
