//! Whole class-conditional models, opened from folders like the published ones: against diffusers'
//! `DiTPipeline`, and loops around the networks of SiT and DiT, from a class and noise to the
//! image.

use crate::folder::{Folder, Run, sample};
use candle_core::Tensor;
use noisesearch_models::models::dit;
use noisesearch_models::parity::{Golden, places};
use noisesearch_models::pipeline::Pipeline;
use noisesearch_models::solver::Solver;
use noisesearch_models::task::Task;
use serde_json::{Value, json};

const SIT: &str = include_str!("../../../../parity/goldens/pipeline-sit.json");
const DIT: &str = include_str!("../../../../parity/goldens/pipeline-dit.json");
const DIFFUSERS: &str = include_str!("../../../../parity/goldens/pipeline-dit-diffusers.json");

/// Of final latents; measured are up to 3e-6. Seen to fail with the authors' frequencies of the
/// time for a DiT of diffusers (2e-1) and with its second norm's eps left at 1e-5 (4e-5).
const LATENTS: f64 = 2e-5;
/// Of an image, whose values go up to 1: what rounding to 8 bits adds.
const IMAGE: f64 = 2.0 / 255.0;
/// Width and height of the images.
pub const SIZE: [usize; 2] = [64, 64];

fn run(solver: Solver, guidance: f32) -> Run {
    Run {
        solver,
        steps: 5,
        guidance,
    }
}

fn class(name: &str) -> Task {
    Task::Class(name.into())
}

/// A SiT as `scripts/convert_sit.py` leaves it.
pub fn sit_folder(config: impl Fn(&mut Value)) -> (Golden, Folder) {
    let mut golden = Golden::parse(SIT).unwrap();
    config(&mut golden.config["transformer"]);
    let folder = Folder::new("SiTPipeline", &golden, &[]);
    (golden, folder)
}

/// A DiT as diffusers saves one: every block has the embeddings of the first.
pub fn diffusers_folder() -> (Golden, Folder) {
    let golden = Golden::parse(DIFFUSERS).unwrap();
    let folder = Folder::new("DiTPipeline", &golden, &[]);
    folder.rewrite("transformer", tie);
    (golden, folder)
}

/// Copies the embeddings of block 0 over those of block 1.
fn tie(file: &mut [u8]) {
    let length = u64::from_le_bytes(file[..8].try_into().unwrap()) as usize;
    let header: Value = serde_json::from_slice(&file[8..8 + length]).unwrap();
    let place = |name: &str| {
        let offset = |i: usize| header[name]["data_offsets"][i].as_u64().unwrap() as usize;
        8 + length + offset(0)..8 + length + offset(1)
    };
    let names = header.as_object().unwrap().keys();
    for name in names.filter(|name| name.contains("blocks.1.norm1.emb.")) {
        let first = place(&name.replace("blocks.1.", "blocks.0."));
        file.copy_within(first, place(name).start);
    }
}

fn compare(golden: &Golden, folder: &Folder, task: &Task, cases: &[(&str, Run)]) {
    for place in places().unwrap() {
        let pipeline = folder.open_at(dit::open, SIZE, place).unwrap();
        compare_with(golden, &pipeline, task, cases);
    }
}

fn compare_with(golden: &Golden, pipeline: &Pipeline, task: &Task, cases: &[(&str, Run)]) {
    for (name, run) in cases {
        let latents = sample(pipeline, task, *run);
        let tap = format!("latents-{name}");
        println!("{tap}: {:.1e}", golden.error(&tap, &latents).unwrap());
        golden.check(&tap, &latents, LATENTS).unwrap();
        let image = pipeline.decoder.decode(&latents).unwrap();
        golden
            .check(&format!("image-{name}"), &image, IMAGE)
            .unwrap();
    }
}

#[test]
fn golden_sit_from_class_to_image() {
    let (golden, folder) = sit_folder(|_| {});
    let cases = [
        ("euler", run(Solver::Euler, 2.0)),
        ("heun", run(Solver::Heun, 2.0)),
    ];
    compare(&golden, &folder, &class("3"), &cases);
}

#[test]
fn golden_dit_from_class_to_image() {
    let golden = Golden::parse(DIT).unwrap();
    let folder = Folder::new("DiTPipeline", &golden, &[]);
    let cases = [("ddim", run(Solver::Ddim, 2.0))];
    compare(&golden, &folder, &class("3"), &cases);
}

