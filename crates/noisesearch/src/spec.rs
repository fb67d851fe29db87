//! What a run shall do: [`Spec`] as typed, [`Checked`] as resolved.
//!
//! A [`Spec`] has a hole wherever nothing was said. [`Spec::check`] fills every hole with a
//! default, refuses what makes no sense, and is the only way to a [`Checked`]. The `run.toml` of
//! a run is its [`Checked`] spec written without holes, so that it reproduces the run.

use crate::files::Files;
use crate::limits::{
    BATCH_MAX, CACHE_BYTES, CONFIG_BYTES_MAX, COUNT_MAX, GUIDANCE_MAX, STEPS_MAX, SUBJECT_CHARS_MAX,
};
use crate::preview::Preview;
use crate::registry::Registry;
use crate::size::Size;
use crate::spec_judges::{Asked, Judges};
use noisesearch_core::budget::{Budget, Target};
use noisesearch_core::ledger::NfeRule;
use noisesearch_core::objective::Objective;
use noisesearch_core::search::{SearchSpec, Terms};
use noisesearch_models::solver::Solver;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::ops::Deref;
use std::path::PathBuf;

pub use crate::spec_error::{SpecError, excerpt};
pub use crate::spec_search::{AUTO, SearchTable};
pub use noisesearch_models::task::Task;

/// What was asked for, with holes. The TOML form is this struct, `[search]` last.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Spec {
    /// What the sample shall show, for text-to-image models.
    pub prompt: Option<String>,
    /// What the sample shall show, for class-conditional models.
    pub class: Option<String>,
    /// Name of the model; the default is the first one that takes a prompt, or a class.
    pub model: Option<String>,
    /// What the search is for, instead of verifiers and objective; see [`crate::goal::Goal`].
    pub goal: Option<String>,
    /// Verifiers that are optimised.
    pub verifiers: Option<Vec<String>>,
    /// Verifiers that are scored and shown, never optimised.
    pub watch: Option<Vec<String>>,
    /// What is maximised, see [`Objective::parse`]; the default is the only verifier, or the mean
    /// rank over all optimised ones.
    pub objective: Option<String>,
    /// What the run may be billed.
    pub budget: Option<Budget>,
    /// A score at which the run ends early.
    pub until: Option<Target>,
    /// Solver steps of the answer, 1 to 1000.
    pub steps: Option<u16>,
    /// Solver steps of a candidate during search; the default is `steps`.
    pub search_steps: Option<u16>,
    /// Classifier-free guidance scale, 0 to 100; 1 is unguided.
    pub guidance: Option<f32>,
    /// Name of the deterministic solver.
    pub solver: Option<String>,
    /// How x0-predictions are decoded for their scores: `full`, the default, or `linear`.
    pub preview: Option<Preview>,
    /// From which every noise is drawn, 0 to 2^63 - 1.
    pub seed: Option<u64>,
    /// Rows that run together, 1 to 256; changes speed and nothing else.
    pub batch: Option<usize>,
    /// Bytes of states that are kept to go back to, such as `256MB`; changes speed and nothing
    /// else.
    pub cache: Option<Size>,
    /// How many of the best candidates are kept as images, 1 to 64.
    pub count: Option<usize>,
    /// Columns of the images in pixels, for models on the disk; theirs by default.
    pub width: Option<usize>,
    /// Rows of the images in pixels.
    pub height: Option<usize>,
    /// Where the model lives: `cpu`, `cuda:0` or `metal`.
    pub device: Option<String>,
    /// Number format of weights and activations: `f32`, `bf16`, `f16`, or `int8` on the CPU.
    pub dtype: Option<String>,
    /// Number format of candidates; the default is `dtype`. Where it is another one, the best
    /// `count` are made again in `dtype`, and the best of these is the answer.
    pub search_dtype: Option<String>,
    /// Files and folders by the names of models, verifiers, and components such as `vae`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub weights: BTreeMap<String, PathBuf>,
    /// The algorithm and its parameters.
    #[serde(default, skip_serializing_if = "SearchTable::is_empty")]
    pub search: SearchTable,
}

