//! The layers of the scenes U-Net, with how they are loaded.

use super::super::text::TIME;
use super::CHANNELS;
use crate::layers::{Place, Products};
use crate::nn::attention::{Attention, Tokens, usual_scale};
use crate::nn::buffer::{Arena, Buffer};
use crate::nn::conv::{Conv3x3, Padded};
use crate::nn::gemm::{Epilogue, PackedWeight, Windows};
use crate::nn::group_norm::GroupNorm;
use crate::nn::isa::Isa;
use crate::nn::norm::Affine;
use crate::weights::{Weights, WeightsError};

const GROUPS: usize = 8;
const GROUP_EPS: f32 = 1e-5;
const HEAD: usize = 32;

/// Linear layer `name` with weight `[outputs, inputs]`.
pub fn linear(
    weights: &mut Weights,
    name: &str,
    [outputs, inputs]: [usize; 2],
) -> Result<PackedWeight, WeightsError> {
    let weight = weights.take_vec(&format!("{name}.weight"), &[outputs, inputs])?;
    let bias = weights.take_vec(&format!("{name}.bias"), &[outputs])?;
    Ok(PackedWeight::new(&weight, &bias, outputs, inputs))
}

/// The network's file, and how its products are made. Those of a single row, and the first and
/// the last layer, are always made in f32.
pub struct From<'a> {
    /// The file.
    pub weights: &'a mut Weights,
    /// The CPU; it tells the number format of products.
    pub place: &'a Place,
}

impl From<'_> {
    /// Linear layer `name`, which reads pixels.
    fn linear(&mut self, name: &str, shape: [usize; 2]) -> Result<PackedWeight, WeightsError> {
        Ok(self.place.keep(linear(self.weights, name, shape)?))
    }

    /// 1x1 convolution `name`, a linear layer of every pixel.
    fn conv1x1(
        &mut self,
        name: &str,
        [outputs, inputs]: [usize; 2],
    ) -> Result<PackedWeight, WeightsError> {
        let shape = [outputs, inputs, 1, 1];
        let weight = self.weights.take_vec(&format!("{name}.weight"), &shape)?;
        let bias = self.weights.take_vec(&format!("{name}.bias"), &[outputs])?;
        let packed = PackedWeight::new(&weight, &bias, outputs, inputs);
        Ok(self.place.keep(packed))
    }

    /// 3x3 convolution `name`, which reads pixels.
    pub(super) fn conv3x3(
        &mut self,
        name: &str,
        shape: [usize; 2],
        stride: usize,
    ) -> Result<Conv3x3, WeightsError> {
        let conv = conv3x3(self.weights, name, shape, stride)?;
        Ok(match self.place.products {
            Products::F32 => conv,
            Products::Bf16(order) => conv.in_bf16(order),
            Products::Int8 => conv.in_int8(),
        })
    }
}

/// 3x3 convolution `name` with weight `[outputs, inputs, 3, 3]`, in f32.
pub(super) fn conv3x3(
    weights: &mut Weights,
    name: &str,
    [outputs, inputs]: [usize; 2],
    stride: usize,
) -> Result<Conv3x3, WeightsError> {
    let weight = weights.take_vec(&format!("{name}.weight"), &[outputs, inputs, 3, 3])?;
    let bias = weights.take_vec(&format!("{name}.bias"), &[outputs])?;
    Ok(Conv3x3::new(&weight, &bias, inputs, stride))
}

/// Group norm `name` of so many channels.
pub(super) fn group_norm(
    weights: &mut Weights,
    name: &str,
    channels: usize,
) -> Result<GroupNorm, WeightsError> {
    let gamma = weights.take_vec(&format!("{name}.weight"), &[channels])?;
    let beta = weights.take_vec(&format!("{name}.bias"), &[channels])?;
    Ok(GroupNorm::new(gamma, beta, GROUPS, GROUP_EPS))
}

/// What every layer needs beside its input.
pub(super) struct Run<'a> {
    /// The instruction level.
    pub(super) isa: Isa,
    /// Lends memory.
    pub(super) arena: &'a mut Arena,
    /// What the way back asks for, the last first; `None` where there will be none.
    pub(super) kept: Option<Vec<Vec<f32>>>,
}

impl Run<'_> {
    /// Keeps `values` for the way back, if there will be one.
    pub(super) fn keep(&mut self, values: &[f32]) {
        if let Some(kept) = &mut self.kept {
            kept.push(values.to_vec());
        }
    }

    /// What was kept last, which is then forgotten.
    pub(super) fn recall(&mut self) -> Vec<f32> {
        let last = self.kept.as_mut().and_then(Vec::pop);
        last.expect("the way back asks for as much as was kept")
    }
}

