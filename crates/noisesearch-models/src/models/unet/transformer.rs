//! A spatial transformer: pixels attend to each other and to the context, the words (Rombach et
//! al., arXiv 2112.10752, section 3.3 and appendix E.2.1; Vaswani et al., arXiv 1706.03762).
//!
//! ```text
//! h = proj_in(group_norm(x));   for each block: h += self(norm1(h)), h += cross(norm2(h), words),
//! x' = x + proj_out(h)                          h += feed_forward(norm3(h))
//! ```

use super::UNetConfig;
use crate::layers::{Activation, Attend, GroupNorm, LayerNorm, Linear, Loaded, Source, attention};
use candle_core::{Result, Tensor};

/// Added to the variance of the group norm, which is not `norm_eps` of the configuration.
const GROUP_EPS: f32 = 1e-6;

/// Added to the variances of layer norms.
const LAYER_EPS: f32 = 1e-5;

/// The layer, in the tensor names of diffusers' `Transformer2DModel`.
#[derive(Debug)]
pub(super) struct Transformer {
    norm: GroupNorm,
    proj_in: Linear,
    blocks: Vec<Block>,
    proj_out: Linear,
}

impl Transformer {
    /// The transformer of resolution `block`, counted from the finest.
    pub(super) fn load(mut s: Source, block: usize, config: &UNetConfig) -> Loaded<Self> {
        let channels = config.block_out_channels[block];
        let heads = config.attention_head_dim.at(block);
        let project = |s: Source| match config.use_linear_projection {
            true => Linear::load(s, channels, channels),
            false => Linear::patches(s, [channels, 1], channels, true),
        };
        let blocks = (0..config.transformer_layers_per_block.at(block)).map(|i| {
            let at = s.at(format_args!("transformer_blocks.{i}"));
            Block::load(at, channels, config.cross_attention_dim, heads)
        });
        Ok(Self {
            blocks: blocks.collect::<Loaded<_>>()?,
            norm: GroupNorm::load(s.at("norm"), channels, config.norm_num_groups, GROUP_EPS)?,
            proj_in: project(s.at("proj_in"))?,
            proj_out: project(s.at("proj_out"))?,
        })
    }

    /// `x: [b, h, w, channels]`, `words: [b, n, context]`; same shape as `x`.
    pub(super) fn forward(&self, x: &Tensor, words: &Tensor) -> Result<Tensor> {
        let (b, height, width, c) = x.dims4()?;
        let h = self.norm.forward(x)?.reshape((b, height * width, c))?;
        let mut h = self.proj_in.forward(&h)?;
        for block in &self.blocks {
            h = block.forward(&h, words)?;
        }
        let x = x.reshape((b, height * width, c))?;
        self.proj_out.added(&h, &x)?.reshape((b, height, width, c))
    }
}

/// Two attention layers and a gated feed-forward layer.
#[derive(Debug)]
struct Block {
    norm1: LayerNorm,
    own: Heads,
    norm2: LayerNorm,
    cross: Heads,
    norm3: LayerNorm,
    widen: Linear,
    narrow: Linear,
}

impl Block {
    fn load(mut s: Source, channels: usize, context: usize, heads: usize) -> Loaded<Self> {
        Ok(Self {
            norm1: LayerNorm::load(s.at("norm1"), channels, LAYER_EPS)?,
            own: Heads::load(s.at("attn1"), [channels, channels], heads)?,
            norm2: LayerNorm::load(s.at("norm2"), channels, LAYER_EPS)?,
            cross: Heads::load(s.at("attn2"), [channels, context], heads)?,
            norm3: LayerNorm::load(s.at("norm3"), channels, LAYER_EPS)?,
            widen: Linear::load(s.at("ff.net.0.proj"), channels, 8 * channels)?,
            narrow: Linear::load(s.at("ff.net.2"), 4 * channels, channels)?,
        })
    }

    fn forward(&self, x: &Tensor, words: &Tensor) -> Result<Tensor> {
        let h = self.norm1.forward(x)?;
        let x = self.own.added(&h, &h, x)?;
        let h = self.norm2.forward(&x)?;
        let x = self.cross.added(&h, words, &x)?;
        let h = self.norm3.forward(&x)?;
        let h = self.widen.gated(&h, Activation::Gelu)?;
        self.narrow.added(&h, &x)
    }
}

/// Attention with its four projections, of which only the last has a bias.
#[derive(Debug)]
struct Heads {
    q: Linear,
    k: Linear,
    v: Linear,
    out: Linear,
    heads: usize,
}

impl Heads {
    fn load(mut s: Source, [channels, context]: [usize; 2], heads: usize) -> Loaded<Self> {
        Ok(Self {
            q: Linear::unbiased(s.at("to_q"), channels, channels)?,
            k: Linear::unbiased(s.at("to_k"), context, channels)?,
            v: Linear::unbiased(s.at("to_v"), context, channels)?,
            out: Linear::load(s.at("to_out.0"), channels, channels)?,
            heads,
        })
    }

    /// `x: [b, n, channels]` attends to `to: [b, m, context]`, which is added to `stream`.
    fn added(&self, x: &Tensor, to: &Tensor, stream: &Tensor) -> Result<Tensor> {
        let (q, k) = (self.q.forward(x)?, self.k.forward(to)?);
        let v = self.v.forward(to)?;
        let seen = attention(&q, &k, &v, Attend::like(&self.out, self.heads))?;
        self.out.added(&seen, stream)
    }
}
