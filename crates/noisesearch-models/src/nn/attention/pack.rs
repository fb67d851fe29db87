//! Keys and values in panels for products, block by block.

use super::{Attention, Tokens};
use crate::nn::bf16::{DEPTH, Order, round_all};
use crate::nn::buffer::{Arena, Buffer};
use crate::nn::isa::{Isa, Kernel};
use crate::nn::lanes::PANEL;
use rayon::prelude::*;
use std::ops::Range;

/// Keys of a block at most.
const KEYS: usize = 384;
/// Numbers that are worth being arranged by a thread of their own.
const SHARE: usize = 64 * 1024;

/// Keys and values of all heads, arranged by [`Attention::pack`].
#[derive(Debug)]
pub enum Blocks {
    /// In f32.
    Wide(Buffer),
    /// In bf16, for products in this order.
    Bf16(Buffer<u32>, Order),
}

impl Blocks {
    /// Gives the memory back to the arena that it is from.
    pub fn give(self, arena: &mut Arena) {
        match self {
            Self::Wide(buffer) => arena.give(buffer),
            Self::Bf16(buffer, _) => arena.give_words(buffer),
        }
    }
}

/// How the keys and values of a head are cut into blocks of equal length, but for the last.
///
/// A block has panels of 16 keys, `[ceil(keys / 16)][inputs][16]`, then panels of 16 features of
/// values, `[ceil(dim / 16)][inputs][16]`. An input is one number in f32 and two in bf16, where
/// their count is padded to a multiple of 32.
#[derive(Clone, Copy)]
pub(super) struct Cut {
    keys: usize,
    /// Features of a head.
    pub dim: usize,
    /// Keys of a block, a multiple of [`DEPTH`].
    pub block: usize,
}

impl Cut {
    pub fn of(attention: &Attention) -> Self {
        let (keys, dim) = (attention.k.count, attention.head_dim);
        let blocks = keys.div_ceil(KEYS).max(1);
        let block = keys.div_ceil(blocks).next_multiple_of(DEPTH).max(DEPTH);
        Self { keys, dim, block }
    }

    /// Blocks of a head.
    pub fn blocks(self) -> usize {
        self.keys.div_ceil(self.block)
    }

    /// Keys of a block.
    pub fn range(self, block: usize) -> Range<usize> {
        block * self.block..((block + 1) * self.block).min(self.keys)
    }

    /// Features as products in bf16 take them.
    pub fn depth(self) -> usize {
        self.dim.next_multiple_of(DEPTH)
    }

    /// Numbers, or words in bf16, of a block: of its keys, and in all.
    fn sizes(self, halves: bool) -> [usize; 2] {
        let features = self.dim.next_multiple_of(PANEL);
        let (keys, values) = match halves {
            false => (self.block * self.dim, features * self.block),
            true => (self.block * self.depth() / 2, features * self.block / 2),
        };
        [keys, keys + values]
    }

    /// Panels of the keys of the block at a `place` among all heads' blocks; `inputs` of each.
    pub fn keys<T: 'static>(self, all: &[T], place: usize, inputs: usize) -> &[T] {
        let [_, size] = self.sizes(halves::<T>());
        let keys = self.range(place % self.blocks()).len();
        &all[place * size..][..keys.div_ceil(PANEL) * inputs * PANEL]
    }

    /// Panels of its values; `inputs` of each.
    pub fn values<T: 'static>(self, all: &[T], place: usize, inputs: usize) -> &[T] {
        let [keys, size] = self.sizes(halves::<T>());
        let panels = self.dim.div_ceil(PANEL);
        &all[place * size + keys..][..panels * inputs * PANEL]
    }
}

/// Whether numbers of this type stand for two in bf16.
fn halves<T: 'static>() -> bool {
    std::any::TypeId::of::<T>() == std::any::TypeId::of::<u32>()
}

impl Attention<'_> {
    /// Arranges keys and values once for all queries; where there are many, threads share them.
    pub fn pack(&self, isa: Isa, arena: &mut Arena) -> Blocks {
        let cut = Cut::of(self);
        let [_, size] = cut.sizes(self.order.is_some());
        let (count, least) = (self.heads * cut.blocks(), SHARE.div_ceil(size));
        let of = |place: usize| Packing {
            k: self.k,
            v: self.v,
            cut,
            head: place / cut.blocks() * cut.dim,
            keys: cut.range(place % cut.blocks()),
        };
        match self.order {
            None => {
                let mut all = arena.take(count * size);
                let blocks = all.par_chunks_exact_mut(size).enumerate();
                let blocks = blocks.with_min_len(least);
                blocks.for_each(|(place, to)| isa.run(Wide(of(place), to)));
                Blocks::Wide(all)
            }
            Some(order) => {
                let mut all = arena.take_words(count * size);
                let blocks = all.par_chunks_exact_mut(size).enumerate();
                let blocks = blocks.with_min_len(least);
                blocks.for_each(|(place, to)| isa.run(Bf16(of(place), to)));
                Blocks::Bf16(all, order)
            }
        }
    }
}

/// One block.
struct Packing<'a> {
    k: Tokens<'a>,
    v: Tokens<'a>,
    cut: Cut,
    /// The first feature of its head.
    head: usize,
    keys: Range<usize>,
}

