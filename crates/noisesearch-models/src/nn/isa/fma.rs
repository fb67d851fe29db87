//! Products of sixteen floats at once (AVX-512F).

use crate::nn::lanes::{Lanes, PANEL};

/// For every lane `fma(a, b, sum)`, what a loop over [`f32::mul_add`] gives, bit for bit; in tiles
/// of many sums the compiler does not find the vectors in such a loop. Only to be reached from
/// [`super::Kernel::run_wide`].
#[inline(always)]
#[cfg(target_arch = "x86_64")]
pub(crate) fn fma(a: f32, b: &Lanes, sum: Lanes) -> Lanes {
    use std::arch::x86_64::*;
    // SAFETY: the arrays are 64 bytes long, and the caller runs where AVX-512F was found.
    unsafe {
        let (right, sum) = (_mm512_loadu_ps(b.as_ptr()), _mm512_loadu_ps(sum.as_ptr()));
        let total = _mm512_fmadd_ps(_mm512_set1_ps(a), right, sum);
        std::mem::transmute::<__m512, [f32; PANEL]>(total)
    }
}

/// See the other one.
#[cfg(not(target_arch = "x86_64"))]
pub(crate) fn fma(_: f32, _: &Lanes, _: Lanes) -> Lanes {
    unreachable!("wide products are asked for where the processor has them")
}
