//! Products in int8 by operations on 16 sums: tiles of a few rows by one or two panels in
//! registers.

use super::{Job, Sums, Unit, byte};
use crate::nn::isa::{Kernel, Words, pairs, quads};
use crate::nn::lanes::PANEL;

/// A product by [`Unit::Quads`], [`Unit::Pairs`] or [`Unit::Plain`].
pub(super) struct Rows<'a>(pub Job<'a>, pub Unit);

impl Kernel for Rows<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        match self.1 {
            Unit::Pairs => self.panels::<Pairs, 4, 1>(),
            _ => self.panels::<Plain, 4, 1>(),
        }
    }

    #[inline(always)]
    fn run_quads(self) {
        self.panels::<Quads, 8, 2>();
    }
}

/// How four products a column are added to its sum.
trait Multiply {
    /// Whether activations have 128 added to them.
    const UNSIGNED: bool;
    /// `sum += a · words`, of four numbers each.
    fn multiply(a: u32, words: &Words, sum: Sums) -> Sums;
}

struct Quads;
struct Pairs;
struct Plain;

impl Multiply for Quads {
    const UNSIGNED: bool = true;
    #[inline(always)]
    fn multiply(a: u32, words: &Words, sum: Sums) -> Sums {
        quads(a, words, sum)
    }
}

impl Multiply for Pairs {
    const UNSIGNED: bool = false;
    #[inline(always)]
    fn multiply(a: u32, words: &Words, sum: Sums) -> Sums {
        pairs(a, words, sum)
    }
}

impl Multiply for Plain {
    const UNSIGNED: bool = false;
    #[inline(always)]
    fn multiply(a: u32, words: &Words, mut sum: Sums) -> Sums {
        for i in 0..4 {
            let a = byte(a, i);
            for (sum, &word) in sum.iter_mut().zip(&words.0) {
                // Neither is out of range, see `INPUTS_MAX`; checks would cost more than both.
                *sum = sum.wrapping_add(a.wrapping_mul(byte(word, i)));
            }
        }
        sum
    }
}

impl Rows<'_> {
    /// The product in tiles of `R` rows by `P` panels.
    #[inline(always)]
    fn panels<U: Multiply, const R: usize, const P: usize>(mut self) {
        let panels = self.0.right.scales.len();
        let mut panel = 0;
        while panel + P <= panels {
            self.sweep::<U, R, P>(panel);
            panel += P;
        }
        while panel < panels {
            self.sweep::<U, R, 1>(panel);
            panel += 1;
        }
    }

    #[inline(always)]
    fn sweep<U: Multiply, const R: usize, const Q: usize>(&mut self, panel: usize) {
        let (mut row, count) = (0, self.0.left.count);
        while row + R <= count {
            self.tile::<U, R, Q>(row, panel);
            row += R;
        }
        while row < count {
            self.tile::<U, 1, Q>(row, panel);
            row += 1;
        }
    }

    #[inline(always)]
    fn tile<U: Multiply, const M: usize, const Q: usize>(&mut self, row: usize, panel: usize) {
        let (left, right) = (&self.0.left, self.0.right);
        let mut sums = [[[0; PANEL]; M]; Q];
        for (q, sums) in sums.iter_mut().enumerate().filter(|_| U::UNSIGNED) {
            *sums = [right.shifts[panel + q]; M];
        }
        let starts = left.starts::<M>(row);
        let mut at = 0;
        for run in 0..left.runs {
            // Closures here were not compiled into the loop.
            let mut rows: [&[[u8; 4]]; M] = [&[]; M];
            for m in 0..M {
                let row = &left.data[starts[m] + run * left.run_step..][..left.run_len];
                rows[m] = row.as_chunks().0;
            }
            let mut words: [&[Words]; Q] = [&[]; Q];
            for (q, words) in words.iter_mut().enumerate() {
                *words = &right.panel(panel + q)[at..][..left.run_len / 4];
            }
            accumulate::<U, M, Q>(rows, words, &mut sums);
            at += left.run_len / 4;
        }
        for (q, sums) in sums.iter().enumerate() {
            self.0.finish(row, panel + q, sums);
        }
    }
}

#[inline(always)]
fn accumulate<U: Multiply, const M: usize, const Q: usize>(
    rows: [&[[u8; 4]]; M],
    words: [&[Words]; Q],
    sums: &mut [[Sums; M]; Q],
) {
    let quads = words[0].len();
    assert!(rows.iter().all(|r| r.len() == quads) && words.iter().all(|w| w.len() == quads));
    let mut tile = *sums;
    for i in 0..quads {
        for m in 0..M {
            let a = u32::from_le_bytes(rows[m][i]);
            for (words, tile) in words.iter().zip(&mut tile) {
                tile[m] = U::multiply(a, &words[i], tile[m]);
            }
        }
    }
    *sums = tile;
}
