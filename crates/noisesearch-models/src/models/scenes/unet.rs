//! The scenes U-Net: text-conditioned, predicts flow velocity; the twin of `lab/scenes/unet.py`.
//!
//! Pixel-unshuffled to 12 channels at 32x32, then 32, 64 and 128 channels at 32x32, 16x16 and
//! 8x8. Residual blocks are modulated by level and pooled text; 8x8 pixels attend to themselves
//! and, like the 16x16 ones, to the words. 2.5 M parameters, 0.52 GFLOP an evaluation.

use super::text::{TIME, WORD, WORDS};
use crate::layers::{Place, Products};
use crate::nn::activation::silu;
use crate::nn::attention::{Attention, Tokens, usual_scale};
use crate::nn::buffer::{Arena, Buffer};
use crate::nn::conv::{Conv3x3, Padded};
use crate::nn::embed::{SiluMlp, sinusoidal};
use crate::nn::gemm::{Epilogue, PackedWeight, Windows};
use crate::nn::group_norm::GroupNorm;
use crate::nn::isa::Isa;
use crate::nn::norm::Affine;
use crate::nn::resample::{channels_first, channels_last, pixel_shuffle, pixel_unshuffle};
use crate::weights::{Weights, WeightsError};

/// Side of a picture in pixels.
pub const SIDE: usize = 64;
/// Floats of a picture: 3 channels.
pub const PICTURE: usize = 3 * SIDE * SIDE;
/// Attention layers that read the words, in the order of [`UNet::words`].
pub const READERS: usize = 4;
const CHANNELS: [usize; 3] = [32, 64, 128];
const GROUPS: usize = 8;
const GROUP_EPS: f32 = 1e-5;
const HEAD: usize = 32;
/// Features of the sinusoidal level embedding.
const SINUSOIDS: usize = 128;

