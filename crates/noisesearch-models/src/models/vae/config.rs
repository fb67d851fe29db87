//! What an autoencoder's `config.json` says.

use crate::pipeline::OpenError;
use serde::Deserialize;

/// Blocks, and layers of a block, of the largest decoder that is run; published ones have 4 and 2.
const DEPTH_MAX: usize = 16;

/// Channels of the widest layer that is run; published ones have 512.
const CHANNELS_MAX: usize = 8192;

/// The fields of diffusers' `AutoencoderKL` that matter to decoding.
#[derive(Clone, Debug, Deserialize)]
pub struct VaeConfig {
    /// Channels of the images: 3.
    #[serde(default = "three")]
    pub out_channels: usize,
    /// Channels of the latents: 4 or 16.
    pub latent_channels: usize,
    /// Channels at each resolution, the finest first.
    pub block_out_channels: Vec<usize>,
    /// Residual blocks at each resolution of the encoder; the decoder has one more.
    pub layers_per_block: usize,
    /// Groups of every group norm.
    #[serde(default = "thirty_two")]
    pub norm_num_groups: usize,
    /// The denoiser's latents are `(z - shift_factor) * scaling_factor`.
    #[serde(default = "stable_diffusion")]
    pub scaling_factor: f64,
    /// See `scaling_factor`; none is zero.
    #[serde(default)]
    pub shift_factor: Option<f64>,
    /// Whether a 1x1 convolution comes before the decoder.
    #[serde(default = "yes")]
    pub use_post_quant_conv: bool,
    /// Whether the middle has an attention layer.
    #[serde(default = "yes")]
    pub mid_block_add_attention: bool,
    /// The function after every group norm: `silu`.
    #[serde(default = "silu")]
    pub act_fn: String,
    /// The blocks of the decoder: `UpDecoderBlock2D`.
    #[serde(default)]
    pub up_block_types: Vec<String>,
    /// Whether it is to be decoded in a wider format than f16.
    #[serde(default = "yes")]
    pub force_upcast: bool,
    /// Statistics by channel, which replace the two factors; not run here.
    #[serde(default)]
    pub latents_mean: Option<Vec<f64>>,
}

fn three() -> usize {
    3
}

fn thirty_two() -> usize {
    32
}

fn stable_diffusion() -> f64 {
    0.18215
}

fn yes() -> bool {
    true
}

fn silu() -> String {
    "silu".into()
}

impl VaeConfig {
    /// Pixels of the image for one of the latent, both ways.
    pub fn factor(&self) -> usize {
        1 << (self.block_out_channels.len().saturating_sub(1))
    }

    /// Whether this program runs such an autoencoder.
    pub fn check(&self) -> Result<(), OpenError> {
        let blocks = self.block_out_channels.len();
        let groups = self.norm_num_groups;
        let fits = |c: &usize| (1..=CHANNELS_MAX).contains(c) && c.is_multiple_of(groups);
        let widths = groups > 0 && self.block_out_channels.iter().all(fits);
        let finite = self.scaling_factor.is_normal();
        require(
            finite && self.shift_factor.unwrap_or(0.0).is_finite(),
            "scaling_factor and shift_factor",
            &format!("{} and {:?}", self.scaling_factor, self.shift_factor),
            "finite numbers, the first not zero",
        )?;
        require(
            self.out_channels == 3 && (1..=64).contains(&self.latent_channels),
            "out_channels and latent_channels",
            &format!("{} and {}", self.out_channels, self.latent_channels),
            "3 and 1 to 64",
        )?;
        require(
            (1..=DEPTH_MAX).contains(&blocks) && widths,
            "block_out_channels",
            &format!("{:?} in {groups} groups", self.block_out_channels),
            "1 to 16 multiples of norm_num_groups, at most 8192",
        )?;
        require(
            (1..=DEPTH_MAX).contains(&self.layers_per_block),
            "layers_per_block",
            &self.layers_per_block.to_string(),
            "1 to 16",
        )?;
        let known = |kind: &String| kind == "UpDecoderBlock2D";
        require(
            self.up_block_types.iter().all(known),
            "up_block_types",
            &format!("{:?}", self.up_block_types),
            "UpDecoderBlock2D",
        )?;
        require(self.act_fn == "silu", "act_fn", &self.act_fn, "silu")?;
        require(
            self.latents_mean.is_none(),
            "latents_mean",
            "a list",
            "scaling_factor and shift_factor alone",
        )
    }
}

fn require(holds: bool, what: &str, found: &str, supported: &str) -> Result<(), OpenError> {
    if holds {
        return Ok(());
    }
    Err(OpenError::Unsupported {
        what: format!("{what} of vae/config.json"),
        found: found.into(),
        supported: supported.into(),
    })
}
