//! From a study's file to its cells: every setting checked, every task read.

use crate::check;
use crate::error::StudyError;
use crate::file::StudyFile;
use crate::limits::{CELLS_MAX, STUDY_BYTES_MAX};
use crate::measure::Measure;
use crate::prompts::{self, Prompt};
use noisesearch::registry::Registry;
use noisesearch::spec::{Checked, Spec, SpecError, excerpt};
use noisesearch_models::task::Task;
use std::collections::BTreeSet;
use std::fmt::Display;
use std::path::{Path, PathBuf};

/// A study that can be run.
#[derive(Debug)]
pub struct Plan {
    /// Its file.
    pub path: PathBuf,
    /// The file's stem, with `-quick` for a quick run: the name of its results.
    pub name: String,
    /// The file's text.
    pub text: String,
    /// What it says.
    pub file: StudyFile,
    /// Prompts or classes, each once.
    pub tasks: Vec<Prompt>,
    /// Seeds a task.
    pub seeds: u64,
    /// The settings of every point of every arm, with the first task.
    pub settings: Vec<Setting>,
    /// Whether it measures how the number formats of search and answer order candidates, for which
    /// all of them are made in both.
    pub ranks: bool,
}

/// One point of one arm.
#[derive(Debug)]
pub struct Setting {
    /// The arm's place in the file.
    pub arm: usize,
    /// The point's place in the arm.
    pub point: usize,
    /// What its cells do.
    pub spec: Checked,
}

/// One run of one search on one task with one seed.
#[derive(Clone, Debug)]
pub struct Cell {
    /// Its place among the cells of the study.
    pub place: usize,
    /// The setting's place.
    pub setting: usize,
    /// The task's place.
    pub task: usize,
    /// What it does.
    pub spec: Checked,
}

impl Plan {
    /// Reads and checks a study. A quick run takes the sizes that the file has for it.
    pub fn read(path: &Path, registry: &Registry, quick: bool) -> Result<Self, StudyError> {
        let form = |problem: String| StudyError::Form {
            path: path.to_owned(),
            problem,
        };
        let text = prompts::read_text(path, STUDY_BYTES_MAX)?;
        let file: StudyFile =
            toml::from_str(&text).map_err(|error| form(excerpt(&error.to_string())))?;
        check::check(&file).map_err(|error| form(error.to_string()))?;
        let (count, seeds) = match file.tasks.quick.filter(|_| quick) {
            Some(size) => (size.count.or(file.tasks.count), size.seeds),
            None => (file.tasks.count, file.tasks.seeds),
        };
        let mut tasks = tasks(path, &file)?;
        tasks.truncate(count.unwrap_or(usize::MAX));
        if tasks.is_empty() || seeds == 0 {
            return Err(form(
                "[tasks]: no task is left to run; count and seeds are 1 or more".into(),
            ));
        }
        let points: usize = file.arms.iter().map(|arm| arm.points.len()).sum();
        let cells = points.saturating_mul(tasks.len());
        let cells = cells.saturating_mul(usize::try_from(seeds).unwrap_or(usize::MAX));
        if cells > CELLS_MAX {
            return Err(StudyError::TooManyCells {
                path: path.to_owned(),
                cells,
            });
        }
        let settings =
            settings(&file, &tasks[0], registry).map_err(|problems| StudyError::Settings {
                path: path.to_owned(),
                problems,
            })?;
        let stem = path
            .file_stem()
            .map_or_else(|| "study".into(), |stem| stem.to_string_lossy());
        let ranks = check::measures(&file).any(|measure| matches!(measure, Measure::Rank(_)));
        let plan = Self {
            path: path.to_owned(),
            name: if quick {
                format!("{stem}-quick")
            } else {
                stem.into_owned()
            },
            text,
            ranks,
            file,
            tasks,
            seeds,
            settings,
        };
        plan.check_seeds()?;
        Ok(plan)
    }

    /// The last seed must be one, too.
    fn check_seeds(&self) -> Result<(), StudyError> {
        let last = |setting: &Setting| {
            let subject = setting.spec.subject().to_owned();
            let seed = setting.spec.seed.saturating_add(self.seeds - 1);
            let problem = setting.spec.with(subject, seed).err()?;
            Some(place(&self.file, setting.arm, setting.point, problem))
        };
        let problems: Vec<String> = self.settings.iter().filter_map(last).collect();
        match problems.is_empty() {
            true => Ok(()),
            false => Err(StudyError::Settings {
                path: self.path.clone(),
                problems,
            }),
        }
    }

