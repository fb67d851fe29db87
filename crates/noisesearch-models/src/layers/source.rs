//! A place in a model file, from which layers take their tensors by relative name.

use crate::weights::{Weights, WeightsError};
use candle_core::{DType, Device, Tensor};
use std::fmt::Display;

/// What loading gives, or what is wrong with the file.
pub type Loaded<T> = Result<T, WeightsError>;

/// Where a model lives.
#[derive(Clone, Debug)]
pub struct Place {
    /// The device of weights and activations.
    pub device: Device,
    /// The number format of weights and activations. F32 on the CPU runs our kernels.
    pub dtype: DType,
}

impl Place {
    /// The CPU, in f32.
    pub fn cpu() -> Self {
        Self {
            device: Device::Cpu,
            dtype: DType::F32,
        }
    }

    /// Whether layers are made for the kernels of [`crate::nn`].
    pub(super) fn is_cpu(&self) -> bool {
        self.device.is_cpu() && self.dtype == DType::F32
    }
}

/// A prefix of tensor names in a model file, and where the model shall live.
pub struct Source<'a> {
    tensors: Tensors<'a>,
    prefix: String,
    place: &'a Place,
}

/// Where tensors come from.
enum Tensors<'a> {
    File(&'a mut Weights),
    /// Only what is asked for is noted: every tensor is empty.
    List(&'a mut Vec<(String, Vec<usize>)>),
}

impl Tensors<'_> {
    fn reborrow(&mut self) -> Tensors<'_> {
        match self {
            Self::File(weights) => Tensors::File(weights),
            Self::List(asked) => Tensors::List(asked),
        }
    }
}

/// Names and shapes of what `load` takes, in its order, without a file and without the memory:
/// layers are loaded empty.
pub fn manifest<T>(load: impl FnOnce(Source) -> Loaded<T>) -> Loaded<Vec<(String, Vec<usize>)>> {
    let mut asked = Vec::new();
    load(Source {
        tensors: Tensors::List(&mut asked),
        prefix: String::new(),
        place: &Place::cpu(),
    })?;
    Ok(asked)
}

impl<'a> Source<'a> {
    /// The root of a file.
    pub fn new(weights: &'a mut Weights, place: &'a Place) -> Self {
        Self {
            tensors: Tensors::File(weights),
            prefix: String::new(),
            place,
        }
    }

    /// The tensors whose names go on with `name` and a dot.
    pub fn at(&mut self, name: impl Display) -> Source<'_> {
        Source {
            prefix: format!("{}{name}.", self.prefix),
            tensors: self.tensors.reborrow(),
            place: self.place,
        }
    }

    /// Whether there is a tensor of this name that was not taken yet.
    pub fn has(&self, name: &str) -> bool {
        match &self.tensors {
            Tensors::File(weights) => weights.has(&self.full(name)),
            Tensors::List(_) => false,
        }
    }

    /// Where the model lives.
    pub fn place(&self) -> &Place {
        self.place
    }

    /// Takes a tensor's floats, which must have this shape; row-major.
    pub fn floats(&mut self, name: &str, shape: &[usize]) -> Loaded<Vec<f32>> {
        let name = self.full(name);
        match &mut self.tensors {
            Tensors::File(weights) => weights.take_vec(&name, shape),
            Tensors::List(asked) => {
                asked.push((name, shape.to_vec()));
                Ok(vec![])
            }
        }
    }

    /// Takes a tensor to where the model lives.
    pub fn tensor(&mut self, name: &str, shape: &[usize]) -> Loaded<Tensor> {
        let floats = self.floats(name, shape)?;
        self.send(floats, shape)
    }

    /// Floats as a tensor of `shape` where the model lives.
    pub(super) fn send(&self, floats: Vec<f32>, shape: &[usize]) -> Loaded<Tensor> {
        let place = self.place;
        let weights = match &self.tensors {
            Tensors::File(weights) => weights,
            Tensors::List(_) => {
                // Invariant: an empty tensor needs neither memory nor a device.
                let empty = Tensor::from_vec(floats, 0, &Device::Cpu);
                return Ok(empty.expect("an empty tensor of a list"));
            }
        };
        let sent = Tensor::from_vec(floats, shape, &place.device);
        sent.and_then(|tensor| tensor.to_dtype(place.dtype))
            .map_err(|error| weights.device_error(&self.prefix, error))
    }

    fn full(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layers::{Conv2d, Geometry, GroupNorm, LayerNorm, Linear, RmsNorm};

    #[test]
    fn a_manifest_lists_what_is_asked_for_without_a_file() {
        let asked = manifest(|mut s| {
            Conv2d::load(s.at("in"), [3, 8], Geometry::SAME_3X3)?;
            Linear::fused(s.at("attn"), &["q", "k"], [8, 4], false)?;
            LayerNorm::load(s.at("norm"), 8, 1e-5)?;
            GroupNorm::load(s.at("group"), 8, 2, 1e-5)?;
            RmsNorm::load(s.at("rms"), "scale", 8, 1e-5)
        });
        let asked = asked.unwrap();
        let (names, shapes): (Vec<_>, Vec<_>) = asked.into_iter().unzip();
        let want = "in.weight in.bias attn.q.weight attn.k.weight norm.weight norm.bias \
                    group.weight group.bias rms.scale";
        assert_eq!(names.join(" "), want);
        assert_eq!(shapes[0], [8, 3, 3, 3]);
        assert_eq!(shapes[3], [4, 8]);
    }
}
