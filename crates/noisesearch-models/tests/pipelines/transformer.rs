//! Whole FLUX and PixArt models, opened from folders like the published ones: against
//! diffusers' pipelines, from a prompt and noise to the image.

use crate::folder::{Folder, Open, Run, prompt, sample};
use candle_core::Tensor;
use noisesearch_models::models::{flux, pixart};
use noisesearch_models::parity::Golden;
use noisesearch_models::pipeline::Pipeline;
use noisesearch_models::solver::Solver;
use noisesearch_models::task::Task;
use serde_json::{Value, json};

pub const DEV: &str = include_str!("../../../../parity/goldens/pipeline-flux-dev.json");
pub const SCHNELL: &str = include_str!("../../../../parity/goldens/pipeline-flux-schnell.json");
pub const PIXART: &str = include_str!("../../../../parity/goldens/pipeline-pixart.json");

/// Of final latents; measured are up to 7e-6, most of which is how FLUX.1-dev embeds its guidance.
/// Seen to fail with 480 tokens of T5 for 512 (5e-3), a shift that forgets the small image's tokens
/// (2e-1), capital letters kept for PixArt (3e-1), a time a tenth of a step later (1e-2), and the
/// prompt in place of the empty one (6e-1).
const LATENTS: f64 = 2e-5;
/// Of an image, whose values go up to 1: what rounding to 8 bits adds.
const IMAGE: f64 = 2.0 / 255.0;
/// Width and height of the images.
pub const SIZE: [usize; 2] = [96, 64];

pub const FLUX_TOKENS: [(&str, &str); 2] = [
    ("tokenizer", "clip-tokenizer"),
    ("tokenizer_2", "t5-tokenizer"),
];
pub const PIXART_TOKENS: [(&str, &str); 1] = [("tokenizer", "t5-tokenizer")];

pub const FLUX_RUN: Run = Run {
    solver: Solver::Euler,
    steps: 4,
    guidance: 3.5,
};

fn check(golden: &Golden, pipeline: &Pipeline, taps: [&str; 2], latents: &Tensor) {
    golden.check(taps[0], latents, LATENTS).unwrap();
    let image = pipeline.decoder.decode(latents).unwrap();
    golden.check(taps[1], &image, IMAGE).unwrap();
}

fn flux_matches(text: &str) {
    let golden = Golden::parse(text).unwrap();
    let folder = Folder::new("FluxPipeline", &golden, &FLUX_TOKENS);
    let pipeline = folder.open_there(flux::open, SIZE);
    let latents = sample(&pipeline, &prompt(&golden), FLUX_RUN);
    check(&golden, &pipeline, ["latents", "image"], &latents);
}

#[test]
fn golden_flux_dev_from_prompt_to_image() {
    flux_matches(DEV);
}

#[test]
fn golden_flux_schnell_from_prompt_to_image() {
    flux_matches(SCHNELL);
}

#[test]
fn golden_pixart_from_prompt_to_image() {
    let golden = Golden::parse(PIXART).unwrap();
    let folder = Folder::new("PixArtSigmaPipeline", &golden, &PIXART_TOKENS);
    let pipeline = folder.open_there(pixart::open, SIZE);
    for solver in [Solver::Ddim, Solver::Dpmpp2M] {
        for guidance in [1.0, 4.5] {
            let run = Run {
                solver,
                steps: 5,
                guidance,
            };
            let latents = sample(&pipeline, &prompt(&golden), run);
            let taps = ["latents", "image"].map(|what| format!("{solver}-{guidance}-{what}"));
            check(&golden, &pipeline, [&taps[0], &taps[1]], &latents);
        }
    }
}

#[test]
fn a_class_is_no_prompt() {
    let golden = Golden::parse(PIXART).unwrap();
    let folder = Folder::new("PixArtSigmaPipeline", &golden, &PIXART_TOKENS);
    let pipeline = folder.open(pixart::open, SIZE).unwrap();
    let refused = pipeline
        .conditioner
        .encode(&Task::Class("tench".into()), 1.0);
    let error = refused.expect_err("a refusal").to_string();
    assert!(error.contains("a prompt, not a class"), "{error}");
}

/// Every change of one setting is refused by its name.
fn refuses(golden: &str, open: Open, tokens: &[(&str, &str)], changes: &[(&str, &str, Value)]) {
    let golden = Golden::parse(golden).unwrap();
    let folder = Folder::new("Refused", &golden, tokens);
    for size in [[96, 72], [0, 64], [64, 16384]] {
        let error = folder.refusal(open, size);
        assert!(error.contains("multiples of 16"), "{error}");
    }
    for (part, field, value) in changes {
        let mut config = golden.config[part].clone();
        config[field] = value.clone();
        folder.configure(part, &config);
        let error = folder.refusal(open, SIZE);
        assert!(error.contains(field), "{field}: {error}");
        folder.configure(part, &golden.config[part]);
    }
}

#[test]
fn flux_settings_that_are_not_run_are_named() {
    let changes = [
        ("transformer", "patch_size", json!(2)),
        ("transformer", "in_channels", json!(12)),
        ("transformer", "axes_dims_rope", json!([2, 6, 6])),
        ("transformer", "pooled_projection_dim", json!(24)),
        ("transformer", "joint_attention_dim", json!(20)),
        ("scheduler", "shift_terminal", json!(0.02)),
    ];
    refuses(DEV, flux::open, &FLUX_TOKENS, &changes);
}

#[test]
fn pixart_settings_that_are_not_run_are_named() {
    let changes = [
        ("transformer", "activation_fn", json!("geglu")),
        ("transformer", "attention_bias", json!(false)),
        ("transformer", "out_channels", json!(12)),
        ("transformer", "patch_size", json!(3)),
        ("transformer", "caption_channels", json!(24)),
        ("transformer", "norm_eps", json!(0.0)),
        ("scheduler", "beta_schedule", json!("sigmoid")),
    ];
    refuses(PIXART, pixart::open, &PIXART_TOKENS, &changes);
}
