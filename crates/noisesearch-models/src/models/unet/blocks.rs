//! The resolutions of the U-Net: on the way down every part's result is kept, on the way up it is
//! put beside what comes from below (Ronneberger et al., arXiv 1505.04597).

use super::transformer::Transformer;
use super::{Given, UNetConfig};
use crate::layers::{Before, Conv2d, Geometry, Loaded, Source};
use crate::models::resnet::{Resnet, ResnetShape};
use candle_core::{D, Result, Tensor};

/// Added to the variances of group norms in residual blocks.
pub(super) const EPS: f32 = 1e-5;

/// A residual block and, at some resolutions, a transformer.
#[derive(Debug)]
struct Layer {
    resnet: Resnet,
    transformer: Option<Transformer>,
}

impl Layer {
    /// Layer `i` of the resolution `block`, which has transformers or not.
    fn load(
        s: &mut Source,
        i: usize,
        inputs: usize,
        (block, reads): (usize, bool),
        config: &UNetConfig,
    ) -> Loaded<Self> {
        let shape = resnet([inputs, config.block_out_channels[block]], config);
        Ok(Self {
            resnet: Resnet::load(s.at(format_args!("resnets.{i}")), shape)?,
            transformer: match reads {
                true => Some(Transformer::load(
                    s.at(format_args!("attentions.{i}")),
                    block,
                    config,
                )?),
                false => None,
            },
        })
    }

    fn forward(&self, x: &Tensor, given: &Given) -> Result<Tensor> {
        let x = self.resnet.forward(x, Some(&given.time))?;
        match &self.transformer {
            Some(transformer) => transformer.forward(&x, &given.words),
            None => Ok(x),
        }
    }
}

fn resnet([inputs, outputs]: [usize; 2], config: &UNetConfig) -> ResnetShape {
    ResnetShape {
        inputs,
        outputs,
        time: Some(config.time()),
        groups: config.norm_num_groups,
        eps: EPS,
    }
}

/// One resolution on the way down.
#[derive(Debug)]
pub(super) struct Down {
    layers: Vec<Layer>,
    shrink: Option<Conv2d>,
}

impl Down {
    /// Resolution `block`, entered by `inputs` channels.
    pub(super) fn load(
        mut s: Source,
        block: usize,
        inputs: usize,
        config: &UNetConfig,
    ) -> Loaded<Self> {
        let channels = config.block_out_channels[block];
        let reads = config.down_block_types[block] == "CrossAttnDownBlock2D";
        let layers = (0..config.layers_per_block).map(|i| {
            let inputs = if i == 0 { inputs } else { channels };
            Layer::load(&mut s, i, inputs, (block, reads), config)
        });
        let layers = layers.collect::<Loaded<_>>()?;
        let shrink = match block + 1 < config.block_out_channels.len() {
            true => Some(Conv2d::load(
                s.at("downsamplers.0.conv"),
                [channels; 2],
                Geometry::square(3, 2, 1),
            )?),
            false => None,
        };
        Ok(Self { layers, shrink })
    }

    /// Keeps the result of every part in `kept` and returns the last.
    pub(super) fn forward(
        &self,
        mut x: Tensor,
        given: &Given,
        kept: &mut Vec<Tensor>,
    ) -> Result<Tensor> {
        for layer in &self.layers {
            x = layer.forward(&x, given)?;
            kept.push(x.clone());
        }
        if let Some(shrink) = &self.shrink {
            x = shrink.forward(&x)?;
            kept.push(x.clone());
        }
        Ok(x)
    }
}

/// The coarsest resolution's middle: a layer and another residual block.
#[derive(Debug)]
pub(super) struct Middle {
    first: Layer,
    second: Resnet,
}

impl Middle {
    pub(super) fn load(mut s: Source, config: &UNetConfig) -> Loaded<Self> {
        let block = config.block_out_channels.len() - 1;
        let channels = config.block_out_channels[block];
        let first = Layer::load(&mut s, 0, channels, (block, true), config)?;
        let second = Resnet::load(s.at("resnets.1"), resnet([channels; 2], config))?;
        Ok(Self { first, second })
    }

    pub(super) fn forward(&self, x: &Tensor, given: &Given) -> Result<Tensor> {
        let x = self.first.forward(x, given)?;
        self.second.forward(&x, Some(&given.time))
    }
}

/// One resolution on the way up.
#[derive(Debug)]
pub(super) struct Up {
    layers: Vec<Layer>,
    grow: Option<Conv2d>,
}

impl Up {
    /// The `i`-th resolution from the coarsest, entered by `inputs` channels from below.
    pub(super) fn load(
        mut s: Source,
        i: usize,
        inputs: usize,
        config: &UNetConfig,
    ) -> Loaded<Self> {
        let block = config.block_out_channels.len() - 1 - i;
        let channels = config.block_out_channels[block];
        let reads = config.up_block_types[i] == "CrossAttnUpBlock2D";
        // What the finer neighbour left on the way down; the finest was entered by its own width.
        let finer = config.block_out_channels[block.saturating_sub(1)];
        let layers = (0..=config.layers_per_block).map(|layer| {
            let below = if layer == 0 { inputs } else { channels };
            let beside = match layer == config.layers_per_block {
                true => finer,
                false => channels,
            };
            Layer::load(&mut s, layer, below + beside, (block, reads), config)
        });
        let layers = layers.collect::<Loaded<_>>()?;
        let grow = match block > 0 {
            true => Some(Conv2d::load(
                s.at("upsamplers.0.conv"),
                [channels; 2],
                Geometry::SAME_3X3,
            )?),
            false => None,
        };
        Ok(Self { layers, grow })
    }

    /// Takes as many results from `kept` as it has layers; the next one there tells the size to
    /// grow to, which is odd where an odd size was halved.
    pub(super) fn forward(
        &self,
        mut x: Tensor,
        given: &Given,
        kept: &mut Vec<Tensor>,
    ) -> Result<Tensor> {
        for layer in &self.layers {
            if let Some(beside) = kept.pop() {
                x = Tensor::cat(&[&x, &beside], D::Minus1)?;
            }
            x = layer.forward(&x, given)?;
        }
        match (&self.grow, kept.last()) {
            (Some(conv), Some(next)) => {
                let (_, height, width, _) = next.dims4()?;
                conv.around(&x, Before::Doubled([height, width]), None)
            }
            _ => Ok(x),
        }
    }
}