/// A spec without holes, all of it legal for its model. Made by [`Spec::check`] only.
#[derive(Clone, Debug, PartialEq)]
pub struct Checked(Resolved);

/// The fields of a [`Checked`] spec.
#[derive(Clone, Debug, PartialEq)]
pub struct Resolved {
    /// Prompt or class.
    pub task: Task,
    /// Name of the model.
    pub model: String,
    /// Verifiers that are optimised, at least one.
    pub verifiers: Vec<String>,
    /// Verifiers that are only scored.
    pub watch: Vec<String>,
    /// Over [`Resolved::scored`].
    pub objective: Objective,
    /// What the run may be billed.
    pub budget: Budget,
    /// A score that is enough; its verifier is in [`Resolved::scored`].
    pub until: Option<Target>,
    /// Solver steps of the answer.
    pub steps: u16,
    /// Solver steps of a candidate.
    pub search_steps: u16,
    /// Guidance scale.
    pub guidance: f32,
    /// The deterministic solver.
    pub solver: Solver,
    /// How x0-predictions are decoded for their scores.
    pub preview: Preview,
    /// From which every noise is drawn.
    pub seed: u64,
    /// Rows that run together.
    pub batch: usize,
    /// States kept to go back to.
    pub cache: Size,
    /// Images kept.
    pub count: usize,
    /// Where files lie and the model lives.
    pub files: Files,
    /// The algorithm, with every setting.
    pub search: SearchSpec,
}

impl Spec {
    /// Reads the TOML form. Unknown keys and wrong types are errors that name line and column.
    pub fn from_toml(text: &str) -> Result<Self, SpecError> {
        if text.len() > CONFIG_BYTES_MAX {
            return Err(SpecError::TooLarge(text.len()));
        }
        toml::from_str(text).map_err(|error| SpecError::Toml(excerpt(&error.to_string())))
    }

    /// This spec with nothing said about how to search.
    pub fn without_search(self) -> Self {
        Self {
            search: SearchTable::default(),
            search_steps: None,
            search_dtype: None,
            ..self
        }
    }

    /// This spec with its holes filled from `base`. A task given here replaces `base`'s.
    pub fn over(self, base: Self) -> Self {
        let tasked = self.prompt.is_some() || self.class.is_some();
        let (prompt, class) = if tasked {
            (None, None)
        } else {
            (base.prompt, base.class)
        };
        // A goal stands for verifiers and objective, so that one given here replaces the other's.
        let purpose = self.goal.is_some() || self.verifiers.is_some();
        let (goal, verifiers) = match purpose {
            true => (None, None),
            false => (base.goal, base.verifiers),
        };
        let objective = base.objective.filter(|_| self.goal.is_none());
        Self {
            prompt: self.prompt.or(prompt),
            class: self.class.or(class),
            model: self.model.or(base.model),
            goal: self.goal.or(goal),
            verifiers: self.verifiers.or(verifiers),
            watch: self.watch.or(base.watch),
            objective: self.objective.or(objective),
            budget: self.budget.or(base.budget),
            until: self.until.or(base.until),
            steps: self.steps.or(base.steps),
            search_steps: self.search_steps.or(base.search_steps),
            guidance: self.guidance.or(base.guidance),
            solver: self.solver.or(base.solver),
            preview: self.preview.or(base.preview),
            seed: self.seed.or(base.seed),
            batch: self.batch.or(base.batch),
            cache: self.cache.or(base.cache),
            count: self.count.or(base.count),
            width: self.width.or(base.width),
            height: self.height.or(base.height),
            device: self.device.or(base.device),
            dtype: self.dtype.or(base.dtype),
            search_dtype: self.search_dtype.or(base.search_dtype),
            weights: base.weights.into_iter().chain(self.weights).collect(),
            search: self.search.over(base.search),
        }
    }

    /// Fills every hole and checks everything that can be known without opening the model.
    pub fn check(self, registry: &Registry) -> Result<Checked, SpecError> {
        self.check_among(registry, &[])
    }

