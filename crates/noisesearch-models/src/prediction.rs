//! What a network predicts, turned into the clean sample in one place.

use crate::path::{NoisePath, Point};
use noisesearch_core::level::Level;

/// What a network was trained to predict at `x = alpha x0 + sigma e`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Prediction {
    /// The noise `e` (Ho et al., arXiv 2006.11239).
    Noise,
    /// `v = alpha e - sigma x0` (Salimans and Ho, arXiv 2202.00512).
    Velocity,
    /// The flow velocity `e - x0`, which is `dx/dlevel` of the linear flow. A network whose time
    /// runs from noise to data predicts its negative.
    Flow,
    /// The clean sample `x0`.
    Clean,
}

/// A prediction that a path cannot use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a network that predicts noise says nothing at pure noise, where the linear flow starts; \
     use a velocity or clean-sample prediction, or a variance-preserving path"
)]
pub struct PredictionError;

impl Prediction {
    /// Checks that the clean sample can be found at every level of `path`.
    pub fn check(self, path: &NoisePath) -> Result<(), PredictionError> {
        match self {
            Self::Noise if path.at(Level::NOISE).alpha == 0.0 => Err(PredictionError),
            _ => Ok(()),
        }
    }

    /// `(p, q)` such that `x0 = p x + q output`. Infinite only for [`Prediction::Noise`] where
    /// `alpha` is 0, see [`Prediction::check`].
    pub fn weights(self, Point { alpha, sigma }: Point) -> (f64, f64) {
        match self {
            Self::Noise => (1.0 / alpha, -sigma / alpha),
            Self::Velocity => {
                let norm = alpha * alpha + sigma * sigma;
                (alpha / norm, -sigma / norm)
            }
            Self::Flow => (1.0 / (alpha + sigma), -sigma / (alpha + sigma)),
            Self::Clean => (0.0, 1.0),
        }
    }
}
