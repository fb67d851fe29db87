//! Where a model's components lie on disk: a folder in the layout of diffusers, of which any
//! component may be replaced by another file or folder.
//!
//! ```text
//! model_index.json                      names the pipeline and its components
//! unet/config.json                      one folder a component
//! unet/diffusion_pytorch_model.safetensors, or shards and their .safetensors.index.json
//! ```

mod error;
mod folder;
pub mod hub;

use crate::weights::{Contents, Hashes, Weights};
pub use error::CheckpointError;
use folder::Folder;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Names of components, as diffusers has them.
pub const COMPONENTS: [&str; 8] = [
    "scheduler",
    "text_encoder",
    "text_encoder_2",
    "tokenizer",
    "tokenizer_2",
    "transformer",
    "unet",
    "vae",
];

/// The component that is no network.
const SCHEDULER: &str = "scheduler";

/// A model's components on disk.
#[derive(Debug)]
pub struct Checkpoint {
    name: String,
    /// `model_index.json`.
    index: serde_json::Map<String, Value>,
    parts: BTreeMap<String, Part>,
    hashes: Hashes,
}

/// Where a component is.
#[derive(Clone, Debug)]
struct Part {
    /// Its configuration and side files, and its weights if there is no file of them.
    folder: Folder,
    /// A file of its weights, alone or among other components.
    file: Option<PathBuf>,
}

impl Checkpoint {
    /// Looks at a folder. Nothing but its small text files is read.
    pub fn open(folder: &Path) -> Result<Self, CheckpointError> {
        let root = Folder::new(folder.to_owned());
        let index: Option<_> = root.json("model_index.json")?;
        let index = index.ok_or_else(|| CheckpointError::NoIndex(folder.to_owned()))?;
        let there = |name: &&str| folder.join(name).is_dir();
        let part = |name: &str| {
            let folder = Folder::new(folder.join(name));
            (name.to_owned(), Part { folder, file: None })
        };
        Ok(Self {
            name: folder.display().to_string(),
            index,
            parts: COMPONENTS.into_iter().filter(there).map(part).collect(),
            hashes: Hashes::default(),
        })
    }

    /// The folder of a single network in the layout of transformers, whose files are those of the
    /// component `""`. Nothing is read.
    pub fn of_network(folder: &Path) -> Self {
        let part = Part {
            folder: Folder::new(folder.to_owned()),
            file: None,
        };
        Self {
            name: folder.display().to_string(),
            index: serde_json::Map::new(),
            parts: BTreeMap::from([(String::new(), part)]),
            hashes: Hashes::default(),
        }
    }

    /// Replaces a component by a `.safetensors` file, by its own folder, or by the folder of a
    /// model that has it. A file, and a folder without configuration, leave the configuration.
    pub fn replace(&mut self, component: &str, path: &Path) -> Result<(), CheckpointError> {
        if !self.has(component) && !self.index.contains_key(component) {
            return Err(CheckpointError::NotAPart {
                model: self.name.clone(),
                component: component.to_owned(),
                parts: self.parts.keys().cloned().collect::<Vec<_>>().join(", "),
            });
        }
        let inner = path.join(component);
        if !path.is_dir() {
            return self.replace_file(component, path);
        }
        let own = if inner.is_dir() { &inner } else { path };
        let mut part = Part {
            folder: Folder::new(own.to_owned()),
            file: None,
        };
        if let Some(old) = self.parts.get(component)
            && !part.folder.has(config_name(component))
        {
            let mut files = part.folder.files()?;
            part.file = files.pop().filter(|_| files.is_empty());
            if part.file.is_some() {
                part.folder = old.folder.clone();
            }
        }
        self.parts.insert(component.to_owned(), part);
        Ok(())
    }

    fn replace_file(&mut self, component: &str, path: &Path) -> Result<(), CheckpointError> {
        let holds = Contents::of(path)?.components();
        if !holds.is_empty() && !holds.contains(component) {
            return Err(CheckpointError::NotIn {
                file: path.to_owned(),
                component: component.to_owned(),
                holds: holds.into_iter().collect::<Vec<_>>().join(", "),
            });
        }
        let part = self.parts.get_mut(component);
        let part = part.ok_or_else(|| CheckpointError::NoComponent {
            model: self.name.clone(),
            component: component.to_owned(),
        })?;
        part.file = Some(path.to_owned());
        Ok(())
    }

