//! Matrix products in bf16: both operands rounded to bf16, sums in f32.
//!
//! Processors multiply bf16 in two orders, and each is exact about its own ([`Order`]). An order
//! is part of a weight, and every instruction level can follow both: where the unit is missing,
//! with f32 operations. A unit that adds in another order than its manual says is not used. So a
//! result in bf16, too, depends neither on the batch, nor on the number of threads, nor on the
//! processor; only its speed does. (Units take numbers below 1.2e-38 for zero, f32 operations do
//! not; sums of activations do not reach that far.)
//!
//! A weight's panel is `[k / 2][16]` words of two neighbouring inputs, the even one in the low
//! half, with `k` padded by zeros to a multiple of 32.

mod dot;
mod left;
mod plain;
mod tile;

use super::buffer::Buffer;
use super::epilogue::Epilogue;
use super::gemm::{Output, Windows, finish};
use super::isa::Isa;
use super::lanes::{Lanes, PANEL};
use super::tiles;
use left::Rounded;
pub(crate) use left::{round, round_all, round_to};
use std::sync::OnceLock;

/// Inputs that a tile takes at a time.
pub(super) const DEPTH: usize = 32;
/// Two inputs of 16 columns.
type Words = [u32; PANEL];

/// The order in which products of a row and a column are summed up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Order {
    /// That of matrix tiles (Intel AMX, `TDPBF16PS`): in every 32 inputs the even and the odd ones
    /// each on their own, from zero; then both sums are added up and to the total.
    Tile,
    /// That of paired products (`VDPBF16PS`): of every pair first the odd input, then the even one.
    Pair,
}

impl Order {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Tile, Self::Pair];

    /// The number format's name with this order.
    pub fn name(self) -> &'static str {
        match self {
            Self::Tile => "bf16-tile",
            Self::Pair => "bf16-pair",
        }
    }

    /// The order of this processor's fastest unit.
    pub fn fastest() -> Self {
        if Isa::best().has_tiles() {
            Self::Tile
        } else {
            Self::Pair
        }
    }
}

/// A weight `[n, k]` in bf16 panels.
#[derive(Debug)]
pub(super) struct Bf16Panels {
    /// On cache lines: a row of a tile is then one of them.
    words: Buffer<u32>,
    pub order: Order,
    /// Inputs.
    k: usize,
}

impl Bf16Panels {
    /// From f32 panels `[k][16]`.
    pub fn new(panels: &[f32], k: usize, order: Order) -> Self {
        let depth = k.next_multiple_of(DEPTH) / 2;
        let (lines, _) = panels.as_chunks::<PANEL>();
        let lines = lines.chunks_exact(k.max(1));
        let mut words = Buffer::zeros(lines.len() * depth * PANEL);
        for (panel, to) in lines.zip(words.chunks_exact_mut(depth.max(1) * PANEL)) {
            for (pair, to) in panel.chunks(2).zip(to.as_chunks_mut::<PANEL>().0) {
                let bits = |i: usize, j: usize| pair.get(i).map_or(0, |x| u32::from(round(x[j])));
                *to = std::array::from_fn(|j| bits(0, j) | bits(1, j) << 16);
            }
        }
        Self { words, order, k }
    }

    fn words(&self) -> &[Words] {
        self.words.as_chunks().0
    }

    /// Back to f32 panels `[k][16]`, rounded as they are.
    pub fn widened(&self) -> Vec<f32> {
        let depth = self.k.next_multiple_of(DEPTH) / 2;
        let mut panels = Vec::new();
        for panel in self.words().chunks_exact(depth.max(1)) {
            for i in 0..self.k {
                panels.extend(panel[i / 2].map(|word| half(word, i % 2)));
            }
        }
        panels
    }
}

/// The even (0) or odd (1) number of a word.
#[inline(always)]
fn half(word: u32, which: usize) -> f32 {
    let bits = if which == 0 {
        word << 16
    } else {
        word & 0xffff_0000
    };
    f32::from_bits(bits)
}

/// `out = epilogue(left · right + bias)` for rows in bf16; the whole of a product's arguments.
struct Job<'a> {
    /// Rows whose stretches are multiples of [`DEPTH`] long.
    left: Windows<'a, u16>,
    /// `[ceil(outputs / 16)][k / 2]` words.
    right: &'a [Words],
    /// Words of a panel.
    depth: usize,
    /// One value a column, a multiple of 16 of them; empty for zeros.
    bias: &'a [f32],
    out: Output<'a>,
    outputs: usize,
    epilogue: Epilogue<'a>,
}

