//! Counter-based Gaussian noise: Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy
//! as 1, 2, 3", SC 2011) and Box-Muller in f64 with software `log`, `sin` and `cos`.
//!
//! A normal number is a pure function of its address `(root, lane, draw, step, index)`:
//!
//! ```text
//! words  = Philox(key = root, counter = [index / 4, step, lane, draw])     4 x u32
//! r, a   = sqrt(-2 ln((w0 + 1/2) / 2^32)),  2 pi w1 / 2^32
//! normal = r cos a, r sin a                (and the same for w2, w3)
//! ```
//!
//! So neither batch, order, thread nor platform changes it.

use std::f64::consts::TAU;

/// Changes whenever any normal number does; part of a run's fingerprint.
pub const NOISE_VERSION: u32 = 1;

/// The lane that no move can have; candidate roots come from it.
const ROOT_LANE: u32 = u32::MAX;

/// One stream of normal numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Stream {
    /// The recipe's root key.
    pub root: u64,
    /// 0 is the initial noise; `k + 1` is the noise of move `k` of the recipe, counted from 0, so
    /// that equal draws at different places of a recipe differ.
    pub lane: u32,
    /// Which of the noises there; chosen by the search.
    pub draw: u32,
    /// Solver step within the move, counted from 0, where a move needs one noise a step
    /// (`Diffuse`); otherwise 0.
    pub step: u32,
}

impl Stream {
    /// The noise from which a recipe starts.
    pub fn initial(root: u64) -> Self {
        Self {
            root,
            lane: 0,
            draw: 0,
            step: 0,
        }
    }

    /// The noise `draw` of move `index` (from 0) of a recipe.
    pub fn of_move(root: u64, index: u32, draw: u32) -> Self {
        Self {
            root,
            lane: index + 1,
            draw,
            step: 0,
        }
    }

    /// The same move's noise at solver step `step` (from 0).
    pub fn at_step(self, step: u32) -> Self {
        Self { step, ..self }
    }

    /// Fills `out` with standard normals `offset..offset + out.len()` of this stream. Addresses
    /// repeat after 2^34 numbers.
    pub fn fill(self, offset: u32, out: &mut [f32]) {
        let (mut block, skip) = (offset / 4, (offset % 4) as usize);
        let (head, tail) = out.split_at_mut(out.len().min((4 - skip) % 4));
        if !head.is_empty() {
            head.copy_from_slice(&self.block(block)[skip..skip + head.len()]);
            block = block.wrapping_add(1);
        }
        for chunk in tail.chunks_mut(4) {
            chunk.copy_from_slice(&self.block(block)[..chunk.len()]);
            block = block.wrapping_add(1);
        }
    }

    /// `count` standard normals from the start of this stream.
    pub fn normals(self, count: usize) -> Vec<f32> {
        let mut out = vec![0.0; count];
        self.fill(0, &mut out);
        out
    }

    /// Normals `4 block..4 block + 4`.
    fn block(self, block: u32) -> [f32; 4] {
        let key = [self.root as u32, (self.root >> 32) as u32];
        let [a, b, c, d] = philox([block, self.step, self.lane, self.draw], key);
        let ([x, y], [z, w]) = (box_muller(a, b), box_muller(c, d));
        [x, y, z, w]
    }
}

/// The root of candidate `index` of the run with this seed: from a lane of its own, so that the
/// candidates of different seeds are different (two of a million collide with odds of 1e-8).
pub fn candidate_root(seed: u64, index: u64) -> u64 {
    let key = [seed as u32, (seed >> 32) as u32];
    let [low, high, ..] = philox([index as u32, (index >> 32) as u32, ROOT_LANE, 0], key);
    u64::from(high) << 32 | u64::from(low)
}

