//! The loop over matrix tiles (Intel AMX) that products in bf16 and in int8 share: 2 by 2 tiles of
//! 16 rows and 16 columns.

mod left;

use super::isa::{Isa, Kernel, Tiles as Unit, prefetch_far};
use super::lanes::{Lanes, PANEL};
use super::windows::Windows;
pub(super) use left::{Convert, Packed};
use std::cell::RefCell;
use std::ops::Range;

/// Rows of a tile.
pub(crate) const TILE: usize = 16;

/// Rows of a block at least, if there are as many: all of the weight is read for each block.
pub(super) const ROWS: usize = 256;

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

    /// What all sums of a panel begin with; none for zeros.
    fn first(&self, panel: usize) -> Option<&Lanes>;

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

/// Steps, each the depth of a tile, up to which inputs are summed up in one go: sums that wait for
/// the next part come and go, and without parts results are written once.
const WHOLE: usize = 16;
/// Steps of a part at most. Those of two panels and of two tiles of rows are 16 KiB each and stay
/// in the first-level cache, of which rows come from the second.
const STEPS: usize = 8;
/// Panels of a block if there are several parts: the sums of its rows, which wait for the next
/// part, are 512 KiB if the rows are 256.
const COLUMNS: usize = 32;

/// Sums of two tiles of rows by two panels.
#[repr(C, align(64))]
#[derive(Clone, Copy)]
struct Sums([[Lanes; TILE]; 4]);

thread_local! {
    static WAITING: RefCell<Vec<Sums>> = RefCell::default();
}

/// Makes a product on a processor that has the unit.
pub(super) fn sweep(isa: Isa, product: impl Tiled) {
    WAITING.with_borrow_mut(|waiting| {
        isa.run(Sweep {
            product,
            isa,
            waiting,
        })
    });
}

struct Sweep<'a, P> {
    product: P,
    isa: Isa,
    /// Sums before the last part, and results that something is to be done with. All four tiles
    /// are written before the first is read, which would wait until it has reached the cache.
    waiting: &'a mut Vec<Sums>,
}

/// Some panels and some steps.
#[derive(Clone)]
struct Part {
    columns: Range<usize>,
    steps: Range<usize>,
    /// Whether it is not of all steps.
    cut: bool,
}

impl<P: Tiled> Kernel for Sweep<'_, P> {
    type Output = ();

    fn run(self) {
        unreachable!("tiles are asked for where the processor has them")
    }

    #[inline(always)]
    fn run_wide(mut self) {
        let unit = Unit::open(self.isa);
        let (panels, steps) = (self.product.panels(), self.steps());
        // Windows that overlap stay in the first-level cache anyway.
        let left = self.product.left();
        let cut = steps > WHOLE && left.run_len <= left.step;
        let (columns, some, pairs) = match cut {
            true => (
                COLUMNS,
                steps.div_ceil(steps.div_ceil(STEPS)),
                COLUMNS / 2 * self.groups(),
            ),
            false => (panels.max(1), steps.max(1), 1),
        };
        if self.waiting.len() < pairs {
            self.waiting.resize(pairs, Sums([[[0.0; PANEL]; TILE]; 4]));
        }
        for panel in (0..panels).step_by(columns) {
            for step in (0..steps.max(1)).step_by(some) {
                let part = Part {
                    columns: panel..(panel + columns).min(panels),
                    steps: step..(step + some).min(steps),
                    cut,
                };
                self.part(&unit, &part);
            }
        }
    }
}

