//! Sizes of a SiT or DiT and the tensors that its checkpoint holds.

use super::block::LAYER_NORM_EPS;
use crate::limits::{FEATURES_MAX, LAYERS_MAX};
use crate::models::unsupported;
use crate::path::{Betas, NoisePath, PathError};
use crate::pipeline::OpenError;
use crate::prediction::Prediction;
use serde::{Deserialize, Serialize};

/// Features of the sinusoidal time embedding.
pub const TIME_FEATURES: usize = 256;

/// What the network is told of the time, and so what it predicts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TimeAxis {
    /// `t = level`, and the network predicts `noise - x0`: this lab's checkpoints.
    NoiseAtOne,
    /// `t = 1 - level`, and the network predicts `x0 - noise`: the public SiT checkpoints.
    DataAtOne,
    /// `t = 1000 level - 1`, an index of DDPM's diffusion or between two, and the network predicts
    /// the noise: DiT.
    TrainingIndex,
    /// The same, with frequencies down to 1/10000 itself: DiT as diffusers runs it.
    ClosedIndex,
}

impl TimeAxis {
    /// What the network predicts, with the sign that [`super::Sit`] gives it.
    pub fn prediction(self) -> Prediction {
        match self {
            Self::NoiseAtOne | Self::DataAtOne => Prediction::Flow,
            Self::TrainingIndex | Self::ClosedIndex => Prediction::Noise,
        }
    }

    /// The path on which it was trained.
    pub fn path(self) -> Result<NoisePath, PathError> {
        match self {
            Self::NoiseAtOne | Self::DataAtOne => Ok(NoisePath::Flow),
            Self::TrainingIndex | Self::ClosedIndex => NoisePath::vp(Betas::DDPM),
        }
    }
}

/// Sizes of a SiT or DiT.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct SitConfig {
    /// Height and width of a latent.
    pub input_size: usize,
    /// Height and width of a patch; divides `input_size`.
    pub patch: usize,
    /// Channels of a latent.
    pub channels: usize,
    /// Features of a token.
    pub hidden: usize,
    /// Blocks.
    pub depth: usize,
    /// Attention heads; divides `hidden`.
    pub heads: usize,
    /// Features inside an MLP, in multiples of `hidden`.
    pub mlp_ratio: usize,
    /// Classes, without the "no class" that stands after them in the table.
    pub classes: usize,
    /// Whether the checkpoint predicts twice the channels, the second half of which is not used.
    pub learn_sigma: bool,
    /// What it is told of the time.
    pub time: TimeAxis,
    /// Added to variances before an MLP.
    #[serde(default = "norm_eps")]
    pub norm_eps: f32,
}

/// What the authors' networks add to every variance.
fn norm_eps() -> f32 {
    LAYER_NORM_EPS
}

impl SitConfig {
    /// The lab's glyphs, base size: 32x32 grey, 36 classes.
    pub const GLYPHS_BASE: Self = Self {
        input_size: 32,
        patch: 4,
        channels: 1,
        hidden: 128,
        depth: 5,
        heads: 4,
        mlp_ratio: 4,
        classes: 36,
        learn_sigma: false,
        time: TimeAxis::NoiseAtOne,
        norm_eps: LAYER_NORM_EPS,
    };
    /// The lab's glyphs, small size.
    pub const GLYPHS_SMALL: Self = Self {
        hidden: 64,
        heads: 2,
        ..Self::GLYPHS_BASE
    };
    /// The public SiT-XL/2 for ImageNet at 256x256.
    pub const XL_2: Self = Self {
        input_size: 32,
        patch: 2,
        channels: 4,
        hidden: 1152,
        depth: 28,
        heads: 16,
        mlp_ratio: 4,
        classes: 1000,
        learn_sigma: true,
        time: TimeAxis::DataAtOne,
        norm_eps: LAYER_NORM_EPS,
    };
    /// The public SiT-L/2.
    pub const L_2: Self = Self {
        hidden: 1024,
        depth: 24,
        ..Self::XL_2
    };
    /// The public SiT-B/2.
    pub const B_2: Self = Self {
        hidden: 768,
        depth: 12,
        heads: 12,
        ..Self::XL_2
    };

    /// Checks that this is a network that runs here, before its tensors are asked for.
    pub fn check(&self) -> Result<(), OpenError> {
        let refuse = |what: &str, found: &dyn std::fmt::Debug, supported: &str| {
            Err(unsupported(
                format!("the transformer's {what}"),
                found,
                supported,
            ))
        };
        let sizes = [
            self.input_size,
            self.patch,
            self.channels,
            self.hidden,
            self.heads,
            self.mlp_ratio,
            self.classes,
        ];
        if sizes.iter().any(|s| !(1..=FEATURES_MAX).contains(s)) {
            return refuse("sizes", &sizes, "1 to 65536 each");
        }
        if !self.input_size.is_multiple_of(self.patch) || self.input_size > 1024 {
            let want = "a multiple of patch up to 1024";
            return refuse("input_size", &self.input_size, want);
        }
        if !self.hidden.is_multiple_of(self.heads) {
            return refuse("heads", &self.heads, "a divisor of hidden");
        }
        if self.depth > LAYERS_MAX {
            return refuse("depth", &self.depth, "at most 1000");
        }
        Ok(())
    }

