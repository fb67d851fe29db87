//! The seams of a diffusion model. The denoiser is the only thing that costs NFE.

use crate::gradient::{DecoderGradient, DenoiserGradient, NetworkGradient};
use crate::task::Task;
use candle_core::{Result, Tensor};
use noisesearch_core::level::Level;

/// Shape of one latent row: `[channels, height, width]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LatentShape {
    /// Channels.
    pub channels: usize,
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
}

/// What a network is given for one row besides the latent and the level, e.g. text features.
/// Its meaning belongs to the model that made it.
#[derive(Clone, Debug)]
pub struct Encoded {
    /// Model-defined tensors, f32, without a batch dimension.
    pub tensors: Vec<Tensor>,
}

/// A task encoded once: conditional and unconditional inputs and the guidance scale.
#[derive(Clone, Debug)]
pub struct Conditioning {
    /// The task's own encoding.
    pub cond: Encoded,
    /// The empty task's encoding; used when `guidance != 1`.
    pub uncond: Encoded,
    /// Classifier-free guidance scale; 1 is unguided.
    pub guidance: f32,
}

/// A raw network: its prediction may be noise, velocity or x0 (see the model's `Prediction`).
pub trait Network: Send + Sync {
    /// `x`: `[b, c, h, w]` f32 at one level; `rows`: one encoding a row. Returns `x`'s shape.
    /// A row's result does not depend on its neighbours, bit for bit.
    fn predict(&self, x: &Tensor, at: Level, rows: &[&Encoded]) -> Result<Tensor>;
    /// The way back, for a network that has one.
    fn gradient(&self) -> Option<&dyn NetworkGradient> {
        None
    }
}

/// Predicts the clean sample.
pub trait Denoiser: Send + Sync {
    /// Shape of one row.
    fn shape(&self) -> LatentShape;
    /// `x`: `[b, c, h, w]` f32 at level `at` -> clean-sample prediction x0, same shape.
    fn denoise(&self, x: &Tensor, at: Level, cond: &Conditioning) -> Result<Tensor>;
    /// Network passes a row and evaluation: 2 with classifier-free guidance.
    fn passes_per_row(&self, cond: &Conditioning) -> u64;
    /// The way back, for a denoiser that has one.
    fn gradient(&self) -> Option<Box<dyn DenoiserGradient + '_>> {
        None
    }
}

/// Turns a task into what the network is given. Unknown words or classes are errors that name
/// the nearest known ones.
pub trait Conditioner: Send + Sync {
    /// Encodes `task`; `guidance` is kept in the result.
    fn encode(&self, task: &Task, guidance: f32) -> std::result::Result<Conditioning, TaskError>;
}

/// A task that the model cannot be asked.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct TaskError {
    /// What was not understood, and what would be.
    pub message: String,
}

/// Turns latents into images.
pub trait Decoder: Send + Sync {
    /// `latents`: `[b, c, h, w]` f32 -> images `[b, 1|3, H, W]` f32 in `[0, 1]`, every value a
    /// multiple of 1/255, so that what is scored is what a PNG holds.
    fn decode(&self, latents: &Tensor) -> Result<Tensor>;
    /// The way back, for a decoder that has one.
    fn gradient(&self) -> Option<&dyn DecoderGradient> {
        None
    }
}

impl<T: Conditioner + ?Sized> Conditioner for std::sync::Arc<T> {
    fn encode(&self, task: &Task, guidance: f32) -> std::result::Result<Conditioning, TaskError> {
        (**self).encode(task, guidance)
    }
}
