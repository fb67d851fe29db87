//! A place in a model file, from which layers take their tensors by relative name.

use crate::nn::bf16::Order;
use crate::nn::gemm::PackedWeight;
use crate::weights::{Weights, WeightsError};
use candle_core::{DType, Device, Tensor};
use std::fmt::Display;

/// What loading gives, or what is wrong with the file.
pub type Loaded<T> = Result<T, WeightsError>;

/// The number format in which matrices are kept and multiplied on the CPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Products {
    /// As they were computed with in training, or wider.
    F32,
    /// In bf16, in this order of summands.
    Bf16(Order),
    /// In int8 with scales, see [`crate::nn::int8`].
    Int8,
}

impl Products {
    /// All of them.
    pub const ALL: [Self; 4] = [
        Self::F32,
        Self::Bf16(Order::Tile),
        Self::Bf16(Order::Pair),
        Self::Int8,
    ];

    /// What it is called: `f32`, `bf16-tile`, `bf16-pair` or `int8`.
    pub fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::Bf16(order) => order.name(),
            Self::Int8 => "int8",
        }
    }

    /// The one of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|products| products.name() == name)
    }

    /// Bytes of a weight.
    pub fn bytes(self) -> u64 {
        match self {
            Self::F32 => 4,
            Self::Bf16(_) => 2,
            Self::Int8 => 1,
        }
    }
}

/// Where a model lives.
#[derive(Clone, Debug)]
pub struct Place {
    /// The device of weights and activations.
    pub device: Device,
    /// The number format of activations, and of weights but those that `products` tells. F32 on
    /// the CPU runs our kernels.
    pub dtype: DType,
    /// How the CPU keeps and multiplies matrices.
    pub products: Products,
}

impl Place {
    /// The CPU, in f32.
    pub fn cpu() -> Self {
        Self::cpu_with(Products::F32)
    }

    /// The CPU, with matrices and their products in this number format.
    pub fn cpu_with(products: Products) -> Self {
        Self {
            device: Device::Cpu,
            dtype: DType::F32,
            products,
        }
    }

    /// A device, and the number format that is asked for there. Activations on the CPU are f32:
    /// there bf16 is that of matrices and their products, and f16 weights are widened.
    pub fn new(device: Device, dtype: DType) -> Self {
        match (device.is_cpu(), dtype) {
            (true, DType::BF16) => Self::cpu_in_bf16(Order::fastest()),
            (true, _) => Self::cpu(),
            (false, _) => Self {
                device,
                dtype,
                products: Products::F32,
            },
        }
    }

    /// The CUDA device of this number, with one stream for all threads: loading, solving and
    /// decoding are on threads of their own, and by default each of these would have a stream of
    /// its own, in no order with the others.
    ///
    /// # Errors
    /// There is no such device, or the program was built without CUDA.
    pub fn cuda_device(index: usize) -> candle_core::Result<Device> {
        Device::new_cuda_with_stream(index)
    }

    /// The CPU, with matrices and their products in bf16, in this order of summands.
    pub fn cpu_in_bf16(order: Order) -> Self {
        Self::cpu_with(Products::Bf16(order))
    }

    /// A weight as it is kept in this place.
    pub(crate) fn keep(&self, weight: PackedWeight) -> PackedWeight {
        match self.products {
            Products::F32 => weight,
            Products::Bf16(order) => weight.in_bf16(order),
            Products::Int8 => weight.in_int8(),
        }
    }

    /// Whether layers are made for the kernels of [`crate::nn`].
    pub(crate) fn is_cpu(&self) -> bool {
        self.device.is_cpu() && self.dtype == DType::F32
    }
}

/// A prefix of tensor names in a model file, and where the model shall live.
pub struct Source<'a> {
    weights: &'a mut Weights,
    prefix: String,
    place: &'a Place,
    edge: bool,
}

impl<'a> Source<'a> {
    /// The root of a file.
    pub fn new(weights: &'a mut Weights, place: &'a Place) -> Self {
        Self {
            weights,
            prefix: String::new(),
            place,
            edge: false,
        }
    }

    /// The tensors whose names go on with `name` and a dot.
    pub fn at(&mut self, name: impl Display) -> Source<'_> {
        Source {
            prefix: format!("{}{name}.", self.prefix),
            weights: self.weights,
            place: self.place,
            edge: self.edge,
        }
    }

    /// The same place, lent to one of several loaders.
    pub fn lend(&mut self) -> Source<'_> {
        Source {
            prefix: self.prefix.clone(),
            weights: self.weights,
            place: self.place,
            edge: self.edge,
        }
    }

    /// The same place, for the first or the last layer of a network, which meets latents or
    /// pixels themselves: in int8 it stays f32.
    pub fn edge(self) -> Self {
        Self { edge: true, ..self }
    }

    /// A weight as it is kept in this place.
    pub(super) fn keep(&self, weight: PackedWeight) -> PackedWeight {
        match self.place.products {
            Products::Int8 if self.edge => weight,
            _ => self.place.keep(weight),
        }
    }

    /// Whether there is a tensor of this name that was not taken yet.
    pub fn has(&self, name: &str) -> bool {
        self.weights.has(&self.full(name))
    }

    /// Passes over the tensors whose names go on with `name`, see [`Weights::skip`].
    pub fn skip(&mut self, name: &str) {
        let name = self.full(name);
        self.weights.skip(&name);
    }

    /// Whether there are names and shapes only; a layer then need not arrange its weights.
    pub(super) fn is_hollow(&self) -> bool {
        self.weights.is_hollow()
    }

    /// Where the model lives.
    pub fn place(&self) -> &Place {
        self.place
    }

    /// Takes a tensor's floats, which must have this shape; row-major.
    pub fn floats(&mut self, name: &str, shape: &[usize]) -> Loaded<Vec<f32>> {
        let name = self.full(name);
        self.weights.take_vec(&name, shape)
    }

    /// Takes a tensor to where the model lives.
    pub fn tensor(&mut self, name: &str, shape: &[usize]) -> Loaded<Tensor> {
        let floats = self.floats(name, shape)?;
        self.send(floats, shape)
    }

    /// Floats as a tensor of `shape` where the model lives.
    pub fn send(&self, floats: Vec<f32>, shape: &[usize]) -> Loaded<Tensor> {
        let place = self.place;
        let sent = if self.is_hollow() {
            Tensor::zeros((), place.dtype, &place.device).and_then(|one| one.broadcast_as(shape))
        } else {
            Tensor::from_vec(floats, shape, &place.device)
        };
        sent.and_then(|tensor| tensor.to_dtype(place.dtype))
            .map_err(|error| self.weights.device_error(&self.prefix, error))
    }

    fn full(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }
}
