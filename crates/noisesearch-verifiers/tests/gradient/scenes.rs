//! Gradients of the scenes model and of its learned verifiers.

use crate::common::{Climb, ascended, dot, error, file, flat, golden, rise, shifted};
use candle_core::{Device, Tensor};
use noisesearch_core::level::Level;
use noisesearch_models::denoiser::{Conditioner, Encoded, Network};
use noisesearch_models::gradient::NetworkGradient;
use noisesearch_models::lab;
use noisesearch_models::layers::{Place, Products, SumOrder};
use noisesearch_models::models::scenes::Scenes;
use noisesearch_models::task::Task;
use noisesearch_models::weights::Weights;
use noisesearch_verifiers::scenes::clip::Clip;
use noisesearch_verifiers::scenes::grader::Grader;
use noisesearch_verifiers::scenes::looks::Looks;
use noisesearch_verifiers::scenes::see::SIDE;
use noisesearch_verifiers::verifier::{Samples, Verifier};
use serde_json::Value;

/// What `lab/scenes/golden_gradient.py` wrote.
const GOLDEN: &str = "scenes-gradient.json";
const PROMPT: &str = "two red circles and a blue square";

fn wave(row: f64) -> Vec<f32> {
    let wave = |i| (0.37 * f64::from(i) + row).sin() as f32;
    (0..3 * SIDE as u32 * SIDE as u32).map(wave).collect()
}

/// A wave in `[0, 1]`.
fn picture(row: f64) -> Vec<f32> {
    let pixel = |i| (0.5 + 0.5 * (0.37 * f64::from(i) + row).sin()) as f32;
    (0..3 * SIDE as u32 * SIDE as u32).map(pixel).collect()
}

fn tensor(values: Vec<f32>) -> Tensor {
    Tensor::from_vec(values, (1, 3, SIDE, SIDE), &Device::Cpu).unwrap()
}

fn scenes(place: &Place) -> Scenes {
    let weights = file("lab/weights/scenes.safetensors");
    Scenes::load(Weights::open(&weights).unwrap(), place).unwrap()
}

/// The empty prompt's is the one of no task.
fn encode(scenes: &Scenes, prompt: &str) -> Encoded {
    let encode = |prompt: &str| scenes.encode(&Task::Prompt(prompt.into()), 1.0).unwrap();
    match prompt {
        "" => encode(PROMPT).uncond,
        prompt => encode(prompt).cond,
    }
}

fn verifiers() -> [Box<dyn Verifier>; 2] {
    let (clip, looks) = (Clip::new().unwrap(), Looks::new().unwrap());
    [Box::new(clip), Box::new(looks)]
}

fn task(case: &Value) -> Task {
    Task::Prompt(case["prompt"].as_str().unwrap().into())
}

/// Errors here are up to 7e-6, those of rounding.
#[test]
fn the_networks_gradient_is_pytorchs() {
    let (golden, scenes) = (golden(GOLDEN), scenes(&Place::cpu()));
    let cases = golden["network"].as_array().unwrap();
    assert_eq!(cases.len(), 8);
    for case in cases {
        let row = case["row"].as_f64().unwrap();
        let encoded = encode(&scenes, case["prompt"].as_str().unwrap());
        let level = Level::new(case["level"].as_f64().unwrap() as f32).unwrap();
        let (x, d) = (tensor(wave(row)), tensor(wave(row + 0.5)));
        let back = scenes.vjp(&x, level, &encoded, &d).unwrap();
        let error = error(&flat(&back), case);
        assert!(error < 2e-5, "row {row}: {error:.1e}");
    }
}

/// Errors here are up to 8e-6.
#[test]
fn the_verifiers_gradients_are_pytorchs() {
    let golden = golden(GOLDEN);
    for verifier in verifiers() {
        let name = &verifier.id().name;
        for case in golden[name].as_array().unwrap() {
            let row = case["row"].as_f64().unwrap();
            let gradient = verifier.gradient().unwrap();
            let back = gradient.slope(&task(case), &tensor(picture(row))).unwrap();
            let error = error(&flat(&back), case);
            assert!(error < 2e-5, "{name}, row {row}: {error:.1e}");
        }
    }
}

