//! Products in int8 by matrix tiles.

use super::{DEPTH, Job, Sums};
use crate::nn::gemm::Windows;
use crate::nn::isa::{Tiles as Unit, Words};
use crate::nn::lanes::Lanes;
use crate::nn::tiles::Tiled;

/// Rows of a tile that are finished at a time, in registers.
const PART: usize = 4;

impl Tiled for Job<'_> {
    type Number = u8;
    type Words = Words;
    const DEPTH: usize = DEPTH;

    #[inline(always)]
    fn left(&self) -> Windows<'_, u8> {
        self.left
    }

    #[inline(always)]
    fn panels(&self) -> usize {
        self.right.scales.len()
    }

    #[inline(always)]
    fn words(&self, panel: usize) -> &[Words] {
        self.right.panel(panel)
    }

    #[inline(always)]
    fn first(&self, _: usize) -> Option<&Lanes> {
        None
    }

    #[inline(always)]
    fn multiply<const M: usize, const Q: usize>(
        unit: &Unit,
        rows: [&[u8]; M],
        step: usize,
        words: [&[Words]; Q],
    ) {
        unit.multiply_int8(rows, step, words);
    }

    #[inline(always)]
    fn place(&mut self, _: usize, _: usize) -> Option<(&mut [f32], usize)> {
        None
    }

    /// The results are whole numbers that came through memory of floats.
    #[inline(always)]
    fn finish(&mut self, row: usize, panel: usize, results: &[Lanes]) {
        let whole = |bits: &Lanes| -> Sums { bits.map(|x| x.to_bits().cast_signed()) };
        let (parts, last) = results.as_chunks::<PART>();
        for (i, part) in parts.iter().enumerate() {
            Job::finish(self, row + i * PART, panel, &part.each_ref().map(whole));
        }
        for (m, bits) in last.iter().enumerate() {
            let row = row + parts.len() * PART + m;
            Job::finish(self, row, panel, &[whole(bits)]);
        }
    }
}
