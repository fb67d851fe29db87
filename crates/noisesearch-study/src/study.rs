//! Runs studies: opens models, fills the store, drives the cells, writes what came out.

use crate::bench::{Bench, identity};
use crate::cell::{self, Ended};
use crate::checksum::checksum;
use crate::error::StudyError;
use crate::greedy::{self, Greedy};
use crate::images::Gallery;
use crate::known::Store;
use crate::maker::Maker;
use crate::output::Output;
use crate::plan::{Cell, Plan};
use crate::publish::{self, Shelf};
use crate::row::Row;
use crate::scout::{self, Scout};
use crate::watch::{Control, Meter, Progress};
use noisesearch::preview::Preview;
use noisesearch::registry::Registry;
use noisesearch::spec::{Checked, Spec, SpecError};
use noisesearch_core::budget::Budget;
use noisesearch_core::level::Level;
use serde::Serialize;
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::time::Instant;

/// How studies are run.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where known outcomes lie, and below which every study has its directory.
    pub out: PathBuf,
    /// Small sizes: the same code, wider intervals.
    pub quick: bool,
    /// Whether answers are written as images, too.
    pub images: bool,
    /// Where the findings of all studies are written; `findings.md` in `out` by default.
    pub findings: Option<PathBuf>,
}

/// What came out of one study.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// Its name.
    pub study: String,
    /// Its directory.
    pub directory: PathBuf,
    /// Its cells.
    pub cells: usize,
    /// Cells with an answer: rows of `results.jsonl`.
    pub rows: usize,
    /// Of all numbers but the measured seconds: the same again whenever the study is run again.
    pub checksum: String,
    /// Candidates made by this process.
    pub made: u64,
    /// Seconds of this process.
    pub seconds: f64,
}

/// Whether studies ran to their ends.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// All of them.
    Done(Vec<Report>),
    /// Somebody asked to stop; what was made is known, and the same call goes on.
    Cancelled,
}

/// Runs the studies of `files` in order. Nothing is written before all settings are checked and
/// every model was asked for every task.
pub fn run(
    registry: &Registry,
    files: &[PathBuf],
    options: &Options,
    control: &mut Control,
) -> Result<Verdict, StudyError> {
    let read = |path: &PathBuf| Plan::read(path, registry, options.quick);
    let plans: Vec<Plan> = files.iter().map(read).collect::<Result<_, _>>()?;
    let mut bench = Bench::new(registry, &plans);
    for plan in &plans {
        greedy::check(plan, registry)?;
        bench.try_tasks(plan)?;
        Output::new(&options.out, plan).check()?;
    }
    let (mut store, notice) = Store::open(&options.out)?;
    if let Some(notice) = notice {
        control.observer.note(&notice);
    }
    let mut reports = Vec::with_capacity(plans.len());
    let mut ended = Vec::with_capacity(plans.len());
    for plan in &plans {
        let output = Output::new(&options.out, plan);
        output.begin()?;
        let work = Work {
            plan,
            bench: &mut bench,
            store: &mut store,
            gallery: options.images.then(|| Gallery::new(output.path(), plan)),
            shelf: Shelf::new(plan),
            rows: Vec::new(),
            tally: Tally::new(plan, control),
        };
        let Some((report, rows, shelf)) = work.go(&output)? else {
            return Ok(Verdict::Cancelled);
        };
        let study = publish::Ended::new(plan, rows, registry)?;
        study.report(output.path(), &shelf)?;
        reports.push(report);
        ended.push(study);
    }
    let default = || options.out.join("findings.md");
    publish::findings(&ended, &options.findings.clone().unwrap_or_else(default))?;
    Ok(Verdict::Done(reports))
}

/// Candidates that the cells of a plan will ask for, about.
fn expected(plan: &Plan) -> f64 {
    let each = plan
        .settings
        .iter()
        .map(|setting| candidates(&setting.spec));
    each.sum::<f64>() * plan.tasks.len() as f64 * plan.seeds as f64
}

fn candidates(spec: &Checked) -> f64 {
    let whole = spec.nfe_rule().nfe(spec.search_steps, Level::CLEAN).max(1);
    match spec.budget {
        Budget::Evals(evals) => evals as f64,
        Budget::Nfe(nfe) => nfe as f64 / whole as f64,
        Budget::Seconds(_) => 1.0,
    }
}

