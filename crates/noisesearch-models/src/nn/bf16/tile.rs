//! Products in bf16 by matrix tiles (Intel AMX): 2 by 2 tiles of 16 rows and 16 columns.

use super::{DEPTH, Job, TILE, Words};
use crate::nn::epilogue::Epilogue;
use crate::nn::isa::{Isa, Kernel, Tiles as Unit};
use crate::nn::lanes::PANEL;

/// A product in the order of tiles, on a processor that has the unit.
pub(super) struct Tiles<'a>(pub Job<'a>, pub Isa);

impl Kernel for Tiles<'_> {
    type Output = ();

    fn run(self) {
        unreachable!("tiles are asked for where the processor has them")
    }

    #[inline(always)]
    fn run_wide(mut self) {
        let unit = Unit::open(self.1);
        let panels = self.0.outputs.div_ceil(PANEL);
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
        let job = &self.0;
        let left = &job.left;
        for m in 0..M {
            for q in 0..Q {
                unit.set(2 * m + q, &job.bias(panel + q));
            }
        }
        let starts: [usize; M] = std::array::from_fn(|m| left.starts::<1>(row + m * TILE)[0]);
        let words: [&[Words]; Q] = std::array::from_fn(|q| job.panel(panel + q));
        let mut at = 0;
        for run in 0..left.runs {
            for block in (0..left.run_len).step_by(DEPTH) {
                let rows = starts.map(|start| &left.data[start + run * left.run_step + block..]);
                unit.multiply(rows, left.step, words.map(|words| &words[at..][..PANEL]));
                at += PANEL;
            }
        }
        for m in 0..M {
            for q in 0..Q {
                self.store(unit, 2 * m + q, row + m * TILE, panel + q);
            }
        }
    }

    /// Writes a tile of results; straight to where they go if nothing else is done with them.
    #[inline(always)]
    fn store(&mut self, unit: &Unit, tile: usize, row: usize, panel: usize) {
        let job = &mut self.0;
        let rows = TILE.min(job.left.count - row);
        let whole = rows == TILE && (panel + 1) * PANEL <= job.outputs;
        let plain = matches!(
            job.epilogue,
            Epilogue::Store | Epilogue::Silu | Epilogue::Gelu
        );
        if whole && plain {
            let at = row * job.out.stride + panel * PANEL;
            return unit.get(tile, &mut job.out.data[at..], job.out.stride);
        }
        let mut y = [[0.0; PANEL]; TILE];
        unit.get(tile, y.as_flattened_mut(), PANEL);
        match rows {
            TILE => job.finish(row, panel, &y),
            _ => (0..rows).for_each(|m| job.finish::<1>(row + m, panel, &[y[m]])),
        }
    }
}