impl Job<'_> {
    /// Writes products `y` of rows from `row` and of panel `panel`.
    #[inline(always)]
    fn finish<const M: usize>(&mut self, row: usize, panel: usize, y: &[[f32; PANEL]; M]) {
        finish(
            &mut self.out,
            self.outputs,
            self.epilogue,
            [row, panel * PANEL],
            y,
        );
    }

    /// The words of a panel.
    #[inline(always)]
    fn panel(&self, panel: usize) -> &[Words] {
        &self.right[panel * self.depth..][..self.depth]
    }

    /// The bias of a panel.
    #[inline(always)]
    fn bias(&self, panel: usize) -> &Lanes {
        match self.bias.is_empty() {
            true => &[0.0; PANEL],
            false => &self.bias.as_chunks().0[panel],
        }
    }
}

/// What multiplies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unit {
    Tiles,
    Dots,
    /// f32 operations in an order.
    Plain(Order),
}

impl Unit {
    /// The fastest that follows an order at an instruction level.
    fn of(isa: Isa, order: Order) -> Self {
        match order {
            Order::Tile if isa.has_tiles() && Self::Tiles.keeps(isa, order) => Self::Tiles,
            Order::Pair if isa.has_dots() && Self::Dots.keeps(isa, order) => Self::Dots,
            order => Self::Plain(order),
        }
    }

    /// Whether the processor's unit really adds in this order: manuals say so, a product at the
    /// first use proves it.
    fn keeps(self, isa: Isa, order: Order) -> bool {
        static KEPT: [OnceLock<bool>; 2] = [OnceLock::new(), OnceLock::new()];
        *KEPT[order as usize].get_or_init(|| {
            const SIDE: usize = 2 * DEPTH;
            let number = |i: usize| ((i * 7919 + 13) % 1009) as f32 / 504.5 - 1.0;
            let numbers: Vec<f32> = (0..SIDE * SIDE).map(number).collect();
            let panels = Bf16Panels::new(&numbers, SIDE, order);
            let bias = Buffer::zeros(SIDE);
            let product = |unit: Self| {
                let mut data = vec![0.0; SIDE * SIDE];
                let left = Windows::rows(&numbers, SIDE);
                let out = Output {
                    data: &mut data,
                    stride: SIDE,
                };
                unit.product(isa, left, (&panels, &bias), out, (SIDE, Epilogue::Store));
                data.into_iter().map(f32::to_bits).collect::<Vec<_>>()
            };
            product(self) == product(Self::Plain(order))
        })
    }

    fn product(
        self,
        isa: Isa,
        left: Windows,
        right: (&Bf16Panels, &Buffer),
        out: Output,
        how: (usize, Epilogue),
    ) {
        let stride = out.stride;
        Rounded::blocks(isa, left, self == Self::Tiles, |first, rows| {
            let out = Output {
                data: &mut out.data[first * stride..],
                stride,
            };
            self.block(isa, rows, right, out, how);
        });
    }

    /// The product of rounded rows.
    fn block(
        self,
        isa: Isa,
        left: Windows<u16>,
        (panels, bias): (&Bf16Panels, &Buffer),
        out: Output,
        (outputs, epilogue): (usize, Epilogue),
    ) {
        let job = Job {
            left,
            right: panels.words(),
            depth: panels.k.next_multiple_of(DEPTH) / 2,
            bias,
            out,
            outputs,
            epilogue,
        };
        self.run(isa, job);
    }

    fn run(self, isa: Isa, job: Job) {
        match self {
            Self::Tiles => tiles::sweep(isa, job),
            Self::Dots => isa.run(dot::Dots(job)),
            Self::Plain(order) => isa.run(plain::Plain(job, order)),
        }
    }
}

/// A right operand in panels, of as many inputs as the left one, see the head of this file.
pub(crate) struct Right<'a> {
    pub words: &'a [u32],
    /// Columns.
    pub outputs: usize,
    pub order: Order,
}

/// `out: [left rows, outputs] = epilogue(left · right)` for rows in bf16, a multiple of
/// [`DEPTH`] long; there is memory behind them for reading a whole tile from the last one.
pub(crate) fn product_of_rounded(
    isa: Isa,
    left: Windows<u16>,
    right: Right,
    out: Output,
    epilogue: Epilogue,
) {
    let depth = left.runs * left.run_len / 2;
    let job = Job {
        left,
        right: right.words.as_chunks().0,
        depth,
        bias: &[],
        out,
        outputs: right.outputs,
        epilogue,
    };
    Unit::of(isa, right.order).run(isa, job);
}

/// `out: [left rows, outputs] = epilogue(left · panels + bias)`.
pub(super) fn product(
    isa: Isa,
    left: Windows,
    right: (&Bf16Panels, &Buffer),
    out: Output,
    how: (usize, Epilogue),
) {
    Unit::of(isa, right.0.order).product(isa, left, right, out, how);
}

