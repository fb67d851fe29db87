//! A whole model in a few lines: an analytic denoiser of 1x8x8 pictures and three verifiers.

use candle_core::{Result, Tensor};
use noisesearch::registry::{
    Defaults, Judges, Model, ModelEntry, Open, OpenModel, Registry, TaskKind, VerifierEntry,
};
use noisesearch_core::budget::Budget;
use noisesearch_core::level::Level;
use noisesearch_models::denoiser::{
    Conditioner, Conditioning, Decoder, Denoiser, Encoded, LatentShape, TaskError,
};
use noisesearch_models::gradient::{DecoderGradient, DenoiserGradient};
use noisesearch_models::layers::Products;
use noisesearch_models::path::NoisePath;
use noisesearch_models::schedule::Schedule;
use noisesearch_models::solver::Solver;
use noisesearch_models::task::Task;
use noisesearch_verifiers::verifier::{Samples, ScoreGradient, Verifier, VerifierId};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// What the fakes were asked, over all runs of one registry.
#[derive(Default)]
pub struct Counts {
    /// Rows denoised.
    pub rows: AtomicU64,
    /// Rows gone through backwards.
    pub back: AtomicU64,
    /// Images scored, per verifier.
    pub scored: AtomicU64,
    /// Tasks encoded.
    pub encoded: AtomicU64,
}

impl Counts {
    pub fn rows(&self) -> u64 {
        self.rows.load(Ordering::Relaxed)
    }

    pub fn back(&self) -> u64 {
        self.back.load(Ordering::Relaxed)
    }

    pub fn scored(&self) -> u64 {
        self.scored.load(Ordering::Relaxed)
    }
}

pub const SHAPE: LatentShape = LatentShape {
    channels: 1,
    height: 8,
    width: 8,
};

/// `x0 = tanh(2 x + 0.3 (level - 1/2) shifted x)`, row by row; a prompt with `nan` breaks rows
/// whose first value is above 1.5, at low levels.
struct Fake {
    counts: Arc<Counts>,
    /// In bf16 predictions are rounded, coarsely.
    rough: bool,
}

impl Conditioner for Fake {
    fn encode(&self, task: &Task, guidance: f32) -> std::result::Result<Conditioning, TaskError> {
        self.counts.encoded.fetch_add(1, Ordering::Relaxed);
        let (Task::Prompt(text) | Task::Class(text)) = task;
        if text.contains("xyzzy") {
            return Err(TaskError {
                message: "unknown word \"xyzzy\"; nearest: red".into(),
            });
        }
        let nan = if text.contains("nan") { 1.0f32 } else { 0.0 };
        let encoded = |value| Encoded {
            tensors: vec![Tensor::new(&[value], &candle_core::Device::Cpu).unwrap()],
        };
        Ok(Conditioning {
            cond: encoded(nan),
            uncond: encoded(0.0),
            guidance,
        })
    }
}

impl Denoiser for Fake {
    fn shape(&self) -> LatentShape {
        SHAPE
    }

    fn denoise(&self, x: &Tensor, at: Level, cond: &Conditioning) -> Result<Tensor> {
        let rows = x.dim(0)?;
        self.counts.rows.fetch_add(rows as u64, Ordering::Relaxed);
        let values: Vec<f32> = x.flatten_all()?.to_vec1()?;
        let breaks = cond.cond.tensors[0].to_vec1::<f32>()?[0] == 1.0;
        let mut out = Vec::with_capacity(values.len());
        for row in values.chunks(64) {
            let bad = breaks && at.get() < 0.5 && row[0] > 0.6;
            for i in 0..64 {
                let sum = 2.0 * row[i] + 0.3 * (at.get() - 0.5) * row[(i + 9) % 64];
                let mut value = libm::tanh(f64::from(sum)) as f32;
                if self.rough {
                    value = (value * 2.0).round() / 2.0;
                }
                out.push(if bad && i == 5 { f32::NAN } else { value });
            }
        }
        Tensor::from_vec(out, x.shape(), x.device())
    }

    fn passes_per_row(&self, cond: &Conditioning) -> u64 {
        if cond.guidance == 1.0 { 1 } else { 2 }
    }

    fn gradient(&self) -> Option<Box<dyn DenoiserGradient + '_>> {
        Some(Box::new(Back(self)))
    }
}

/// The fake backwards.
struct Back<'a>(&'a Fake);

impl DenoiserGradient for Back<'_> {
    fn vjp(&self, x: &Tensor, at: Level, _: &Conditioning, cotangent: &Tensor) -> Result<Tensor> {
        self.0.counts.back.fetch_add(1, Ordering::Relaxed);
        let (x, d): (Vec<f32>, Vec<f32>) = (
            x.flatten_all()?.to_vec1()?,
            cotangent.flatten_all()?.to_vec1()?,
        );
        let (mix, mut back) = (0.3 * (at.get() - 0.5), vec![0.0; 64]);
        for i in 0..64 {
            let y = libm::tanh(f64::from(2.0 * x[i] + mix * x[(i + 9) % 64])) as f32;
            let slope = d[i] * (1.0 - y * y);
            back[i] += 2.0 * slope;
            back[(i + 9) % 64] += mix * slope;
        }
        Tensor::from_vec(back, (1, 1, 8, 8), cotangent.device())
    }
}

