//! Verifiers of every picture: those with published weights, which lie on the disk, and programs.

#[cfg(feature = "hub")]
use crate::download::{DownloadError, Order};
use crate::files::Files;
use crate::known::download;
use crate::library;
use crate::registry::{Judges, ModelEntry, OpenError, Registry, TaskKind, VerifierEntry};
use crate::spec::SpecError;
use noisesearch_models::checkpoint::Checkpoint;
use noisesearch_verifiers::aspect::Aspect;
use noisesearch_verifiers::command::{Command, PREFIX};
use noisesearch_verifiers::image::{self, Entry};
#[cfg(feature = "judge")]
use noisesearch_verifiers::llm::Judge;
use noisesearch_verifiers::verifier::Verifier;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, Weak};

#[cfg(not(feature = "judge"))]
type Judge = ();

/// Bytes of a weight: verifiers compute in f32.
const WEIGHT_BYTES: u64 = 4;

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
    image::all().into_iter().map(entry).chain(llm()).collect()
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
    let folder = place(registry, &published, files);
    VerifierEntry {
        open: Arc::new(move || {
            let folder = folder
                .as_ref()
                .ok_or_else(|| OpenError::new(published.name, fetch(&published)))?;
            let opened = (published.open)(folder);
            opened.map_err(|error| OpenError::new(published.name, error))
        }),
        ..entry.clone()
    }
}

/// Where a verifier's weights are: at the path given for it, else in the folder of models or in the
/// cache, if all of them are there.
fn place(registry: &Registry, published: &Entry, files: &Files) -> Option<PathBuf> {
    let given = files.weights.get(published.name).cloned();
    given.or_else(|| folder(registry, published))
}

/// Bytes of the weights of these verifiers. What cannot be looked at counts nothing, and is told
/// when it is opened.
pub fn bytes(registry: &Registry, names: &[String], files: &Files) -> u64 {
    let published = image::all();
    let one = |name: &String| {
        let entry = published.iter().find(|entry| entry.name == *name)?;
        let folder = place(registry, entry, files)?;
        let numbers = Checkpoint::of_network(&folder).parameters("").ok()?;
        Some(numbers.saturating_mul(WEIGHT_BYTES))
    };
    names.iter().filter_map(one).fold(0, u64::saturating_add)
}

/// Verifiers of a model's images that can be opened here.
pub fn available<'a>(registry: &'a Registry, model: &ModelEntry, files: &Files) -> Vec<&'a str> {
    let published = image::all();
    let there = |entry: &&VerifierEntry| {
        let known = published.iter().find(|known| known.name == entry.name);
        matches!(entry.judges, Judges::Family(_))
            || known.is_none_or(|known| place(registry, known, files).is_some())
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
    Some(match folder(registry, &published) {
        Some(folder) => format!("found: {}", folder.display()),
        None => format!(
            "not found: {}, {:.1} GB, licence: {}",
            published.repository,
            published.bytes as f64 / 1e9,
            published.licence
        ),
    })
}

/// The folder of a verifier in the folder of models or in the cache, if it can be opened: not one
/// with a pickle, or with half a download.
fn folder(registry: &Registry, published: &Entry) -> Option<PathBuf> {
    let cached = || registry.hub.as_ref()?.snapshot(published.repository).ok()?;
    let whole = |folder: &PathBuf| is_whole(folder, published.name);
    let own = library::own(registry, published.name).filter(whole);
    own.or_else(|| cached().filter(whole))
}

/// Whether the files that a verifier reads are there.
fn is_whole(folder: &Path, name: &str) -> bool {
    let beside: &[&str] = match name {
        "imagereward" => &["vocab.txt"],
        "inception-class" => &["labels.txt"],
        "fid" => &["statistics.safetensors"],
        _ => &[],
    };
    let weights = Checkpoint::of_network(folder).check_weights("");
    weights.is_ok() && beside.iter().all(|file| folder.join(file).is_file())
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
        "if they are elsewhere: --weights {0}=FOLDER, or call the folder NOISESEARCH_MODELS/{0}",
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
    let all = image::all();
    let there = |name: &&&str| {
        let known = all.iter().find(|known| known.name == **name);
        known.is_some_and(|known| place(registry, known, files).is_some())
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

/// The scores of a language model behind a chat endpoint, which the environment names when the
/// first of them is opened. Those that are open at the same time ask together.
fn llm() -> Vec<VerifierEntry> {
    let judge = Arc::new(Mutex::new(Weak::new()));
    let whole = Aspect::Overall;
    let parts = Aspect::ALL.into_iter().filter(|aspect| *aspect != whole);
    let entry = |aspect: Aspect| {
        let (name, judge) = (aspect.verifier(), judge.clone());
        let about = match aspect {
            Aspect::Overall => {
                "a language model grades the picture, 0 to 100; NOISESEARCH_LLM_URL says which"
                    .to_owned()
            }
            part => format!("llm's score of {} alone, from the same answer", part.name()),
        };
        VerifierEntry {
            name: name.clone(),
            about,
            judges: Judges::Colour(None),
            open: Arc::new(move || {
                open_llm(&judge, aspect).map_err(|reason| OpenError::new(&name, reason))
            }),
        }
    };
    [whole].into_iter().chain(parts).map(entry).collect()
}

#[cfg(feature = "judge")]
fn open_llm(open: &Mutex<Weak<Judge>>, aspect: Aspect) -> Result<Box<dyn Verifier>, String> {
    use noisesearch_verifiers::llm::{Llm, Settings};
    let mut open = open.lock().unwrap_or_else(|panic| panic.into_inner());
    let judge = match open.upgrade() {
        Some(judge) => judge,
        None => {
            let settings = Settings::from_variables(|name| std::env::var(name).ok());
            Arc::new(Judge::new(&settings.map_err(|error| error.to_string())?))
        }
    };
    *open = Arc::downgrade(&judge);
    Ok(Box::new(Llm::of(judge, aspect)))
}

#[cfg(not(feature = "judge"))]
fn open_llm(_: &Mutex<Weak<Judge>>, _: Aspect) -> Result<Box<dyn Verifier>, String> {
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

#[cfg(test)]
mod tests {
    use super::*;
    use noisesearch_models::parity::checkpoint;
    use std::collections::BTreeMap;
    use std::fs;

    /// Once the memory of verifiers was not counted, though they are opened beside the model.
    #[test]
    fn weights_of_verifiers_are_counted_where_they_lie() {
        let root = std::env::temp_dir().join(format!("noisesearch-judges-{}", std::process::id()));
        let network = |name: &str, numbers: usize| {
            let folder = root.join(name);
            fs::create_dir_all(&folder).unwrap();
            let tensors = BTreeMap::from([("w".to_owned(), vec![numbers])]);
            fs::write(folder.join("model.safetensors"), checkpoint(&tensors)).unwrap();
            folder
        };
        network("clipscore", 100);
        let given = network("elsewhere", 10);
        let registry = Registry {
            folder: Some(root.clone()),
            ..Registry::default()
        };
        let files = Files {
            weights: BTreeMap::from([("aesthetic".to_owned(), given)]),
            ..Files::default()
        };
        let bytes = |names: &[&str]| {
            let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
            bytes(&registry, &names, &files)
        };
        assert_eq!(bytes(&["clipscore", "aesthetic"]), 440);
        assert_eq!(bytes(&["hpsv2", "cmd:./score.sh", "grader"]), 0);
        fs::remove_dir_all(&root).unwrap();
    }
}
