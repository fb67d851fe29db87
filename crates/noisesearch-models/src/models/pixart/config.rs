//! Sizes of a PixArt transformer.

use crate::limits::{FEATURES_MAX, LAYERS_MAX};
use crate::models::unsupported;
use crate::pipeline::OpenError;
use serde::Deserialize;

/// The part of `transformer/config.json` that says what the network is.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct PixArtConfig {
    /// Attention heads.
    pub num_attention_heads: usize,
    /// Features of a head.
    pub attention_head_dim: usize,
    /// Channels of a latent.
    pub in_channels: usize,
    /// Channels predicted: the noise, and after it perhaps a variance that is not used.
    pub out_channels: usize,
    /// Blocks.
    pub num_layers: usize,
    /// Height and width of the latents whose positions are not interpolated.
    pub sample_size: usize,
    /// Height and width of a patch.
    pub patch_size: usize,
    /// Features of the T5 encoding.
    pub caption_channels: usize,
    /// By how much positions are pulled together; `sample_size / 64` where nothing is said.
    #[serde(default)]
    pub interpolation_scale: Option<f32>,
    /// Whether size and shape of the image are inputs: PixArt-Alpha at 1024 pixels. Where nothing
    /// is said, models with a `sample_size` of 128 have them.
    #[serde(default)]
    pub use_additional_conditions: Option<bool>,
    /// Added to variances.
    #[serde(default = "eps")]
    pub norm_eps: f32,
    /// The activation; published models have `gelu-approximate`.
    #[serde(default = "gelu")]
    pub activation_fn: String,
    /// Whether queries, keys and values have biases; published models have them.
    #[serde(default = "yes")]
    pub attention_bias: bool,
}

fn eps() -> f32 {
    1e-6
}

fn gelu() -> String {
    "gelu-approximate".into()
}

fn yes() -> bool {
    true
}

impl PixArtConfig {
    /// Features of a token.
    pub fn hidden(&self) -> usize {
        self.attention_head_dim * self.num_attention_heads
    }

    /// Whether size and shape of the image are inputs.
    pub fn is_sized(&self) -> bool {
        self.use_additional_conditions
            .unwrap_or(self.sample_size == 128)
    }

    /// By how much positions are pulled together.
    pub fn interpolation(&self) -> f32 {
        let usual = (self.sample_size / 64).max(1) as f32;
        self.interpolation_scale.unwrap_or(usual)
    }

    /// Positions of `count` lines or columns. However many there are, they span `sample_size /
    /// patch_size / interpolation`, so that a larger image is a finer grid and not a wider one.
    pub fn positions(&self, count: usize) -> Vec<f32> {
        let base = self.sample_size / self.patch_size;
        let stretch = (count as f64 / base as f64) as f32;
        let position = |i: usize| i as f32 / stretch / self.interpolation();
        (0..count).map(position).collect()
    }

    /// Checks that this is a network that runs here, before its tensors are asked for.
    pub fn check(&self) -> Result<(), OpenError> {
        let refuse = |what: &str, found: &dyn std::fmt::Debug, supported: &str| {
            let what = format!("the transformer's {what}");
            Err(unsupported(what, found, supported))
        };
        let sizes = [
            self.num_attention_heads,
            self.attention_head_dim,
            self.in_channels,
            self.sample_size,
            self.patch_size,
            self.caption_channels,
        ];
        if sizes.iter().any(|s| !(1..=FEATURES_MAX).contains(s)) {
            return refuse("sizes", &sizes, "1 to 65536 each");
        }
        if self.num_layers > LAYERS_MAX {
            return refuse("num_layers", &self.num_layers, "at most 1000");
        }
        if !self.sample_size.is_multiple_of(self.patch_size) || self.patch_size > 16 {
            return refuse(
                "patch_size",
                &self.patch_size,
                "a divisor of sample_size up to 16",
            );
        }
        let wanted = [self.in_channels, 2 * self.in_channels];
        if !wanted.contains(&self.out_channels) {
            return refuse(
                "out_channels",
                &self.out_channels,
                "in_channels or twice as many",
            );
        }
        if !self.hidden().is_multiple_of(12) {
            return refuse("width", &self.hidden(), "a multiple of 12");
        }
        let eps_and_scale = [self.norm_eps, self.interpolation()];
        if eps_and_scale.iter().any(|v| !(*v > 0.0 && v.is_finite())) {
            let what = "norm_eps and interpolation_scale";
            return refuse(what, &eps_and_scale, "positive numbers");
        }
        if self.activation_fn != gelu() {
            return refuse("activation_fn", &self.activation_fn, "gelu-approximate");
        }
        if !self.attention_bias {
            return refuse("attention_bias", &false, "true");
        }
        Ok(())
    }
}
