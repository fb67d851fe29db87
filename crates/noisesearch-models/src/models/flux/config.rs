//! Sizes of a FLUX.1 transformer.

use crate::limits::{FEATURES_MAX, LAYERS_MAX};
use crate::models::unsupported;
use crate::pipeline::OpenError;
use serde::Deserialize;

/// The part of `transformer/config.json` that says what the network is.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct FluxConfig {
    /// Height and width of a patch of *packed* latents; published models have 1.
    #[serde(default = "one")]
    pub patch_size: usize,
    /// Features of a packed token: 4 times the latent's channels.
    pub in_channels: usize,
    /// Blocks with separate weights for text and image.
    pub num_layers: usize,
    /// Blocks with one set of weights.
    pub num_single_layers: usize,
    /// Features of a head.
    pub attention_head_dim: usize,
    /// Attention heads.
    pub num_attention_heads: usize,
    /// Features of the T5 encoding.
    pub joint_attention_dim: usize,
    /// Features of the pooled CLIP encoding.
    pub pooled_projection_dim: usize,
    /// Whether the guidance scale is an input: FLUX.1-dev, which was distilled with it.
    #[serde(default)]
    pub guidance_embeds: bool,
    /// Features of a head that turn with the text, line and column of a token.
    #[serde(default = "axes")]
    pub axes_dims_rope: [usize; 3],
}

fn one() -> usize {
    1
}

fn axes() -> [usize; 3] {
    [16, 56, 56]
}

impl FluxConfig {
    /// Features of a token.
    pub fn hidden(&self) -> usize {
        self.attention_head_dim * self.num_attention_heads
    }

    /// Channels of a latent.
    pub fn channels(&self) -> usize {
        self.in_channels / 4
    }

    /// Checks that this is a network that runs here, before its tensors are asked for.
    pub fn check(&self) -> Result<(), OpenError> {
        let layers = self.num_layers.max(self.num_single_layers);
        let features = [
            self.in_channels,
            self.attention_head_dim,
            self.num_attention_heads,
            self.joint_attention_dim,
            self.pooled_projection_dim,
        ];
        let refuse = |what: &str, found: &dyn std::fmt::Debug, supported: &str| {
            Err(unsupported(
                format!("the transformer's {what}"),
                found,
                supported,
            ))
        };
        if self.patch_size != 1 {
            return refuse("patch_size", &self.patch_size, "1");
        }
        if layers > LAYERS_MAX {
            return refuse("number of layers", &layers, "at most 1000");
        }
        if features.iter().any(|f| !(1..=FEATURES_MAX).contains(f)) {
            return refuse("sizes", &features, "1 to 65536 each");
        }
        if !self.in_channels.is_multiple_of(4) {
            return refuse("in_channels", &self.in_channels, "a multiple of 4");
        }
        let axes = self.axes_dims_rope;
        let sum = axes.iter().fold(0, |sum: usize, &a| sum.saturating_add(a));
        if sum != self.attention_head_dim || axes.iter().any(|a| a % 2 != 0) {
            let want = "even numbers that add up to attention_head_dim";
            return refuse("axes_dims_rope", &axes, want);
        }
        Ok(())
    }
}
