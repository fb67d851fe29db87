//! A processor's limit: multiply-adds of registers alone, in each number format. Benchmarks show
//! shares of it.

use super::isa::{Isa, Kernel, Words, dot, quads};
use super::lanes::{Lanes, PANEL};
use std::hint::black_box;

/// Steps a chain and call.
const STEPS: usize = 4096;
/// Independent chains of multiply-adds in f32, enough to fill the pipelines. The compiler was seen
/// to keep 5 and 10 of them in registers, and not 8 or 12.
const WIDE: usize = 10;
/// The same of shorter formats, whose units take longer.
const SHORT: usize = 20;

/// A number format whose unit is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// f32.
    F32,
    /// Paired products in bf16.
    Bf16,
    /// Products of four int8 numbers.
    Int8,
}

impl Format {
    /// All.
    pub const ALL: [Self; 3] = [Self::F32, Self::Bf16, Self::Int8];

    /// Operations of a call of [`Self::work`], a multiply-add being two.
    pub fn operations(self) -> f64 {
        let multiply_adds = match self {
            Self::F32 => WIDE,
            Self::Bf16 => 2 * SHORT,
            Self::Int8 => 4 * SHORT,
        };
        (2 * multiply_adds * PANEL * STEPS) as f64
    }

    /// Whether `isa` multiplies in this format by the unit that is measured here: not where it has
    /// none, nor where matrix tiles are faster.
    pub fn measured(self, isa: Isa) -> bool {
        match self {
            Self::F32 => true,
            Self::Bf16 => isa.has_dots() && !isa.has_tiles(),
            Self::Int8 => isa.has_quads() && !isa.has_tiles(),
        }
    }

    /// Does the operations on one core.
    ///
    /// # Panics
    /// If the format is not [`Self::measured`].
    pub fn work(self, isa: Isa) {
        assert!(self.measured(isa), "{self:?} has no unit at {isa:?}");
        match self {
            Self::F32 => keep(isa, Wide([[1.0; PANEL]; WIDE])),
            Self::Bf16 => keep(isa, Pairs([[1.0; PANEL]; SHORT])),
            Self::Int8 => keep(isa, Fours([[1; PANEL]; SHORT])),
        }
    }
}

/// Runs a kernel that the compiler must not leave out.
fn keep<K: Kernel>(isa: Isa, kernel: K) {
    black_box(isa.run(black_box(kernel)));
}

struct Wide([Lanes; WIDE]);

#[inline(always)]
fn advance<const N: usize>(mut chains: [Lanes; N]) -> [Lanes; N] {
    for _ in 0..STEPS {
        for chain in &mut chains {
            for x in chain {
                *x = x.mul_add(0.999_9, 0.000_1);
            }
        }
    }
    chains
}

impl Kernel for Wide {
    type Output = [Lanes; WIDE];

    /// Five chains at a time fit 16 registers of 8 floats.
    #[inline(always)]
    fn run(self) -> Self::Output {
        let mut chains = self.0;
        for half in chains.as_chunks_mut::<{ WIDE / 2 }>().0 {
            *half = advance(*half);
        }
        chains
    }

    #[inline(always)]
    fn run_wide(self) -> Self::Output {
        advance(self.0)
    }
}

struct Pairs([Lanes; SHORT]);

impl Kernel for Pairs {
    type Output = [Lanes; SHORT];

    fn run(self) -> Self::Output {
        unreachable!("paired products are asked for where the processor has them")
    }

    #[inline(always)]
    fn run_dots(self) -> Self::Output {
        let (mut chains, a, words) = (self.0, black_box(0x3f80), black_box([0x3f80; PANEL]));
        for _ in 0..STEPS {
            for chain in &mut chains {
                *chain = dot(a, &words, *chain);
            }
        }
        chains
    }
}

struct Fours([[i32; PANEL]; SHORT]);

impl Kernel for Fours {
    type Output = [[i32; PANEL]; SHORT];

    fn run(self) -> Self::Output {
        unreachable!("products of four are asked for where the processor has them")
    }

    #[inline(always)]
    fn run_quads(self) -> Self::Output {
        let (mut chains, a, words) = (self.0, black_box(1), black_box(Words([1; PANEL])));
        for _ in 0..STEPS {
            for chain in &mut chains {
                *chain = quads(a, &words, *chain);
            }
        }
        chains
    }
}
