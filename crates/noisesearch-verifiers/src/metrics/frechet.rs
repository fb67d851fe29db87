//! The Fréchet distance of two sets of features (Heusel et al. 2017, arXiv 1706.08500, eq. 6),
//! each taken for a Gaussian.
//!
//! ```text
//! d^2 = |m_a - m_b|^2 + tr A + tr B - 2 tr sqrt(sqrt(A) B sqrt(A))
//! ```
//!
//! The trace of the root is the sum of the roots of the eigenvalues of the symmetric matrix under
//! it, so that nothing imaginary and no regularisation comes in where a covariance has no full
//! rank. Means and covariances (over `n - 1`) run along in f64.

use super::eigen::{Eigen, dot};
use super::same_dim;
use super::{Caution, Features, MetricError};
use rayon::prelude::*;

/// Below this share of the largest eigenvalue a negative one is rounding: what f32 statistics of
/// few samples make of a zero.
const ROUNDING: f64 = 1e-5;
/// Samples a feature below which a distance is said to be biased.
const OF_FEATURE_MIN: usize = 10;

/// Means and squares of samples, one after another.
#[derive(Clone, Debug)]
pub struct Moments {
    n: usize,
    mean: Vec<f64>,
    /// Sum of the outer squares around the mean, `[d, d]`; the lower half.
    squares: Vec<f64>,
}

impl Moments {
    /// Of no samples of `dim` features yet.
    pub fn new(dim: usize) -> Self {
        Self {
            n: 0,
            mean: vec![0.0; dim],
            squares: vec![0.0; dim * dim],
        }
    }

    /// Takes samples in (Welford 1962): `m' = m + v / n`, `S' = S + (n - 1) / n v vᵀ` with
    /// `v = x - m`.
    pub fn add(&mut self, features: &Features) -> Result<(), MetricError> {
        let d = self.mean.len();
        same_dim(d, features.dim())?;
        for row in features.rows() {
            self.n += 1;
            let n = self.n as f64;
            let pairs = row.iter().zip(&self.mean);
            let v: Vec<f64> = pairs.map(|(x, m)| f64::from(*x) - m).collect();
            let share = (n - 1.0) / n;
            for (i, squares) in self.squares.chunks_exact_mut(d).enumerate() {
                let vi = share * v[i];
                let row = squares.iter_mut().zip(&v[..=i]);
                row.for_each(|(sum, vj)| *sum += vi * vj);
            }
            let means = self.mean.iter_mut().zip(&v);
            means.for_each(|(mean, v)| *mean += v / n);
        }
        Ok(())
    }

    /// The Gaussian of the samples, of which there must be two.
    pub fn gaussian(&self) -> Result<Gaussian, MetricError> {
        if self.n < 2 {
            return Err(MetricError::TooFew {
                metric: "a covariance",
                found: self.n,
                least: 2,
            });
        }
        let (d, scale) = (self.mean.len(), 1.0 / (self.n - 1) as f64);
        let entry = |i: usize| {
            let (row, column) = (i / d, i % d);
            scale * self.squares[row.max(column) * d + row.min(column)]
        };
        let covariance = (0..d * d).map(entry).collect();
        Gaussian::new(self.mean.clone(), covariance, Some(self.n))
    }
}

/// The mean and covariance of a set, which stand for it.
#[derive(Clone, Debug, PartialEq)]
pub struct Gaussian {
    mean: Vec<f64>,
    /// `[d, d]`, symmetric.
    covariance: Vec<f64>,
    n: Option<usize>,
}

impl Gaussian {
    /// From a mean `[d]` and a covariance `[d, d]`, of `n` samples if that is known. Of a
    /// covariance that is not symmetric the symmetric part counts.
    pub fn new(
        mean: Vec<f64>,
        mut covariance: Vec<f64>,
        n: Option<usize>,
    ) -> Result<Self, MetricError> {
        let d = mean.len();
        if d == 0 || d.checked_mul(d) != Some(covariance.len()) {
            return Err(MetricError::Sizes {
                mean: d,
                covariance: covariance.len(),
            });
        }
        if !mean
            .iter()
            .chain(&covariance)
            .all(|value| value.is_finite())
        {
            return Err(MetricError::NonFiniteStatistics);
        }
        for i in 0..d {
            for j in 0..i {
                let even = 0.5 * (covariance[i * d + j] + covariance[j * d + i]);
                (covariance[i * d + j], covariance[j * d + i]) = (even, even);
            }
        }
        Ok(Self {
            mean,
            covariance,
            n,
        })
    }

    /// Of the rows of `features`, at least two.
    pub fn of(features: &Features) -> Result<Self, MetricError> {
        let mut moments = Moments::new(features.dim());
        moments.add(features)?;
        moments.gaussian()
    }

