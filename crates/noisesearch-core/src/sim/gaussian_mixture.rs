//! A diffusion whose denoiser is known exactly: a target that is a mixture of isotropic Gaussians.
//!
//! ```text
//! x0 ~ sum_k w_k N(mu_k, s_k^2 I),   x_t = alpha x0 + sigma e,   v_k = alpha^2 s_k^2 + sigma^2
//!
//! r_k(x)     = w_k N(x; alpha mu_k, v_k I) / sum_j w_j N(x; alpha mu_j, v_j I)
//! E[x0 | x]  = sum_k r_k(x) (mu_k + alpha s_k^2 / v_k (x - alpha mu_k))
//! ```
//!
//! For one Gaussian the deterministic (probability flow) path keeps `(x - alpha mu) / sqrt(v)`,
//! so the exact solution between two noisings is
//!
//! ```text
//! x' = alpha' mu + sqrt(v' / v) (x - alpha mu)
//! ```
//!
//! Everything is f64, in index order.

use std::f64::consts::TAU;

/// How far a sample is noised: `x = alpha x0 + sigma e`; both at least 0 and not both 0.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Noising {
    /// Share of the clean sample.
    pub alpha: f64,
    /// Share of the noise.
    pub sigma: f64,
}

/// One component of a mixture.
#[derive(Clone, Debug, PartialEq)]
pub struct Gaussian {
    /// Weight, above 0; weights need not sum to 1.
    pub weight: f64,
    /// Mean, one number a dimension.
    pub mean: Vec<f64>,
    /// Standard deviation in every direction, above 0.
    pub std: f64,
}

/// A target distribution with its exact denoiser.
#[derive(Clone, Debug, PartialEq)]
pub struct GaussianMixture(Vec<Gaussian>);

/// Components that make no mixture.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MixtureError {
    /// No component, or components of no dimension.
    #[error("a mixture needs at least one component of at least one dimension")]
    Empty,
    /// A component of another dimension than the first.
    #[error("component {0} has another dimension than component 0")]
    Dimension(usize),
    /// A weight or deviation that is not above 0, or a number that is not finite.
    #[error("component {0} needs finite numbers, with weight and deviation above 0")]
    Number(usize),
}

impl Gaussian {
    /// Variance of one dimension of the noised component.
    fn variance(&self, at: Noising) -> f64 {
        let part = at.alpha * self.std;
        part * part + at.sigma * at.sigma
    }

    /// `E[x0 | x]` under this component alone; `x` of its dimension.
    pub fn denoise(&self, x: &[f64], at: Noising) -> Vec<f64> {
        let gain = at.alpha * self.std * self.std / self.variance(at);
        let pull = |(x, mean): (&f64, &f64)| mean + gain * (x - at.alpha * mean);
        x.iter().zip(&self.mean).map(pull).collect()
    }

    /// Where the deterministic path through `x` at `from` is at `to`: the exact solution that a
    /// solver approximates.
    pub fn flow(&self, x: &[f64], from: Noising, to: Noising) -> Vec<f64> {
        let stretch = (self.variance(to) / self.variance(from)).sqrt();
        let moved = |(x, mean): (&f64, &f64)| to.alpha * mean + stretch * (x - from.alpha * mean);
        x.iter().zip(&self.mean).map(moved).collect()
    }

    /// `ln(w N(x; alpha mu, v I))`.
    fn log_weight(&self, x: &[f64], at: Noising) -> f64 {
        let variance = self.variance(at);
        let square = |(x, mean): (&f64, &f64)| (x - at.alpha * mean) * (x - at.alpha * mean);
        let distance: f64 = x.iter().zip(&self.mean).map(square).sum();
        let volume = x.len() as f64 * libm::log(TAU * variance);
        libm::log(self.weight) - 0.5 * (distance / variance + volume)
    }
}

impl GaussianMixture {
    /// A mixture of components of one dimension.
    ///
    /// # Errors
    /// Names the first component that does not fit.
    pub fn new(parts: Vec<Gaussian>) -> Result<Self, MixtureError> {
        let dimension = parts.first().map_or(0, |part| part.mean.len());
        if dimension == 0 {
            return Err(MixtureError::Empty);
        }
        for (index, part) in parts.iter().enumerate() {
            if part.mean.len() != dimension {
                return Err(MixtureError::Dimension(index));
            }
            let positive = |value: f64| value > 0.0 && value.is_finite();
            let finite = part.mean.iter().all(|value| value.is_finite());
            if !(positive(part.weight) && positive(part.std) && finite) {
                return Err(MixtureError::Number(index));
            }
        }
        Ok(Self(parts))
    }

    /// The components.
    pub fn parts(&self) -> &[Gaussian] {
        &self.0
    }

    /// The exact denoiser `E[x0 | x]`; `x` of the mixture's dimension, finite.
    pub fn denoise(&self, x: &[f64], at: Noising) -> Vec<f64> {
        let logs: Vec<f64> = self.0.iter().map(|part| part.log_weight(x, at)).collect();
        let total = log_sum(&logs);
        let mut mean = vec![0.0; x.len()];
        for (part, log) in self.0.iter().zip(logs) {
            let share = libm::exp(log - total);
            let pulled = part.denoise(x, at);
            mean.iter_mut()
                .zip(pulled)
                .for_each(|(m, p)| *m += share * p);
        }
        mean
    }

