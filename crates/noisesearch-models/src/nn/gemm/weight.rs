//! A weight that is packed once, in any number format, and what it is multiplied with.

use super::{Epilogue, Output, Panels, Windows, gemm};
use crate::nn::activation::{gelu, silu};
use crate::nn::bf16::{self, Bf16Panels, Order};
use crate::nn::buffer::Buffer;
use crate::nn::int8::{self, Int8Panels, Largest};
use crate::nn::isa::Isa;
use crate::nn::lanes::PANEL;
use std::sync::OnceLock;

/// A weight `[n, k]` packed into panels, with its bias.
#[derive(Debug)]
pub struct PackedWeight {
    pub(super) panels: Store,
    bias: Buffer,
    pub(super) outputs: usize,
    pub(super) inputs: usize,
    /// For the way back, made when it is first gone.
    pub(super) back: OnceLock<Box<PackedWeight>>,
}

/// Panels as they are kept.
#[derive(Debug)]
pub(super) enum Store {
    Wide(Buffer),
    Bf16(Bf16Panels),
    Int8(Int8Panels),
}

impl PackedWeight {
    /// Packs `weight: [outputs, inputs]` and `bias: [outputs]` (empty for none).
    ///
    /// # Panics
    /// If a slice has another length than its shape.
    pub fn new(weight: &[f32], bias: &[f32], outputs: usize, inputs: usize) -> Self {
        assert_eq!(
            weight.len(),
            outputs * inputs,
            "weight is not [{outputs}, {inputs}]"
        );
        assert!(
            bias.is_empty() || bias.len() == outputs,
            "bias is not [{outputs}]"
        );
        let columns = outputs.next_multiple_of(PANEL);
        let mut panels = Buffer::zeros(columns * inputs);
        pack_columns(weight, outputs, inputs, &mut panels);
        let mut padded = Buffer::zeros(columns);
        padded[..bias.len()].copy_from_slice(bias);
        Self {
            panels: Store::Wide(panels),
            bias: padded,
            outputs,
            inputs,
            back: OnceLock::new(),
        }
    }

    /// The same weight rounded to bf16, half as large; its products take both operands in bf16.
    pub fn in_bf16(self, order: Order) -> Self {
        let panels = match &self.panels {
            Store::Wide(panels) => Bf16Panels::new(panels, self.inputs, order),
            Store::Bf16(_) | Store::Int8(_) => return self,
        };
        Self {
            panels: Store::Bf16(panels),
            back: OnceLock::new(),
            ..self
        }
    }

    /// The same weight rounded to int8, a quarter as large; its products take both operands in
    /// int8. One that is too thin to gain by it stays as it is.
    pub fn in_int8(self) -> Self {
        match &self.panels {
            Store::Wide(panels) if int8::suits(self.outputs, self.inputs) => Self {
                panels: Store::Int8(Int8Panels::new(panels, self.inputs)),
                back: OnceLock::new(),
                ..self
            },
            _ => self,
        }
    }

    /// What [`Windows::largest`] is to be for windows into `image`: only products in int8 ask.
    pub fn largest(&self, isa: Isa, image: &[f32]) -> Option<Largest> {
        matches!(self.panels, Store::Int8(_)).then(|| Largest::of(isa, image))
    }

    /// The order of its products if it is in bf16.
    pub fn order(&self) -> Option<Order> {
        match &self.panels {
            Store::Bf16(panels) => Some(panels.order),
            Store::Wide(_) | Store::Int8(_) => None,
        }
    }

    /// Outputs n.
    pub fn outputs(&self) -> usize {
        self.outputs
    }

    /// Inputs k.
    pub fn inputs(&self) -> usize {
        self.inputs
    }

    /// `out: [left rows, n] = epilogue(left: [rows, k] · weightᵀ + bias)`.
    ///
    /// Activations are a second pass, which measured faster than working in the tiles' registers
    /// as long as `out` stays in the second-level cache.
    pub fn apply(&self, isa: Isa, left: Windows, out: &mut [f32], epilogue: Epilogue) {
        let (count, stride) = (left.count * self.outputs, self.outputs);
        let product = Output {
            data: &mut *out,
            stride,
        };
        match &self.panels {
            Store::Wide(panels) => {
                let right = Panels {
                    data: panels,
                    bias: &self.bias,
                    outputs: self.outputs,
                    k: self.inputs,
                };
                gemm(isa, left, right, product, epilogue);
            }
            Store::Bf16(panels) => {
                let right = (panels, &self.bias);
                bf16::product(isa, left, right, product, (stride, epilogue));
            }
            Store::Int8(panels) => {
                let right = (panels, &self.bias[..]);
                int8::product(isa, left, right, product, (stride, epilogue));
            }
        }
        Self::activate(isa, &mut out[..count], epilogue);
    }

    /// The same for windows into an image that is rounded to bf16 already, where
    /// [`Self::reads_in_place`]; there is memory behind it for reading 16 more windows.
    ///
    /// # Panics
    /// If the weight is in another number format.
    pub fn apply_rounded(&self, isa: Isa, left: Windows<u16>, out: &mut [f32], epilogue: Epilogue) {
        let Store::Bf16(panels) = &self.panels else {
            panic!("an image in bf16 needs a weight in bf16")
        };
        let (count, stride) = (left.count * self.outputs, self.outputs);
        let product = Output {
            data: &mut *out,
            stride,
        };
        let right = (panels, &self.bias);
        bf16::product_in_place(isa, left, right, product, (stride, epilogue));
        Self::activate(isa, &mut out[..count], epilogue);
    }

    /// Whether products of such windows may be given an image that is rounded already.
    pub fn reads_in_place(&self, left: &Windows) -> bool {
        self.order().is_some() && left.in_place(bf16::DEPTH)
    }

    fn activate(isa: Isa, out: &mut [f32], epilogue: Epilogue) {
        match epilogue {
            Epilogue::Silu => silu(isa, out),
            Epilogue::Gelu => gelu(isa, out),
            Epilogue::Store | Epilogue::Add | Epilogue::AddGated(_) => {}
        }
    }
}

/// Writes rows `[outputs, k]` (row `i` at `i * k`) as panels `[k][16]`, zero-padded.
fn pack_columns(rows: &[f32], outputs: usize, k: usize, panels: &mut [f32]) {
    for (row, source) in rows.chunks_exact(k).take(outputs).enumerate() {
        let panel = &mut panels[row / PANEL * PANEL * k..];
        for (i, &value) in source.iter().enumerate() {
            panel[i * PANEL + row % PANEL] = value;
        }
    }
}
