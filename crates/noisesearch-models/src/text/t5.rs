//! The encoder of T5 v1.1 (Raffel et al. 2020, arXiv 1910.10683; gated GELU of Shazeer 2020,
//! arXiv 2002.05202).
//!
//! A block is `x += attention(norm(x)); x += gated(norm(x))` with RMS norms and no biases. The
//! attention does not scale its products but adds a learned number for each head and distance
//! between tokens, which all blocks share. Names of tensors are those of transformers'
//! `T5EncoderModel`.

use super::config::{layers, size};
use super::embedding::Embedding;
use crate::layers::{Activation, Attend, Linear, Loaded, RmsNorm, Source, add, attention, gated};
use candle_core::{Device, Result, Tensor};
use serde::Deserialize;

/// What hides padding: its weight is exactly zero in f32.
const HIDDEN: f32 = -1e9;

/// A `config.json` of a T5 v1.1 encoder.
#[derive(Clone, Debug, Deserialize)]
pub struct T5Config {
    /// Tokens.
    #[serde(deserialize_with = "size")]
    pub vocab_size: usize,
    /// Width of a token's features, d.
    #[serde(deserialize_with = "size")]
    pub d_model: usize,
    /// Width of a head.
    #[serde(deserialize_with = "size")]
    pub d_kv: usize,
    /// Width within an MLP.
    #[serde(deserialize_with = "size")]
    pub d_ff: usize,
    /// Blocks.
    #[serde(deserialize_with = "layers")]
    pub num_layers: usize,
    /// Heads.
    #[serde(deserialize_with = "size")]
    pub num_heads: usize,
    /// Classes of distances, half of them for each direction.
    #[serde(deserialize_with = "size", default = "buckets")]
    pub relative_attention_num_buckets: usize,
    /// Distance from which all are one class.
    #[serde(deserialize_with = "size", default = "distance")]
    pub relative_attention_max_distance: usize,
    /// What is added to a mean square.
    #[serde(default = "epsilon")]
    pub layer_norm_epsilon: f32,
    /// The form of the MLPs.
    pub feed_forward_proj: FeedForward,
}

/// The forms of MLP that are known.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
pub enum FeedForward {
    /// `wo(gelu(wi_0 x) * wi_1 x)`.
    #[serde(rename = "gated-gelu")]
    GatedGelu,
}

fn buckets() -> usize {
    32
}

fn distance() -> usize {
    128
}

fn epsilon() -> f32 {
    1e-6
}

/// A T5 encoder. In f16 the published weights overflow: load it in bf16 or f32.
#[derive(Debug)]
pub struct T5Encoder {
    tokens: Embedding,
    distances: Distances,
    blocks: Vec<Block>,
    norm: RmsNorm,
}

#[derive(Debug)]
struct Block {
    before_attention: RmsNorm,
    q: Linear,
    k: Linear,
    v: Linear,
    out: Linear,
    before_mlp: RmsNorm,
    /// The value and the gate.
    widen: Linear,
    narrow: Linear,
    heads: usize,
}

impl T5Encoder {
    /// Takes `shared.weight` or `encoder.embed_tokens.weight`, which are one tensor (a file may
    /// hold it under both names), and `encoder.*`.
    pub fn load(mut source: Source, config: &T5Config) -> Loaded<Self> {
        let (count, width) = (config.vocab_size, config.d_model);
        let copied = source.has("shared.weight") && source.at("encoder").has("embed_tokens.weight");
        let alone = !source.has("shared.weight") && source.at("encoder").has("embed_tokens.weight");
        if copied {
            source
                .at("encoder")
                .floats("embed_tokens.weight", &[count, width])?;
        }
        let tokens = match alone {
            true => Embedding::load(source.at("encoder").at("embed_tokens"), count, width)?,
            false => Embedding::load(source.at("shared"), count, width)?,
        };
        let mut s = source.at("encoder");
        let mut all = s.at("block");
        let distances = Distances::load(all.at(0).at("layer").at(0).at("SelfAttention"), config)?;
        let blocks = (0..config.num_layers).map(|i| Block::load(all.at(i).at("layer"), config));
        let blocks = blocks.collect::<Loaded<_>>()?;
        let norm = s.at("final_layer_norm");
        Ok(Self {
            tokens,
            distances,
            blocks,
            norm: RmsNorm::load(norm, "weight", width, config.layer_norm_epsilon)?,
        })
    }

