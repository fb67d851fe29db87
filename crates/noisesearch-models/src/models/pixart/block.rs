//! A block of PixArt.

use super::PixArtConfig;
use crate::layers::{Activation, Attend, LayerNorm, Linear, Loaded, Mlp, Source, add, attention};
use crate::models::rows::Run;
use candle_core::{D, Result, Tensor};

/// Features inside an MLP, in multiples of a token's.
const MLP_RATIO: usize = 4;

/// Self-attention, cross-attention and an MLP.
#[derive(Debug)]
pub(super) struct Block {
    /// `[6, d]`, added to the modulation that all blocks share.
    table: Tensor,
    norm: LayerNorm,
    qkv: Linear,
    out: Linear,
    cross: Cross,
    mlp: Mlp,
    heads: usize,
}

impl Block {
    pub fn load(mut s: Source, c: &PixArtConfig) -> Loaded<Self> {
        let d = c.hidden();
        let (inside, sizes) = (["net.0.proj", "net.2"], [d, MLP_RATIO * d, d]);
        let names = ["to_q", "to_k", "to_v"];
        Ok(Self {
            table: s.tensor("scale_shift_table", &[6, d])?,
            norm: LayerNorm::bare(&s, d, c.norm_eps)?,
            qkv: Linear::fused(s.at("attn1"), &names, [d, d], true)?,
            out: Linear::load(s.at("attn1.to_out.0"), d, d)?,
            cross: Cross::load(s.at("attn2"), d, c.num_attention_heads)?,
            mlp: Mlp::load(s.at("ff"), inside, sizes, Activation::GeluTanh)?,
            heads: c.num_attention_heads,
        })
    }

    /// `x: [b, tokens, d]` to the same; `modulation: [6, d]` is shift, scale, gate of the
    /// self-attention, then of the MLP; `captions` are one a run, see [`Cross::forward`].
    ///
    /// What a step made is gone before the next one: an image of 1024 pixels has 4096 tokens, whose
    /// features are 19 MB, and the inside of its MLP is four times that.
    pub fn forward(
        &self,
        mut x: Tensor,
        modulation: &Tensor,
        captions: &[Tensor],
        runs: &[Run],
    ) -> Result<Tensor> {
        let (b, _, d) = x.dims3()?;
        let all = (&self.table + modulation)?;
        let m = |i: usize| all.narrow(0, i, 1)?.broadcast_as((b, d))?.contiguous();
        let h = self.norm.modulated(&x, &m(0)?, &m(1)?)?;
        x = self.out.added_gated(self.attend(h)?, &x, &m(2)?)?;
        x = add(&x, &self.cross.forward(&x, captions, runs)?)?;
        let h = self.norm.modulated(&x, &m(3)?, &m(4)?)?;
        self.mlp.added_gated(&h, &x, &m(5)?)
    }

    /// The self-attention of `h: [b, tokens, d]`, before its last layer.
    fn attend(&self, h: Tensor) -> Result<Tensor> {
        let [q, k, v] = self.queries_keys_values(h)?;
        let how = Attend::like(&self.out, self.heads);
        attention(&q, &k, &v, how)
    }

    fn queries_keys_values(&self, h: Tensor) -> Result<[Tensor; 3]> {
        let d = h.dim(D::Minus1)?;
        let qkv = self.qkv.forward(&h)?;
        drop(h);
        let part = |i: usize| qkv.narrow(D::Minus1, i * d, d)?.contiguous();
        Ok([part(0)?, part(1)?, part(2)?])
    }
}

/// Attention to the caption.
#[derive(Debug)]
struct Cross {
    queries: Linear,
    keys_values: Linear,
    out: Linear,
    heads: usize,
}

impl Cross {
    fn load(mut s: Source, d: usize, heads: usize) -> Loaded<Self> {
        Ok(Self {
            queries: Linear::load(s.at("to_q"), d, d)?,
            out: Linear::load(s.at("to_out.0"), d, d)?,
            keys_values: Linear::fused(s, &["to_k", "to_v"], [d, d], true)?,
            heads,
        })
    }

    /// `x: [b, tokens, d]` to the same. `captions: [1, n, d]`, one a run, hold only real tokens,
    /// which is what a mask comes to; all rows of a run ask one caption, so they are one sequence
    /// of queries.
    fn forward(&self, x: &Tensor, captions: &[Tensor], runs: &[Run]) -> Result<Tensor> {
        let (_, tokens, d) = x.dims3()?;
        let q = self.queries.forward(x)?;
        let (mut first, mut rows) = (0, Vec::with_capacity(runs.len()));
        for (caption, run) in captions.iter().zip(runs) {
            let kv = self.keys_values.forward(caption)?;
            let part = |i: usize| kv.narrow(D::Minus1, i * d, d)?.contiguous();
            let queries = q.narrow(0, first, run.rows)?;
            let queries = queries.reshape((1, run.rows * tokens, d))?;
            let how = Attend::like(&self.queries, self.heads);
            let a = attention(&queries, &part(0)?, &part(1)?, how)?;
            rows.push(a.reshape((run.rows, tokens, d))?);
            first += run.rows;
        }
        self.out.forward(&Tensor::cat(&rows, 0)?)
    }
}
