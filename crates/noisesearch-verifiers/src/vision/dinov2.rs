//! DINOv2's vision transformer (Oquab et al. 2023, arXiv 2304.07193), in the layout of
//! transformers' `Dinov2Model` and `Dinov2ForImageClassification`.
//!
//! ```text
//! x = [class, patches] + positions, stretched to the image
//! x = x + scale1 attention(norm(x));   x = x + scale2 mlp(norm(x))      every block
//! ```

use super::block::{Block, Names, Shape};
use super::{activation, patches, patches_are_legal, sizes_are_legal, unsupported, with_class};
use crate::preprocess::{Colours, Fit, Middle, Preprocess};
use crate::resample::Filter;
use candle_core::{Result, Tensor};
use noisesearch_models::checkpoint::Checkpoint;
use noisesearch_models::layers::{LayerNorm, Linear, Loaded, Source};
use noisesearch_models::pipeline::OpenError;
use serde::Deserialize;

/// Names of a block's tensors.
const NAMES: Names = Names {
    norms: ["norm1", "norm2"],
    attention: "attention.attention",
    qkv: &["query", "key", "value"],
    out: "attention.output.dense",
    mlp: ["mlp.fc1", "mlp.fc2"],
    scales: Some(["layer_scale1.lambda1", "layer_scale2.lambda1"]),
};

/// A `config.json`; what is not in the file is as in transformers.
#[derive(Clone, Debug, Deserialize)]
#[serde(default)]
pub struct Config {
    /// Channels of the stream.
    pub hidden_size: usize,
    /// Channels inside a perceptron, in widths of the stream.
    pub mlp_ratio: usize,
    /// Blocks.
    pub num_hidden_layers: usize,
    /// Heads of an attention.
    pub num_attention_heads: usize,
    /// Height and width of the images it was last trained on: there are positions for these.
    pub image_size: usize,
    /// Height and width of a patch.
    pub patch_size: usize,
    /// Activation inside a perceptron.
    pub hidden_act: String,
    /// Summand in the norms' square roots.
    pub layer_norm_eps: f32,
    /// Whether queries, keys and values have biases.
    pub qkv_bias: bool,
    /// Whether the perceptrons are gated, as in the giant model.
    pub use_swiglu_ffn: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            hidden_size: 768,
            mlp_ratio: 4,
            num_hidden_layers: 12,
            num_attention_heads: 12,
            image_size: 224,
            patch_size: 14,
            hidden_act: "gelu".into(),
            layer_norm_eps: 1e-6,
            qkv_bias: true,
            use_swiglu_ffn: false,
        }
    }
}

impl Config {
    /// Every block.
    ///
    /// # Errors
    /// Sizes, activations and forms that are not run here.
    pub fn shape(&self) -> std::result::Result<Shape, OpenError> {
        let sizes = [
            ("hidden_size", self.hidden_size),
            ("mlp_ratio", self.mlp_ratio),
            ("num_hidden_layers", self.num_hidden_layers),
            ("num_attention_heads", self.num_attention_heads),
            ("image_size", self.image_size),
            ("patch_size", self.patch_size),
        ];
        sizes_are_legal(&sizes)?;
        let heads = self.num_attention_heads;
        if !self.hidden_size.is_multiple_of(heads) {
            return Err(unsupported("heads", heads, "a divisor of the width"));
        }
        patches_are_legal(self.image_size, self.patch_size)?;
        if self.use_swiglu_ffn || !self.qkv_bias {
            let found = "use_swiglu_ffn or not qkv_bias";
            return Err(unsupported(
                "form",
                found,
                "the small, base and large models",
            ));
        }
        Ok(Shape {
            width: self.hidden_size,
            heads,
            hidden: self.mlp_ratio * self.hidden_size,
            eps: self.layer_norm_eps,
            activation: activation(&self.hidden_act)?,
        })
    }
}