impl<P: Tiled> Sweep<'_, P> {
    /// Depths of a tile in a row.
    #[inline(always)]
    fn steps(&self) -> usize {
        let left = self.product.left();
        left.runs * left.run_len / P::DEPTH
    }

    /// Pairs of tiles of rows.
    #[inline(always)]
    fn groups(&self) -> usize {
        self.product.left().count.div_ceil(2 * TILE)
    }

    #[inline(always)]
    fn part(&mut self, unit: &Unit, part: &Part) {
        for panel in part.columns.clone().step_by(2) {
            for group in 0..self.groups() {
                let two_panels = panel + 1 < part.columns.end;
                let two_tiles = self.product.left().count - 2 * TILE * group > TILE;
                match (two_tiles, two_panels) {
                    (true, true) => self.tiles::<2, 2>(unit, group, panel, part),
                    (true, false) => self.tiles::<2, 1>(unit, group, panel, part),
                    (false, true) => self.tiles::<1, 2>(unit, group, panel, part),
                    (false, false) => self.tiles::<1, 1>(unit, group, panel, part),
                }
            }
        }
    }

    /// `M` tiles of rows by `Q` panels.
    #[inline(always)]
    fn tiles<const M: usize, const Q: usize>(
        &mut self,
        unit: &Unit,
        group: usize,
        panel: usize,
        part: &Part,
    ) {
        let row = 2 * TILE * group;
        let tiles =
            || (0..M).flat_map(|m| (0..Q).map(move |q| (2 * m + q, row + m * TILE, panel + q)));
        let waiting = match part.cut {
            true => (panel - part.columns.start) / 2 * self.groups() + group,
            false => 0,
        };
        for (tile, _, panel) in tiles() {
            match (part.steps.start, self.product.first(panel)) {
                (0, None) => unit.zero(tile),
                (0, Some(first)) => unit.set(tile, first),
                _ => unit.put(tile, self.waiting[waiting].0[tile].as_flattened(), PANEL),
            }
        }
        self.multiply::<M, Q>(unit, group, panel, part);
        let last = part.steps.end == self.steps();
        for (tile, row, panel) in tiles() {
            match self.product.place(row, panel) {
                Some((out, stride)) if last => unit.get(tile, out, stride),
                _ => {
                    let waiting = &mut self.waiting[waiting].0[tile];
                    unit.get(tile, waiting.as_flattened_mut(), PANEL);
                }
            }
        }
        let count = self.product.left().count;
        for (tile, row, panel) in tiles().filter(|_| last) {
            if self.product.place(row, panel).is_none() {
                let results = &self.waiting[waiting].0[tile][..TILE.min(count - row)];
                self.product.finish(row, panel, results);
            }
        }
    }

    #[inline(always)]
    fn multiply<const M: usize, const Q: usize>(
        &self,
        unit: &Unit,
        group: usize,
        panel: usize,
        part: &Part,
    ) {
        let left = self.product.left();
        let starts: [usize; M] =
            std::array::from_fn(|m| left.starts::<1>((2 * group + m) * TILE)[0]);
        let words: [&[P::Words]; Q] = std::array::from_fn(|q| self.words(panel + q, part));
        let of_run = (left.run_len / P::DEPTH).max(1);
        let (mut run, mut inside) = (part.steps.start / of_run, part.steps.start % of_run);
        for step in 0..part.steps.len() {
            if part.cut {
                self.ask_for_words(panel + 2, group * part.steps.len() + step, part);
            }
            let from = run * left.run_step + inside * P::DEPTH;
            let rows = starts.map(|start| &left.data[start + from..]);
            let words = words.map(|words| &words[step * PANEL..][..PANEL]);
            P::multiply(unit, rows, left.step, words);
            inside += 1;
            if inside == of_run {
                (run, inside) = (run + 1, 0);
            }
        }
    }

    /// The words of a panel at these steps.
    #[inline(always)]
    fn words(&self, panel: usize, part: &Part) -> &[P::Words] {
        &self.product.words(panel)[part.steps.start * PANEL..part.steps.end * PANEL]
    }

    /// Brings share `turn` of the words of a panel and of its neighbour into the second-level
    /// cache. All of them come while two panels before are used: left to the processor alone,
    /// products of weights that lie in memory took 8 to 15 % longer.
    #[inline(always)]
    fn ask_for_words(&self, panel: usize, turn: usize, part: &Part) {
        let (share, lines) = (
            (2 * PANEL).div_ceil(self.groups()),
            part.steps.len() * PANEL,
        );
        for line in turn * share..(turn + 1) * share {
            let panel = panel + line / lines;
            if panel < part.columns.end {
                prefetch_far(self.words(panel, part), line % lines);
            }
        }
    }
}
