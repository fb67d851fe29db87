//! Weights of keys that come in blocks: softmax with a running maximum (Milakov and Gimelshein
//! 2018, arXiv 1805.02867, algorithm 3), in powers of two.

use crate::nn::activation::exp2_one;
use crate::nn::bf16::{DEPTH, round_all};
use crate::nn::isa::Kernel;
use crate::nn::lanes::{self, Lanes, PANEL, tree};
use std::f32::consts::LOG2_E;

/// Chunks of a row whose maxima are looked for independently of each other.
const CHAINS: usize = 4;

/// What is known of a query after some blocks.
#[derive(Clone, Copy)]
pub(super) struct Running {
    /// The largest product.
    top: f32,
    /// The sum of weights.
    pub total: f32,
}

impl Default for Running {
    fn default() -> Self {
        Self {
            top: f32::NEG_INFINITY,
            total: 0.0,
        }
    }
}

impl Running {
    /// Of weights that are divided by their sum already.
    pub const WHOLE: Self = Self {
        top: 0.0,
        total: 1.0,
    };
}

/// Products of some queries and a block of keys become weights, what was summed before is adapted
/// to them.
pub(super) struct Weigh<'a> {
    /// `[queries, keys]`.
    pub scores: &'a mut [f32],
    pub keys: usize,
    /// Factor of the products, above 0.
    pub scale: f32,
    pub running: &'a mut [Running],
    /// Sums of weighted values, `[queries, dim]`.
    pub sums: &'a mut [f32],
    pub dim: usize,
    /// In bf16: also the weights, rounded, `[queries, keys]` padded by zeros to a multiple of
    /// [`DEPTH`]; else empty.
    pub rounded: &'a mut [u16],
}

impl Kernel for Weigh<'_> {
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

impl Weigh<'_> {
    /// See [`round_all`] about `UNIT`.
    #[inline(always)]
    fn rows<const UNIT: bool>(self) {
        let scale = self.scale * LOG2_E;
        let padded = self.keys.next_multiple_of(DEPTH);
        let rows = self.scores.chunks_exact_mut(self.keys);
        let sums = self.sums.chunks_exact_mut(self.dim);
        for (i, ((row, running), sums)) in rows.zip(self.running).zip(sums).enumerate() {
            let (old, top) = (running.top, largest(row, running.top));
            let offset = -(top * scale);
            let total = exponentials(row, scale, offset);
            if !self.rounded.is_empty() {
                let to = &mut self.rounded[i * padded..][..padded];
                let (inside, behind) = to.split_at_mut(self.keys);
                round_all::<UNIT>(row, inside);
                behind.fill(0);
            }
            // Equal offsets give exactly 1.
            let factor = match old == f32::NEG_INFINITY {
                true => 1.0,
                false => exp2_one(offset + old * scale),
            };
            if factor != 1.0 {
                sums.iter_mut().for_each(|x| *x *= factor);
            }
            *running = Running {
                top,
                total: running.total.mul_add(factor, total),
            };
        }
    }
}

/// Sums of weighted values become results.
pub(super) struct Divide<'a> {
    /// `[queries, dim]`.
    pub sums: &'a [f32],
    pub running: &'a [Running],
    /// From the first query's first feature of a head on.
    pub out: &'a mut [f32],
    /// Features of a head, and of all heads.
    pub sizes: [usize; 2],
}

impl Kernel for Divide<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let [dim, all] = self.sizes;
        let rows = self.out.chunks_mut(all).zip(self.sums.chunks_exact(dim));
        for ((out, sums), running) in rows.zip(self.running) {
            let inverse = 1.0 / running.total;
            for (out, x) in out[..dim].iter_mut().zip(sums) {
                *out = x * inverse;
            }
        }
    }
}

/// The largest of a row and `top`; NaN is passed over here and seen by the sums.
#[inline(always)]
fn largest(row: &[f32], top: f32) -> f32 {
    let mut tops = [[top; PANEL]; CHAINS];
    let (chunks, rest) = row.as_chunks::<PANEL>();
    let (groups, more) = chunks.as_chunks::<CHAINS>();
    for group in groups {
        for (tops, chunk) in tops.iter_mut().zip(group) {
            raise(tops, chunk);
        }
    }
    more.iter().for_each(|chunk| raise(&mut tops[0], chunk));
    let [mut first, others @ ..] = tops;
    others.iter().for_each(|other| raise(&mut first, other));
    let largest = lanes::top(first);
    rest.iter().fold(largest, |a, &b| if b > a { b } else { a })
}

#[inline(always)]
fn raise(tops: &mut Lanes, x: &Lanes) {
    for j in 0..PANEL {
        tops[j] = if x[j] > tops[j] { x[j] } else { tops[j] };
    }
}

/// `row = 2^(scale row + offset)`; returns the sum, in 16 lanes and a tree.
#[inline(always)]
fn exponentials(row: &mut [f32], scale: f32, offset: f32) -> f32 {
    let mut sums = [0.0; PANEL];
    let (chunks, rest) = row.as_chunks_mut::<PANEL>();
    for chunk in chunks {
        for j in 0..PANEL {
            chunk[j] = exp2_one(chunk[j].mul_add(scale, offset));
            sums[j] += chunk[j];
        }
    }
    for (x, sum) in rest.iter_mut().zip(&mut sums) {
        *x = exp2_one(x.mul_add(scale, offset));
        *sum += *x;
    }
    tree(sums)
}
