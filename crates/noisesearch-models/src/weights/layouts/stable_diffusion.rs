//! Stable Diffusion 1 and XL in one file, as CompVis, Runway and Stability AI publish them.
//!
//! The network's blocks are numbered through: block `n` of the way down is layer `(n - 1) % 3` of
//! level `(n - 1) / 3`, where the third layer holds the downsampling alone.

use super::{Part, autoencoder, numbered, open_clip, renamed};

/// Layers a level, with the one that changes the resolution.
const LAYERS: usize = 3;

/// Outside blocks.
const OUTSIDE: [(&str, &str); 7] = [
    ("time_embed.0.", "time_embedding.linear_1."),
    ("time_embed.2.", "time_embedding.linear_2."),
    ("label_emb.0.0.", "add_embedding.linear_1."),
    ("label_emb.0.2.", "add_embedding.linear_2."),
    ("input_blocks.0.0.", "conv_in."),
    ("out.0.", "conv_norm_out."),
    ("out.2.", "conv_out."),
];

/// In a residual block.
const RESIDUAL: [(&str, &str); 6] = [
    ("in_layers.0.", "norm1."),
    ("in_layers.2.", "conv1."),
    ("emb_layers.1.", "time_emb_proj."),
    ("out_layers.0.", "norm2."),
    ("out_layers.3.", "conv2."),
    ("skip_connection.", "conv_shortcut."),
];

pub(super) fn parts(name: &str, shape: &[u64]) -> Option<Vec<Part>> {
    if let Some(name) = name.strip_prefix("model.diffusion_model.") {
        return unet(name).map(|name| vec![Part::new("unet", name)]);
    }
    if let Some(name) = name.strip_prefix("first_stage_model.") {
        return autoencoder::part(name).map(|part| vec![part]);
    }
    let clip = ["cond_stage_model.", "conditioner.embedders.0."];
    for start in clip {
        if let Some(name) = name.strip_prefix(start) {
            let name = name.strip_prefix("transformer.")?;
            return Some(vec![Part::new("text_encoder", name)]);
        }
    }
    let name = name.strip_prefix("conditioner.embedders.1.model.")?;
    open_clip::parts("text_encoder_2", name, shape)
}

fn unet(name: &str) -> Option<String> {
    if let Some(outside) = renamed(name, &OUTSIDE) {
        return Some(outside);
    }
    if let Some(rest) = name.strip_prefix("input_blocks.") {
        let (block, rest) = numbered(rest)?;
        let (level, layer) = ((block.checked_sub(1)?) / LAYERS, (block - 1) % LAYERS);
        let level = format!("down_blocks.{level}");
        return match numbered(rest)? {
            (0, rest) => match rest.strip_prefix("op.") {
                Some(rest) => Some(format!("{level}.downsamplers.0.conv.{rest}")),
                None => residual(&format!("{level}.resnets.{layer}"), rest),
            },
            (1, rest) => Some(format!("{level}.attentions.{layer}.{rest}")),
            _ => None,
        };
    }
    if let Some(rest) = name.strip_prefix("output_blocks.") {
        let (block, rest) = numbered(rest)?;
        let (level, layer) = (format!("up_blocks.{}", block / LAYERS), block % LAYERS);
        return match numbered(rest)? {
            (0, rest) => residual(&format!("{level}.resnets.{layer}"), rest),
            (1 | 2, rest) if rest.starts_with("conv.") => {
                Some(format!("{level}.upsamplers.0.{rest}"))
            }
            (1, rest) => Some(format!("{level}.attentions.{layer}.{rest}")),
            _ => None,
        };
    }
    match numbered(name.strip_prefix("middle_block.")?)? {
        (0, rest) => residual("mid_block.resnets.0", rest),
        (1, rest) => Some(format!("mid_block.attentions.0.{rest}")),
        (2, rest) => residual("mid_block.resnets.1", rest),
        _ => None,
    }
}

fn residual(block: &str, name: &str) -> Option<String> {
    Some(format!("{block}.{}", renamed(name, &RESIDUAL)?))
}
