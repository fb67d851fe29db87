//! The scenes U-Net backwards: the forward is made again, keeping what bends (the input of every
//! norm, queries, keys and values), and every layer is then gone back through in reverse order.
//! Products use the same kernels as forwards, with transposed weights in f32.
//!
//! A `cotangent` of what a layer gave becomes one of what it was given; words and levels are
//! constants.

use super::layers::{Attend, ResBlock, Run, Up};
use super::{PICTURE, SIDE, UNet};
use crate::nn::backward;
use crate::nn::buffer::Arena;
use crate::nn::conv::Conv3x3;
use crate::nn::gemm::{Epilogue, Windows};
use crate::nn::isa::Isa;
use crate::nn::norm::Affine;
use crate::nn::resample::{channels_first, channels_last, pixel_shuffle, pixel_unshuffle};

impl UNet {
    /// The cotangent of `x: [3, 64, 64]` from one of [`Self::forward`]'s velocity, same shape.
    pub fn back(
        &self,
        (isa, arena): (Isa, &mut Arena),
        x: &[f32],
        (words, modulations): (&[&[f32]], &[Vec<f32>]),
        cotangent: &[f32],
    ) -> Vec<f32> {
        let run = &mut Run {
            isa,
            arena,
            kept: Some(Vec::new()),
        };
        self.pass(run, x, (words, modulations), &mut vec![0.0; PICTURE]);
        let d = self.leave_back(run, cotangent);
        let [mut d, down0] = self.up0.back(run, d, &modulations[8..10]);
        self.readers[3].back(run, &mut d, Some(words[3]));
        let [d, down1] = self.up1.back(run, d, &modulations[6..8]);
        let mut d = self.mid[2].back(run, d, &modulations[5]);
        for i in (0..2).rev() {
            self.readers[1 + i].back(run, &mut d, Some(words[1 + i]));
            self.mid_self[i].back(run, &mut d, None);
            d = self.mid[i].back(run, d, &modulations[3 + i]);
        }
        d = conv_back(run, &self.shrink1, SIDE / 4, &d);
        add(&mut d, &down1);
        self.readers[0].back(run, &mut d, Some(words[0]));
        d = self.down1[1].back(run, d, &modulations[2]);
        d = self.down1[0].back(run, d, &modulations[1]);
        d = conv_back(run, &self.shrink0, SIDE / 2, &d);
        add(&mut d, &down0);
        d = self.down0.back(run, d, &modulations[0]);
        self.enter_back(run, &d)
    }

    fn leave_back(&self, run: &mut Run, cotangent: &[f32]) -> Vec<f32> {
        let (mut pixels, mut blocks) = (vec![0.0; PICTURE], vec![0.0; PICTURE]);
        channels_last(cotangent, 3, &mut pixels);
        pixel_unshuffle(&pixels, [SIDE, SIDE, 3], &mut blocks);
        let d = conv_back(run, &self.conv_out, SIDE / 2, &blocks);
        let mut into = vec![0.0; d.len()];
        let x = run.recall();
        backward::group_norm_silu(run.isa, &self.norm_out, &x, None, &d, &mut into);
        into
    }

    fn enter_back(&self, run: &mut Run, cotangent: &[f32]) -> Vec<f32> {
        let blocks = conv_back(run, &self.conv_in, SIDE / 2, cotangent);
        let (mut pixels, mut into) = (vec![0.0; PICTURE], vec![0.0; PICTURE]);
        pixel_shuffle(&blocks, [SIDE, SIDE, 3], &mut pixels);
        channels_first(&pixels, 3, &mut into);
        into
    }
}

impl ResBlock {
    fn back(&self, run: &mut Run, cotangent: Vec<f32>, modulation: &[f32]) -> Vec<f32> {
        let (middle, x) = (run.recall(), run.recall());
        let outputs = self.conv2.outputs();
        let side = (middle.len() / outputs).isqrt();
        let d = conv_back(run, &self.conv2, side, &cotangent);
        let (scale, shift) = modulation.split_at(outputs);
        let modulation = Some(Affine { scale, shift });
        let mut bent = vec![0.0; d.len()];
        backward::group_norm_silu(run.isa, &self.norm2, &middle, modulation, &d, &mut bent);
        let d = conv_back(run, &self.conv1, side, &bent);
        let mut into = match &self.skip {
            None => cotangent,
            Some(skip) => backward::linear(run.isa, skip, &cotangent),
        };
        backward::group_norm_silu(run.isa, &self.norm1, &x, None, &d, &mut into);
        into
    }
}