    /// Tokens of an image.
    pub fn tokens(&self) -> usize {
        (self.input_size / self.patch).pow(2)
    }

    /// Floats of a patch.
    pub fn patch_floats(&self) -> usize {
        self.channels * self.patch * self.patch
    }

    /// Multiply-adds of one pass for one row: every matrix product of blocks and last layer, and
    /// both products of attention.
    pub fn multiply_adds(&self) -> u64 {
        let [tokens, d, depth, mlp] =
            [self.tokens(), self.hidden, self.depth, self.mlp_ratio].map(|size| size as u64);
        let modulation = 6 * d * d;
        let block = tokens * (4 + 2 * mlp) * d * d + 2 * tokens * tokens * d + modulation;
        let patch = self.patch_floats() as u64 * d;
        let predicted = (self.predicted_channels() * self.patch * self.patch) as u64 * d;
        let time = (TIME_FEATURES as u64 + d) * d;
        depth * block + tokens * (patch + predicted) + 2 * d * d + time
    }

    /// Channels that the checkpoint predicts.
    pub fn predicted_channels(&self) -> usize {
        if self.learn_sigma {
            2 * self.channels
        } else {
            self.channels
        }
    }

    /// Name and shape of every tensor of a checkpoint, in the order in which they are asked for.
    pub fn manifest(&self) -> Vec<(String, Vec<usize>)> {
        let (d, wide, p) = (self.hidden, self.mlp_ratio * self.hidden, self.patch);
        let mut tensors = Vec::new();
        let mut add = |name: String, shape: &[usize]| {
            tensors.push((format!("{name}.weight"), shape.to_vec()));
            tensors.push((format!("{name}.bias"), shape[..1].to_vec()));
        };
        add("x_embedder.proj".into(), &[d, self.channels, p, p]);
        add("t_embedder.mlp.0".into(), &[d, TIME_FEATURES]);
        add("t_embedder.mlp.2".into(), &[d, d]);
        for i in 0..self.depth {
            add(format!("blocks.{i}.attn.qkv"), &[3 * d, d]);
            add(format!("blocks.{i}.attn.proj"), &[d, d]);
            add(format!("blocks.{i}.mlp.fc1"), &[wide, d]);
            add(format!("blocks.{i}.mlp.fc2"), &[d, wide]);
            add(format!("blocks.{i}.adaLN_modulation.1"), &[6 * d, d]);
        }
        add(
            "final_layer.linear".into(),
            &[self.predicted_channels() * p * p, d],
        );
        add("final_layer.adaLN_modulation.1".into(), &[2 * d, d]);
        tensors.push((
            "y_embedder.embedding_table.weight".into(),
            vec![self.classes + 1, d],
        ));
        tensors.push(("pos_embed".into(), vec![1, self.tokens(), d]));
        tensors
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the paper (arXiv 2501.09732, Fig. 11) plots an evaluation of SiT at: 118.6, 80.7 and
    /// 23.0 GFLOP, a multiply-add counted as one.
    #[test]
    fn multiply_adds_are_the_published_gflop() {
        for (config, published) in [
            (SitConfig::XL_2, 118.6),
            (SitConfig::L_2, 80.7),
            (SitConfig::B_2, 23.0),
        ] {
            let counted = config.multiply_adds() as f64 / 1e9;
            // Without the modulation of the blocks XL would be at 118.4, which is outside.
            assert!((counted - published).abs() < 0.07, "{counted} {published}");
        }
    }

    /// Shapes as `SiT_models["SiT-XL/2"]().state_dict()` of github.com/willisma/SiT has them.
    #[test]
    fn the_manifest_of_xl_2_is_that_of_the_public_checkpoint() {
        let manifest = SitConfig::XL_2.manifest();
        let shape = |name: &str| {
            let found = manifest.iter().find(|(n, _)| n == name);
            found
                .map(|(_, shape)| shape.as_slice())
                .unwrap_or_else(|| panic!("{name}"))
        };
        assert_eq!(manifest.len(), 6 + 28 * 10 + 4 + 2);
        assert_eq!(shape("x_embedder.proj.weight"), [1152, 4, 2, 2]);
        assert_eq!(shape("t_embedder.mlp.0.weight"), [1152, 256]);
        assert_eq!(shape("t_embedder.mlp.2.bias"), [1152]);
        assert_eq!(shape("y_embedder.embedding_table.weight"), [1001, 1152]);
        assert_eq!(shape("pos_embed"), [1, 256, 1152]);
        assert_eq!(shape("blocks.27.attn.qkv.weight"), [3456, 1152]);
        assert_eq!(shape("blocks.27.attn.proj.bias"), [1152]);
        assert_eq!(shape("blocks.0.mlp.fc1.weight"), [4608, 1152]);
        assert_eq!(shape("blocks.0.mlp.fc2.weight"), [1152, 4608]);
        assert_eq!(shape("blocks.13.adaLN_modulation.1.weight"), [6912, 1152]);
        assert_eq!(shape("final_layer.linear.weight"), [32, 1152]);
        assert_eq!(shape("final_layer.adaLN_modulation.1.bias"), [2304]);
        let parameters: usize = manifest
            .iter()
            .map(|(_, s)| s.iter().product::<usize>())
            .sum();
        assert_eq!(parameters, 675_129_632);
    }
}
