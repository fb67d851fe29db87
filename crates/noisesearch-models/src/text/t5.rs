//! The encoder of T5 v1.1 (Raffel et al. 2020, arXiv 1910.10683; gated GELU of Shazeer 2020,
//! arXiv 2002.05202).
//!
//! A block is `x += attention(norm(x)); x += gated(norm(x))` with RMS norms and no biases. The
//! attention does not scale its products but adds a learned number for each head and distance
//! between tokens, which all blocks share. Names of tensors are those of transformers'
//! `T5EncoderModel`.

use super::config::{layers, size};
use super::embedding::Embedding;
use crate::layers::{Activation, Attend, Linear, Loaded, RmsNorm, Source, add, attention};
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

/// A T5 encoder. In f16 the published weights overflow: load it in bf16 or f32, as
/// [`super::T5Component`] does.
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
    gate: Linear,
    value: Linear,
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
            gate: Linear::unbiased(mlp.at("wi_0"), width, wide)?,
            value: Linear::unbiased(mlp.at("wi_1"), width, wide)?,
            heads: config.num_heads,
        })
    }

    fn forward(&self, x: &Tensor, bias: &Tensor) -> Result<Tensor> {
        let y = self.before_attention.forward(x)?;
        let how = Attend {
            scale: Some(1.0),
            bias: Some(bias),
            ..Attend::like(&self.out, self.heads)
        };
        let (q, k, v) = (
            self.q.forward(&y)?,
            self.k.forward(&y)?,
            self.v.forward(&y)?,
        );
        let x = add(x, &self.out.forward(&attention(&q, &k, &v, how)?)?)?;
        let y = self.before_mlp.forward(&x)?;
        let gate = self.gate.activated(&y, Activation::GeluTanh)?;
        add(
            &x,
            &self.narrow.forward(&(gate * self.value.forward(&y)?)?)?,
        )
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layers::Place;
    use crate::layers::testing::{close, each_place, file};
    use crate::parity::{Golden, Manifest};
    use crate::weights::Weights;

    /// Measured: 2e-6. Seen to fail at the first block with value and gate swapped (off by 8e-1),
    /// the exact GELU (1e-4), an eps of 1e-5 (2e-4) and scaled products (6e-1).
    const BLOCK: f64 = 1e-5;
    /// Measured: 2e-6. Seen to fail with one hidden token too few (5e-1).
    const END: f64 = 1e-4;

    fn golden() -> Golden {
        Golden::parse(include_str!("../../../../parity/goldens/t5-encoder.json")).unwrap()
    }

    fn config(value: &serde_json::Value) -> T5Config {
        serde_json::from_value(value.clone()).unwrap()
    }

    fn load(golden: &Golden, weights: Weights) -> T5Encoder {
        load_at(golden, weights, &Place::cpu())
    }

    fn load_at(golden: &Golden, mut weights: Weights, place: &Place) -> T5Encoder {
        let source = Source::new(&mut weights, place);
        let t5 = T5Encoder::load(source, &config(&golden.config)).unwrap();
        weights.finish().unwrap();
        t5
    }

    fn tokens(golden: &Golden, name: &str) -> Vec<u32> {
        serde_json::from_value(golden.more[name].clone()).unwrap()
    }

    #[test]
    fn golden_t5_encoder() {
        each_place(|place| {
            let golden = golden();
            let t5 = load_at(&golden, golden.weights().unwrap(), place);
            let ids = tokens(&golden, "tokens");
            let mut x = t5.tokens.forward(&ids).unwrap();
            golden.check("embed", &x, BLOCK).unwrap();
            let bias = t5.distances.bias(ids.len(), None, x.device()).unwrap();
            for (i, block) in t5.blocks.iter().enumerate() {
                x = block.forward(&x, &bias).unwrap();
                golden.check(&format!("block.{i}"), &x, BLOCK).unwrap();
            }
            let last = t5.encode(&ids, None).unwrap();
            golden.check("last", &last, END).unwrap();
        });
    }

    #[test]
    fn golden_t5_encoder_with_and_without_a_mask() {
        each_place(|place| {
            let golden = golden();
            let t5 = load_at(&golden, golden.weights().unwrap(), place);
            let padded = tokens(&golden, "padded");
            for (tap, mask) in [("masked", Some(14)), ("unmasked", None)] {
                let got = t5.encode(&padded, mask).unwrap().narrow(0, 0, 14).unwrap();
                golden.check(tap, &got, END).unwrap();
            }
            let alone = t5.encode(&padded[..14], None).unwrap();
            golden.check("masked", &alone, END).unwrap();
        });
    }

    #[test]
    fn golden_classes_of_distances() {
        let golden = golden();
        let t5 = load(&golden, golden.weights().unwrap());
        let buckets = tokens(&golden, "buckets");
        assert_eq!(buckets.len(), 601);
        for (key, want) in buckets.into_iter().enumerate() {
            assert_eq!(t5.distances.bucket(300, key), want as usize, "{key}");
        }
    }

    #[test]
    fn manifest_of_the_published_t5_encoder() {
        let text = include_str!("../../../../parity/manifests/t5-v1_1-xxl-encoder.json");
        let manifest = Manifest::parse(text).unwrap();
        let config = config(&manifest.config);
        manifest.check(|s| T5Encoder::load(s, &config)).unwrap();
    }

    #[test]
    fn the_table_of_tokens_has_two_names() {
        let golden = golden();
        let mut weights = golden.weights().unwrap();
        let tensors = golden.tensors.iter().map(|(name, shape)| {
            let tensor = weights.take(name, shape).unwrap();
            (name.clone(), tensor)
        });
        let mut tensors: Vec<(String, Tensor)> = tensors.collect();
        let ids = tokens(&golden, "padded");
        let encode = |tensors: &[(String, Tensor)]| {
            let tensors: Vec<_> = tensors.iter().map(|(n, t)| (n.as_str(), t)).collect();
            load(&golden, file(&tensors))
                .encode(&ids, Some(14))
                .unwrap()
        };
        let once = encode(&tensors);
        let at = tensors
            .iter()
            .position(|(name, _)| name == "shared.weight")
            .unwrap();
        tensors.push(("encoder.embed_tokens.weight".into(), tensors[at].1.clone()));
        close(&encode(&tensors), &once, 0.0);
        tensors.remove(at);
        close(&encode(&tensors), &once, 0.0);
    }

    #[test]
    fn configurations_are_checked() {
        let mut config = golden().config;
        let read = |config: &serde_json::Value| serde_json::from_value::<T5Config>(config.clone());
        assert_eq!(read(&config).unwrap().layer_norm_epsilon, 1e-6);
        config["feed_forward_proj"] = "relu".into();
        let error = read(&config).unwrap_err().to_string();
        assert!(error.contains("`relu`, expected `gated-gelu`"), "{error}");
        config["feed_forward_proj"] = "gated-gelu".into();
        config["num_heads"] = 0.into();
        assert!(read(&config).is_err());
    }
}
