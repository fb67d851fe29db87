//! Matrix products `out = left · weightᵀ + bias` in f32, the one hot loop of every model.
//!
//! The weight is packed once into panels of 16 columns, `[k][16]`. A tile of 6 rows by one panel
//! (8 rows by two panels with AVX-512) stays in registers while k runs from first to last, so
//! **each output is `fma(a[k], b[k], …)` in increasing k from the bias**, whatever the tile.
//! A long k is cut: a part of a panel is read by all rows of a block that fits the second-level
//! cache, and what was summed so far waits in the result, which holds it exactly. Layout and
//! blocking follow Goto and van de Geijn, "Anatomy of High-Performance Matrix Multiplication"
//! (2008).
//!
//! The left operand is never copied: [`Windows`] describes plain rows and the windows of a
//! convolution alike.

use super::accumulate::accumulate;
use super::activation::{gelu, silu};
use super::bf16::{self, Bf16Panels, Order};
use super::buffer::Buffer;
pub use super::epilogue::Epilogue;
use super::int8::{self, Int8Panels, Largest};
use super::isa::{Isa, Kernel, prefetch, prefetch_far};
use super::lanes::{Lanes, PANEL, load};
pub use super::windows::Windows;
use super::windows::rows_of_block;
use std::ops::Range;
use std::sync::OnceLock;
#[cfg(test)]
mod tests;
mod unpack;

/// Floats of the left operand that one sweep over the panels reads: half of a 1 MiB L2.
const BLOCK_FLOATS: usize = 128 * 1024;
/// The longest part of k that is summed before the next rows: a pair of panels is then 64 KiB.
/// Shorter parts fit the first-level cache, but sums then come and go too often.
const DEPTH: usize = 512;

/// A weight `[n, k]` packed into panels, with its bias.
#[derive(Debug)]
pub struct PackedWeight {
    panels: Store,
    bias: Buffer,
    outputs: usize,
    inputs: usize,
    /// For the way back, made when it is first gone.
    back: OnceLock<Box<PackedWeight>>,
}

/// Panels as they are kept.
#[derive(Debug)]
enum Store {
    Wide(Buffer),
    Bf16(Bf16Panels),
    Int8(Int8Panels),
}

impl PackedWeight {
    /// Packs `weight: [outputs, inputs]` and `bias: [outputs]` (empty for none).
    ///
    /// # Panics
    /// If a slice has another length than its shape.
    pub fn new(weight: &[f32], bias: &[f32], outputs: usize, inputs: usize) -> Self {
        assert_eq!(
            weight.len(),
            outputs * inputs,
            "weight is not [{outputs}, {inputs}]"
        );
        assert!(
            bias.is_empty() || bias.len() == outputs,
            "bias is not [{outputs}]"
        );
        let columns = outputs.next_multiple_of(PANEL);
        let mut panels = Buffer::zeros(columns * inputs);
        pack_columns(weight, outputs, inputs, &mut panels);
        let mut padded = Buffer::zeros(columns);
        padded[..bias.len()].copy_from_slice(bias);
        Self {
            panels: Store::Wide(panels),
            bias: padded,
            outputs,
            inputs,
            back: OnceLock::new(),
        }
    }

    /// The same weight rounded to bf16, half as large; its products take both operands in bf16.
    pub fn in_bf16(self, order: Order) -> Self {
        let panels = match &self.panels {
            Store::Wide(panels) => Bf16Panels::new(panels, self.inputs, order),
            Store::Bf16(_) | Store::Int8(_) => return self,
        };
        Self {
            panels: Store::Bf16(panels),
            back: OnceLock::new(),
            ..self
        }
    }

    /// The same weight rounded to int8, a quarter as large; its products take both operands in
    /// int8. One that is too thin to gain by it stays as it is.
    pub fn in_int8(self) -> Self {
        match &self.panels {
            Store::Wide(panels) if int8::suits(self.outputs, self.inputs) => Self {
                panels: Store::Int8(Int8Panels::new(panels, self.inputs)),
                back: OnceLock::new(),
                ..self
            },
            _ => self,
        }
    }

