//! The left operand in the order of tiles.

use super::TILE;
use crate::nn::windows::Windows;
use std::ops::Range;

/// Makes numbers of others, as many. (What a closure calls need not be compiled for the instruction
/// level of its caller.)
pub(in crate::nn) trait Convert<T, U> {
    /// Writes what comes of all of `from`.
    fn convert(&self, from: &[T], to: &mut [U]);
}

/// Rows of `k` numbers so that a tile of them is one stretch of memory: `[k / DEPTH][16][DEPTH]`
/// for every 16 rows, with `k` a multiple of `DEPTH`.
#[derive(Clone, Copy)]
pub(in crate::nn) struct InTiles<const DEPTH: usize> {
    k: usize,
}

impl<const DEPTH: usize> InTiles<DEPTH> {
    /// For rows like these, behind whose last number there is place up to a multiple of the depth.
    #[inline(always)]
    pub fn new<T>(left: &Windows<T>) -> Self {
        let k = (left.runs * left.run_len).next_multiple_of(DEPTH);
        Self { k }
    }

    /// Numbers of so many rows, up to the end of a tile.
    pub fn len(self, rows: usize) -> usize {
        rows.next_multiple_of(TILE) * self.k
    }

    /// The first rows of numbers that lie so.
    pub fn rows<T>(self, data: &[T], count: usize) -> Windows<'_, T> {
        Windows {
            data,
            count,
            width: TILE,
            step: DEPTH,
            line_step: TILE * self.k,
            runs: self.k / DEPTH,
            run_len: DEPTH,
            run_step: TILE * DEPTH,
            largest: None,
        }
    }

    /// Where number `i` of a row is; those up to the next multiple of the depth follow it.
    #[inline(always)]
    fn place(self, row: usize, i: usize) -> usize {
        row / TILE * TILE * self.k + row % TILE * DEPTH + i / DEPTH * TILE * DEPTH + i % DEPTH
    }

    /// Writes the row that starts at `start` of `left` as row `row`, converted. What lies behind it
    /// is not written; returns where that is.
    #[inline(always)]
    pub fn write<T, U>(
        self,
        left: &Windows<T>,
        [start, row]: [usize; 2],
        to: &mut [U],
        how: &impl Convert<T, U>,
    ) -> Range<usize> {
        let mut filled = 0;
        for run in 0..left.runs {
            let mut from = &left.data[start + run * left.run_step..][..left.run_len];
            while !from.is_empty() {
                let room = DEPTH - filled % DEPTH;
                let (some, rest) = from.split_at(room.min(from.len()));
                let to = &mut to[self.place(row, filled)..][..some.len()];
                // Of a known length, most is compiled without a loop.
                match (some.first_chunk::<DEPTH>(), to.first_chunk_mut::<DEPTH>()) {
                    (Some(some), Some(to)) => how.convert(some, to),
                    _ => how.convert(some, to),
                }
                (filled, from) = (filled + some.len(), rest);
            }
        }
        match self.k - filled {
            0 => 0..0,
            more => self.place(row, filled)..self.place(row, filled) + more,
        }
    }
}
