//! The Fréchet distance between a set that grows and given statistics (Heusel et al. 2017, arXiv
//! 1706.08500, eq. 6), with one candidate more in the set.
//!
//! ```text
//! |m - m_r|^2 + tr C + tr R - 2 tr sqrt(sqrt(R) C sqrt(R))
//! C = T / (n - 1),  T' = T + n / (n + 1) v vᵀ,  m' = m + v / (n + 1),  v = candidate - m
//! ```
//!
//! Everything is kept in the eigenbasis of R, where `sqrt(R)` is diagonal. A candidate changes the
//! matrix under the root by rank one, so its eigenvalues cost `k^2` ([`super::eigen::updated`]) and
//! not `k^3`; only one that is accepted costs the whole decomposition. On one core of a server that
//! is 0.1 s and 30 s for 2048 dimensions, 1 ms and 50 ms for 256. With fewer dimensions than R has,
//! both sides are projected on the directions in which R varies most.

use super::MetricError;
use super::eigen::{Eigen, dot, updated};
use super::frechet::Gaussian;

/// Statistics to be met, in their own eigenbasis.
#[derive(Clone, Debug)]
pub struct Target {
    mean: Vec<f64>,
    /// The `k` unit directions in which it varies most, `[k, d]`.
    directions: Vec<f64>,
    /// Standard deviations along them.
    deviations: Vec<f64>,
}

impl Target {
    /// From statistics of `d` features, of which `k` directions are looked at. `d^3` work, once.
    pub fn new(statistics: &Gaussian, k: usize) -> Result<Self, MetricError> {
        let d = statistics.dim();
        if !(1..=d).contains(&k) {
            return Err(MetricError::Directions {
                wanted: k,
                found: d,
            });
        }
        let eigen = statistics.eigen()?;
        let mut order: Vec<usize> = (0..d).collect();
        order.sort_by(|&a, &b| eigen.values[b].total_cmp(&eigen.values[a]));
        let kept = &order[..k];
        let row = |&i: &usize| eigen.rows[i * d..][..d].iter().copied();
        Ok(Self {
            directions: kept.iter().flat_map(row).collect(),
            deviations: kept.iter().map(|&i| eigen.values[i].sqrt()).collect(),
            mean: statistics.mean().to_vec(),
        })
    }

    /// Values of a sample.
    pub fn features(&self) -> usize {
        self.mean.len()
    }

    /// A sample `[d]` seen from the mean along the directions: `[k]`.
    fn seen(&self, sample: &[f64]) -> Vec<f64> {
        let d = self.mean.len();
        let centred: Vec<f64> = sample.iter().zip(&self.mean).map(|(x, m)| x - m).collect();
        let rows = self.directions.chunks_exact(d);
        rows.map(|row| dot(row, &centred)).collect()
    }
}

/// Samples that were accepted, as far as the distance needs them.
#[derive(Clone, Debug)]
pub struct Set {
    target: Target,
    count: usize,
    /// Mean in the target's basis: `[k]`.
    mean: Vec<f64>,
    /// Sum of the squares around it, all directions together.
    trace: f64,
    /// The same, weighed by the target's deviations on both sides: `[k, k]`.
    weighed: Vec<f64>,
    eigen: Eigen,
}

impl Set {
    /// No samples yet.
    pub fn new(target: Target) -> Self {
        let k = target.deviations.len();
        let weighed = vec![0.0; k * k];
        Self {
            eigen: Eigen::of(weighed.clone(), k),
            count: 0,
            mean: vec![0.0; k],
            trace: 0.0,
            weighed,
            target,
        }
    }

    /// How many samples are in it.
    pub fn count(&self) -> usize {
        self.count
    }

