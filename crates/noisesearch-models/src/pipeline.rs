//! A model opened: everything that turns a task into images.

use crate::checkpoint::CheckpointError;
use crate::denoiser::{Conditioner, Decoder, Denoiser, LatentShape};
use crate::layers::Place;
use crate::limits::SIDE_PIXELS_MAX;
use crate::path::{NoisePath, PathError};
use crate::prediction::PredictionError;
use crate::schedule::{Schedule, ShiftError};
use crate::text::TextError;
use crate::weights::WeightsError;

/// A model opened: everything that turns a task into images.
pub struct Pipeline {
    /// Encodes the task, once a run.
    pub conditioner: Box<dyn Conditioner>,
    /// Predicts the clean sample.
    pub denoiser: Box<dyn Denoiser>,
    /// From clean samples to noise.
    pub path: NoisePath,
    /// Where solver steps lie on it.
    pub schedule: Schedule,
    /// Turns latents into images.
    pub decoder: Box<dyn Decoder>,
    /// BLAKE3 of the weights in hexadecimal.
    pub weights: String,
}

/// How a model shall be opened.
#[derive(Clone, Debug)]
pub struct Options {
    /// Device and number format.
    pub place: Place,
    /// Columns of the images, in pixels.
    pub width: usize,
    /// Rows of the images, in pixels.
    pub height: usize,
}

impl Options {
    /// The latent of an image, `factor` times smaller. Neither side may be beyond
    /// [`SIDE_PIXELS_MAX`].
    pub(crate) fn latent(&self, channels: usize, factor: usize) -> Result<LatentShape, OpenError> {
        for (what, side) in [("width", self.width), ("height", self.height)] {
            let fits = side.is_multiple_of(factor) && (factor..=SIDE_PIXELS_MAX).contains(&side);
            if !fits {
                return Err(OpenError::Unsupported {
                    what: format!("the {what}"),
                    found: format!("{side} pixels"),
                    supported: format!("multiples of {factor} up to {SIDE_PIXELS_MAX}"),
                });
            }
        }
        Ok(LatentShape {
            channels,
            height: self.height / factor,
            width: self.width / factor,
        })
    }
}

/// Why a model cannot be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// Its files.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// Its weights.
    #[error(transparent)]
    Weights(#[from] WeightsError),
    /// The pairing of network and path.
    #[error(transparent)]
    Prediction(#[from] PredictionError),
    /// The noise its scheduler describes.
    #[error(transparent)]
    Path(#[from] PathError),
    /// The spacing its scheduler describes.
    #[error(transparent)]
    Shift(#[from] ShiftError),
    /// A tokenizer.
    #[error("{component}: {source}")]
    Text {
        /// The component it is.
        component: String,
        /// What is wrong with its files.
        source: TextError,
    },
    /// A configuration, size or format that is not run here.
    #[error("{what} is {found}; supported: {supported}")]
    Unsupported {
        /// Which setting of which component.
        what: String,
        /// Its value.
        found: String,
        /// What would be right.
        supported: String,
    },
    /// A tensor operation failed.
    #[error("the model cannot be prepared: {0}")]
    Tensor(#[from] candle_core::Error),
}

impl OpenError {
    /// A tokenizer that cannot be used.
    pub(crate) fn text(component: &str, source: TextError) -> Self {
        Self::Text {
            component: component.to_owned(),
            source,
        }
    }
}