    /// What [`Windows::largest`] is to be for windows into `image`: only products in int8 ask.
    pub fn largest(&self, isa: Isa, image: &[f32]) -> Option<Largest> {
        matches!(self.panels, Store::Int8(_)).then(|| Largest::of(isa, image))
    }

    /// The order of its products if it is in bf16.
    pub fn order(&self) -> Option<Order> {
        match &self.panels {
            Store::Bf16(panels) => Some(panels.order),
            Store::Wide(_) | Store::Int8(_) => None,
        }
    }

    /// Outputs n.
    pub fn outputs(&self) -> usize {
        self.outputs
    }

    /// Inputs k.
    pub fn inputs(&self) -> usize {
        self.inputs
    }

    /// `out: [left rows, n] = epilogue(left: [rows, k] · weightᵀ + bias)`.
    ///
    /// Activations are a second pass, which measured faster than working in the tiles' registers
    /// as long as `out` stays in the second-level cache.
    pub fn apply(&self, isa: Isa, left: Windows, out: &mut [f32], epilogue: Epilogue) {
        let (count, stride) = (left.count * self.outputs, self.outputs);
        let product = Output {
            data: &mut *out,
            stride,
        };
        match &self.panels {
            Store::Wide(panels) => {
                let right = Panels {
                    data: panels,
                    bias: &self.bias,
                    outputs: self.outputs,
                    k: self.inputs,
                };
                gemm(isa, left, right, product, epilogue);
            }
            Store::Bf16(panels) => {
                let right = (panels, &self.bias);
                bf16::product(isa, left, right, product, (stride, epilogue));
            }
            Store::Int8(panels) => {
                let right = (panels, &self.bias[..]);
                int8::product(isa, left, right, product, (stride, epilogue));
            }
        }
        Self::activate(isa, &mut out[..count], epilogue);
    }

    /// The same for windows into an image that is rounded to bf16 already, where
    /// [`Self::reads_in_place`]; there is memory behind it for reading 16 more windows.
    ///
    /// # Panics
    /// If the weight is in another number format.
    pub fn apply_rounded(&self, isa: Isa, left: Windows<u16>, out: &mut [f32], epilogue: Epilogue) {
        let Store::Bf16(panels) = &self.panels else {
            panic!("an image in bf16 needs a weight in bf16")
        };
        let (count, stride) = (left.count * self.outputs, self.outputs);
        let product = Output {
            data: &mut *out,
            stride,
        };
        let right = (panels, &self.bias);
        bf16::product_in_place(isa, left, right, product, (stride, epilogue));
        Self::activate(isa, &mut out[..count], epilogue);
    }

    /// Whether products of such windows may be given an image that is rounded already.
    pub fn reads_in_place(&self, left: &Windows) -> bool {
        self.order().is_some() && left.in_place(bf16::DEPTH)
    }

    fn activate(isa: Isa, out: &mut [f32], epilogue: Epilogue) {
        match epilogue {
            Epilogue::Silu => silu(isa, out),
            Epilogue::Gelu => gelu(isa, out),
            Epilogue::Store | Epilogue::Add | Epilogue::AddGated(_) => {}
        }
    }
}

/// Writes rows `[outputs, k]` (row `i` at `i * k`) as panels `[k][16]`, zero-padded.
fn pack_columns(rows: &[f32], outputs: usize, k: usize, panels: &mut [f32]) {
    for (row, source) in rows.chunks_exact(k).take(outputs).enumerate() {
        let panel = &mut panels[row / PANEL * PANEL * k..];
        for (i, &value) in source.iter().enumerate() {
            panel[i * PANEL + row % PANEL] = value;
        }
    }
}

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
        self.blocks::<6, 1>();
    }

    #[inline(always)]
    fn run_wide(self) {
        self.blocks::<8, 2>();
    }
}

