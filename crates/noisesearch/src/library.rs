//! Models and verifiers whose files lie on the disk: found by name, repository or path.
//!
//! ```text
//! NOISESEARCH_MODELS > XDG_DATA_HOME/noisesearch/models > ~/.local/share/noisesearch/models
//!   NAME                  a folder that was converted, or put there
//! ```

use crate::files::Files;
use crate::known::{CANDIDATES, KEPT, Known, Origin, Recipe};
use crate::registry::{Defaults, Model, ModelEntry, OpenError, Registry, TaskKind};
use crate::spec::SpecError;
use crate::{judges, memory};
use noisesearch_core::budget::Budget;
use noisesearch_models::checkpoint::hub::is_repository;
use noisesearch_models::checkpoint::{Checkpoint, CheckpointError};
use noisesearch_models::layers::Place;
use noisesearch_models::models::family::Family;
use noisesearch_models::pipeline::Options;
use noisesearch_models::weights::Contents;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A model on the disk.
struct Found {
    checkpoint: Checkpoint,
    /// What is published of it.
    known: Option<&'static Known>,
    /// The published model whose files were looked up for it, by name.
    fetched: Option<&'static Known>,
    family: Family,
}

/// The folder of models that the environment names; `var` gives its variables.
pub fn folder(var: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    let set = |name: &str| {
        let value = var(name).filter(|value| !value.is_empty());
        value.map(PathBuf::from)
    };
    let home = || set("HOME").or_else(|| set("USERPROFILE"));
    let data = || set("XDG_DATA_HOME").or_else(|| Some(home()?.join(".local/share")));
    set("NOISESEARCH_MODELS").or_else(|| Some(data()?.join("noisesearch/models")))
}

/// The folder of this name in the folder of models.
pub fn own(registry: &Registry, name: &str) -> Option<PathBuf> {
    let folder = registry.folder.as_ref()?.join(name);
    folder.is_dir().then_some(folder)
}

/// The model of a name that is not in the registry.
pub fn model(
    registry: &Registry,
    name: &str,
    kind: TaskKind,
    files: &Files,
) -> Result<ModelEntry, SpecError> {
    let found = find(registry, name, files)?;
    let refuse = |error: CheckpointError| problem(name, error);
    let mut checkpoint = found.checkpoint;
    for (part, path) in files.parts() {
        checkpoint.replace(part, path).map_err(refuse)?;
    }
    if let Some(known) = found.fetched
        && let Err(error) = checkpoint.check_files()
    {
        return Err(incomplete(registry, known, error));
    }
    let like = found
        .known
        .or_else(|| Known::named(found.family.like(&checkpoint)));
    let like = like.ok_or_else(|| registry.unknown_model(name))?;
    let side = match found.known {
        Some(known) => known.recipe.side,
        None => found.family.side(&checkpoint),
    };
    let task = match found.family.takes_prompts() {
        true => TaskKind::Prompt,
        false => TaskKind::Class,
    };
    let verifiers = match kind == task {
        true => judges::found(registry, task, files),
        false => vec![],
    };
    let beside: Vec<String> = verifiers.iter().map(|&name| name.to_owned()).collect();
    let beside = judges::bytes(registry, &beside, files);
    let gflop = found.family.gflop(&checkpoint);
    let open = Opening {
        name: name.to_owned(),
        checkpoint: Arc::new(checkpoint),
        family: found.family,
        files: files.clone(),
        side,
    };
    let batch = open.batch(beside);
    Ok(ModelEntry {
        name: name.to_owned(),
        about: found
            .known
            .map_or("a model on the disk", |known| known.about)
            .to_owned(),
        family: "",
        colour: true,
        task,
        gflop,
        defaults: defaults(&like.recipe, batch, verifiers),
        open: Arc::new(move |place| open.run(place)),
    })
}

fn defaults(recipe: &Recipe, batch: usize, verifiers: Vec<&'static str>) -> Defaults {
    Defaults {
        steps: recipe.steps,
        search_steps: recipe.search_steps,
        guidance: recipe.guidance,
        solver: recipe.solver,
        budget: Budget::Evals(CANDIDATES),
        batch,
        count: KEPT,
        verifiers,
        watch: vec![],
    }
}

/// What opening a model takes.
struct Opening {
    name: String,
    checkpoint: Arc<Checkpoint>,
    family: Family,
    files: Files,
    side: usize,
}

impl Opening {
    fn options(&self, place: Place) -> Options {
        Options {
            place,
            width: self.files.width.unwrap_or(self.side),
            height: self.files.height.unwrap_or(self.side),
        }
    }

