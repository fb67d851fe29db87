//! Matrix products `out = left · weightᵀ + bias` in f32, the one hot loop of every model.
//!
//! The weight is packed once into panels of 16 columns, `[k][16]`. A tile of 6 rows by one panel
//! (8 rows by two panels with AVX-512, 14 where rows are packed) stays in registers while k runs
//! from first to last, so **each output is `fma(a[k], b[k], …)` in increasing k from the bias**,
//! whatever the tile. A long k is cut: a part of a panel is read by all rows of a block that fits
//! the second-level cache, and what was summed so far waits in the result, or beside it where that
//! is added to; either holds it exactly. Layout and blocking follow Goto and van de Geijn, "Anatomy
//! of High-Performance Matrix Multiplication" (2008).
//!
//! [`Windows`] describes plain rows and the windows of a convolution alike. For many columns they
//! are packed first (`gemm/left.rs`), for few they are read where they lie.

use super::accumulate::{accumulate, accumulate_packed};
pub use super::epilogue::Epilogue;
use super::isa::{Isa, Kernel, prefetch, prefetch_far};
use super::lanes::{Lanes, PANEL, load};
pub use super::windows::Windows;
use super::windows::rows_of_block;
use left::{Kept, height, pack};
use std::ops::Range;
mod left;
#[cfg(test)]
mod tests;
mod unpack;
mod weight;
pub use weight::PackedWeight;

/// Floats of the left operand that one sweep over the panels reads: half of a 1 MiB L2.
const BLOCK_FLOATS: usize = 128 * 1024;
/// The longest part of k that is summed before the next rows: a pair of panels is then 64 KiB.
/// Shorter parts fit the first-level cache, but sums then come and go too often.
const DEPTH: usize = 512;
/// Rows of a tile of packed rows with AVX-512, by two panels.
const TALL: usize = 14;
/// Columns from which on it pays to pack rows first.
const PACKED_FROM: usize = 512;

/// A right operand in panels.
#[derive(Clone, Copy)]
pub(crate) struct Panels<'a> {
    /// `[ceil(outputs / 16)][k][16]`.
    pub data: &'a [f32],
    /// One value a column, a multiple of 16 of them; empty for zeros.
    pub bias: &'a [f32],
    /// Columns.
    pub outputs: usize,
    /// Rows.
    pub k: usize,
}

/// Where products go: row `i` starts at `i * stride`.
pub(crate) struct Output<'a> {
    /// The floats.
    pub data: &'a mut [f32],
    /// Distance between rows.
    pub stride: usize,
}

/// `out = epilogue(left · right + bias)`.
///
/// # Panics
/// If the operands do not fit each other.
pub(crate) fn gemm(isa: Isa, left: Windows, right: Panels, out: Output, epilogue: Epilogue) {
    assert_eq!(
        left.runs * left.run_len,
        right.k,
        "left and right differ in k"
    );
    isa.run(Gemm {
        left,
        right,
        out,
        epilogue,
    });
}

struct Gemm<'a> {
    left: Windows<'a>,
    right: Panels<'a>,
    out: Output<'a>,
    epilogue: Epilogue<'a>,
}

impl Kernel for Gemm<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let mut kept = Kept::take();
        self.blocks::<6, 1, false>(&mut kept);
        kept.keep();
    }

    #[inline(always)]
    fn run_wide(self) {
        let packed = self.right.outputs >= PACKED_FROM && self.left.count >= TALL;
        let mut kept = Kept::take();
        match packed {
            true => self.blocks::<TALL, 2, true>(&mut kept),
            false => self.blocks::<8, 2, false>(&mut kept),
        }
        kept.keep();
    }
}

/// Rows of a block, a part of k, and what is kept of them.
struct Part<'b> {
    rows: Range<usize>,
    inputs: Range<usize>,
    /// Those rows and inputs as [`pack`] leaves them, where they are packed.
    left: Option<&'b [f32]>,
    /// Sums of those rows that wait, `[rows, outputs]`, where they cannot wait in the result.
    sums: Option<&'b mut [f32]>,
}

