//! Of a real best-of-n search on the lab's scenes model: the share of its time in which neither
//! the denoiser, the decoder nor a verifier is at work. `engine_share [CANDIDATES]` prints seconds
//! of the whole search, of the parts (which overlap: a moment counts once), and the share of the
//! rest; opening the model and writing the report are in the rest.

use candle_core::{Result, Tensor};
use noisesearch::observe::Control;
use noisesearch::registry::{Model, Registry};
use noisesearch::spec::Spec;
use noisesearch_core::budget::Budget;
use noisesearch_core::level::Level;
use noisesearch_models::denoiser::{Conditioning, Decoder, Denoiser, LatentShape};
use noisesearch_models::task::Task;
use noisesearch_verifiers::verifier::{Samples, Verifier, VerifierId};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

/// Seconds in which a part is at work.
#[derive(Default)]
struct Parts {
    /// How many are at work now, and since when there is one.
    working: Option<(u32, Instant)>,
    seconds: f64,
}

type Clock = Arc<Mutex<Parts>>;

fn timed<R>(clock: &Clock, work: impl FnOnce() -> R) -> R {
    let parts = || clock.lock().unwrap_or_else(PoisonError::into_inner);
    let begin = |parts: &mut Parts| {
        let (others, since) = parts.working.unwrap_or_else(|| (0, Instant::now()));
        parts.working = Some((others + 1, since));
    };
    begin(&mut parts());
    let result = work();
    let end = |parts: &mut Parts| match parts.working.take() {
        Some((1, since)) => parts.seconds += since.elapsed().as_secs_f64(),
        other => parts.working = other.map(|(all, since)| (all - 1, since)),
    };
    end(&mut parts());
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
        entry.open = Arc::new(move |place| {
            let model = open(place)?;
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
    noisesearch_allocator::keep_freed_memory();
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
    let parts = clock.lock().unwrap_or_else(PoisonError::into_inner).seconds;
    let whole = summary.seconds;
    let share = 100.0 * (whole - parts) / whole;
    println!("{whole:.3} s, {parts:.3} s in the parts, {share:.2} % besides");
    std::fs::remove_dir_all(summary.run)?;
    Ok(())
}
