//! Panels of a weight in bf16: half the memory, widened to f32 as they are used.

use super::buffer::Buffer;
use super::isa::{Isa, Kernel};
use super::lanes::PANEL;
use half::bf16;
use half::slice::HalfFloatSliceExt;

/// Floats that are widened at a time: half of a 1 MiB second-level cache.
const WIDE_FLOATS: usize = 128 * 1024;

/// Panels `[k][16]` side by side, as the bits of bf16.
#[derive(Debug)]
pub(super) struct HalfPanels(Vec<bf16>);

impl HalfPanels {
    /// Rounds panels to nearest, ties to even.
    pub fn new(panels: &[f32]) -> Self {
        let mut halves = vec![bf16::ZERO; panels.len()];
        halves.convert_from_f32_slice(panels);
        Self(halves)
    }

    /// Calls `work` with some panels of `k` rows after the other and the column where they start.
    pub fn each(&self, isa: Isa, k: usize, mut work: impl FnMut(usize, &[f32])) {
        let panel = (k * PANEL).max(1);
        // An even number, because the widest tiles take two panels.
        let some = (WIDE_FLOATS / panel / 2 * 2).max(2);
        let mut wide = Buffer::zeros((some * panel).min(self.0.len()));
        for (i, halves) in self.0.chunks(some * panel).enumerate() {
            let wide = &mut wide[..halves.len()];
            isa.run(Widen { halves, wide });
            work(i * some * PANEL, wide);
        }
    }
}

struct Widen<'a> {
    halves: &'a [bf16],
    wide: &'a mut [f32],
}

impl Kernel for Widen<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        for (wide, half) in self.wide.iter_mut().zip(self.halves) {
            *wide = f32::from_bits(u32::from(half.to_bits()) << 16);
        }
    }
}