impl Packing<'_> {
    /// The head's features of a token.
    #[inline(always)]
    fn features<'b>(&self, of: Tokens<'b>, token: usize) -> &'b [f32] {
        &of.data[token * of.stride + self.head..][..self.cut.dim]
    }

    /// Rounds the head's features of the block's tokens, `[keys, width]` with zeros behind.
    #[inline(always)]
    fn rounded<const UNIT: bool>(&self, of: Tokens, width: usize) -> Vec<u16> {
        let mut all = vec![0; self.keys.len() * width];
        for (token, to) in self.keys.clone().zip(all.chunks_exact_mut(width)) {
            let features = self.features(of, token);
            round_all::<UNIT>(features, &mut to[..features.len()]);
        }
        all
    }
}

/// Writes panels of `count` keys: line `i` has input `i` of each, `of(key)(i)`.
#[inline(always)]
fn turn<T: Copy + Default, Inputs: Fn(usize) -> T>(
    count: usize,
    inputs: usize,
    to: &mut [T],
    of: impl Fn(usize) -> Inputs,
) {
    let panels = to.chunks_exact_mut(inputs.max(1) * PANEL);
    for (first, panel) in (0..count).step_by(PANEL).zip(panels) {
        let width = PANEL.min(count - first);
        if width < PANEL {
            panel.fill(T::default());
        }
        for key in 0..width {
            let input = of(first + key);
            for (i, line) in panel.as_chunks_mut::<PANEL>().0.iter_mut().enumerate() {
                line[key] = input(i);
            }
        }
    }
}

struct Wide<'a>(Packing<'a>, &'a mut [f32]);

impl Kernel for Wide<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Self(block, to) = self;
        let [keys, _] = block.cut.sizes(false);
        let (keys, values) = to.split_at_mut(keys);
        turn(block.keys.len(), block.cut.dim, keys, |key| {
            let features = block.features(block.k, block.keys.start + key);
            move |i| features[i]
        });
        let panels = values.chunks_exact_mut(block.keys.len().max(1) * PANEL);
        for (panel, first) in panels.zip((0..block.cut.dim).step_by(PANEL)) {
            let width = PANEL.min(block.cut.dim - first);
            let lines = panel.as_chunks_mut::<PANEL>().0.iter_mut();
            for (value, line) in block.keys.clone().zip(lines) {
                line[width..].fill(0.0);
                let features = block.features(block.v, value);
                line[..width].copy_from_slice(&features[first..][..width]);
            }
        }
    }
}

struct Bf16<'a>(Packing<'a>, &'a mut [u32]);

impl Kernel for Bf16<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        self.arrange::<false>();
    }

    #[inline(always)]
    fn run_dots(self) {
        self.arrange::<true>();
    }
}

impl Bf16<'_> {
    /// See [`round_all`] about `UNIT`.
    #[inline(always)]
    fn arrange<const UNIT: bool>(self) {
        let Self(block, to) = self;
        let [keys, _] = block.cut.sizes(true);
        let (keys, values) = to.split_at_mut(keys);
        let (count, depth) = (block.keys.len(), block.cut.depth());
        let rounded = block.rounded::<UNIT>(block.k, depth);
        turn(count, depth / 2, keys, |key| {
            let pairs = rounded[key * depth..][..depth].as_chunks::<2>().0;
            move |i| word(pairs[i])
        });
        let width = block.cut.dim.next_multiple_of(PANEL);
        let rounded = block.rounded::<UNIT>(block.v, width);
        let lines = count.next_multiple_of(DEPTH) / 2;
        let panels = values.chunks_exact_mut(lines.max(1) * PANEL);
        for (panel, first) in panels.zip((0..width).step_by(PANEL)) {
            let sixteen = |value: usize| match value < count {
                true => *rounded[value * width + first..]
                    .first_chunk()
                    .expect("a whole panel"),
                false => [0; PANEL],
            };
            for (i, line) in panel.as_chunks_mut::<PANEL>().0.iter_mut().enumerate() {
                let (even, odd) = (sixteen(2 * i), sixteen(2 * i + 1));
                for j in 0..PANEL {
                    line[j] = word([even[j], odd[j]]);
                }
            }
        }
    }
}

/// A word of two numbers, the even one first.
#[inline(always)]
fn word([even, odd]: [u16; 2]) -> u32 {
    u32::from(even) | u32::from(odd) << 16
}

/// Rounds the features from `head` on of all queries, to rows padded by zeros.
pub(super) fn queries(isa: Isa, q: Tokens, head: usize, cut: Cut, to: &mut [u16]) {
    isa.run(Queries { q, head, cut, to });
}

struct Queries<'a> {
    q: Tokens<'a>,
    head: usize,
    cut: Cut,
    to: &'a mut [u16],
}

impl Kernel for Queries<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        self.rows::<false>();
    }

    #[inline(always)]
    fn run_dots(self) {
        self.rows::<true>();
    }
}

impl Queries<'_> {
    /// See [`round_all`] about `UNIT`.
    #[inline(always)]
    fn rows<const UNIT: bool>(self) {
        let rows = self.to.chunks_exact_mut(self.cut.depth());
        for (i, row) in rows.take(self.q.count).enumerate() {
            let features = &self.q.data[i * self.q.stride + self.head..][..self.cut.dim];
            let (inside, behind) = row.split_at_mut(self.cut.dim);
            round_all::<UNIT>(features, inside);
            behind.fill(0);
        }
    }
}
