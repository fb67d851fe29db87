//! The left operand, packed: the rows of a tile side by side, so that the innermost loop reads one
//! stretch of memory, however far apart rows lie.

use super::Windows;
use crate::nn::buffer::Buffer;
use std::cell::RefCell;
use std::ops::Range;

/// Memory that every thread keeps.
#[derive(Debug, Default)]
pub(super) struct Kept {
    /// Packed rows.
    pub left: Buffer,
    /// Sums that wait.
    pub sums: Buffer,
}

thread_local! {
    static KEPT: RefCell<Kept> = RefCell::default();
}

impl Kept {
    /// This thread's memory. (Lent to a closure it would be, but what a closure calls need not be
    /// compiled for the instruction level of its caller.)
    pub fn take() -> Self {
        KEPT.take()
    }

    /// Keeps it for the next product.
    pub fn keep(self) {
        KEPT.set(self);
    }
}

/// Rows of the next tile when `left` are left, in tiles of at most `R`.
#[inline(always)]
pub(super) fn height<const R: usize>(left: usize) -> usize {
    match left {
        left if left >= R => R,
        left if left >= 8 && R > 8 => 8,
        left if left >= 4 => 4,
        left if left >= 2 => 2,
        _ => 1,
    }
}

/// Packs `inputs` of `rows`, tile after tile: `[inputs][height of the tile]`.
#[inline(always)]
pub(super) fn pack<'a, const R: usize>(
    left: &Windows,
    rows: &Range<usize>,
    inputs: &Range<usize>,
    to: &'a mut Buffer,
) -> &'a [f32] {
    let depth = inputs.len();
    let to = to.grown(rows.len() * depth);
    let mut row = rows.start;
    while row < rows.end {
        let to = &mut to[(row - rows.start) * depth..];
        row += match height::<R>(rows.end - row) {
            8 if R > 8 => pack_tile::<8>(left, row, inputs, to),
            4 => pack_tile::<4>(left, row, inputs, to),
            2 => pack_tile::<2>(left, row, inputs, to),
            1 => pack_tile::<1>(left, row, inputs, to),
            _ => pack_tile::<R>(left, row, inputs, to),
        };
    }
    to
}

#[inline(always)]
fn pack_tile<const M: usize>(
    left: &Windows,
    row: usize,
    inputs: &Range<usize>,
    to: &mut [f32],
) -> usize {
    let starts = left.starts::<M>(row);
    let mut to = &mut to.as_chunks_mut::<M>().0[..inputs.len()];
    let mut at = inputs.start;
    while at < inputs.end {
        let (run, skip) = (at / left.run_len, at % left.run_len);
        let count = (left.run_len - skip).min(inputs.end - at);
        let (some, rest) = to.split_at_mut(count);
        for m in 0..M {
            let from = &left.data[starts[m] + run * left.run_step + skip..][..count];
            for (to, &x) in some.iter_mut().zip(from) {
                to[m] = x;
            }
        }
        (to, at) = (rest, at + count);
    }
    M
}
