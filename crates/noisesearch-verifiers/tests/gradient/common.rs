//! What the tests of gradients share.

use candle_core::{Result, Tensor};
use noisesearch_core::level::Level;
use noisesearch_core::recipe::{Recipe, VerifierName};
use noisesearch_models::decode::Pixels;
use noisesearch_models::denoiser::{Conditioner, Decoder};
use noisesearch_models::gradient::{DecoderGradient, Slope};
use noisesearch_models::lab::LabModel;
use noisesearch_models::path::NoisePath;
use noisesearch_models::replay::{Row, Sampler, State};
use noisesearch_models::schedule::Schedule;
use noisesearch_models::task::Task;
use noisesearch_verifiers::verifier::Verifier;
use serde_json::Value;
use std::path::PathBuf;

pub fn file(path: &str) -> PathBuf {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..");
    root.join(path)
}

pub fn golden(name: &str) -> Value {
    let path = file("parity/goldens").join(name);
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

pub fn flat(x: &Tensor) -> Vec<f32> {
    x.flatten_all().unwrap().to_vec1().unwrap()
}

pub fn dot(a: &[f32], b: &[f32]) -> f64 {
    let products = a.iter().zip(b);
    products.map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
}

/// `x + step * along`.
pub fn shifted(x: &[f32], along: &[f32], step: f32) -> Vec<f32> {
    x.iter().zip(along).map(|(x, v)| x + step * v).collect()
}

/// The derivative of `f` at 0: central differences of fourth order.
pub fn rise(f: &dyn Fn(f32) -> f64) -> f64 {
    const STEP: f32 = 1e-2;
    let one = |h: f32| (f(h) - f(-h)) / f64::from(2.0 * h);
    (4.0 * one(STEP) - one(2.0 * STEP)) / 3.0
}

/// The largest error of the picked values and of the norm, relative to the root mean square.
pub fn error(got: &[f32], case: &Value) -> f64 {
    let norm = case["norm"].as_f64().unwrap();
    let size = norm / (got.len() as f64).sqrt();
    let at: Vec<usize> = serde_json::from_value(case["at"].clone()).unwrap();
    let want: Vec<f64> = serde_json::from_value(case["values"].clone()).unwrap();
    let errors = at.iter().zip(&want);
    let errors = errors.map(|(at, want)| (f64::from(got[*at]) - want).abs() / size);
    let of_norm = (dot(got, got).sqrt() / norm - 1.0).abs();
    errors.fold(of_norm, f64::max)
}

/// What is climbed, as a golden file says.
pub struct Climb<'a> {
    pub model: LabModel,
    pub verifier: &'a dyn Verifier,
    pub task: &'a Task,
    /// Tells `rate` and `guidance`.
    pub golden: &'a Value,
}

/// A picture's slope, through the decoder.
impl Slope for Climb<'_> {
    fn slope(&self, _: VerifierName, x0: &Tensor) -> Result<Option<Tensor>> {
        let gradient = self.verifier.gradient().unwrap();
        let slope = gradient.slope(self.task, &Pixels.decode(x0)?)?;
        Pixels.vjp(x0, &slope).map(Some)
    }
}

/// Where one ascent takes the noise `sqrt(2) wave`.
pub fn ascended(climb: &Climb, wave: &[f32], solver: &str, steps: u64) -> Vec<f32> {
    let guidance = climb.golden["guidance"].as_f64().unwrap() as f32;
    let conditioner = &climb.model.conditioner;
    let sampler = Sampler {
        denoiser: &climb.model.denoiser,
        conditioning: &conditioner.encode(climb.task, guidance).unwrap(),
        path: &NoisePath::Flow,
        solver: solver.parse().unwrap(),
        schedule: Schedule::EVEN,
        batch: 1,
        slope: Some(climb),
    };
    let (name, rate) = (&climb.verifier.id().name, &climb.golden["rate"]);
    let text = format!("root 1 | ascend {name} by {rate} in {steps}");
    let recipe: Recipe = text.parse().unwrap();
    let state = State {
        x: wave.iter().map(|x| 2f32.sqrt() * x).collect(),
        level: Level::NOISE,
        evaluations: 0,
    };
    let mut rows = [Row::resume(recipe, 0, state).unwrap()];
    sampler.replay(&mut rows, &mut |_| ()).unwrap();
    rows[0].state().unwrap().x.clone()
}
