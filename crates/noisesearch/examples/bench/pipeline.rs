//! A whole search with a network of Stable Diffusion 1.5's size, by the engine.

use crate::images::{autoencoder, sd15};
use crate::transformers::words;
use crate::{Fallible, Work, count};
use candle_core::{Device, Result, Tensor};
use noisesearch::observe::Control;
use noisesearch::registry::{
    Defaults, Judges, Model, ModelEntry, OpenError, Registry, TaskKind, VerifierEntry,
};
use noisesearch::spec::{Checked, Spec};
use noisesearch_core::budget::Budget;
use noisesearch_models::denoiser::{Conditioner, Conditioning, Decoder, LatentShape, TaskError};
use noisesearch_models::guidance::Guided;
use noisesearch_models::layers::Place;
use noisesearch_models::models::unet::UNet;
use noisesearch_models::models::vae::Vae;
use noisesearch_models::path::{Betas, NoisePath};
use noisesearch_models::prediction::{Prediction, PredictionError};
use noisesearch_models::schedule::Schedule;
use noisesearch_models::solver::Solver;
use noisesearch_models::task::Task;
use noisesearch_verifiers::verifier::{Samples, Verifier, VerifierId};
use serde_json::Value;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// Answers every prompt with the same encodings.
struct Words(Conditioning);

impl Conditioner for Words {
    fn encode(&self, _: &Task, guidance: f32) -> std::result::Result<Conditioning, TaskError> {
        Ok(Conditioning {
            guidance,
            ..self.0.clone()
        })
    }
}

/// Scores a picture by its mean value, which costs nothing.
struct Brightness(VerifierId);

impl Verifier for Brightness {
    fn id(&self) -> &VerifierId {
        &self.0
    }

    fn score(&self, _: &Task, samples: &Samples) -> Result<Vec<f64>> {
        let means = samples.images.flatten_from(1)?.mean(1)?.to_vec1::<f32>()?;
        Ok(means.into_iter().map(f64::from).collect())
    }
}

/// A decoder that several runs use.
struct Shared(Arc<Vae>);

impl Decoder for Shared {
    fn decode(&self, latents: &Tensor) -> Result<Tensor> {
        self.0.decode(latents)
    }
}

/// The parts of Stable Diffusion 1.5, loaded once.
struct Parts {
    unet: Arc<UNet>,
    vae: Arc<Vae>,
    encoding: Conditioning,
    shape: LatentShape,
    path: NoisePath,
}

impl Parts {
    /// For images of `side` x `side` pixels.
    fn load(place: &Place, side: usize) -> Fallible<Self> {
        let (unet, config) = sd15(place)?;
        Ok(Self {
            unet: Arc::new(unet),
            vae: Arc::new(autoencoder(place)?),
            encoding: Conditioning {
                cond: words("words", config.cross_attention_dim)?,
                uncond: words("none", config.cross_attention_dim)?,
                guidance: 1.0,
            },
            shape: LatentShape {
                channels: config.in_channels,
                height: side / 8,
                width: side / 8,
            },
            path: NoisePath::vp(Betas::STABLE_DIFFUSION)?,
        })
    }

    /// What a run takes.
    fn model(&self) -> std::result::Result<Model, PredictionError> {
        let (unet, path) = (self.unet.clone(), self.path.clone());
        let guided = Guided::new(unet, Prediction::Noise, path.clone(), self.shape)?;
        Ok(Model {
            conditioner: Box::new(Words(self.encoding.clone())),
            denoiser: Box::new(guided),
            decoder: Box::new(Shared(self.vae.clone())),
            path,
            schedule: Schedule::EVEN,
            weights: String::new(),
        })
    }
}

/// Defaults of a best of `count` of `steps` steps.
fn defaults(count: usize, steps: u16) -> Defaults {
    Defaults {
        steps,
        search_steps: steps,
        guidance: 7.5,
        solver: Solver::Ddim,
        budget: Budget::Evals(count as u64),
        batch: 1,
        count: 1,
        verifiers: vec!["brightness"],
        watch: vec![],
    }
}

/// One model, of these parts, and one verifier.
fn registry(parts: Parts, defaults: Defaults) -> Registry {
    let open = move |_: &Place| {
        parts.model().map_err(|error| OpenError {
            name: "the model".into(),
            reason: error.to_string(),
        })
    };
    let verifier = || {
        Brightness(VerifierId {
            name: "brightness".into(),
            weights: String::new(),
            version: 1,
        })
    };
    Registry {
        models: vec![ModelEntry {
            name: "generated".into(),
            about: "Stable Diffusion 1.5 with generated weights".into(),
            family: "generated",
            colour: true,
            task: TaskKind::Prompt,
            gflop: None,
            defaults,
            open: Arc::new(open),
        }],
        verifiers: vec![VerifierEntry {
            name: "brightness".into(),
            about: "the mean value of the picture".into(),
            judges: Judges::Family("generated"),
            open: Arc::new(move || Ok(Box::new(verifier()))),
        }],
        hub: None,
        folder: None,
    }
}

/// A best of `count` with `steps` guided steps each, for images of `side` x `side` pixels; its
/// result is the seconds that the run reports.
pub fn best_of(place: &Place, how: &Value) -> Fallible<Work> {
    let (candidates, steps) = (count(how, "count")?, count(how, "steps")?);
    let parts = Parts::load(place, count(how, "side")?)?;
    let registry = registry(parts, defaults(candidates, u16::try_from(steps)?));
    let spec = Spec {
        prompt: Some("a house at a lake".into()),
        ..Spec::default()
    };
    let spec: Checked = spec.check(&registry)?;
    Ok(Box::new(move || {
        let control = Control {
            observer: &mut (),
            cancel: &AtomicBool::new(false),
        };
        let summary = noisesearch::run(&registry, &spec, &std::env::temp_dir(), control)?;
        std::fs::remove_dir_all(summary.run)?;
        Ok(Tensor::new(summary.seconds, &Device::Cpu)?)
    }))
}
