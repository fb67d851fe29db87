//! Paired bf16 products, and rounding to bf16 (AVX512_BF16).

use crate::nn::lanes::{Lanes, PANEL};

/// For every lane: `sum += a's odd half * words' odd half`, then the same of the even halves.
/// Only to be reached from [`super::Kernel::run_dots`].
#[inline(always)]
#[cfg(target_arch = "x86_64")]
pub(crate) fn dot(a: u32, words: &[u32; PANEL], sum: Lanes) -> Lanes {
    use std::arch::x86_64::*;
    // SAFETY: the arrays are 64 bytes long, and the caller runs where AVX512_BF16 was found.
    unsafe {
        let left = _mm512_set1_epi32(a.cast_signed());
        let right = _mm512_loadu_si512(words.as_ptr().cast());
        let total = _mm512_loadu_ps(sum.as_ptr());
        let halves = |x: __m512i| std::mem::transmute::<__m512i, __m512bh>(x);
        let (left, right) = (halves(left), halves(right));
        std::mem::transmute::<__m512, Lanes>(_mm512_dpbf16_ps(total, left, right))
    }
}

/// See the other one.
#[cfg(not(target_arch = "x86_64"))]
pub(crate) fn dot(_: u32, _: &[u32; PANEL], _: Lanes) -> Lanes {
    unreachable!("paired products are asked for where the processor has them")
}

/// The nearest bf16 of every lane, ties to even; numbers below 1.2e-38 become zero. Only to be
/// reached from [`super::Kernel::run_dots`].
#[inline(always)]
#[cfg(target_arch = "x86_64")]
pub(crate) fn narrow(x: &Lanes) -> [u16; PANEL] {
    use std::arch::x86_64::*;
    // SAFETY: the array is 64 bytes long, and the caller runs where AVX512_BF16 was found.
    unsafe {
        let rounded = _mm512_cvtneps_pbh(_mm512_loadu_ps(x.as_ptr()));
        std::mem::transmute::<__m256bh, [u16; PANEL]>(rounded)
    }
}

/// See the other one.
#[cfg(not(target_arch = "x86_64"))]
pub(crate) fn narrow(_: &Lanes) -> [u16; PANEL] {
    unreachable!("the unit is asked for where the processor has it")
}
