//! What there is: models and verifiers by name.
//!
//! [`Registry::builtin`] lists the embedded lab and knows the published models and verifiers,
//! whose files lie on the disk. A program may add its own entries; a test makes a registry of
//! fakes.

use crate::files::Files;
use crate::known::Known;
use crate::spec::SpecError;
use noisesearch_core::budget::Budget;
use noisesearch_models::checkpoint::hub::Hub;
use noisesearch_models::layers::Place;
use noisesearch_models::solver::Solver;
use noisesearch_models::task::Task;
use noisesearch_verifiers::metrics::Features;
use noisesearch_verifiers::metrics::describe::Describer;
use noisesearch_verifiers::verifier::Verifier;
use std::path::PathBuf;
use std::sync::Arc;

/// An opened model.
pub use noisesearch_models::pipeline::Pipeline as Model;

/// Whether a model is asked with a prompt or with a class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TaskKind {
    /// Text.
    Prompt,
    /// A class name.
    Class,
}

/// What a model does when nothing is said.
#[derive(Clone, Debug, PartialEq)]
pub struct Defaults {
    /// Solver steps.
    pub steps: u16,
    /// Solver steps of a candidate.
    pub search_steps: u16,
    /// Guidance scale.
    pub guidance: f32,
    /// Deterministic solver.
    pub solver: Solver,
    /// What a run may be billed.
    pub budget: Budget,
    /// Rows that run together.
    pub batch: usize,
    /// Images kept.
    pub count: usize,
    /// Optimised verifiers.
    pub verifiers: Vec<&'static str>,
    /// Watched verifiers.
    pub watch: Vec<&'static str>,
}

/// Weights that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("cannot open {name}: {reason}")]
pub struct OpenError {
    /// Model or verifier.
    pub name: String,
    /// What is wrong with it.
    pub reason: String,
}

impl OpenError {
    /// What is wrong with a model or verifier.
    pub(crate) fn new(name: &str, reason: impl ToString) -> Self {
        Self {
            name: name.to_owned(),
            reason: reason.to_string(),
        }
    }
}

/// Opens something by doing the expensive part, such as reading weights.
pub type Open<T> = Arc<dyn Fn() -> Result<T, OpenError> + Send + Sync>;

/// Opens a model on the device and in the number format that it is told; one way for all of them.
pub type OpenModel = Arc<dyn Fn(&Place) -> Result<Model, OpenError> + Send + Sync>;

/// A model that can be opened.
#[derive(Clone)]
pub struct ModelEntry {
    /// The name typed.
    pub name: String,
    /// What it makes.
    pub about: String,
    /// Models of one family share verifiers of their own; empty for a model without such.
    pub family: &'static str,
    /// Whether its images have colours.
    pub colour: bool,
    /// What it is asked with.
    pub task: TaskKind,
    /// Billions of multiply-adds of one network pass, where they are known; the GFLOP of the paper
    /// (arXiv 2501.09732, Fig. 11), which counts a multiply-add as one.
    pub gflop: Option<f64>,
    /// What it does when nothing is said.
    pub defaults: Defaults,
    /// Opens it.
    pub open: OpenModel,
}

/// Whose images a verifier judges.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Judges {
    /// Those of one family of models.
    Family(&'static str),
    /// Those of every model with colours, asked with this kind of task if it says one.
    Colour(Option<TaskKind>),
}

/// A verifier that can be opened.
#[derive(Clone)]
pub struct VerifierEntry {
    /// The name typed; unique among those that judge one model.
    pub name: String,
    /// What it judges.
    pub about: String,
    /// The models whose images it judges.
    pub judges: Judges,
    /// Opens it.
    pub open: Open<Box<dyn Verifier>>,
}

/// Models and verifiers.
#[derive(Default)]
pub struct Registry {
    /// The first that takes a task is the default for that kind of task.
    pub models: Vec<ModelEntry>,
    /// All verifiers of all families.
    pub verifiers: Vec<VerifierEntry>,
    /// Where downloaded models lie; without one, models and verifiers on the disk are not known.
    pub hub: Option<Hub>,
    /// Where models and verifiers lie that the hub does not have, each in a folder of its name.
    pub folder: Option<PathBuf>,
}

impl TaskKind {
    /// The kind of a task.
    pub fn of(task: &Task) -> Self {
        match task {
            Task::Prompt(_) => Self::Prompt,
            Task::Class(_) => Self::Class,
        }
    }

    /// `prompt` or `class`.
    pub fn word(self) -> &'static str {
        match self {
            Self::Prompt => "prompt",
            Self::Class => "class",
        }
    }
}

impl Judges {
    /// Whether it judges the images of a model.
    pub fn judges(self, model: &ModelEntry) -> bool {
        match self {
            Self::Family(family) => family == model.family,
            Self::Colour(task) => model.colour && task.is_none_or(|task| task == model.task),
        }
    }
}

