//! Model families, one folder each.

pub mod dit;
pub mod family;
pub mod flux;
mod names;
mod patches;
pub mod pixart;
mod positions;
mod prompts;
pub mod resnet;
mod rows;
pub mod scenes;
pub mod scheduler;
pub mod sd15;
pub mod sdxl;
pub mod sit;
pub mod unet;
pub mod vae;

use crate::path::VP_STEPS;
use crate::pipeline::OpenError;
use noisesearch_core::level::Level;
use std::fmt::Debug;

/// The component that is the network of every transformer family.
pub(crate) const TRANSFORMER: &str = "transformer";

/// A configuration that is not run here.
pub(crate) fn unsupported(what: String, found: &dyn Debug, supported: &str) -> OpenError {
    OpenError::Unsupported {
        what,
        found: format!("{found:?}"),
        supported: supported.into(),
    }
}

/// The index `0..1000` at which a discrete diffusion was trained, for a level of its path: it need
/// not be whole. The product is rounded to f32, so a level that is a thousandth gives a whole one.
pub(crate) fn training_index(at: Level) -> f64 {
    f64::from((at.get() * VP_STEPS as f32 - 1.0).max(0.0))
}
