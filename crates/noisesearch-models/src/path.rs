//! How much signal and how much noise a sample holds: `x = alpha x0 + sigma e`, one view for
//! every family of models (Ma et al., arXiv 2501.09732, the interpolation of its section 2).

use noisesearch_core::level::Level;
use std::f64::consts::FRAC_PI_2;
use std::sync::Arc;

/// Steps of the discrete diffusion that a variance-preserving path interpolates.
pub const VP_STEPS: usize = 1000;

/// Signal and noise of a sample at one level.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    /// Weight of the clean sample, in `[0, 1]`.
    pub alpha: f64,
    /// Standard deviation of the noise, in `[0, 1]`; 0 exactly at level 0.
    pub sigma: f64,
}

/// The noise added by each step of a discrete diffusion with `T` = [`VP_STEPS`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Betas {
    /// `beta_k` evenly spaced from `start` to `end` (Ho et al., arXiv 2006.11239, section 4).
    Linear {
        /// First, in `(0, 1)`.
        start: f64,
        /// Last, in `[start, 1)`.
        end: f64,
    },
    /// `sqrt(beta_k)` evenly spaced (Rombach et al., arXiv 2112.10752; the released code).
    ScaledLinear {
        /// First, in `(0, 1)`.
        start: f64,
        /// Last, in `[start, 1)`.
        end: f64,
    },
    /// From a squared cosine, at most 0.999 (Nichol and Dhariwal, arXiv 2102.09672, eq. 17).
    Cosine,
}

impl Betas {
    /// DDPM, ADM and DiT: linear from 0.0001 to 0.02.
    pub const DDPM: Self = Self::Linear {
        start: 0.0001,
        end: 0.02,
    };
    /// Stable Diffusion 1, 2 and XL: scaled-linear from 0.00085 to 0.012.
    pub const STABLE_DIFFUSION: Self = Self::ScaledLinear {
        start: 0.00085,
        end: 0.012,
    };

    /// `beta_k`, `k` from 0.
    fn get(self, k: usize) -> f64 {
        let part = k as f64 / (VP_STEPS - 1) as f64;
        match self {
            Self::Linear { start, end } => start + (end - start) * part,
            Self::ScaledLinear { start, end } => {
                let root = start.sqrt() + (end.sqrt() - start.sqrt()) * part;
                root * root
            }
            Self::Cosine => {
                let bar = |k: usize| {
                    let part = k as f64 / VP_STEPS as f64;
                    let cos = libm::cos((part + 0.008) / 1.008 * FRAC_PI_2);
                    cos * cos
                };
                (1.0 - bar(k + 1) / bar(k)).min(0.999)
            }
        }
    }
}

/// A diffusion that cannot be.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
#[error("betas from {start} to {end} are no diffusion; they must satisfy 0 < start <= end < 1")]
pub struct PathError {
    /// First beta given.
    pub start: f64,
    /// Last beta given.
    pub end: f64,
}

/// The path from clean samples (level 0) to pure noise (level 1).
#[derive(Clone, Debug, PartialEq)]
pub enum NoisePath {
    /// `alpha = 1 - level`, `sigma = level` (Lipman et al., arXiv 2210.02747; SiT, FLUX).
    Flow,
    /// Variance preserving, `alpha^2 + sigma^2 = 1`; see [`NoisePath::vp`].
    Vp(Arc<[f64]>),
}

impl NoisePath {
    /// The path of a discrete diffusion, made continuous: level `t / T` is `alpha_t`, where
    /// `alpha_t^2 = (1 - beta_0) ... (1 - beta_{t-1})` and `alpha_0 = 1`; between two `t`,
    /// `ln alpha` is linear (Lu et al., arXiv 2206.00927, appendix D.3). So a network that was
    /// trained with indices `0..T` is told `T level - 1`, and level 1 is its noisiest index,
    /// where a little signal is left (`alpha` is 0.068 for Stable Diffusion).
    pub fn vp(betas: Betas) -> Result<Self, PathError> {
        if let Betas::Linear { start, end } | Betas::ScaledLinear { start, end } = betas
            && !(start > 0.0 && start <= end && end < 1.0)
        {
            return Err(PathError { start, end });
        }
        let mut sum = 0.0;
        let steps = (0..VP_STEPS).map(|k| {
            sum += 0.5 * libm::log1p(-betas.get(k));
            sum
        });
        Ok(Self::Vp(std::iter::once(0.0).chain(steps).collect()))
    }

    /// Signal and noise at `level`.
    pub fn at(&self, level: Level) -> Point {
        let level = f64::from(level.get());
        match self {
            Self::Flow => Point {
                alpha: 1.0 - level,
                sigma: level,
            },
            Self::Vp(log_alphas) => {
                let t = level * VP_STEPS as f64;
                let below = (t as usize).min(VP_STEPS - 1);
                let (low, high) = (log_alphas[below], log_alphas[below + 1]);
                let log_alpha = low + (high - low) * (t - below as f64);
                Point {
                    alpha: libm::exp(log_alpha),
                    sigma: (-libm::expm1(2.0 * log_alpha)).sqrt(),
                }
            }
        }
    }

    /// The forward noising from `from` up to `to`: `x' = keep x + noise e` with
    /// `keep = a'/a` and `noise^2 = s'^2 - (a'/a)^2 s^2`, returned as `(keep, noise)`.
    /// Both are finite where `from` holds any signal, which every level below 1 does.
    pub fn forward(&self, from: Level, to: Level) -> (f64, f64) {
        let (from, to) = (self.at(from), self.at(to));
        let keep = to.alpha / from.alpha;
        let variance = to.sigma * to.sigma - keep * keep * from.sigma * from.sigma;
        (keep, variance.max(0.0).sqrt())
    }
}
