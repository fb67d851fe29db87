//! Where a model's components lie on disk: a folder in the layout of diffusers.
//!
//! ```text
//! model_index.json                      names the pipeline and its components
//! unet/config.json                      one folder a component
//! unet/diffusion_pytorch_model.safetensors, or shards and their .safetensors.index.json
//! ```

mod error;
mod folder;

use crate::weights::Weights;
pub use error::CheckpointError;
use folder::Folder;
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Mutex;

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
    pipeline: Option<String>,
    components: BTreeMap<String, Folder>,
    /// Hashes of components that were opened.
    hashes: Mutex<BTreeMap<String, String>>,
}

impl Checkpoint {
    /// Looks at a folder. Nothing but its small text files is read.
    pub fn open(folder: &Path) -> Result<Self, CheckpointError> {
        let root = Folder::new(folder.to_owned());
        let index: serde_json::Map<String, serde_json::Value> = match root.json("model_index.json")
        {
            Ok(Some(index)) => index,
            Ok(None) => return Err(CheckpointError::NoIndex(folder.to_owned())),
            Err(error) => return Err(error),
        };
        let pipeline = index.get("_class_name").and_then(|name| name.as_str());
        let there = |name: &&str| folder.join(name).is_dir();
        let named = COMPONENTS.into_iter().filter(there);
        let component = |name: &str| (name.to_owned(), Folder::new(folder.join(name)));
        Ok(Self {
            name: folder.display().to_string(),
            pipeline: pipeline.map(str::to_owned),
            components: named.map(component).collect(),
            hashes: Mutex::default(),
        })
    }

    /// The path or name by which it was opened.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// `_class_name` of its `model_index.json`, such as `FluxPipeline`.
    pub fn pipeline(&self) -> Option<&str> {
        self.pipeline.as_deref()
    }

    /// Whether it has a component.
    pub fn has(&self, component: &str) -> bool {
        self.components.contains_key(component)
    }

    /// A component's `config.json`; for `scheduler` its `scheduler_config.json`.
    pub fn config<T: DeserializeOwned>(&self, component: &str) -> Result<T, CheckpointError> {
        let name = match component {
            SCHEDULER => "scheduler_config.json",
            _ => "config.json",
        };
        let folder = self.component(component)?;
        folder.json(name)?.ok_or_else(|| CheckpointError::NoFile {
            folder: folder.path().to_owned(),
            name: name.to_owned(),
        })
    }

    /// A component's weights, all shards as one.
    pub fn weights(&self, component: &str) -> Result<Weights, CheckpointError> {
        let weights = self.component(component)?.weights()?;
        let mut hashes = self.hashes.lock().unwrap_or_else(|e| e.into_inner());
        hashes.insert(component.to_owned(), weights.hash().to_owned());
        Ok(weights)
    }

    /// BLAKE3 of several components' weights in hexadecimal. Those that were opened before are
    /// not read again.
    pub fn hash(&self, components: &[&str]) -> Result<String, CheckpointError> {
        let mut hasher = blake3::Hasher::new();
        for &component in components {
            let known = |hashes: &BTreeMap<String, String>| hashes.get(component).cloned();
            let hash = known(&self.hashes.lock().unwrap_or_else(|e| e.into_inner()));
            let hash = match hash {
                Some(hash) => hash,
                None => self.weights(component)?.hash().to_owned(),
            };
            hasher.update(format!("{component} {hash}\n").as_bytes());
        }
        Ok(hasher.finalize().to_hex().to_string())
    }

    /// A small file of a component, such as `vocab.json`; `None` if there is none.
    pub fn file(&self, component: &str, name: &str) -> Result<Option<Vec<u8>>, CheckpointError> {
        self.component(component)?.file(name)
    }

    fn component(&self, name: &str) -> Result<&Folder, CheckpointError> {
        let found = self.components.get(name);
        found.ok_or_else(|| CheckpointError::NoComponent {
            model: self.name.clone(),
            component: name.to_owned(),
        })
    }
}
