//! A text encoder of OpenCLIP, as Stable Diffusion XL holds one.
//!
//! Queries, keys and values are one matrix; the last projection is transposed.

use super::{Form, Part, blocks, numbered, renamed};

/// In a block.
const BLOCK: [(&str, &str); 5] = [
    ("ln_1.", "layer_norm1."),
    ("ln_2.", "layer_norm2."),
    ("mlp.c_fc.", "mlp.fc1."),
    ("mlp.c_proj.", "mlp.fc2."),
    ("attn.out_proj.", "self_attn.out_proj."),
];

/// Outside blocks.
const OUTSIDE: [(&str, &str); 3] = [
    ("token_embedding.", "text_model.embeddings.token_embedding."),
    (
        "positional_embedding",
        "text_model.embeddings.position_embedding.weight",
    ),
    ("ln_final.", "text_model.final_layer_norm."),
];

pub(super) fn parts(component: &'static str, name: &str, shape: &[u64]) -> Option<Vec<Part>> {
    let part = |name: String| Part::new(component, name);
    if name == "text_projection" {
        let projection = part("text_projection.weight".into());
        return Some(vec![projection.form(Form::Transposed)]);
    }
    let Some(rest) = name.strip_prefix("transformer.resblocks.") else {
        return Some(vec![part(renamed(name, &OUTSIDE)?)]);
    };
    let (block, rest) = numbered(rest)?;
    let block = format!("text_model.encoder.layers.{block}.");
    if let Some(kind) = rest.strip_prefix("attn.in_proj_") {
        let names = ["q", "k", "v"].map(|p| format!("{block}self_attn.{p}_proj.{kind}"));
        let cut = |(name, rows)| part(name).rows(vec![rows]);
        return Some(names.into_iter().zip(blocks(shape, 3)?).map(cut).collect());
    }
    Some(vec![part(format!("{block}{}", renamed(rest, &BLOCK)?))])
}