    /// The distance that the set would have with `sample: [d]` in it. A set of one sample has no
    /// covariance.
    pub fn distance_with(&self, sample: &[f64]) -> f64 {
        let n = self.count as f64;
        let v = self.beyond_mean(sample);
        let moved = self.mean.iter().zip(&v).map(|(m, v)| m + v / (n + 1.0));
        let apart: f64 = moved.map(|m| m * m).sum();
        let wanted: f64 = self.target.deviations.iter().map(|s| s * s).sum();
        if self.count == 0 {
            return apart + wanted;
        }
        let rho = n / (n + 1.0);
        let k = v.len();
        let w = self.weigh(&v);
        let rows = self.eigen.rows.chunks_exact(k);
        let z: Vec<f64> = rows.map(|row| dot(row, &w)).collect();
        let values = updated(&self.eigen.values, &z, rho);
        let shared: f64 = values.iter().map(|value| (value.max(0.0) / n).sqrt()).sum();
        apart + (self.trace + rho * dot(&v, &v)) / n + wanted - 2.0 * shared
    }

    /// Takes `sample: [d]` into the set. `k^3` work.
    pub fn accept(&mut self, sample: &[f64]) {
        let v = self.beyond_mean(sample);
        let n = self.count as f64;
        let rho = n / (n + 1.0);
        let w = self.weigh(&v);
        self.trace += rho * dot(&v, &v);
        for (row, wi) in self.weighed.chunks_exact_mut(w.len()).zip(&w) {
            row.iter_mut()
                .zip(&w)
                .for_each(|(x, wj)| *x += rho * wi * wj);
        }
        self.mean
            .iter_mut()
            .zip(&v)
            .for_each(|(m, v)| *m += v / (n + 1.0));
        self.count += 1;
        self.eigen = Eigen::of(self.weighed.clone(), w.len());
        // The set spans fewer directions than there are samples; what is left there is rounding,
        // whose roots would not be small.
        let largest = self.eigen.values.iter().fold(0.0f64, |m, &v| m.max(v));
        let rounding = f64::EPSILON * w.len() as f64 * largest;
        let values = self.eigen.values.iter_mut();
        values.filter(|v| **v < rounding).for_each(|v| *v = 0.0);
    }

    fn beyond_mean(&self, sample: &[f64]) -> Vec<f64> {
        let seen = self.target.seen(sample);
        seen.iter().zip(&self.mean).map(|(x, m)| x - m).collect()
    }

