//! Gradients of the glyphs models and of their classifier.

use crate::common::{Climb, ascended, dot, error, file, flat, golden, rise, shifted};
use candle_core::{Device, Tensor};
use noisesearch_core::level::Level;
use noisesearch_models::denoiser::{Decoder, Denoiser, Network};
use noisesearch_models::gradient::NetworkGradient;
use noisesearch_models::lab::{self, GlyphsSize};
use noisesearch_models::layers::Place;
use noisesearch_models::models::sit::{Sit, SitConfig};
use noisesearch_models::task::Task;
use noisesearch_models::weights::Weights;
use noisesearch_verifiers::glyphs::classifier::Classifier;
use noisesearch_verifiers::glyphs::judge::{Judge, SIDE};
use noisesearch_verifiers::verifier::{Samples, Verifier};
use std::sync::Arc;

/// What `lab/glyphs/golden_gradient.py` wrote.
const GOLDEN: &str = "glyphs-gradient.json";

fn wave(row: f64) -> Vec<f32> {
    let wave = |i| (0.37 * f64::from(i) + row).sin() as f32;
    (0..SIDE as u32 * SIDE as u32).map(wave).collect()
}

fn picture(name: &str) -> Vec<f32> {
    let middle = (SIDE as f64 - 1.0) / 2.0;
    let pixel = |i: usize| match name.strip_prefix("wave ") {
        Some(row) => 0.5 + 0.5 * (0.37 * i as f64 + row.parse::<f64>().unwrap()).sin(),
        None => {
            let (y, x) = ((i / SIDE) as f64 - middle, (i % SIDE) as f64 - middle);
            (2.0 - ((y * y + x * x).sqrt() - 9.0).abs()).clamp(0.0, 1.0)
        }
    };
    (0..SIDE * SIDE).map(|i| pixel(i) as f32).collect()
}

fn tensor(values: Vec<f32>) -> Tensor {
    Tensor::from_vec(values, (1, 1, SIDE, SIDE), &Device::Cpu).unwrap()
}

fn sit(size: &str) -> Sit {
    let config = match size {
        "base" => SitConfig::GLYPHS_BASE,
        _ => SitConfig::GLYPHS_SMALL,
    };
    let weights = file(&format!("lab/weights/glyphs-{size}.safetensors"));
    let mut weights = Weights::open(&weights).unwrap();
    Sit::load(config, |name, shape| weights.take_vec(name, shape)).unwrap()
}

/// Errors here are about 1e-5, those of rounding; a gradient 1e-4 too large was seen to fail.
#[test]
fn the_networks_gradients_are_pytorchs() {
    let golden = golden(GOLDEN);
    for size in ["base", "small"] {
        let sit = sit(size);
        let cases = golden[size]["network"].as_array().unwrap();
        assert_eq!(cases.len(), 6);
        for case in cases {
            let row = case["row"].as_f64().unwrap();
            let label = case["label"].as_u64().unwrap() as u32;
            let class = sit.encode((label < 36).then_some(label)).unwrap();
            let level = Level::new(case["level"].as_f64().unwrap() as f32).unwrap();
            let (x, d) = (tensor(wave(row)), tensor(wave(row + 0.5)));
            let back = sit.vjp(&x, level, &class, &d).unwrap();
            let error = error(&flat(&back), case);
            assert!(error < 3e-5, "{size}, row {row}: {error:.1e}");
        }
    }
}

/// Held to 1e-5; a gradient 1e-4 too large was seen to fail.
#[test]
fn the_classifiers_gradient_is_pytorchs() {
    let golden = golden(GOLDEN);
    let judge = Judge::classifier().unwrap();
    for case in golden["classifier"].as_array().unwrap() {
        let image = case["image"].as_str().unwrap();
        let class = golden["label"].as_u64().unwrap() as usize;
        let back = judge.slope(&tensor(picture(image)), class).unwrap();
        let error = error(&flat(&back), case);
        assert!(error < 1e-5, "{image}: {error:.1e}");
    }
}

/// The whole move: solver, guidance, network, decoder, classifier, and the step on the shell.
/// A noise 1e-4 too large was seen to fail.
#[test]
fn an_ascent_is_what_pytorch_makes_it() {
    let golden = golden(GOLDEN);
    let classifier = Classifier::new(Arc::new(Judge::classifier().unwrap()));
    let task = Task::Class("A".into());
    for (name, size) in [("base", GlyphsSize::Base), ("small", GlyphsSize::Small)] {
        let climb = Climb {
            model: lab::glyphs(size, &Place::cpu()).unwrap(),
            verifier: &classifier,
            task: &task,
            golden: &golden,
        };
        for case in golden[name]["ascents"].as_array().unwrap() {
            let row = case["row"].as_f64().unwrap();
            let solver = case["solver"].as_str().unwrap();
            let steps = case["steps"].as_u64().unwrap();
            let moved = ascended(&climb, &wave(row), solver, steps);
            let error = error(&moved, case);
            assert!(error < 1e-4, "{name}, row {row}: {error:.1e}");
        }
    }
}

/// Central differences along a few directions, in f32 forwards: errors are those of rounding.
#[test]
fn gradients_are_what_differences_say() {
    let sit = sit("base");
    let class = sit.encode(Some(20)).unwrap();
    let level = Level::new(0.6).unwrap();
    let (x, d) = (wave(3.0), wave(8.0));
    let back = flat(
        &sit.vjp(&tensor(x.clone()), level, &class, &tensor(d.clone()))
            .unwrap(),
    );
    for seed in 0..4 {
        let along = wave(40.0 + 1.7 * f64::from(seed) * f64::from(seed));
        let measured = rise(&|step| {
            let x = tensor(shifted(&x, &along, step));
            dot(&flat(&sit.predict(&x, level, &[&class]).unwrap()), &d)
        });
        let said = dot(&back, &along);
        let size = dot(&back, &back).sqrt() * dot(&along, &along).sqrt();
        let error = (measured - said).abs() / size;
        assert!(error < 3e-5, "network: {said} and {measured}: {error:.1e}");
    }
    let classifier = Classifier::new(Arc::new(Judge::classifier().unwrap()));
    let task = Task::Class("Q".into());
    let x = picture("wave 1");
    let gradient = classifier.gradient().unwrap();
    let back = flat(&gradient.slope(&task, &tensor(x.clone())).unwrap());
    // It is piecewise linear: a short step along its own gradient crosses few corners.
    let length = dot(&back, &back).sqrt();
    let measured = |step: f32| {
        let images = tensor(shifted(&x, &back, step));
        let samples = Samples {
            images: &images,
            early: None,
        };
        classifier.score(&task, &samples).unwrap()[0]
    };
    let rise = (measured(1e-3) - measured(-1e-3)) / 2e-3;
    let error = (rise / (length * length) - 1.0).abs();
    assert!(error < 2e-2, "classifier: {error:.1e}");
}

/// What has no gradient says so, and what only evaluates does not give one.
#[test]
fn gradients_are_where_they_should_be() {
    let oracle = noisesearch_verifiers::glyphs::oracle::Oracle::new(Judge::oracle().unwrap());
    assert!(oracle.gradient().is_none());
    let glyphs = lab::glyphs(GlyphsSize::Small, &Place::cpu()).unwrap();
    assert!(glyphs.denoiser.gradient().is_some());
    assert!(glyphs.decoder.gradient().is_some());
    let judge = Judge::classifier().unwrap();
    assert!(judge.slope(&tensor(wave(0.0)), 36).is_err());
}
