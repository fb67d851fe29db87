//! A SiT backwards: the forward is made again, keeping the input of every block, and each block
//! is then gone back through. Products use the same kernels as forwards, with transposed weights.

use super::block::{Block, LAYER_NORM_EPS};
use super::{Sit, TimeAxis, patches};
use crate::denoiser::Encoded;
use crate::gradient::NetworkGradient;
use crate::nn::attention::Attention;
use crate::nn::backward;
use crate::nn::buffer::Arena;
use crate::nn::gemm::{Epilogue, PackedWeight, Windows};
use crate::nn::isa::Isa;
use crate::nn::norm::{Affine, layer_norm_modulated};
use candle_core::{Device, Result, Tensor};
use noisesearch_core::level::Level;

impl NetworkGradient for Sit {
    fn vjp(&self, x: &Tensor, at: Level, row: &Encoded, cotangent: &Tensor) -> Result<Tensor> {
        let size = self.config.input_size;
        let want = [1, self.config.channels, size, size];
        if x.dims() != want || cotangent.dims() != want {
            let given = (x.dims(), cotangent.dims());
            candle_core::bail!("latent and cotangent are {given:?}, this SiT takes {want:?}")
        }
        let modulations = self.modulate(at, &[self.config.class_of(row)?])?;
        let modulations = modulations.of(0);
        let x = x.flatten_all()?.to_vec1::<f32>()?;
        let cotangent = cotangent.flatten_all()?.to_vec1::<f32>()?;
        let back = self.back(&x, &modulations, cotangent);
        Tensor::from_vec(back, want.as_slice(), &Device::Cpu)
    }
}

impl Sit {
    /// The cotangent of `x: [c, h, w]` from one of the prediction.
    fn back(&self, x: &[f32], modulations: &[&[f32]], mut cotangent: Vec<f32>) -> Vec<f32> {
        let mut arena = Arena::default();
        let mut state = self.embed(&mut arena, x, 1);
        let mut inputs = Vec::with_capacity(self.blocks.len());
        for (block, modulation) in self.blocks.iter().zip(modulations) {
            inputs.push(state.x.to_vec());
            block.apply(self.isa, &self.arenas, modulation, &mut state);
        }
        if self.config.time == TimeAxis::DataAtOne {
            cotangent.iter_mut().for_each(|d| *d = -*d);
        }
        let mut patches = vec![0.0; self.config.tokens() * self.config.patch_floats()];
        patches::unjoin(&self.config, &cotangent, &mut patches);
        let d = backward::linear(self.isa, &self.last, &patches);
        let (_, scale) = modulations[self.blocks.len()].split_at(self.config.hidden);
        let mut stream = vec![0.0; state.x.len()];
        backward::layer_norm_modulated(&state.x, LAYER_NORM_EPS, scale, &d, &mut stream);
        let layers = self.blocks.iter().zip(modulations).zip(&inputs);
        for ((block, modulation), x) in layers.rev() {
            let way = Way {
                isa: self.isa,
                block,
                modulation,
            };
            way.back(&mut arena, x, &mut stream);
        }
        let patches = backward::linear(self.isa, &self.patch, &stream);
        patches::uncut(&self.config, &patches, &mut cotangent);
        cotangent
    }
}

/// One block and the way back through it.
struct Way<'a> {
    isa: Isa,
    block: &'a Block,
    /// `[6 * hidden]`, as in [`Block::apply`].
    modulation: &'a [f32],
}

impl Way<'_> {
    /// Shift, scale or gate.
    fn part(&self, i: usize) -> &[f32] {
        let hidden = self.block.layers.qkv.inputs();
        &self.modulation[i * hidden..][..hidden]
    }

    /// `cotangent` of what the block gives for `x: [tokens, hidden]` becomes one of `x`.
    fn back(&self, arena: &mut Arena, x: &[f32], cotangent: &mut [f32]) {
        let (isa, heads) = (self.isa, self.block.heads);
        let hidden = self.block.layers.qkv.inputs();
        let mut h = self.normed(x, [0, 1]);
        let qkv = through(isa, &self.block.layers.qkv, &h);
        let attention = Attention {
            order: self.block.layers.qkv.order(),
            ..Attention::packed(&qkv, heads, hidden / heads)
        };
        attention.apply(isa, arena, &mut h);
        let mut middle = x.to_vec();
        let gate = Epilogue::AddGated(self.part(2));
        let left = Windows::rows(&h, hidden);
        self.block
            .layers
            .project
            .apply(isa, left, &mut middle, gate);
        self.mlp(&middle, cotangent);
        let d = gated(cotangent, self.part(2));
        let d = backward::linear(isa, &self.block.layers.project, &d);
        let mut packed = vec![0.0; qkv.len()];
        backward::attention(isa, &attention, &d, &mut packed);
        let d = backward::linear(isa, &self.block.layers.qkv, &packed);
        backward::layer_norm_modulated(x, LAYER_NORM_EPS, self.part(1), &d, cotangent);
    }

    /// The same for the branch of the MLP, which is given `x`.
    fn mlp(&self, x: &[f32], cotangent: &mut [f32]) {
        let isa = self.isa;
        let inside = through(isa, &self.block.layers.widen, &self.normed(x, [3, 4]));
        let d = gated(cotangent, self.part(5));
        let mut d = backward::linear(isa, &self.block.layers.narrow, &d);
        backward::gelu(isa, &inside, &mut d);
        let d = backward::linear(isa, &self.block.layers.widen, &d);
        backward::layer_norm_modulated(x, LAYER_NORM_EPS, self.part(4), &d, cotangent);
    }

    /// The modulated norm of `x`, with these parts.
    fn normed(&self, x: &[f32], [shift, scale]: [usize; 2]) -> Vec<f32> {
        let mut h = vec![0.0; x.len()];
        let affine = Affine {
            scale: self.part(scale),
            shift: self.part(shift),
        };
        layer_norm_modulated(self.isa, x, LAYER_NORM_EPS, affine, &mut h);
        h
    }
}

/// A linear layer on rows.
fn through(isa: Isa, layer: &PackedWeight, rows: &[f32]) -> Vec<f32> {
    let rows = Windows::rows(rows, layer.inputs());
    let mut out = vec![0.0; rows.count * layer.outputs()];
    layer.apply(isa, rows, &mut out, Epilogue::Store);
    out
}

/// Every row times `gate`.
fn gated(rows: &[f32], gate: &[f32]) -> Vec<f32> {
    let gate = gate.iter().cycle();
    rows.iter().zip(gate).map(|(d, gate)| d * gate).collect()
}
