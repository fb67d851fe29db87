//! The networks of OpenCLIP: a text encoder, as Stable Diffusion XL holds one, and both towers of a
//! scorer of images, such as HPSv2.
//!
//! Queries, keys and values are one matrix; the last projections are transposed.

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

/// Outside blocks of the vision tower.
const VISION: [(&str, &str); 5] = [
    ("class_embedding", "embeddings.class_embedding"),
    (
        "positional_embedding",
        "embeddings.position_embedding.weight",
    ),
    ("conv1.", "embeddings.patch_embedding."),
    ("ln_pre.", "pre_layrnorm."),
    ("ln_post.", "post_layernorm."),
];

/// Whether a tensor of this name says that a file holds both towers.
pub(super) fn is_both(name: &str) -> bool {
    name == "visual.class_embedding"
}

/// A tensor of both towers, in transformers' `CLIPModel`, which is a component without a name.
pub(super) fn both(name: &str, shape: &[u64]) -> Option<Vec<Part>> {
    let part = |name: String| Part::new("", name);
    match name.strip_prefix("visual.") {
        None if name == "logit_scale" => Some(vec![part(name.into())]),
        None => parts("", name, shape),
        Some("proj") => {
            let projection = part("visual_projection.weight".into());
            Some(vec![projection.form(Form::Transposed)])
        }
        Some(name) => match name.strip_prefix("transformer.resblocks.") {
            Some(rest) => block("", "vision_model", rest, shape),
            None => Some(vec![part(format!(
                "vision_model.{}",
                renamed(name, &VISION)?
            ))]),
        },
    }
}

/// A tensor of a text encoder.
pub(super) fn parts(component: &'static str, name: &str, shape: &[u64]) -> Option<Vec<Part>> {
    let part = |name: String| Part::new(component, name);
    if name == "text_projection" {
        let projection = part("text_projection.weight".into());
        return Some(vec![projection.form(Form::Transposed)]);
    }
    match name.strip_prefix("transformer.resblocks.") {
        Some(rest) => block(component, "text_model", rest, shape),
        None => Some(vec![part(renamed(name, &OUTSIDE)?)]),
    }
}

/// `rest` of a name in a block of `tower`.
fn block(component: &'static str, tower: &str, rest: &str, shape: &[u64]) -> Option<Vec<Part>> {
    let part = |name: String| Part::new(component, name);
    let (number, rest) = numbered(rest)?;
    let block = format!("{tower}.encoder.layers.{number}.");
    if let Some(kind) = rest.strip_prefix("attn.in_proj_") {
        let names = ["q", "k", "v"].map(|p| format!("{block}self_attn.{p}_proj.{kind}"));
        let cut = |(name, rows)| part(name).rows(vec![rows]);
        return Some(names.into_iter().zip(blocks(shape, 3)?).map(cut).collect());
    }
    Some(vec![part(format!("{block}{}", renamed(rest, &BLOCK)?))])
}
