//! The left operand in bf16: rounded once for all panels, and gathered where tiles cannot read it
//! in place.

use super::{DEPTH, TILE};
use crate::nn::buffer::Buffer;
use crate::nn::gemm::Windows;
use crate::nn::isa::{Isa, Kernel, narrow};
use crate::nn::lanes::PANEL;
use crate::nn::windows::rows_of_block;
use std::cell::RefCell;
use std::ops::Range;

/// Numbers of a block of rows: half of a 1 MiB second-level cache.
const BLOCK: usize = 256 * 1024;
/// The longest part of plain rows that is multiplied before the next rows are. Uncut, blocks of
/// long rows would be of few, each of which reads all of the weight from memory.
const PART: usize = 1024;
/// Numbers of an image that a block of windows into it looks at, which share most of them.
const SPAN: usize = 448 * 1024;

/// Memory for rounded rows, kept by every thread.
#[derive(Debug, Default)]
pub(crate) struct Rounded {
    span: Buffer<u16>,
    gathered: Buffer<u16>,
}

thread_local! {
    static ROUNDED: RefCell<Rounded> = RefCell::default();
}

/// Numbers of a part if `left`, whose sums may wait between parts, is cut.
fn depth(left: &Windows) -> usize {
    let k = left.runs * left.run_len;
    match left.runs == 1 && left.in_place(DEPTH) && left.width >= left.count {
        true => k.div_ceil(k.div_ceil(PART).max(1)).next_multiple_of(DEPTH),
        false => k,
    }
}

/// Rows of a block.
pub(super) fn rows<T>(left: &Windows<T>) -> usize {
    let k = (left.runs * left.run_len).next_multiple_of(DEPTH).max(1);
    match left.in_place(DEPTH) && left.width < left.count {
        true => left.lines_of_block(SPAN) * left.width,
        false => rows_of_block(left.count, BLOCK / k, 2 * TILE),
    }
}

impl Rounded {
    /// Calls `work` with the first row, a part of the inputs and the rows' numbers there, for one
    /// block after the other; with several parts only if sums may wait. There is memory behind the
    /// rows for reading a whole tile from the last of them.
    pub fn blocks(
        isa: Isa,
        left: Windows,
        may_wait: bool,
        mut work: impl FnMut(usize, Range<usize>, Windows<u16>),
    ) {
        let (k, regular) = (left.runs * left.run_len, left.in_place(DEPTH));
        let depth = if may_wait { depth(&left) } else { k };
        let rows = match depth < k {
            true => rows_of_block(left.count, BLOCK / depth, 2 * TILE),
            false => rows(&left),
        };
        ROUNDED.with_borrow_mut(|rounded| {
            for first in (0..left.count).step_by(rows.max(1)) {
                let some = left.skip(first, rows.min(left.count - first));
                if depth == k {
                    work(first, 0..k, rounded.rows(isa, some, regular));
                    continue;
                }
                for start in (0..k).step_by(depth) {
                    let part = start..(start + depth).min(k);
                    work(first, part.clone(), rounded.part(isa, some.part(part)));
                }
            }
        });
    }

    /// A part of plain rows, which are rounded one after the other without what lies between.
    fn part(&mut self, isa: Isa, left: Windows) -> Windows<'_, u16> {
        let k = left.run_len;
        self.span.grow((left.count + TILE) * k);
        for (row, to) in self.span.chunks_exact_mut(k).take(left.count).enumerate() {
            round_to(isa, &left.data[row * left.step..][..k], to);
        }
        Windows::strided(&self.span, left.count, k, k)
    }

    fn rows(&mut self, isa: Isa, left: Windows, regular: bool) -> Windows<'_, u16> {
        let span = left.span();
        let behind = TILE * left.step;
        self.span.grow(span + behind);
        round_to(isa, &left.data[..span], &mut self.span[..span]);
        let rounded = left.over(&self.span);
        if regular {
            rounded
        } else {
            gather(rounded, &mut self.gathered)
        }
    }
}