    /// Features of a sample.
    pub fn dim(&self) -> usize {
        self.mean.len()
    }

    /// `[d]`.
    pub fn mean(&self) -> &[f64] {
        &self.mean
    }

    /// `[d, d]`, symmetric.
    pub fn covariance(&self) -> &[f64] {
        &self.covariance
    }

    /// How many samples it is of, if that is known.
    pub fn n(&self) -> Option<usize> {
        self.n
    }

    /// The covariance taken apart, no eigenvalue below 0. `d^3` work.
    pub(super) fn eigen(&self) -> Result<Eigen, MetricError> {
        let mut eigen = Eigen::of(self.covariance.clone(), self.dim());
        largest_of(&eigen.values)?;
        eigen.values.iter_mut().for_each(|v| *v = v.max(0.0));
        Ok(eigen)
    }

    fn trace(&self) -> f64 {
        let d = self.dim();
        (0..d).map(|i| self.covariance[i * d + i]).sum()
    }
}

/// The distance of two sets.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Frechet {
    /// The squared distance, at least 0; called FID of Inception's features.
    pub value: f64,
    /// Samples of either set, where known.
    pub n: [Option<usize>; 2],
    /// Whether they are few for the dimension.
    pub caution: Option<Caution>,
}

impl Frechet {
    /// Of two Gaussians of `d` features each; the same both ways. `d^3` work.
    pub fn of(a: &Gaussian, b: &Gaussian) -> Result<Self, MetricError> {
        same_dim(a.dim(), b.dim())?;
        let pairs = a.mean.iter().zip(&b.mean);
        let apart: f64 = pairs.map(|(a, b)| (a - b) * (a - b)).sum();
        let shared = trace_of_root(a, b)?;
        let value = apart + a.trace() + b.trace() - 2.0 * shared;
        if !value.is_finite() {
            return Err(MetricError::NonFiniteStatistics);
        }
        let n = [a.n, b.n];
        Ok(Self {
            value: value.max(0.0),
            n,
            caution: caution(n.into_iter().flatten().min(), a.dim()),
        })
    }

    /// Of two sets of features.
    pub fn of_features(a: &Features, b: &Features) -> Result<Self, MetricError> {
        Self::of(&Gaussian::of(a)?, &Gaussian::of(b)?)
    }
}

fn caution(n: Option<usize>, dim: usize) -> Option<Caution> {
    match n? {
        n if n <= dim => Some(Caution::Singular { n, dim }),
        n if n < OF_FEATURE_MIN * dim => Some(Caution::Biased { n, dim }),
        _ => None,
    }
}

/// The largest eigenvalue of what must not have negative ones.
fn largest_of(values: &[f64]) -> Result<f64, MetricError> {
    let largest = values.iter().fold(0.0f64, |m, &v| m.max(v));
    match values.iter().any(|&value| value < -ROUNDING * largest) {
        true => Err(MetricError::Negative),
        false => Ok(largest),
    }
}

/// `tr sqrt(sqrt(A) B sqrt(A))`, in the eigenbasis of A, where its root is diagonal.
fn trace_of_root(a: &Gaussian, b: &Gaussian) -> Result<f64, MetricError> {
    let d = a.dim();
    let eigen = a.eigen()?;
    let mut under = vec![0.0; d * d];
    let roots: Vec<f64> = eigen.values.iter().map(|value| value.sqrt()).collect();
    under.par_chunks_mut(d).enumerate().for_each(|(i, out)| {
        let row = &eigen.rows[i * d..][..d];
        let columns = b.covariance.chunks_exact(d);
        let turned: Vec<f64> = columns.map(|column| dot(column, row)).collect();
        let others = eigen.rows.chunks_exact(d).zip(&roots);
        for (out, (other, root)) in out.iter_mut().zip(others) {
            *out = roots[i] * root * dot(&turned, other);
        }
    });
    let values = Eigen::values(under, d);
    let largest = largest_of(&values)?;
    // Where the sets span fewer directions, what is left is rounding, whose roots are not small.
    let rounding = f64::EPSILON * d as f64 * largest;
    let there = values.into_iter().filter(|&value| value > rounding);
    Ok(there.map(f64::sqrt).sum())
}

#[cfg(test)]
mod tests {
    use super::*;
    use noisesearch_models::parity::uniform;

    fn gaussian(mean: &[f64], covariance: &[f64]) -> Gaussian {
        Gaussian::new(mean.to_vec(), covariance.to_vec(), None).unwrap()
    }

    fn features(name: &str, n: usize, dim: usize) -> Features {
        Features::new(dim, uniform(name, n * dim)).unwrap()
    }

