//! Products in bf16 with f32 operations, in the order of either unit.

use super::{Job, Order, Words, half};
use crate::nn::isa::Kernel;
use crate::nn::lanes::{Lanes, PANEL};

/// A product in an order.
pub(super) struct Plain<'a>(pub Job<'a>, pub Order);

impl Kernel for Plain<'_> {
    type Output = ();

    #[inline(always)]
    fn run(mut self) {
        let count = self.0.left.count;
        for panel in 0..self.0.outputs.div_ceil(PANEL) {
            let mut row = 0;
            while row + 4 <= count {
                self.rows::<4>(row, panel);
                row += 4;
            }
            while row < count {
                self.rows::<1>(row, panel);
                row += 1;
            }
        }
    }
}

impl Plain<'_> {
    #[inline(always)]
    fn rows<const M: usize>(&mut self, row: usize, panel: usize) {
        let (job, left) = (&self.0, &self.0.left);
        let mut sums = [*job.bias(panel); M];
        let starts = left.starts::<M>(row);
        let mut words = job.panel(panel);
        for run in 0..left.runs {
            let (some, rest) = words.split_at(left.run_len / 2);
            words = rest;
            let rows: [&[u16]; M] =
                starts.map(|start| &left.data[start + run * left.run_step..][..left.run_len]);
            match self.1 {
                Order::Tile => tiles(rows, some, &mut sums),
                Order::Pair => pairs(rows, some, &mut sums),
            }
        }
        self.0.finish(row, panel, &sums);
    }
}

/// Two neighbouring numbers of a row.
#[inline(always)]
fn pair(row: &[u16], i: usize) -> [f32; 2] {
    [row[2 * i], row[2 * i + 1]].map(|bits| f32::from_bits(u32::from(bits) << 16))
}

#[inline(always)]
fn multiply(a: f32, words: &Words, which: usize, sum: &mut Lanes) {
    for j in 0..PANEL {
        sum[j] = a.mul_add(half(words[j], which), sum[j]);
    }
}

#[inline(always)]
fn pairs<const M: usize>(rows: [&[u16]; M], words: &[Words], sums: &mut [Lanes; M]) {
    for (i, words) in words.iter().enumerate() {
        for m in 0..M {
            let [even, odd] = pair(rows[m], i);
            multiply(odd, words, 1, &mut sums[m]);
            multiply(even, words, 0, &mut sums[m]);
        }
    }
}

#[inline(always)]
fn tiles<const M: usize>(rows: [&[u16]; M], words: &[Words], sums: &mut [Lanes; M]) {
    for (block, words) in words.as_chunks::<PANEL>().0.iter().enumerate() {
        for m in 0..M {
            let (mut evens, mut odds) = ([0.0; PANEL], [0.0; PANEL]);
            for (i, words) in words.iter().enumerate() {
                let [even, odd] = pair(rows[m], block * PANEL + i);
                multiply(even, words, 0, &mut evens);
                multiply(odd, words, 1, &mut odds);
            }
            for j in 0..PANEL {
                sums[m][j] += evens[j] + odds[j];
            }
        }
    }
}
