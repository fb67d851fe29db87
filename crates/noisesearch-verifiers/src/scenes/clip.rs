//! `clip`: cosine similarity of a picture and its prompt in a space learned by contrast, as in
//! CLIP (Radford et al. 2021, arXiv 2103.00020); trained by `lab/scenes/train_clip.py`.
//!
//! ```text
//! score = i · t / (|i| |t|),   i = tower(picture),   t = text_out · pooled(prompt)
//! ```

use super::tower::{Tower, packed};
use crate::verifier::{Samples, ScoreGradient, Verifier, VerifierId};
use candle_core::{Result, Tensor};
use noisesearch_models::models::scenes::grammar::Scene;
use noisesearch_models::models::scenes::text::{TIME, TextEncoder};
use noisesearch_models::nn::gemm::{Epilogue, PackedWeight, Windows};
use noisesearch_models::nn::isa::Isa;
use noisesearch_models::task::Task;
use noisesearch_models::weights::{Weights, WeightsError};

/// Dimensions of the common space.
pub const DIMENSIONS: usize = 128;
/// Channels after the first convolution.
const WIDTH: usize = 32;
const WEIGHTS: &[u8] = include_bytes!("../../../../lab/weights/scenes-clip.safetensors");

/// The contrastive text-image scorer.
pub struct Clip {
    id: VerifierId,
    image: Tower,
    text: TextEncoder,
    text_out: PackedWeight,
}

impl Clip {
    /// With the embedded weights.
    pub fn new() -> std::result::Result<Self, WeightsError> {
        Self::load(Weights::from_bytes(WEIGHTS)?)
    }

    /// Consumes every tensor of a checkpoint.
    pub fn load(mut weights: Weights) -> std::result::Result<Self, WeightsError> {
        let id = VerifierId {
            name: "clip".into(),
            weights: weights.hash().into(),
            version: 1,
        };
        let image = Tower::load(&mut weights, "image.", DIMENSIONS, WIDTH)?;
        let text = TextEncoder::load(&mut weights)?;
        let text_out = packed(&mut weights, "text_out", &[DIMENSIONS, TIME])?;
        // The temperature of the training loss, which leaves the order of scores alone.
        weights.take_vec("log_scale", &[])?;
        weights.finish()?;
        Ok(Self {
            id,
            image,
            text,
            text_out,
        })
    }

    /// Unit vectors of `images: [b, 3, 64, 64]` in `[0, 1]`, [`DIMENSIONS`] numbers a row.
    pub fn embed_images(&self, images: &Tensor) -> Result<Vec<Vec<f32>>> {
        let mut rows = self.image.apply(images)?;
        rows.iter_mut().for_each(|row| normalise(row));
        Ok(rows)
    }

    /// Unit vector of a prompt.
    pub fn embed_scene(&self, scene: &Scene) -> Vec<f32> {
        let isa = Isa::best();
        let (_, pooled) = self.text.encode(isa, &scene.tokens());
        let mut out = vec![0.0; DIMENSIONS];
        let row = Windows::rows(&pooled, TIME);
        self.text_out.apply(isa, row, &mut out, Epilogue::Store);
        normalise(&mut out);
        out
    }
}

impl Verifier for Clip {
    fn id(&self) -> &VerifierId {
        &self.id
    }

    fn score(&self, task: &Task, samples: &Samples) -> Result<Vec<f64>> {
        let text = self.embed_scene(&super::scene_of(task)?);
        let images = self.embed_images(samples.images)?;
        Ok(images.iter().map(|image| dot(image, &text)).collect())
    }

    fn gradient(&self) -> Option<&dyn ScoreGradient> {
        Some(self)
    }
}

impl ScoreGradient for Clip {
    fn slope(&self, task: &Task, image: &Tensor) -> Result<Tensor> {
        let text = self.embed_scene(&super::scene_of(task)?);
        self.image.slope(image, |i| cosine_slope(i, &text))
    }
}

/// The gradient of `i · t / |i|` with respect to `i`, for a unit vector `t`:
/// `(t - n (n · t)) / |i|` with `n = i / |i|`.
fn cosine_slope(i: &[f32], t: &[f32]) -> Vec<f32> {
    let length = dot(i, i).sqrt().max(1e-12);
    let score = dot(i, t) / length;
    let along = |(&i, &t): (&f32, &f32)| f64::from(t) - f64::from(i) / length * score;
    let slope = i.iter().zip(t).map(along);
    slope.map(|d| (d / length) as f32).collect()
}

/// Divides a vector by its length.
fn normalise(x: &mut [f32]) {
    let length = dot(x, x).sqrt().max(1e-12) as f32;
    x.iter_mut().for_each(|v| *v /= length);
}

/// Scalar product, summed in order in f64.
fn dot(a: &[f32], b: &[f32]) -> f64 {
    let products = a.iter().zip(b).map(|(&a, &b)| f64::from(a) * f64::from(b));
    products.fold(0.0, |sum, product| sum + product)
}
