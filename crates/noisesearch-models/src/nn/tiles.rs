//! The loop over matrix tiles (Intel AMX) that products in bf16 and in int8 share: 2 by 2 tiles of
//! 16 rows and 16 columns.

use super::isa::{Isa, Kernel, Tiles as Unit};
use super::lanes::{Lanes, PANEL};
use super::windows::Windows;

/// Rows of a tile.
pub(crate) const TILE: usize = 16;

/// A product that is made of tiles.
pub(super) trait Tiled {
    /// That of the left operand's rows.
    type Number: Copy;
    /// A line of 16 columns of the right one's.
    type Words;
    /// Numbers of a row that a tile takes at a time.
    const DEPTH: usize;

    /// Rows whose stretches are multiples of the depth long, and memory behind them for reading a
    /// whole tile from the last one.
    fn left(&self) -> Windows<'_, Self::Number>;

    /// Panels of 16 columns.
    fn panels(&self) -> usize;

    /// The words of a panel, 16 lines of them for every depth.
    fn words(&self, panel: usize) -> &[Self::Words];

    /// What all sums of a panel begin with; none if an earlier part of the inputs left sums where
    /// results go.
    fn first(&self, panel: usize) -> Option<&Lanes>;

    /// The sums that were left of rows from `row` on, at most 16.
    fn left_over(&self, row: usize, panel: usize, sums: &mut [Lanes; TILE]);

    /// Result `2 m + q` gains the product of rows `m`, `step` apart, and of words `q`.
    fn multiply<const M: usize, const Q: usize>(
        unit: &Unit,
        rows: [&[Self::Number]; M],
        step: usize,
        words: [&[Self::Words]; Q],
    );

    /// Where the whole tile from `row` on of a panel goes if nothing is to be done with it, and the
    /// distance of rows there.
    fn place(&mut self, row: usize, panel: usize) -> Option<(&mut [f32], usize)>;

    /// Takes results of at most 16 rows from `row` on.
    fn finish(&mut self, row: usize, panel: usize, results: &[Lanes]);
}

/// Makes a product on a processor that has the unit.
pub(super) fn sweep(isa: Isa, product: impl Tiled) {
    isa.run(Sweep {
        product,
        isa,
        waiting: [[[0.0; PANEL]; TILE]; 4],
    });
}

struct Sweep<P> {
    product: P,
    isa: Isa,
    /// Results that something is to be done with. All four tiles are written before the first is
    /// read, which would wait until it has reached the cache.
    waiting: [[Lanes; TILE]; 4],
}

impl<P: Tiled> Kernel for Sweep<P> {
    type Output = ();

    fn run(self) {
        unreachable!("tiles are asked for where the processor has them")
    }

    #[inline(always)]
    fn run_wide(mut self) {
        let unit = Unit::open(self.isa);
        let panels = self.product.panels();
        for panel in (0..panels - panels % 2).step_by(2) {
            self.panels::<2>(&unit, panel);
        }
        if panels % 2 == 1 {
            self.panels::<1>(&unit, panels - 1);
        }
    }
}

impl<P: Tiled> Sweep<P> {
    #[inline(always)]
    fn panels<const Q: usize>(&mut self, unit: &Unit, panel: usize) {
        let (mut row, count) = (0, self.product.left().count);
        while row < count {
            if count - row > TILE {
                self.rows::<2, Q>(unit, row, panel);
                row += 2 * TILE;
            } else {
                self.rows::<1, Q>(unit, row, panel);
                row += TILE;
            }
        }
    }

    /// `M` tiles of rows by `Q` panels.
    #[inline(always)]
    fn rows<const M: usize, const Q: usize>(&mut self, unit: &Unit, row: usize, panel: usize) {
        let tiles =
            || (0..M).flat_map(|m| (0..Q).map(move |q| (2 * m + q, row + m * TILE, panel + q)));
        for (tile, row, panel) in tiles() {
            match self.product.first(panel) {
                Some(first) => unit.set(tile, first),
                None => self.go_on(unit, tile, [row, panel]),
            }
        }
        self.multiply::<M, Q>(unit, row, panel);
        for (tile, row, panel) in tiles() {
            match self.product.place(row, panel) {
                Some((out, stride)) => unit.get(tile, out, stride),
                None => unit.get(tile, self.waiting[tile].as_flattened_mut(), PANEL),
            }
        }
        let count = self.product.left().count;
        for (tile, row, panel) in tiles() {
            if self.product.place(row, panel).is_none() {
                let results = &self.waiting[tile][..TILE.min(count - row)];
                self.product.finish(row, panel, results);
            }
        }
    }

    /// Result `tile` becomes what an earlier part of the inputs left.
    #[inline(always)]
    fn go_on(&mut self, unit: &Unit, tile: usize, [row, panel]: [usize; 2]) {
        match self.product.place(row, panel) {
            Some((out, stride)) => unit.put(tile, out, stride),
            None => {
                let sums = &mut self.waiting[tile];
                self.product.left_over(row, panel, sums);
                unit.put(tile, sums.as_flattened(), PANEL);
            }
        }
    }

    #[inline(always)]
    fn multiply<const M: usize, const Q: usize>(&self, unit: &Unit, row: usize, panel: usize) {
        let left = self.product.left();
        let starts: [usize; M] = std::array::from_fn(|m| left.starts::<1>(row + m * TILE)[0]);
        let words: [&[P::Words]; Q] = std::array::from_fn(|q| self.product.words(panel + q));
        let mut at = 0;
        for run in 0..left.runs {
            for part in (0..left.run_len).step_by(P::DEPTH) {
                let rows = starts.map(|start| &left.data[start + run * left.run_step + part..]);
                let words = words.map(|words| &words[at..][..PANEL]);
                P::multiply(unit, rows, left.step, words);
                at += PANEL;
            }
        }
    }
}