/// An image `[side, side, channels]`, lent by the arena.
pub(super) struct Image {
    /// The floats.
    pub(super) data: Buffer,
    /// Height and width.
    pub(super) side: usize,
}

impl Image {
    /// Takes memory for an image; what stands in it is **not specified**.
    pub(super) fn take(run: &mut Run, side: usize, channels: usize) -> Self {
        Self {
            data: run.arena.take(side * side * channels),
            side,
        }
    }

    /// Gives the memory back.
    pub(super) fn give(self, run: &mut Run) {
        run.arena.give(self.data);
    }
}

/// A residual block: `x + conv2(silu(norm2(conv1(silu(norm1(x))))))`, with a modulated second norm
/// and a 1x1 convolution of `x` where channels change.
pub(super) struct ResBlock {
    pub(super) norm1: GroupNorm,
    pub(super) conv1: Conv3x3,
    time: PackedWeight,
    pub(super) norm2: GroupNorm,
    pub(super) conv2: Conv3x3,
    pub(super) skip: Option<PackedWeight>,
    pub(super) inputs: usize,
}

impl ResBlock {
    /// Takes the tensors under `name`.
    pub(super) fn load(
        from: &mut From,
        name: &str,
        [outputs, inputs]: [usize; 2],
    ) -> Result<Self, WeightsError> {
        let part = |part: &str| format!("{name}.{part}");
        let skip = (inputs != outputs)
            .then(|| from.conv1x1(&part("skip"), [outputs, inputs]))
            .transpose()?;
        Ok(Self {
            norm1: group_norm(from.weights, &part("norm1"), inputs)?,
            conv1: from.conv3x3(&part("conv1"), [outputs, inputs], 1)?,
            time: linear(from.weights, &part("time"), [2 * outputs, TIME])?,
            norm2: group_norm(from.weights, &part("norm2"), outputs)?,
            conv2: from.conv3x3(&part("conv2"), [outputs, outputs], 1)?,
            skip,
            inputs,
        })
    }

    /// `emb`: `silu(level embedding + pooled text)`, `[TIME]` -> scale and shift of the second
    /// norm, `[2 * outputs]`.
    pub(super) fn modulate(&self, isa: Isa, emb: &[f32]) -> Vec<f32> {
        let mut modulation = vec![0.0; self.time.outputs()];
        let emb = Windows::rows(emb, TIME);
        self.time.apply(isa, emb, &mut modulation, Epilogue::Store);
        modulation
    }

    /// `x: [side, side, inputs]` -> `[side, side, outputs]`; `modulation` as [`Self::modulate`]
    /// makes it. Keeps `x` and what the second norm is given.
    pub(super) fn apply(&self, run: &mut Run, x: Image, modulation: &[f32]) -> Image {
        run.keep(&x.data);
        let (isa, side, outputs) = (run.isa, x.side, self.conv2.outputs());
        let mut padded = Padded::take(run.arena, [side, side, self.inputs]);
        self.norm1.silu(isa, &x.data, None, &mut padded);
        let mut h = Image::take(run, side, outputs);
        self.conv1.apply(isa, &padded, &mut h.data, Epilogue::Store);
        padded.give(run.arena);
        run.keep(&h.data);
        let mut padded = Padded::take(run.arena, [side, side, outputs]);
        let (scale, shift) = modulation.split_at(outputs);
        self.norm2
            .silu(isa, &h.data, Some(Affine { scale, shift }), &mut padded);
        let mut out = match &self.skip {
            None => {
                h.give(run);
                x
            }
            Some(skip) => {
                let rows = Windows::rows(&x.data, self.inputs);
                skip.apply(isa, rows, &mut h.data, Epilogue::Store);
                x.give(run);
                h
            }
        };
        self.conv2.apply(isa, &padded, &mut out.data, Epilogue::Add);
        padded.give(run.arena);
        out
    }
}

/// Residual attention, to the pixels themselves or to the words.
pub(super) struct Attend {
    pub(super) norm: GroupNorm,
    pub(super) q: PackedWeight,
    /// Of the pixels or of the words.
    pub(super) kv: PackedWeight,
    pub(super) proj: PackedWeight,
    /// Of a pixel.
    pub(super) channels: usize,
}

impl Attend {
    /// Takes the tensors under `name`; `context`: features of what is attended to.
    pub(super) fn load(
        from: &mut From,
        name: &str,
        channels: usize,
        context: usize,
    ) -> Result<Self, WeightsError> {
        let part = |part: &str| format!("{name}.{part}");
        Ok(Self {
            norm: group_norm(from.weights, &part("norm"), channels)?,
            q: from.linear(&part("q"), [channels, channels])?,
            kv: from.linear(&part("kv"), [2 * channels, context])?,
            proj: from.linear(&part("proj"), [channels, channels])?,
            channels,
        })
    }

