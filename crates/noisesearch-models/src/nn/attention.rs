//! Attention `softmax(q kᵀ / sqrt(d)) v` by heads, for hundreds of tokens: whole rows of scores
//! fit the first-level cache, so no running maximum is needed.

use super::activation::softmax;
use super::buffer::Arena;
use super::gemm::{Epilogue, Output, Panels, Windows, gemm};
use super::isa::Isa;
use super::lanes::PANEL;

/// Queries whose scores are computed at a time.
const BLOCK: usize = 48;

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
        let (keys, dim) = (self.k.count, self.head_dim);
        let mut key_panels = arena.take(keys.next_multiple_of(PANEL) * dim);
        let mut value_panels = arena.take(dim.next_multiple_of(PANEL) * keys);
        let mut scores = arena.take(BLOCK.min(self.q.count) * keys);
        for head in 0..self.heads {
            let at = head * dim;
            pack_keys(self.k, at, dim, &mut key_panels);
            pack_values(self.v, at, dim, &mut value_panels);
            let by_key = Panels {
                data: &key_panels,
                bias: &[],
                outputs: keys,
                k: dim,
            };
            let by_value = Panels {
                data: &value_panels,
                bias: &[],
                outputs: dim,
                k: keys,
            };
            for first in (0..self.q.count).step_by(BLOCK) {
                let count = BLOCK.min(self.q.count - first);
                let scores = &mut scores[..count * keys];
                let q = &self.q.data[first * self.q.stride + at..];
                let q = Windows::strided(q, count, dim, self.q.stride);
                gemm(
                    isa,
                    q,
                    by_key,
                    Output {
                        data: scores,
                        stride: keys,
                    },
                    Epilogue::Store,
                );
                self.normalise(isa, head, first, scores);
                let stride = self.heads * dim;
                let out = Output {
                    data: &mut out[first * stride + at..],
                    stride,
                };
                gemm(
                    isa,
                    Windows::rows(scores, keys),
                    by_value,
                    out,
                    Epilogue::Store,
                );
            }
        }
        arena.give(key_panels);
        arena.give(value_panels);
        arena.give(scores);
    }

    /// Products of queries from `first` on become weights: scaled, biased, softmax.
    fn normalise(&self, isa: Isa, head: usize, first: usize, scores: &mut [f32]) {
        let keys = self.k.count;
        let Some(bias) = self.bias else {
            return softmax(isa, scores, keys, self.scale);
        };
        for (i, row) in scores.chunks_exact_mut(keys).enumerate() {
            let at = head * bias.head_stride + (first + i) * bias.query_stride;
            for (score, bias) in row.iter_mut().zip(&bias.data[at..][..keys]) {
                *score = self.scale * *score + bias;
            }
        }
        softmax(isa, scores, keys, 1.0);
    }
}

/// `panels[key / 16][i][key % 16] = key's feature i`, zero-padded.
fn pack_keys(k: Tokens, at: usize, dim: usize, panels: &mut [f32]) {
    for (p, panel) in panels.chunks_exact_mut(PANEL * dim).enumerate() {
        let keys = PANEL.min(k.count - p * PANEL);
        if keys < PANEL {
            panel.fill(0.0);
        }
        for key in 0..keys {
            let features = &k.data[(p * PANEL + key) * k.stride + at..][..dim];
            for (lanes, &x) in panel.chunks_exact_mut(PANEL).zip(features) {
                lanes[key] = x;
            }
        }
    }
}

