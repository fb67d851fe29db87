//! The left operand in int8: rounded once for all panels, and gathered where tiles cannot read it
//! in place.

use super::{DEPTH, Unit};
use crate::nn::buffer::Buffer;
use crate::nn::gemm::Windows;
use crate::nn::isa::{Isa, Kernel};
use crate::nn::tiles::{Convert, Packed, ROWS, TILE};
use crate::nn::windows::rows_of_block;
use std::cell::RefCell;

/// Numbers of a block of rows if these are short: half of a 1 MiB second-level cache.
const BLOCK: usize = 512 * 1024;
/// Numbers of an image that a block of windows into it looks at, which share most of them.
const SPAN: usize = 512 * 1024;
/// Added to a number of `±2^22` it leaves the nearest whole one, ties to even, in the low bits.
const WHOLE: f32 = 12_582_912.0;
/// Numbers that are all below it are taken for zeros; `127 / 1e-36` is finite.
const ZERO: f32 = 1e-36;

/// The largest magnitude among numbers. Infinity and NaN are larger than all others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Largest(u32);

impl Largest {
    /// Of these numbers, 0 of none.
    pub fn of(isa: Isa, numbers: &[f32]) -> Self {
        isa.run(Magnitude(numbers))
    }

    /// See [`Self::of`].
    #[inline(always)]
    pub(super) fn among(numbers: impl Iterator<Item = f32>) -> Self {
        // As whole numbers, the bits of magnitudes are in the order of magnitudes.
        Self(numbers.fold(0, |most, x| most.max(x.to_bits() & 0x7fff_ffff)))
    }

    /// What 1 stands for in int8, so that this one is 127; NaN if it is not finite.
    #[inline(always)]
    pub(super) fn scale(self) -> f32 {
        match f32::from_bits(self.0) {
            largest if largest < ZERO => 0.0,
            largest if largest.is_finite() => largest / 127.0,
            _ => f32::NAN,
        }
    }

    /// What a number is multiplied by before it is rounded.
    #[inline(always)]
    pub(super) fn inverse(self) -> f32 {
        match f32::from_bits(self.0) {
            largest if largest < ZERO => 0.0,
            largest => 127.0 / largest,
        }
    }
}

struct Magnitude<'a>(&'a [f32]);

impl Kernel for Magnitude<'_> {
    type Output = Largest;

    #[inline(always)]
    fn run(self) -> Largest {
        Largest::among(self.0.iter().copied())
    }
}

/// `x * inverse` as the nearest whole number of `±127`, ties to even; some number if it is NaN.
#[inline(always)]
pub(super) fn round(x: f32, inverse: f32) -> u8 {
    (x * inverse + WHOLE).to_bits() as u8
}

/// Memory for rounded rows, kept by every thread.
#[derive(Debug, Default)]
pub(super) struct Rounded {
    numbers: Buffer<u8>,
    gathered: Buffer<u8>,
    scales: Vec<f32>,
}

thread_local! {
    static ROUNDED: RefCell<Rounded> = RefCell::default();
}

impl Rounded {
    /// Calls `work` with the first row, the rows and their scales of one block after the other.
    /// There is memory behind the rows for reading a whole tile from the last of them. For
    /// [`Unit::Quads`] numbers have 128 added to them.
    pub fn blocks(
        isa: Isa,
        left: Windows,
        unit: Unit,
        mut work: impl FnMut(usize, Windows<u8>, &[f32]),
    ) {
        let k = (left.runs * left.run_len).next_multiple_of(DEPTH);
        let rows = rows_of_block(left.count, (BLOCK / k.max(1)).max(ROWS), 2 * TILE);
        // A block of an image is made of whole lines of windows.
        let in_place = left.largest.is_some() && left.in_place(DEPTH);
        let rows = match (left.width < left.count, in_place) {
            (true, true) => left.lines_of_block(SPAN) * left.width,
            (true, false) => rows.next_multiple_of(left.width),
            (false, _) => rows,
        };
        ROUNDED.with_borrow_mut(|rounded| {
            for first in (0..left.count).step_by(rows) {
                let some = left.skip(first, rows.min(left.count - first));
                let (rows, scales) = match some.largest {
                    Some(largest) => rounded.image(isa, some, unit, largest),
                    None => rounded.rows(isa, some, unit),
                };
                work(first, rows, scales);
            }
        });
    }

