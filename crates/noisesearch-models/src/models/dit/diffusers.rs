//! A DiT as diffusers keeps it (`DiTTransformer2DModel`), read as the authors' network.
//!
//! Other names, queries, keys and values apart, positions computed, the embeddings of time and
//! class in every block again. And two numbers are others, which the authors' own file does not
//! have: the frequencies of the time end at 1/10000, and the second norm of a block adds 1e-5.

use crate::checkpoint::Checkpoint;
use crate::models::positions::positions;
use crate::models::sit::{SitConfig, TimeAxis};
use crate::models::{TRANSFORMER, unsupported};
use crate::pipeline::OpenError;
use crate::weights::{Weights, WeightsError};
use serde::Deserialize;
use serde_json::Value;

/// `_class_name` of the network, now and in the published files.
const CLASSES: [&str; 2] = ["DiTTransformer2DModel", "Transformer2DModel"];

/// Where the blocks' own embeddings of time and class are.
const EMBEDDINGS: &str = "norm1.emb.";

/// `config.json` of a `DiTTransformer2DModel`.
#[derive(Deserialize)]
struct Config {
    num_attention_heads: usize,
    attention_head_dim: usize,
    in_channels: usize,
    out_channels: Option<usize>,
    num_layers: usize,
    sample_size: usize,
    patch_size: usize,
    num_embeds_ada_norm: usize,
    #[serde(default = "norm_eps")]
    norm_eps: f32,
    /// What must be as it is in every DiT.
    #[serde(flatten)]
    more: serde_json::Map<String, Value>,
}

fn norm_eps() -> f32 {
    1e-5
}

/// Whether a `transformer/config.json` is one of diffusers.
pub(super) fn is_config(config: &Value) -> bool {
    let class = config.get("_class_name").and_then(Value::as_str);
    let class = class.is_some_and(|class| CLASSES.contains(&class));
    class || config.get("num_embeds_ada_norm").is_some()
}

/// The sizes, if it is a DiT.
pub(super) fn config(checkpoint: &Checkpoint) -> Result<SitConfig, OpenError> {
    sizes(&checkpoint.config(TRANSFORMER)?)
}

fn sizes(config: &Config) -> Result<SitConfig, OpenError> {
    let refuse = |what: &str, found: &dyn std::fmt::Debug, supported: &str| {
        let what = format!("{what} of transformer/config.json");
        Err(unsupported(what, found, supported))
    };
    for (key, must) in [
        ("activation_fn", Value::from("gelu-approximate")),
        ("attention_bias", Value::from(true)),
        ("norm_type", Value::from("ada_norm_zero")),
        ("norm_elementwise_affine", Value::from(false)),
    ] {
        // What is left out has another value in some versions, so it must be there.
        let found = config.more.get(key).unwrap_or(&Value::Null);
        if *found != must {
            return refuse(key, found, &must.to_string());
        }
    }
    let outputs = config.out_channels.unwrap_or(config.in_channels);
    let learn_sigma = outputs != config.in_channels;
    if learn_sigma && Some(outputs) != config.in_channels.checked_mul(2) {
        return refuse("out_channels", &outputs, "once or twice in_channels");
    }
    if !(0.0..1.0).contains(&config.norm_eps) {
        return refuse("norm_eps", &config.norm_eps, "0 to 1");
    }
    let heads = config.num_attention_heads;
    let hidden = heads.saturating_mul(config.attention_head_dim);
    if !hidden.is_multiple_of(4) {
        return refuse("heads times attention_head_dim", &hidden, "a multiple of 4");
    }
    Ok(SitConfig {
        input_size: config.sample_size,
        patch: config.patch_size,
        channels: config.in_channels,
        hidden,
        depth: config.num_layers,
        heads,
        mlp_ratio: 4,
        classes: config.num_embeds_ada_norm,
        learn_sigma,
        time: TimeAxis::ClosedIndex,
        norm_eps: config.norm_eps,
    })
}

/// Takes a tensor of [`SitConfig::manifest`] from the weights of diffusers.
pub(super) fn take(
    config: &SitConfig,
    weights: &mut Weights,
    name: &str,
    shape: &[usize],
) -> Result<Vec<f32>, OpenError> {
    if name == "pos_embed" {
        let axis: Vec<f32> = (0..config.input_size / config.patch)
            .map(|at| at as f32)
            .collect();
        return Ok(positions(&axis, &axis, config.hidden));
    }
    if let Some(rest) = embedding(name) {
        return embeddings(config, weights, &rest, shape);
    }
    let parts = parts(name);
    let mut shape = shape.to_vec();
    shape[0] /= parts.len();
    let values: Result<Vec<_>, WeightsError> = parts
        .iter()
        .map(|part| weights.take_vec(part, &shape))
        .collect();
    Ok(values?.concat())
}

