//! The left operand in bf16: rounded once for all panels, and gathered where tiles cannot read it
//! in place.

use super::DEPTH;
use crate::nn::buffer::Buffer;
use crate::nn::gemm::Windows;
use crate::nn::isa::{Isa, Kernel, narrow};
use crate::nn::lanes::PANEL;
use crate::nn::tiles::{Convert, Packed, ROWS, TILE};
use crate::nn::windows::rows_of_block;
use std::cell::RefCell;
use std::ops::Range;

/// Numbers of a block of rows if these are short: half of a 1 MiB second-level cache.
const BLOCK: usize = 256 * 1024;
/// Numbers of an image that a block of windows into it looks at, which share most of them.
const SPAN: usize = 448 * 1024;

/// Memory for rounded rows, kept by every thread.
#[derive(Debug, Default)]
pub(crate) struct Rounded(Buffer<u16>);

thread_local! {
    static ROUNDED: RefCell<Rounded> = RefCell::default();
}

/// Windows of a block that are read where they lie in a rounded image.
pub(super) fn windows_of_block<T>(left: &Windows<T>) -> usize {
    (left.lines_of_block(SPAN) * left.width).max(1)
}

impl Rounded {
    /// Calls `work` with the first row and the rounded rows of one block after the other. There is
    /// memory behind the rows for reading a whole tile from the last of them. See [`Packed::new`]
    /// about `in_tiles`.
    pub fn blocks(
        isa: Isa,
        left: Windows,
        in_tiles: bool,
        mut work: impl FnMut(usize, Windows<u16>),
    ) {
        let image = left.width < left.count && left.in_place(DEPTH);
        let usual = (BLOCK / (left.runs * left.run_len).max(1)).max(ROWS);
        let rows = match image {
            true => windows_of_block(&left),
            false => rows_of_block(left.count, usual, 2 * TILE),
        };
        ROUNDED.with_borrow_mut(|rounded| {
            for first in (0..left.count).step_by(rows) {
                let some = first..(first + rows).min(left.count);
                let block = match image {
                    true => rounded.in_place(isa, left.skip(first, some.len())),
                    false => rounded.packed(isa, left, some, in_tiles),
                };
                work(first, block);
            }
        });
    }

    /// All that windows look at, as it lies.
    fn in_place(&mut self, isa: Isa, left: Windows) -> Windows<'_, u16> {
        let span = left.span();
        let to = self.0.grown(span + TILE * left.step);
        round_to(isa, &left.data[..span], &mut to[..span]);
        left.over(to)
    }

    /// Rows with zeros behind each; what lies behind the last one is not specified.
    fn packed(
        &mut self,
        isa: Isa,
        left: Windows,
        rows: Range<usize>,
        in_tiles: bool,
    ) -> Windows<'_, u16> {
        let (count, packed) = (rows.len(), Packed::new(&left, in_tiles));
        let to = self.0.grown(packed.len(count));
        isa.run(Pack {
            left,
            rows,
            packed,
            to,
        });
        packed.rows(to, count)
    }
}

/// See [`Rounded::packed`].
struct Pack<'a> {
    left: Windows<'a>,
    rows: Range<usize>,
    packed: Packed<DEPTH>,
    to: &'a mut [u16],
}

impl Kernel for Pack<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        self.round::<false>();
    }

    #[inline(always)]
    fn run_dots(self) {
        self.round::<true>();
    }
}

impl Pack<'_> {
    /// See [`round_all`] about `UNIT`.
    #[inline(always)]
    fn round<const UNIT: bool>(self) {
        for (row, window) in self.rows.enumerate() {
            let [start] = self.left.starts::<1>(window);
            let at = [start, row];
            let behind = self.packed.write(&self.left, at, self.to, &Half::<UNIT>);
            self.to[behind].fill(0);
        }
    }
}

/// See [`round_all`].
struct Half<const UNIT: bool>;

impl<const UNIT: bool> Convert<f32, u16> for Half<UNIT> {
    #[inline(always)]
    fn convert(&self, from: &[f32], to: &mut [u16]) {
        round_all::<UNIT>(from, to);
    }
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
