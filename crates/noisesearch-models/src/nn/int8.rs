//! Matrix products in int8: both operands rounded to whole numbers of `±127`, exact sums.
//!
//! An output's weights have one scale, `largest / 127` (symmetric, per channel: Jacob et al.,
//! arXiv 1712.05877, without zero points). Activations get theirs when they are known: every row
//! of a linear layer on its own, all windows into an image together, see [`Largest`]. Then
//!
//! > `y = sum * (row's scale * column's scale) + bias`
//!
//! in f32, in this order. The sum of products is a whole number that i32 holds (`INPUTS_MAX`);
//! so every unit of every processor gives the same bits, in whatever order it adds.
//!
//! A weight's panel is `[k / 4][16]` words of four neighbouring inputs, the first in the lowest
//! byte, with `k` padded by zeros to a multiple of 64.

mod left;
mod rows;
mod tile;

use super::epilogue::Epilogue;
use super::gemm::{Output, Windows, finish};
use super::isa::{Isa, Words};
use super::lanes::{PANEL, load};
use super::tiles;
pub use left::Largest;
use left::{Rounded, round};

/// Inputs that a tile takes at a time.
const DEPTH: usize = 64;
/// The most inputs whose sum i32 holds, whatever the numbers are: `k * 127 * 127 < 2^31`.
const INPUTS_MAX: usize = (i32::MAX / (127 * 127)) as usize;
/// With fewer inputs rounding costs more than products in int8 save.
const INPUTS_MIN: usize = 32;
/// Sums of a row for 16 columns.
type Sums = [i32; PANEL];

/// Whether a weight of these sizes is worth it, and its sums fit.
pub(super) fn suits(outputs: usize, inputs: usize) -> bool {
    outputs >= PANEL && (INPUTS_MIN..=INPUTS_MAX).contains(&inputs)
}

/// A weight `[n, k]` in int8 panels.
#[derive(Debug)]
pub(super) struct Int8Panels {
    words: Vec<Words>,
    /// A column's scale; 16 a panel.
    scales: Vec<[f32; PANEL]>,
    /// `-128` times the sum of a column's weights: what is too much when 128 is added to every
    /// activation, for units that take those without a sign.
    shifts: Vec<Sums>,
    /// Inputs.
    k: usize,
}

impl Int8Panels {
    /// From f32 panels `[k][16]`; `k` is at least 1.
    pub fn new(panels: &[f32], k: usize) -> Self {
        let depth = k.next_multiple_of(DEPTH) / 4;
        let (lines, _) = panels.as_chunks::<PANEL>();
        let mut all = Self {
            words: Vec::with_capacity(lines.len() / k * depth),
            scales: Vec::with_capacity(lines.len() / k),
            shifts: Vec::with_capacity(lines.len() / k),
            k,
        };
        for panel in lines.chunks_exact(k) {
            let column = |j: usize| Largest::among(panel.iter().map(|line| line[j]));
            let largest: [Largest; PANEL] = std::array::from_fn(column);
            let mut sums = [0i32; PANEL];
            let from = all.words.len();
            for inputs in panel.chunks(4) {
                let mut words = [0; PANEL];
                for (i, line) in inputs.iter().enumerate() {
                    for j in 0..PANEL {
                        let byte = round(line[j], largest[j].inverse());
                        words[j] |= u32::from(byte) << (8 * i);
                        sums[j] += i32::from(byte.cast_signed());
                    }
                }
                all.words.push(Words(words));
            }
            all.words.resize(from + depth, Words([0; PANEL]));
            all.scales.push(largest.map(Largest::scale));
            // Both this and what it is added to wrap around where k is large; their sum fits.
            all.shifts.push(sums.map(|sum| sum.wrapping_mul(-128)));
        }
        all
    }

    /// Back to f32 panels `[k][16]`, rounded as they are.
    pub fn widened(&self) -> Vec<f32> {
        let mut panels = Vec::new();
        for (panel, scales) in self.scales.iter().enumerate() {
            let words = self.panel(panel);
            for i in 0..self.k {
                let line = words[i / 4].0;
                let number = |j: usize| byte(line[j], i % 4) as f32 * scales[j];
                panels.extend((0..PANEL).map(number));
            }
        }
        panels
    }

    /// The words of a panel.
    #[inline(always)]
    fn panel(&self, panel: usize) -> &[Words] {
        let depth = self.k.next_multiple_of(DEPTH) / 4;
        &self.words[panel * depth..][..depth]
    }
}

/// Number 0 to 3 of a word.
#[inline(always)]
fn byte(word: u32, which: usize) -> i32 {
    (word << (24 - 8 * which)).cast_signed() >> 24
}

/// `out = epilogue(left · right + bias)` for rows in int8; the whole of a product's arguments.
struct Job<'a> {
    /// Rows whose stretches are multiples of [`DEPTH`] long.
    left: Windows<'a, u8>,
    /// A row's scale.
    scales: &'a [f32],
    right: &'a Int8Panels,
    /// One value a column, a multiple of 16 of them.
    bias: &'a [f32],
    out: Output<'a>,
    outputs: usize,
    epilogue: Epilogue<'a>,
}

impl Job<'_> {
    /// Writes what comes of the sums of rows from `row` and of panel `panel`.
    #[inline(always)]
    fn finish<const M: usize>(&mut self, row: usize, panel: usize, sums: &[Sums; M]) {
        // Copies, which the compiler keeps in vectors.
        let (columns, bias) = (
            self.right.scales[panel],
            load(&self.bias[panel * PANEL..][..PANEL]),
        );
        let mut y = [[0.0; PANEL]; M];
        for m in 0..M {
            let scale = self.scales[row + m];
            for j in 0..PANEL {
                y[m][j] = sums[m][j] as f32 * (scale * columns[j]) + bias[j];
            }
        }
        let at = [row, panel * PANEL];
        finish(&mut self.out, self.outputs, self.epilogue, at, &y);
    }
}

/// What multiplies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unit {
    /// Intel AMX.
    Tiles,
    /// AVX512_VNNI.
    Quads,
    /// Pairs of 16-bit numbers, AVX2.
    Pairs,
    Plain,
}

impl Unit {
    /// The fastest of an instruction level.
    fn of(isa: Isa) -> Self {
        match isa {
            isa if isa.has_tiles() => Self::Tiles,
            isa if isa.has_quads() => Self::Quads,
            isa if isa.has_pairs() => Self::Pairs,
            _ => Self::Plain,
        }
    }

    /// The bits of an activation that it takes the other way round: the first, where numbers
    /// without a sign are 128 more.
    fn flip(self) -> u8 {
        match self {
            Self::Quads => 0x80,
            _ => 0,
        }
    }
}

/// `out: [left rows, outputs] = epilogue(left · panels + bias)`.
pub(super) fn product(
    isa: Isa,
    left: Windows,
    (right, bias): (&Int8Panels, &[f32]),
    out: Output,
    (outputs, epilogue): (usize, Epilogue),
) {
    let (unit, stride) = (Unit::of(isa), out.stride);
    Rounded::blocks(isa, left, unit, |first, left, scales| {
        let job = Job {
            left,
            scales,
            right,
            bias,
            out: Output {
                data: &mut out.data[first * stride..],
                stride,
            },
            outputs,
            epilogue,
        };
        match unit {
            Unit::Tiles => tiles::sweep(isa, job),
            unit => isa.run(rows::Rows(job, unit)),
        }
    });
}

#[cfg(test)]
mod tests;