/// Takes an embedding of the first block; those of the others are the same, or this is no DiT.
fn embeddings(
    config: &SitConfig,
    weights: &mut Weights,
    name: &str,
    shape: &[usize],
) -> Result<Vec<f32>, OpenError> {
    let mut of = |block| {
        let name = format!("transformer_blocks.{block}.{EMBEDDINGS}{name}");
        let values = weights.take_vec(&name, shape);
        values.map(|values| (name, values))
    };
    let (_, first) = of(0)?;
    for block in 1..config.depth {
        let (name, other) = of(block)?;
        let same = first.iter().zip(&other).all(|(a, b)| a == b);
        // What is missing stands in as NaN, and is reported in the end.
        let there = first.iter().chain(&other).all(|value| value.is_finite());
        if there && !same {
            let found = "other values than in the first block";
            return Err(unsupported(name, &found, "the same in every block"));
        }
    }
    Ok(first)
}

/// The name of an embedding in a block.
fn embedding(name: &str) -> Option<String> {
    let (module, kind) = name.rsplit_once('.')?;
    let module = match module {
        "t_embedder.mlp.0" => "timestep_embedder.linear_1",
        "t_embedder.mlp.2" => "timestep_embedder.linear_2",
        "y_embedder.embedding_table" => "class_embedder.embedding_table",
        _ => return None,
    };
    Some(format!("{module}.{kind}"))
}

/// The tensors of diffusers that are, one below the other, a tensor of the authors'.
fn parts(name: &str) -> Vec<String> {
    let (module, kind) = name.rsplit_once('.').unwrap_or((name, ""));
    let whole: &[&str] = match module {
        "x_embedder.proj" => &["pos_embed.proj"],
        "final_layer.adaLN_modulation.1" => &["proj_out_1"],
        "final_layer.linear" => &["proj_out_2"],
        _ => &[],
    };
    if !whole.is_empty() {
        return whole.iter().map(|new| format!("{new}.{kind}")).collect();
    }
    let block = module.strip_prefix("blocks.");
    let (block, module) = block
        .and_then(|m| m.split_once('.'))
        .unwrap_or(("", module));
    let new: &[&str] = match module {
        "attn.qkv" => &["attn1.to_q", "attn1.to_k", "attn1.to_v"],
        "attn.proj" => &["attn1.to_out.0"],
        "mlp.fc1" => &["ff.net.0.proj"],
        "mlp.fc2" => &["ff.net.2"],
        "adaLN_modulation.1" => &["norm1.linear"],
        other => &[other],
    };
    let full = |new: &&str| format!("transformer_blocks.{block}.{new}.{kind}");
    new.iter().map(full).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parity::Manifest;

    const XL: &str = include_str!("../../../../../parity/manifests/dit-xl-2-256-diffusers.json");

    #[test]
    fn the_published_file_is_asked_for_exactly() {
        let manifest = Manifest::parse(XL).unwrap();
        assert!(is_config(&manifest.config));
        let config = sizes(&serde_json::from_value(manifest.config).unwrap()).unwrap();
        let authors = SitConfig {
            time: config.time,
            norm_eps: 1e-5,
            ..SitConfig::XL_2
        };
        assert_eq!(config, authors);
        let mut weights = Weights::hollow(&manifest.dtype, &manifest.tensors).unwrap();
        for (name, shape) in config.manifest() {
            take(&config, &mut weights, &name, &shape).unwrap();
        }
        weights.finish().unwrap();
    }

    /// `get_2d_sincos_pos_embed(8, 2)` of diffusers: columns first.
    #[test]
    fn positions_are_those_of_columns_and_then_of_lines() {
        let got = positions(&[0.0, 1.0], &[0.0, 1.0], 8);
        let (one, far) = ([1f64.sin(), 0.01f64.sin()], [1f64.cos(), 0.01f64.cos()]);
        let one = [one[0], one[1], far[0], far[1]].map(|v| v as f32);
        let zero = [0.0, 0.0, 1.0, 1.0];
        assert_eq!(got, [zero, zero, one, zero, zero, one, one, one].concat());
    }
}
