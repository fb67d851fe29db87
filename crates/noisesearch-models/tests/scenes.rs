//! The scenes network against the golden values of its PyTorch twin, and row independence.

use candle_core::{Device, Tensor};
use noisesearch_core::level::Level;
use noisesearch_models::denoiser::{Conditioner, Conditioning, Encoded, Network};
use noisesearch_models::layers::{Place, Products, SumOrder};
use noisesearch_models::models::scenes::Scenes;
use noisesearch_models::task::Task;
use noisesearch_models::weights::Weights;
use serde::Deserialize;
use std::ops::Range;

const WEIGHTS: &[u8] = include_bytes!("../../../lab/weights/scenes.safetensors");
const GOLDEN: &str = include_str!("../../../parity/goldens/scenes.json");
/// Of the root mean square; the largest seen is 3e-6. Seen to fail with a GELU in its
/// error-function form (2e-5) and with a group norm's eps of 1e-4 for 1e-5 (1e-4).
const TOLERANCE: f64 = 8e-6;

#[derive(Deserialize)]
struct Golden {
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    prompt: String,
    level: f32,
    norm: f64,
    every_1000th: Vec<f64>,
}

fn scenes() -> Scenes {
    Scenes::load(Weights::from_bytes(WEIGHTS).unwrap(), &Place::cpu()).unwrap()
}

fn encode(scenes: &Scenes, prompt: &str) -> Conditioning {
    scenes.encode(&Task::Prompt(prompt.into()), 2.0).unwrap()
}

fn wave(rows: usize) -> Tensor {
    let values: Vec<f32> = (0..rows * 3 * 64 * 64)
        .map(|i| (0.37 * i as f64).sin() as f32)
        .collect();
    Tensor::from_vec(values, (rows, 3, 64, 64), &Device::Cpu).unwrap()
}

fn predict(scenes: &Scenes, x: &Tensor, level: f32, rows: &[&Encoded]) -> Vec<f32> {
    let v = scenes.predict(x, Level::new(level).unwrap(), rows).unwrap();
    v.flatten_all().unwrap().to_vec1().unwrap()
}

#[test]
fn golden_velocities_agree() {
    let golden: Golden = serde_json::from_str(GOLDEN).unwrap();
    let scenes = scenes();
    assert_eq!(golden.cases.len(), 9);
    for case in golden.cases {
        let encoding = match case.prompt.as_str() {
            "" => encode(&scenes, "a ring").uncond,
            prompt => encode(&scenes, prompt).cond,
        };
        let v = predict(&scenes, &wave(1), case.level, &[&encoding]);
        let norm = v.iter().map(|&v| f64::from(v).powi(2)).sum::<f64>().sqrt();
        let scale = case.norm / (v.len() as f64).sqrt();
        let worst = case.every_1000th.iter().zip(v.iter().step_by(1000));
        let worst = worst
            .map(|(want, &got)| (want - f64::from(got)).abs())
            .fold(0.0, f64::max);
        let (prompt, level) = (&case.prompt, case.level);
        assert!(
            (norm / case.norm - 1.0).abs() < TOLERANCE,
            "{prompt:?} at {level}: {norm}"
        );
        assert!(
            worst / scale < TOLERANCE,
            "{prompt:?} at {level}: {:e}",
            worst / scale
        );
    }
}

#[test]
fn a_row_does_not_depend_on_its_neighbours() {
    let scenes = scenes();
    let one = encode(&scenes, "two red circles and a blue square");
    let x = wave(3);
    let together = predict(&scenes, &x, 0.6, &[&one.cond, &one.cond, &one.uncond]);
    for (i, encoding) in [&one.cond, &one.cond, &one.uncond].into_iter().enumerate() {
        let alone = predict(&scenes, &x.narrow(0, i, 1).unwrap(), 0.6, &[encoding]);
        assert_eq!(
            alone[..],
            together[i * alone.len()..][..alone.len()],
            "row {i}"
        );
    }
}

#[test]
fn a_class_and_an_unknown_word_are_refused() {
    let scenes = scenes();
    assert!(scenes.encode(&Task::Class("A".into()), 1.0).is_err());
    let error = scenes
        .encode(&Task::Prompt("a red hexagon".into()), 1.0)
        .unwrap_err();
    assert!(error.message.contains("hexagon"), "{error}");
}

/// Of the root mean square; measured is 3.2e-3. Seen to fail with numbers that are cut off instead
/// of rounded (3.9e-3).
const BF16_TOLERANCE: f64 = 3.6e-3;

/// The same in int8; measured is 3.2e-2, and 5.6e-2 with numbers rounded down.
const INT8_TOLERANCE: f64 = 3.6e-2;

#[test]
fn velocities_in_bf16_are_near_and_depend_on_no_neighbour() {
    for order in SumOrder::ALL {
        hold_to_f32(&Place::cpu_in_bf16(order), 1e-4..BF16_TOLERANCE);
    }
}

#[test]
fn velocities_in_int8_are_near_and_depend_on_no_neighbour() {
    hold_to_f32(&Place::cpu_with(Products::Int8), 1e-2..INT8_TOLERANCE);
}

/// That velocities there are off by as much as `within` says.
fn hold_to_f32(place: &Place, within: Range<f64>) {
    let whole = scenes();
    let scenes = Scenes::load(Weights::from_bytes(WEIGHTS).unwrap(), place).unwrap();
    let prompt = "a red circle left of a blue square";
    let (ours, theirs) = (encode(&scenes, prompt), encode(&whole, prompt));
    let x = wave(3);
    let got = predict(&scenes, &x, 0.5, &[&ours.cond, &ours.uncond, &ours.cond]);
    let want = predict(
        &whole,
        &x,
        0.5,
        &[&theirs.cond, &theirs.uncond, &theirs.cond],
    );
    let norm = |values: &mut dyn Iterator<Item = f64>| values.map(|v| v * v).sum::<f64>().sqrt();
    let apart = norm(&mut got.iter().zip(&want).map(|(g, w)| f64::from(g - w)));
    let error = apart / norm(&mut want.iter().map(|&w| f64::from(w)));
    println!("{}: {error:.2e}", place.products.name());
    assert!(within.contains(&error), "{error}");
    let one = predict(&scenes, &x.narrow(0, 1, 1).unwrap(), 0.5, &[&ours.uncond]);
    assert_eq!(one, got[one.len()..2 * one.len()]);
}