    /// Encodes n tokens to `[n, d]` in the encoder's number format. With a `mask` only the first
    /// so many tokens are attended to; the features of the others mean nothing.
    pub fn encode(&self, tokens: &[u32], mask: Option<usize>) -> Result<Tensor> {
        let mut x = self.tokens.forward(tokens)?;
        let bias = self.distances.bias(tokens.len(), mask, x.device())?;
        for block in &self.blocks {
            x = block.forward(&x, &bias)?;
        }
        self.norm.forward(&x)?.squeeze(0)
    }
}

impl Block {
    fn load(mut s: Source, config: &T5Config) -> Loaded<Self> {
        let (width, wide, eps) = (config.d_model, config.d_ff, config.layer_norm_epsilon);
        let inner = config.num_heads * config.d_kv;
        let mut first = s.at(0);
        let before_attention = RmsNorm::load(first.at("layer_norm"), "weight", width, eps)?;
        let mut a = first.at("SelfAttention");
        let (q, k) = (
            Linear::unbiased(a.at("q"), width, inner)?,
            Linear::unbiased(a.at("k"), width, inner)?,
        );
        let v = Linear::unbiased(a.at("v"), width, inner)?;
        let out = Linear::unbiased(a.at("o"), inner, width)?;
        let mut second = s.at(1);
        let before_mlp = RmsNorm::load(second.at("layer_norm"), "weight", width, eps)?;
        let mut mlp = second.at("DenseReluDense");
        Ok(Self {
            before_attention,
            q,
            k,
            v,
            out,
            before_mlp,
            narrow: Linear::unbiased(mlp.at("wo"), wide, width)?,
            widen: Linear::fused(mlp, &["wi_1", "wi_0"], [width, wide], false)?,
            heads: config.num_heads,
        })
    }

    fn forward(&self, x: &Tensor, bias: &Tensor) -> Result<Tensor> {
        let y = self.before_attention.forward(x)?;
        let how = Attend {
            heads: self.heads,
            scale: Some(1.0),
            bias: Some(bias),
        };
        let (q, k, v) = (
            self.q.forward(&y)?,
            self.k.forward(&y)?,
            self.v.forward(&y)?,
        );
        let x = add(x, &self.out.forward(&attention(&q, &k, &v, how)?)?)?;
        let y = self.widen.forward(&self.before_mlp.forward(&x)?)?;
        add(&x, &self.narrow.forward(&gated(&y, Activation::GeluTanh)?)?)
    }
}

/// The learned number of each class of distances and head.
#[derive(Debug)]
struct Distances {
    /// `[buckets, heads]`.
    table: Vec<f32>,
    buckets: usize,
    heads: usize,
    furthest: usize,
}

impl Distances {
    fn load(mut s: Source, config: &T5Config) -> Loaded<Self> {
        let (buckets, heads) = (config.relative_attention_num_buckets, config.num_heads);
        Ok(Self {
            table: s.floats("relative_attention_bias.weight", &[buckets, heads])?,
            buckets,
            heads,
            furthest: config.relative_attention_max_distance,
        })
    }

    /// `[heads, n, n]`.
    fn bias(&self, n: usize, mask: Option<usize>, device: &Device) -> Result<Tensor> {
        let mut bias = Vec::with_capacity(self.heads * n * n);
        for head in 0..self.heads {
            for (query, key) in (0..n).flat_map(|query| (0..n).map(move |key| (query, key))) {
                let learned = self.table[self.bucket(query, key) * self.heads + head];
                let hidden = mask.is_some_and(|real| key >= real);
                bias.push(if hidden { HIDDEN } else { learned });
            }
        }
        Tensor::from_vec(bias, (self.heads, n, n), device)
    }

    /// The class of the distance from `query` to `key`: each of the short ones has its own, the
    /// longer ones are spaced by logarithms, up to `furthest`.
    fn bucket(&self, query: usize, key: usize) -> usize {
        let half = self.buckets / 2;
        let later = if key > query { half } else { 0 };
        let distance = key.abs_diff(query);
        let exact = half / 2;
        if distance < exact {
            return later + distance;
        }
        // In f32 as in the reference, since the result is cut to an integer.
        let ratio = libm::logf(distance as f32 / exact as f32);
        let whole = libm::log(self.furthest as f64 / exact as f64) as f32;
        let spaced = exact + (ratio / whole * (half - exact) as f32) as usize;
        later + spaced.min(half.saturating_sub(1))
    }
}