#[test]
fn golden_dit_of_diffusers_from_class_to_image() {
    let (golden, folder) = diffusers_folder();
    let cases = [("1", run(Solver::Ddim, 1.0)), ("4", run(Solver::Ddim, 4.0))];
    compare(&golden, &folder, &class("golden retriever"), &cases);
}

#[test]
fn classes_of_a_folder_have_its_names() {
    let index = |labels: Value| json!({"_class_name": "DiTPipeline", "id2label": labels});
    let (_, folder) = diffusers_folder();
    folder.write(
        "model_index.json",
        &index(json!({"0": "Sloop, boat", "207": "barn"})),
    );
    let pipeline = folder.open(dit::open, SIZE).unwrap();
    let of = |name: &str| {
        let encoded = pipeline.conditioner.encode(&class(name), 1.0);
        encoded.map(|row| row.cond.tensors[0].to_scalar::<f32>().unwrap())
    };
    for (name, number) in [("sloop", 0.0), ("boat", 0.0), ("Barn", 207.0), ("17", 17.0)] {
        assert_eq!(of(name).unwrap(), number, "{name}");
    }
    for (name, says) in [
        ("tench", "nearest known: barn"),
        ("1000", "the last is 999"),
    ] {
        let error = of(name).unwrap_err().to_string();
        assert!(error.contains(says), "{error}");
    }
    for labels in [
        json!(["cat"]),
        json!({"cat": "0"}),
        json!({"1000": "cat"}),
        json!({"0": 1}),
    ] {
        folder.write("model_index.json", &index(labels));
        let error = folder.refusal(dit::open, SIZE);
        assert!(error.contains("id2label"), "{error}");
    }
}

#[test]
fn a_class_has_a_name_and_a_number() {
    let (_, folder) = sit_folder(|_| {});
    let pipeline = folder.open(dit::open, SIZE).unwrap();
    let of = |name: &str| sample(&pipeline, &class(name), run(Solver::Euler, 2.0));
    let [by_name, by_number, other] = ["tench", "0", "3"].map(of);
    let floats = |x: &Tensor| x.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    assert_eq!(floats(&by_name), floats(&by_number));
    assert_ne!(floats(&by_name), floats(&other));
    for (task, says) in [
        (Task::Prompt("tench".into()), "a class of ImageNet"),
        (class("tensh"), "nearest known: tench"),
        // The tiny model knows five classes only; what follows them is no class.
        (class("900"), "a model with 5 classes"),
        (class("5"), "a model with 5 classes"),
    ] {
        let error = pipeline.conditioner.encode(&task, 1.0);
        let error = error.expect_err("a refusal").to_string();
        assert!(error.contains(says), "{error}");
    }
}

#[test]
fn sit_settings_that_are_not_run_are_named() {
    let error = sit_folder(|_| {}).1.refusal(dit::open, [64, 96]);
    assert!(error.contains("64 by 64 pixels"), "{error}");
    for (field, value) in [
        ("heads", json!(5)),
        ("input_size", json!(2048)),
        ("depth", json!(100_000)),
        ("channels", json!(8)),
    ] {
        let (_, folder) = sit_folder(|config| config[field] = value.clone());
        let error = folder.refusal(dit::open, SIZE);
        assert!(error.contains(field), "{field}: {error}");
    }
}

#[test]
fn settings_of_diffusers_that_are_not_run_are_named() {
    let (golden, folder) = diffusers_folder();
    for (field, value) in [
        ("activation_fn", json!("geglu")),
        ("attention_bias", Value::Null),
        ("norm_type", json!("layer_norm")),
        ("out_channels", json!(12)),
        ("norm_eps", json!(-1.0)),
        ("attention_head_dim", json!(15)),
        ("num_attention_heads", json!("2")),
        ("num_layers", json!(100_000)),
        ("patch_size", json!(0)),
    ] {
        let mut config = golden.config["transformer"].clone();
        config[field] = value;
        folder.configure("transformer", &config);
        let error = folder.refusal(dit::open, SIZE);
        let named = match field {
            "num_layers" => "depth",
            "patch_size" => "sizes",
            "num_attention_heads" => "config.json",
            field => field,
        };
        assert!(error.contains(named), "{field}: {error}");
    }
}

#[test]
fn blocks_with_other_embeddings_are_no_dit() {
    let golden = Golden::parse(DIFFUSERS).unwrap();
    let folder = Folder::new("DiTPipeline", &golden, &[]);
    let error = folder.refusal(dit::open, SIZE);
    let name = "transformer_blocks.1.norm1.emb.timestep_embedder.linear_1.weight";
    assert!(
        error.contains(name) && error.contains("the same in every block"),
        "{error}"
    );
}