impl Gemm<'_> {
    /// The product in tiles of `R` rows by `P` panels.
    #[inline(always)]
    fn blocks<const R: usize, const P: usize>(mut self) {
        let panels = self.right.outputs.div_ceil(PANEL);
        let k = self.right.k;
        let depth = match self.epilogue.replaces() {
            true => k.div_ceil(k.div_ceil(DEPTH).max(1)).max(1),
            false => k.max(1),
        };
        let block = rows_of_block(self.left.count, BLOCK_FLOATS / depth, R);
        for first in (0..self.left.count).step_by(block) {
            let rows = first..(first + block).min(self.left.count);
            for start in (0..k.max(1)).step_by(depth) {
                let part = start..(start + depth).min(k);
                let mut panel = 0;
                while panel + P <= panels {
                    let next = self.after::<P>(panel, &part);
                    self.sweep::<R, P>(panel, rows.clone(), &part, next);
                    panel += P;
                }
                if P > 1 && panel < panels {
                    self.sweep::<R, 1>(panel, rows.clone(), &part, 0..0);
                }
            }
        }
    }

    /// Where the first of the panels lies that come after `panel..panel + P`, at this part of k.
    #[inline(always)]
    fn after<const P: usize>(&self, panel: usize, part: &Range<usize>) -> Range<usize> {
        let next = (panel + P) * self.right.k;
        (next + part.start) * PANEL..(next + part.end) * PANEL
    }

    /// `rows` by panels `panel..panel + Q`, summed over `part` of k; meanwhile `Q` panels come
    /// nearer, of which `next` is the first.
    #[inline(always)]
    fn sweep<const R: usize, const Q: usize>(
        &mut self,
        panel: usize,
        rows: Range<usize>,
        part: &Range<usize>,
        next: Range<usize>,
    ) {
        let share = next.len().div_ceil(rows.len().div_ceil(R).max(1));
        let mut asked = next.start;
        let mut row = rows.start;
        while row < rows.end {
            let until = (asked + share).min(next.end);
            self.ask_for_panels::<Q>(asked..until);
            asked = until;
            row += match rows.end - row {
                left if left >= R => self.tile::<R, Q>(row, panel, part),
                left if left >= 4 => self.tile::<4, Q>(row, panel, part),
                left if left >= 2 => self.tile::<2, Q>(row, panel, part),
                _ => self.tile::<1, Q>(row, panel, part),
            };
        }
    }

    /// Rows `row..row + M` by panels `panel..panel + Q`, summed over `part` of k. Returns `M`.
    #[inline(always)]
    fn tile<const M: usize, const Q: usize>(
        &mut self,
        row: usize,
        panel: usize,
        part: &Range<usize>,
    ) -> usize {
        let (left, k) = (&self.left, self.right.k);
        let mut columns: [&[Lanes]; Q] = [&[]; Q];
        let mut sums = [[[0.0; PANEL]; M]; Q];
        for q in 0..Q {
            columns[q] = self.right.data[(panel + q) * k * PANEL..][..k * PANEL]
                .as_chunks()
                .0;
            sums[q] = self.before(row, (panel + q) * PANEL, part.start);
        }
        self.ask_for_results::<M, Q>(row + M, panel);
        let starts = left.starts::<M>(row);
        let mut at = part.start;
        while at < part.end {
            let (run, skip) = (at / left.run_len, at % left.run_len);
            let count = (left.run_len - skip).min(part.end - at);
            let mut rows: [&[f32]; M] = [&[]; M];
            for m in 0..M {
                rows[m] = &left.data[starts[m] + run * left.run_step + skip..][..count];
            }
            let mut some: [&[Lanes]; Q] = [&[]; Q];
            for q in 0..Q {
                some[q] = &columns[q][at..][..count];
            }
            accumulate(rows, some, &mut sums);
            at += count;
        }
        let epilogue = match part.end == k {
            true => self.epilogue,
            false => Epilogue::Store,
        };
        for (q, sums) in sums.iter().enumerate() {
            let at = [row, (panel + q) * PANEL];
            finish(&mut self.out, self.right.outputs, epilogue, at, sums);
        }
        M
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

    /// Sums before element `start` of k: the bias, or what an earlier part left in the result.
    #[inline(always)]
    fn before<const M: usize>(&self, row: usize, column: usize, start: usize) -> [Lanes; M] {
        let mut sums = [[0.0; PANEL]; M];
        if start > 0 {
            let width = PANEL.min(self.right.outputs - column);
            for (m, sum) in sums.iter_mut().enumerate() {
                *sum = load(&self.out.data[(row + m) * self.out.stride + column..][..width]);
            }
        } else if !self.right.bias.is_empty() {
            sums = [load(&self.right.bias[column..][..PANEL]); M];
        }
        sums
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
