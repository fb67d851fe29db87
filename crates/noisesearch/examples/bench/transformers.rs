//! Transformers: SiT, one block of FLUX.1, and CLIP's vision tower.

use crate::generated::{load, manifest};
use crate::{Fallible, Work, count};
use noisesearch_core::level::Level;
use noisesearch_models::denoiser::{Encoded, Network};
use noisesearch_models::layers::Place;
use noisesearch_models::models::flux::{Flux, FluxConfig};
use noisesearch_models::models::sit::{Sit, SitConfig};
use noisesearch_models::parity::{fill, input};
use noisesearch_verifiers::vision::clip::{ClipVision, Config};
use serde_json::{Value, json};
use std::convert::Infallible;

/// Where every network is asked, as in `benches/networks.py`.
pub const LEVEL: f32 = 0.5;
/// Guidance scale that FLUX.1-dev is told.
const GUIDANCE: f32 = 4.0;

/// An evaluation of a SiT: `config` is a [`SitConfig`], `batch` the rows.
pub fn sit(place: &Place, how: &Value) -> Fallible<Work> {
    let config: SitConfig = serde_json::from_value(how["config"].clone())?;
    config.check()?;
    let take = |name: &str, shape: &[usize]| Ok::<_, Infallible>(fill(name, shape));
    let Ok(sit) = Sit::load_at(config, place, take);
    let (batch, size) = (count(how, "batch")?, config.input_size);
    let x = input("x", &[batch, config.channels, size, size])?;
    let row = sit.encode(Some(3))?;
    let at = Level::new(LEVEL)?;
    Ok(Box::new(move || {
        Ok(sit.predict(&x, at, &vec![&row; batch])?)
    }))
}

/// A FLUX.1-dev of `double` and `single` blocks on latents of `side` x `side`, with 512 tokens of
/// text.
pub fn flux(place: &Place, how: &Value) -> Fallible<Work> {
    let mut published = manifest("flux-dev-transformer")?;
    let blocks = [count(how, "double")?, count(how, "single")?];
    published.config["num_layers"] = json!(blocks[0]);
    published.config["num_single_layers"] = json!(blocks[1]);
    let config: FluxConfig = serde_json::from_value(published.config.clone())?;
    config.check()?;
    let stacks = ["transformer_blocks.", "single_transformer_blocks."];
    let keep = |name: &str| {
        let mut stacks = stacks.iter().zip(blocks);
        stacks.all(|(stack, blocks)| match name.strip_prefix(stack) {
            Some(rest) => rest.split('.').next().and_then(|n| n.parse().ok()) < Some(blocks),
            None => true,
        })
    };
    let flux = load(&published, place, keep, |s| Flux::load(s, &config))?;
    let text = input("text", &[512, config.joint_attention_dim])?;
    let pooled = input("pooled", &[config.pooled_projection_dim])?;
    let row = Flux::encode(&text, &pooled, GUIDANCE)?;
    let side = count(how, "side")?;
    let x = input("x", &[1, config.channels(), side, side])?;
    let at = Level::new(LEVEL)?;
    Ok(Box::new(move || Ok(flux.predict(&x, at, &[&row])?)))
}

/// CLIP's ViT-L/14 on `batch` preprocessed images.
pub fn clip(place: &Place, how: &Value) -> Fallible<Work> {
    let published = manifest("clip-vit-l-14")?;
    let mut config = published.config["vision_config"].clone();
    config["projection_dim"] = published.config["projection_dim"].clone();
    let config: Config = serde_json::from_value(config)?;
    let size = config.size()?;
    let keep = |name: &str| name.starts_with("vision_model.") || name.starts_with("visual_proj");
    let tower = load(&published, place, keep, |s| ClipVision::load(s, size))?;
    let x = input("x", &[count(how, "batch")?, 3, size.side, size.side])?;
    Ok(Box::new(move || Ok(tower.forward(&x)?)))
}

/// What a U-Net with cross-attention is given of a prompt: 77 tokens of `features`.
pub fn words(name: &str, features: usize) -> Fallible<Encoded> {
    let tensors = vec![input(name, &[77, features])?];
    Ok(Encoded { tensors })
}