/// `panels[i / 16][value][i % 16] = value's feature i`, zero-padded.
fn pack_values(v: Tokens, at: usize, dim: usize, panels: &mut [f32]) {
    for (p, panel) in panels.chunks_exact_mut(PANEL * v.count).enumerate() {
        let width = PANEL.min(dim - p * PANEL);
        for (value, lanes) in panel.chunks_exact_mut(PANEL).enumerate() {
            lanes[width..].fill(0.0);
            lanes[..width].copy_from_slice(&v.data[value * v.stride + at + p * PANEL..][..width]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::testing::{assert_close, same_on_every_isa, wave};

    /// One head of one query; `bias` of a key is added to its scaled product.
    fn plain(
        q: &[f32],
        k: &[&[f32]],
        v: &[&[f32]],
        scale: f32,
        bias: &dyn Fn(usize) -> f32,
    ) -> Vec<f64> {
        let dot = |a: &[f32], b: &[f32]| -> f64 {
            a.iter()
                .zip(b)
                .map(|(a, b)| f64::from(*a) * f64::from(*b))
                .sum()
        };
        let weights: Vec<f64> = k
            .iter()
            .enumerate()
            .map(|(j, k)| (dot(q, k) * f64::from(scale) + f64::from(bias(j))).exp())
            .collect();
        let total: f64 = weights.iter().sum();
        (0..q.len())
            .map(|i| {
                weights
                    .iter()
                    .zip(v)
                    .map(|(w, v)| w * f64::from(v[i]))
                    .sum::<f64>()
                    / total
            })
            .collect()
    }

    fn check(attention: Attention) {
        let (heads, dim) = (attention.heads, attention.head_dim);
        let got = same_on_every_isa(|isa| {
            let mut out = vec![f32::NAN; attention.q.count * heads * dim];
            attention.apply(isa, &mut Arena::default(), &mut out);
            out
        });
        let rows = |t: Tokens<'_>, head: usize| -> Vec<Vec<f32>> {
            (0..t.count)
                .map(|i| t.data[i * t.stride + head * dim..][..dim].to_vec())
                .collect()
        };
        let mut want = vec![0.0; got.len()];
        for head in 0..heads {
            let (k, v) = (rows(attention.k, head), rows(attention.v, head));
            let (k, v): (Vec<_>, Vec<_>) = (
                k.iter().map(|k| &k[..]).collect(),
                v.iter().map(|v| &v[..]).collect(),
            );
            for (i, q) in rows(attention.q, head).iter().enumerate() {
                let bias = |j: usize| {
                    let at = |b: Bias<'_>| head * b.head_stride + i * b.query_stride + j;
                    attention.bias.map_or(0.0, |b| b.data[at(b)])
                };
                let row = plain(q, &k, &v, attention.scale, &bias);
                want[(i * heads + head) * dim..][..dim].copy_from_slice(&row);
            }
        }
        assert_close(&got, &want, 2e-6);
    }

    #[test]
    fn self_attention_follows_its_formula() {
        for (tokens, heads, dim) in [(64, 4, 32), (16, 2, 16), (100, 1, 72), (51, 3, 20)] {
            let qkv = wave(tokens * 3 * heads * dim, 1.0);
            check(Attention::packed(&qkv, heads, dim));
        }
    }

    #[test]
    fn cross_attention_follows_its_formula() {
        let (heads, dim) = (2, 16);
        let (q, kv) = (wave(64 * 32, 1.0), wave(9 * 64, 2.0));
        let k = Tokens {
            data: &kv,
            count: 9,
            stride: 64,
        };
        let v = Tokens {
            data: &kv[32..],
            count: 9,
            stride: 64,
        };
        let q = Tokens {
            data: &q,
            count: 64,
            stride: 32,
        };
        let attention = Attention {
            q,
            k,
            v,
            heads,
            head_dim: dim,
            scale: usual_scale(dim),
            bias: None,
        };
        check(attention);
        check(attention.queries(50, 14));
        let summands = wave(2 * 64 * 9, 3.0);
        for (head_stride, query_stride) in [(64 * 9, 9), (0, 9), (9, 0)] {
            let bias = Some(Bias {
                data: &summands,
                head_stride,
                query_stride,
            });
            let biased = Attention {
                scale: 1.0,
                bias,
                ..attention
            };
            check(biased);
            check(biased.queries(50, 14));
        }
    }
}
