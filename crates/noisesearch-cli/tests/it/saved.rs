//! Folders as `save_pretrained` of diffusers and transformers writes them, file by file
//! (`parity/folders.py`), searched by the real binary.

use crate::common::{Scratch, png_pixels};
use crate::folders::{self, goldens};
use half::f16;
use noisesearch_models::parity::fill;
use noisesearch_verifiers::base64;
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// What is in `folders.json`.
#[derive(Deserialize)]
struct Golden {
    contents: Vec<Content>,
    /// Of every folder the files by their paths, each by the number of its content.
    folders: BTreeMap<String, BTreeMap<String, usize>>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Content {
    Text(String),
    Weights(Weights),
}

/// A file of weights.
#[derive(Deserialize)]
struct Weights {
    metadata: BTreeMap<String, String>,
    /// Shapes by names by number formats.
    tensors: BTreeMap<String, BTreeMap<String, Vec<usize>>>,
    /// The names by which some of them are filled instead of their own.
    filled_as: BTreeMap<String, String>,
}

impl Weights {
    /// The bytes of the file; `widened`, its half numbers are written in f32.
    fn bytes(&self, widened: bool) -> Vec<u8> {
        let mut header = json!({"__metadata__": self.metadata});
        let mut data: Vec<u8> = Vec::new();
        for (dtype, tensors) in &self.tensors {
            let kept = if widened { "F32" } else { dtype };
            for (name, shape) in tensors {
                let begin = data.len();
                let values = fill(self.filled_as.get(name).unwrap_or(name), shape);
                for value in values {
                    let short = f16::from_f32(value);
                    match (dtype.as_str(), kept) {
                        ("F32", _) => data.extend(value.to_le_bytes()),
                        ("F16", "F32") => data.extend(short.to_f32().to_le_bytes()),
                        ("F16", _) => data.extend(short.to_le_bytes()),
                        other => panic!("{name} in {other:?}"),
                    }
                }
                let offsets = [begin, data.len()];
                header[name] = json!({"dtype": kept, "shape": shape, "data_offsets": offsets});
            }
        }
        let header = header.to_string();
        [&header.len().to_le_bytes()[..], header.as_bytes(), &data].concat()
    }
}

/// The text of a file. Where the rules of normalisation stand in the reference's, this has where
/// they lie in T5's model: `<bytes 123 + 456 of t5-tokenizer/spiece.model>`.
fn whole(text: &str) -> String {
    let Some((before, rest)) = text.split_once("<bytes ") else {
        return text.to_owned();
    };
    let (place, after) = rest.split_once('>').unwrap();
    let (place, file) = place.split_once(" of ").unwrap();
    let (begin, count) = place.split_once(" + ").unwrap();
    let [begin, count] = [begin, count].map(|number| number.parse::<usize>().unwrap());
    let model = fs::read(goldens(file)).unwrap();
    let rules = base64::encode(&model[begin..begin + count]);
    format!("{before}{rules}{after}")
}

/// Writes a folder of this name.
fn write(root: &Path, name: &str, widened: bool) {
    let golden = fs::read(goldens("folders.json")).unwrap();
    let golden: Golden = serde_json::from_slice(&golden).unwrap();
    for (path, number) in &golden.folders[name] {
        let bytes = match &golden.contents[*number] {
            Content::Text(text) => whole(text).into_bytes(),
            Content::Weights(weights) => weights.bytes(widened),
        };
        folders::write(&root.join(path), bytes);
    }
}

/// A text on which tokenizers differ that are read otherwise: capitals, accents, a number that
/// is written smaller, spaces, special tokens as they are and in capitals.
const PROMPT: &[&str] = &[
    "A Photo of two  small dogs! <|STARTOFTEXT|> café ½ <extra_id_3> </s> \
     <|endoftext|> the red car",
];

/// The summary of a search of this model, held to its recipes.
fn search(scratch: &Scratch, model: &str, task: &[&str]) -> Value {
    folders::verifier(&scratch.path("aesthetic"), "aesthetic-mlp");
    let fixed = "--search random --budget 3evals --steps 2 --seed 7 --width 64 --height 64 \
                 --verifier aesthetic --weights aesthetic=./aesthetic --json";
    let fixed: Vec<&str> = fixed.split_whitespace().collect();
    let args = [&["generate"], task, &["--model", model], &fixed].concat();
    let cache = [("HF_HUB_CACHE", scratch.path("hub"))];
    let ended = scratch.run_with(&args, &cache);
    assert_eq!(ended.code, Some(0), "{model}: {}\n{}", ended.out, ended.err);
    let summary = ended.json();
    assert_eq!(summary["billed"]["verifier_calls"], 3, "{summary}");
    let run = summary["run"].as_str().unwrap();
    let verified = scratch.run_with(&["verify", run, "--all"], &cache);
    assert!(verified.out.ends_with("\nall the same\n"), "{verified:?}");
    summary
}

/// Its best score and the pixels of its best picture.
fn best(scratch: &Scratch, model: &str, task: &[&str]) -> (f64, Vec<u8>) {
    let summary = search(scratch, model, task);
    let score = summary["best"]["scores"]["aesthetic"].as_f64().unwrap();
    let image = summary["best"]["image"].as_str().unwrap();
    (score, png_pixels(&scratch.read(image)))
}

/// A folder of the reference is the model of which golden values are made, also by the name under
/// which its repository is known.
#[test]
fn folders_of_the_reference_are_the_models_of_the_golden_files() {
    type Make = fn(&Path);
    let cases: [(&str, &str, Make); 6] = [
        ("sd15", "sd1.5", folders::stable_diffusion),
        ("sdxl", "sdxl", folders::stable_diffusion_xl),
        ("flux-dev", "flux.1-dev", |root| folders::flux(root, "dev")),
        ("flux-schnell", "flux.1-schnell", |root| {
            folders::flux(root, "schnell");
        }),
        ("pixart-sigma", "pixart-sigma", folders::pixart),
        ("pixart-alpha", "", folders::pixart_alpha),
    ];
    for (name, known, make) in cases {
        let scratch = Scratch::new(&format!("saved-{name}"));
        write(&scratch.path("saved"), name, false);
        make(&scratch.path("golden"));
        let saved = best(&scratch, "./saved", PROMPT);
        assert!(saved == best(&scratch, "./golden", PROMPT), "{name}");
        if !known.is_empty() {
            write(&scratch.path(snapshot(known)), name, false);
            assert!(saved == best(&scratch, known, PROMPT), "{known}");
        }
    }
}

/// Where a published model would lie.
fn snapshot(known: &str) -> String {
    let repository = match known {
        "sd1.5" => "stable-diffusion-v1-5--stable-diffusion-v1-5",
        "sdxl" => "stabilityai--stable-diffusion-xl-base-1.0",
        "flux.1-dev" => "black-forest-labs--FLUX.1-dev",
        "flux.1-schnell" => "black-forest-labs--FLUX.1-schnell",
        "pixart-sigma" => "PixArt-alpha--PixArt-Sigma-XL-2-1024-MS",
        other => panic!("{other}"),
    };
    format!("hub/models--{repository}/snapshots/abc")
}

/// `variant="fp16"`, the network in shards: the same numbers as in f32.
#[test]
fn a_variant_in_half_precision_is_the_same_numbers_in_f32() {
    let scratch = Scratch::new("saved-half");
    for (folder, widened) in [("half", false), ("widened", true)] {
        write(&scratch.path(folder), "sd15-fp16", widened);
    }
    let half = best(&scratch, "./half", PROMPT);
    assert!(half == best(&scratch, "./widened", PROMPT));
    folders::stable_diffusion(&scratch.path("full"));
    assert_ne!(half.0, best(&scratch, "./full", PROMPT).0);
}

/// With the names of the reference's network, and the classes of ImageNet.
#[test]
fn a_dit_of_the_reference_is_searched_by_class() {
    let scratch = Scratch::new("saved-dit");
    write(&scratch.path("saved"), "dit", false);
    let tench = best(&scratch, "./saved", &["--class", "tench"]);
    assert!(tench == best(&scratch, "./saved", &["--class", "0"]));
    assert_ne!(tench.0, best(&scratch, "./saved", &["--class", "1"]).0);
}

#[test]
fn saved_folders_in_the_cache_are_listed_as_found() {
    let scratch = Scratch::new("saved-listed");
    let names = [
        ("sd1.5", "sd15-fp16"),
        ("sdxl", "sdxl"),
        ("flux.1-dev", "flux-dev"),
        ("flux.1-schnell", "flux-schnell"),
        ("pixart-sigma", "pixart-sigma"),
    ];
    for (known, name) in names {
        write(&scratch.path(snapshot(known)), name, false);
    }
    let cache = [
        ("HF_HUB_CACHE", scratch.path("hub")),
        ("NOISESEARCH_MODELS", scratch.path("models")),
    ];
    let models = scratch.run_with(&["models"], &cache).out;
    assert_eq!(models.matches("found: /").count(), 5, "{models}");
    for (known, _) in names {
        let found = format!("found: {}", scratch.path(snapshot(known)).display());
        assert!(models.contains(&found), "{models}");
    }
}
