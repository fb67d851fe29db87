//! The left operand of a product: plain rows and the windows of a convolution alike.

/// The rows of a left operand, each made of `runs` stretches of `run_len` adjoining floats.
///
/// Row `i` is window `(i / width, i % width)` of an image; its run `r` starts at
/// `i / width * line_step + i % width * step + r * run_step`.
#[derive(Clone, Copy, Debug)]
pub struct Windows<'a> {
    /// The floats that the windows look at.
    pub data: &'a [f32],
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
    /// Floats in a stretch.
    pub run_len: usize,
    /// Distance between stretches.
    pub run_step: usize,
}

impl<'a> Windows<'a> {
    /// Plain rows: all of `data: [rows, k]`.
    pub fn rows(data: &'a [f32], k: usize) -> Self {
        Self::strided(data, data.len() / k, k, k)
    }

    /// Rows of length `k`, `stride` apart.
    pub fn strided(data: &'a [f32], count: usize, k: usize, stride: usize) -> Self {
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
        }
    }

    /// Starts of `R` windows from `first` on.
    #[inline(always)]
    pub(super) fn starts<const R: usize>(&self, first: usize) -> [usize; R] {
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
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::gemm::{Epilogue, PackedWeight};
    use crate::nn::testing::{same_on_every_isa, wave};

    /// Parts of k give the bits of one sum in increasing k, also where runs end inside a part.
    #[test]
    fn parts_of_k_do_not_change_a_bit() {
        let (m, n, runs, run_len) = (9, 21, 3, 400);
        let k = runs * run_len;
        let (a, w, bias) = (wave(m * k, 1.0), wave(n * k, 1.0), wave(n, 1.0));
        let packed = PackedWeight::new(&w, &bias, n, k);
        let left = Windows {
            runs,
            run_len,
            run_step: run_len,
            ..Windows::rows(&a, k)
        };
        let got = same_on_every_isa(|isa| {
            let mut out = vec![f32::NAN; m * n];
            packed.apply(isa, left, &mut out, Epilogue::Store);
            out
        });
        for (i, &got) in got.iter().enumerate() {
            let (row, column) = (&a[i / n * k..][..k], &w[i % n * k..][..k]);
            let terms = row.iter().zip(column);
            let want = terms.fold(bias[i % n], |sum, (a, w)| a.mul_add(*w, sum));
            assert_eq!(got, want, "element {i}");
        }
    }
}