/// Preprocessing of the models that were trained on ImageNet's classes, or what the folder says.
/// Any size of at least a patch will do, for positions are interpolated.
///
/// # Errors
/// Those of [`Preprocess::read`] and of [`Config::shape`].
pub fn steps(files: &Checkpoint, config: &Config) -> std::result::Result<Preprocess, OpenError> {
    config.shape()?;
    let usual = Preprocess {
        side: 224,
        fit: Fit::Shorter {
            to: 256,
            middle: Middle::Down,
        },
        filter: Filter::Bicubic,
        colours: Colours::IMAGENET,
    };
    let steps = Preprocess::of(files, usual)?;
    patches_are_legal(steps.side, config.patch_size)?;
    Ok(steps)
}

/// A DINOv2 backbone.
#[derive(Debug)]
pub struct Dinov2 {
    embed: Linear,
    /// `[width]`.
    class: Tensor,
    /// `[patches + 1, width]`.
    positions: Tensor,
    blocks: Vec<Block>,
    after: LayerNorm,
    side: usize,
    patch: usize,
}

impl Dinov2 {
    /// Takes `embeddings.*`, `encoder.*` and `layernorm.*`, for images of `side`. `shape` is
    /// [`Config::shape`].
    pub fn load(mut s: Source, config: &Config, shape: Shape, side: usize) -> Loaded<Self> {
        let (width, patch) = (shape.width, config.patch_size);
        let mut embeddings = s.at("embeddings");
        let class = embeddings.tensor("cls_token", &[1, 1, width])?;
        // Stands in for hidden patches in training.
        embeddings.floats("mask_token", &[1, width])?;
        let from = config.image_size / patch;
        let table = embeddings.floats("position_embeddings", &[1, from * from + 1, width])?;
        let to = side / patch;
        let table = match to == from {
            true => table,
            false => stretched(&table, [from, to], width),
        };
        let positions = embeddings.send(table, &[to * to + 1, width])?;
        let mut projection = embeddings.at("patch_embeddings");
        let embed = Linear::patches(projection.at("projection"), [3, patch], width, true)?;
        let mut encoder = s.at("encoder");
        let mut layers = encoder.at("layer");
        let blocks =
            (0..config.num_hidden_layers).map(|i| Block::load(layers.at(i), shape, &NAMES));
        Ok(Self {
            blocks: blocks.collect::<Loaded<_>>()?,
            embed,
            class,
            positions,
            after: LayerNorm::load(s.at("layernorm"), width, shape.eps)?,
            side,
            patch,
        })
    }

    /// `images: [b, 3, side, side]`, preprocessed, to the class tokens of the last `last` blocks
    /// and the mean of the last block's patches, all after the final norm, side by side:
    /// `[b, (last + 1) width]`. There are at least `last` blocks.
    pub fn features(&self, images: &Tensor, last: usize) -> Result<Tensor> {
        let mut x = self.stem(images)?;
        let mut parts = Vec::with_capacity(last + 1);
        for (i, block) in self.blocks.iter().enumerate() {
            x = block.forward(&x, None)?;
            if i + last >= self.blocks.len() {
                parts.push(self.after.forward(&x.narrow(1, 0, 1)?.squeeze(1)?)?);
            }
        }
        parts.push(self.patches_mean(&x)?);
        Tensor::cat(&parts, 1)
    }

    /// Class token of the last block, after the final norm, `[b, width]`.
    pub fn forward(&self, images: &Tensor) -> Result<Tensor> {
        let mut x = self.stem(images)?;
        for block in &self.blocks {
            x = block.forward(&x, None)?;
        }
        self.after.forward(&x.narrow(1, 0, 1)?.squeeze(1)?)
    }

    fn stem(&self, images: &Tensor) -> Result<Tensor> {
        let x = self
            .embed
            .forward(&patches(images, self.side, self.patch)?)?;
        with_class(&self.class, &x, &self.positions)
    }

    fn patches_mean(&self, x: &Tensor) -> Result<Tensor> {
        let n = x.dim(1)? - 1;
        self.after.forward(&x.narrow(1, 1, n)?)?.mean(1)
    }
}

