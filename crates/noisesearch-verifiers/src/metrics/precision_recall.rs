//! Precision and recall of a generator (Kynkäänniemi et al. 2019, arXiv 1904.06991, section 2).
//!
//! ```text
//! manifold(S) = union over s in S of the ball about s to its k-th nearest other sample of S
//! precision   = share of generated samples in manifold(real)
//! recall      = share of real samples in manifold(generated)
//! ```
//!
//! The `n^2` distances are made block by block and never kept: memory is `k` numbers a sample.

use super::same_dim;
use super::{Caution, Features, MetricError};
use rayon::prelude::*;

/// The paper's `k`.
pub const K: usize = 3;
/// Samples of the smaller set below which the values are said to vary by chance.
const N_MIN: usize = 1000;
/// Samples that walk through the other set together, so that its rows are fetched once for all.
const BLOCK: usize = 16;
/// Partial sums of a distance.
const LANES: usize = 16;

/// Both values.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PrecisionRecall {
    /// How much of what is generated looks real, 0 to 1.
    pub precision: f64,
    /// How much of what is real is generated, 0 to 1.
    pub recall: f64,
    /// Real and generated samples.
    pub n: [usize; 2],
    /// Whether they are few.
    pub caution: Option<Caution>,
}

impl PrecisionRecall {
    /// Of `real: [n, d]` and `generated: [m, d]`, both of more than `k` samples; `k >= 1`.
    pub fn of(real: &Features, generated: &Features, k: usize) -> Result<Self, MetricError> {
        same_dim(real.dim(), generated.dim())?;
        let n = [real.len(), generated.len()];
        let fewest = n[0].min(n[1]);
        let k = k.max(1);
        if fewest <= k {
            return Err(MetricError::TooFew {
                metric: "precision and recall",
                found: fewest,
                least: k + 1,
            });
        }
        Ok(Self {
            precision: share_inside(generated, real, &radii(real, k)),
            recall: share_inside(real, generated, &radii(generated, k)),
            n,
            caution: (fewest < N_MIN).then_some(Caution::FewNeighbours { n: fewest }),
        })
    }
}

/// Squared distance of every sample to its `k`-th nearest other one.
fn radii(set: &Features, k: usize) -> Vec<f32> {
    let dim = set.dim();
    let blocks = set.values().par_chunks(BLOCK * dim).enumerate();
    let of_block = |(block, rows): (usize, &[f32])| {
        let rows = rows.chunks_exact(dim);
        let mut nearest = vec![vec![f32::INFINITY; k]; rows.len()];
        for (at, other) in set.rows().enumerate() {
            for (i, (row, nearest)) in rows.clone().zip(&mut nearest).enumerate() {
                if block * BLOCK + i != at {
                    keep_smallest(nearest, squared_distance(row, other));
                }
            }
        }
        nearest.into_iter().map(move |nearest| nearest[k - 1])
    };
    blocks.flat_map_iter(of_block).collect()
}

/// Puts `distance` into the ascending `nearest`, whose largest goes.
fn keep_smallest(nearest: &mut [f32], distance: f32) {
    let mut place = nearest.len();
    while place > 0 && distance < nearest[place - 1] {
        if place < nearest.len() {
            nearest[place] = nearest[place - 1];
        }
        place -= 1;
        nearest[place] = distance;
    }
}

/// Share of `samples` inside the ball of at least one of `centres`.
fn share_inside(samples: &Features, centres: &Features, radii: &[f32]) -> f64 {
    let dim = samples.dim();
    let inside: usize = samples
        .values()
        .par_chunks(BLOCK * dim)
        .map(|rows| {
            let rows = rows.chunks_exact(dim);
            let mut inside = vec![false; rows.len()];
            for (centre, radius) in centres.rows().zip(radii) {
                for (row, inside) in rows.clone().zip(&mut inside) {
                    *inside = *inside || squared_distance(row, centre) <= *radius;
                }
            }
            inside.into_iter().filter(|inside| *inside).count()
        })
        .sum();
    inside as f64 / samples.len() as f64
}

/// `|a - b|^2`, the same both ways.
fn squared_distance(a: &[f32], b: &[f32]) -> f32 {
    let (left, right) = (a.chunks_exact(LANES), b.chunks_exact(LANES));
    let rest = left.remainder().iter().zip(right.remainder());
    let rest: f32 = rest.map(|(a, b)| (a - b) * (a - b)).sum();
    let mut sums = [0.0; LANES];
    for (a, b) in left.zip(right) {
        for i in 0..LANES {
            sums[i] += (a[i] - b[i]) * (a[i] - b[i]);
        }
    }
    sums.iter().sum::<f32>() + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(values: &[f32]) -> Features {
        Features::new(1, values.to_vec()).unwrap()
    }

    #[test]
    fn a_line_by_hand() {
        // k = 1: radii 1, 1, 2, 3 of 0, 1, 3, 6.
        let real = line(&[0.0, 1.0, 3.0, 6.0]);
        assert_eq!(radii(&real, 1), [1.0, 1.0, 4.0, 9.0]);
        // k = 2: 3, 2, 3, 5.
        assert_eq!(radii(&real, 2), [9.0, 4.0, 9.0, 25.0]);
        // 9 is on the border of 6's ball, which is inside; the balls of 9, 5 and 30 are 5 to 13, 1
        // to 9 and 9 to 51.
        let generated = line(&[9.0, 5.0, 30.0]);
        let both = PrecisionRecall::of(&real, &generated, 1).unwrap();
        assert_eq!((both.precision, both.recall), (2.0 / 3.0, 0.75));
        assert_eq!(both.n, [4, 3]);
        assert_eq!(both.caution, Some(Caution::FewNeighbours { n: 3 }));
    }

    #[test]
    fn a_set_covers_itself_and_nothing_far_away() {
        let values: Vec<f32> = (0..40 * 19).map(|i| (i * i % 101) as f32).collect();
        let set = Features::new(19, values.clone()).unwrap();
        let same = PrecisionRecall::of(&set, &set, K).unwrap();
        assert_eq!((same.precision, same.recall), (1.0, 1.0));
        let far = values.iter().map(|value| value + 1e4).collect();
        let far = Features::new(19, far).unwrap();
        let apart = PrecisionRecall::of(&set, &far, K).unwrap();
        assert_eq!((apart.precision, apart.recall), (0.0, 0.0));
    }

    #[test]
    fn few_samples_and_other_features_are_errors() {
        let three = line(&[0.0, 1.0, 2.0]);
        let few = PrecisionRecall::of(&three, &three, 3);
        assert!(matches!(few, Err(MetricError::TooFew { least: 4, .. })));
        let wide = Features::new(2, vec![0.0; 8]).unwrap();
        let apart = PrecisionRecall::of(&three, &wide, 1);
        assert!(matches!(apart, Err(MetricError::Dimensions { .. })));
    }
}
