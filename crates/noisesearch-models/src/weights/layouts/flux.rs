//! FLUX.1 as Black Forest Labs publish it (`flux1-dev.safetensors`).
//!
//! Queries, keys and values are one matrix, in single blocks with the first layer of the
//! feed-forward network below them; the last modulation has shift before scale.

use super::{Part, blocks, numbered, renamed};

/// Outside blocks.
const OUTSIDE: [(&str, &str); 10] = [
    ("img_in.", "x_embedder."),
    ("txt_in.", "context_embedder."),
    (
        "time_in.in_layer.",
        "time_text_embed.timestep_embedder.linear_1.",
    ),
    (
        "time_in.out_layer.",
        "time_text_embed.timestep_embedder.linear_2.",
    ),
    (
        "vector_in.in_layer.",
        "time_text_embed.text_embedder.linear_1.",
    ),
    (
        "vector_in.out_layer.",
        "time_text_embed.text_embedder.linear_2.",
    ),
    (
        "guidance_in.in_layer.",
        "time_text_embed.guidance_embedder.linear_1.",
    ),
    (
        "guidance_in.out_layer.",
        "time_text_embed.guidance_embedder.linear_2.",
    ),
    ("final_layer.linear.", "proj_out."),
    ("final_layer.adaLN_modulation.1.", "norm_out.linear."),
];

/// In double blocks, apart from queries, keys and values.
const DOUBLE: [(&str, &str); 12] = [
    ("img_mod.lin.", "norm1.linear."),
    ("txt_mod.lin.", "norm1_context.linear."),
    ("img_attn.norm.query_norm.scale", "attn.norm_q.weight"),
    ("img_attn.norm.key_norm.scale", "attn.norm_k.weight"),
    ("txt_attn.norm.query_norm.scale", "attn.norm_added_q.weight"),
    ("txt_attn.norm.key_norm.scale", "attn.norm_added_k.weight"),
    ("img_attn.proj.", "attn.to_out.0."),
    ("txt_attn.proj.", "attn.to_add_out."),
    ("img_mlp.0.", "ff.net.0.proj."),
    ("img_mlp.2.", "ff.net.2."),
    ("txt_mlp.0.", "ff_context.net.0.proj."),
    ("txt_mlp.2.", "ff_context.net.2."),
];

/// In single blocks, apart from the first layer.
const SINGLE: [(&str, &str); 4] = [
    ("modulation.lin.", "norm.linear."),
    ("norm.query_norm.scale", "attn.norm_q.weight"),
    ("norm.key_norm.scale", "attn.norm_k.weight"),
    ("linear2.", "proj_out."),
];

/// Rows of the first layer of a single block, as multiples of the width: queries, keys and values
/// of one, the feed-forward network of four.
const SINGLE_ROWS: u64 = 7;

pub(super) fn parts(name: &str, shape: &[u64]) -> Option<Vec<Part>> {
    let name = name.strip_prefix("model.diffusion_model.").unwrap_or(name);
    if let Some(rest) = name.strip_prefix("double_blocks.") {
        let (block, rest) = numbered(rest)?;
        return double(&format!("transformer_blocks.{block}."), rest, shape);
    }
    if let Some(rest) = name.strip_prefix("single_blocks.") {
        let (block, rest) = numbered(rest)?;
        return single(&format!("single_transformer_blocks.{block}."), rest, shape);
    }
    let new = part(renamed(name, &OUTSIDE)?);
    if name.starts_with("final_layer.adaLN_modulation.") {
        let mut halves = blocks(shape, 2)?;
        halves.swap(0, 1);
        return Some(vec![new.rows(halves)]);
    }
    Some(vec![new])
}

fn double(block: &str, name: &str, shape: &[u64]) -> Option<Vec<Part>> {
    let fused = [
        ("img_attn.qkv.", ["attn.to_q.", "attn.to_k.", "attn.to_v."]),
        (
            "txt_attn.qkv.",
            ["attn.add_q_proj.", "attn.add_k_proj.", "attn.add_v_proj."],
        ),
    ];
    for (old, new) in fused {
        if let Some(kind) = name.strip_prefix(old) {
            let cut = |(new, rows)| part(format!("{block}{new}{kind}")).rows(vec![rows]);
            return Some(new.into_iter().zip(blocks(shape, 3)?).map(cut).collect());
        }
    }
    Some(vec![part(format!("{block}{}", renamed(name, &DOUBLE)?))])
}

fn single(block: &str, name: &str, shape: &[u64]) -> Option<Vec<Part>> {
    let Some(kind) = name.strip_prefix("linear1.") else {
        return Some(vec![part(format!("{block}{}", renamed(name, &SINGLE)?))]);
    };
    let rows = blocks(shape, SINGLE_ROWS)?;
    let (end, begin) = (rows[6].end, rows[3].start);
    let cuts = [
        ("attn.to_q.", rows[0].clone()),
        ("attn.to_k.", rows[1].clone()),
        ("attn.to_v.", rows[2].clone()),
        ("proj_mlp.", begin..end),
    ];
    let cut = |(new, rows)| part(format!("{block}{new}{kind}")).rows(vec![rows]);
    Some(cuts.into_iter().map(cut).collect())
}

fn part(name: String) -> Part {
    Part::new("transformer", name)
}