/// The neighbour of noise `x` in a drawn direction: the same norm, exactly this cosine to `x`
/// (Ma et al., arXiv 2501.09732, zero-order search; the rule of the authors' code).
///
/// ```text
/// u = x / |x|,  w = unit(v - (v.u) u),  x' = |x| (c u + sqrt(1 - c^2) w)
/// ```
///
/// Computed in f64 in index order. `x` has two or more elements; the norm is zero only for an
/// all-zero `x`, which stays.
pub fn nudge(x: &[f32], cosine: f32, direction: Stream) -> Vec<f32> {
    let v = direction.normals(x.len());
    let dot = |f: &dyn Fn(usize) -> f64| (0..x.len()).map(f).sum::<f64>();
    let norm = dot(&|i| f64::from(x[i]) * f64::from(x[i])).sqrt();
    let unit = |i: usize| f64::from(x[i]) / norm.max(TINY);
    let along = dot(&|i| f64::from(v[i]) * unit(i));
    let across = |i: usize| f64::from(v[i]) - along * unit(i);
    let length = dot(&|i| across(i) * across(i)).sqrt().max(TINY);
    let cosine = f64::from(cosine);
    let sine = (1.0 - cosine * cosine).sqrt();
    let neighbour = |i| norm * (cosine * unit(i) + sine * across(i) / length);
    (0..x.len()).map(|i| neighbour(i) as f32).collect()
}

/// Noise `x` moved along `gradient` on its norm shell: the projected step, which keeps a noise as
/// likely as it was (first-order search of Ma et al., arXiv 2501.09732, figure 14; the rule is
/// ours).
///
/// ```text
/// y = x + rate |x| g / |g|,  x' = |x| y / |y|
/// ```
///
/// Computed in f64 in index order. A gradient of zeros leaves `x` as it is.
pub fn ascend(x: &[f32], gradient: &[f32], rate: f32) -> Vec<f32> {
    let norm = |value: &dyn Fn(usize) -> f64| {
        let squares = (0..x.len()).map(|i| value(i) * value(i));
        squares.sum::<f64>().sqrt()
    };
    let radius = norm(&|i| f64::from(x[i]));
    let slope = norm(&|i| f64::from(gradient[i]));
    let step = f64::from(rate) * radius / slope.max(TINY);
    let ahead = |i: usize| f64::from(x[i]) + step * f64::from(gradient[i]);
    let back = radius / norm(&ahead).max(TINY);
    (0..x.len()).map(|i| (back * ahead(i)) as f32).collect()
}

/// Keeps a division by a norm finite; the authors' value.
const TINY: f64 = 1e-12;

/// Philox4x32 with 10 rounds.
fn philox(mut counter: [u32; 4], mut key: [u32; 2]) -> [u32; 4] {
    for _ in 0..10 {
        let [a, b, c, d] = counter;
        let left = u64::from(a) * 0xD251_1F53;
        let right = u64::from(c) * 0xCD9E_8D57;
        counter = [
            (right >> 32) as u32 ^ b ^ key[0],
            right as u32,
            (left >> 32) as u32 ^ d ^ key[1],
            left as u32,
        ];
        key = [
            key[0].wrapping_add(0x9E37_79B9),
            key[1].wrapping_add(0xBB67_AE85),
        ];
    }
    counter
}

/// Two normals from two words. The half keeps the logarithm finite; the largest magnitude is 6.76.
fn box_muller(radius: u32, angle: u32) -> [f32; 2] {
    const UNIT: f64 = 1.0 / 4_294_967_296.0;
    let r = (-2.0 * libm::log((f64::from(radius) + 0.5) * UNIT)).sqrt();
    let (sin, cos) = libm::sincos(TAU * (f64::from(angle) * UNIT));
    [(r * cos) as f32, (r * sin) as f32]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The three published vectors of Random123's `kat_vectors`, philox4x32-10.
    #[test]
    fn philox_known_answers() {
        let zeros = philox([0; 4], [0; 2]);
        assert_eq!(zeros, [0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8]);
        let ones = philox([u32::MAX; 4], [u32::MAX; 2]);
        assert_eq!(ones, [0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd]);
        let counter = [0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344];
        let pi = philox(counter, [0xa4093822, 0x299f31d0]);
        assert_eq!(pi, [0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1]);
    }

    #[test]
    fn box_muller_is_finite_at_both_ends() {
        for radius in [0, 1, u32::MAX - 1, u32::MAX] {
            for angle in [0, 1 << 30, 1 << 31, 3 << 30, u32::MAX] {
                assert!(box_muller(radius, angle).iter().all(|z| z.abs() < 6.77));
            }
        }
    }
}
