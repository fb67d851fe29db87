//! Products in int8 by matrix tiles (Intel AMX): 2 by 2 tiles of 16 rows and 16 columns.

use super::{DEPTH, Job, Sums, TILE};
use crate::nn::isa::{Isa, Kernel, Tiles as Unit, Words};
use crate::nn::lanes::PANEL;

/// Rows of a tile that are finished at a time, in registers.
const PART: usize = 4;

/// A product on a processor that has the unit.
pub(super) struct Tiles<'a>(pub Job<'a>, pub Isa);

impl Kernel for Tiles<'_> {
    type Output = ();

    fn run(self) {
        unreachable!("tiles are asked for where the processor has them")
    }

    #[inline(always)]
    fn run_wide(mut self) {
        let unit = Unit::open(self.1);
        let panels = self.0.right.scales.len();
        for panel in (0..panels - panels % 2).step_by(2) {
            self.sweep::<2>(&unit, panel);
        }
        if panels % 2 == 1 {
            self.sweep::<1>(&unit, panels - 1);
        }
    }
}

impl Tiles<'_> {
    #[inline(always)]
    fn sweep<const Q: usize>(&mut self, unit: &Unit, panel: usize) {
        let (mut row, count) = (0, self.0.left.count);
        while row < count {
            if count - row > TILE {
                self.rows::<2, Q>(unit, row, panel);
                row += 2 * TILE;
            } else {
                self.rows::<1, Q>(unit, row, panel);
                row += TILE;
            }
        }
    }

    /// `M` tiles of rows by `Q` panels.
    #[inline(always)]
    fn rows<const M: usize, const Q: usize>(&mut self, unit: &Unit, row: usize, panel: usize) {
        let (left, right) = (&self.0.left, self.0.right);
        for tile in (0..M).flat_map(|m| (0..Q).map(move |q| 2 * m + q)) {
            unit.set(tile, &[0.0; PANEL]);
        }
        let starts: [usize; M] = std::array::from_fn(|m| left.starts::<1>(row + m * TILE)[0]);
        let words: [&[Words]; Q] = std::array::from_fn(|q| right.panel(panel + q));
        let mut at = 0;
        for run in 0..left.runs {
            for block in (0..left.run_len).step_by(DEPTH) {
                let rows = starts.map(|start| &left.data[start + run * left.run_step + block..]);
                unit.multiply_int8(rows, left.step, words.map(|words| &words[at..][..PANEL]));
                at += PANEL;
            }
        }
        for (m, q) in (0..M).flat_map(|m| (0..Q).map(move |q| (m, q))) {
            self.store(unit, 2 * m + q, row + m * TILE, panel + q);
        }
    }

    /// Writes what comes of a tile of sums.
    #[inline(always)]
    fn store(&mut self, unit: &Unit, tile: usize, row: usize, panel: usize) {
        // The tile's whole numbers on their way through memory of floats.
        let mut bits = [[0.0; PANEL]; TILE];
        unit.get(tile, bits.as_flattened_mut(), PANEL);
        let whole = |bits: &[f32; PANEL]| -> Sums { bits.map(|x| x.to_bits().cast_signed()) };
        let rows = TILE.min(self.0.left.count - row);
        let (parts, _) = bits.as_chunks::<PART>();
        for (i, part) in parts.iter().enumerate().take(rows / PART) {
            self.0
                .finish(row + i * PART, panel, &part.each_ref().map(whole));
        }
        let last = rows - rows % PART;
        for (m, bits) in bits.iter().enumerate().take(rows).skip(last) {
            self.0.finish(row + m, panel, &[whole(bits)]);
        }
    }
}