    /// Rows with a scale of each. What lies behind a row does not matter: the weight's
    /// words are zero.
    fn rows(&mut self, isa: Isa, left: Windows, unit: Unit) -> (Windows<'_, u8>, &[f32]) {
        let packed = Packed::new(&left, unit == Unit::Tiles);
        let to = self.gathered.grown(packed.len(left.count));
        self.scales.resize(left.count, 0.0);
        isa.run(EachRow {
            left,
            flip: unit.flip(),
            packed,
            to: &mut *to,
            scales: &mut self.scales,
        });
        (packed.rows(to, left.count), &self.scales)
    }

    /// Windows into an image that has one scale.
    fn image(
        &mut self,
        isa: Isa,
        left: Windows,
        unit: Unit,
        largest: Largest,
    ) -> (Windows<'_, u8>, &[f32]) {
        let span = left.span();
        let numbers = self.numbers.grown(span + TILE * left.step);
        self.scales.clear();
        self.scales.resize(left.count, largest.scale());
        isa.run(Stretch {
            from: &left.data[..span],
            to: &mut numbers[..span],
            how: Round {
                inverse: largest.inverse(),
                flip: unit.flip(),
            },
        });
        let rounded = left.over(&*numbers);
        let rows = match left.in_place(DEPTH) {
            true => rounded,
            false => gather(rounded, unit, &mut self.gathered),
        };
        (rows, &self.scales)
    }
}

/// Windows one by one.
fn gather<'a>(left: Windows<u8>, unit: Unit, to: &'a mut Buffer<u8>) -> Windows<'a, u8> {
    let packed = Packed::<DEPTH>::new(&left, unit == Unit::Tiles);
    let to = to.grown(packed.len(left.count));
    for row in 0..left.count {
        let [start] = left.starts::<1>(row);
        packed.write(&left, [start, row], to, &Copy);
    }
    packed.rows(to, left.count)
}

/// Numbers as they are.
struct Copy;

impl Convert<u8, u8> for Copy {
    fn convert(&self, from: &[u8], to: &mut [u8]) {
        to.copy_from_slice(from);
    }
}

/// See [`round`].
struct Round {
    inverse: f32,
    flip: u8,
}

impl Convert<f32, u8> for Round {
    #[inline(always)]
    fn convert(&self, from: &[f32], to: &mut [u8]) {
        for (to, &from) in to.iter_mut().zip(from) {
            *to = round(from, self.inverse) ^ self.flip;
        }
    }
}

/// Numbers of one scale.
struct Stretch<'a> {
    from: &'a [f32],
    to: &'a mut [u8],
    how: Round,
}

impl Kernel for Stretch<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        self.how.convert(self.from, self.to);
    }
}

/// Rows, each with its own scale.
struct EachRow<'a> {
    left: Windows<'a>,
    flip: u8,
    packed: Packed<DEPTH>,
    to: &'a mut [u8],
    scales: &'a mut [f32],
}

impl Kernel for EachRow<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let left = self.left;
        for (row, scale) in self.scales.iter_mut().enumerate() {
            let [start] = left.starts::<1>(row);
            let run = |run: usize| &left.data[start + run * left.run_step..][..left.run_len];
            let runs = (0..left.runs).map(|i| Largest::among(run(i).iter().copied()));
            let largest = runs.max().unwrap_or_default();
            *scale = largest.scale();
            let how = Round {
                inverse: largest.inverse(),
                flip: self.flip,
            };
            self.packed.write(&left, [start, row], self.to, &how);
        }
    }
}
