//! Attention `softmax(q kᵀ / sqrt(d)) v` by heads, in blocks of keys: FlashAttention (Dao et al.
//! 2022, arXiv 2205.14135, algorithm 1). A block's keys and values stay in the second-level cache
//! while many queries pass, some of them at a time, so that their scores stay in the first:
//!
//! ```text
//! t' = max(t, max(s))    w = e^(s - t')    f = e^(t - t')    l = f l + sum(w)    o = f o + w v
//! ```
//!
//! from `t = -∞, l = 0, o = 0`, with scores `s` of the block; `o / l` is the result. Keys of one
//! block need no running sums: in f32 their weights are divided by `l` before the product.
//!
//! In bf16, queries, keys, values and weights are rounded, and both products are those of
//! [`super::bf16`]; the rest is f32.

mod pack;
#[cfg(test)]
mod tests;
mod weigh;

use super::activation::softmax;
use super::bf16::{self, DEPTH, Order, Right};
use super::buffer::{Arena, Buffer};
use super::gemm::{Epilogue, Output, Panels, Windows, gemm};
use super::isa::Isa;
pub use pack::Blocks;
use pack::Cut;
use weigh::{Divide, Running, Weigh};

/// Queries whose scores are computed at a time.
const ROWS: usize = 64;
/// Queries that pass a block of keys.
const TURN: usize = 512;

/// Rows of tokens inside a packed sequence such as `[tokens, q | k | v]`.
#[derive(Clone, Copy, Debug)]
pub struct Tokens<'a> {
    /// From the first feature of the first token on.
    pub data: &'a [f32],
    /// Tokens.
    pub count: usize,
    /// Distance between tokens.
    pub stride: usize,
}

/// The three inputs of attention; head `h` is features `h * head_dim..` of every token.
#[derive(Clone, Copy, Debug)]
pub struct Attention<'a> {
    /// Queries.
    pub q: Tokens<'a>,
    /// Keys.
    pub k: Tokens<'a>,
    /// Values, as many as keys.
    pub v: Tokens<'a>,
    /// Heads.
    pub heads: usize,
    /// Features of a head.
    pub head_dim: usize,
    /// Factor of the products of queries and keys; the usual one is [`usual_scale`].
    pub scale: f32,
    /// Summands of the scaled products, if any.
    pub bias: Option<Bias<'a>>,
    /// The order of both products in bf16; without one, they are in f32.
    pub order: Option<Order>,
}

/// What is added to the scaled product of query `i` and key `j` of a head:
/// `data[head * head_stride + i * query_stride + j]`. A large negative number hides a key.
#[derive(Clone, Copy, Debug)]
pub struct Bias<'a> {
    /// From the first head's first query on.
    pub data: &'a [f32],
    /// Distance between heads; 0 when all share one bias.
    pub head_stride: usize,
    /// Distance between queries; 0 when all share one row.
    pub query_stride: usize,
}

/// `1 / sqrt(head_dim)`.
pub fn usual_scale(head_dim: usize) -> f32 {
    1.0 / (head_dim as f32).sqrt()
}

impl<'a> Attention<'a> {
    /// Self-attention from `qkv: [tokens, 3 * heads * head_dim]`.
    pub fn packed(qkv: &'a [f32], heads: usize, head_dim: usize) -> Self {
        let width = heads * head_dim;
        let count = qkv.len() / (3 * width);
        let part = |i: usize| Tokens {
            data: &qkv[i * width..],
            count,
            stride: 3 * width,
        };
        Self {
            q: part(0),
            k: part(1),
            v: part(2),
            heads,
            head_dim,
            scale: usual_scale(head_dim),
            bias: None,
            order: None,
        }
    }

    /// The same keys and values for `count` queries from `first` on.
    pub fn queries(mut self, first: usize, count: usize) -> Self {
        self.q = Tokens {
            data: &self.q.data[first * self.q.stride..],
            count,
            ..self.q
        };
        self.bias = self.bias.map(|bias| Bias {
            data: &bias.data[first * bias.query_stride..],
            ..bias
        });
        self
    }

    /// `out: [queries, heads * head_dim]`.
    pub fn apply(&self, isa: Isa, arena: &mut Arena, out: &mut [f32]) {
        let blocks = self.pack(isa, arena);
        self.attend(isa, arena, &blocks, out);
        blocks.give(arena);
    }

    /// The same with keys and values that [`Self::pack`] has arranged, for these or other queries.
    pub fn attend(&self, isa: Isa, arena: &mut Arena, blocks: &Blocks, out: &mut [f32]) {
        let mut scratch = Scratch::take(arena, self);
        let stride = self.heads * self.head_dim;
        for head in 0..self.heads {
            for first in (0..self.q.count).step_by(TURN) {
                let count = TURN.min(self.q.count - first);
                let mut turn = Turn {
                    isa,
                    attention: self.queries(first, count),
                    head,
                    cut: Cut::of(self),
                    blocks,
                    scratch: &mut scratch,
                    running: [Running::default(); TURN],
                };
                turn.run(&mut out[first * stride..][..count * stride]);
            }
        }
        scratch.give(arena);
    }
}

/// Memory that attention needs for a while.
struct Scratch {
    /// Scores and then weights of some queries, `[ROWS, keys of a block]`.
    scores: Buffer,
    /// Sums of weighted values, `[TURN, head_dim]`.
    sums: Buffer,
    /// In bf16: queries, `[TURN, head_dim]`, and weights, with both widths padded.
    queries: Buffer<u16>,
    weights: Buffer<u16>,
}

