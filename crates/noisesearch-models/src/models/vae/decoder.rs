//! The decoder network: residual blocks, one attention layer in the middle, nearest-neighbour
//! upsampling (Rombach et al., arXiv 2112.10752, appendix G; Esser et al., arXiv 2012.09841).

use super::VaeConfig;
use crate::layers::{
    Attend, Before, Conv2d, Geometry, GroupNorm, Linear, Loaded, Source, attention,
};
use crate::models::resnet::{Resnet, ResnetShape};
use candle_core::{Result, Tensor};

/// Added to the variances of group norms.
const EPS: f32 = 1e-6;

/// From unscaled latents to pixels, in the tensor names of diffusers' `AutoencoderKL`.
#[derive(Debug)]
pub(super) struct Network {
    post_quant: Option<Linear>,
    conv_in: Conv2d,
    mid: Middle,
    ups: Vec<Up>,
    norm_out: GroupNorm,
    conv_out: Conv2d,
}

impl Network {
    /// Takes `post_quant_conv` where there is one, and `decoder`.
    pub(super) fn load(mut s: Source, config: &VaeConfig) -> Loaded<Self> {
        let (latent, groups) = (config.latent_channels, config.norm_num_groups);
        let post_quant = match config.use_post_quant_conv {
            true => Some(Linear::patches(
                s.at("post_quant_conv"),
                [latent, 1],
                latent,
                true,
            )?),
            false => None,
        };
        let mut s = s.at("decoder");
        let mut widths = config.block_out_channels.iter().rev().copied().enumerate();
        let same = Geometry::SAME_3X3;
        let top = config.block_out_channels.last().copied().unwrap_or(0);
        let conv_in = Conv2d::load(s.at("conv_in").edge(), [latent, top], same)?;
        let mid = Middle::load(s.at("mid_block"), top, config)?;
        let mut inputs = top;
        let ups = widths.try_fold(vec![], |mut ups, (i, outputs)| {
            let grows = i + 1 < config.block_out_channels.len();
            let at = s.at(format_args!("up_blocks.{i}"));
            ups.push(Up::load(at, [inputs, outputs], grows, config)?);
            inputs = outputs;
            Ok(ups)
        })?;
        Ok(Self {
            post_quant,
            conv_in,
            mid,
            ups,
            norm_out: GroupNorm::load(s.at("conv_norm_out"), inputs, groups, EPS)?,
            conv_out: Conv2d::load(s.at("conv_out"), [inputs, config.out_channels], same)?,
        })
    }

    /// `z: [b, h, w, latent]` to `[b, factor h, factor w, 3]`, pixels in `[-1, 1]` or a little
    /// beyond. `watch` is shown what each part computed.
    pub(super) fn forward(
        &self,
        z: &Tensor,
        watch: &mut dyn FnMut(&str, &Tensor) -> Result<()>,
    ) -> Result<Tensor> {
        let mut x = match &self.post_quant {
            Some(conv) => self.conv_in.forward(&conv.forward(z)?)?,
            None => self.conv_in.forward(z)?,
        };
        watch("conv_in", &x)?;
        x = self.mid.forward(&x)?;
        watch("mid", &x)?;
        for (i, up) in self.ups.iter().enumerate() {
            x = up.forward(x)?;
            watch(&format!("up{i}"), &x)?;
        }
        self.conv_out.around(&x, Before::Norm(&self.norm_out), None)
    }
}

/// Two residual blocks around an attention layer.
#[derive(Debug)]
struct Middle {
    first: Resnet,
    attention: Option<Pixels>,
    second: Resnet,
}

impl Middle {
    fn load(mut s: Source, channels: usize, config: &VaeConfig) -> Loaded<Self> {
        let shape = resnet([channels; 2], config);
        Ok(Self {
            first: Resnet::load(s.at("resnets.0"), shape)?,
            attention: match config.mid_block_add_attention {
                true => Some(Pixels::load(s.at("attentions.0"), channels, shape.groups)?),
                false => None,
            },
            second: Resnet::load(s.at("resnets.1"), shape)?,
        })
    }

    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let mut x = self.first.forward(x, None)?;
        if let Some(attention) = &self.attention {
            x = attention.forward(&x)?;
        }
        self.second.forward(&x, None)
    }
}

/// Residual attention of all pixels to all pixels, with one head.
#[derive(Debug)]
struct Pixels {
    norm: GroupNorm,
    q: Linear,
    k: Linear,
    v: Linear,
    out: Linear,
}

impl Pixels {
    /// Takes `group_norm` and four projections, whose names older files spell differently.
    fn load(mut s: Source, channels: usize, groups: usize) -> Loaded<Self> {
        let names = match s.has("query.weight") {
            true => ["query", "key", "value", "proj_attn"],
            false => ["to_q", "to_k", "to_v", "to_out.0"],
        };
        let mut part = |name| Linear::load(s.at(name), channels, channels);
        let (q, k) = (part(names[0])?, part(names[1])?);
        let (v, out) = (part(names[2])?, part(names[3])?);
        let norm = GroupNorm::load(s.at("group_norm"), channels, groups, EPS)?;
        Ok(Self { norm, q, k, v, out })
    }

    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let (b, h, w, c) = x.dims4()?;
        let tokens = self.norm.forward(x)?.reshape((b, h * w, c))?;
        let (q, k) = (self.q.forward(&tokens)?, self.k.forward(&tokens)?);
        let v = self.v.forward(&tokens)?;
        let seen = attention(&q, &k, &v, Attend::like(&self.out, 1))?;
        let x = x.reshape((b, h * w, c))?;
        self.out.added(&seen, &x)?.reshape((b, h, w, c))
    }
}

/// One resolution: residual blocks, then a doubling and a convolution, except in the last.
#[derive(Debug)]
struct Up {
    resnets: Vec<Resnet>,
    grow: Option<Conv2d>,
}

impl Up {
    fn load(
        mut s: Source,
        [inputs, outputs]: [usize; 2],
        grows: bool,
        config: &VaeConfig,
    ) -> Loaded<Self> {
        let resnets = (0..=config.layers_per_block).map(|i| {
            let from = if i == 0 { inputs } else { outputs };
            let at = s.at(format_args!("resnets.{i}"));
            Resnet::load(at, resnet([from, outputs], config))
        });
        let resnets = resnets.collect::<Loaded<_>>()?;
        let grow = match grows {
            true => Some(Conv2d::load(
                s.at("upsamplers.0.conv"),
                [outputs; 2],
                Geometry::SAME_3X3,
            )?),
            false => None,
        };
        Ok(Self { resnets, grow })
    }

    fn forward(&self, mut x: Tensor) -> Result<Tensor> {
        for resnet in &self.resnets {
            x = resnet.forward(&x, None)?;
        }
        match &self.grow {
            Some(conv) => {
                let (_, h, w, _) = x.dims4()?;
                conv.around(&x, Before::Doubled([2 * h, 2 * w]), None)
            }
            None => Ok(x),
        }
    }
}

fn resnet([inputs, outputs]: [usize; 2], config: &VaeConfig) -> ResnetShape {
    ResnetShape {
        inputs,
        outputs,
        time: None,
        groups: config.norm_num_groups,
        eps: EPS,
    }
}
