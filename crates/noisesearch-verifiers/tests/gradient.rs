//! Gradients of the glyphs models and of their classifier: golden values of PyTorch's autograd,
//! and central differences of our own forwards.

use candle_core::{Device, Result, Tensor};
use noisesearch_core::level::Level;
use noisesearch_core::recipe::{Recipe, VerifierName};
use noisesearch_models::decode::Pixels;
use noisesearch_models::denoiser::{Conditioner, Decoder, Denoiser, Network};
use noisesearch_models::gradient::{DecoderGradient, NetworkGradient, Slope};
use noisesearch_models::lab::{self, GlyphsSize};
use noisesearch_models::layers::Place;
use noisesearch_models::models::sit::{Sit, SitConfig};
use noisesearch_models::path::NoisePath;
use noisesearch_models::replay::{Row, Sampler, State};
use noisesearch_models::schedule::Schedule;
use noisesearch_models::task::Task;
use noisesearch_models::weights::Weights;
use noisesearch_verifiers::glyphs::classifier::Classifier;
use noisesearch_verifiers::glyphs::judge::{Judge, SIDE};
use noisesearch_verifiers::verifier::{Samples, Verifier};
use serde_json::Value;
use std::path::PathBuf;
use std::sync::Arc;

fn file(path: &str) -> PathBuf {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..");
    root.join(path)
}

/// What `lab/glyphs/golden_gradient.py` wrote.
fn golden() -> Value {
    let path = file("parity/goldens/glyphs-gradient.json");
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

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

fn flat(x: &Tensor) -> Vec<f32> {
    x.flatten_all().unwrap().to_vec1().unwrap()
}

fn dot(a: &[f32], b: &[f32]) -> f64 {
    let products = a.iter().zip(b);
    products.map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
}

/// The largest error of the picked values and of the norm, relative to the root mean square.
fn error(got: &[f32], case: &Value) -> f64 {
    let norm = case["norm"].as_f64().unwrap();
    let size = norm / (got.len() as f64).sqrt();
    let at: Vec<usize> = serde_json::from_value(case["at"].clone()).unwrap();
    let want: Vec<f64> = serde_json::from_value(case["values"].clone()).unwrap();
    let errors = at.iter().zip(&want);
    let errors = errors.map(|(at, want)| (f64::from(got[*at]) - want).abs() / size);
    let of_norm = (dot(got, got).sqrt() / norm - 1.0).abs();
    errors.fold(of_norm, f64::max)
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
    let golden = golden();
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
    let golden = golden();
    let judge = Judge::classifier().unwrap();
    for case in golden["classifier"].as_array().unwrap() {
        let image = case["image"].as_str().unwrap();
        let class = golden["label"].as_u64().unwrap() as usize;
        let back = judge.slope(&tensor(picture(image)), class).unwrap();
        let error = error(&flat(&back), case);
        assert!(error < 1e-5, "{image}: {error:.1e}");
    }
}

/// A picture's slope, through the decoder.
struct Logit {
    classifier: Classifier,
    task: Task,
}

impl Slope for Logit {
    fn slope(&self, _: VerifierName, x0: &Tensor) -> Result<Option<Tensor>> {
        let gradient = self.classifier.gradient().unwrap();
        let slope = gradient.slope(&self.task, &Pixels.decode(x0)?)?;
        Pixels.vjp(x0, &slope).map(Some)
    }
}

/// The whole move: solver, guidance, network, decoder, classifier, and the step on the shell.
/// A noise 1e-4 too large was seen to fail.
#[test]
fn an_ascent_is_what_pytorch_makes_it() {
    let golden = golden();
    let rate = golden["rate"].as_f64().unwrap() as f32;
    let guidance = golden["guidance"].as_f64().unwrap() as f32;
    let task = Task::Class("A".into());
    let slope = Logit {
        classifier: Classifier::new(Arc::new(Judge::classifier().unwrap())),
        task: task.clone(),
    };
    for (name, size) in [("base", GlyphsSize::Base), ("small", GlyphsSize::Small)] {
        let model = lab::glyphs(size, &Place::cpu()).unwrap();
        let conditioning = model.conditioner.encode(&task, guidance).unwrap();
        for case in golden[name]["ascents"].as_array().unwrap() {
            let sampler = Sampler {
                denoiser: &model.denoiser,
                conditioning: &conditioning,
                path: &NoisePath::Flow,
                solver: case["solver"].as_str().unwrap().parse().unwrap(),
                schedule: Schedule::EVEN,
                batch: 1,
                slope: Some(&slope),
            };
            let text = format!("root 1 | ascend classifier by {rate} in {}", case["steps"]);
            let recipe: Recipe = text.parse().unwrap();
            let row = case["row"].as_f64().unwrap();
            let x = wave(row).iter().map(|x| 2f32.sqrt() * x).collect();
            let state = State {
                x,
                level: Level::NOISE,
                evaluations: 0,
            };
            let mut rows = [Row::resume(recipe, 0, state).unwrap()];
            sampler.replay(&mut rows, &mut |_| ()).unwrap();
            let error = error(&rows[0].state().unwrap().x, case);
            assert!(error < 1e-4, "{name}, row {row}: {error:.1e}");
        }
    }
}

/// Central differences along a few directions, in f32 forwards: errors are those of rounding.
#[test]
fn gradients_are_what_differences_say() {
    const STEP: f32 = 1e-2;
    let shifted = |x: &[f32], along: &[f32], step: f32| {
        tensor(x.iter().zip(along).map(|(x, v)| x + step * v).collect())
    };
    // Fourth order.
    let slope = |f: &dyn Fn(f32) -> f64| {
        let one = |h: f32| (f(h) - f(-h)) / f64::from(2.0 * h);
        (4.0 * one(STEP) - one(2.0 * STEP)) / 3.0
    };
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
        let measured = slope(&|step| {
            let v = sit.predict(&shifted(&x, &along, step), level, &[&class]);
            dot(&flat(&v.unwrap()), &d)
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
        let images = shifted(&x, &back, step);
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
    assert!(
        lab::scenes(&Place::cpu())
            .unwrap()
            .denoiser
            .gradient()
            .is_none()
    );
    let glyphs = lab::glyphs(GlyphsSize::Small, &Place::cpu()).unwrap();
    assert!(glyphs.denoiser.gradient().is_some());
    assert!(glyphs.decoder.gradient().is_some());
    let judge = Judge::classifier().unwrap();
    assert!(judge.slope(&tensor(wave(0.0)), 36).is_err());
}