/// Counts what is done and tells it.
struct Tally<'a, 'c> {
    plan: &'a Plan,
    meter: Meter,
    /// Cells that ended.
    ended: usize,
    /// Candidates made in turns that are over.
    made: u64,
    control: &'a mut Control<'c>,
}

impl<'a, 'c> Tally<'a, 'c> {
    fn new(plan: &'a Plan, control: &'a mut Control<'c>) -> Self {
        Self {
            plan,
            meter: Meter::new(expected(plan)),
            ended: 0,
            made: 0,
            control,
        }
    }

    /// Tells that the scouts of this turn were told so many candidates. Returns whether to go on.
    fn tell(&mut self, told: u64, maker: &Maker) -> bool {
        let made = self.made + maker.made;
        let (fraction, seconds_left) = self.meter.at(told as f64, made, Instant::now());
        self.control.observer.progress(&Progress {
            study: &self.plan.name,
            cells: self.ended,
            of: self.plan.cells(),
            made,
            fraction,
            seconds_left,
        });
        !self.control.cancelled()
    }
}

/// One study at work.
struct Work<'a, 'b, 'c> {
    plan: &'a Plan,
    bench: &'a mut Bench<'b>,
    store: &'a mut Store,
    gallery: Option<Gallery<'a>>,
    shelf: Shelf,
    /// Rows by the places of their cells.
    rows: Vec<(usize, Row)>,
    tally: Tally<'a, 'c>,
}

