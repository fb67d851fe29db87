//! FLUX.1 from a checkpoint.

use super::schedule::FlowConfig;
use super::{Flux, FluxConfig};
use crate::checkpoint::Checkpoint;
use crate::denoiser::{Conditioner, Conditioning, LatentShape, TaskError};
use crate::guidance::Guided;
use crate::layers::Source;
use crate::models::prompts::{check_features, prompt, refuse};
use crate::models::vae::Vae;
use crate::models::{TRANSFORMER, unsupported};
use crate::path::NoisePath;
use crate::pipeline::{OpenError, Options, Pipeline};
use crate::prediction::Prediction;
use crate::task::Task;
use crate::text::{ClipComponent, Padded, T5Component};
use std::sync::Arc;

/// Tokens of a prompt for FLUX.1-dev.
const DEV_TOKENS: usize = 512;
/// Tokens of a prompt for FLUX.1-schnell.
const SCHNELL_TOKENS: usize = 256;
/// Components that the weights' hash covers.
const COMPONENTS: [&str; 4] = [TRANSFORMER, "vae", "text_encoder", "text_encoder_2"];

/// Opens a `FluxPipeline`. Width and height are multiples of 16.
pub fn open(checkpoint: &Arc<Checkpoint>, options: &Options) -> Result<Pipeline, OpenError> {
    let config: FluxConfig = checkpoint.config(TRANSFORMER)?;
    config.check()?;
    let words = Words::open(checkpoint, options, &config)?;
    let vae = Vae::open(checkpoint, &options.place)?;
    let shape = shape(&config, &vae, options)?;
    let schedule = FlowConfig::open(checkpoint)?.schedule(shape)?;
    let mut weights = checkpoint.weights(TRANSFORMER)?;
    let flux = Flux::load(Source::new(&mut weights, &options.place), &config)?;
    weights.finish()?;
    let path = NoisePath::Flow;
    let denoiser = Guided::new(Arc::new(flux), Prediction::Flow, path.clone(), shape)?;
    Ok(Pipeline {
        conditioner: Box::new(words),
        denoiser: Box::new(denoiser),
        path,
        schedule,
        decoder: Box::new(vae),
        weights: checkpoint.hash(&COMPONENTS)?,
    })
}

/// The latents of an image, if the network takes those of the autoencoder.
fn shape(config: &FluxConfig, vae: &Vae, options: &Options) -> Result<LatentShape, OpenError> {
    if config.channels() != vae.channels() {
        let want = format!("4 times the {} channels of the vae", vae.channels());
        let what = "in_channels of transformer/config.json".into();
        return Err(unsupported(what, &config.in_channels, &want));
    }
    // A token is two by two pixels of a latent.
    let tokens = options.latent(config.channels(), 2 * vae.factor())?;
    Ok(LatentShape {
        height: 2 * tokens.height,
        width: 2 * tokens.width,
        ..tokens
    })
}

/// Encodes prompts with the pooled state of CLIP and all states of T5, padding included. The
/// guidance scale is part of the encoding, so one pass suffices.
struct Words {
    clip: ClipComponent,
    t5: T5Component,
    tokens: usize,
}

impl Words {
    fn open(
        checkpoint: &Arc<Checkpoint>,
        options: &Options,
        config: &FluxConfig,
    ) -> Result<Self, OpenError> {
        let place = &options.place;
        let clip = ClipComponent::open(checkpoint, "tokenizer", "text_encoder", place)?;
        let t5 = T5Component::open(checkpoint, "tokenizer_2", "text_encoder_2", place)?;
        let (pooled, states) = (clip.config().hidden_size, t5.config().d_model);
        let wanted = config.pooled_projection_dim;
        check_features("text_encoder", pooled, "pooled_projection_dim", wanted)?;
        let wanted = config.joint_attention_dim;
        check_features("text_encoder_2", states, "joint_attention_dim", wanted)?;
        let tokens = match config.guidance_embeds {
            true => DEV_TOKENS,
            false => SCHNELL_TOKENS,
        };
        Ok(Self { clip, t5, tokens })
    }
}

impl Conditioner for Words {
    fn encode(&self, task: &Task, guidance: f32) -> Result<Conditioning, TaskError> {
        let prompt = prompt(task)?;
        let [pooled] = self.clip.encode([prompt]).map_err(refuse)?;
        let states = self.t5.encode([prompt], self.tokens, Padded::Kept);
        let [states] = states.map_err(refuse)?;
        let cond = Flux::encode(&states, &pooled.pooled, guidance).map_err(refuse)?;
        Ok(Conditioning {
            uncond: cond.clone(),
            cond,
            guidance: 1.0,
        })
    }
}