impl DecoderGradient for Fake {
    fn vjp(&self, _: &Tensor, cotangent: &Tensor) -> Result<Tensor> {
        cotangent.affine(0.5, 0.0)
    }
}

impl Decoder for Fake {
    fn decode(&self, latents: &Tensor) -> Result<Tensor> {
        let values: Vec<f32> = latents.flatten_all()?.to_vec1()?;
        let level = |v: &f32| ((v * 0.5 + 0.5).clamp(0.0, 1.0) * 255.0).round() / 255.0;
        Tensor::from_vec(
            values.iter().map(level).collect(),
            latents.shape(),
            latents.device(),
        )
    }

    fn gradient(&self) -> Option<&dyn DecoderGradient> {
        Some(self)
    }
}

struct Judge {
    id: VerifierId,
    counts: Arc<Counts>,
    early: Option<Level>,
    rule: Rule,
}

impl Verifier for Judge {
    fn id(&self) -> &VerifierId {
        &self.id
    }

    fn early_level(&self) -> Option<Level> {
        self.early
    }

    fn score(&self, _task: &Task, samples: &Samples) -> Result<Vec<f64>> {
        let images: Vec<f32> = samples.images.flatten_all()?.to_vec1()?;
        let early: Option<Vec<f32>> = samples
            .early
            .map(|early| early.flatten_all()?.to_vec1())
            .transpose()?;
        self.counts
            .scored
            .fetch_add(images.len() as u64 / 64, Ordering::Relaxed);
        let row = |i: usize| {
            (self.rule)(
                &images[i * 64..][..64],
                early.as_ref().map(|e| &e[i * 64..][..64]),
            )
        };
        Ok((0..images.len() / 64).map(row).collect())
    }

    fn gradient(&self) -> Option<&dyn ScoreGradient> {
        (self.id.name == "bright").then_some(self)
    }
}

impl ScoreGradient for Judge {
    fn slope(&self, _: &Task, image: &Tensor) -> Result<Tensor> {
        Tensor::full(1.0 / 64.0f32, image.shape(), image.device())
    }
}

fn mean(values: &[f32]) -> f64 {
    values.iter().map(|&v| f64::from(v)).sum::<f64>() / values.len() as f64
}

/// Image and early prediction -> score.
type Rule = fn(&[f32], Option<&[f32]>) -> f64;

const JUDGES: [(&str, Option<f32>, Rule); 4] = [
    ("bright", None, |image, _| mean(image)),
    ("left", None, |image, _| {
        mean(&image[..32]) - mean(&image[32..])
    }),
    ("even", None, |image, _| {
        let middle = mean(image);
        1.0 - image
            .iter()
            .map(|&v| (f64::from(v) - middle).powi(2))
            .sum::<f64>()
            / 64.0
    }),
    ("self", Some(0.4), |image, early| match early {
        None => f64::NAN,
        Some(early) => image
            .iter()
            .zip(early)
            .map(|(&a, &b)| f64::from(a * b))
            .sum(),
    }),
];

/// Two fake models, `fake` with prompts and `letters` with classes.
pub fn registry() -> Registry {
    registry_counting(&Arc::default())
}

/// The same; what it is asked is counted.
pub fn registry_counting(counts: &Arc<Counts>) -> Registry {
    let open = |counts: &Arc<Counts>| -> OpenModel {
        let counts = counts.clone();
        Arc::new(move |place| {
            let rough = place.products != Products::F32;
            let fake = || Fake {
                counts: counts.clone(),
                rough,
            };
            Ok(Model {
                conditioner: Box::new(fake()),
                denoiser: Box::new(fake()),
                decoder: Box::new(fake()),
                path: NoisePath::Flow,
                schedule: Schedule::EVEN,
                weights: "0".repeat(64),
            })
        })
    };
    let model = |name, task| ModelEntry {
        name: String::from(name),
        about: "a fake".into(),
        family: "fake",
        colour: false,
        task,
        gflop: Some(0.5),
        defaults: Defaults {
            steps: 6,
            search_steps: 6,
            guidance: 2.0,
            solver: Solver::Euler,
            budget: Budget::Evals(20),
            batch: 4,
            count: 5,
            verifiers: vec!["bright"],
            watch: vec!["even"],
        },
        open: open(counts),
    };
    let judge = |(name, early, rule): (&'static str, Option<f32>, Rule)| {
        let counts = counts.clone();
        let open: Open<Box<dyn Verifier>> = Arc::new(move || {
            Ok(Box::new(Judge {
                id: VerifierId {
                    name: name.into(),
                    weights: String::new(),
                    version: 1,
                },
                counts: counts.clone(),
                early: early.map(|level| Level::new(level).unwrap()),
                rule,
            }))
        });
        VerifierEntry {
            name: name.into(),
            about: "a fake".into(),
            judges: Judges::Family("fake"),
            open,
        }
    };
    Registry {
        models: vec![
            model("fake", TaskKind::Prompt),
            model("letters", TaskKind::Class),
        ],
        verifiers: JUDGES.map(judge).into(),
        hub: None,
        folder: None,
    }
}