    fn weigh(&self, v: &[f64]) -> Vec<f64> {
        let pairs = v.iter().zip(&self.target.deviations);
        pairs.map(|(v, s)| v * s).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use noisesearch_models::parity::{Golden, uniform};
    use serde_json::Value;

    fn floats(value: &Value) -> Vec<f64> {
        match value {
            Value::Array(list) => list.iter().flat_map(floats).collect(),
            other => vec![other.as_f64().unwrap()],
        }
    }

    fn of(mean: &[f64], covariance: &[f64], k: usize) -> Target {
        let statistics = Gaussian::new(mean.to_vec(), covariance.to_vec(), None);
        Target::new(&statistics.unwrap(), k).unwrap()
    }

    /// Inputs of `parity/reference.py`, of unit variance.
    fn samples(name: &str, count: usize, d: usize) -> Vec<Vec<f64>> {
        let values = uniform(name, count * d);
        let scale = 3f64.sqrt() as f32;
        let values: Vec<f64> = values.into_iter().map(|v| f64::from(v * scale)).collect();
        values.chunks_exact(d).map(<[f64]>::to_vec).collect()
    }

    fn grown(target: Target, samples: &[Vec<f64>]) -> (Set, f64) {
        let (last, others) = samples.split_last().unwrap();
        let mut set = Set::new(target);
        others.iter().for_each(|sample| set.accept(sample));
        let distance = set.distance_with(last);
        (set, distance)
    }

    #[test]
    fn distances_golden() {
        let text = include_str!("../../../../parity/goldens/inception.json");
        let golden = Golden::parse(text).unwrap();
        let frechet = &golden.more["frechet"];
        let (mean, covariance) = (floats(&frechet["mean"]), floats(&frechet["covariance"]));
        let d = mean.len();
        let target = of(&mean, &covariance, d);
        for case in frechet["cases"].as_array().unwrap() {
            let (count, want) = (
                case[0].as_u64().unwrap() as usize,
                case[1].as_f64().unwrap(),
            );
            let mut rows = samples(&format!("some{count}"), count, d);
            rows.iter_mut().flatten().for_each(|x| *x += 0.3);
            let (_, got) = grown(target.clone(), &rows);
            // Seen to fail: the covariance over n instead of n - 1, the mean without the sample.
            assert!(
                (got - want).abs() <= 1e-9 * want,
                "{count}: {got} for {want}"
            );
        }
    }

    #[test]
    fn closed_forms() {
        // Diagonal: |m|^2 + sum (sqrt a - sqrt b)^2.
        let target = of(&[1.0, 2.0], &[4.0, 0.0, 0.0, 9.0], 2);
        let rows = [
            vec![0.0, 0.0],
            vec![2.0, 0.0],
            vec![0.0, 2.0],
            vec![2.0, 2.0],
        ];
        let (mut set, got) = grown(target, &rows);
        let spread = (4.0f64 / 3.0).sqrt();
        let want = 1.0 + (2.0 - spread).powi(2) + (3.0 - spread).powi(2);
        assert!((got - want).abs() < 1e-12, "{got} for {want}");
        set.accept(&rows[3]);
        assert_eq!(set.count(), 4);
        // One sample has no covariance.
        let target = of(&[1.0, 0.0], &[4.0, 0.0, 0.0, 9.0], 2);
        assert_eq!(Set::new(target).distance_with(&[1.0, 2.0]), 4.0 + 13.0);
    }

    #[test]
    fn the_set_that_made_the_statistics_is_at_no_distance() {
        let rows = samples("same", 50, 5);
        let mean: Vec<f64> = (0..5)
            .map(|j| rows.iter().map(|r| r[j]).sum::<f64>() / 50.0)
            .collect();
        let entry = |i: usize| {
            let pairs = rows
                .iter()
                .map(|r| (r[i / 5] - mean[i / 5]) * (r[i % 5] - mean[i % 5]));
            pairs.sum::<f64>() / 49.0
        };
        let covariance: Vec<f64> = (0..25).map(entry).collect();
        for k in [2, 5] {
            let target = of(&mean, &covariance, k);
            let (_, got) = grown(target, &rows);
            assert!(got.abs() < 1e-12, "{got}");
        }
    }

    #[test]
    fn few_samples_of_many_dimensions() {
        // Every eigenvalue but two is zero; the root of their rounding must not count.
        let d = 60;
        let mut covariance = vec![0.0; d * d];
        (0..d).for_each(|i| covariance[i * d + i] = 1.0);
        let target = of(&vec![0.0; d], &covariance, d);
        let rows = samples("few", 3, d);
        let (_, got) = grown(target, &rows);
        let mean: Vec<f64> = (0..d)
            .map(|j| rows.iter().map(|r| r[j]).sum::<f64>() / 3.0)
            .collect();
        let centred: Vec<Vec<f64>> = rows
            .iter()
            .map(|r| r.iter().zip(&mean).map(|(x, m)| x - m).collect())
            .collect();
        let gram: Vec<f64> = (0..9)
            .map(|i| dot(&centred[i / 3], &centred[i % 3]) / 2.0)
            .collect();
        let values = Eigen::of(gram, 3).values;
        let trace: f64 = values.iter().sum();
        let roots: f64 = values.iter().map(|v| v.max(0.0).sqrt()).sum();
        let want = dot(&mean, &mean) + trace + d as f64 - 2.0 * roots;
        assert!((got - want).abs() < 1e-7, "{got} for {want}");
    }

    #[test]
    fn there_are_as_many_directions_as_features() {
        let one = Gaussian::new(vec![0.0], vec![1.0], None).unwrap();
        for wanted in [0, 2] {
            let error = Target::new(&one, wanted).unwrap_err();
            assert_eq!(error, MetricError::Directions { wanted, found: 1 });
        }
    }
}
