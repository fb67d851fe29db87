//! DiT and SiT from disk: class-conditional transformers on latents of ImageNet (Peebles and Xie,
//! arXiv 2212.09748; Ma et al., arXiv 2401.08740). The network is [`super::sit`]. A folder is one
//! of diffusers' `DiTPipeline`, or holds
//!
//! ```text
//! model_index.json               {"_class_name": "SiTPipeline"} or "DiTPipeline"
//! transformer/config.json        a SitConfig
//! transformer/model.safetensors  the tensors of the authors' file, under its names
//! vae/                           the autoencoder of Stable Diffusion, as diffusers has it
//! ```
//!
//! All channels are guided, which the authors call the standard approach; their scripts guide three
//! of four, to reproduce their first results exactly.

mod diffusers;
pub mod imagenet;
mod labels;

pub use labels::ClassError;

use super::scheduler::SchedulerConfig;
use super::sit::{DeviceSit, Sit, SitConfig, TimeAxis};
use super::{TRANSFORMER, unsupported, vae::Vae};
use crate::checkpoint::Checkpoint;
use crate::denoiser::{Conditioner, Conditioning, LatentShape, Network, TaskError};
use crate::guidance::Guided;
use crate::path::NoisePath;
use crate::pipeline::{OpenError, Options, Pipeline};
use crate::prediction::Prediction;
use crate::schedule::Schedule;
use crate::task::Task;
use std::sync::Arc;

/// Opens a SiT or DiT. Width and height are those of its training: 8 times `input_size`.
pub fn open(checkpoint: &Arc<Checkpoint>, options: &Options) -> Result<Pipeline, OpenError> {
    let (config, foreign) = config(checkpoint)?;
    let (path, prediction) = noise(&config, checkpoint)?;
    let lines = labels::of(checkpoint, config.classes)?;
    let vae = Vae::open(checkpoint, &options.place)?;
    let shape = shape(&config, &vae, options)?;
    let mut weights = checkpoint.weights(TRANSFORMER)?;
    let take = |name: &str, shape: &[usize]| -> Result<_, OpenError> {
        Ok(match foreign {
            true => diffusers::take(&config, &mut weights, name, shape)?,
            false => weights.take_vec(name, shape)?,
        })
    };
    let network: Arc<dyn Network> = match options.place.is_cpu() {
        true => Arc::new(Sit::load_at(config, &options.place, take)?),
        false => Arc::new(DeviceSit::load(config, &options.place, take)?),
    };
    weights.finish()?;
    let denoiser = Guided::new(network, prediction, path.clone(), shape)?;
    Ok(Pipeline {
        conditioner: Box::new(Classes { config, lines }),
        denoiser: Box::new(denoiser),
        schedule: Schedule::even_on(&path),
        path,
        decoder: Box::new(vae),
        weights: checkpoint.hash(&[TRANSFORMER, "vae"])?,
    })
}

/// Multiply-adds of one pass; `None` where the configuration cannot be used.
pub fn multiply_adds(checkpoint: &Checkpoint) -> Option<u64> {
    let (config, _) = config(checkpoint).ok()?;
    Some(config.multiply_adds())
}

/// The checked configuration, and whether the checkpoint is in the layout of diffusers.
fn config(checkpoint: &Checkpoint) -> Result<(SitConfig, bool), OpenError> {
    let foreign = diffusers::is_config(&checkpoint.config(TRANSFORMER)?);
    let config = match foreign {
        true => diffusers::config(checkpoint)?,
        false => checkpoint.config(TRANSFORMER)?,
    };
    config.check()?;
    Ok((config, foreign))
}

/// The path on which it was trained, and what it predicts: a scheduler's, where there is one.
fn noise(
    config: &SitConfig,
    checkpoint: &Checkpoint,
) -> Result<(NoisePath, Prediction), OpenError> {
    match config.time {
        TimeAxis::ClosedIndex => {
            let scheduler = SchedulerConfig::open(checkpoint)?;
            Ok((scheduler.path()?, scheduler.prediction()?))
        }
        time => Ok((time.path()?, time.prediction())),
    }
}

/// The latents of the network, if they are those of the autoencoder and of the image.
fn shape(config: &SitConfig, vae: &Vae, options: &Options) -> Result<LatentShape, OpenError> {
    let shape = options.latent(config.channels, vae.factor())?;
    if [shape.height, shape.width] != [config.input_size; 2] {
        let side = config.input_size * vae.factor();
        let found = [options.width, options.height];
        return Err(unsupported(
            "the size".into(),
            &found,
            &format!("{side} by {side} pixels"),
        ));
    }
    if config.channels != vae.channels() {
        let want = format!("the {} channels of the vae", vae.channels());
        let what = "channels of transformer/config.json".into();
        return Err(unsupported(what, &config.channels, &want));
    }
    Ok(shape)
}

/// Turns a class into the network's; no class is the unconditional.
struct Classes {
    config: SitConfig,
    /// The model's own names, a class each; else they are ImageNet's.
    lines: Option<Vec<String>>,
}

impl Classes {
    fn index(&self, name: &str) -> Result<u32, ClassError> {
        match &self.lines {
            Some(lines) => {
                labels::find(name, &lines.iter().map(String::as_str).collect::<Vec<_>>())
            }
            None => imagenet::class(name),
        }
    }
}

impl Conditioner for Classes {
    fn encode(&self, task: &Task, guidance: f32) -> Result<Conditioning, TaskError> {
        let refuse = |message: String| TaskError { message };
        let Task::Class(name) = task else {
            let takes = "this model takes a class of ImageNet, by number or name, not a prompt";
            return Err(refuse(takes.into()));
        };
        let class = self.index(name).map_err(|e| refuse(e.to_string()))?;
        let encode = |class| self.config.encode(class).map_err(|e| refuse(e.to_string()));
        Ok(Conditioning {
            cond: encode(Some(class))?,
            uncond: encode(None)?,
            guidance,
        })
    }
}
