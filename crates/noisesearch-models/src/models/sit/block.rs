//! One block of a SiT, on one image, in parts of tokens that threads may share.

use super::parts::BlockParts;
use crate::nn::attention::Attention;
use crate::nn::buffer::{Arena, Arenas, Buffer};
use crate::nn::gemm::{Epilogue, PackedWeight, Windows};
use crate::nn::isa::Isa;
use crate::nn::norm::{Affine, layer_norm_modulated};
use rayon::prelude::*;

/// Added to variances, but in a DiT of diffusers before the MLPs.
pub(super) const LAYER_NORM_EPS: f32 = 1e-6;
/// Tokens whose MLP is computed at a time: its inside stays near, and both weights are read once
/// for all of them. With 48, which suits a second-level cache of 1 MiB, SiT-XL took 13 % longer.
const MLP_TOKENS: usize = 128;

/// A block's weights, and what they are used with.
#[derive(Debug)]
pub(super) struct Block {
    pub layers: BlockParts<PackedWeight>,
    pub heads: usize,
    /// Added to variances before the MLP.
    pub eps: f32,
}

/// What a block reads and writes for one image.
pub(super) struct State {
    /// The residual stream, `[tokens, hidden]`.
    pub x: Buffer,
    /// A branch's input or output, `[tokens, hidden]`.
    pub h: Buffer,
    /// Packed queries, keys and values, `[tokens, 3 * hidden]`.
    qkv: Buffer,
    /// Tokens that one thread works on at a time.
    part: usize,
}

impl State {
    /// Takes memory for an image that is worked on in `parts` parts.
    pub fn take(arena: &mut Arena, tokens: usize, hidden: usize, parts: usize) -> Self {
        Self {
            x: arena.take(tokens * hidden),
            h: arena.take(tokens * hidden),
            qkv: arena.take(tokens * 3 * hidden),
            part: tokens.div_ceil(parts),
        }
    }

    /// Gives it back.
    pub fn give(self, arena: &mut Arena) {
        [self.x, self.h, self.qkv]
            .into_iter()
            .for_each(|buffer| arena.give(buffer));
    }
}

impl Block {
    /// `state.x` through the block; `modulation: [6 * hidden]` is shift, scale, gate of the
    /// attention, then of the MLP.
    ///
    /// Only attention looks at other tokens, so there is one barrier: before it.
    pub fn apply(&self, isa: Isa, arenas: &Arenas, modulation: &[f32], state: &mut State) {
        let d = self.layers.qkv.inputs();
        let m = |i: usize| &modulation[i * d..][..d];
        let State { x, h, qkv, part } = state;
        let size = *part * d;
        let tokens = x.par_chunks_mut(size).zip(h.par_chunks_mut(size));
        tokens
            .zip(qkv.par_chunks_mut(3 * size))
            .for_each(|((x, h), qkv)| {
                let affine = Affine {
                    scale: m(1),
                    shift: m(0),
                };
                layer_norm_modulated(isa, x, LAYER_NORM_EPS, affine, h);
                self.layers
                    .qkv
                    .apply(isa, Windows::rows(h, d), qkv, Epilogue::Store);
            });
        let attention = Attention {
            order: self.layers.qkv.order(),
            ..Attention::packed(qkv, self.heads, d / self.heads)
        };
        // One arena lends the blocks and takes them back; those of the parts are others.
        arenas.with(|own| {
            let blocks = attention.pack(isa, own);
            let tokens = x.par_chunks_mut(size).zip(h.par_chunks_mut(size));
            tokens.enumerate().for_each(|(i, (x, h))| {
                arenas.with(|arena| {
                    let some = attention.queries(i * *part, x.len() / d);
                    some.attend(isa, arena, &blocks, h);
                    self.follow(isa, arena, modulation, [x, h]);
                });
            });
            blocks.give(own);
        });
    }

    /// What follows the attention, whose result is `h`.
    fn follow(&self, isa: Isa, arena: &mut Arena, modulation: &[f32], [x, h]: [&mut [f32]; 2]) {
        let d = self.layers.qkv.inputs();
        let m = |i: usize| &modulation[i * d..][..d];
        self.layers
            .project
            .apply(isa, Windows::rows(h, d), x, Epilogue::AddGated(m(2)));
        let affine = Affine {
            scale: m(4),
            shift: m(3),
        };
        layer_norm_modulated(isa, x, self.eps, affine, h);
        self.mlp(isa, arena, h, m(5), x);
    }

    /// `x += gate * mlp(h)`.
    fn mlp(&self, isa: Isa, arena: &mut Arena, h: &[f32], gate: &[f32], x: &mut [f32]) {
        let (d, wide) = (self.layers.widen.inputs(), self.layers.widen.outputs());
        let mut inside = arena.take(MLP_TOKENS.min(h.len() / d) * wide);
        for (h, x) in h.chunks(MLP_TOKENS * d).zip(x.chunks_mut(MLP_TOKENS * d)) {
            let inside = &mut inside[..h.len() / d * wide];
            self.layers
                .widen
                .apply(isa, Windows::rows(h, d), inside, Epilogue::Gelu);
            self.layers.narrow.apply(
                isa,
                Windows::rows(inside, wide),
                x,
                Epilogue::AddGated(gate),
            );
        }
        arena.give(inside);
    }
}