impl Attend {
    /// `words`: what [`Attend::apply`] was given.
    fn back(&self, run: &mut Run, cotangent: &mut [f32], words: Option<&[f32]>) {
        let (isa, c) = (run.isa, self.channels);
        let mixed = backward::linear(isa, &self.proj, cotangent);
        let normed = match words {
            Some(words) => {
                let q = run.recall();
                let mut d = vec![0.0; q.len()];
                let attention = self.attention(&q, words);
                backward::attention_to_constants(isa, &attention, &mixed, &mut d);
                backward::linear(isa, &self.q, &d)
            }
            None => {
                let (kv, q) = (run.recall(), run.recall());
                let (pixels, mut d) = (q.len() / c, vec![0.0; 3 * q.len()]);
                backward::attention(isa, &self.attention(&q, &kv), &mixed, &mut d);
                let mut normed = vec![0.0; q.len()];
                let [q, kv] = [(&d[..], c), (&d[c..], 2 * c)]
                    .map(|(d, width)| Windows::strided(d, pixels, width, 3 * c));
                self.q.back().apply(isa, q, &mut normed, Epilogue::Store);
                self.kv.back().apply(isa, kv, &mut normed, Epilogue::Add);
                normed
            }
        };
        let x = run.recall();
        backward::group_norm(isa, &self.norm, &x, &normed, cotangent);
    }
}

impl Up {
    /// The cotangents of `x` and of `down` of [`Up::apply`].
    fn back(&self, run: &mut Run, cotangent: Vec<f32>, modulations: &[Vec<f32>]) -> [Vec<f32>; 2] {
        let d = self.b.back(run, cotangent, &modulations[1]);
        let d = self.a.back(run, d, &modulations[0]);
        let [small, down] = unjoin(&d, self.grow.outputs());
        [backward::linear(run.isa, &self.grow, &small), down]
    }
}

/// Of [`super::layers::join`]: `[side, side, 2 * c]` -> those of the small image, which gets the
/// sum of the four pixels that were made of one, and of the way down.
fn unjoin(cotangent: &[f32], c: usize) -> [Vec<f32>; 2] {
    let pixels = cotangent.len() / (2 * c);
    let side = pixels.isqrt();
    let (mut small, mut down) = (vec![0.0; pixels / 4 * c], vec![0.0; pixels * c]);
    for (pixel, d) in cotangent.chunks_exact(2 * c).enumerate() {
        let (y, x) = (pixel / side, pixel % side);
        let to = (y / 2 * (side / 2) + x / 2) * c;
        add(&mut small[to..][..c], &d[..c]);
        down[pixel * c..][..c].copy_from_slice(&d[c..]);
    }
    [small, down]
}

/// Of a convolution of an image of this side.
fn conv_back(run: &mut Run, conv: &Conv3x3, side: usize, cotangent: &[f32]) -> Vec<f32> {
    backward::conv3x3(run.isa, run.arena, conv, [side, side], cotangent)
}

/// `into += x`.
fn add(into: &mut [f32], x: &[f32]) {
    into.iter_mut().zip(x).for_each(|(y, x)| *y += x);
}

#[cfg(test)]
mod tests {
    use super::super::layers::join;
    use super::*;
    use crate::nn::testing::wave;

    /// `d . join(small, down) = unjoin(d) . (small, down)`.
    #[test]
    fn unjoining_is_the_adjoint_of_joining() {
        let [side, c] = [6, 5];
        let (small, down) = (wave(3 * 3 * c, 1.0), wave(side * side * c, 1.5));
        let d = wave(2 * side * side * c, 0.7);
        let mut joined = vec![0.0; d.len()];
        join(&small, &down, [side, c], &mut joined);
        let [to_small, to_down] = unjoin(&d, c);
        let product = |a: &[f32], b: &[f32]| -> f64 {
            assert_eq!(a.len(), b.len());
            let products = a.iter().zip(b);
            products.map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
        };
        let (there, back) = (
            product(&joined, &d),
            product(&small, &to_small) + product(&down, &to_down),
        );
        assert!((there / back - 1.0).abs() < 1e-6, "{there} and {back}");
    }
}