    /// How many cells there are.
    pub fn cells(&self) -> usize {
        self.tasks.len() * self.seeds as usize * self.settings.len()
    }

    /// The place of a cell: points of arms run fastest, then seeds, then tasks. The seed is counted
    /// from 0.
    pub fn place(&self, task: usize, seed: usize, setting: usize) -> usize {
        (task * self.seeds as usize + seed) * self.settings.len() + setting
    }

    /// The cell at a [place](Self::place).
    pub fn cell(&self, place: usize) -> Result<Cell, SpecError> {
        let (rest, setting) = (place / self.settings.len(), place % self.settings.len());
        let (task, seed) = (
            rest / self.seeds as usize,
            (rest % self.seeds as usize) as u64,
        );
        let spec = &self.settings[setting].spec;
        Ok(Cell {
            place,
            setting,
            task,
            spec: spec.with(self.tasks[task].text.clone(), spec.seed + seed)?,
        })
    }

    /// Where a cell is, in words.
    pub fn whereabouts(&self, cell: &Cell) -> String {
        let setting = &self.settings[cell.setting];
        format!(
            "{}, arm `{}`, point {}, task {:?}, seed {}",
            self.name,
            self.file.arms[setting.arm].name,
            setting.point,
            cell.spec.subject(),
            cell.spec.seed
        )
    }
}

/// The tasks of a study; one that comes twice counts once.
fn tasks(path: &Path, file: &StudyFile) -> Result<Vec<Prompt>, StudyError> {
    let form = |problem: &str| StudyError::Form {
        path: path.to_owned(),
        problem: problem.to_owned(),
    };
    let mut tasks = match (&file.tasks.prompts, &file.tasks.classes) {
        (Some(_), Some(_)) => return Err(form("[tasks] names both prompts and classes")),
        (None, None) => return Err(form("[tasks] names neither prompts nor classes")),
        (Some(prompts), None) => {
            let above = path.parent().unwrap_or(Path::new(""));
            prompts::read(&above.join(prompts))?
        }
        (None, Some(classes)) => {
            let class = |name: &String| Prompt {
                text: name.clone(),
                ..Prompt::default()
            };
            classes.iter().map(class).collect()
        }
    };
    let mut seen = BTreeSet::new();
    tasks.retain(|task| seen.insert(task.text.clone()));
    Ok(tasks)
}

/// The spec of every point, or everything that is wrong with them.
fn settings(
    file: &StudyFile,
    task: &Prompt,
    registry: &Registry,
) -> Result<Vec<Setting>, Vec<String>> {
    let asked = match file.tasks.prompts {
        Some(_) => Task::Prompt(task.text.clone()),
        None => Task::Class(task.text.clone()),
    };
    let elsewhere: Vec<String> = registry.verifiers.iter().map(|v| v.name.clone()).collect();
    let (mut settings, mut problems) = (Vec::new(), Vec::new());
    for (arm_at, arm) in file.arms.iter().enumerate() {
        for (point_at, point) in arm.points.iter().enumerate() {
            let spec = point.clone().over(arm.spec.clone().over(file.base.clone()));
            let checked = spec_of(spec, &asked).and_then(|spec| {
                let checked = spec.check_among(registry, &elsewhere);
                checked.map_err(|problem| problem.to_string())
            });
            match checked {
                Ok(spec) => settings.push(Setting {
                    arm: arm_at,
                    point: point_at,
                    spec,
                }),
                Err(problem) => problems.push(place(file, arm_at, point_at, problem)),
            }
        }
    }
    match problems.is_empty() {
        true => Ok(settings),
        false => Err(problems),
    }
}

/// A spec for a task; a verifier that is optimised here is not watched as well.
fn spec_of(mut spec: Spec, task: &Task) -> Result<Spec, String> {
    if spec.prompt.is_some() || spec.class.is_some() {
        return Err("a prompt or class among its settings; tasks are named under [tasks]".into());
    }
    match task.clone() {
        Task::Prompt(prompt) => spec.prompt = Some(prompt),
        Task::Class(class) => spec.class = Some(class),
    }
    if let (Some(watch), Some(verifiers)) = (&mut spec.watch, &spec.verifiers) {
        watch.retain(|name| !verifiers.contains(name));
    }
    Ok(spec)
}

fn place(file: &StudyFile, arm: usize, point: usize, problem: impl Display) -> String {
    format!("arm `{}`, point {point}: {problem}", file.arms[arm].name)
}
