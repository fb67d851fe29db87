//! Verifiers of every picture: those with published weights, which lie on the disk, and programs.

use crate::files::Files;
use crate::known::download;
use crate::registry::{Judges, ModelEntry, OpenError, Registry, TaskKind, VerifierEntry};
use crate::spec::SpecError;
use noisesearch_models::checkpoint::hub::Hub;
use noisesearch_verifiers::command::{Command, Limits, PREFIX};
use noisesearch_verifiers::image::{self, Entry};
use noisesearch_verifiers::verifier::Verifier;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The verifier to take for a kind of task when none is named, if its weights are there.
fn usual(task: TaskKind) -> &'static [&'static str] {
    match task {
        TaskKind::Prompt => &["clipscore"],
        TaskKind::Class => &["dinov2-class", "clip-class"],
    }
}

/// What a verifier must be asked with, as its name says.
fn asked(name: &str) -> Option<TaskKind> {
    match name {
        "aesthetic" => None,
        name if name.ends_with("-self") => None,
        name if name.ends_with("-class") => Some(TaskKind::Class),
        _ => Some(TaskKind::Prompt),
    }
}

/// Every verifier with published weights. They say where these are when they are opened.
pub fn all() -> Vec<VerifierEntry> {
    let entry = |entry: Entry| VerifierEntry {
        name: entry.name.to_owned(),
        about: entry.about.to_owned(),
        judges: Judges::Colour(asked(entry.name)),
        open: Arc::new(move || Err(OpenError::new(entry.name, "no place was looked for"))),
    };
    image::all().into_iter().map(entry).collect()
}

/// An entry that opens its weights where they are: at the path given for it, or in the cache.
pub fn placed(registry: &Registry, entry: &VerifierEntry, files: &Files) -> VerifierEntry {
    let published = image::all().into_iter().find(|known| {
        let pictures = matches!(entry.judges, Judges::Colour(_));
        pictures && known.name == entry.name
    });
    let Some(published) = published else {
        return entry.clone();
    };
    let (given, hub) = (
        files.weights.get(published.name).cloned(),
        registry.hub.clone(),
    );
    VerifierEntry {
        open: Arc::new(move || {
            let folder = match &given {
                Some(folder) => Some(folder.clone()),
                None => folder(hub.as_ref(), published.repository),
            };
            let folder = folder.ok_or_else(|| OpenError::new(published.name, fetch(&published)))?;
            let opened = (published.open)(&folder);
            opened.map_err(|error| OpenError::new(published.name, error))
        }),
        ..entry.clone()
    }
}

/// Where a verifier's weights are, if they are there.
fn place(hub: &Hub, name: &str) -> Option<PathBuf> {
    let published = image::all().into_iter().find(|known| known.name == name)?;
    folder(Some(hub), published.repository)
}

/// Where the weights of a verifier with published weights are, or what they are.
pub fn whereabouts(registry: &Registry, name: &str) -> Option<String> {
    let published = image::all().into_iter().find(|known| known.name == name)?;
    Some(match folder(registry.hub.as_ref(), published.repository) {
        Some(folder) => format!("found: {}", folder.display()),
        None => format!(
            "not found: {}, {:.1} GB, licence: {}",
            published.repository,
            published.bytes as f64 / 1e9,
            published.licence
        ),
    })
}

fn folder(hub: Option<&Hub>, repository: &str) -> Option<PathBuf> {
    hub?.snapshot(repository).ok().flatten()
}

/// What a verifier needs and how to get it.
fn fetch(published: &Entry) -> String {
    let mut lines = vec![format!(
        "its weights are not on this disk: {} of {}, about {:.1} GB, licence: {}",
        published.file,
        published.repository,
        published.bytes as f64 / 1e9,
        published.licence
    )];
    let files = ["*.json", "*.txt", published.file];
    lines.push(format!(
        "to get them:\n  {}",
        download(published.repository, &files)
    ));
    lines.push(format!(
        "if they are elsewhere: --weights {}=FOLDER",
        published.name
    ));
    lines.join("\n")
}

/// The verifiers that a model on the disk takes when none is named: those that are there.
pub fn found(registry: &Registry, task: TaskKind, files: &Files) -> Vec<&'static str> {
    let there = |name: &&&str| {
        let placed = |hub| place(hub, name).is_some();
        files.weights.contains_key(**name) || registry.hub.as_ref().is_some_and(placed)
    };
    usual(task)
        .iter()
        .find(there)
        .copied()
        .into_iter()
        .collect()
}

/// The refusal of a run on a model for which no verifier is named and none is there.
pub fn none(model: &ModelEntry) -> SpecError {
    let all = image::all();
    let usual = usual(model.task).first();
    let usual = usual.and_then(|name| all.iter().find(|entry| entry.name == *name));
    SpecError::NoDefault {
        model: model.name.clone(),
        help: usual.map_or_else(String::new, |entry| {
            format!("the usual one is {}; {}", entry.name, fetch(entry))
        }),
    }
}

/// A program as a verifier, if the name is `cmd:PATH`.
pub fn command(name: &str) -> Option<VerifierEntry> {
    let path = Path::new(name.strip_prefix(PREFIX)?).to_owned();
    let label = name.to_owned();
    Some(VerifierEntry {
        name: name.to_owned(),
        about: "a program of your own".into(),
        judges: Judges::Colour(None),
        open: Arc::new(move || {
            let started = Command::start(&path, Limits::default());
            let boxed = started.map(|program| Box::new(program) as Box<dyn Verifier>);
            boxed.map_err(|error| OpenError::new(&label, error))
        }),
    })
}