/// A table of positions `[1 + from², width]` for a grid of `to²`: the class's stays, the others
/// are interpolated by the cubic with a = -3/4 over the four nearest of each line and column, those
/// at the border repeated (torch's `interpolate(mode="bicubic", align_corners=False)`).
fn stretched(table: &[f32], [from, to]: [usize; 2], width: usize) -> Vec<f32> {
    let (class, grid) = table.split_at(width);
    let taps: Vec<_> = (0..to).map(|i| cubic(i, from, to)).collect();
    let mut out = class.to_vec();
    out.resize((1 + to * to) * width, 0.0);
    for (i, out) in out[width..].chunks_exact_mut(width).enumerate() {
        for (y, wy) in taps[i / to] {
            for (x, wx) in taps[i % to] {
                let vector = &grid[(y * from + x) * width..][..width];
                let weight = (wy * wx) as f32;
                out.iter_mut()
                    .zip(vector)
                    .for_each(|(o, v)| *o += weight * v);
            }
        }
    }
    out
}

/// The four places of a line of `from` that make place `i` of one of `to`, with their weights.
fn cubic(i: usize, from: usize, to: usize) -> [(usize, f64); 4] {
    const A: f64 = -0.75;
    let near = |x: f64| ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0;
    let far = |x: f64| ((A * x - 5.0 * A) * x + 8.0 * A) * x - 4.0 * A;
    let centre = (i as f64 + 0.5) * from as f64 / to as f64 - 0.5;
    let (whole, t) = (centre.floor(), centre - centre.floor());
    let at = |offset: f64| (whole + offset).clamp(0.0, from as f64 - 1.0) as usize;
    [
        (at(-1.0), far(1.0 + t)),
        (at(0.0), near(t)),
        (at(1.0), near(1.0 - t)),
        (at(2.0), far(2.0 - t)),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use noisesearch_models::layers::Place;
    use noisesearch_models::parity::{Golden, Manifest, at, input, places};

    const ONE: &str = include_str!("../../../../parity/goldens/dinov2-class-1.json");
    const FOUR: &str = include_str!("../../../../parity/goldens/dinov2-class-4.json");

    fn config(all: &serde_json::Value) -> Config {
        serde_json::from_value(all.clone()).unwrap()
    }

    /// Every block within 2e-6, the features within 1e-4. With a = -1/2 the stem is off by 2e-3,
    /// with an eps of 1e-5 a block by 4e-6, with the class tokens in the other order the features
    /// by 0.5.
    #[test]
    fn golden_backbone_agrees_block_by_block() {
        for place in places().unwrap() {
            for (text, last) in [(ONE, 1), (FOUR, 4)] {
                agrees_at(text, last, &place);
            }
        }
    }

    fn agrees_at(text: &str, last: usize, place: &Place) {
        let golden = Golden::parse(text).unwrap();
        let config = config(&golden.config);
        let mut weights = golden.weights().unwrap();
        let mut source = Source::new(&mut weights, place);
        let shape = config.shape().unwrap();
        let tower = Dinov2::load(source.at("dinov2"), &config, shape, 56).unwrap();
        weights.skip("classifier.");
        weights.finish().unwrap();
        let images = input("image", &[2, 3, 56, 56]).unwrap();
        let images = at(place, &images).unwrap();
        let mut x = tower.stem(&images).unwrap();
        golden.check("stem", &x, 2e-6).unwrap();
        for (i, block) in tower.blocks.iter().enumerate() {
            x = block.forward(&x, None).unwrap();
            golden.check(&format!("block{i}"), &x, 2e-6).unwrap();
        }
        let features = tower.features(&images, last).unwrap();
        golden.check("features", &features, 1e-4).unwrap();
    }

    #[test]
    fn published_layouts_are_asked_for_exactly() {
        let published = [
            include_str!("../../../../parity/manifests/dinov2-b-14.json"),
            include_str!("../../../../parity/manifests/dinov2-l-14.json"),
        ];
        for text in published {
            let manifest = Manifest::parse(text).unwrap();
            let config = config(&manifest.config);
            let shape = config.shape().unwrap();
            let load = |s: Source| Dinov2::load(s, &config, shape, 224);
            manifest.check(load).unwrap();
        }
    }

    #[test]
    fn a_grid_of_its_own_size_stays() {
        let table: Vec<f32> = (0..10 * 3).map(|i| i as f32).collect();
        assert_eq!(stretched(&table, [3, 3], 3), table);
    }
}
