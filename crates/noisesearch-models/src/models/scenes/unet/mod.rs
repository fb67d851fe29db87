//! The scenes U-Net: text-conditioned, predicts flow velocity; the twin of `lab/scenes/unet.py`.
//!
//! Pixel-unshuffled to 12 channels at 32x32, then 32, 64 and 128 channels at 32x32, 16x16 and
//! 8x8. Residual blocks are modulated by level and pooled text; 8x8 pixels attend to themselves
//! and, like the 16x16 ones, to the words. 2.5 M parameters, 0.52 GFLOP an evaluation.

mod backward;
mod layers;

use super::text::{TIME, WORD, WORDS};
use crate::nn::activation::silu;
use crate::nn::buffer::Arena;
use crate::nn::conv::{Conv3x3, Padded};
use crate::nn::embed::{SiluMlp, sinusoidal};
use crate::nn::gemm::{Epilogue, Windows};
use crate::nn::group_norm::GroupNorm;
use crate::nn::isa::Isa;
use crate::nn::resample::{channels_first, channels_last, pixel_shuffle, pixel_unshuffle};
use crate::weights::WeightsError;
pub use layers::From;
pub(super) use layers::linear;
use layers::{Attend, Image, ResBlock, Run, Up, conv3x3, group_norm, shrink};

/// Side of a picture in pixels.
pub const SIDE: usize = 64;
/// Floats of a picture: 3 channels.
pub const PICTURE: usize = 3 * SIDE * SIDE;
/// Attention layers that read the words, in the order of [`UNet::words`].
pub const READERS: usize = 4;
const CHANNELS: [usize; 3] = [32, 64, 128];
/// Features of the sinusoidal level embedding.
const SINUSOIDS: usize = 128;

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
        given: (&[&[f32]], &[Vec<f32>]),
        out: &mut [f32],
    ) {
        let run = &mut Run {
            isa,
            arena,
            kept: None,
        };
        self.pass(run, x, given, out);
    }

    fn pass(
        &self,
        run: &mut Run,
        x: &[f32],
        (words, modulations): (&[&[f32]], &[Vec<f32>]),
        out: &mut [f32],
    ) {
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
        run.keep(&h.data);
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
