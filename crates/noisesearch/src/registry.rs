//! What there is: models and verifiers by name.
//!
//! [`Registry::builtin`] lists the embedded lab. A program may add its own entries; a test makes
//! a registry of fakes.

use crate::spec::SpecError;
use noisesearch_core::budget::Budget;
use noisesearch_models::denoiser::{Conditioner, Decoder, Denoiser};
use noisesearch_models::path::NoisePath;
use noisesearch_models::schedule::Schedule;
use noisesearch_models::solver::Solver;
use noisesearch_models::task::Task;
use noisesearch_verifiers::verifier::Verifier;

/// Whether a model is asked with a prompt or with a class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TaskKind {
    /// Text.
    Prompt,
    /// A class name.
    Class,
}

/// An opened model.
pub struct Model {
    /// Encodes the task, once a run.
    pub conditioner: Box<dyn Conditioner>,
    /// Predicts the clean sample.
    pub denoiser: Box<dyn Denoiser>,
    /// From clean samples to noise.
    pub path: NoisePath,
    /// Where solver steps lie on it.
    pub schedule: Schedule,
    /// Turns latents into images.
    pub decoder: Box<dyn Decoder>,
    /// BLAKE3 of the weights in hexadecimal.
    pub weights: String,
}

/// What a model does when nothing is said.
#[derive(Clone, Debug, PartialEq)]
pub struct Defaults {
    /// Solver steps.
    pub steps: u16,
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

/// Opens something by doing the expensive part, such as reading weights.
pub type Open<T> = Box<dyn Fn() -> Result<T, OpenError> + Send + Sync>;

/// A model that can be opened.
pub struct ModelEntry {
    /// The name typed.
    pub name: &'static str,
    /// What it makes.
    pub about: &'static str,
    /// Models of one family share their verifiers.
    pub family: &'static str,
    /// What it is asked with.
    pub task: TaskKind,
    /// What it does when nothing is said.
    pub defaults: Defaults,
    /// Opens it.
    pub open: Open<Model>,
}

/// A verifier that can be opened.
pub struct VerifierEntry {
    /// The name typed; unique within its family.
    pub name: &'static str,
    /// What it judges.
    pub about: &'static str,
    /// The models whose images it judges.
    pub family: &'static str,
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

impl Registry {
    /// The model of this name, or the default for this kind of task.
    pub fn model_for(&self, task: &Task, name: Option<&str>) -> Result<&ModelEntry, SpecError> {
        let kind = TaskKind::of(task);
        let takers = || self.models.iter().filter(|entry| entry.task == kind);
        let names = |entries: Vec<&ModelEntry>| {
            entries
                .iter()
                .map(|entry| entry.name)
                .collect::<Vec<_>>()
                .join(", ")
        };
        let unknown = |name: &str| SpecError::Unknown {
            what: "model",
            name: name.chars().take(80).collect(),
            known: names(self.models.iter().collect()),
        };
        let Some(name) = name else {
            return takers().next().ok_or_else(|| unknown("(default)"));
        };
        let found = self.models.iter().find(|entry| entry.name == name);
        let entry = found.ok_or_else(|| unknown(name))?;
        if entry.task == kind {
            return Ok(entry);
        }
        Err(SpecError::WrongTask {
            model: name.to_owned(),
            takes: entry.task.word(),
            given: kind.word(),
            others: names(takers().collect()),
        })
    }

    /// The verifier of this name for this model's images.
    pub fn verifier_for(
        &self,
        model: &ModelEntry,
        name: &str,
    ) -> Result<&VerifierEntry, SpecError> {
        let mut family = self
            .verifiers
            .iter()
            .filter(|entry| entry.family == model.family);
        family
            .clone()
            .find(|entry| entry.name == name)
            .ok_or_else(|| SpecError::Unknown {
                what: "verifier",
                name: name.chars().take(80).collect(),
                known: family
                    .by_ref()
                    .map(|entry| entry.name)
                    .collect::<Vec<_>>()
                    .join(", "),
            })
    }
}
