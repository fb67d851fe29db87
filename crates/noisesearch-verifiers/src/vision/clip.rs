//! CLIP's vision transformer (Radford et al. 2021, arXiv 2103.00020, section 2.4), in the layout
//! of transformers' `CLIPModel` and `CLIPVisionModelWithProjection`.
//!
//! ```text
//! x = norm([class, patches] + positions);   blocks
//! embedding = projection · norm(x[class])
//! ```

use super::block::{Block, Names, Shape};
use super::{activation, patches, patches_are_legal, sizes_are_legal, unsupported, with_class};
use candle_core::{Result, Tensor};
use noisesearch_models::layers::{Activation, LayerNorm, Linear, Loaded, Source};
use noisesearch_models::pipeline::OpenError;
use serde::Deserialize;

/// Names of a block's tensors.
const NAMES: Names = Names {
    norms: ["layer_norm1", "layer_norm2"],
    attention: "self_attn",
    qkv: &["q_proj", "k_proj", "v_proj"],
    out: "self_attn.out_proj",
    mlp: ["mlp.fc1", "mlp.fc2"],
    scales: None,
};

/// `vision_config` of a `config.json`; what is not in the file is as in ViT-B/32.
#[derive(Clone, Debug, Deserialize)]
#[serde(default)]
pub struct Config {
    /// Channels of the stream.
    pub hidden_size: usize,
    /// Channels inside a perceptron.
    pub intermediate_size: usize,
    /// Blocks.
    pub num_hidden_layers: usize,
    /// Heads of an attention.
    pub num_attention_heads: usize,
    /// Height and width of an image.
    pub image_size: usize,
    /// Height and width of a patch.
    pub patch_size: usize,
    /// Activation inside a perceptron.
    pub hidden_act: String,
    /// Summand in the norms' square roots.
    pub layer_norm_eps: f32,
    /// Dimensions of the embedding, in the file of a vision model alone.
    pub projection_dim: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            hidden_size: 768,
            intermediate_size: 3072,
            num_hidden_layers: 12,
            num_attention_heads: 12,
            image_size: 224,
            patch_size: 32,
            hidden_act: "quick_gelu".into(),
            layer_norm_eps: 1e-5,
            projection_dim: 512,
        }
    }
}

impl Config {
    /// What loading needs to know.
    ///
    /// # Errors
    /// Sizes and activations that no such tower has.
    pub fn size(&self) -> std::result::Result<Size, OpenError> {
        let sizes = [
            ("hidden_size", self.hidden_size),
            ("intermediate_size", self.intermediate_size),
            ("num_hidden_layers", self.num_hidden_layers),
            ("num_attention_heads", self.num_attention_heads),
            ("image_size", self.image_size),
            ("patch_size", self.patch_size),
            ("projection_dim", self.projection_dim),
        ];
        sizes_are_legal(&sizes)?;
        Size {
            block: Shape {
                width: self.hidden_size,
                heads: self.num_attention_heads,
                hidden: self.intermediate_size,
                eps: self.layer_norm_eps,
                activation: activation(&self.hidden_act)?,
            },
            layers: self.num_hidden_layers,
            side: self.image_size,
            patch: self.patch_size,
            dimensions: self.projection_dim,
        }
        .checked()
    }
}

/// The size of a CLIP tower.
#[derive(Clone, Copy, Debug)]
pub struct Size {
    /// Every block.
    pub block: Shape,
    /// Blocks.
    pub layers: usize,
    /// Height and width of an image.
    pub side: usize,
    /// Height and width of a patch.
    pub patch: usize,
    /// Dimensions of the embedding.
    pub dimensions: usize,
}

impl Size {
    /// ViT-H/14 of open_clip, of PickScore and of HPSv2.
    pub const H14: Self = Self {
        block: Shape {
            width: 1280,
            heads: 16,
            hidden: 5120,
            eps: 1e-5,
            activation: Activation::Gelu,
        },
        layers: 32,
        side: 224,
        patch: 14,
        dimensions: 1024,
    };

    /// Itself, if heads and patches fit.
    fn checked(self) -> std::result::Result<Self, OpenError> {
        let Shape { width, heads, .. } = self.block;
        if !width.is_multiple_of(heads) {
            return Err(unsupported("heads", heads, "a divisor of the width"));
        }
        patches_are_legal(self.side, self.patch)?;
        Ok(self)
    }

    /// Positions of the class and of the patches.
    fn positions(&self) -> usize {
        (self.side / self.patch).pow(2) + 1
    }
}

/// A CLIP vision tower.
#[derive(Debug)]
pub struct ClipVision {
    embed: Linear,
    /// `[width]`.
    class: Tensor,
    /// `[patches + 1, width]`.
    positions: Tensor,
    before: LayerNorm,
    blocks: Vec<Block>,
    after: LayerNorm,
    projection: Linear,
    size: Size,
}

