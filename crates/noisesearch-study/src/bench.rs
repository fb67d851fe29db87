//! The one opened model: large ones do not fit twice.

use crate::error::StudyError;
use crate::maker::{Opened, Panel};
use crate::plan::Plan;
use noisesearch::engine::Engine;
use noisesearch::engines::Engines;
use noisesearch::registry::{ModelEntry, Registry};
use noisesearch::spec::{Checked, Spec};

/// The one opened model.
pub struct Bench<'a> {
    /// What there is to open.
    pub registry: &'a Registry,
    /// Every setting of all studies: models by identity, and who judges each.
    settings: Vec<&'a Checked>,
    opened: Option<Opened>,
}

impl<'a> Bench<'a> {
    /// Nothing is open yet.
    pub fn new(registry: &'a Registry, plans: &'a [Plan]) -> Self {
        let settings = plans.iter().flat_map(|plan| &plan.settings);
        Self {
            registry,
            settings: settings.map(|setting| &setting.spec).collect(),
            opened: None,
        }
    }

    /// The model of a spec, opened; the one before it is closed first.
    pub fn open(&mut self, spec: &Checked) -> Result<&mut Opened, StudyError> {
        let identity = identity(spec);
        if self
            .opened
            .as_ref()
            .is_none_or(|opened| opened.identity != identity)
        {
            self.opened = None;
            let panel = self.panel(spec)?;
            let same = self
                .settings
                .iter()
                .filter(|other| self::identity(other) == identity);
            // Memory is planned for the largest batch.
            let largest = same
                .max_by_key(|other| other.files.rows)
                .copied()
                .unwrap_or(spec);
            let engines = Engines::open_with(self.registry, largest, &panel)?;
            self.check_gradients(engines.candidates(), &identity, &panel)?;
            let entry = self.entry(spec)?;
            let describer = self.registry.describer_for(&entry);
            self.opened = Some(Opened {
                identity,
                engines,
                panel,
                describer: describer.map_err(noisesearch::Error::from)?,
                gflop: entry.gflop,
            });
        }
        // It was opened above where it was not.
        Ok(self.opened.as_mut().expect("a model is open"))
    }

    /// Refuses a search of this model that follows a gradient which is not there.
    fn check_gradients(
        &self,
        engine: &Engine,
        identity: &Spec,
        panel: &Panel,
    ) -> Result<(), StudyError> {
        let follows = |spec: &&&Checked| {
            let name = spec.search.followed();
            name.is_none_or(|name| engine.follows(name))
        };
        let mut same = self
            .settings
            .iter()
            .filter(|spec| self::identity(spec) == *identity);
        match same.find(|spec| !follows(spec)) {
            // To open it for such a search says why not, and where else.
            Some(spec) => Ok(Engine::open_with(self.registry, spec, panel).map(drop)?),
            None => Ok(()),
        }
    }

    fn entry(&self, spec: &Checked) -> Result<ModelEntry, StudyError> {
        let entry = self
            .registry
            .model_for(&spec.task, Some(&spec.model), &spec.files);
        Ok(entry.map_err(noisesearch::Error::from)?)
    }

    /// Every verifier that some cell of this model, or of one of its family, names.
    fn panel(&self, spec: &Checked) -> Result<Panel, StudyError> {
        let family = self.entry(spec)?.family;
        let mut panel = Panel::new();
        for other in &self.settings {
            let related = !family.is_empty() && self.entry(other)?.family == family;
            if related || other.model == spec.model {
                panel.extend(other.scored());
            }
        }
        panel.sort();
        panel.dedup();
        Ok(panel)
    }

    /// Asks every model for every task, so that one that it does not know shows before any work.
    pub fn try_tasks(&mut self, plan: &Plan) -> Result<(), StudyError> {
        let mut tried: Vec<Spec> = Vec::new();
        for setting in &plan.settings {
            let identity = identity(&setting.spec);
            if tried.contains(&identity) {
                continue;
            }
            let opened = self.open(&setting.spec)?;
            for task in &plan.tasks {
                let refused = |problem: String| StudyError::Task {
                    path: plan.path.clone(),
                    task: task.text.chars().take(200).collect(),
                    problem,
                };
                let spec = setting.spec.with(task.text.clone(), setting.spec.seed);
                let spec = spec.map_err(|error| refused(error.to_string()))?;
                opened.engines.turn(&spec).map_err(|error| match error {
                    noisesearch::Error::Task(error) => refused(error.to_string()),
                    other => other.into(),
                })?;
            }
            tried.push(identity);
        }
        Ok(())
    }
}

/// What decides that an opened model serves a spec.
pub fn identity(spec: &Checked) -> Spec {
    let Spec {
        model,
        width,
        height,
        device,
        dtype,
        search_dtype,
        weights,
        ..
    } = spec.to_spec();
    Spec {
        model,
        width,
        height,
        device,
        dtype,
        search_dtype,
        weights,
        ..Spec::default()
    }
}
