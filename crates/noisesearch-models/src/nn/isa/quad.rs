//! Products of four int8 numbers (AVX512_VNNI), and of pairs of 16-bit numbers (AVX2).

use crate::nn::lanes::PANEL;

/// Four int8 numbers of each of 16 columns, on a cache line.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
pub(crate) struct Words(pub [u32; PANEL]);

/// For every column: `sum + a · words`, of four numbers each; those of `a` have no sign. Only to be
/// reached from [`super::Kernel::run_quads`].
#[inline(always)]
#[cfg(target_arch = "x86_64")]
pub(crate) fn quads(a: u32, words: &Words, sum: [i32; PANEL]) -> [i32; PANEL] {
    use std::arch::x86_64::*;
    // SAFETY: the arrays are 64 bytes long, and the caller runs where AVX512_VNNI was found.
    unsafe {
        let left = _mm512_set1_epi32(a.cast_signed());
        let right = _mm512_load_si512(words.0.as_ptr().cast());
        let total = _mm512_loadu_si512(sum.as_ptr().cast());
        std::mem::transmute(_mm512_dpbusd_epi32(total, left, right))
    }
}

/// For every column: `sum + a · words`, of four numbers each. Only to be reached where
/// [`super::Isa::has_pairs`].
#[inline(always)]
#[cfg(target_arch = "x86_64")]
pub(crate) fn pairs(a: u32, words: &Words, sum: [i32; PANEL]) -> [i32; PANEL] {
    use std::arch::x86_64::*;
    // SAFETY: the arrays are twice 32 bytes long, and the caller runs where AVX2 was found.
    unsafe {
        // Numbers 0 and 2, then 1 and 3 of every word, as 16 bits.
        let even = |x| _mm256_srai_epi16::<8>(_mm256_slli_epi16::<8>(x));
        let odd = |x| _mm256_srai_epi16::<8>(x);
        let left = _mm256_set1_epi32(a.cast_signed());
        let mut totals: [__m256i; 2] = std::mem::transmute(sum);
        for (i, total) in totals.iter_mut().enumerate() {
            let right = _mm256_load_si256(words.0[8 * i..].as_ptr().cast());
            let evens = _mm256_madd_epi16(even(left), even(right));
            let odds = _mm256_madd_epi16(odd(left), odd(right));
            *total = _mm256_add_epi32(*total, _mm256_add_epi32(evens, odds));
        }
        std::mem::transmute(totals)
    }
}

/// See the other one.
#[cfg(not(target_arch = "x86_64"))]
pub(crate) fn quads(_: u32, _: &Words, _: [i32; PANEL]) -> [i32; PANEL] {
    unreachable!("products of four are asked for where the processor has them")
}

/// See the other one.
#[cfg(not(target_arch = "x86_64"))]
pub(crate) fn pairs(_: u32, _: &Words, _: [i32; PANEL]) -> [i32; PANEL] {
    unreachable!("products in pairs are asked for where the processor has them")
}