    /// Rows that run together when nothing is said: one for every thread of the processor, as far
    /// as memory allows, with so many bytes of verifiers `beside` the model. What is wrong with the
    /// model is told when it is opened.
    fn batch(&self, beside: u64) -> usize {
        let need = |files: &Files| {
            let place = files.place().ok().filter(|_| files.on_cpu())?;
            let options = self.options(place);
            memory::need(&self.checkpoint, self.family, &options, 1).ok()
        };
        let Some(mut one) = need(&self.files) else {
            return 1;
        };
        one.verifiers = beside;
        if self.files.is_ladder() {
            let second = need(&self.files.searching()).map_or(0, |need| need.weights);
            one.weights = one.weights.saturating_add(second);
        }
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        memory::batch(one, memory::available(), threads)
    }

    fn run(&self, place: &Place) -> Result<Model, OpenError> {
        let refuse = |reason: &dyn ToString| OpenError::new(&self.name, reason.to_string());
        let options = self.options(place.clone());
        if options.place.device.is_cpu() {
            let need = memory::need(
                &self.checkpoint,
                self.family,
                &options,
                self.files.rows.max(1),
            );
            let mut need = need.map_err(|e| refuse(&e))?;
            need.verifiers = self.files.beside;
            memory::check(&self.name, need, memory::available())?;
        }
        let opened = self.family.open(&self.checkpoint, &options);
        opened.map_err(|e| refuse(&e))
    }
}

/// Looks for a model: where the user says it is, then among the published ones, then as a path,
/// then as a repository of the hub's cache.
fn find(registry: &Registry, name: &str, files: &Files) -> Result<Found, SpecError> {
    let known = Known::named(name).or_else(|| Known::of_repository(name));
    if let Some(path) = files.weights.get(name) {
        return at(registry, name, path, known);
    }
    if let Some(known) = known {
        let checkpoint = fetched(registry, known)?;
        let family = Family::of(&checkpoint).map_err(|e| problem(name, e))?;
        return Ok(Found {
            checkpoint,
            known: Some(known),
            fetched: Some(known),
            family,
        });
    }
    let path = Path::new(name);
    if !name.is_empty() && path.exists() {
        return at(registry, name, path, None);
    }
    if name.starts_with(['.', '/', '~']) {
        return Err(problem(name, "there is no such folder or file"));
    }
    let Some(hub) = registry.hub.as_ref().filter(|_| is_repository(name)) else {
        return Err(registry.unknown_model(name));
    };
    match hub.snapshot(name).map_err(|e| problem(name, e))? {
        Some(folder) => at(registry, name, &folder, None),
        None => Err(SpecError::Missing {
            name: name.to_owned(),
            looked: hub.path().to_owned(),
            help: to_get(name, &[format!("hf download {name}")]),
        }),
    }
}

/// A published model that was downloaded or converted, perhaps by half.
fn fetched(registry: &Registry, known: &Known) -> Result<Checkpoint, SpecError> {
    match published(registry, known) {
        Ok(Some(checkpoint)) => Ok(checkpoint),
        Ok(None) => Err(missing(registry, known, None)),
        Err(error) => Err(incomplete(registry, known, error)),
    }
}

/// A published model in the folder of models or in the hub's cache, with the component that is
/// tuned.
fn published(registry: &Registry, known: &Known) -> Result<Option<Checkpoint>, CheckpointError> {
    if let Some(folder) = own(registry, known.name) {
        return Checkpoint::open(&folder).map(Some);
    }
    let Some(hub) = &registry.hub else {
        return Ok(None);
    };
    match known.origin {
        Origin::Hub { repository, .. } => {
            let snapshot = hub.snapshot(repository)?;
            snapshot.map(|folder| Checkpoint::open(&folder)).transpose()
        }
        Origin::Tuned {
            base,
            component,
            repository,
        } => {
            let base = Known::named(base)
                .map(|base| published(registry, base))
                .transpose()?;
            let tuned = hub.snapshot(repository)?;
            let Some((mut base, tuned)) = base.flatten().zip(tuned) else {
                return Ok(None);
            };
            base.replace(component, &tuned)?;
            Ok(Some(base))
        }
        Origin::Converted { .. } => Ok(None),
    }
}

