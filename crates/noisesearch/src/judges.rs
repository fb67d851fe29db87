//! Verifiers of every picture: those with published weights, which lie on the disk, and programs.

#[cfg(feature = "hub")]
use crate::download::{DownloadError, Order};
use crate::files::Files;
use crate::known::download;
use crate::registry::{Judges, ModelEntry, OpenError, Registry, TaskKind, VerifierEntry};
use crate::spec::SpecError;
use noisesearch_models::checkpoint::hub::Hub;
use noisesearch_verifiers::command::{Command, PREFIX};
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
        "aesthetic" | "fid" => None,
        name if name.ends_with("-self") => None,
        name if name.ends_with("-class") || name == "inception" => Some(TaskKind::Class),
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
    image::all().into_iter().map(entry).chain([llm()]).collect()
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

/// Verifiers of a model's images that can be opened here.
pub fn available<'a>(registry: &'a Registry, model: &ModelEntry, files: &Files) -> Vec<&'a str> {
    let published = image::all();
    let there = |entry: &&VerifierEntry| {
        let name = entry.name.as_str();
        matches!(entry.judges, Judges::Family(_))
            || files.weights.contains_key(name)
            || published.iter().all(|known| known.name != name)
            || registry
                .hub
                .as_ref()
                .is_some_and(|hub| place(hub, name).is_some())
    };
    let judges = registry.verifiers.iter().filter(|e| e.judges.judges(model));
    judges
        .filter(there)
        .map(|entry| entry.name.as_str())
        .collect()
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
    let download = match published.repository.starts_with("https://") {
        true => format!("take {} from {}", published.file, published.repository),
        false => download(published.repository, &files),
    };
    lines.push(format!("to get them:\n  {download}"));
    if let Some(script) = conversion(published.name) {
        lines.push(format!("to convert them:\n  python {script}"));
    }
    lines.push(format!(
        "if they are elsewhere: --weights {}=FOLDER",
        published.name
    ));
    lines.join("\n")
}

/// The files of a verifier's weights on the hub, if it has published ones.
#[cfg(feature = "hub")]
pub fn order(name: &str) -> Result<Option<Order>, DownloadError> {
    let Some(published) = image::all().into_iter().find(|known| known.name == name) else {
        return Ok(None);
    };
    if published.repository.starts_with("https://") || conversion(name).is_some() {
        return Err(DownloadError::ByHand {
            name: name.to_owned(),
            help: fetch(&published),
        });
    }
    Ok(Some(Order {
        repository: published.repository.to_owned(),
        patterns: ["*.json", "*.txt", published.file]
            .map(str::to_owned)
            .to_vec(),
        licence: Some(published.licence),
    }))
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

/// How the published file of a verifier becomes a folder that opens, where it is a pickle.
fn conversion(name: &str) -> Option<&'static str> {
    match name {
        "hpsv2" => Some("scripts/convert_verifiers.py hpsv2 HPS_v2.1_compressed.pt FOLDER"),
        "imagereward" => Some("scripts/convert_image_reward.py ImageReward.pt vocab.txt FOLDER"),
        "inception-class" => Some(
            "scripts/convert_inception.py network pt_inception-2015-12-05-6726825d.pth FOLDER \
             imagenet_2012_challenge_label_map_proto.pbtxt",
        ),
        "fid" => Some(
            "scripts/convert_inception.py network pt_inception-2015-12-05-6726825d.pth FOLDER\n  \
             noisesearch fid REAL REAL --weights inception=FOLDER \
             --save FOLDER/statistics.safetensors",
        ),
        _ => None,
    }
}

/// A language model behind a chat endpoint, which the environment names when it is opened.
fn llm() -> VerifierEntry {
    const NAME: &str = "llm";
    VerifierEntry {
        name: NAME.into(),
        about: "a language model grades the picture, 0 to 100; NOISESEARCH_LLM_URL says which"
            .into(),
        judges: Judges::Colour(None),
        open: Arc::new(|| open_llm().map_err(|reason| OpenError::new(NAME, reason))),
    }
}

#[cfg(feature = "judge")]
fn open_llm() -> Result<Box<dyn Verifier>, String> {
    use noisesearch_verifiers::llm::{Llm, Settings};
    let settings = Settings::from_variables(|name| std::env::var(name).ok());
    let settings = settings.map_err(|error| error.to_string())?;
    Ok(Box::new(Llm::new(&settings)))
}

#[cfg(not(feature = "judge"))]
fn open_llm() -> Result<Box<dyn Verifier>, String> {
    Err("this program was built without the feature `judge`".into())
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
            let started = Command::from_variables(&path, |name| std::env::var(name).ok());
            let boxed = started.map(|program| Box::new(program) as Box<dyn Verifier>);
            boxed.map_err(|error| OpenError::new(&label, error))
        }),
    })
}
