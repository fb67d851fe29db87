//! Sixteen floats at a time, and sums whose order does not depend on the vector width.

/// Columns of a weight's panel, and partial sums of a reduction.
pub(crate) const PANEL: usize = 16;
/// Sixteen floats: one vector of AVX-512, two of AVX2, four of NEON.
pub(crate) type Lanes = [f32; PANEL];

/// Up to 16 floats, zero-padded.
#[inline(always)]
pub(crate) fn load(from: &[f32]) -> Lanes {
    match <&Lanes>::try_from(from) {
        Ok(lanes) => *lanes,
        Err(_) => {
            let mut lanes = [0.0; PANEL];
            lanes[..from.len()].copy_from_slice(from);
            lanes
        }
    }
}

/// Sum in 16 lanes, then over the lanes as a tree.
#[inline(always)]
pub(crate) fn sum(x: &[f32]) -> f32 {
    let (chunks, rest) = x.as_chunks::<PANEL>();
    let mut lanes = load(rest);
    for chunk in chunks {
        for j in 0..PANEL {
            lanes[j] += chunk[j];
        }
    }
    tree(lanes)
}

/// Sum of `(x - mean)^2`, in the same order as [`sum`].
#[inline(always)]
pub(crate) fn sum_of_squares(x: &[f32], mean: f32) -> f32 {
    let (chunks, rest) = x.as_chunks::<PANEL>();
    let mut lanes = [0.0; PANEL];
    for (lane, x) in lanes.iter_mut().zip(rest) {
        *lane = (x - mean) * (x - mean);
    }
    for chunk in chunks {
        for j in 0..PANEL {
            let d = chunk[j] - mean;
            lanes[j] = d.mul_add(d, lanes[j]);
        }
    }
    tree(lanes)
}

/// `((l0 + l8) + (l4 + l12)) + …`: halves are added until one number is left.
#[inline(always)]
pub(crate) fn tree(mut lanes: Lanes) -> f32 {
    let mut half = PANEL / 2;
    while half > 0 {
        for j in 0..half {
            lanes[j] += lanes[j + half];
        }
        half /= 2;
    }
    lanes[0]
}