impl Work<'_, '_, '_> {
    /// `None` when somebody asked to stop.
    fn go(mut self, output: &Output) -> Result<Option<(Report, Vec<Row>, Shelf)>, StudyError> {
        let began = Instant::now();
        for settings in turns(self.plan) {
            for task in 0..self.plan.tasks.len() {
                if !self.turn(&self.cells(&settings, task)?, None)? {
                    return Ok(None);
                }
            }
        }
        for setting in greedy::settings(self.plan) {
            if !self.choose(setting)? {
                return Ok(None);
            }
        }
        self.rows.sort_by_key(|(place, _)| *place);
        let rows: Vec<Row> = self.rows.into_iter().map(|(_, row)| row).collect();
        output.write(&rows)?;
        let unanswered = self.plan.cells() - rows.len();
        if unanswered > 0 {
            let text = format!("{unanswered} cells have no row: every candidate of them failed");
            self.tally.control.observer.note(&text);
        }
        let report = Report {
            study: self.plan.name.clone(),
            directory: output.path().to_owned(),
            cells: self.plan.cells(),
            rows: rows.len(),
            checksum: checksum(&rows)?,
            made: self.tally.made,
            seconds: began.elapsed().as_secs_f64(),
        };
        Ok(Some((report, rows, self.shelf)))
    }

    /// The cells of some settings on one task.
    fn cells(&self, settings: &[usize], task: usize) -> Result<Vec<Cell>, StudyError> {
        let seeds = self.plan.seeds as usize;
        let place = |seed| move |&setting: &usize| self.plan.place(task, seed, setting);
        let places = (0..seeds).flat_map(|seed| settings.iter().map(place(seed)));
        places
            .map(|place| self.plan.cell(place).map_err(refused))
            .collect()
    }

    /// Answers the cells of a setting whose answers depend on each other. Their candidates are
    /// known. Returns whether to go on.
    fn choose(&mut self, setting: usize) -> Result<bool, StudyError> {
        let spec = &self.plan.settings[setting].spec;
        let mut greedy = Greedy::new(spec, self.bench.registry)?;
        for place in greedy::order(self.plan, setting) {
            let cell = self.plan.cell(place).map_err(refused)?;
            if !self.turn(&[cell], greedy.as_mut())? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Runs the cells of one turn: one task and one [`Key`]. Without `greedy` those that need it
    /// are left for later, all but their candidates. Returns whether to go on.
    fn turn(
        &mut self,
        cells: &[Cell],
        mut greedy: Option<&mut Greedy>,
    ) -> Result<bool, StudyError> {
        let Some(first) = cells.first() else {
            return Ok(true);
        };
        let opened = self.bench.open(&first.spec)?;
        let mut scouts = Vec::with_capacity(cells.len());
        let ahead = if greedy.is_none() { cells } else { &[] };
        for cell in ahead {
            let terms = cell::terms(&cell.spec, &opened.panel).map_err(refused)?;
            let scout = Scout::new(&cell.spec.search, &terms, cell.spec.batch);
            scouts.extend(scout.map_err(|error| refused(error.into()))?);
        }
        let batch = cells.iter().map(|cell| cell.spec.batch).max().unwrap_or(1);
        let mut maker = Maker::turn(opened, self.store, &first.spec, batch)?;
        let tally = &mut self.tally;
        scout::walk(&mut scouts, &mut maker, &mut |told, maker| {
            tally.tell(told, maker)
        })?;
        let told = scouts.iter().map(|scout| scout.told).sum();
        let cancel = tally.control.cancel;
        let cancelled = || cancel.load(Ordering::Relaxed);
        let plan = self.plan;
        let later = |cell: &Cell| greedy.is_none() && greedy::chooses(plan, cell.setting);
        let now: Vec<&Cell> = cells.iter().filter(|cell| !later(cell)).collect();
        for cell in now {
            let greedy = greedy.as_deref_mut();
            let Ended::Done(answer) = cell::run(plan, cell, &mut maker, greedy, &cancelled)? else {
                return Ok(false);
            };
            if let Some(answer) = answer {
                if self.shelf.wants(self.plan, cell) {
                    let picture = maker.picture(&answer.recipe)?;
                    if let Some(picture) = picture {
                        self.shelf.put(&answer.row, &picture)?;
                    }
                }
                if let Some(gallery) = &self.gallery {
                    gallery.add(cell, &answer, &mut maker)?;
                }
                self.rows.push((cell.place, answer.row));
            }
            tally.ended += 1;
            tally.tell(told, &maker);
        }
        for note in maker.notes() {
            tally.control.observer.note(&note);
        }
        tally.made += maker.made;
        tally
            .meter
            .over(ahead.iter().map(|cell| candidates(&cell.spec)).sum());
        Ok(true)
    }
}

fn refused(error: SpecError) -> StudyError {
    StudyError::Engine(error.into())
}

/// A model's place, the bits of the guidance, the solver, and how previews are decoded: what
/// [`Engine::turn`](noisesearch::engine::Engine::turn) takes of a spec besides its task, but for
/// sizes of batch and cache, which change no outcome.
type Key = (usize, u32, &'static str, Preview);

/// The settings of a study, those of one key together, and models in the order of arms, so that
/// each is opened once.
fn turns(plan: &Plan) -> Vec<Vec<usize>> {
    let mut models: Vec<Spec> = Vec::new();
    let mut turns: Vec<(Key, Vec<usize>)> = Vec::new();
    for (place, setting) in plan.settings.iter().enumerate() {
        let identity = identity(&setting.spec);
        let model = models.iter().position(|known| *known == identity);
        let model = model.unwrap_or(models.len());
        if model == models.len() {
            models.push(identity);
        }
        let key = (
            model,
            setting.spec.guidance.to_bits(),
            setting.spec.solver.name(),
            setting.spec.preview,
        );
        match turns.iter_mut().find(|(known, _)| *known == key) {
            Some((_, settings)) => settings.push(place),
            None => turns.push((key, vec![place])),
        }
    }
    turns.sort_by_key(|((model, ..), _)| *model);
    turns.into_iter().map(|(_, settings)| settings).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const STUDY: &str = r#"
title = "t"
statement = "s"
source = "arXiv 2501.09732"
[tasks]
classes = ["Q"]
[base]
model = "glyphs-small"
verifiers = ["classifier"]
search = { method = "paths" }
budget = "200nfe"
[[arm]]
name = "full"
points = [{}, { guidance = 2.0 }]
[[arm]]
name = "linear"
spec = { preview = "linear" }
points = [{}, { batch = 2, cache = "1MB", seed = 7, budget = "300nfe" }]
"#;

    /// Regression: the whole turn was made with the previews of its first arm.
    #[test]
    fn settings_that_decode_previews_differently_are_not_made_together() {
        let path = std::env::temp_dir().join(format!("turns-{}.toml", std::process::id()));
        std::fs::write(&path, STUDY).unwrap();
        let plan = Plan::read(&path, &Registry::builtin(), false);
        std::fs::remove_file(&path).unwrap();
        assert_eq!(turns(&plan.unwrap()), [vec![0], vec![1], vec![2, 3]]);
    }
}
