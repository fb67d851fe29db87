//! Run-time choice of instruction set, without a change of result.
//!
//! A [`Kernel`] is written once, in plain scalar Rust. [`Isa::run`] compiles it once for each
//! instruction level and calls the copy that this processor can run. Its arithmetic is made of
//! exactly rounded operations in a fixed order (`+ - * /`, `sqrt`, [`f32::mul_add`]), which the
//! compiler may widen but never reorder; so every copy gives the same bits.
//! This file and its folder are the only place of the crate with `unsafe` code.

mod amx;
mod dot;
mod fma;
mod quad;

pub(crate) use amx::Tiles;
pub(crate) use dot::{dot, narrow};
pub(crate) use fma::fma;
pub(crate) use quad::{Words, pairs, quads};
use std::sync::OnceLock;

static BEST: OnceLock<Isa> = OnceLock::new();

/// An instruction level that this processor has. Values exist only for such levels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Isa(Level);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Level {
    /// What every processor of the target has: SSE2 on x86-64, NEON on aarch64.
    Plain,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    #[cfg(target_arch = "x86_64")]
    Avx512,
    /// AVX-512 with products of four int8 numbers.
    #[cfg(target_arch = "x86_64")]
    Quads,
    /// Those and paired bf16 products.
    #[cfg(target_arch = "x86_64")]
    Dots,
    /// Those and matrix tiles.
    #[cfg(target_arch = "x86_64")]
    Tiles,
}

/// Arithmetic to be compiled for every instruction level.
pub trait Kernel {
    /// What it returns.
    type Output;
    /// Does the work. Implementations are `#[inline(always)]`, and so is everything hot that
    /// they call: code that is not inlined is compiled for the plain level.
    fn run(self) -> Self::Output;

    /// The same work in a shape for 32 vector registers of 16 floats, if that differs.
    #[inline(always)]
    fn run_wide(self) -> Self::Output
    where
        Self: Sized,
    {
        self.run()
    }

    /// The same work where products of four int8 numbers are there, too.
    #[inline(always)]
    fn run_quads(self) -> Self::Output
    where
        Self: Sized,
    {
        self.run_wide()
    }

    /// The same work where paired bf16 products are there, too.
    #[inline(always)]
    fn run_dots(self) -> Self::Output
    where
        Self: Sized,
    {
        self.run_quads()
    }
}

impl Isa {
    /// The level that every processor of the target has.
    pub const PLAIN: Self = Self(Level::Plain);

    /// The best level of this processor, detected once; or the preferred one.
    pub fn best() -> Self {
        *BEST.get_or_init(|| Self::available().pop().unwrap_or(Self::PLAIN))
    }

    /// Makes the level of this name the best one. To be called before anything is computed.
    ///
    /// # Errors
    /// The names of this processor's levels, if there is none of this name, or if another level is
    /// in use already.
    pub fn prefer(name: &str) -> Result<(), String> {
        let levels = Self::available();
        let found = levels.iter().find(|level| level.name() == name);
        match found.map(|&level| *BEST.get_or_init(|| level) == level) {
            Some(true) => Ok(()),
            _ => Err(levels
                .iter()
                .map(|l| l.name())
                .collect::<Vec<_>>()
                .join(", ")),
        }
    }