/// Linear layer `name` with weight `[outputs, inputs]`.
pub(super) fn linear(
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

    fn conv3x3(
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

fn conv3x3(
    weights: &mut Weights,
    name: &str,
    [outputs, inputs]: [usize; 2],
    stride: usize,
) -> Result<Conv3x3, WeightsError> {
    let weight = weights.take_vec(&format!("{name}.weight"), &[outputs, inputs, 3, 3])?;
    let bias = weights.take_vec(&format!("{name}.bias"), &[outputs])?;
    Ok(Conv3x3::new(&weight, &bias, inputs, stride))
}

fn group_norm(
    weights: &mut Weights,
    name: &str,
    channels: usize,
) -> Result<GroupNorm, WeightsError> {
    let gamma = weights.take_vec(&format!("{name}.weight"), &[channels])?;
    let beta = weights.take_vec(&format!("{name}.bias"), &[channels])?;
    Ok(GroupNorm::new(gamma, beta, GROUPS, GROUP_EPS))
}

/// What every layer needs beside its input.
struct Run<'a> {
    isa: Isa,
    arena: &'a mut Arena,
}

/// An image `[side, side, channels]`, lent by the arena.
struct Image {
    data: Buffer,
    side: usize,
}

impl Image {
    fn take(run: &mut Run, side: usize, channels: usize) -> Self {
        Self {
            data: run.arena.take(side * side * channels),
            side,
        }
    }

    fn give(self, run: &mut Run) {
        run.arena.give(self.data);
    }
}

struct ResBlock {
    norm1: GroupNorm,
    conv1: Conv3x3,
    time: PackedWeight,
    norm2: GroupNorm,
    conv2: Conv3x3,
    skip: Option<PackedWeight>,
    inputs: usize,
}

impl ResBlock {
    fn load(
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
    fn modulate(&self, isa: Isa, emb: &[f32]) -> Vec<f32> {
        let mut modulation = vec![0.0; self.time.outputs()];
        let emb = Windows::rows(emb, TIME);
        self.time.apply(isa, emb, &mut modulation, Epilogue::Store);
        modulation
    }

    fn apply(&self, run: &mut Run, x: Image, modulation: &[f32]) -> Image {
        let (isa, side, outputs) = (run.isa, x.side, self.conv2.outputs());
        let mut padded = Padded::take(run.arena, [side, side, self.inputs]);
        self.norm1.silu(isa, &x.data, None, &mut padded);
        let mut h = Image::take(run, side, outputs);
        self.conv1.apply(isa, &padded, &mut h.data, Epilogue::Store);
        padded.give(run.arena);
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
struct Attend {
    norm: GroupNorm,
    q: PackedWeight,
    kv: PackedWeight,
    proj: PackedWeight,
    channels: usize,
}

impl Attend {
    fn load(
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
    fn apply(&self, run: &mut Run, x: &mut Image, words: Option<&[f32]>) {
        let (isa, c, pixels) = (run.isa, self.channels, x.side * x.side);
        let mut normed = run.arena.take(pixels * c);
        self.norm.apply(isa, &x.data, &mut normed);
        let mut q = run.arena.take(pixels * c);
        self.q
            .apply(isa, Windows::rows(&normed, c), &mut q, Epilogue::Store);
        let mut own = run
            .arena
            .take(if words.is_none() { pixels * 2 * c } else { 0 });
        if words.is_none() {
            self.kv
                .apply(isa, Windows::rows(&normed, c), &mut own, Epilogue::Store);
        }
        let kv = words.unwrap_or(&own);
        let count = kv.len() / (2 * c);
        let tokens = |data, count, stride| Tokens {
            data,
            count,
            stride,
        };
        let attention = Attention {
            q: tokens(&q, pixels, c),
            k: tokens(kv, count, 2 * c),
            v: tokens(&kv[c..], count, 2 * c),
            heads: c / HEAD,
            head_dim: HEAD,
            scale: usual_scale(HEAD),
            bias: None,
            order: self.q.order(),
        };
        attention.apply(isa, run.arena, &mut normed);
        self.proj
            .apply(isa, Windows::rows(&normed, c), &mut x.data, Epilogue::Add);
        for buffer in [normed, q, own] {
            run.arena.give(buffer);
        }
    }
}

/// One resolution on the way up: upsample, join with the way down, two residual blocks.
struct Up {
    grow: PackedWeight,
    a: ResBlock,
    b: ResBlock,
}

impl Up {
    fn load(from: &mut From, level: usize) -> Result<Self, WeightsError> {
        let [c, below] = [CHANNELS[level], CHANNELS[level + 1]];
        Ok(Self {
            grow: from.conv1x1(&format!("grow{level}"), [c, below])?,
            a: ResBlock::load(from, &format!("up{level}a"), [c, 2 * c])?,
            b: ResBlock::load(from, &format!("up{level}b"), [c, c])?,
        })
    }

    /// `modulations`: of both blocks.
    fn apply(&self, run: &mut Run, x: Image, down: Image, modulations: &[Vec<f32>]) -> Image {
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
fn join(small: &[f32], down: &[f32], [side, c]: [usize; 2], out: &mut [f32]) {
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

/// The network.
pub struct UNet {
    level: SiluMlp,
    conv_in: Conv3x3,
    down0: ResBlock,
    shrink0: Conv3x3,
    down1: [ResBlock; 2],
    shrink1: Conv3x3,
    mid: [ResBlock; 3],
    mid_self: [Attend; 2],
    /// `down1`, `mid_a`, `mid_b`, `up1`.
    readers: [Attend; READERS],
    up1: Up,
    up0: Up,
    norm_out: GroupNorm,
    conv_out: Conv3x3,
}

impl UNet {
    /// Takes the network's own tensors (not the text encoder's).
    pub fn load(from: &mut From) -> Result<Self, WeightsError> {
        let [c0, c1, c2] = CHANNELS;
        let res = |from: &mut From, name: &str, c: usize| ResBlock::load(from, name, [c, c]);
        Ok(Self {
            level: SiluMlp {
                first: linear(from.weights, "time1", [TIME, SINUSOIDS])?,
                second: linear(from.weights, "time2", [TIME, TIME])?,
            },
            conv_in: conv3x3(from.weights, "conv_in", [c0, 12], 1)?,
            down0: res(from, "down0", c0)?,
            shrink0: from.conv3x3("shrink0", [c1, c0], 2)?,
            down1: [res(from, "down1a", c1)?, res(from, "down1b", c1)?],
            shrink1: from.conv3x3("shrink1", [c2, c1], 2)?,
            mid: [
                res(from, "mid_a", c2)?,
                res(from, "mid_b", c2)?,
                res(from, "mid_c", c2)?,
            ],
            mid_self: [
                Attend::load(from, "mid_a_self", c2, c2)?,
                Attend::load(from, "mid_b_self", c2, c2)?,
            ],
            readers: [
                Attend::load(from, "down1_words", c1, WORD)?,
                Attend::load(from, "mid_a_words", c2, WORD)?,
                Attend::load(from, "mid_b_words", c2, WORD)?,
                Attend::load(from, "up1_words", c1, WORD)?,
            ],
            up1: Up::load(from, 1)?,
            up0: Up::load(from, 0)?,
            norm_out: group_norm(from.weights, "norm_out", c0)?,
            conv_out: conv3x3(from.weights, "conv_out", [12, c0], 1)?,
        })
    }

    /// Keys and values of every reading layer, computed once a prompt:
    /// `words: [WORDS, WORD]` -> [`READERS`] times `[WORDS, 2 * channels]`.
    pub fn words(&self, isa: Isa, words: &[f32]) -> Vec<Vec<f32>> {
        let read = |reader: &Attend| {
            let mut kv = vec![0.0; WORDS * 2 * reader.channels];
            reader
                .kv
                .apply(isa, Windows::rows(words, WORD), &mut kv, Epilogue::Store);
            kv
        };
        self.readers.iter().map(read).collect()
    }

    /// What residual blocks are told of a level and a text, computed once for all pictures of
    /// both: a modulation a residual block. `pooled: [TIME]`.
    pub fn modulations(&self, isa: Isa, level: f32, pooled: &[f32]) -> Vec<Vec<f32>> {
        let emb = self.embed(isa, level, pooled);
        self.blocks().map(|block| block.modulate(isa, &emb)).into()
    }

    /// All residual blocks, in the order in which they are applied.
    fn blocks(&self) -> [&ResBlock; 10] {
        let [down1a, down1b] = &self.down1;
        let [mid_a, mid_b, mid_c] = &self.mid;
        let (up1, up0) = (&self.up1, &self.up0);
        [
            &self.down0,
            down1a,
            down1b,
            mid_a,
            mid_b,
            mid_c,
            &up1.a,
            &up1.b,
            &up0.a,
            &up0.b,
        ]
    }

    /// `x: [3, 64, 64]` -> velocity `noise - x0` of the same shape. `words` as [`Self::words`]
    /// makes them, `modulations` as [`Self::modulations`] does.
    pub fn forward(
        &self,
        (isa, arena): (Isa, &mut Arena),
        x: &[f32],
        (words, modulations): (&[&[f32]], &[Vec<f32>]),
        out: &mut [f32],
    ) {
        let run = &mut Run { isa, arena };
        let h = self.enter(run, x);
        let down0 = self.down0.apply(run, h, &modulations[0]);
        let h = shrink(&self.shrink0, run, &down0, CHANNELS[0]);
        let h = self.down1[0].apply(run, h, &modulations[1]);
        let mut down1 = self.down1[1].apply(run, h, &modulations[2]);
        self.readers[0].apply(run, &mut down1, Some(words[0]));
        let mut h = shrink(&self.shrink1, run, &down1, CHANNELS[1]);
        for i in 0..2 {
            h = self.mid[i].apply(run, h, &modulations[3 + i]);
            self.mid_self[i].apply(run, &mut h, None);
            self.readers[1 + i].apply(run, &mut h, Some(words[1 + i]));
        }
        h = self.mid[2].apply(run, h, &modulations[5]);
        h = self.up1.apply(run, h, down1, &modulations[6..8]);
        self.readers[3].apply(run, &mut h, Some(words[3]));
        h = self.up0.apply(run, h, down0, &modulations[8..10]);
        self.leave(run, h, out);
    }

    /// `silu(level embedding + pooled text)`, `[TIME]`.
    fn embed(&self, isa: Isa, level: f32, pooled: &[f32]) -> Vec<f32> {
        let mut sinusoids = [0.0; SINUSOIDS];
        sinusoidal(1000.0 * level, &mut sinusoids);
        let mut emb = self.level.apply(isa, &sinusoids);
        for (e, p) in emb.iter_mut().zip(pooled) {
            *e += p;
        }
        silu(isa, &mut emb);
        emb
    }

    fn enter(&self, run: &mut Run, x: &[f32]) -> Image {
        let half = SIDE / 2;
        let mut pixels = run.arena.take(PICTURE);
        let mut blocks = run.arena.take(PICTURE);
        channels_last(x, 3, &mut pixels);
        pixel_unshuffle(&pixels, [SIDE, SIDE, 3], &mut blocks);
        let mut padded = Padded::take(run.arena, [half, half, 12]);
        padded.fill(&blocks);
        let mut h = Image::take(run, half, CHANNELS[0]);
        self.conv_in
            .apply(run.isa, &padded, &mut h.data, Epilogue::Store);
        padded.give(run.arena);
        run.arena.give(pixels);
        run.arena.give(blocks);
        h
    }

    fn leave(&self, run: &mut Run, h: Image, out: &mut [f32]) {
        let mut padded = Padded::take(run.arena, [h.side, h.side, CHANNELS[0]]);
        self.norm_out.silu(run.isa, &h.data, None, &mut padded);
        h.give(run);
        let mut blocks = run.arena.take(PICTURE);
        let mut pixels = run.arena.take(PICTURE);
        self.conv_out
            .apply(run.isa, &padded, &mut blocks, Epilogue::Store);
        pixel_shuffle(&blocks, [SIDE, SIDE, 3], &mut pixels);
        channels_first(&pixels, 3, out);
        padded.give(run.arena);
        run.arena.give(blocks);
        run.arena.give(pixels);
    }
}

/// Strided convolution to half the side.
fn shrink(conv: &Conv3x3, run: &mut Run, x: &Image, channels: usize) -> Image {
    let mut padded = Padded::take(run.arena, [x.side, x.side, channels]);
    padded.fill(&x.data);
    let mut out = Image::take(run, x.side / 2, conv.outputs());
    conv.apply(run.isa, &padded, &mut out.data, Epilogue::Store);
    padded.give(run.arena);
    out
}