    /// Logarithm of the density of the noised mixture at `x`, up to the sum of weights.
    pub fn log_density(&self, x: &[f64], at: Noising) -> f64 {
        let logs: Vec<f64> = self.0.iter().map(|part| part.log_weight(x, at)).collect();
        log_sum(&logs)
    }
}

/// `ln(sum(exp(logs)))` without overflow; `logs` not empty.
fn log_sum(logs: &[f64]) -> f64 {
    let top = logs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    top + libm::log(logs.iter().map(|log| libm::exp(log - top)).sum())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(weight: f64, mean: &[f64], std: f64) -> Gaussian {
        let mean = mean.to_vec();
        Gaussian { weight, mean, std }
    }

    fn linear(sigma: f64) -> Noising {
        let alpha = 1.0 - sigma;
        Noising { alpha, sigma }
    }

    /// Tweedie: `E[x0 | x] = (x + sigma^2 grad log p(x)) / alpha`, with the gradient taken
    /// numerically from the density.
    #[test]
    fn denoiser_agrees_with_the_density() {
        let parts = vec![
            part(1.0, &[2.0, -1.0, 0.5], 0.3),
            part(0.5, &[-1.0, 0.0, 1.0], 0.7),
            part(2.0, &[0.0, 1.5, -2.0], 0.1),
        ];
        let target = GaussianMixture::new(parts).unwrap();
        for sigma in [0.1, 0.4, 0.7, 0.95] {
            let at = linear(sigma);
            for x in [[0.3, -0.2, 0.1], [1.0, 1.0, -1.0], [-2.0, 0.5, 3.0]] {
                let denoised = target.denoise(&x, at);
                for i in 0..3 {
                    let (mut up, mut down, h) = (x, x, 1e-5);
                    up[i] += h;
                    down[i] -= h;
                    let rise = target.log_density(&up, at) - target.log_density(&down, at);
                    let tweedie = (x[i] + sigma * sigma * rise / (2.0 * h)) / at.alpha;
                    assert!((denoised[i] - tweedie).abs() < 1e-6, "{sigma} {x:?} {i}");
                }
            }
        }
    }

    /// Many small first-order steps `x' = (s'/s) x + (a' - a s'/s) x0` reach the exact solution,
    /// and the error falls as the step.
    #[test]
    fn flow_is_the_limit_of_small_steps() {
        let target = part(1.0, &[1.5, -0.5], 0.4);
        let start = [0.7, -1.2];
        let exact = target.flow(&start, linear(1.0), linear(0.0));
        let error = |steps: u32| {
            let mut x = start.to_vec();
            for step in 0..steps {
                let level = |k: u32| linear(1.0 - f64::from(k) / f64::from(steps));
                let (from, to) = (level(step), level(step + 1));
                let (x0, ratio) = (target.denoise(&x, from), to.sigma / from.sigma);
                let next = |(x, x0)| ratio * x + (to.alpha - from.alpha * ratio) * x0;
                x = x.iter().zip(&x0).map(next).collect();
            }
            (x[0] - exact[0]).hypot(x[1] - exact[1])
        };
        let slope = (error(512) / error(1024)).log2();
        assert!(
            (slope - 1.0).abs() < 0.05 && error(1024) < 2e-3,
            "slope {slope}"
        );
    }

    #[test]
    fn one_component_is_its_own_mixture() {
        let one = part(3.0, &[0.2, 0.4], 0.9);
        let target = GaussianMixture::new(vec![one.clone()]).unwrap();
        assert_eq!(
            target.denoise(&[5.0, -5.0], linear(0.5)),
            one.denoise(&[5.0, -5.0], linear(0.5))
        );
        let there = one.flow(&[1.0, 2.0], linear(0.8), linear(0.3));
        let back = one.flow(&there, linear(0.3), linear(0.8));
        assert!(
            back.iter()
                .zip([1.0, 2.0])
                .all(|(a, b)| (a - b).abs() < 1e-12)
        );
        assert_eq!(one.denoise(&[0.6, 0.7], linear(0.0)), [0.6, 0.7]);
    }

    #[test]
    fn refuses_what_is_no_mixture() {
        let good = part(1.0, &[0.0], 1.0);
        let second = |bad| GaussianMixture::new(vec![good.clone(), bad]).unwrap_err();
        assert_eq!(
            GaussianMixture::new(vec![]).unwrap_err(),
            MixtureError::Empty
        );
        assert_eq!(
            second(part(1.0, &[0.0, 0.0], 1.0)),
            MixtureError::Dimension(1)
        );
        for bad in [
            part(0.0, &[0.0], 1.0),
            part(1.0, &[f64::NAN], 1.0),
            part(1.0, &[0.0], 0.0),
        ] {
            assert_eq!(second(bad), MixtureError::Number(1));
        }
    }
}
