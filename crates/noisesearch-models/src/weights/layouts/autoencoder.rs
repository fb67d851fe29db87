//! The autoencoder of latent diffusion, of which Stable Diffusion and FLUX publish their own.
//!
//! Levels of the decoder are numbered from the finest here and from the coarsest in diffusers;
//! the projections of the attention are 1x1 convolutions here and matrices there.

use super::{Form, Part, numbered, renamed};

/// Levels of every published one.
const LEVELS: usize = 4;

/// In the encoder or the decoder, outside levels.
const OUTSIDE: [(&str, &str); 6] = [
    ("conv_in.", "conv_in."),
    ("conv_out.", "conv_out."),
    ("norm_out.", "conv_norm_out."),
    ("mid.block_1.", "mid_block.resnets.0."),
    ("mid.block_2.", "mid_block.resnets.1."),
    ("mid.attn_1.", "mid_block.attentions.0."),
];

/// In the attention.
const ATTENTION: [(&str, &str); 5] = [
    ("norm.", "group_norm."),
    ("q.", "to_q."),
    ("k.", "to_k."),
    ("v.", "to_v."),
    ("proj_out.", "to_out.0."),
];

/// What diffusers before 0.17 called the projections.
const OLD: [(&str, &str); 4] = [
    ("query.", "to_q."),
    ("key.", "to_k."),
    ("value.", "to_v."),
    ("proj_attn.", "to_out.0."),
];

/// Where the attention is, in diffusers.
const AT_ATTENTION: &str = "mid_block.attentions.0.";

pub(super) fn part(name: &str) -> Option<Part> {
    if ["quant_conv.", "post_quant_conv."]
        .iter()
        .any(|start| name.starts_with(start))
    {
        return Some(Part::new("vae", name));
    }
    let (side, rest) = name.split_once('.')?;
    let new = match side {
        "encoder" | "decoder" => renamed(rest, &OUTSIDE).or_else(|| level(rest))?,
        _ => return None,
    };
    if let Some(inner) = new.strip_prefix(AT_ATTENTION) {
        let name = format!("{side}.{AT_ATTENTION}{}", renamed(inner, &ATTENTION)?);
        return Some(Part::new("vae", name).form(Form::Matrix));
    }
    let new = new.replace(".nin_shortcut.", ".conv_shortcut.");
    Some(Part::new("vae", format!("{side}.{new}")))
}

/// `down.0.block.1.norm1.weight` and its like.
fn level(name: &str) -> Option<String> {
    let (way, rest) = name.split_once('.')?;
    let (level, rest) = numbered(rest)?;
    let (level, resample) = match way {
        "down" => (format!("down_blocks.{level}."), "downsample"),
        "up" => {
            let from_coarsest = (LEVELS - 1).checked_sub(level)?;
            (format!("up_blocks.{from_coarsest}."), "upsample")
        }
        _ => return None,
    };
    match rest.strip_prefix("block.") {
        Some(rest) => Some(format!("{level}resnets.{rest}")),
        None => {
            let rest = rest.strip_prefix(resample)?.strip_prefix('.')?;
            Some(format!("{level}{resample}rs.0.{rest}"))
        }
    }
}

/// The present name of a projection that has an old one.
pub(super) fn modern(name: &str) -> Option<String> {
    let (before, inner) = name.split_once(AT_ATTENTION)?;
    let side = matches!(before, "encoder." | "decoder.");
    let new = renamed(inner, &OLD).filter(|_| side)?;
    Some(format!("{before}{AT_ATTENTION}{new}"))
}