    /// `plain`, `avx2`, `avx512`, `avx512-vnni`, `avx512-bf16` or `amx`.
    pub fn name(self) -> &'static str {
        match self.0 {
            Level::Plain => "plain",
            #[cfg(target_arch = "x86_64")]
            Level::Avx2 => "avx2",
            #[cfg(target_arch = "x86_64")]
            Level::Avx512 => "avx512",
            #[cfg(target_arch = "x86_64")]
            Level::Quads => "avx512-vnni",
            #[cfg(target_arch = "x86_64")]
            Level::Dots => "avx512-bf16",
            #[cfg(target_arch = "x86_64")]
            Level::Tiles => "amx",
        }
    }

    /// Every level of this processor, the plain one first and the best one last.
    pub fn available() -> Vec<Self> {
        let levels = std::iter::once(Self::PLAIN);
        #[cfg(target_arch = "x86_64")]
        let levels = levels.chain(beyond_plain().map(Self));
        levels.collect()
    }

    /// Whether int8 is multiplied in pairs of 16-bit numbers, for want of anything better.
    pub(crate) fn has_pairs(self) -> bool {
        #[cfg(target_arch = "x86_64")]
        return matches!(self.0, Level::Avx2 | Level::Avx512);
        #[cfg(not(target_arch = "x86_64"))]
        return false;
    }

    /// Whether int8 is multiplied by products of four numbers.
    pub(crate) fn has_quads(self) -> bool {
        #[cfg(target_arch = "x86_64")]
        return matches!(self.0, Level::Quads | Level::Dots | Level::Tiles);
        #[cfg(not(target_arch = "x86_64"))]
        return false;
    }

    /// Whether bf16 is multiplied by paired products.
    pub(crate) fn has_dots(self) -> bool {
        #[cfg(target_arch = "x86_64")]
        return matches!(self.0, Level::Dots | Level::Tiles);
        #[cfg(not(target_arch = "x86_64"))]
        return false;
    }

    /// Whether bf16 and int8 are multiplied by matrix tiles.
    pub(crate) fn has_tiles(self) -> bool {
        #[cfg(target_arch = "x86_64")]
        return self.0 == Level::Tiles;
        #[cfg(not(target_arch = "x86_64"))]
        return false;
    }

    /// Runs `kernel` compiled for this level.
    pub fn run<K: Kernel>(self, kernel: K) -> K::Output {
        match self.0 {
            Level::Plain => kernel.run(),
            // SAFETY: this value was made by `available`, which found AVX2 and FMA.
            #[cfg(target_arch = "x86_64")]
            Level::Avx2 => unsafe { run_avx2(kernel) },
            // SAFETY: this value was made by `available`, which found AVX2, FMA and AVX-512F.
            #[cfg(target_arch = "x86_64")]
            Level::Avx512 => unsafe { run_avx512(kernel) },
            // SAFETY: `available` found all of AVX-512 that is named there, and AVX512_VNNI.
            #[cfg(target_arch = "x86_64")]
            Level::Quads => unsafe { run_quads(kernel) },
            // SAFETY: `available` found those, and AVX512_BF16.
            #[cfg(target_arch = "x86_64")]
            Level::Dots | Level::Tiles => unsafe { run_dots(kernel) },
        }
    }
}

/// The levels of this processor above the plain one, each with all below it.
#[cfg(target_arch = "x86_64")]
fn beyond_plain() -> impl Iterator<Item = Level> {
    use std::is_x86_feature_detected as has;
    let levels = [
        (Level::Avx2, has!("avx2") && has!("fma")),
        (Level::Avx512, has!("avx512f")),
        (Level::Quads, has!("avx512bw") && has!("avx512vnni")),
        (Level::Dots, has!("avx512bf16")),
        (Level::Tiles, amx::available()),
    ];
    let there = levels.into_iter().take_while(|(_, there)| *there);
    there.map(|(level, _)| level)
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn run_avx2<K: Kernel>(kernel: K) -> K::Output {
    kernel.run()
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma,avx512f")]
fn run_avx512<K: Kernel>(kernel: K) -> K::Output {
    kernel.run_wide()
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma,avx512f,avx512bw,avx512vnni")]
fn run_quads<K: Kernel>(kernel: K) -> K::Output {
    kernel.run_quads()
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma,avx512f,avx512bw,avx512vnni,avx512bf16")]
fn run_dots<K: Kernel>(kernel: K) -> K::Output {
    kernel.run_dots()
}

/// Asks for the cache line of the float `at` places after the start of `data`, which may lie
/// outside: it is a hint that reads nothing and changes no result.
#[inline(always)]
pub(crate) fn prefetch(data: &[f32], at: usize) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        let line = data.as_ptr().wrapping_add(at);
        // SAFETY: every processor of the target has the instruction, and it faults at no address.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(line.cast()) }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = (data, at);
}

/// The same into the second-level cache only.
#[inline(always)]
pub(crate) fn prefetch_far<T>(data: &[T], at: usize) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T1, _mm_prefetch};
        let line = data.as_ptr().wrapping_add(at);
        // SAFETY: every processor of the target has the instruction, and it faults at no address.
        unsafe { _mm_prefetch::<_MM_HINT_T1>(line.cast()) }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = (data, at);
}
