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
pub(crate) fn tree(lanes: Lanes) -> f32 {
    halved(lanes, |a, b| a + b)
}

/// The largest; a NaN is passed over unless it is the first number of all.
#[inline(always)]
pub(crate) fn top(lanes: Lanes) -> f32 {
    halved(lanes, |a, b| if b > a { b } else { a })
}

#[inline(always)]
fn halved(x: Lanes, both: impl Fn(f32, f32) -> f32) -> f32 {
    let x: [f32; 8] = std::array::from_fn(|j| both(x[j], x[j + 8]));
    let x: [f32; 4] = std::array::from_fn(|j| both(x[j], x[j + 4]));
    both(both(x[0], x[2]), both(x[1], x[3]))
}
