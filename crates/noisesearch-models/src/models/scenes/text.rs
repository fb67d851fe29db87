//! The text encoder of the scenes model and of its contrastive scorer; the twin of
//! `TextEncoder` in `lab/scenes/unet.py`.

use super::grammar::{TOKENS, VOCABULARY};
use super::unet::linear;
use crate::nn::attention::Attention;
use crate::nn::buffer::Arena;
use crate::nn::gemm::{Epilogue, PackedWeight, Windows};
use crate::nn::isa::Isa;
use crate::nn::norm::{Affine, layer_norm};
use crate::weights::{Weights, WeightsError};

/// Words of a prompt, padding included.
pub const WORDS: usize = TOKENS;
/// Features of a word.
pub const WORD: usize = 128;
/// Features of the pooled prompt, and of the level embedding it is added to.
pub const TIME: usize = 256;
const HEADS: usize = 4;
const HIDDEN: usize = 2 * WORD;
const BLOCKS: usize = 2;
const EPS: f32 = 1e-5;

/// Layer norm with weights.
struct Norm {
    scale: Vec<f32>,
    shift: Vec<f32>,
}

impl Norm {
    fn load(weights: &mut Weights, name: &str) -> Result<Self, WeightsError> {
        Ok(Self {
            scale: weights.take_vec(&format!("{name}.weight"), &[WORD])?,
            shift: weights.take_vec(&format!("{name}.bias"), &[WORD])?,
        })
    }

    fn apply(&self, isa: Isa, x: &[f32]) -> Vec<f32> {
        let mut out = vec![0.0; x.len()];
        let affine = Affine {
            scale: &self.scale,
            shift: &self.shift,
        };
        layer_norm(isa, x, EPS, affine, &mut out);
        out
    }
}

/// Pre-norm transformer block.
struct Block {
    norm1: Norm,
    qkv: PackedWeight,
    proj: PackedWeight,
    norm2: Norm,
    fc1: PackedWeight,
    fc2: PackedWeight,
}

impl Block {
    fn load(weights: &mut Weights, name: &str) -> Result<Self, WeightsError> {
        let part = |part: &str| format!("{name}.{part}");
        Ok(Self {
            norm1: Norm::load(weights, &part("norm1"))?,
            qkv: linear(weights, &part("qkv"), [3 * WORD, WORD])?,
            proj: linear(weights, &part("proj"), [WORD, WORD])?,
            norm2: Norm::load(weights, &part("norm2"))?,
            fc1: linear(weights, &part("fc1"), [HIDDEN, WORD])?,
            fc2: linear(weights, &part("fc2"), [WORD, HIDDEN])?,
        })
    }

    fn apply(&self, isa: Isa, arena: &mut Arena, x: &mut [f32]) {
        let normed = self.norm1.apply(isa, x);
        let mut qkv = vec![0.0; 3 * x.len()];
        self.qkv
            .apply(isa, Windows::rows(&normed, WORD), &mut qkv, Epilogue::Store);
        let mut mixed = vec![0.0; x.len()];
        let attention = Attention {
            order: self.qkv.order(),
            ..Attention::packed(&qkv, HEADS, WORD / HEADS)
        };
        attention.apply(isa, arena, &mut mixed);
        self.proj
            .apply(isa, Windows::rows(&mixed, WORD), x, Epilogue::Add);
        let normed = self.norm2.apply(isa, x);
        let mut hidden = vec![0.0; WORDS * HIDDEN];
        self.fc1.apply(
            isa,
            Windows::rows(&normed, WORD),
            &mut hidden,
            Epilogue::Gelu,
        );
        self.fc2
            .apply(isa, Windows::rows(&hidden, HIDDEN), x, Epilogue::Add);
    }
}

/// Tokens to word features and one pooled vector.
pub struct TextEncoder {
    embed: Vec<f32>,
    position: Vec<f32>,
    blocks: Vec<Block>,
    norm: Norm,
    pool: PackedWeight,
}

impl TextEncoder {
    /// Takes the tensors under `text.`.
    pub fn load(weights: &mut Weights) -> Result<Self, WeightsError> {
        let blocks = (0..BLOCKS).map(|i| Block::load(weights, &format!("text.blocks.{i}")));
        Ok(Self {
            blocks: blocks.collect::<Result<_, _>>()?,
            embed: weights.take_vec("text.embed.weight", &[VOCABULARY, WORD])?,
            position: weights.take_vec("text.position", &[WORDS, WORD])?,
            norm: Norm::load(weights, "text.norm")?,
            pool: linear(weights, "text.pool", [TIME, WORD])?,
        })
    }

    /// Tokens below [`VOCABULARY`] -> word features `[WORDS, WORD]` and the pooled `[TIME]`.
    pub fn encode(&self, isa: Isa, tokens: &[u8; TOKENS]) -> (Vec<f32>, Vec<f32>) {
        let mut x = self.position.clone();
        for (row, &token) in x.chunks_exact_mut(WORD).zip(tokens) {
            let embedding = &self.embed[usize::from(token) * WORD..][..WORD];
            row.iter_mut().zip(embedding).for_each(|(x, e)| *x += e);
        }
        let mut arena = Arena::default();
        for block in &self.blocks {
            block.apply(isa, &mut arena, &mut x);
        }
        let words = self.norm.apply(isa, &x);
        let mut mean = vec![0.0; WORD];
        for row in words.chunks_exact(WORD) {
            mean.iter_mut().zip(row).for_each(|(m, w)| *m += w);
        }
        mean.iter_mut().for_each(|m| *m /= WORDS as f32);
        let mut pooled = vec![0.0; TIME];
        self.pool.apply(
            isa,
            Windows::rows(&mean, WORD),
            &mut pooled,
            Epilogue::Store,
        );
        (words, pooled)
    }
}
