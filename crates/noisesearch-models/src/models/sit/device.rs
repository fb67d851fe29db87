//! The same network on another device than the CPU: whole batches, by candle's operations.

use super::block::LAYER_NORM_EPS;
use super::parts::{BlockParts, Parts, Raw, read};
use super::{SitConfig, TimeAxis};
use crate::denoiser::{Encoded, Network};
use crate::layers::{
    Activation, Attend, Place, activate, add_gated, attention, finished, modulated,
};
use crate::models::patches::cut;
use crate::parity::Watch;
use candle_core::{D, DType, Device, Result, Tensor};
use noisesearch_core::level::Level;

/// A SiT or DiT on a device.
pub struct DeviceSit {
    config: SitConfig,
    place: Place,
    parts: Parts<Dense>,
    /// `[classes + 1, hidden]`.
    class_table: Tensor,
    /// `[1, tokens, hidden]`.
    positions: Tensor,
}

/// A linear layer.
struct Dense {
    /// `[inputs, outputs]`.
    weight: Tensor,
    bias: Option<Tensor>,
    outputs: usize,
}

impl Dense {
    fn new(raw: Raw, place: &Place) -> Result<Self> {
        let outputs = raw.bias.len();
        let weight = send(raw.weight, &[outputs, raw.inputs], place)?;
        Ok(Self {
            weight: weight.t()?.contiguous()?,
            bias: Some(send(raw.bias, &[outputs], place)?),
            outputs,
        })
    }

    /// `x: [.., inputs]` to `[.., outputs]`.
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        self.then(x, None)
    }

    /// The same, then an activation.
    fn activated(&self, x: &Tensor, activation: Activation) -> Result<Tensor> {
        self.then(x, Some(activation))
    }

    fn then(&self, x: &Tensor, activation: Option<Activation>) -> Result<Tensor> {
        let mut shape = x.dims().to_vec();
        if let Some(last) = shape.last_mut() {
            *last = self.outputs;
        }
        let product = x.flatten_to(D::Minus2)?.matmul(&self.weight)?;
        finished(product.reshape(shape)?, self.bias.as_ref(), activation)
    }
}

fn send(floats: Vec<f32>, shape: &[usize], place: &Place) -> Result<Tensor> {
    let whole = Tensor::from_vec(floats, shape, &Device::Cpu)?;
    whole.to_dtype(place.dtype)?.to_device(&place.device)
}

impl DeviceSit {
    /// Builds the network, asking `take` once for every tensor of [`SitConfig::manifest`] by name
    /// and shape, like [`super::Sit::load_at`].
    pub fn load<E: From<candle_core::Error>>(
        config: SitConfig,
        place: &Place,
        take: impl FnMut(&str, &[usize]) -> std::result::Result<Vec<f32>, E>,
    ) -> std::result::Result<Self, E> {
        let mut parts = read(&config, take, |raw| Ok(Dense::new(raw, place)?))?;
        let d = config.hidden;
        let table = std::mem::take(&mut parts.class_table);
        let positions = std::mem::take(&mut parts.positions);
        Ok(Self {
            class_table: send(table, &[config.classes + 1, d], place)?,
            positions: send(positions, &[1, config.tokens(), d], place)?,
            place: place.clone(),
            config,
            parts,
        })
    }

    /// [`Network::predict`], which also shows what is inside: `block.0` and so on.
    pub fn watched(
        &self,
        x: &Tensor,
        at: Level,
        rows: &[&Encoded],
        watch: &mut Watch,
    ) -> Result<Tensor> {
        self.config.fits(x, rows.len())?;
        let condition = self.condition(at, rows)?;
        let mut x = self.tokens(x)?;
        for (i, block) in self.parts.blocks.iter().enumerate() {
            x = self.block(block, &x, &condition)?;
            watch(&format!("block.{i}"), &x)?;
        }
        let m = self.parts.last_modulation.forward(&condition)?;
        let h = modulated(&x, &part(&m, 0, 2)?, &part(&m, 1, 2)?, LAYER_NORM_EPS)?;
        self.pixels(&self.parts.last.forward(&h)?)
    }

    /// `silu(time + class)`, `[b, hidden]`.
    fn condition(&self, at: Level, rows: &[&Encoded]) -> Result<Tensor> {
        let features = self.config.time_features(at)?;
        let time = send(features, &[1, super::TIME_FEATURES], &self.place)?;
        let [first, second] = &self.parts.time;
        let time = second.forward(&first.activated(&time, Activation::Silu)?)?;
        let classes = rows.iter().map(|row| Ok(self.config.class_of(row)? as u32));
        let classes = Tensor::new(classes.collect::<Result<Vec<_>>>()?, &self.place.device)?;
        let class = self.class_table.index_select(&classes, 0)?;
        activate(&class.broadcast_add(&time)?, Activation::Silu)
    }

    /// Positions and patches, `[b, tokens, hidden]`.
    fn tokens(&self, x: &Tensor) -> Result<Tensor> {
        let patches = cut(x, self.config.patch)?.to_dtype(self.place.dtype)?;
        let patches = patches.to_device(&self.place.device)?;
        self.parts
            .patch
            .forward(&patches)?
            .broadcast_add(&self.positions)
    }

    fn block(&self, block: &BlockParts<Dense>, x: &Tensor, condition: &Tensor) -> Result<Tensor> {
        let all = block.modulation.forward(condition)?;
        let m = |i: usize| part(&all, i, 6);
        let h = modulated(x, &m(0)?, &m(1)?, LAYER_NORM_EPS)?;
        let qkv = block.qkv.forward(&h)?;
        let [q, k, v] = [0, 1, 2].map(|i| part(&qkv, i, 3));
        let how = Attend::heads(self.config.heads);
        let h = attention(&q?, &k?, &v?, how)?;
        let x = add_gated(x, &m(2)?, &block.project.forward(&h)?)?;
        let h = modulated(&x, &m(3)?, &m(4)?, self.config.norm_eps)?;
        let inside = block.widen.activated(&h, Activation::GeluTanh)?;
        add_gated(&x, &m(5)?, &block.narrow.forward(&inside)?)
    }

    /// `[b, tokens, dy, dx, channels]` to `[b, channels, h, w]`, on the CPU.
    fn pixels(&self, x: &Tensor) -> Result<Tensor> {
        let (c, size, p) = (
            self.config.channels,
            self.config.input_size,
            self.config.patch,
        );
        let (b, across) = (x.dim(0)?, size / p);
        let x = x.to_dtype(DType::F32)?.to_device(&Device::Cpu)?;
        let x = x.reshape(&[b, across, across, p, p, c])?;
        let x = x.permute([0, 5, 1, 3, 2, 4])?.reshape((b, c, size, size))?;
        match self.config.time {
            TimeAxis::DataAtOne => x.neg(),
            _ => Ok(x),
        }
    }
}

/// One of `parts` stretches of the last dimension.
fn part(x: &Tensor, i: usize, parts: usize) -> Result<Tensor> {
    let size = x.dim(D::Minus1)? / parts;
    x.narrow(D::Minus1, i * size, size)?.contiguous()
}

impl Network for DeviceSit {
    fn predict(&self, x: &Tensor, at: Level, rows: &[&Encoded]) -> Result<Tensor> {
        self.watched(x, at, rows, &mut |_, _| Ok(()))
    }
}