    /// The same for one spec of several that share their paths: `elsewhere` are verifiers that
    /// another of them may use.
    pub fn check_among(
        self,
        registry: &Registry,
        elsewhere: &[String],
    ) -> Result<Checked, SpecError> {
        let task = one_task(self.prompt, self.class)?;
        let mut files = Files {
            width: self.width,
            height: self.height,
            device: self.device,
            dtype: self.dtype,
            search_dtype: self.search_dtype,
            weights: self.weights,
            ..Files::default()
        };
        files.check()?;
        files.settle();
        let model = registry.model_for(&task, self.model.as_deref(), &files)?;
        let defaults = &model.defaults;
        let steps = within("steps", self.steps.unwrap_or(defaults.steps), 1, STEPS_MAX)?;
        // Who asks for other steps means those of a candidate, too.
        let usual = self.steps.unwrap_or(defaults.search_steps);
        let search_steps = self.search_steps.unwrap_or(usual);
        let guidance = guided(self.guidance.unwrap_or(defaults.guidance))?;
        let asked = Asked {
            goal: self.goal,
            verifiers: self.verifiers,
            watch: self.watch,
            objective: self.objective,
        };
        let judges = Judges::check(registry, &model, &files, asked)?;
        files.check_names(&model.name, &[&judges.scored(), elsewhere].concat())?;
        if let Some(target) = &self.until {
            target.resolve(&judges.scored())?;
        }
        let batch = within("batch", self.batch.unwrap_or(defaults.batch), 1, BATCH_MAX)?;
        // A guided evaluation is two passes.
        files.rows = if guidance == 1.0 { batch } else { 2 * batch };
        let search = crate::gradient::follow(self.search.check()?, &judges.verifiers)?;
        let mut resolved = Resolved {
            task,
            model: model.name.clone(),
            verifiers: judges.verifiers,
            watch: judges.watch,
            objective: judges.objective,
            budget: self.budget.unwrap_or(defaults.budget),
            until: self.until,
            steps,
            search_steps: within("search-steps", search_steps, 1, STEPS_MAX)?,
            guidance,
            solver: self
                .solver
                .map_or(Ok(defaults.solver), |name| name.parse())?,
            preview: self.preview.unwrap_or_default(),
            seed: within("seed", self.seed.unwrap_or(0), 0, i64::MAX as u64)?,
            batch,
            cache: self.cache.unwrap_or(Size(CACHE_BYTES)),
            count: within("count", self.count.unwrap_or(defaults.count), 1, COUNT_MAX)?,
            files,
            search,
        };
        let terms = resolved.terms()?;
        resolved.search = resolved.search.resolve(&terms)?;
        resolved.search.build(&terms)?;
        Ok(Checked(resolved))
    }
}

/// The task that is given, which must be one, and not too long.
fn one_task(prompt: Option<String>, class: Option<String>) -> Result<Task, SpecError> {
    let (key, task) = match (prompt, class) {
        (Some(prompt), None) => ("prompt", Task::Prompt(prompt)),
        (None, Some(class)) => ("class", Task::Class(class)),
        (None, None) => return Err(SpecError::NoTask),
        (Some(_), Some(_)) => return Err(SpecError::TwoTasks),
    };
    let (Task::Prompt(text) | Task::Class(text)) = &task;
    match text.chars().count() {
        ..=SUBJECT_CHARS_MAX => Ok(task),
        long => {
            let long = format!("{long} characters long");
            Err(range(key, long, format!("at most {SUBJECT_CHARS_MAX}")))
        }
    }
}

impl Resolved {
    /// Every verifier that is asked, the optimised ones first; scores are in this order.
    pub fn scored(&self) -> Vec<String> {
        [self.verifiers.clone(), self.watch.clone()].concat()
    }

