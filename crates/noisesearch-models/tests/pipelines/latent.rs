//! Whole latent diffusion models, opened from folders like the published ones, against diffusers'
//! pipelines: from a prompt and noise to the image.

use crate::folder::{Folder, Open, Run, sample};
use noisesearch_models::models::{sd15, sdxl};
use noisesearch_models::parity::Golden;
use noisesearch_models::solver::Solver;
use noisesearch_models::task::Task;
use serde_json::json;

pub const SD15: &str = include_str!("../../../../parity/goldens/pipeline-sd15.json");
pub const SDXL: &str = include_str!("../../../../parity/goldens/pipeline-sdxl.json");

/// Of final latents; measured are 4e-6 at most. Seen to fail with another order of two encoders'
/// states, the last instead of the penultimate states, sizes as width and height, and times one
/// later.
const LATENTS: f64 = 2e-5;

/// Of an image, whose values go up to 1: the reference's are not rounded to 8 bits, ours are, so
/// half a level is due. Seen to fail with latents shifted by 0.1 before they are decoded.
const IMAGE: f64 = 0.6 / 255.0;

/// Width and height of the images.
pub const SIZE: [usize; 2] = [32, 48];

/// Four steps of DDIM.
pub fn run(guidance: f32) -> Run {
    Run {
        solver: Solver::Ddim,
        steps: 4,
        guidance,
    }
}

/// A golden file and its model on disk.
pub fn stable_diffusion(text: &str) -> (Golden, Folder) {
    let golden = Golden::parse(text).unwrap();
    let folder = Folder::new("StableDiffusion", &golden, &[]);
    folder.words("tokenizer", &golden, "<|endoftext|>");
    folder.words("tokenizer_2", &golden, "!");
    (golden, folder)
}

pub fn task() -> Task {
    Task::Prompt("a cat on a mat".into())
}

fn compare(text: &str, open: Open) {
    let (golden, folder) = stable_diffusion(text);
    let pipeline = folder.open_there(open, SIZE);
    for guidance in [1.0, 7.5] {
        let latents = sample(&pipeline, &task(), run(guidance));
        let tap = format!("latents-{guidance}");
        golden.check(&tap, &latents, LATENTS).unwrap();
        let image = pipeline.decoder.decode(&latents).unwrap();
        let tap = format!("image-{guidance}");
        golden.check(&tap, &image, IMAGE).unwrap();
    }
}

#[test]
fn golden_stable_diffusion_from_prompt_to_image() {
    compare(SD15, sd15::open);
}

#[test]
fn golden_sdxl_from_prompt_to_image() {
    compare(SDXL, sdxl::open);
    let (golden, folder) = stable_diffusion(SDXL);
    folder.write(
        "model_index.json",
        &json!({"force_zeros_for_empty_prompt": false}),
    );
    let latents = sample(&folder.open_there(sdxl::open, SIZE), &task(), run(7.5));
    golden.check("latents-words", &latents, LATENTS).unwrap();
}

#[test]
fn what_cannot_be_opened_is_told() {
    let (golden, folder) = stable_diffusion(SDXL);
    for size in [[30, 32], [32, 0], [32, 16384]] {
        let error = folder.refusal(sdxl::open, size);
        assert!(error.contains("multiples of 8"), "{error}");
    }
    let error = folder.refusal(sd15::open, SIZE);
    assert!(error.contains("cross_attention_dim 28"), "{error}");
    for (part, field, value, says) in [
        (
            "text_encoder_2",
            "projection_dim",
            json!(9),
            "projection_dim 9",
        ),
        (
            "text_encoder",
            "hidden_size",
            json!(20),
            "cross_attention_dim 28",
        ),
        ("scheduler", "beta_schedule", json!("sigmoid"), "sigmoid"),
        ("unet", "in_channels", json!(9), "in_channels"),
    ] {
        let mut config = golden.config[part].clone();
        config[field] = value;
        folder.configure(part, &config);
        let error = folder.refusal(sdxl::open, SIZE);
        assert!(error.contains(says), "{error}");
        folder.configure(part, &golden.config[part]);
    }
}

#[test]
fn a_class_is_no_prompt() {
    let (_, folder) = stable_diffusion(SD15);
    let pipeline = folder.open(sd15::open, SIZE).unwrap();
    let refused = pipeline.conditioner.encode(&Task::Class("cat".into()), 1.0);
    let error = refused.expect_err("a refusal").to_string();
    assert!(error.contains("a prompt, not a class"), "{error}");
}
