//! Products in bf16 by `VDPBF16PS` (AVX512_BF16): tiles of 8 rows by 2 panels in registers.

use super::{Job, Words};
use crate::nn::isa::{Kernel, dot};
use crate::nn::lanes::{Lanes, PANEL};

/// A product in the order of pairs, on a processor that has the unit.
pub(super) struct Dots<'a>(pub Job<'a>);

impl Kernel for Dots<'_> {
    type Output = ();

    fn run(self) {
        unreachable!("paired products are asked for where the processor has them")
    }

    #[inline(always)]
    fn run_dots(mut self) {
        let panels = self.0.outputs.div_ceil(PANEL);
        for panel in (0..panels - panels % 2).step_by(2) {
            self.sweep::<2>(panel);
        }
        if panels % 2 == 1 {
            self.sweep::<1>(panels - 1);
        }
    }
}

impl Dots<'_> {
    #[inline(always)]
    fn sweep<const Q: usize>(&mut self, panel: usize) {
        let (mut row, count) = (0, self.0.left.count);
        while row < count {
            row += match count - row {
                8.. => self.rows::<8, Q>(row, panel),
                4.. => self.rows::<4, Q>(row, panel),
                _ => self.rows::<1, Q>(row, panel),
            };
        }
    }

    #[inline(always)]
    fn rows<const M: usize, const Q: usize>(&mut self, row: usize, panel: usize) -> usize {
        let (job, left) = (&self.0, &self.0.left);
        let mut sums = [[[0.0; PANEL]; M]; Q];
        for (q, sums) in sums.iter_mut().enumerate() {
            *sums = [*job.bias(panel + q); M];
        }
        let starts = left.starts::<M>(row);
        let mut at = 0;
        for run in 0..left.runs {
            // Closures here were not compiled into the loop.
            let mut rows: [&[[u16; 2]]; M] = [&[]; M];
            for m in 0..M {
                let row = &left.data[starts[m] + run * left.run_step..][..left.run_len];
                rows[m] = row.as_chunks().0;
            }
            let mut words: [&[Words]; Q] = [&[]; Q];
            for (q, words) in words.iter_mut().enumerate() {
                *words = &job.panel(panel + q)[at..][..left.run_len / 2];
            }
            accumulate(rows, words, &mut sums);
            at += left.run_len / 2;
        }
        for (q, sums) in sums.iter().enumerate() {
            self.0.finish(row, panel + q, sums);
        }
        M
    }
}

#[inline(always)]
fn accumulate<const M: usize, const Q: usize>(
    rows: [&[[u16; 2]]; M],
    words: [&[Words]; Q],
    sums: &mut [[Lanes; M]; Q],
) {
    let pairs = words[0].len();
    assert!(rows.iter().all(|r| r.len() == pairs) && words.iter().all(|w| w.len() == pairs));
    let mut tile = *sums;
    for i in 0..pairs {
        for m in 0..M {
            let [even, odd] = rows[m][i];
            let a = u32::from(even) | u32::from(odd) << 16;
            for (words, tile) in words.iter().zip(&mut tile) {
                tile[m] = dot(a, &words[i], tile[m]);
            }
        }
    }
    *sums = tile;
}
