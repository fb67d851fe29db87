//! One component's folder: its configuration, side files and weights.

use super::CheckpointError;
use crate::limits::{SIDE_FILE_BYTES_MAX, TENSORS_MAX};
use crate::weights::{Hashes, Weights};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, Read};
use std::path::{Component, Path, PathBuf};

/// Weights by the names of diffusers and transformers, in the order in which they are preferred:
/// full precision first.
const NAMES: [&str; 8] = [
    "diffusion_pytorch_model.safetensors",
    "diffusion_pytorch_model.safetensors.index.json",
    "model.safetensors",
    "model.safetensors.index.json",
    "diffusion_pytorch_model.fp16.safetensors",
    "diffusion_pytorch_model.safetensors.index.fp16.json",
    "model.fp16.safetensors",
    "model.safetensors.index.fp16.json",
];

/// What the same weights are called as a pickle, which is refused by its content.
const PICKLES: [&str; 2] = ["diffusion_pytorch_model.bin", "pytorch_model.bin"];

/// The folder of a component.
#[derive(Clone, Debug)]
pub(super) struct Folder(PathBuf);

/// `*.safetensors.index.json`.
#[derive(Deserialize)]
struct Index {
    weight_map: BTreeMap<String, String>,
}

impl Folder {
    pub(super) fn new(path: PathBuf) -> Self {
        Self(path)
    }

    /// That there is no file of this name, which is needed.
    pub(super) fn lacks(&self, name: &str) -> CheckpointError {
        CheckpointError::NoFile {
            folder: self.0.clone(),
            name: name.to_owned(),
        }
    }

    /// Whether there is a file of this name.
    pub(super) fn has(&self, name: &str) -> bool {
        self.0.join(name).is_file()
    }

    /// A small file; `None` if there is none.
    pub(super) fn file(&self, name: &str) -> Result<Option<Vec<u8>>, CheckpointError> {
        let path = self.0.join(name);
        match read(&path) {
            Err(CheckpointError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                Ok(None)
            }
            other => other.map(Some),
        }
    }

    /// A JSON file; `None` if there is none.
    pub(super) fn json<T: DeserializeOwned>(
        &self,
        name: &str,
    ) -> Result<Option<T>, CheckpointError> {
        let Some(bytes) = self.file(name)? else {
            return Ok(None);
        };
        let path = self.0.join(name);
        let parsed = serde_json::from_slice(&bytes);
        parsed
            .map(Some)
            .map_err(|source| CheckpointError::Json { path, source })
    }

    /// All weights as one.
    pub(super) fn weights(&self, hashes: &Hashes) -> Result<Weights, CheckpointError> {
        let files = self.files()?;
        match files.as_slice() {
            [one] => Ok(Weights::open_known(one, hashes)?),
            shards => {
                let name = self.0.display().to_string();
                Ok(Weights::open_shards(&name, shards, hashes)?)
            }
        }
    }

    /// The files of the weights.
    pub(super) fn files(&self) -> Result<Vec<PathBuf>, CheckpointError> {
        let there = |name: &&str| self.0.join(name).exists();
        if let Some(name) = NAMES.into_iter().find(there) {
            return match name.ends_with(".json") {
                true => self.shards(name),
                false => Ok(vec![self.0.join(name)]),
            };
        }
        let names = self.safetensors()?;
        match names.as_slice() {
            [one] => Ok(vec![self.0.join(one)]),
            [] => {
                let pickle = PICKLES.into_iter().find(there);
                let path = pickle.map(|name| self.0.join(name));
                path.map(|path| vec![path])
                    .ok_or_else(|| CheckpointError::NoWeights(self.0.clone()))
            }
            several => Err(CheckpointError::Ambiguous {
                folder: self.0.clone(),
                files: several.join(", "),
            }),
        }
    }

    /// Fails unless there are weights that are read: a pickle is not.
    pub(super) fn check_weights(&self) -> Result<(), CheckpointError> {
        let files = self.files()?;
        let read = |file: &PathBuf| file.extension().is_some_and(|e| e == "safetensors");
        match files.iter().all(|file| read(file) && file.is_file()) {
            true => Ok(()),
            false => Err(CheckpointError::NoWeights(self.0.clone())),
        }
    }

    /// The shards that an index names.
    fn shards(&self, index: &str) -> Result<Vec<PathBuf>, CheckpointError> {
        let path = self.0.join(index);
        let map: Index = self.json(index)?.ok_or_else(|| self.lacks(index))?;
        let names: BTreeSet<String> = map.weight_map.into_values().collect();
        if names.is_empty() || names.len() > TENSORS_MAX {
            return Err(CheckpointError::NoWeights(self.0.clone()));
        }
        let shard = |name: String| {
            let path = path.clone();
            if !is_plain(&name) {
                return Err(CheckpointError::ShardName { path, name });
            }
            let file = self.0.join(&name);
            match file.exists() {
                true => Ok(file),
                false => Err(CheckpointError::NoShard { path, name }),
            }
        };
        names.into_iter().map(shard).collect()
    }

    /// Names of all safetensors files.
    fn safetensors(&self) -> Result<Vec<String>, CheckpointError> {
        self.names(&[".safetensors"])
    }

    /// A hash of weights and of the small files beside them, which decide how they are used:
    /// configurations, vocabularies, preprocessing.
    pub(super) fn identity(&self, weights: &str) -> Result<String, CheckpointError> {
        let mut hasher = blake3::Hasher::new();
        hasher.update(weights.as_bytes());
        for name in self.names(&[".json", ".txt", ".model"])? {
            let bytes = self.file(&name)?.unwrap_or_default();
            hasher.update(format!("\n{name} {}", blake3::hash(&bytes).to_hex()).as_bytes());
        }
        Ok(hasher.finalize().to_hex().to_string())
    }

    /// Names of all files with one of these endings, sorted.
    fn names(&self, endings: &[&str]) -> Result<Vec<String>, CheckpointError> {
        let failed = |source| CheckpointError::Io {
            path: self.0.clone(),
            source,
        };
        let mut names = Vec::new();
        for entry in std::fs::read_dir(&self.0).map_err(failed)? {
            let name = entry.map_err(failed)?.file_name();
            let name = name.to_string_lossy();
            if endings.iter().any(|ending| name.ends_with(ending)) {
                names.push(name.into_owned());
            }
        }
        names.sort();
        Ok(names)
    }
}

/// Whether a name is one of a file in the same folder, nothing else.
fn is_plain(name: &str) -> bool {
    let mut parts = Path::new(name).components();
    let one = matches!(parts.next(), Some(Component::Normal(_))) && parts.next().is_none();
    one && !name.contains(['/', '\\', '\0', ':'])
}

/// A regular file of limited size.
pub(super) fn read(path: &Path) -> Result<Vec<u8>, CheckpointError> {
    let failed = |source| CheckpointError::Io {
        path: path.to_owned(),
        source,
    };
    let kind = std::fs::metadata(path).map_err(failed)?;
    if !kind.is_file() {
        return Err(failed(io::Error::other("it is no file")));
    }
    let limit = SIDE_FILE_BYTES_MAX;
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(failed)?;
    file.take(limit + 1)
        .read_to_end(&mut bytes)
        .map_err(failed)?;
    match bytes.len() as u64 > limit {
        true => Err(CheckpointError::TooLarge {
            path: path.to_owned(),
            bytes: kind.len(),
            limit,
        }),
        false => Ok(bytes),
    }
}
