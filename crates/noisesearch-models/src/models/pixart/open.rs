//! PixArt from a checkpoint.

use super::{PixArt, PixArtConfig};
use crate::checkpoint::Checkpoint;
use crate::denoiser::{Conditioner, Conditioning, LatentShape, TaskError};
use crate::guidance::Guided;
use crate::layers::Source;
use crate::models::prompts::{check_features, prompt, refuse};
use crate::models::scheduler::SchedulerConfig;
use crate::models::vae::Vae;
use crate::models::{TRANSFORMER, unsupported};
use crate::pipeline::{OpenError, Options, Pipeline};
use crate::schedule::Schedule;
use crate::task::Task;
use crate::text::{Padded, T5Component};
use std::sync::Arc;

/// Tokens of a prompt for PixArt-Sigma.
const SIGMA_TOKENS: usize = 300;
/// Tokens of a prompt for PixArt-Alpha.
const ALPHA_TOKENS: usize = 120;

/// Opens a `PixArtSigmaPipeline` or `PixArtAlphaPipeline`. Width and height are multiples of 8
/// times the patch: 16 in published models.
pub fn open(checkpoint: &Arc<Checkpoint>, options: &Options) -> Result<Pipeline, OpenError> {
    let config: PixArtConfig = checkpoint.config(TRANSFORMER)?;
    config.check()?;
    let scheduler = SchedulerConfig::open(checkpoint)?;
    let (path, prediction) = (scheduler.path()?, scheduler.prediction()?);
    let words = Words::open(checkpoint, options, &config)?;
    let vae = Vae::open(checkpoint, &options.place)?;
    let shape = shape(&config, &vae, options)?;
    let mut weights = checkpoint.weights(TRANSFORMER)?;
    let pixart = PixArt::load(Source::new(&mut weights, &options.place), &config)?;
    weights.finish()?;
    let denoiser = Guided::new(Arc::new(pixart), prediction, path.clone(), shape)?;
    Ok(Pipeline {
        conditioner: Box::new(words),
        denoiser: Box::new(denoiser),
        path,
        schedule: Schedule::TRAILING,
        decoder: Box::new(vae),
        weights: checkpoint.hash(&[TRANSFORMER, "vae", "text_encoder"])?,
    })
}

/// The latents of an image, if the network takes those of the autoencoder.
fn shape(config: &PixArtConfig, vae: &Vae, options: &Options) -> Result<LatentShape, OpenError> {
    if config.in_channels != vae.channels() {
        let want = format!("the {} channels of the vae", vae.channels());
        let what = "in_channels of transformer/config.json".into();
        return Err(unsupported(what, &config.in_channels, &want));
    }
    let patch = config.patch_size;
    let tokens = options.latent(config.in_channels, patch * vae.factor())?;
    Ok(LatentShape {
        height: patch * tokens.height,
        width: patch * tokens.width,
        ..tokens
    })
}

/// Encodes prompts with T5, in lower case as in training; the empty one is the unconditional.
struct Words {
    t5: T5Component,
    tokens: usize,
}

impl Words {
    fn open(
        checkpoint: &Arc<Checkpoint>,
        options: &Options,
        config: &PixArtConfig,
    ) -> Result<Self, OpenError> {
        let t5 = T5Component::open(checkpoint, "tokenizer", "text_encoder", &options.place)?;
        let (found, wanted) = (t5.config().d_model, config.caption_channels);
        check_features("text_encoder", found, "caption_channels", wanted)?;
        let tokens = match checkpoint.pipeline() {
            Some("PixArtAlphaPipeline") => ALPHA_TOKENS,
            _ => SIGMA_TOKENS,
        };
        Ok(Self { t5, tokens })
    }
}

impl Conditioner for Words {
    fn encode(&self, task: &Task, guidance: f32) -> Result<Conditioning, TaskError> {
        let prompt = prompt(task)?.to_lowercase();
        let texts = [prompt.trim(), ""];
        let encoded = self.t5.encode(texts, self.tokens, Padded::Dropped);
        let [cond, uncond] = encoded.map_err(refuse)?;
        Ok(Conditioning {
            cond: PixArt::encode(&cond).map_err(refuse)?,
            uncond: PixArt::encode(&uncond).map_err(refuse)?,
            guidance,
        })
    }
}
