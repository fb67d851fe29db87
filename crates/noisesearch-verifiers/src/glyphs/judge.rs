//! The convolutional network of the glyphs' judges, trained by `lab/glyphs`.
//!
//! ```text
//! features = mean over pixels(relu(conv(… pool(relu(conv(image))))))   64 of them
//! logits   = head · features + bias                                    36 of them
//! ```

use candle_core::{Result, Tensor};
use noisesearch_models::lab::GLYPHS;
use noisesearch_models::nn::buffer::{Arena, Arenas, Buffer};
use noisesearch_models::nn::conv::{Conv3x3, Padded};
use noisesearch_models::nn::gemm::{Epilogue, PackedWeight, Windows};
use noisesearch_models::nn::isa::Isa;
use noisesearch_models::nn::resample::{average_pool, max_pool};
use noisesearch_models::weights::{Weights, WeightsError};
use rayon::prelude::*;

/// Height and width of a picture.
pub const SIDE: usize = 32;
/// Features of a picture.
pub const FEATURES: usize = 64;

/// What follows a convolution and its ReLU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pool {
    /// Nothing.
    Keep,
    /// The mean of every 2x2 block.
    Mean,
    /// The largest of every 2x2 block.
    Max,
}

/// Output channels of every convolution and what follows it; the last has [`FEATURES`] channels.
type Plan = [(usize, Pool)];

const CLASSIFIER_WEIGHTS: &[u8] =
    include_bytes!("../../../../lab/weights/glyphs-classifier.safetensors");
const ORACLE_WEIGHTS: &[u8] = include_bytes!("../../../../lab/weights/glyphs-oracle.safetensors");

/// The plan of `glyphs-classifier`.
const CLASSIFIER: &Plan = &[
    (16, Pool::Max),
    (32, Pool::Keep),
    (32, Pool::Max),
    (64, Pool::Keep),
    (FEATURES, Pool::Keep),
];
/// The plan of `glyphs-oracle`.
const ORACLE: &Plan = &[
    (24, Pool::Keep),
    (24, Pool::Mean),
    (48, Pool::Mean),
    (96, Pool::Keep),
    (FEATURES, Pool::Keep),
];

/// A network with its weights packed.
#[derive(Debug)]
pub struct Judge {
    pub(super) isa: Isa,
    pub(super) layers: Vec<(Conv3x3, Pool)>,
    pub(super) head: PackedWeight,
    hash: String,
    pub(super) arenas: Arenas,
}

impl Judge {
    /// The network behind the verifiers `classifier` and `self`, whose weights are embedded.
    pub fn classifier() -> std::result::Result<Self, WeightsError> {
        Self::load(CLASSIFIER, Weights::from_bytes(CLASSIFIER_WEIGHTS)?)
    }

    /// The evaluator, whose weights are embedded.
    pub fn oracle() -> std::result::Result<Self, WeightsError> {
        Self::load(ORACLE, Weights::from_bytes(ORACLE_WEIGHTS)?)
    }

    /// Builds the network of `plan` from a checkpoint, every tensor of which must be used.
    fn load(plan: &Plan, mut weights: Weights) -> std::result::Result<Self, WeightsError> {
        let (mut layers, mut channels) = (Vec::new(), 1);
        for (i, &(outputs, pool)) in plan.iter().enumerate() {
            let weight =
                weights.take_vec(&format!("convs.{i}.weight"), &[outputs, channels, 3, 3])?;
            let bias = weights.take_vec(&format!("convs.{i}.bias"), &[outputs])?;
            layers.push((Conv3x3::new(&weight, &bias, channels, 1), pool));
            channels = outputs;
        }
        let classes = GLYPHS.len();
        let weight = weights.take_vec("head.weight", &[classes, channels])?;
        let bias = weights.take_vec("head.bias", &[classes])?;
        let hash = weights.hash().to_owned();
        weights.finish()?;
        Ok(Self {
            isa: Isa::best(),
            layers,
            head: PackedWeight::new(&weight, &bias, classes, channels),
            hash,
            arenas: Arenas::default(),
        })
    }

    /// BLAKE3 of the weights in hexadecimal.
    pub fn hash(&self) -> &str {
        &self.hash
    }

    /// Features of `images: [b, 1, 32, 32]` in `[0, 1]`, [`FEATURES`] a row, none below 0.
    pub fn features(&self, images: &Tensor) -> Result<Vec<Vec<f32>>> {
        let (_, channels, height, width) = images.dims4()?;
        if (channels, height, width) != (1, SIDE, SIDE) {
            candle_core::bail!(
                "a glyphs verifier judges pictures [b, 1, {SIDE}, {SIDE}], and was given {:?}",
                images.dims()
            );
        }
        let pixels: Vec<f32> = images.flatten_all()?.to_vec1()?;
        let rows = pixels.par_chunks_exact(SIDE * SIDE);
        let of_row = |row| self.arenas.with(|arena| self.features_of(arena, row));
        Ok(rows.map(of_row).collect())
    }

    /// Logits of the classes, one list a row of [`Judge::features`].
    pub fn logits(&self, features: &[Vec<f32>]) -> Vec<Vec<f32>> {
        let of_row = |row: &Vec<f32>| {
            let mut logits = vec![0.0; self.head.outputs()];
            let left = Windows::rows(row, self.head.inputs());
            self.head
                .apply(self.isa, left, &mut logits, Epilogue::Store);
            logits
        };
        features.iter().map(of_row).collect()
    }

    /// Features of one picture `[32 * 32]`.
    fn features_of(&self, arena: &mut Arena, picture: &[f32]) -> Vec<f32> {
        let (mut image, mut side) = (arena.take(picture.len()), SIDE);
        image.copy_from_slice(picture);
        let mut channels = 1;
        for (conv, pool) in &self.layers {
            let mut padded = Padded::take(arena, [side, side, channels]);
            padded.fill(&image);
            arena.give(image);
            channels = conv.outputs();
            image = arena.take(side * side * channels);
            conv.apply(self.isa, &padded, &mut image, Epilogue::Store);
            padded.give(arena);
            relu(&mut image);
            (image, side) = pooled(arena, image, [side, side, channels], *pool);
        }
        let mean = mean_of_pixels(&image, channels);
        arena.give(image);
        mean
    }
}

/// `x = max(x, 0)`; not-a-number stays.
pub(super) fn relu(x: &mut [f32]) {
    for x in x {
        *x = if *x < 0.0 { 0.0 } else { *x };
    }
}

/// `image` of `shape` after `pool`, and its new side.
pub(super) fn pooled(
    arena: &mut Arena,
    image: Buffer,
    shape: [usize; 3],
    pool: Pool,
) -> (Buffer, usize) {
    let [side, _, channels] = shape;
    let kernel = match pool {
        Pool::Keep => return (image, side),
        Pool::Mean => average_pool,
        Pool::Max => max_pool,
    };
    let mut small = arena.take(side * side / 4 * channels);
    kernel(&image, shape, &mut small);
    arena.give(image);
    (small, side / 2)
}

/// Mean over the pixels of `image: [pixels, channels]`, summed in reading order.
fn mean_of_pixels(image: &[f32], channels: usize) -> Vec<f32> {
    let mut mean = vec![0.0; channels];
    for pixel in image.chunks_exact(channels) {
        mean.iter_mut().zip(pixel).for_each(|(sum, x)| *sum += x);
    }
    let pixels = (image.len() / channels) as f32;
    mean.iter_mut().for_each(|sum| *sum /= pixels);
    mean
}
