//! Folders of tiny models and verifiers, laid out as published ones are, made of golden files.

use noisesearch_models::parity::{Golden, checkpoint};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// A file or folder of `parity/goldens`.
pub fn goldens(name: &str) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../parity/goldens");
    root.join(name)
}

/// The golden file of this name.
pub fn golden(name: &str) -> Golden {
    let path = goldens(&format!("{name}.json"));
    Golden::parse(&fs::read_to_string(path).unwrap()).unwrap()
}

/// Writes a file, with the folders above it.
pub fn write(path: &Path, bytes: impl AsRef<[u8]>) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
}

/// The tensors of one component.
pub fn tensors(golden: &Golden, part: &str) -> BTreeMap<String, Vec<usize>> {
    let own = |(key, shape): (&String, &Vec<usize>)| {
        let key = key.strip_prefix(&format!("{part}/"))?;
        Some((key.to_owned(), shape.clone()))
    };
    golden.tensors.iter().filter_map(own).collect()
}

/// The components of a pipeline of this class in the folder `root`, without tokenizers.
fn components(root: &Path, class: &str, golden: &Golden) {
    let index = json!({"_class_name": class}).to_string();
    write(&root.join("model_index.json"), index);
    for (part, config) in golden.config.as_object().unwrap() {
        let file = match part.as_str() {
            "scheduler" => "scheduler_config.json",
            _ => "config.json",
        };
        write(&root.join(part).join(file), config.to_string());
        let tensors = tensors(golden, part);
        if !tensors.is_empty() {
            let weights = root.join(part).join("model.safetensors");
            write(&weights, checkpoint(&tensors));
        }
    }
}

/// A tokenizer of the golden file's own few words, which fills up with `pad`.
fn words(folder: &Path, golden: &Golden, pad: &str) {
    let vocabulary = golden.more["vocabulary"].to_string();
    write(&folder.join("vocab.json"), vocabulary);
    let merges = golden.more["merges"].as_array().unwrap();
    let merges: Vec<&str> = merges.iter().filter_map(Value::as_str).collect();
    let merges = format!("#version: 0.2\n{}\n", merges.join("\n"));
    write(&folder.join("merges.txt"), merges);
    let config = json!({"pad_token": pad}).to_string();
    write(&folder.join("tokenizer_config.json"), config);
}

/// A tokenizer that lies in `parity/goldens` as files.
fn tokenizer(folder: &Path, name: &str) {
    for entry in fs::read_dir(goldens(name)).unwrap() {
        let entry = entry.unwrap();
        let bytes = fs::read(entry.path()).unwrap();
        write(&folder.join(entry.file_name()), bytes);
    }
}

pub fn stable_diffusion(root: &Path) {
    let golden = golden("pipeline-sd15");
    components(root, "StableDiffusionPipeline", &golden);
    words(&root.join("tokenizer"), &golden, "<|endoftext|>");
}

pub fn stable_diffusion_xl(root: &Path) {
    let golden = golden("pipeline-sdxl");
    components(root, "StableDiffusionXLPipeline", &golden);
    words(&root.join("tokenizer"), &golden, "<|endoftext|>");
    words(&root.join("tokenizer_2"), &golden, "!");
}

/// The same with the network of `single-sdxl-pipeline`, which has as many layers as the published
/// one: only that can be written in its authors' layout.
pub fn stable_diffusion_xl_of_two_layers(root: &Path) {
    stable_diffusion_xl(root);
    let golden = golden("single-sdxl-pipeline");
    write(&root.join("unet/config.json"), golden.config.to_string());
    let shapes = golden.more["unet"].clone();
    let shapes: BTreeMap<String, Vec<usize>> = serde_json::from_value(shapes).unwrap();
    write(&root.join("unet/model.safetensors"), checkpoint(&shapes));
}

/// `kind` is `dev` or `schnell`.
pub fn flux(root: &Path, kind: &str) {
    let golden = golden(&format!("pipeline-flux-{kind}"));
    components(root, "FluxPipeline", &golden);
    tokenizer(&root.join("tokenizer"), "clip-tokenizer");
    tokenizer(&root.join("tokenizer_2"), "t5-tokenizer");
}

pub fn pixart(root: &Path) {
    components(root, "PixArtSigmaPipeline", &golden("pipeline-pixart"));
    tokenizer(&root.join("tokenizer"), "t5-tokenizer");
}

/// PixArt-Alpha, which is told the size: its network with the other parts of PixArt-Sigma.
pub fn pixart_alpha(root: &Path) {
    let parts = ["vae", "text_encoder", "scheduler"];
    let whole = joined("pixart-alpha", &parts);
    components(root, "PixArtAlphaPipeline", &whole);
    tokenizer(&root.join("tokenizer"), "t5-tokenizer");
}

/// A golden transformer with these parts of PixArt-Sigma.
fn joined(name: &str, parts: &[&str]) -> Golden {
    let (mut whole, other) = (golden(name), golden("pipeline-pixart"));
    let own = whole.tensors.into_iter();
    whole.tensors = own.map(|(k, s)| (format!("transformer/{k}"), s)).collect();
    whole.config = json!({"transformer": whole.config});
    for part in parts {
        whole.config[part] = other.config[part].clone();
        let tensors = tensors(&other, part).into_iter();
        let named = tensors.map(|(key, shape)| (format!("{part}/{key}"), shape));
        whole.tensors.extend(named);
    }
    whole
}

/// A `sit` or `dit` as `scripts/convert_sit.py` leaves it, with the autoencoder of PixArt's.
pub fn of_classes(root: &Path, class: &str, name: &str) {
    components(root, class, &joined(name, &["vae"]));
}

/// The folder of a verifier's network, as its repository or its conversion script lays it out.
pub fn verifier(folder: &Path, name: &str) {
    let golden = golden(name);
    write(&folder.join("config.json"), golden.config.to_string());
    let weights = checkpoint(&golden.tensors);
    write(&folder.join("model.safetensors"), weights);
    if let Some(steps) = golden.more.get("processor") {
        write(&folder.join("preprocessor_config.json"), steps.to_string());
    }
    if let Some(pieces) = golden.more.get("pieces").and_then(Value::as_array) {
        let pieces: Vec<&str> = pieces.iter().filter_map(Value::as_str).collect();
        write(&folder.join("vocab.txt"), pieces.join("\n"));
    }
}