    /// Replaces every component that a file of a known layout holds. What the file lacks, such as
    /// configurations and tokenizers, stays that of this checkpoint.
    pub fn replace_all(&mut self, path: &Path) -> Result<(), CheckpointError> {
        for component in Contents::of(path)?.components() {
            self.replace_file(component, path)?;
        }
        self.name = path.display().to_string();
        Ok(())
    }

    /// The path or name by which it was opened.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// `_class_name` of its `model_index.json`, such as `FluxPipeline`.
    pub fn pipeline(&self) -> Option<&str> {
        self.setting("_class_name").and_then(Value::as_str)
    }

    /// A field of its `model_index.json`, such as `force_zeros_for_empty_prompt`.
    pub fn setting(&self, name: &str) -> Option<&Value> {
        self.index.get(name)
    }

    /// Whether it has a component.
    pub fn has(&self, component: &str) -> bool {
        self.parts.contains_key(component)
    }

    /// A component's `config.json`; for `scheduler` its `scheduler_config.json`.
    pub fn config<T: DeserializeOwned>(&self, component: &str) -> Result<T, CheckpointError> {
        let name = config_name(component);
        let folder = &self.part(component)?.folder;
        folder.json(name)?.ok_or_else(|| folder.lacks(name))
    }

    /// A component's weights, all shards as one, under the names of diffusers.
    pub fn weights(&self, component: &str) -> Result<Weights, CheckpointError> {
        let part = self.part(component)?;
        let weights = match &part.file {
            Some(file) => Weights::open_known(file, &self.hashes)?,
            None => part.folder.weights(&self.hashes)?,
        };
        let hash = part.folder.identity(weights.hash())?;
        Ok(weights.known_as(hash).component(component))
    }

    /// BLAKE3 in hexadecimal of several components' weights, of the small files of all, and of
    /// `model_index.json`, which has settings of its own.
    pub fn hash(&self, components: &[&str]) -> Result<String, CheckpointError> {
        let mut hasher = blake3::Hasher::new();
        for (name, value) in &self.index {
            hasher.update(format!("{name} = {value}\n").as_bytes());
        }
        for (name, part) in &self.parts {
            hasher.update(format!("{name} {}\n", part.folder.identity("")?).as_bytes());
        }
        for component in components {
            let weights = self.weights(component)?;
            hasher.update(format!("{component} {}\n", weights.hash()).as_bytes());
        }
        Ok(hasher.finalize().to_hex().to_string())
    }

    /// Numbers in a component's weights; only headers are read.
    pub fn parameters(&self, component: &str) -> Result<u64, CheckpointError> {
        let part = self.part(component)?;
        let files = match &part.file {
            Some(file) => vec![file.clone()],
            None => part.folder.files()?,
        };
        let count = |file: &PathBuf| Ok(Contents::of(file)?.parameters(component));
        files.iter().map(count).sum()
    }

    /// A small file of a component, such as `vocab.json`; `None` if there is none.
    pub fn file(&self, component: &str, name: &str) -> Result<Option<Vec<u8>>, CheckpointError> {
        self.part(component)?.folder.file(name)
    }

    /// Fails with the first thing that is missing of the components that `model_index.json` names,
    /// of those that are read here. Only names of files are looked at.
    pub fn check_files(&self) -> Result<(), CheckpointError> {
        let named = |component: &&str| {
            // `[library, class]`; neither where the pipeline goes without the component.
            let value = self.index.get(*component);
            value.is_some_and(|value| value.get(1).is_some_and(Value::is_string))
        };
        for component in COMPONENTS.into_iter().filter(named) {
            let part = self.part(component)?;
            if component.starts_with("tokenizer") {
                continue;
            }
            let name = config_name(component);
            if !part.folder.has(name) {
                return Err(part.folder.lacks(name));
            }
            if component != SCHEDULER {
                self.check_weights(component)?;
            }
        }
        Ok(())
    }

    /// Fails where the files of a component's weights are not all there. Only their names are
    /// looked at.
    pub fn check_weights(&self, component: &str) -> Result<(), CheckpointError> {
        let part = self.part(component)?;
        match &part.file {
            Some(_) => Ok(()),
            None => part.folder.check_weights(),
        }
    }

    fn part(&self, name: &str) -> Result<&Part, CheckpointError> {
        let found = self.parts.get(name);
        found.ok_or_else(|| CheckpointError::NoComponent {
            model: self.name.clone(),
            component: name.to_owned(),
        })
    }
}

/// The name of a component's configuration.
fn config_name(component: &str) -> &'static str {
    match component {
        SCHEDULER => "scheduler_config.json",
        _ => "config.json",
    }
}
