//! The left operand in the order in which a unit reads it.

use super::TILE;
use crate::nn::windows::Windows;
use std::ops::Range;

/// Makes numbers of others, as many. (What a closure calls need not be compiled for the instruction
/// level of its caller.)
pub(in crate::nn) trait Convert<T, U> {
    /// Writes what comes of all of `from`.
    fn convert(&self, from: &[T], to: &mut [U]);
}

/// Rows of `k` numbers, a multiple of `DEPTH`, in stretches that lie together for `height` rows:
/// `[k / stretch][height][stretch]`.
#[derive(Clone, Copy)]
pub(in crate::nn) struct Packed<const DEPTH: usize> {
    k: usize,
    height: usize,
    stretch: usize,
}

impl<const DEPTH: usize> Packed<DEPTH> {
    /// For rows like these, behind whose last number there is place up to a multiple of the depth:
    /// so that a tile of them is one stretch of memory, or one row after the other. (Paired
    /// products of rows in tiles took a quarter longer.)
    #[inline(always)]
    pub fn new<T>(left: &Windows<T>, in_tiles: bool) -> Self {
        let k = (left.runs * left.run_len).next_multiple_of(DEPTH);
        let (height, stretch) = match in_tiles {
            true => (TILE, DEPTH),
            false => (1, k.max(1)),
        };
        Self { k, height, stretch }
    }

    /// Numbers of so many rows, up to the end of a tile.
    pub fn len(self, rows: usize) -> usize {
        rows.next_multiple_of(TILE) * self.k
    }

    /// The first rows of numbers that lie so.
    pub fn rows<T>(self, data: &[T], count: usize) -> Windows<'_, T> {
        if self.height == 1 {
            return Windows::strided(data, count, self.k, self.k);
        }
        Windows {
            data,
            count,
            width: self.height,
            step: self.stretch,
            line_step: self.height * self.k,
            runs: self.k / self.stretch,
            run_len: self.stretch,
            run_step: self.height * self.stretch,
            largest: None,
        }
    }

    /// Where number `i` of a row is; those up to the next multiple of the depth follow it.
    #[inline(always)]
    fn place(self, row: usize, i: usize) -> usize {
        let (height, stretch) = (self.height, self.stretch);
        let place = row / height * self.k + i / stretch * stretch;
        place * height + row % height * stretch + i % stretch
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