/// The same for windows into an image that is rounded and that tiles can read
/// ([`Windows::in_place`]); there is memory behind it for reading a whole tile from the last one.
pub(super) fn product_in_place(
    isa: Isa,
    left: Windows<u16>,
    right: (&Bf16Panels, &Buffer),
    out: Output,
    how: (usize, Epilogue),
) {
    let unit = Unit::of(isa, right.0.order);
    let (rows, stride) = (left::windows_of_block(&left), out.stride);
    for first in (0..left.count).step_by(rows) {
        let some = left.skip(first, rows.min(left.count - first));
        let out = Output {
            data: &mut out.data[first * stride..],
            stride,
        };
        unit.block(isa, some, right, out, how);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::gemm::PackedWeight;
    use crate::nn::testing::{assert_close, same_on_every_isa, wave};

    fn rounded(x: &[f32]) -> Vec<f32> {
        let round = |&x: &f32| f32::from_bits(u32::from(round(x)) << 16);
        x.iter().map(round).collect()
    }

    /// The product of rounded operands in f64.
    fn formula(a: &[f32], w: &[f32], bias: &[f32], k: usize) -> Vec<f64> {
        let (a, w) = (rounded(a), rounded(w));
        let dot = |a: &[f32], w: &[f32]| -> f64 {
            let products = a.iter().zip(w);
            products.map(|(a, w)| f64::from(*a) * f64::from(*w)).sum()
        };
        let row = |a: &[f32]| -> Vec<f64> {
            let columns = w.chunks(k).zip(bias);
            columns.map(|(w, b)| dot(a, w) + f64::from(*b)).collect()
        };
        a.chunks(k).flat_map(row).collect()
    }

    /// Units and f32 operations give the same bits in either order: `same_on_every_isa` goes
    /// through all levels. With the odd input after the even one, or blocks of 16 inputs, the
    /// levels were seen to differ.
    #[test]
    fn both_orders_follow_the_formula_on_every_level() {
        for order in [Order::Tile, Order::Pair] {
            for m in [1, 4, 15, 16, 17, 31, 33, 70] {
                for (n, k) in [(16, 32), (33, 100), (50, 1), (7, 64), (128, 1152)] {
                    let (a, w, bias) = (wave(m * k, 1.0), wave(n * k, 1.5), wave(n, 0.5));
                    let weight = PackedWeight::new(&w, &bias, n, k).in_bf16(order);
                    let got = same_on_every_isa(|isa| {
                        let mut out = vec![f32::NAN; m * n];
                        weight.apply(isa, Windows::rows(&a, k), &mut out, Epilogue::Store);
                        out
                    });
                    assert_close(&got, &formula(&a, &w, &bias, k), 2e-6);
                    assert_eq!(weight.unpack(), rounded(&w));
                }
            }
        }
    }

    #[test]
    fn units_of_this_processor_are_proven_at_their_first_use() {
        let isa = Isa::best();
        for (order, unit, there) in [
            (Order::Tile, Unit::Tiles, isa.has_tiles()),
            (Order::Pair, Unit::Dots, isa.has_dots()),
        ] {
            assert_eq!(Unit::of(Isa::PLAIN, order), Unit::Plain(order));
            assert!(!there || unit.keeps(isa, order), "{unit:?}");
        }
    }

    #[test]
    fn a_row_does_not_depend_on_the_others() {
        let (m, n, k) = (300, 40, 704);
        let (a, w) = (wave(m * k, 1.0), wave(n * k, 1.0));
        for order in [Order::Tile, Order::Pair] {
            let weight = PackedWeight::new(&w, &[], n, k).in_bf16(order);
            let apply = |rows: &[f32]| {
                let mut out = vec![0.0; rows.len() / k * n];
                weight.apply(
                    Isa::best(),
                    Windows::rows(rows, k),
                    &mut out,
                    Epilogue::Store,
                );
                out
            };
            let all = apply(&a);
            for (row, want) in a.chunks(k).zip(all.chunks(n)) {
                assert_eq!(apply(row), want);
            }
            let mut broken = a.clone();
            broken[k] = f32::NAN;
            let after = apply(&broken);
            assert_eq!(after[..n], all[..n]);
            assert_eq!(after[2 * n..], all[2 * n..]);
        }
    }

    #[test]
    fn epilogues_see_the_product() {
        let (m, n, k) = (37, 37, 40);
        let (a, w, bias) = (wave(m * k, 1.0), wave(n * k, 1.0), wave(n, 1.0));
        let (gate, old) = (wave(n, 2.0), wave(m * n, 3.0));
        for order in [Order::Tile, Order::Pair] {
            let weight = PackedWeight::new(&w, &bias, n, k).in_bf16(order);
            let apply = |epilogue| {
                same_on_every_isa(|isa| {
                    let mut out = old.clone();
                    weight.apply(isa, Windows::rows(&a, k), &mut out, epilogue);
                    out
                })
            };
            let y = apply(Epilogue::Store);
            let added = apply(Epilogue::Add);
            let gated = apply(Epilogue::AddGated(&gate));
            for i in 0..m * n {
                assert_eq!(added[i], old[i] + y[i]);
                assert_eq!(gated[i], gate[i % n].mul_add(y[i], old[i]));
            }
        }
    }
}