impl Registry {
    /// The embedded lab, published verifiers, and the models of the hub's cache.
    pub fn builtin() -> Self {
        let mut verifiers = crate::lab::verifiers();
        verifiers.extend(crate::judges::all());
        Self {
            models: crate::lab::models(),
            verifiers,
            hub: Hub::named(|name| std::env::var_os(name)),
            folder: crate::library::folder(|name| std::env::var_os(name)),
        }
    }

    /// The model of this name, or the default for this kind of task: one of the registry, a
    /// published model, a repository of the hub's cache, or the path of a folder or file.
    pub fn model_for(
        &self,
        task: &Task,
        name: Option<&str>,
        files: &Files,
    ) -> Result<ModelEntry, SpecError> {
        let kind = TaskKind::of(task);
        let takers = || self.models.iter().filter(|entry| entry.task == kind);
        let Some(name) = name else {
            let first = takers().next();
            let first = first.ok_or_else(|| self.unknown_model("(default)"))?;
            return self.fixed(first, files);
        };
        let entry = match self.models.iter().find(|entry| entry.name == name) {
            Some(entry) => self.fixed(entry, files)?,
            None => crate::library::model(self, name, kind, files)?,
        };
        if entry.task == kind {
            return Ok(entry);
        }
        Err(SpecError::WrongTask {
            model: name.to_owned(),
            takes: entry.task.word(),
            given: kind.word(),
            others: names(takers()),
        })
    }

    /// Where a published model is, if all of it is in the folder of models or in the hub's cache.
    pub fn place_of(&self, known: &Known) -> Option<PathBuf> {
        crate::library::place(self, known)
    }

    /// Where the weights of a verifier are, or what they are and under which licence; `None` for
    /// one that is part of the program.
    pub fn whereabouts(&self, verifier: &VerifierEntry) -> Option<String> {
        match verifier.judges {
            Judges::Family(_) => None,
            Judges::Colour(_) => crate::judges::whereabouts(self, &verifier.name),
        }
    }

    /// An entry of the registry, which has one size and one place.
    fn fixed(&self, entry: &ModelEntry, files: &Files) -> Result<ModelEntry, SpecError> {
        match files.of_disk() {
            Some(key) => Err(SpecError::Fixed {
                key: key.replace('_', "-"),
                model: entry.name.clone(),
            }),
            None => Ok(entry.clone()),
        }
    }

    /// The refusal of a name that is no model's.
    pub(crate) fn unknown_model(&self, name: &str) -> SpecError {
        SpecError::Unknown {
            what: "model",
            name: name.chars().take(80).collect(),
            known: names(self.models.iter()) + self.hub.as_ref().map_or("", |_| OTHERS),
        }
    }

    /// Who describes this model's images for measures of a whole set of them, if somebody does.
    pub fn describer_for(
        &self,
        model: &ModelEntry,
    ) -> Result<Option<Box<dyn Describer>>, OpenError> {
        crate::lab::describer(model.family)
    }

    /// The features of real pictures that measures of a whole set are made against, `[n, d]` by
    /// [`Registry::describer_for`], if there are some.
    pub fn reference_for(&self, model: &ModelEntry) -> Result<Option<Features>, OpenError> {
        crate::lab::reference(model.family)
    }

    /// The verifier of this name for this model's images.
    pub fn verifier_for(
        &self,
        model: &ModelEntry,
        name: &str,
        files: &Files,
    ) -> Result<VerifierEntry, SpecError> {
        self.verifier_among(|entry| entry.judges.judges(model), name, files)
    }

    /// The verifier of this name, whoever made the pictures.
    pub fn verifier_named(&self, name: &str, files: &Files) -> Result<VerifierEntry, SpecError> {
        self.verifier_among(|_| true, name, files)
    }

    fn verifier_among(
        &self,
        among: impl Fn(&VerifierEntry) -> bool,
        name: &str,
        files: &Files,
    ) -> Result<VerifierEntry, SpecError> {
        let judges = || self.verifiers.iter().filter(|entry| among(entry));
        if let Some(entry) = judges().find(|entry| entry.name == name) {
            return Ok(crate::judges::placed(self, entry, files));
        }
        if let Some(entry) = crate::judges::command(name) {
            return Ok(entry);
        }
        // Two families may both have one of a name.
        let mut known: Vec<&str> = Vec::new();
        for entry in judges() {
            if !known.contains(&entry.name.as_str()) {
                known.push(&entry.name);
            }
        }
        Err(SpecError::Unknown {
            what: "verifier",
            name: name.chars().take(80).collect(),
            known: known.join(", "),
        })
    }
}

/// What else names a model where there may be some on the disk.
const OTHERS: &str = "; or a published one of `noisesearch models`, a folder or file, or org/name";

fn names<'a>(entries: impl Iterator<Item = &'a ModelEntry>) -> String {
    let names: Vec<&str> = entries.map(|entry| entry.name.as_str()).collect();
    names.join(", ")
}
