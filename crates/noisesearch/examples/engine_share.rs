//! Of a real best-of-n search on the lab's scenes model: the share of its time that is not spent
//! in the denoiser, the decoder and the verifiers. `engine_share [CANDIDATES]` prints seconds of
//! the whole search, of the parts, and the share of the rest.

use candle_core::{Result, Tensor};
use noisesearch::observe::Control;
use noisesearch::registry::{Model, Registry};
use noisesearch::spec::Spec;
use noisesearch_core::budget::Budget;
use noisesearch_core::level::Level;
use noisesearch_models::denoiser::{Conditioning, Decoder, Denoiser, LatentShape};
use noisesearch_models::task::Task;
use noisesearch_verifiers::verifier::{Samples, Verifier, VerifierId};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

/// Nanoseconds in the parts.
type Clock = Arc<AtomicU64>;

fn timed<R>(clock: &Clock, work: impl FnOnce() -> R) -> R {
    let start = Instant::now();
    let result = work();
    let nanoseconds = start.elapsed().as_nanos() as u64;
    clock.fetch_add(nanoseconds, Ordering::Relaxed);
    result
}

struct Timed<T: ?Sized>(Clock, Box<T>);

impl Denoiser for Timed<dyn Denoiser> {
    fn shape(&self) -> LatentShape {
        self.1.shape()
    }
    fn denoise(&self, x: &Tensor, at: Level, cond: &Conditioning) -> Result<Tensor> {
        timed(&self.0, || self.1.denoise(x, at, cond))
    }
    fn passes_per_row(&self, cond: &Conditioning) -> u64 {
        self.1.passes_per_row(cond)
    }
}

impl Decoder for Timed<dyn Decoder> {
    fn decode(&self, latents: &Tensor) -> Result<Tensor> {
        timed(&self.0, || self.1.decode(latents))
    }
}

impl Verifier for Timed<dyn Verifier> {
    fn id(&self) -> &VerifierId {
        self.1.id()
    }
    fn score(&self, task: &Task, samples: &Samples) -> Result<Vec<f64>> {
        timed(&self.0, || self.1.score(task, samples))
    }
    fn passes(&self, score: f64) -> Option<bool> {
        self.1.passes(score)
    }
}

/// The built-in registry with a clock around every part.
fn registry(clock: &Clock) -> Registry {
    let mut registry = Registry::builtin();
    for entry in &mut registry.models {
        let (clock, open) = (clock.clone(), entry.open.clone());
        entry.open = Arc::new(move || {
            let model = open()?;
            Ok(Model {
                denoiser: Box::new(Timed(clock.clone(), model.denoiser)),
                decoder: Box::new(Timed(clock.clone(), model.decoder)),
                ..model
            })
        });
    }
    for entry in &mut registry.verifiers {
        let (clock, open) = (clock.clone(), entry.open.clone());
        entry.open = Arc::new(move || Ok(Box::new(Timed(clock.clone(), open()?))));
    }
    registry
}

fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
    let candidates = match std::env::args().nth(1) {
        Some(text) => text.parse()?,
        None => 64,
    };
    let clock = Clock::default();
    let registry = registry(&clock);
    let spec = Spec {
        prompt: Some("two red circles and a blue square".into()),
        budget: Some(Budget::Evals(candidates)),
        ..Spec::default()
    };
    let spec = spec.check(&registry)?;
    let cancel = AtomicBool::new(false);
    let control = Control {
        observer: &mut (),
        cancel: &cancel,
    };
    let summary = noisesearch::run(&registry, &spec, &std::env::temp_dir(), control)?;
    let (whole, parts) = (summary.seconds, clock.load(Ordering::Relaxed) as f64 * 1e-9);
    let share = 100.0 * (whole - parts) / whole;
    println!("{whole:.3} s, {parts:.3} s in the parts, {share:.2} % besides");
    std::fs::remove_dir_all(summary.run)?;
    Ok(())
}
