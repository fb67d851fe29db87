//! Convolutional networks: a layer, U-Nets, and an autoencoder's decoder.

use crate::generated::{load, manifest};
use crate::transformers::{LEVEL, words};
use crate::{Fallible, Work, count};
use noisesearch_core::level::Level;
use noisesearch_models::denoiser::{Conditioner, Denoiser, Network};
use noisesearch_models::guidance::Guided;
use noisesearch_models::layers::{Conv2d, Geometry, GroupNorm, Place, channels_last};
use noisesearch_models::models::scenes::{SHAPE, Scenes};
use noisesearch_models::models::unet::{UNet, UNetConfig};
use noisesearch_models::models::vae::{Vae, VaeConfig};
use noisesearch_models::parity::{Manifest, input};
use noisesearch_models::path::NoisePath;
use noisesearch_models::prediction::Prediction;
use noisesearch_models::task::Task;
use noisesearch_models::weights::Weights;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;

const SCENES: &[u8] = include_bytes!("../../../../lab/weights/scenes.safetensors");

/// A 3x3 convolution of `channels` to as many at `side` x `side` for `batch` images, and where
/// `norm` is true a group norm in 32 groups and a SiLU after it. Every image is `[h, w, c]` before
/// and after, as it is inside of our networks.
pub fn conv(place: &Place, how: &Value) -> Fallible<Work> {
    let channels = count(how, "channels")?;
    let tensors = BTreeMap::from([
        ("conv.weight".into(), vec![channels, channels, 3, 3]),
        ("conv.bias".into(), vec![channels]),
        ("norm.weight".into(), vec![channels]),
        ("norm.bias".into(), vec![channels]),
    ]);
    let layer = Manifest {
        origin: "a layer of a U-Net".into(),
        config: Value::Null,
        dtype: "F32".into(),
        tensors,
    };
    let (conv, norm) = load(
        &layer,
        place,
        |_| true,
        |mut s| {
            let conv = Conv2d::load(s.at("conv"), [channels; 2], Geometry::SAME_3X3)?;
            Ok((conv, GroupNorm::load(s.at("norm"), channels, 32, 1e-5)?))
        },
    )?;
    let (side, normed) = (count(how, "side")?, how["norm"] == json!(true));
    let x = channels_last(&input("x", &[count(how, "batch")?, channels, side, side])?)?;
    Ok(Box::new(move || {
        let y = conv.forward(&x)?;
        Ok(match normed {
            true => norm.silu(&y)?,
            false => y,
        })
    }))
}

/// The U-Net of Stable Diffusion 1.5 and its configuration.
pub fn sd15(place: &Place) -> Fallible<(UNet, UNetConfig)> {
    let published = manifest("sd15-unet")?;
    let config = UNetConfig::new(published.config.clone())?;
    let unet = load(&published, place, |_| true, |s| UNet::load(s, &config))?;
    Ok((unet, config))
}

/// An evaluation of it for `batch` rows on latents of `side` x `side`.
pub fn unet(place: &Place, how: &Value) -> Fallible<Work> {
    let (unet, config) = sd15(place)?;
    let (batch, side) = (count(how, "batch")?, count(how, "side")?);
    let row = words("words", config.cross_attention_dim)?;
    let x = input("x", &[batch, config.in_channels, side, side])?;
    let at = Level::new(LEVEL)?;
    Ok(Box::new(move || {
        Ok(unet.predict(&x, at, &vec![&row; batch])?)
    }))
}

/// The autoencoder of Stable Diffusion: the layers of 1.5 and XL are the same, and the file of the
/// latter has the names that diffusers uses today.
pub fn autoencoder(place: &Place) -> Fallible<Vae> {
    let published = manifest("sdxl-vae")?;
    let config: VaeConfig = serde_json::from_value(published.config.clone())?;
    config.check()?;
    load(&published, place, |_| true, |s| Vae::load(s, &config))
}

/// Its decoding of one latent of `side` x `side` to an image 8 times as large.
pub fn vae(place: &Place, how: &Value) -> Fallible<Work> {
    let vae = autoencoder(place)?;
    let side = count(how, "side")?;
    let x = input("x", &[1, vae.channels(), side, side])?;
    Ok(Box::new(move || Ok(vae.pixels(&x)?)))
}

/// One guided evaluation of the lab's scenes model for `batch` candidates.
pub fn scenes(place: &Place, how: &Value) -> Fallible<Work> {
    let scenes = Arc::new(Scenes::load(Weights::from_bytes(SCENES)?, place)?);
    let prompt = Task::Prompt("two red circles and a blue square".into());
    let conditioning = scenes.encode(&prompt, 2.0)?;
    let guided = Guided::new(scenes, Prediction::Flow, NoisePath::Flow, SHAPE)?;
    let x = input("x", &[count(how, "batch")?, 3, 64, 64])?;
    let at = Level::new(LEVEL)?;
    Ok(Box::new(move || {
        Ok(guided.denoise(&x, at, &conditioning)?)
    }))
}