impl Gemm<'_> {
    /// The product in tiles of `R` rows by `P` panels, of which the rows are packed before if
    /// `PACKED`.
    #[inline(always)]
    fn blocks<const R: usize, const P: usize, const PACKED: bool>(mut self, kept: &mut Kept) {
        let k = self.right.k;
        let depth = k.div_ceil(k.div_ceil(DEPTH).max(1)).max(1);
        let block = rows_of_block(self.left.count, BLOCK_FLOATS / depth, R);
        let wait_apart = k > depth && !self.epilogue.replaces();
        for first in (0..self.left.count).step_by(block) {
            let rows = first..(first + block).min(self.left.count);
            for start in (0..k.max(1)).step_by(depth) {
                let inputs = start..(start + depth).min(k);
                let left = PACKED.then(|| pack::<R>(&self.left, &rows, &inputs, &mut kept.left));
                let sums = wait_apart.then(|| kept.sums.grown(rows.len() * self.right.outputs));
                let part = Part {
                    rows: rows.clone(),
                    inputs,
                    left,
                    sums,
                };
                self.panels::<R, P>(part);
            }
        }
    }

    /// All panels by a part.
    #[inline(always)]
    fn panels<const R: usize, const P: usize>(&mut self, mut part: Part) {
        let panels = self.right.outputs.div_ceil(PANEL);
        let mut panel = 0;
        while panel + P <= panels {
            let next = self.after::<P>(panel, &part.inputs);
            self.sweep::<R, P>(panel, &mut part, next);
            panel += P;
        }
        if P > 1 && panel < panels {
            self.sweep::<R, 1>(panel, &mut part, 0..0);
        }
    }

    /// Where the first of the panels lies that come after `panel..panel + P`, at these inputs.
    #[inline(always)]
    fn after<const P: usize>(&self, panel: usize, inputs: &Range<usize>) -> Range<usize> {
        let next = (panel + P) * self.right.k;
        (next + inputs.start) * PANEL..(next + inputs.end) * PANEL
    }

    /// A part by panels `panel..panel + Q`; meanwhile `Q` panels come nearer, of which `next` is
    /// the first.
    #[inline(always)]
    fn sweep<const R: usize, const Q: usize>(
        &mut self,
        panel: usize,
        part: &mut Part,
        next: Range<usize>,
    ) {
        let share = next.len().div_ceil(part.rows.len().div_ceil(R).max(1));
        let mut asked = next.start;
        let mut row = part.rows.start;
        while row < part.rows.end {
            let until = (asked + share).min(next.end);
            self.ask_for_panels::<Q>(asked..until);
            asked = until;
            row += match height::<R>(part.rows.end - row) {
                8 if R > 8 => self.tile::<8, Q>(row, panel, part),
                4 => self.tile::<4, Q>(row, panel, part),
                2 => self.tile::<2, Q>(row, panel, part),
                1 => self.tile::<1, Q>(row, panel, part),
                _ => self.tile::<R, Q>(row, panel, part),
            };
        }
    }

    /// Rows `row..row + M` by panels `first..first + Q`, summed over a part of k. Returns `M`.
    #[inline(always)]
    fn tile<const M: usize, const Q: usize>(
        &mut self,
        row: usize,
        first: usize,
        part: &mut Part,
    ) -> usize {
        let k = self.right.k;
        let mut columns: [&[Lanes]; Q] = [&[]; Q];
        let mut sums = [[[0.0; PANEL]; M]; Q];
        for q in 0..Q {
            let panel = &self.right.data[(first + q) * k * PANEL..][..k * PANEL];
            columns[q] = &panel.as_chunks().0[part.inputs.clone()];
            sums[q] = self.before(row, (first + q) * PANEL, part);
        }
        self.ask_for_results::<M, Q>(row + M, first);
        match part.left {
            Some(left) => {
                let depth = part.inputs.len();
                let left = &left[(row - part.rows.start) * depth..][..M * depth];
                accumulate_packed(left.as_chunks().0, columns, &mut sums);
            }
            None => self.accumulate(row, &part.inputs, columns, &mut sums),
        }
        for (q, sums) in sums.iter().enumerate() {
            self.after_part(row, (first + q) * PANEL, part, sums);
        }
        M
    }

    /// Sums over `inputs` of rows where they lie.
    #[inline(always)]
    fn accumulate<const M: usize, const Q: usize>(
        &self,
        row: usize,
        inputs: &Range<usize>,
        columns: [&[Lanes]; Q],
        sums: &mut [[Lanes; M]; Q],
    ) {
        let left = &self.left;
        let starts = left.starts::<M>(row);
        let mut at = inputs.start;
        while at < inputs.end {
            let (run, skip) = (at / left.run_len, at % left.run_len);
            let count = (left.run_len - skip).min(inputs.end - at);
            let mut rows: [&[f32]; M] = [&[]; M];
            for m in 0..M {
                rows[m] = &left.data[starts[m] + run * left.run_step + skip..][..count];
            }
            let mut some: [&[Lanes]; Q] = [&[]; Q];
            for q in 0..Q {
                some[q] = &columns[q][at - inputs.start..][..count];
            }
            accumulate(rows, some, sums);
            at += count;
        }
    }

    /// Brings a stretch of a panel and of its neighbours into the second-level cache. All of the
    /// next panels come while the present ones are used, a share a tile: left to the processor
    /// alone, products of weights that lie in memory took 5 to 12 % longer.
    #[inline(always)]
    fn ask_for_panels<const Q: usize>(&self, stretch: Range<usize>) {
        for q in 0..Q {
            let panel = q * self.right.k * PANEL;
            for at in stretch.clone().step_by(PANEL) {
                prefetch_far(self.right.data, panel + at);
            }
        }
    }

    /// Brings results nearer that the tile at `row` and `panel` will add to.
    #[inline(always)]
    fn ask_for_results<const M: usize, const Q: usize>(&self, row: usize, panel: usize) {
        for m in 0..M {
            for q in 0..Q {
                let at = (row + m) * self.out.stride + (panel + q) * PANEL;
                prefetch(self.out.data, at);
            }
        }
    }

    /// Sums before a part of k: the bias, or what an earlier part left.
    #[inline(always)]
    fn before<const M: usize>(&self, row: usize, column: usize, part: &Part) -> [Lanes; M] {
        let mut before = [[0.0; PANEL]; M];
        if part.inputs.start > 0 {
            let width = PANEL.min(self.right.outputs - column);
            let (waiting, stride) = match &part.sums {
                Some(sums) => (
                    &sums[(row - part.rows.start) * self.right.outputs..],
                    self.right.outputs,
                ),
                None => (&self.out.data[row * self.out.stride..], self.out.stride),
            };
            for (m, sum) in before.iter_mut().enumerate() {
                *sum = load(&waiting[m * stride + column..][..width]);
            }
        } else if !self.right.bias.is_empty() {
            before = [load(&self.right.bias[column..][..PANEL]); M];
        }
        before
    }

    /// Writes sums after a part of k: results after the last one, else where they wait.
    #[inline(always)]
    fn after_part<const M: usize>(
        &mut self,
        row: usize,
        column: usize,
        part: &mut Part,
        sums: &[Lanes; M],
    ) {
        let outputs = self.right.outputs;
        if part.inputs.end == self.right.k {
            return finish(&mut self.out, outputs, self.epilogue, [row, column], sums);
        }
        match &mut part.sums {
            Some(waiting) => {
                let mut waiting = Output {
                    data: waiting,
                    stride: outputs,
                };
                let at = [row - part.rows.start, column];
                finish(&mut waiting, outputs, Epilogue::Store, at, sums);
            }
            None => finish(&mut self.out, outputs, Epilogue::Store, [row, column], sums),
        }
    }
}

/// Applies the epilogue to products `y` of rows from `row` and 16 columns from `column`, of
/// `outputs` columns in all.
#[inline(always)]
pub(crate) fn finish<const M: usize>(
    out: &mut Output,
    outputs: usize,
    epilogue: Epilogue,
    [row, column]: [usize; 2],
    y: &[Lanes; M],
) {
    let stride = out.stride;
    let out = &mut out.data[row * stride + column..];
    let width = PANEL.min(outputs - column);
    if width == PANEL {
        return epilogue.apply(out, stride, column, y);
    }
    let mut edge = [[0.0; PANEL]; M];
    for m in 0..M {
        edge[m] = load(&out[m * stride..][..width]);
    }
    epilogue.apply(edge.as_flattened_mut(), PANEL, column, y);
    for m in 0..M {
        out[m * stride..][..width].copy_from_slice(&edge[m][..width]);
    }
}
