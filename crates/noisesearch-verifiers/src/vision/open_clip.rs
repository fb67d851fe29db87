//! CLIP in the layout of open_clip: both towers, as HPSv2 publishes them.
//!
//! The networks are those of [`super::clip`] and of `noisesearch_models::text::ClipText`; what
//! differs is what tensors are called, that queries, keys and values are one matrix, and that the
//! projections are multiplied from the right.

use super::block::{Block, Names, Qkv, Shape};
use super::clip::{ClipVision, Size};
use candle_core::{Device, Result, Tensor, bail};
use noisesearch_models::layers::{Activation, LayerNorm, Linear, Loaded, Source};

/// Names of a block's tensors, in both towers.
const NAMES: Names = Names {
    norms: ["ln_1", "ln_2"],
    qkv: Qkv::Together("attn"),
    out: "attn.out_proj",
    mlp: ["mlp.c_fc", "mlp.c_proj"],
    scales: None,
};

impl ClipVision {
    /// Takes `visual.*`.
    pub fn load_open_clip(mut s: Source, size: Size) -> Loaded<Self> {
        let Shape { width, eps, .. } = size.block;
        let mut s = s.at("visual");
        let positions = s.tensor("positional_embedding", &[size.positions(), width])?;
        Ok(Self {
            embed: Linear::patches(s.at("conv1"), [3, size.patch], width, false)?,
            class: s.tensor("class_embedding", &[width])?,
            positions,
            before: LayerNorm::load(s.at("ln_pre"), width, eps)?,
            blocks: blocks(s.at("transformer"), size.block, size.layers)?,
            after: LayerNorm::load(s.at("ln_post"), width, eps)?,
            projection: projection(&mut s, "proj", [width, size.dimensions])?,
            size,
        })
    }
}

fn blocks(mut s: Source, shape: Shape, layers: usize) -> Loaded<Vec<Block>> {
    let mut s = s.at("resblocks");
    let blocks = (0..layers).map(|i| Block::load(s.at(i), shape, &NAMES));
    blocks.collect()
}

/// A matrix `name: [inputs, outputs]`.
fn projection(s: &mut Source, name: &str, [inputs, outputs]: [usize; 2]) -> Loaded<Linear> {
    let matrix = s.floats(name, &[inputs, outputs])?;
    let turned = (0..inputs * outputs).map(|i| matrix[i % inputs * outputs + i / inputs]);
    Linear::new(s, turned.collect(), vec![], inputs)
}

/// The size of a text tower.
#[derive(Clone, Copy, Debug)]
pub struct TextSize {
    /// Every block.
    pub block: Shape,
    /// Blocks.
    pub layers: usize,
    /// Tokens there are.
    pub vocabulary: usize,
    /// Tokens of a text.
    pub tokens: usize,
    /// Dimensions of the embedding.
    pub dimensions: usize,
}

impl TextSize {
    /// The text tower beside ViT-H/14.
    pub const H14: Self = Self {
        block: Shape {
            width: 1024,
            heads: 16,
            hidden: 4096,
            eps: 1e-5,
            activation: Activation::Gelu,
        },
        layers: 24,
        vocabulary: 49408,
        tokens: 77,
        dimensions: 1024,
    };
}

/// open_clip's text tower: a causal transformer, read at the end token.
#[derive(Debug)]
pub struct OpenClipText {
    /// `[vocabulary, width]`.
    embedding: Tensor,
    /// `[tokens, width]`.
    positions: Tensor,
    blocks: Vec<Block>,
    after: LayerNorm,
    projection: Linear,
    size: TextSize,
}

impl OpenClipText {
    /// Takes every tensor of the text tower, which has no prefix.
    pub fn load(mut s: Source, size: TextSize) -> Loaded<Self> {
        let Shape { width, eps, .. } = size.block;
        Ok(Self {
            embedding: s.tensor("token_embedding.weight", &[size.vocabulary, width])?,
            positions: s.tensor("positional_embedding", &[size.tokens, width])?,
            blocks: blocks(s.at("transformer"), size.block, size.layers)?,
            after: LayerNorm::load(s.at("ln_final"), width, eps)?,
            projection: projection(&mut s, "text_projection", [width, size.dimensions])?,
            size,
        })
    }

    /// The embedding `[dimensions]` of a text: `tokens` of them, whose largest id ends it.
    pub fn encode(&self, tokens: &[u32]) -> Result<Tensor> {
        let end = tokens
            .iter()
            .enumerate()
            .max_by_key(|&(i, &id)| (id, usize::MAX - i));
        let Some((end, &last)) = end.filter(|_| tokens.len() == self.size.tokens) else {
            bail!("{} tokens for a text of {}", tokens.len(), self.size.tokens)
        };
        if last as usize >= self.size.vocabulary {
            bail!("token {last} of a vocabulary of {}", self.size.vocabulary)
        }
        let ids = Tensor::new(tokens, self.embedding.device())?;
        let causal = causal(tokens.len(), ids.device())?;
        let mut x = (self.embedding.index_select(&ids, 0)? + &self.positions)?.unsqueeze(0)?;
        for block in &self.blocks {
            x = block.forward(&x, Some(&causal))?;
        }
        let x = self.after.forward(&x.narrow(1, end, 1)?.squeeze(1)?)?;
        self.projection.forward(&x)?.squeeze(0)
    }
}

/// `[1, n, n]`: hides later tokens.
fn causal(n: usize, device: &Device) -> Result<Tensor> {
    let hidden = |i: usize| if i % n > i / n { -1e9f32 } else { 0.0 };
    Tensor::from_vec((0..n * n).map(hidden).collect(), (1, n, n), device)
}
