//! The residual block of latent diffusion's U-Net and autoencoder (Rombach et al., arXiv
//! 2112.10752; He et al., arXiv 1512.03385, in its pre-activation form):
//!
//! ```text
//! h = conv1(silu(norm1(x))) + time        time: a projection of the time embedding, if any
//! x' = shortcut(x) + conv2(silu(norm2(h)))
//! ```

use crate::layers::{Before, Conv2d, Geometry, GroupNorm, Linear, Loaded, Source};
use candle_core::{Result, Tensor};

/// The size of a block.
#[derive(Clone, Copy, Debug)]
pub struct ResnetShape {
    /// Channels of the input.
    pub inputs: usize,
    /// Channels of the result.
    pub outputs: usize,
    /// Features of the time embedding, if the block reads one.
    pub time: Option<usize>,
    /// Groups of the group norms.
    pub groups: usize,
    /// Added to their variances.
    pub eps: f32,
}

/// The block, in the tensor names of diffusers' `ResnetBlock2D`.
#[derive(Debug)]
pub struct Resnet {
    norm1: GroupNorm,
    conv1: Conv2d,
    time: Option<Linear>,
    norm2: GroupNorm,
    conv2: Conv2d,
    shortcut: Option<Linear>,
}

impl Resnet {
    /// Takes `norm1`, `conv1`, `norm2`, `conv2`, and `time_emb_proj` and `conv_shortcut` where
    /// the shape asks for them.
    pub fn load(mut s: Source, shape: ResnetShape) -> Loaded<Self> {
        let ResnetShape {
            inputs,
            outputs,
            time,
            groups,
            eps,
        } = shape;
        let conv = Geometry::SAME_3X3;
        Ok(Self {
            norm1: GroupNorm::load(s.at("norm1"), inputs, groups, eps)?,
            conv1: Conv2d::load(s.at("conv1"), [inputs, outputs], conv)?,
            time: match time {
                Some(time) => Some(Linear::load(s.at("time_emb_proj"), time, outputs)?),
                None => None,
            },
            norm2: GroupNorm::load(s.at("norm2"), outputs, groups, eps)?,
            conv2: Conv2d::load(s.at("conv2"), [outputs, outputs], conv)?,
            shortcut: match inputs == outputs {
                true => None,
                false => Some(Linear::patches(
                    s.at("conv_shortcut"),
                    [inputs, 1],
                    outputs,
                    true,
                )?),
            },
        })
    }

    /// `x: [b, h, w, inputs]` to `[b, h, w, outputs]`. `time: [b, time]` is the SiLU of the time
    /// embedding; a block without one ignores it.
    pub fn forward(&self, x: &Tensor, time: Option<&Tensor>) -> Result<Tensor> {
        let time = match (&self.time, time) {
            (Some(project), Some(time)) => Some(project.forward(time)?),
            _ => None,
        };
        let norm = Before::Norm(&self.norm1);
        let h = self.conv1.around(x, norm, time.as_ref())?;
        let shortcut = self.shortcut.as_ref().map(|s| s.forward(x)).transpose()?;
        let norm = Before::Norm(&self.norm2);
        self.conv2
            .around(&h, norm, Some(shortcut.as_ref().unwrap_or(x)))
    }
}