    /// What the search is given besides its own settings.
    pub fn terms(&self) -> Result<Terms, SpecError> {
        let goal = self
            .until
            .as_ref()
            .map(|target| target.resolve(&self.scored()));
        Ok(Terms {
            seed: self.seed,
            budget: self.budget,
            search_steps: self.search_steps,
            final_steps: self.steps,
            ladder: self.files.is_ladder(),
            nfe: self.nfe_rule(),
            objective: self.objective.clone(),
            goal: goal.transpose()?,
            keep: self.count,
        })
    }

    /// What a solve costs.
    pub fn nfe_rule(&self) -> NfeRule {
        self.solver.nfe_rule()
    }

    /// The prompt or the class.
    pub fn subject(&self) -> &str {
        match &self.task {
            Task::Prompt(text) | Task::Class(text) => text,
        }
    }
}

impl Checked {
    /// The same spec with another prompt or class and another seed.
    pub fn with(&self, subject: String, seed: u64) -> Result<Self, SpecError> {
        let task = match self.task {
            Task::Prompt(_) => Task::Prompt(subject),
            Task::Class(_) => Task::Class(subject),
        };
        let seed = within("seed", seed, 0, i64::MAX as u64)?;
        Ok(Self(Resolved {
            task,
            seed,
            ..self.0.clone()
        }))
    }

    /// This spec as a [`Spec`] without holes.
    pub fn to_spec(&self) -> Spec {
        let (prompt, class) = match self.task.clone() {
            Task::Prompt(text) => (Some(text), None),
            Task::Class(name) => (None, Some(name)),
        };
        Spec {
            prompt,
            class,
            model: Some(self.model.clone()),
            goal: None,
            verifiers: Some(self.verifiers.clone()),
            watch: Some(self.watch.clone()),
            objective: Some(self.objective.text(&self.scored())),
            budget: Some(self.budget),
            until: self.until.clone(),
            steps: Some(self.steps),
            search_steps: Some(self.search_steps),
            guidance: Some(self.guidance),
            solver: Some(self.solver.name().to_owned()),
            // Runs from before there was a choice have none.
            preview: (self.preview != Preview::Full).then_some(self.preview),
            seed: Some(self.seed),
            batch: Some(self.batch),
            cache: Some(self.cache),
            count: Some(self.count),
            width: self.files.width,
            height: self.files.height,
            device: self.files.device.clone(),
            dtype: self.files.dtype.clone(),
            search_dtype: self.files.search_dtype.clone(),
            weights: self.files.weights.clone(),
            search: SearchTable::from(&self.search),
        }
    }

    /// The text of `run.toml`; [`Spec::from_toml`] and [`Spec::check`] give this spec back.
    pub fn to_toml(&self) -> Result<String, SpecError> {
        let toml = |error: toml::ser::Error| SpecError::Toml(error.to_string());
        let head = Spec {
            search: SearchTable::default(),
            ..self.to_spec()
        };
        // Written from its own type, where an f32 is shown as short as it was typed.
        let search = toml::to_string(&self.search).map_err(toml)?;
        Ok(format!(
            "{}\n[search]\n{search}",
            toml::to_string(&head).map_err(toml)?
        ))
    }
}

impl Deref for Checked {
    type Target = Resolved;
    fn deref(&self) -> &Resolved {
        &self.0
    }
}

/// A guidance scale, unless it is none.
fn guided(guidance: f32) -> Result<f32, SpecError> {
    match (0.0..=GUIDANCE_MAX).contains(&guidance) {
        true => Ok(guidance),
        false => {
            let between = format!("between 0 and {GUIDANCE_MAX}");
            Err(range("guidance", guidance, between))
        }
    }
}

/// `value` if it lies in `low..=high`.
pub(crate) fn within<T: PartialOrd + std::fmt::Display>(
    key: &'static str,
    value: T,
    low: T,
    high: T,
) -> Result<T, SpecError> {
    if value >= low && value <= high {
        return Ok(value);
    }
    Err(range(key, value, format!("between {low} and {high}")))
}

pub(crate) fn range(key: &'static str, value: impl std::fmt::Display, range: String) -> SpecError {
    SpecError::Range {
        key,
        value: value.to_string(),
        range,
    }
}
