//! Models on the disk, with the real binary: a tiny Stable Diffusion folder, as published ones
//! are laid out, found by path, by repository and by a published name; its parts replaced; what
//! is refused and what is said then.

use crate::common::{Ended, Scratch, png_pixels};
use crate::folders::{self, golden, tensors};
use noisesearch_models::parity::checkpoint;
use serde_json::Value;

/// Where the published Stable Diffusion 1.5 would lie.
const SNAPSHOT: &str = "hub/models--stable-diffusion-v1-5--stable-diffusion-v1-5/snapshots/abc";

/// A program that scores one image a question by the number of the question.
const SCORE: &str = "#!/bin/sh
while read -r line; do
  id=${line#*\\\"id\\\":}
  id=${id%%,*}
  echo \"{\\\"id\\\":$id,\\\"scores\\\":[$id]}\"
done
";

/// A folder of the tiny model below a scratch directory.
fn folder(scratch: &Scratch, at: &str) {
    folders::stable_diffusion(&scratch.path(at));
}

fn scratch(name: &str) -> Scratch {
    let scratch = Scratch::new(name);
    scratch.program("score.sh", SCORE);
    scratch
}

/// `generate` of three candidates of a model, each in two steps, 16x24 pixels.
fn generate(scratch: &Scratch, model: &str, more: &[&str]) -> Ended {
    let fixed = [
        "generate",
        "a cat on a mat",
        "--json",
        "--verifier",
        "cmd:./score.sh",
        "--budget",
        "3evals",
        "--steps",
        "2",
        "--seed",
        "7",
        "--width",
        "24",
        "--height",
        "16",
        "--model",
        model,
    ];
    scratch.run_with(
        &[&fixed[..], more].concat(),
        &[("HF_HUB_CACHE", scratch.path("hub"))],
    )
}

#[track_caller]
fn done(ended: Ended) -> Value {
    assert_eq!(ended.code, Some(0), "{}\n{}", ended.out, ended.err);
    ended.json()
}

/// The pixels of the best image of a run, and what the run was made with.
fn best(scratch: &Scratch, summary: &Value) -> (Vec<u8>, String) {
    let run = summary["run"].as_str().unwrap();
    let journal = String::from_utf8(scratch.read(format!("{run}/journal.jsonl"))).unwrap();
    let first = journal.lines().next().unwrap().to_owned();
    let image = summary["best"]["image"].as_str().unwrap();
    let reader = png_pixels(&scratch.read(image));
    (reader, first)
}

#[test]
fn a_model_is_found_by_path_repository_and_name() {
    let scratch = scratch("found");
    folder(&scratch, "tiny");
    let summary = done(generate(&scratch, "./tiny", &[]));
    assert_eq!(
        summary["best"]["scores"]["cmd:./score.sh"], 3.0,
        "{summary}"
    );
    let (pixels, journal) = best(&scratch, &summary);
    assert!(journal.contains("cpu-f32-v2"), "{journal}");
    let run = summary["run"].as_str().unwrap();
    let toml = String::from_utf8(scratch.read(format!("{run}/run.toml"))).unwrap();
    for line in ["model = \"./tiny\"", "width = 24", "height = 16"] {
        assert!(toml.contains(line), "{toml}");
    }
    folder(&scratch, SNAPSHOT);
    for name in ["sd1.5", "stable-diffusion-v1-5/stable-diffusion-v1-5"] {
        let summary = done(generate(&scratch, name, &[]));
        assert_eq!(best(&scratch, &summary).0, pixels, "{name}");
    }
    // The name decides what is asked by default, the path what is opened.
    let more = ["--weights", "sdxl=tiny", "--guidance", "7.5"];
    let summary = done(generate(&scratch, "sdxl", &more));
    assert_eq!(best(&scratch, &summary).0, pixels);
}

/// The model's hash in the first line of a journal.
fn weights(line: &str) -> String {
    fn find(value: &Value) -> Option<&str> {
        let fields = value.as_object()?;
        match (fields.get("backend"), fields.get("weights")) {
            (Some(_), Some(weights)) => weights.as_str(),
            _ => fields.values().find_map(find),
        }
    }
    let json = &line[line.find('{').unwrap()..=line.rfind('}').unwrap()];
    let line: Value = serde_json::from_str(json).unwrap();
    find(&line).unwrap().to_owned()
}

#[test]
fn a_replaced_part_changes_picture_and_fingerprint() {
    let scratch = scratch("replaced");
    folder(&scratch, "tiny");
    let (pixels, journal) = best(&scratch, &done(generate(&scratch, "tiny", &[])));
    let unet = tensors(&golden("pipeline-sd15"), "unet");
    // The same names and shapes, other numbers: the last byte of the last f32 is its sign.
    let mut bytes = checkpoint(&unet);
    *bytes.last_mut().unwrap() ^= 0x80;
    scratch.write("other.safetensors", &bytes);
    let summary = done(generate(&scratch, "tiny", &["--unet", "other.safetensors"]));
    let (other, second) = best(&scratch, &summary);
    assert_ne!(weights(&second), weights(&journal));
    assert_ne!(other, pixels);
    // What is there already changes nothing.
    let summary = done(generate(&scratch, "tiny", &["--unet", "tiny"]));
    let (same, third) = best(&scratch, &summary);
    assert_eq!((same, weights(&third)), (pixels, weights(&journal)));
}

/// The same weights used otherwise are another model; once only the weights were looked at.
#[test]
fn a_changed_configuration_is_another_model() {
    let scratch = scratch("configured");
    folder(&scratch, "tiny");
    let (_, before) = best(&scratch, &done(generate(&scratch, "tiny", &[])));
    let path = "tiny/scheduler/scheduler_config.json";
    let mut config: Value = serde_json::from_slice(&scratch.read(path)).unwrap();
    config["beta_end"] = Value::from(0.015);
    scratch.write(path, config.to_string());
    let (_, after) = best(&scratch, &done(generate(&scratch, "tiny", &[])));
    assert_ne!(weights(&before), weights(&after));
}

/// Where SDXL and the network tuned from its own would lie.
const BASE: &str = "hub/models--stabilityai--stable-diffusion-xl-base-1.0/snapshots/abc";
const TUNED: &str = "hub/models--mhdang--dpo-sdxl-text2image-v1/snapshots/def";

/// The tiny SDXL's network with other numbers, as the repository of a tuned one has it: alone.
fn tuned(scratch: &Scratch) {
    let golden = golden("pipeline-sdxl");
    let mut bytes = checkpoint(&tensors(&golden, "unet"));
    *bytes.last_mut().unwrap() ^= 0x80;
    let unet = scratch.path(TUNED).join("unet");
    let config = golden.config["unet"].to_string();
    folders::write(&unet.join("config.json"), config);
    let weights = unet.join("diffusion_pytorch_model.safetensors");
    folders::write(&weights, bytes);
}

/// `sdxl-dpo` is one network of a repository over all else of another's.
#[test]
fn a_tuned_network_is_found_over_its_base() {
    let scratch = scratch("tuned");
    folders::stable_diffusion_xl(&scratch.path(BASE));
    tuned(&scratch);
    let dpo = done(generate(&scratch, "sdxl-dpo", &[]));
    let (pixels, journal) = best(&scratch, &dpo);
    let (base, other) = best(&scratch, &done(generate(&scratch, "sdxl", &[])));
    assert_ne!(pixels, base);
    assert_ne!(weights(&journal), weights(&other));
    for (model, more) in [
        ("mhdang/dpo-sdxl-text2image-v1", &[][..]),
        ("sdxl", &["--unet", TUNED]),
        (BASE, &["--unet", TUNED]),
    ] {
        let (same, line) = best(&scratch, &done(generate(&scratch, model, more)));
        let same = (same, weights(&line));
        assert!(same == (pixels.clone(), weights(&journal)), "{model}");
    }
    let cache = [("HF_HUB_CACHE", scratch.path("hub"))];
    let models = scratch.run_with(&["models"], &cache).out;
    for there in [BASE, TUNED] {
        let found = format!("found: {}\n", scratch.path(there).display());
        assert!(models.contains(&found), "{models}");
    }
}

/// Without its base, or without what is tuned, it is not there and both are said how to get.
#[test]
fn half_of_a_tuned_model_is_not_the_model() {
    let (only_base, only_tuned) = (scratch("only-base"), scratch("only-tuned"));
    folders::stable_diffusion_xl(&only_base.path(BASE));
    tuned(&only_tuned);
    for (scratch, found) in [(only_base, 1), (only_tuned, 0)] {
        let ended = generate(&scratch, "sdxl-dpo", &[]);
        assert_eq!(ended.code, Some(1), "{ended:?}");
        for says in [
            "model `sdxl-dpo` is not on this disk",
            "hf download stabilityai/stable-diffusion-xl-base-1.0",
            "hf download mhdang/dpo-sdxl-text2image-v1",
        ] {
            assert!(ended.err.contains(says), "{}", ended.err);
        }
        assert!(scratch.runs("runs").is_empty());
        let cache = [
            ("HF_HUB_CACHE", scratch.path("hub")),
            ("NOISESEARCH_MODELS", scratch.path("models")),
        ];
        let models = scratch.run_with(&["models"], &cache).out;
        assert_eq!(models.matches("found: /").count(), found, "{models}");
    }
}

/// What is typed, and what is said.
const REFUSED: &[(&str, &[&str], &[&str])] = &[
    (
        "flux.1-dev",
        &[],
        &[
            "model `flux.1-dev` is not on this disk",
            "about 33.7 GB",
            "Non-Commercial",
            "hf auth login",
            "hf download black-forest-labs/FLUX.1-dev --include model_index.json",
        ],
    ),
    (
        "sdxl-dpo",
        &[],
        &[
            "hf download mhdang/dpo-sdxl-text2image-v1",
            "\"unet/diffusion_pytorch_model.safetensors*\"",
        ],
    ),
    (
        "some/model",
        &[],
        &["not on this disk", "hf download some/model"],
    ),
    (
        "./absent",
        &[],
        &["model `./absent`: there is no such folder or file"],
    ),
    ("absent", &[], &["unknown model `absent`; known: scenes"]),
    (
        "tiny",
        &["--device", "cuda:0"],
        &["device cuda:0", "--features cuda", "--device cpu"],
    ),
    (
        "tiny",
        &["--device", "gpu"],
        &["unknown device `gpu`; known: cpu, cuda:0, metal"],
    ),
    (
        "tiny",
        &["--dtype", "f64"],
        &["unknown number format `f64`"],
    ),
    (
        "tiny",
        &["--width", "20"],
        &["the width is 20 pixels; supported: multiples of 8"],
    ),
    (
        "tiny",
        &["--width", "9000"],
        &["width is 9000; it must be between 1 and 4096"],
    ),
    (
        "tiny",
        &["--weights", "vae"],
        &["write a name and a path, NAME=PATH"],
    ),
    (
        "tiny",
        &["--weights", "lora=x"],
        &["weights are given for `lora`, which this run does not use"],
    ),
    ("tiny", &["--vae", "absent"], &["absent: cannot be read"]),
    (
        "tiny",
        &["--vae", "a", "--weights", "vae=b"],
        &["a path for vae is given twice"],
    ),
    (
        "tiny",
        &["--transformer", "tiny"],
        &["tiny has no part `transformer` that could be replaced; it has scheduler, text_encoder"],
    ),
    (
        "tiny/unet/model.safetensors",
        &[],
        &["it is one component, not a model"],
    ),
    ("pickle.ckpt", &[], &["loading a pickle runs code"]),
    (
        "scenes",
        &[],
        &["is given, but model `scenes` is part of the program"],
    ),
];

#[test]
fn what_cannot_be_used_is_refused_with_help() {
    let scratch = scratch("refused");
    folder(&scratch, "tiny");
    scratch.write("pickle.ckpt", b"PK\x03\x04\0\0\x08\x08archive/data.pkl");
    for (model, more, says) in REFUSED {
        let width: Vec<&str> = more.to_vec();
        let ended = if width.first() == Some(&"--width") {
            let args = [
                "generate",
                "a cat",
                "--verifier",
                "cmd:./score.sh",
                "--steps",
                "2",
                "--seed",
                "7",
                "--height",
                "16",
                "--model",
                model,
            ];
            scratch.run(&[&args[..], more].concat())
        } else {
            generate(&scratch, model, more)
        };
        assert!(
            matches!(ended.code, Some(1 | 5)),
            "{model} {more:?}: {ended:?}"
        );
        for text in *says {
            assert!(ended.err.contains(text), "{model} {more:?}: {}", ended.err);
        }
        assert!(scratch.runs("runs").is_empty(), "{model} {more:?}");
    }
}

/// Without a verifier named and without the usual one, the run says how to get it.
#[test]
fn a_model_on_the_disk_needs_a_verifier() {
    let scratch = scratch("unjudged");
    folder(&scratch, "tiny");
    let cache = [("HF_HUB_CACHE", scratch.path("hub"))];
    let ended = scratch.run_with(&["generate", "a cat", "--model", "tiny"], &cache);
    assert_eq!(ended.code, Some(1), "{ended:?}");
    for text in [
        "no verifier is named",
        "cmd:./score.py",
        "hf download openai/clip-vit-large-patch14",
    ] {
        assert!(ended.err.contains(text), "{}", ended.err);
    }
}

#[test]
fn the_lists_say_what_is_where() {
    let scratch = scratch("lists");
    folder(&scratch, SNAPSHOT);
    let cache = [
        ("HF_HUB_CACHE", scratch.path("hub")),
        ("NOISESEARCH_MODELS", scratch.path("models")),
    ];
    let models = scratch.run_with(&["models"], &cache).out;
    let found = format!("found: {}", scratch.path(SNAPSHOT).display());
    assert_eq!(models.matches("found: /").count(), 1, "{models}");
    for text in [
        &found[..],
        "sit-xl-2-256",
        "licence: FLUX.1 [dev] Non-Commercial",
        "13.9 GB",
        "by default 16 candidates of 25 heun steps (49 NFE), the answer 125 (249 NFE), 4 kept",
        &format!("looked in {} and ", scratch.path("models").display()),
    ] {
        assert!(models.contains(text), "{models}");
    }
    let verifiers = scratch.run_with(&["verifiers"], &cache).out;
    assert!(
        verifiers.contains("not found: openai/clip-vit-large-patch14"),
        "{verifiers}"
    );
}
