//! A model folder like a published one, made of a golden file.

use noisesearch_models::checkpoint::Checkpoint;
use noisesearch_models::layers::Place;
use noisesearch_models::parity::{Golden, checkpoint};
use noisesearch_models::pipeline::{OpenError, Options, Pipeline};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// How a family opens a checkpoint.
pub type Open = fn(&Arc<Checkpoint>, &Options) -> Result<Pipeline, OpenError>;

/// A folder in the layout of diffusers, removed in the end.
pub struct Folder {
    path: PathBuf,
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.path);
    }
}

impl Folder {
    /// Components as `golden.config` has them, with tensors of the names `component/tensor`;
    /// `tokenizers` are names of components and of folders in `parity/goldens`.
    pub fn new(pipeline: &str, golden: &Golden, tokenizers: &[(&str, &str)]) -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("noisesearch-{pipeline}-{}-{count}", std::process::id());
        let folder = Self {
            path: std::env::temp_dir().join(name),
        };
        folder.write("model_index.json", &json!({"_class_name": pipeline}));
        for (part, config) in golden.config.as_object().unwrap() {
            folder.configure(part, config);
            let own = |(key, shape): (&String, &Vec<usize>)| {
                let key = key.strip_prefix(part.as_str())?.strip_prefix('/')?;
                Some((key.to_owned(), shape.clone()))
            };
            let tensors: BTreeMap<_, _> = golden.tensors.iter().filter_map(own).collect();
            if !tensors.is_empty() {
                let weights = folder.path.join(part).join("model.safetensors");
                fs::write(weights, checkpoint(&tensors)).unwrap();
            }
        }
        let goldens = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../parity/goldens");
        for (part, from) in tokenizers {
            fs::create_dir_all(folder.path.join(part)).unwrap();
            for entry in fs::read_dir(goldens.join(from)).unwrap() {
                let entry = entry.unwrap();
                let to = folder.path.join(part).join(entry.file_name());
                fs::copy(entry.path(), to).unwrap();
            }
        }
        folder
    }

    /// Writes a component's configuration.
    pub fn configure(&self, part: &str, config: &Value) {
        let file = match part {
            "scheduler" => "scheduler_config.json",
            _ => "config.json",
        };
        self.write(&format!("{part}/{file}"), config);
    }

    fn write(&self, name: &str, json: &Value) {
        let path = self.path.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, json.to_string()).unwrap();
    }

    /// Opens it for images of this width and height.
    pub fn open(&self, open: Open, [width, height]: [usize; 2]) -> Result<Pipeline, OpenError> {
        let checkpoint = Arc::new(Checkpoint::open(&self.path).unwrap());
        let options = Options {
            place: Place::cpu(),
            width,
            height,
        };
        open(&checkpoint, &options)
    }

    /// Why it cannot be opened.
    pub fn refusal(&self, open: Open, size: [usize; 2]) -> String {
        let opened = self.open(open, size);
        opened.err().expect("a refusal").to_string()
    }
}
