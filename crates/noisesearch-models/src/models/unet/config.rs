//! What a U-Net's `config.json` says.

use crate::layers::{Order, Place, timestep};
use crate::pipeline::OpenError;
use candle_core::{Result, Tensor};
use serde::Deserialize;
use serde_json::{Value, json};

/// Resolutions, residual blocks of one and transformer blocks of a layer in the largest network
/// that is run; published ones have 4, 2 and 10.
const DEPTH_MAX: usize = 32;

/// Features of the widest layer that is run; published ones have 2816.
const WIDTH_MAX: usize = 8192;

/// The fields of diffusers' `UNet2DConditionModel` that make a difference.
#[derive(Clone, Debug, Deserialize)]
pub struct UNetConfig {
    /// Channels of the latents.
    pub in_channels: usize,
    /// Channels of the prediction, as many.
    pub out_channels: usize,
    /// Channels at each resolution, the finest first.
    pub block_out_channels: Vec<usize>,
    /// `DownBlock2D`, or `CrossAttnDownBlock2D` with transformers, for each resolution.
    pub down_block_types: Vec<String>,
    /// `UpBlock2D` or `CrossAttnUpBlock2D`, the coarsest resolution first.
    pub up_block_types: Vec<String>,
    /// Residual blocks at each resolution on the way down; one more on the way up.
    pub layers_per_block: usize,
    /// Features of the context.
    pub cross_attention_dim: usize,
    /// The **number of heads** at each resolution, whatever its name says: the field was misnamed
    /// when the first models were published, and their files keep it.
    pub attention_head_dim: PerBlock,
    /// Transformer blocks of one layer at each resolution.
    #[serde(default)]
    pub transformer_layers_per_block: PerBlock,
    /// Whether transformers enter and leave by linear layers or by 1x1 convolutions.
    #[serde(default)]
    pub use_linear_projection: bool,
    /// Groups of every group norm.
    #[serde(default = "thirty_two")]
    pub norm_num_groups: usize,
    /// `text_time` where pooled text and sizes are added to the time embedding.
    #[serde(default)]
    pub addition_embed_type: Option<String>,
    /// Sinusoidal features of each of the six sizes.
    #[serde(default)]
    pub addition_time_embed_dim: Option<usize>,
    /// Features of pooled text and sizes together.
    #[serde(default)]
    pub projection_class_embeddings_input_dim: Option<usize>,
}

/// One value for every resolution, or one for each.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub enum PerBlock {
    /// The same for all.
    Same(usize),
    /// One for each, the finest first.
    Each(Vec<usize>),
}

impl PerBlock {
    /// Whether there are as many values as resolutions.
    fn fits(&self, blocks: usize) -> bool {
        match self {
            Self::Same(_) => true,
            Self::Each(values) => values.len() == blocks,
        }
    }

    /// The value at a resolution; 0, which no setting may be, where there is none.
    pub fn at(&self, block: usize) -> usize {
        match self {
            Self::Same(value) => *value,
            Self::Each(values) => values.get(block).copied().unwrap_or(0),
        }
    }
}

impl Default for PerBlock {
    fn default() -> Self {
        Self::Same(1)
    }
}

fn thirty_two() -> usize {
    32
}