    /// `words`: keys and values `[WORDS, 2 * channels]`; without them pixels attend to pixels.
    /// Keeps `x`, the queries, and the pixels' own keys and values if they are attended to.
    pub(super) fn apply(&self, run: &mut Run, x: &mut Image, words: Option<&[f32]>) {
        let (isa, c, pixels) = (run.isa, self.channels, x.side * x.side);
        run.keep(&x.data);
        let mut normed = run.arena.take(pixels * c);
        self.norm.apply(isa, &x.data, &mut normed);
        let mut q = run.arena.take(pixels * c);
        self.q
            .apply(isa, Windows::rows(&normed, c), &mut q, Epilogue::Store);
        run.keep(&q);
        let mut own = run
            .arena
            .take(if words.is_none() { pixels * 2 * c } else { 0 });
        if words.is_none() {
            self.kv
                .apply(isa, Windows::rows(&normed, c), &mut own, Epilogue::Store);
            run.keep(&own);
        }
        let attention = self.attention(&q, words.unwrap_or(&own));
        attention.apply(isa, run.arena, &mut normed);
        self.proj
            .apply(isa, Windows::rows(&normed, c), &mut x.data, Epilogue::Add);
        for buffer in [normed, q, own] {
            run.arena.give(buffer);
        }
    }

    /// Of queries `[pixels, channels]` to keys and values `[tokens, 2 * channels]`.
    pub(super) fn attention<'a>(&self, q: &'a [f32], kv: &'a [f32]) -> Attention<'a> {
        let c = self.channels;
        let tokens = |data: &'a [f32], count, stride| Tokens {
            data,
            count,
            stride,
        };
        let count = kv.len() / (2 * c);
        Attention {
            q: tokens(q, q.len() / c, c),
            k: tokens(kv, count, 2 * c),
            v: tokens(&kv[c..], count, 2 * c),
            heads: c / HEAD,
            head_dim: HEAD,
            scale: usual_scale(HEAD),
            bias: None,
            order: self.q.order(),
        }
    }
}

/// One resolution on the way up: upsample, join with the way down, two residual blocks.
pub(super) struct Up {
    pub(super) grow: PackedWeight,
    /// The first block.
    pub(super) a: ResBlock,
    /// The second block.
    pub(super) b: ResBlock,
}

impl Up {
    /// Takes the tensors of a level, 0 being the largest image.
    pub(super) fn load(from: &mut From, level: usize) -> Result<Self, WeightsError> {
        let [c, below] = [CHANNELS[level], CHANNELS[level + 1]];
        Ok(Self {
            grow: from.conv1x1(&format!("grow{level}"), [c, below])?,
            a: ResBlock::load(from, &format!("up{level}a"), [c, 2 * c])?,
            b: ResBlock::load(from, &format!("up{level}b"), [c, c])?,
        })
    }

    /// `x: [side, side, below]` and `down: [2 * side, 2 * side, c]` -> an image like `down`;
    /// `modulations`: of both blocks.
    pub(super) fn apply(
        &self,
        run: &mut Run,
        x: Image,
        down: Image,
        modulations: &[Vec<f32>],
    ) -> Image {
        let (c, side) = (self.grow.outputs(), x.side);
        let mut small = Image::take(run, side, c);
        let rows = Windows::rows(&x.data, self.grow.inputs());
        self.grow
            .apply(run.isa, rows, &mut small.data, Epilogue::Store);
        x.give(run);
        let mut joined = Image::take(run, 2 * side, 2 * c);
        join(&small.data, &down.data, [2 * side, c], &mut joined.data);
        small.give(run);
        down.give(run);
        let h = self.a.apply(run, joined, &modulations[0]);
        self.b.apply(run, h, &modulations[1])
    }
}

/// `[upsampled small | down]` by channels, for `[side, side, c]` images.
pub(super) fn join(small: &[f32], down: &[f32], [side, c]: [usize; 2], out: &mut [f32]) {
    for y in 0..side {
        for x in 0..side {
            let pixel = y * side + x;
            let from = (y / 2 * (side / 2) + x / 2) * c;
            let out = &mut out[2 * pixel * c..][..2 * c];
            out[..c].copy_from_slice(&small[from..from + c]);
            out[c..].copy_from_slice(&down[pixel * c..][..c]);
        }
    }
}

/// Strided convolution to half the side.
pub(super) fn shrink(conv: &Conv3x3, run: &mut Run, x: &Image, channels: usize) -> Image {
    let mut padded = Padded::take(run.arena, [x.side, x.side, channels]);
    padded.fill(&x.data);
    let mut out = Image::take(run, x.side / 2, conv.outputs());
    conv.apply(run.isa, &padded, &mut out.data, Epilogue::Store);
    padded.give(run.arena);
    out
}