impl ClipVision {
    /// Takes `vision_model.*` and `visual_projection.weight`.
    pub fn load(mut s: Source, size: Size) -> Loaded<Self> {
        let Shape { width, eps, .. } = size.block;
        let projection = Linear::unbiased(s.at("visual_projection"), width, size.dimensions)?;
        let mut s = s.at("vision_model");
        let mut embeddings = s.at("embeddings");
        let class = embeddings.tensor("class_embedding", &[width])?;
        let patch = embeddings.at("patch_embedding");
        let embed = Linear::patches(patch, [3, size.patch], width, false)?;
        let mut positions = embeddings.at("position_embedding");
        let positions = positions.tensor("weight", &[size.positions(), width])?;
        let mut encoder = s.at("encoder");
        let mut layers = encoder.at("layers");
        let blocks = (0..size.layers).map(|i| Block::load(layers.at(i), size.block, &NAMES));
        Ok(Self {
            blocks: blocks.collect::<Loaded<_>>()?,
            embed,
            class,
            positions,
            before: LayerNorm::load(s.at("pre_layrnorm"), width, eps)?,
            after: LayerNorm::load(s.at("post_layernorm"), width, eps)?,
            projection,
            size,
        })
    }

    /// Height and width of an image.
    pub fn side(&self) -> usize {
        self.size.side
    }

    /// Dimensions of the embedding.
    pub fn dimensions(&self) -> usize {
        self.size.dimensions
    }

    /// `images: [b, 3, side, side]`, preprocessed, to embeddings `[b, dimensions]`.
    pub fn forward(&self, images: &Tensor) -> Result<Tensor> {
        let mut x = self.stem(images)?;
        for block in &self.blocks {
            x = block.forward(&x, None)?;
        }
        self.projection.forward(&self.pool(&x)?)
    }

    /// What the first block is given, `[b, patches + 1, width]`.
    fn stem(&self, images: &Tensor) -> Result<Tensor> {
        let x = self
            .embed
            .forward(&patches(images, self.size.side, self.size.patch)?)?;
        self.before
            .forward(&with_class(&self.class, &x, &self.positions)?)
    }

    /// `x: [b, patches + 1, width]` after the last block to `[b, width]`.
    fn pool(&self, x: &Tensor) -> Result<Tensor> {
        self.after.forward(&x.narrow(1, 0, 1)?.squeeze(1)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use noisesearch_models::layers::Place;
    use noisesearch_models::parity::{Golden, Manifest, at, input, places};

    const GOLDEN: &str = include_str!("../../../../parity/goldens/clip.json");
    const GELU: &str = include_str!("../../../../parity/goldens/clip-gelu.json");

    fn config(all: &serde_json::Value) -> Config {
        let mut config: Config = serde_json::from_value(all["vision_config"].clone()).unwrap();
        config.projection_dim = all["projection_dim"].as_u64().unwrap() as usize;
        config
    }

    /// Every block within 1e-5, the embedding within 1e-4. With an eps of 1e-4 the stem is off by
    /// 1e-3, with another activation the first block by 5e-3.
    #[test]
    fn golden_towers_agree_block_by_block() {
        for place in places().unwrap() {
            for text in [GOLDEN, GELU] {
                agrees_at(text, &place);
            }
        }
    }

    fn agrees_at(text: &str, place: &Place) {
        let golden = Golden::parse(text).unwrap();
        let size = config(&golden.config).size().unwrap();
        let mut weights = golden.weights().unwrap();
        let tower = ClipVision::load(Source::new(&mut weights, place), size).unwrap();
        for text in ["text_model.", "text_projection.", "logit_scale"] {
            weights.skip(text);
        }
        weights.finish().unwrap();
        let images = input("image", &[2, 3, 28, 28]).unwrap();
        let images = at(place, &images).unwrap();
        let mut x = tower.stem(&images).unwrap();
        golden.check("stem", &x, 1e-5).unwrap();
        for (i, block) in tower.blocks.iter().enumerate() {
            x = block.forward(&x, None).unwrap();
            golden.check(&format!("block{i}"), &x, 1e-5).unwrap();
        }
        golden
            .check("pool", &tower.pool(&x).unwrap(), 1e-5)
            .unwrap();
        let embedding = tower.forward(&images).unwrap();
        golden.check("embedding", &embedding, 1e-4).unwrap();
    }

    #[test]
    fn published_layouts_are_asked_for_exactly() {
        let published = [
            include_str!("../../../../parity/manifests/clip-vit-b-32.json"),
            include_str!("../../../../parity/manifests/clip-vit-l-14.json"),
            include_str!("../../../../parity/manifests/clip-vit-h-14.json"),
        ];
        for text in published {
            let manifest = Manifest::parse(text).unwrap();
            let size = config(&manifest.config).size().unwrap();
            let load = |mut s: Source| {
                for text in ["text_model.", "text_projection.", "logit_scale"] {
                    s.skip(text);
                }
                ClipVision::load(s, size)
            };
            manifest.check(load).unwrap();
        }
    }

    #[test]
    fn impossible_sizes_are_refused() {
        let refused = |change: fn(&mut Config)| {
            let mut config = Config::default();
            change(&mut config);
            config.size().unwrap_err().to_string()
        };
        assert!(refused(|c| c.hidden_size = 0).contains("hidden_size"));
        assert!(refused(|c| c.num_attention_heads = 7).contains("heads"));
        assert!(refused(|c| c.patch_size = 225).contains("patch_size"));
        assert!(refused(|c| c.hidden_act = "tanh".into()).contains("tanh"));
        assert!(refused(|c| c.num_hidden_layers = usize::MAX).contains("num_hidden_layers"));
    }
}