    #[test]
    fn closed_forms() {
        // Of commuting covariances: |m|^2 + sum (sqrt a - sqrt b)^2.
        let a = gaussian(&[1.0, 2.0], &[4.0, 0.0, 0.0, 9.0]);
        let b = gaussian(&[0.0, 0.0], &[1.0, 0.0, 0.0, 16.0]);
        let got = Frechet::of(&a, &b).unwrap();
        assert!((got.value - 7.0).abs() < 1e-12, "{got:?}");
        assert_eq!((got.n, got.caution), ([None; 2], None));
        // Turned alike; and one without a spread, whose cross term is nothing.
        let a = gaussian(&[0.0, 0.0], &[5.0, 4.0, 4.0, 5.0]);
        let b = gaussian(&[0.0, 0.0], &[2.5, -1.5, -1.5, 2.5]);
        let want = (3.0 - 1.0f64).powi(2) + (1.0 - 2.0f64).powi(2);
        assert!((Frechet::of(&a, &b).unwrap().value - want).abs() < 1e-12);
        let still = gaussian(&[3.0, 0.0], &[0.0; 4]);
        assert!((Frechet::of(&a, &still).unwrap().value - 19.0).abs() < 1e-12);
    }

    #[test]
    fn a_set_is_at_no_distance_from_itself() {
        // Also one that spans fewer directions than there are features.
        for (n, dim) in [(50, 5), (12, 40), (2, 3)] {
            let set = Gaussian::of(&features("same", n, dim)).unwrap();
            let got = Frechet::of(&set, &set).unwrap().value;
            // The root of rounding must not count: 1e-16 would become 1e-8.
            assert!(got < 1e-12 * set.trace(), "{n} of {dim}: {got}");
        }
    }

    #[test]
    fn both_ways_alike() {
        let a = Gaussian::of(&features("a", 30, 6)).unwrap();
        let b = Gaussian::of(&features("b", 4, 6)).unwrap();
        let [there, back] = [(&a, &b), (&b, &a)].map(|(a, b)| Frechet::of(a, b).unwrap());
        assert!((there.value - back.value).abs() < 1e-12 * there.value);
        assert_eq!(there.n, [Some(30), Some(4)]);
    }

    #[test]
    fn moments_run_along() {
        let all = features("run", 20, 3);
        let mut parts = Moments::new(3);
        for rows in all.values().chunks(3 * 7) {
            parts
                .add(&Features::new(3, rows.to_vec()).unwrap())
                .unwrap();
        }
        assert_eq!(parts.gaussian().unwrap(), Gaussian::of(&all).unwrap());
        // Far from zero, where the sum of squares minus the square of the sum would be rounding.
        let far = all.values().iter().map(|value| value + 4096.0).collect();
        let far = Gaussian::of(&Features::new(3, far).unwrap()).unwrap();
        let near = Gaussian::of(&all).unwrap();
        for (a, b) in far.covariance().iter().zip(near.covariance()) {
            assert!((a - b).abs() < 1e-4, "{a} for {b}");
        }
    }

    #[test]
    fn few_samples_are_said() {
        let of = |n| Frechet::of_features(&features("a", n, 4), &features("b", 90, 4)).unwrap();
        assert_eq!(of(4).caution, Some(Caution::Singular { n: 4, dim: 4 }));
        assert_eq!(of(39).caution, Some(Caution::Biased { n: 39, dim: 4 }));
        assert_eq!(of(40).caution, None);
    }

    #[test]
    fn what_is_no_set_is_an_error() {
        let of = |mean: &[f64], covariance: &[f64]| {
            Gaussian::new(mean.to_vec(), covariance.to_vec(), None).unwrap_err()
        };
        assert!(matches!(of(&[], &[]), MetricError::Sizes { .. }));
        assert!(matches!(of(&[0.0], &[1.0, 1.0]), MetricError::Sizes { .. }));
        assert_eq!(of(&[f64::NAN], &[1.0]), MetricError::NonFiniteStatistics);
        let good = gaussian(&[0.0, 0.0], &[1.0, 0.0, 0.0, 1.0]);
        let negative = gaussian(&[0.0, 0.0], &[1.0, 2.0, 2.0, 1.0]);
        for (a, b) in [(&good, &negative), (&negative, &good)] {
            assert_eq!(Frechet::of(a, b), Err(MetricError::Negative));
        }
        let wide = gaussian(&[0.0], &[1.0]);
        let apart = Frechet::of(&good, &wide);
        assert_eq!(apart, Err(MetricError::Dimensions { left: 2, right: 1 }));
        let few = Gaussian::of(&features("one", 1, 2));
        assert!(matches!(few, Err(MetricError::TooFew { least: 2, .. })));
    }
}