/// Where a published model is, if all of it is there.
pub fn place(registry: &Registry, known: &Known) -> Option<PathBuf> {
    let checkpoint = published(registry, known).ok().flatten()?;
    checkpoint.check_files().ok()?;
    match known.origin {
        Origin::Hub { repository, .. } | Origin::Tuned { repository, .. } => {
            let hub = || registry.hub.as_ref()?.snapshot(repository).ok().flatten();
            own(registry, known.name).or_else(hub)
        }
        Origin::Converted { .. } => own(registry, known.name),
    }
}

/// The model at a path: a folder, or a file in the layout of its authors over the published
/// model that has its configurations and tokenizers.
fn at(
    registry: &Registry,
    name: &str,
    path: &Path,
    known: Option<&'static Known>,
) -> Result<Found, SpecError> {
    let refuse = |error: CheckpointError| problem(name, error);
    if path.is_dir() {
        let checkpoint = Checkpoint::open(path).map_err(refuse)?;
        let family = Family::of(&checkpoint).map_err(|e| problem(name, e))?;
        return Ok(Found {
            checkpoint,
            known,
            fetched: None,
            family,
        });
    }
    let contents = Contents::of(path).map_err(|e| problem(name, e))?;
    let base = Family::of_file(&contents).and_then(Known::named);
    let base = base.ok_or_else(|| SpecError::Model {
        name: name.to_owned(),
        problem: "it is one component, not a model; give it as --unet, --transformer or --vae \
                  over a model that has the others"
            .into(),
    })?;
    let mut checkpoint = fetched(registry, base)?;
    checkpoint.replace_all(path).map_err(refuse)?;
    let family = Family::of(&checkpoint).map_err(|e| problem(name, e))?;
    Ok(Found {
        checkpoint,
        known: known.or(Some(base)),
        fetched: Some(base),
        family,
    })
}

/// What is wrong with a published model that is there: that something is missing, or worse.
fn incomplete(registry: &Registry, known: &Known, error: CheckpointError) -> SpecError {
    match error.is_absence() {
        true => missing(registry, known, Some(&error)),
        false => problem(known.name, error),
    }
}

/// A model that is known and not there, or a part of which is `absent`: what it is, under which
/// licence, how to get it.
fn missing(registry: &Registry, known: &Known, absent: Option<&CheckpointError>) -> SpecError {
    let hub = || registry.hub.as_ref().map(|hub| hub.path().to_owned());
    let looked = match known.origin {
        Origin::Converted { .. } => registry.folder.clone(),
        Origin::Hub { .. } | Origin::Tuned { .. } => hub(),
    };
    let part = absent.map_or_else(String::new, |error| {
        format!("only a part is there, {error}; ")
    });
    SpecError::Missing {
        name: known.name.to_owned(),
        looked: looked.unwrap_or_default(),
        help: format!(
            "{part}{}; about {} GB; licence: {}\n{}",
            known.about,
            known.gigabytes,
            known.licence,
            to_get(known.name, &known.fetch())
        ),
    }
}

/// How to get a model: by this program, where it was built to, or by typing `lines`.
fn to_get(name: &str, lines: &[String]) -> String {
    let converted = |known: &Known| matches!(known.origin, Origin::Converted { .. });
    let own = cfg!(feature = "hub") && !Known::named(name).is_some_and(converted);
    let own = own.then(|| format!("noisesearch download {name}\nor:"));
    let lines: Vec<&str> = own
        .iter()
        .map(String::as_str)
        .chain(lines.iter().map(String::as_str))
        .collect();
    format!("to get it:\n  {}", lines.join("\n  "))
}

fn problem(name: &str, problem: impl ToString) -> SpecError {
    SpecError::Model {
        name: name.chars().take(80).collect(),
        problem: problem.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_names_the_folder_of_models() {
        let named = |pairs: &[(&str, &str)]| {
            let var = |name: &str| {
                let found = pairs.iter().find(|(key, _)| *key == name);
                found.map(|(_, value)| OsString::from(value))
            };
            folder(var)
        };
        for (pairs, path) in [
            (&[("HOME", "/h")][..], "/h/.local/share/noisesearch/models"),
            (
                &[("HOME", "/h"), ("XDG_DATA_HOME", "/d")],
                "/d/noisesearch/models",
            ),
            (&[("HOME", "/h"), ("NOISESEARCH_MODELS", "/m")], "/m"),
            (
                &[("HOME", "/h"), ("NOISESEARCH_MODELS", "")],
                "/h/.local/share/noisesearch/models",
            ),
        ] {
            assert_eq!(named(pairs), Some(PathBuf::from(path)));
        }
        assert_eq!(named(&[]), None);
    }
}