/// Rows of stretches one after the other, padded by zeros to a multiple of [`DEPTH`].
fn gather<'a>(left: Windows<u16>, to: &'a mut Buffer<u16>) -> Windows<'a, u16> {
    let (k, count) = (left.runs * left.run_len, left.count);
    let padded = k.next_multiple_of(DEPTH);
    let len = (count + TILE) * padded;
    to.grow(len);
    for (i, row) in to.chunks_exact_mut(padded).take(count).enumerate() {
        let [start] = left.starts::<1>(i);
        let (inside, behind) = row.split_at_mut(k);
        for (run, to) in inside.chunks_exact_mut(left.run_len).enumerate() {
            to.copy_from_slice(&left.data[start + run * left.run_step..][..left.run_len]);
        }
        behind.fill(0);
    }
    Windows::strided(to, count, padded, padded)
}

/// The bits of the nearest bf16, ties to even. Numbers below 1.2e-38 become zero, as the units
/// that multiply bf16 take them.
#[inline(always)]
pub(crate) fn round(x: f32) -> u16 {
    let bits = x.to_bits();
    let magnitude = bits & 0x7fff_ffff;
    let rounded = bits.wrapping_add(0x7fff + (bits >> 16 & 1));
    let nan = bits | 0x0040_0000;
    let kept = if magnitude > 0x7f80_0000 {
        nan
    } else {
        rounded
    };
    let zero = bits & 0x8000_0000;
    let result = if magnitude < 0x0080_0000 { zero } else { kept };
    (result >> 16) as u16
}

/// Rounds all of `from`; `UNIT` says that this runs where AVX512_BF16 was found, see
/// [`Kernel::run_dots`].
#[inline(always)]
pub(crate) fn round_all<const UNIT: bool>(from: &[f32], to: &mut [u16]) {
    let units = if UNIT { from.len() / PANEL } else { 0 };
    let (from, rest) = from.split_at(units * PANEL);
    let (to, last) = to.split_at_mut(units * PANEL);
    for (to, from) in to.as_chunks_mut().0.iter_mut().zip(from.as_chunks().0) {
        *to = narrow(from);
    }
    for (to, &from) in last.iter_mut().zip(rest) {
        *to = round(from);
    }
}

/// Rounds all of `from`.
pub(crate) fn round_to(isa: Isa, from: &[f32], to: &mut [u16]) {
    isa.run(Round { from, to });
}

struct Round<'a> {
    from: &'a [f32],
    to: &'a mut [u16],
}

impl Kernel for Round<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        round_all::<false>(self.from, self.to);
    }

    #[inline(always)]
    fn run_dots(self) {
        round_all::<true>(self.from, self.to);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A million numbers of all sizes, NaN among them.
    #[test]
    fn every_level_rounds_to_the_same_bits() {
        let number = |i: u32| f32::from_bits(i.wrapping_mul(4_294_967));
        let numbers: Vec<f32> = (0..1_000_003).map(number).collect();
        let want: Vec<u16> = numbers.iter().map(|&x| round(x)).collect();
        for isa in Isa::available() {
            let mut got = vec![0; numbers.len()];
            isa.run(Round {
                from: &numbers,
                to: &mut got,
            });
            assert_eq!(got, want, "{isa:?}");
        }
    }

    #[test]
    fn rounding_agrees_with_the_half_crate() {
        let numbers = (0..1_000_000_u32).map(|i| f32::from_bits(i.wrapping_mul(4_294_967)));
        let special = [
            0.0,
            -0.0,
            f32::INFINITY,
            f32::MAX,
            1.0039062,
            1.0117188,
            -3.0e-39,
        ];
        for x in numbers.chain(special) {
            let want = half::bf16::from_f32(x);
            if x.is_nan() {
                assert!(half::bf16::from_bits(round(x)).is_nan());
            } else if x.is_normal() || x == 0.0 || x.is_infinite() {
                assert_eq!(round(x), want.to_bits(), "{x}");
            } else {
                assert_eq!(round(x) & 0x7fff, 0, "{x}");
            }
        }
    }
}