/// Fields for which one value is run. Absent and `null` fields have it.
fn fixed() -> [(&'static str, Value); 27] {
    [
        ("act_fn", json!("silu")),
        ("attention_type", json!("default")),
        ("center_input_sample", json!(false)),
        ("class_embed_type", json!(null)),
        ("class_embeddings_concat", json!(false)),
        ("conv_in_kernel", json!(3)),
        ("conv_out_kernel", json!(3)),
        ("cross_attention_norm", json!(null)),
        ("downsample_padding", json!(1)),
        ("dual_cross_attention", json!(false)),
        ("encoder_hid_dim", json!(null)),
        ("encoder_hid_dim_type", json!(null)),
        ("flip_sin_to_cos", json!(true)),
        ("freq_shift", json!(0)),
        ("mid_block_only_cross_attention", json!(false)),
        ("mid_block_type", json!("UNetMidBlock2DCrossAttn")),
        ("num_attention_heads", json!(null)),
        ("num_class_embeds", json!(null)),
        ("only_cross_attention", json!(false)),
        ("resnet_skip_time_act", json!(false)),
        ("resnet_time_scale_shift", json!("default")),
        ("reverse_transformer_layers_per_block", json!(null)),
        ("time_cond_proj_dim", json!(null)),
        ("time_embedding_act_fn", json!(null)),
        ("time_embedding_dim", json!(null)),
        ("time_embedding_type", json!("positional")),
        ("timestep_post_act", json!(null)),
    ]
}

/// The same for numbers, which files write as `1` or `1.0`.
const FIXED_NUMBERS: [(&str, f64); 3] = [
    ("mid_block_scale_factor", 1.0),
    ("norm_eps", 1e-5),
    ("resnet_out_scale_factor", 1.0),
];

impl UNetConfig {
    /// Reads and checks the JSON of a `config.json`.
    pub fn new(json: Value) -> std::result::Result<Self, OpenError> {
        for (field, supported) in fixed() {
            let found = json.get(field).unwrap_or(&Value::Null);
            let holds = found.is_null() || *found == supported;
            require(holds, field, found, &supported.to_string())?;
        }
        for (field, supported) in FIXED_NUMBERS {
            let found = json.get(field).unwrap_or(&Value::Null);
            let holds = found.is_null() || found.as_f64() == Some(supported);
            require(holds, field, found, &supported.to_string())?;
        }
        let config: Self = serde_json::from_value(json)
            .map_err(|error| unsupported("the layout", &error, "a UNet2DConditionModel"))?;
        config.check()?;
        Ok(config)
    }

    fn check(&self) -> std::result::Result<(), OpenError> {
        let blocks = self.block_out_channels.len();
        require(
            self.in_channels == self.out_channels && width(self.in_channels),
            "in_channels",
            self.in_channels,
            "as many as out_channels",
        )?;
        let groups = self.norm_num_groups;
        let fits =
            |c: &usize| groups > 0 && width(*c) && c.is_multiple_of(groups) && c.is_multiple_of(2);
        require(
            (1..=DEPTH_MAX).contains(&blocks) && self.block_out_channels.iter().all(fits),
            "block_out_channels",
            format!("{:?} in {groups} groups", self.block_out_channels),
            "1 to 32 even multiples of norm_num_groups, at most 8192",
        )?;
        for (what, types, known) in [
            ("down_block_types", &self.down_block_types, "DownBlock2D"),
            ("up_block_types", &self.up_block_types, "UpBlock2D"),
        ] {
            let is_known = |t: &String| t == known || *t == format!("CrossAttn{known}");
            require(
                types.len() == blocks && types.iter().all(is_known),
                what,
                format!("{types:?}"),
                &format!("{known} or CrossAttn{known} for each of block_out_channels"),
            )?;
        }
        let depth = 1..=DEPTH_MAX;
        require(
            depth.contains(&self.layers_per_block),
            "layers_per_block",
            self.layers_per_block,
            "1 to 32",
        )?;
        for (i, channels) in self.block_out_channels.iter().enumerate() {
            let heads = self.attention_head_dim.at(i);
            require(
                self.attention_head_dim.fits(blocks) && heads > 0 && channels.is_multiple_of(heads),
                "attention_head_dim",
                format!("{:?}", self.attention_head_dim),
                "a number of heads that divides each of block_out_channels",
            )?;
            let transformers = &self.transformer_layers_per_block;
            require(
                transformers.fits(blocks) && depth.contains(&transformers.at(i)),
                "transformer_layers_per_block",
                format!("{transformers:?}"),
                "1 to 32 for each of block_out_channels",
            )?;
        }
        self.check_inputs()
    }

    fn check_inputs(&self) -> std::result::Result<(), OpenError> {
        require(
            width(self.cross_attention_dim),
            "cross_attention_dim",
            self.cross_attention_dim,
            "1 to 8192",
        )?;
        let Some(kind) = &self.addition_embed_type else {
            return Ok(());
        };
        require(
            kind == "text_time",
            "addition_embed_type",
            kind,
            "text_time",
        )?;
        require(
            self.pooled().is_some(),
            "projection_class_embeddings_input_dim",
            format!("{:?}", self.projection_class_embeddings_input_dim),
            "more than six times the even addition_time_embed_dim, at most 8192",
        )
    }

    /// Features of pooled text, where it is read at all.
    pub fn pooled(&self) -> Option<usize> {
        let all = self
            .projection_class_embeddings_input_dim
            .filter(|all| width(*all))?;
        let size = self
            .addition_time_embed_dim
            .filter(|size| size.is_multiple_of(2))?;
        all.checked_sub(size.checked_mul(6)?)
            .filter(|pooled| *pooled > 0)
    }

    /// What a network with `text_time` is told of one row besides the context: `pooled:
    /// [pooled]`, then sinusoidal features of six sizes in pixels, which are the height and width
    /// of the original, the top and left of the crop, and the height and width of the target
    /// (Podell et al., section 2.2). Returns `[projection_class_embeddings_input_dim]`.
    pub fn added(&self, pooled: &Tensor, sizes: [f64; 6]) -> Result<Tensor> {
        let width = self.addition_time_embed_dim.unwrap_or(0);
        let features = timestep(&sizes, width, Order::CosineFirst, &Place::cpu())?;
        Tensor::cat(&[pooled, &features.flatten_all()?], 0)
    }

    /// Features of the time embedding.
    pub fn time(&self) -> usize {
        4 * self.block_out_channels.first().copied().unwrap_or(0)
    }
}

fn width(features: usize) -> bool {
    (1..=WIDTH_MAX).contains(&features)
}

fn require(
    holds: bool,
    what: &str,
    found: impl ToString,
    supported: &str,
) -> std::result::Result<(), OpenError> {
    if holds {
        return Ok(());
    }
    Err(unsupported(what, &found, supported))
}

fn unsupported(what: &str, found: &dyn ToString, supported: &str) -> OpenError {
    OpenError::Unsupported {
        what: format!("{what} of unet/config.json"),
        found: found.to_string(),
        supported: supported.into(),
    }
}
