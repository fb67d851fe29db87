//! A model folder like a published one, made of a golden file, and a walk through its pipeline.

use candle_core::{Device, Tensor};
use noisesearch_core::level::Level;
use noisesearch_models::checkpoint::Checkpoint;
use noisesearch_models::layers::Place;
use noisesearch_models::parity::{self, Golden, checkpoint, input};
use noisesearch_models::pipeline::{OpenError, Options, Pipeline};
use noisesearch_models::solver::{Route, Solver};
use noisesearch_models::task::Task;
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

    /// Writes a tokenizer of the golden file's own few words, which fills up with `pad`.
    pub fn words(&self, part: &str, golden: &Golden, pad: &str) {
        let merges = golden.more["merges"].as_array().unwrap();
        let merges: Vec<&str> = merges.iter().filter_map(Value::as_str).collect();
        let merges = format!("#version: 0.2\n{}\n", merges.join("\n"));
        self.write(&format!("{part}/vocab.json"), &golden.more["vocabulary"]);
        let config = json!({"pad_token": pad});
        self.write(&format!("{part}/tokenizer_config.json"), &config);
        fs::write(self.path.join(part).join("merges.txt"), merges).unwrap();
    }

    /// Writes a component's configuration.
    pub fn configure(&self, part: &str, config: &Value) {
        let file = match part {
            "scheduler" => "scheduler_config.json",
            _ => "config.json",
        };
        self.write(&format!("{part}/{file}"), config);
    }

    /// Writes a file of the folder.
    pub fn write(&self, name: &str, json: &Value) {
        let path = self.path.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, json.to_string()).unwrap();
    }

    /// Changes the bytes of a component's weights.
    pub fn rewrite(&self, part: &str, change: impl Fn(&mut [u8])) {
        let path = self.path.join(part).join("model.safetensors");
        let mut bytes = fs::read(&path).unwrap();
        change(&mut bytes);
        fs::write(path, bytes).unwrap();
    }

    /// Opens it for images of this width and height, on the CPU in f32.
    pub fn open(&self, open: Open, size: [usize; 2]) -> Result<Pipeline, OpenError> {
        self.open_at(open, size, Place::cpu())
    }

    /// The same on the device of the tests.
    pub fn open_there(&self, open: Open, size: [usize; 2]) -> Pipeline {
        let place = parity::place().unwrap();
        self.open_at(open, size, place).unwrap()
    }

    /// Opens it for images of this width and height.
    pub fn open_at(
        &self,
        open: Open,
        [width, height]: [usize; 2],
        place: Place,
    ) -> Result<Pipeline, OpenError> {
        let checkpoint = Arc::new(Checkpoint::open(&self.path).unwrap());
        let options = Options {
            place,
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

/// What a run does.
#[derive(Clone, Copy)]
pub struct Run {
    pub solver: Solver,
    pub steps: u16,
    pub guidance: f32,
}

/// The latents at the end of a run from the golden noise.
pub fn sample(pipeline: &Pipeline, task: &Task, run: Run) -> Tensor {
    let conditioning = pipeline.conditioner.encode(task, run.guidance).unwrap();
    let shape = pipeline.denoiser.shape();
    let start = input("latents", &[1, shape.channels, shape.height, shape.width]).unwrap();
    let mut x = start.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    let levels = pipeline
        .schedule
        .levels(Level::NOISE, Level::CLEAN, run.steps);
    let route = Route {
        path: &pipeline.path,
        levels: &levels,
    };
    let mut predict = |x: &[f32], at| {
        let x = Tensor::new(x, &Device::Cpu)?.reshape(start.shape())?;
        let x0 = pipeline.denoiser.denoise(&x, at, &conditioning)?;
        x0.flatten_all()?.to_vec1::<f32>()
    };
    run.solver.solve(route, &mut x, &mut predict).unwrap();
    Tensor::from_vec(x, start.shape(), &Device::Cpu).unwrap()
}

/// The prompt of a golden file.
pub fn prompt(golden: &Golden) -> Task {
    Task::Prompt(golden.more["prompt"].as_str().unwrap().into())
}