/// The whole move: solver, guidance, network, decoder, verifier, and the step on the shell.
/// Rounding turns errors of 1e-6 into another level of a few of the 12288 numbers of a picture, so
/// PyTorch in f32 is up to 6e-4 off itself in f64.
#[test]
fn an_ascent_is_what_pytorch_makes_it() {
    let golden = golden(GOLDEN);
    let steps = golden["steps"].as_u64().unwrap();
    for verifier in verifiers() {
        let name = &verifier.id().name;
        for case in golden[format!("{name} ascents")].as_array().unwrap() {
            let climb = Climb {
                model: lab::scenes(&Place::cpu()).unwrap(),
                verifier: verifier.as_ref(),
                task: &task(case),
                golden: &golden,
            };
            let row = case["row"].as_f64().unwrap();
            let moved = ascended(&climb, &wave(row), "euler", steps);
            let error = error(&moved, case);
            assert!(error < 1e-3, "{name}, row {row}: {error:.1e}");
        }
    }
}

/// Central differences along a few directions, in f32 forwards: errors are those of rounding.
#[test]
fn gradients_are_what_differences_say() {
    let scenes = scenes(&Place::cpu());
    let prompt = encode(&scenes, PROMPT);
    let level = Level::new(0.6).unwrap();
    let (x, d) = (wave(3.0), wave(8.0));
    let (at, to) = (tensor(x.clone()), tensor(d.clone()));
    let back = flat(&scenes.vjp(&at, level, &prompt, &to).unwrap());
    agree("network", &back, &|along, step| {
        let x = tensor(shifted(&x, along, step));
        dot(&flat(&scenes.predict(&x, level, &[&prompt]).unwrap()), &d)
    });
    let task = Task::Prompt(PROMPT.into());
    for verifier in verifiers() {
        let x = picture(1.0);
        let gradient = verifier.gradient().unwrap();
        let back = flat(&gradient.slope(&task, &tensor(x.clone())).unwrap());
        agree(&verifier.id().name, &back, &|along, step| {
            // A wave is as large as a picture.
            let images = &tensor(shifted(&x, along, step / 4.0));
            let early = None;
            let scores = verifier.score(&task, &Samples { images, early });
            4.0 * scores.unwrap()[0]
        });
    }
}

/// Holds a gradient to differences of what `measure(direction, step)` gives.
fn agree(what: &str, back: &[f32], measure: &dyn Fn(&[f32], f32) -> f64) {
    for seed in 0..4 {
        let along = wave(40.0 + 1.7 * f64::from(seed) * f64::from(seed));
        let measured = rise(&|step| measure(&along, step));
        let said = dot(back, &along);
        let size = (dot(back, back) * dot(&along, &along)).sqrt();
        let error = (measured - said).abs() / size;
        assert!(error < 3e-5, "{what}: {said} and {measured}: {error:.1e}");
    }
}

/// In another number format the gradient is that of its weights, near the one in f32.
#[test]
fn gradients_in_other_formats_are_near() {
    let level = Level::new(0.6).unwrap();
    let (x, d) = (tensor(wave(3.0)), tensor(wave(8.0)));
    let back = |place: &Place| {
        let scenes = scenes(place);
        let prompt = encode(&scenes, PROMPT);
        flat(&scenes.vjp(&x, level, &prompt, &d).unwrap())
    };
    let whole = back(&Place::cpu());
    for (place, least, most) in [
        (Place::cpu_in_bf16(SumOrder::Tile), 1e-4, 1e-2),
        (Place::cpu_with(Products::Int8), 1e-3, 1e-1),
    ] {
        let apart = shifted(&back(&place), &whole, -1.0);
        let error = (dot(&apart, &apart) / dot(&whole, &whole)).sqrt();
        assert!((least..most).contains(&error), "{error:.1e}");
    }
}

/// What has no gradient says so, and what cannot be gone back through is refused.
#[test]
fn gradients_are_where_they_should_be() {
    assert!(Grader::default().gradient().is_none());
    let two = Tensor::zeros((2, 3, SIDE, SIDE), candle_core::DType::F32, &Device::Cpu).unwrap();
    for verifier in verifiers() {
        let gradient = verifier.gradient().unwrap();
        let prompt = Task::Prompt(PROMPT.into());
        assert!(gradient.slope(&prompt, &two).is_err());
    }
    let scenes = scenes(&Place::cpu());
    let (row, level) = (encode(&scenes, ""), Level::new(0.5).unwrap());
    let error = scenes.vjp(&two, level, &row, &two).unwrap_err().to_string();
    assert!(error.contains("[1, 3, 64, 64]"), "{error}");
}
