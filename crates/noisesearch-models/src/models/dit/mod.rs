//! DiT and SiT from disk: class-conditional transformers on latents of ImageNet (Peebles and Xie,
//! arXiv 2212.09748; Ma et al., arXiv 2401.08740). The network is [`super::sit`]. A folder holds
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

pub mod imagenet;

use super::sit::{Sit, SitConfig};
use super::{TRANSFORMER, unsupported, vae::Vae};
use crate::checkpoint::Checkpoint;
use crate::denoiser::{Conditioner, Conditioning, LatentShape, TaskError};
use crate::guidance::Guided;
use crate::pipeline::{OpenError, Options, Pipeline};
use crate::schedule::Schedule;
use crate::task::Task;
use serde_json::Value;
use std::sync::Arc;

/// Opens a SiT or DiT. Width and height are those of its training: 8 times `input_size`.
pub fn open(checkpoint: &Arc<Checkpoint>, options: &Options) -> Result<Pipeline, OpenError> {
    let config = config(checkpoint)?;
    let vae = Vae::open(checkpoint, &options.place)?;
    let shape = shape(&config, &vae, options)?;
    let mut weights = checkpoint.weights(TRANSFORMER)?;
    let take = |name: &str, shape: &[usize]| weights.take_vec(name, shape);
    let sit = Sit::load_at(config, &options.place, take)?;
    weights.finish()?;
    let (sit, path) = (Arc::new(sit), config.time.path()?);
    let denoiser = Guided::new(sit.clone(), config.time.prediction(), path.clone(), shape)?;
    Ok(Pipeline {
        conditioner: Box::new(Classes(sit)),
        denoiser: Box::new(denoiser),
        path,
        schedule: Schedule::EVEN,
        decoder: Box::new(vae),
        weights: checkpoint.hash(&[TRANSFORMER, "vae"])?,
    })
}

/// The checked configuration.
fn config(checkpoint: &Checkpoint) -> Result<SitConfig, OpenError> {
    let config: Value = checkpoint.config(TRANSFORMER)?;
    if let Some(class) = config
        .get("_class_name")
        .filter(|c| *c == "DiTTransformer2DModel")
    {
        let what = "_class_name of transformer/config.json".into();
        let want = "the authors' own file, converted by scripts/convert_sit.py";
        return Err(unsupported(what, class, want));
    }
    let config: SitConfig = checkpoint.config(TRANSFORMER)?;
    config.check()?;
    Ok(config)
}

/// The latents of the network, if they are those of the autoencoder and of the image.
fn shape(config: &SitConfig, vae: &Vae, options: &Options) -> Result<LatentShape, OpenError> {
    if !options.place.is_cpu() {
        let place = format!("{:?} in {:?}", options.place.device, options.place.dtype);
        return Err(unsupported(
            "the place of a SiT or DiT".into(),
            &place,
            "the CPU in f32",
        ));
    }
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

/// Turns a class of ImageNet into the network's; no class is the unconditional.
struct Classes(Arc<Sit>);

impl Conditioner for Classes {
    fn encode(&self, task: &Task, guidance: f32) -> Result<Conditioning, TaskError> {
        let refuse = |message: String| TaskError { message };
        let Task::Class(name) = task else {
            let takes = "this model takes a class of ImageNet, by number or name, not a prompt";
            return Err(refuse(takes.into()));
        };
        let class = imagenet::class(name).map_err(|e| refuse(e.to_string()))?;
        let encode = |class| self.0.encode(class).map_err(|e| refuse(e.to_string()));
        Ok(Conditioning {
            cond: encode(Some(class))?,
            uncond: encode(None)?,
            guidance,
        })
    }
}