impl Scratch {
    fn take(arena: &mut Arena, attention: &Attention) -> Self {
        let cut = Cut::of(attention);
        // Whole tiles are read, also where fewer queries are left.
        let queries = attention.q.count.min(TURN).next_multiple_of(ROWS);
        let halves = usize::from(attention.order.is_some());
        Self {
            scores: arena.take(ROWS * cut.block),
            sums: arena.take(queries * cut.dim),
            queries: arena.take_halves(halves * queries * cut.depth()),
            weights: arena.take_halves(halves * ROWS * cut.block),
        }
    }

    fn give(self, arena: &mut Arena) {
        arena.give(self.scores);
        arena.give(self.sums);
        arena.give_halves(self.queries);
        arena.give_halves(self.weights);
    }
}

/// At most [`TURN`] queries of one head.
struct Turn<'a> {
    isa: Isa,
    /// Of these queries only.
    attention: Attention<'a>,
    head: usize,
    cut: Cut,
    blocks: &'a Blocks,
    scratch: &'a mut Scratch,
    running: [Running; TURN],
}

/// Some of the queries, and a block of keys.
#[derive(Clone, Copy)]
struct Strip {
    first: usize,
    count: usize,
    block: usize,
    /// Keys of the block.
    keys: usize,
}

impl Turn<'_> {
    /// `out`: from the first of these queries on.
    fn run(&mut self, out: &mut [f32]) {
        let (count, dim) = (self.attention.q.count, self.cut.dim);
        if self.attention.order.is_some() {
            let to = &mut self.scratch.queries;
            pack::queries(self.isa, self.attention.q, self.head * dim, self.cut, to);
        }
        for block in 0..self.cut.blocks() {
            for first in (0..count).step_by(ROWS) {
                let strip = Strip {
                    first,
                    count: ROWS.min(count - first),
                    block,
                    keys: self.cut.range(block).len(),
                };
                self.score(strip);
                self.weigh(strip);
                self.sum(strip);
            }
        }
        self.isa.run(Divide {
            sums: &self.scratch.sums,
            running: &self.running,
            out: &mut out[self.head * dim..],
            sizes: [dim, self.attention.heads * dim],
        });
    }

    /// Products of queries and keys.
    fn score(&mut self, strip: Strip) {
        let (cut, scratch) = (self.cut, &mut *self.scratch);
        let out = Output {
            data: &mut scratch.scores[..strip.count * strip.keys],
            stride: strip.keys,
        };
        let place = self.head * cut.blocks() + strip.block;
        match self.blocks {
            Blocks::Wide(all) => {
                let q = self.attention.q;
                let rows = &q.data[strip.first * q.stride + self.head * cut.dim..];
                let right = Panels {
                    data: cut.keys(all, place, cut.dim),
                    bias: &[],
                    outputs: strip.keys,
                    k: cut.dim,
                };
                let left = Windows::strided(rows, strip.count, cut.dim, q.stride);
                gemm(self.isa, left, right, out, Epilogue::Store);
            }
            Blocks::Bf16(all, order) => {
                let depth = cut.depth();
                let rows = &scratch.queries[strip.first * depth..];
                let right = Right {
                    words: cut.keys(all, place, depth / 2),
                    outputs: strip.keys,
                    order: *order,
                };
                let left = Windows::strided(rows, strip.count, depth, depth);
                bf16::product_of_rounded(self.isa, left, right, out, Epilogue::Store);
            }
        }
    }

    /// Products become weights: scaled, biased, and their exponential.
    fn weigh(&mut self, strip: Strip) {
        let scratch = &mut *self.scratch;
        let scores = &mut scratch.scores[..strip.count * strip.keys];
        let mut scale = self.attention.scale;
        if let Some(bias) = self.attention.bias {
            let first = self.head * bias.head_stride + self.cut.range(strip.block).start;
            for (i, row) in scores.chunks_exact_mut(strip.keys).enumerate() {
                let at = first + (strip.first + i) * bias.query_stride;
                for (score, bias) in row.iter_mut().zip(&bias.data[at..][..strip.keys]) {
                    *score = scale * *score + bias;
                }
            }
            scale = 1.0;
        }
        let running = &mut self.running[strip.first..][..strip.count];
        if self.attention.order.is_none() && self.cut.blocks() == 1 {
            softmax(self.isa, scores, strip.keys, scale);
            running.fill(Running::WHOLE);
            return;
        }
        self.isa.run(Weigh {
            scores,
            keys: strip.keys,
            scale,
            running,
            sums: &mut scratch.sums[strip.first * self.cut.dim..],
            dim: self.cut.dim,
            rounded: &mut scratch.weights,
        });
    }

    /// Adds weighted values.
    fn sum(&mut self, strip: Strip) {
        let (cut, scratch) = (self.cut, &mut *self.scratch);
        let out = Output {
            data: &mut scratch.sums[strip.first * cut.dim..],
            stride: cut.dim,
        };
        let epilogue = match strip.block {
            0 => Epilogue::Store,
            _ => Epilogue::Add,
        };
        let place = self.head * cut.blocks() + strip.block;
        match self.blocks {
            Blocks::Wide(all) => {
                let rows = Windows::rows(&scratch.scores[..strip.count * strip.keys], strip.keys);
                let right = Panels {
                    data: cut.values(all, place, strip.keys),
                    bias: &[],
                    outputs: cut.dim,
                    k: strip.keys,
                };
                gemm(self.isa, rows, right, out, epilogue);
            }
            Blocks::Bf16(all, order) => {
                let padded = strip.keys.next_multiple_of(DEPTH);
                let rows = Windows::strided(&scratch.weights, strip.count, padded, padded);
                let right = Right {
                    words: cut.values(all, place, padded / 2),
                    outputs: cut.dim,
                    order: *order,
                };
                bf16::product_of_rounded(self.isa, rows, right, out, epilogue);
            }
        }
    }
}
