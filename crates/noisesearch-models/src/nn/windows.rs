//! Windows into a sequence or an image, the rows of a product's left operand.

use super::int8::Largest;
use super::tiles::TILE;

/// Rows of a block when `count` are cut into blocks of about `usual`, up to half as many again: a
/// last block of a few rows would read all of the weight for them. A multiple of `of`.
pub(super) fn rows_of_block(count: usize, usual: usize, of: usize) -> usize {
    let blocks = ((count + usual / 2) / usual.max(1)).max(1);
    count.div_ceil(blocks).max(1).next_multiple_of(of)
}

/// The rows of a left operand, each made of `runs` stretches of `run_len` adjoining numbers.
///
/// Row `i` is window `(i / width, i % width)` of an image; its run `r` starts at
/// `i / width * line_step + i % width * step + r * run_step`.
#[derive(Clone, Copy, Debug)]
pub struct Windows<'a, T = f32> {
    /// The numbers that the windows look at.
    pub data: &'a [T],
    /// Windows in all.
    pub count: usize,
    /// Windows side by side.
    pub width: usize,
    /// Distance between neighbours.
    pub step: usize,
    /// Distance between lines of windows.
    pub line_step: usize,
    /// Stretches a window.
    pub runs: usize,
    /// Numbers in a stretch.
    pub run_len: usize,
    /// Distance between stretches.
    pub run_step: usize,
    /// That of a whole image, for windows into a part or all of it: products in int8 then have one
    /// scale for all of them. Without it every row has a scale of its own.
    pub largest: Option<Largest>,
}

impl<'a, T> Windows<'a, T> {
    /// Plain rows: all of `data: [rows, k]`.
    pub fn rows(data: &'a [T], k: usize) -> Self {
        Self::strided(data, data.len() / k, k, k)
    }

    /// Rows of length `k`, `stride` apart.
    pub fn strided(data: &'a [T], count: usize, k: usize, stride: usize) -> Self {
        let (step, width) = (stride, count.max(1));
        Self {
            data,
            count,
            width,
            step,
            line_step: 0,
            runs: 1,
            run_len: k,
            run_step: 0,
            largest: None,
        }
    }

    /// Starts of `R` windows from `first` on.
    #[inline(always)]
    pub(crate) fn starts<const R: usize>(&self, first: usize) -> [usize; R] {
        let (mut line, mut column) = (first / self.width, first % self.width);
        let mut starts = [0; R];
        for start in &mut starts {
            *start = line * self.line_step + column * self.step;
            column += 1;
            if column == self.width {
                (line, column) = (line + 1, 0);
            }
        }
        starts
    }

    /// `count` of the windows, from `first` on, which starts a line of windows or is in the only
    /// one.
    pub(crate) fn skip(&self, first: usize, count: usize) -> Self
    where
        T: Copy,
    {
        let [start] = self.starts::<1>(first);
        let data = &self.data[start.min(self.data.len())..];
        Self {
            data,
            count,
            ..*self
        }
    }

    /// Whether tiles of `depth` inputs can read these windows where they lie: every stretch is
    /// whole tiles, and an image's line of windows starts a tile.
    pub(super) fn in_place(&self, depth: usize) -> bool {
        self.run_len.is_multiple_of(depth)
            && (self.width >= self.count || self.width.is_multiple_of(TILE))
    }

    /// Lines of windows in a block that looks at about `numbers` of an image. Two blocks both read
    /// the lines that lie under windows of both, so few lines a block are read several times.
    pub(super) fn lines_of_block(&self, numbers: usize) -> usize {
        let shared = self.runs.saturating_sub(1) * self.run_step;
        let usual = numbers.saturating_sub(shared) / self.line_step.max(1);
        rows_of_block(self.count.div_ceil(self.width), usual.max(1), 1)
    }

    /// Numbers from the first window's first one to the last window's last one.
    pub(crate) fn span(&self) -> usize {
        let inside = self.runs.saturating_sub(1) * self.run_step + self.run_len;
        match self.count {
            0 => 0,
            count => self.starts::<1>(count - 1)[0] + inside,
        }
    }

    /// The same windows into other numbers.
    pub(crate) fn over<'b, U>(&self, data: &'b [U]) -> Windows<'b, U> {
        Windows {
            data,
            count: self.count,
            width: self.width,
            step: self.step,
            line_step: self.line_step,
            runs: self.runs,
            run_len: self.run_len,
            run_step: self.run_step,
            largest: self.largest,
        }
    }
}
