//! What a candidate costs besides denoiser, decoder and verifiers: a whole run, on disk, with a
//! world that answers at once. `cargo run --release --example overhead [CANDIDATES] [DIRECTORY]`
//! prints microseconds a candidate and the peak memory along the way. The journal is synced to
//! disk every 32 candidates, so the directory's disk shows; `/dev/shm` leaves it out.

use candle_core::{Result, Tensor};
use noisesearch::observe::{Control, Observer, Progress};
use noisesearch::registry::{
    Defaults, Judges, Model, ModelEntry, Registry, TaskKind, VerifierEntry,
};
use noisesearch::spec::Spec;
use noisesearch_core::budget::Budget;
use noisesearch_core::level::Level;
use noisesearch_models::denoiser::{
    Conditioner, Conditioning, Decoder, Denoiser, Encoded, LatentShape, TaskError,
};
use noisesearch_models::path::NoisePath;
use noisesearch_models::schedule::Schedule;
use noisesearch_models::solver::Solver;
use noisesearch_models::task::Task;
use noisesearch_verifiers::verifier::{Samples, Verifier, VerifierId};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

/// Answers at once.
struct Instantly(VerifierId);

impl Conditioner for Instantly {
    fn encode(&self, _: &Task, guidance: f32) -> std::result::Result<Conditioning, TaskError> {
        let nothing = || Encoded {
            tensors: Vec::new(),
        };
        Ok(Conditioning {
            cond: nothing(),
            uncond: nothing(),
            guidance,
        })
    }
}

impl Denoiser for Instantly {
    fn shape(&self) -> LatentShape {
        LatentShape {
            channels: 1,
            height: 4,
            width: 4,
        }
    }

    fn denoise(&self, x: &Tensor, _: Level, _: &Conditioning) -> Result<Tensor> {
        Ok(x.clone())
    }

    fn passes_per_row(&self, _: &Conditioning) -> u64 {
        1
    }
}

impl Decoder for Instantly {
    fn decode(&self, latents: &Tensor) -> Result<Tensor> {
        Ok(latents.clone())
    }
}

impl Verifier for Instantly {
    fn id(&self) -> &VerifierId {
        &self.0
    }

    fn score(&self, _: &Task, samples: &Samples) -> Result<Vec<f64>> {
        let values: Vec<f32> = samples.images.flatten_all()?.to_vec1()?;
        Ok(values.chunks(16).map(|row| f64::from(row[0])).collect())
    }
}

fn instantly() -> Instantly {
    Instantly(VerifierId {
        name: "first".into(),
        weights: String::new(),
        version: 1,
    })
}

fn registry() -> Registry {
    let defaults = Defaults {
        steps: 1,
        search_steps: 1,
        guidance: 1.0,
        solver: Solver::Euler,
        budget: Budget::Evals(64),
        batch: 256,
        count: 8,
        verifiers: vec!["first"],
        watch: vec![],
    };
    let model = || Model {
        conditioner: Box::new(instantly()),
        denoiser: Box::new(instantly()),
        decoder: Box::new(instantly()),
        path: NoisePath::Flow,
        schedule: Schedule::EVEN,
        weights: String::new(),
    };
    Registry {
        models: vec![ModelEntry {
            name: "instant".into(),
            about: "answers at once".into(),
            family: "instant",
            colour: false,
            task: TaskKind::Prompt,
            gflop: None,
            defaults,
            open: Arc::new(move |_| Ok(model())),
        }],
        verifiers: vec![VerifierEntry {
            name: "first".into(),
            about: "the first pixel".into(),
            judges: Judges::Family("instant"),
            open: Arc::new(|| Ok(Box::new(instantly()))),
        }],
        hub: None,
        folder: None,
    }
}

/// Prints the pace ten times along the way.
struct Pace {
    began: Instant,
    every: u64,
}

impl Observer for Pace {
    fn progress(&mut self, progress: &Progress) {
        if progress.candidates.is_multiple_of(self.every) {
            let each = self.began.elapsed().as_secs_f64() / progress.candidates as f64;
            println!(
                "{:>9} candidates  {:6.2} us each  peak memory {:.1} MB",
                progress.candidates,
                1e6 * each,
                peak_memory_mb()
            );
        }
    }
}

/// The most memory that this process ever had, as Linux counts it; 0 elsewhere.
fn peak_memory_mb() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kilobytes = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<f64>().ok());
    kilobytes.unwrap_or(0.0) / 1024.0
}

fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
    noisesearch_allocator::keep_freed_memory();
    let mut arguments = std::env::args().skip(1);
    let candidates: u64 = arguments
        .next()
        .map_or(Ok(1_000_000), |text| text.parse())?;
    let out = arguments
        .next()
        .map_or_else(std::env::temp_dir, PathBuf::from);
    let registry = registry();
    let spec = Spec {
        prompt: Some("overhead".into()),
        budget: Some(Budget::Evals(candidates)),
        ..Spec::default()
    };
    let spec = spec.check(&registry)?;
    let mut pace = Pace {
        began: Instant::now(),
        every: (candidates / 10).max(1),
    };
    let cancel = AtomicBool::new(false);
    let control = Control {
        observer: &mut pace,
        cancel: &cancel,
    };
    let summary = noisesearch::run(&registry, &spec, &out, control)?;
    println!(
        "whole run, report included: {:.2} s, peak memory {:.1} MB",
        pace.began.elapsed().as_secs_f64(),
        peak_memory_mb()
    );
    std::fs::remove_dir_all(summary.run)?;
    Ok(())
}
