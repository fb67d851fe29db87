//! Who judges a run: what was asked for, and what it comes to.

use crate::files::Files;
use crate::goal::Goal;
use crate::registry::{ModelEntry, Registry};
use crate::spec::SpecError;
use noisesearch_core::objective::Objective;

/// Who shall judge a run, with holes.
pub struct Asked {
    /// A purpose, instead of verifiers and objective.
    pub goal: Option<String>,
    /// Verifiers that are optimised.
    pub verifiers: Option<Vec<String>>,
    /// Verifiers that are only scored.
    pub watch: Option<Vec<String>>,
    /// What is maximised.
    pub objective: Option<String>,
}

impl Asked {
    /// The goal replaced by the verifiers and the objective that serve it.
    fn with_goal(
        self,
        registry: &Registry,
        model: &ModelEntry,
        files: &Files,
    ) -> Result<Self, SpecError> {
        let Some(goal) = &self.goal else {
            return Ok(self);
        };
        let goal: Goal = goal.parse()?;
        if self.verifiers.is_some() || self.objective.is_some() {
            return Err(SpecError::GoalAndJudges { goal });
        }
        let available = crate::judges::available(registry, model, files);
        let choice = goal.choose(&available).ok_or_else(|| SpecError::NoJudge {
            goal,
            model: model.name.clone(),
            wanted: goal.wanted().join(", "),
        })?;
        Ok(Self {
            goal: None,
            verifiers: Some(choice.verifiers),
            objective: Some(choice.objective),
            ..self
        })
    }
}

/// Who judges a run.
pub struct Judges {
    /// Verifiers that are optimised, at least one.
    pub verifiers: Vec<String>,
    /// Verifiers that are only scored.
    pub watch: Vec<String>,
    /// Over [`Judges::scored`].
    pub objective: Objective,
}

impl Judges {
    /// Fills the holes and checks that every verifier judges the model's images.
    pub fn check(
        registry: &Registry,
        model: &ModelEntry,
        files: &Files,
        asked: Asked,
    ) -> Result<Self, SpecError> {
        let Asked {
            watch,
            verifiers,
            objective,
            ..
        } = asked.with_goal(registry, model, files)?;
        let owned = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
        if verifiers.is_none() && model.defaults.verifiers.is_empty() {
            return Err(crate::judges::none(model));
        }
        let verifiers: Vec<String> = verifiers.unwrap_or_else(|| owned(&model.defaults.verifiers));
        // A default that the user optimises is no longer watched.
        let watch: Vec<String> = watch.unwrap_or_else(|| {
            let mut names: Vec<String> = owned(&model.defaults.watch);
            names.retain(|name| !verifiers.contains(name));
            names
        });
        if verifiers.is_empty() {
            return Err(SpecError::NoVerifier);
        }
        let scored = [verifiers.clone(), watch.clone()].concat();
        for (index, name) in scored.iter().enumerate() {
            registry.verifier_for(model, name, files)?;
            if scored[..index].contains(name) {
                return Err(SpecError::Twice(name.clone()));
            }
        }
        let objective = match objective {
            Some(text) => Objective::parse(&text, &scored)?,
            None => Objective::usual(verifiers.len())?,
        };
        let read = objective.verifiers();
        if let Some(&watched) = read.iter().find(|&&index| index >= verifiers.len()) {
            return Err(SpecError::Watched(scored[watched].clone()));
        }
        match (0..verifiers.len()).find(|index| !read.contains(index)) {
            Some(unread) => Err(SpecError::Unread(verifiers[unread].clone())),
            None => Ok(Self {
                verifiers,
                watch,
                objective,
            }),
        }
    }

    /// Every verifier that is asked, the optimised ones first.
    pub fn scored(&self) -> Vec<String> {
        [self.verifiers.clone(), self.watch.clone()].concat()
    }
}
