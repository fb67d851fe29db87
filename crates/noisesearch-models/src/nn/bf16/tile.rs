//! Products in bf16 by matrix tiles.

use super::{DEPTH, Job, Words};
use crate::nn::epilogue::Epilogue;
use crate::nn::gemm::Windows;
use crate::nn::isa::Tiles as Unit;
use crate::nn::lanes::{Lanes, PANEL};
use crate::nn::tiles::{TILE, Tiled};

impl Tiled for Job<'_> {
    type Number = u16;
    type Words = Words;
    const DEPTH: usize = DEPTH;

    #[inline(always)]
    fn left(&self) -> Windows<'_, u16> {
        self.left
    }

    #[inline(always)]
    fn panels(&self) -> usize {
        self.outputs.div_ceil(PANEL)
    }

    #[inline(always)]
    fn words(&self, panel: usize) -> &[Words] {
        self.panel(panel)
    }

    #[inline(always)]
    fn first(&self, panel: usize) -> Option<&Lanes> {
        (!self.bias.is_empty()).then(|| self.bias(panel))
    }

    #[inline(always)]
    fn multiply<const M: usize, const Q: usize>(
        unit: &Unit,
        rows: [&[u16]; M],
        step: usize,
        words: [&[Words]; Q],
    ) {
        unit.multiply(rows, step, words);
    }

    #[inline(always)]
    fn place(&mut self, row: usize, panel: usize) -> Option<(&mut [f32], usize)> {
        let whole = row + TILE <= self.left.count && (panel + 1) * PANEL <= self.outputs;
        let plain = match self.epilogue {
            // Activations follow as a pass of their own.
            Epilogue::Store | Epilogue::Silu | Epilogue::Gelu => true,
            Epilogue::Add | Epilogue::AddGated(_) => false,
        };
        let stride = self.out.stride;
        let at = row * stride + panel * PANEL;
        (whole && plain).then(|| (&mut self.out.data[at..], stride))
    }

    #[inline(always)]
    fn finish(&mut self, row: usize, panel: usize, results: &[Lanes]) {
        match <&[Lanes; TILE]>::try_from(results) {
            Ok(whole) => Job::finish(self, row, panel, whole),
            Err(_) => {
                for (m, result) in results.iter().enumerate() {
                    Job::finish(self, row + m, panel, &[*result]);
                }
            }
        }
    }
}
