//! Work on every element of a batch, on all cores: between two products of a network it would
//! otherwise be the only thing that one core does while the others wait.

use rayon::prelude::*;

/// Elements that one core works on at a time; fewer than that are not worth another core.
pub(crate) const STRETCH: usize = 1 << 15;

/// The bits of a float's exponent, and the last of them.
const EXPONENT: u32 = 0x7f80_0000;
const EXPONENT_STEP: u32 = 0x0080_0000;

/// Calls `fill` with stretches of `out`, each with the position of its first element.
pub(crate) fn by_stretch(out: &mut [f32], fill: impl Fn(usize, &mut [f32]) + Sync) {
    if out.len() <= STRETCH {
        return fill(0, out);
    }
    let stretches = out.par_chunks_mut(STRETCH).enumerate();
    stretches.for_each(|(i, out)| fill(i * STRETCH, out));
}

/// Whether no value is infinite or not a number.
pub(crate) fn all_finite(values: &[f32]) -> bool {
    // An exponent of ones carries into the sign's place. Plain sums of words, without a way out
    // at every value, take many lanes at once on any processor.
    let carry = |v: &f32| (v.to_bits() & EXPONENT) + EXPONENT_STEP;
    let finite = |some: &[f32]| some.iter().fold(0, |all, v| all | carry(v)) <= EXPONENT;
    values.chunks(1024).all(finite)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_element_is_filled_once_whatever_the_length() {
        for len in [0, 1, STRETCH, STRETCH + 1, 3 * STRETCH + 5] {
            let mut out = vec![-1.0; len];
            by_stretch(&mut out, |first, out| {
                let numbers = first..first + out.len();
                out.iter_mut()
                    .zip(numbers)
                    .for_each(|(out, i)| *out += i as f32);
            });
            assert!(out.iter().enumerate().all(|(i, &v)| v == i as f32 - 1.0));
        }
    }

    #[test]
    fn one_value_that_is_not_finite_is_found_anywhere() {
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            for at in [0, 1023, 1024, 2499] {
                let mut values = vec![f32::MAX; 2500];
                assert!(all_finite(&values));
                values[at] = bad;
                assert!(!all_finite(&values), "{bad} at {at}");
            }
        }
    }
}
