//! Checks of what a text encoder's `config.json` says.

use crate::layers::Activation;
use serde::de::{Deserialize, Deserializer, Error};

/// The largest size in a configuration: a vocabulary of a million tokens.
const SIZE_MAX: usize = 1 << 20;

/// The most layers; published encoders have at most 48.
const LAYERS_MAX: usize = 256;

/// A size of at least 1 that a published model could have.
pub(super) fn size<'de, D: Deserializer<'de>>(value: D) -> Result<usize, D::Error> {
    within(value, SIZE_MAX)
}

/// A number of layers.
pub(super) fn layers<'de, D: Deserializer<'de>>(value: D) -> Result<usize, D::Error> {
    within(value, LAYERS_MAX)
}

fn within<'de, D: Deserializer<'de>>(value: D, most: usize) -> Result<usize, D::Error> {
    let size = usize::deserialize(value)?;
    match (1..=most).contains(&size) {
        true => Ok(size),
        false => Err(D::Error::custom(format!(
            "a size of {size}, not 1 to {most}"
        ))),
    }
}

/// An activation by its published name.
pub(super) fn activation<'de, D: Deserializer<'de>>(value: D) -> Result<Activation, D::Error> {
    match String::deserialize(value)?.as_str() {
        "quick_gelu" => Ok(Activation::QuickGelu),
        "gelu" => Ok(Activation::Gelu),
        "gelu_new" | "gelu_pytorch_tanh" => Ok(Activation::GeluTanh),
        other => {
            let known = &["quick_gelu", "gelu", "gelu_new", "gelu_pytorch_tanh"];
            Err(D::Error::unknown_variant(other, known))
        }
    }
}
