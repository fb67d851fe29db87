//! Statistics of a set in a safetensors file.
//!
//! ```text
//! mean [d] F64, covariance [d, d] F64
//! n [1] F64                    optional; samples
//! features [n, d] F32          optional; for precision, recall and the inception score
//! described_by [32] F32        optional; BLAKE3 of the network, a byte a number
//! ```
//!
//! Those of other programs are read by [`super::archive`].

use super::frechet::Gaussian;
use super::{Features, MetricError};
use noisesearch_models::weights::{Weights, WeightsError};

/// Bytes of a hash.
const HASH: usize = 32;

/// A file that holds no statistics.
#[derive(Debug, thiserror::Error)]
pub enum StatisticsError {
    /// It cannot be read, or is something else.
    #[error(transparent)]
    Weights(#[from] WeightsError),
    /// Its numbers are none of a set.
    #[error(transparent)]
    Metric(#[from] MetricError),
}

/// A set of pictures, as far as the metrics need it.
#[derive(Clone, Debug, PartialEq)]
pub struct Statistics {
    /// Mean and covariance of the features.
    pub gaussian: Gaussian,
    /// The features, where they are kept.
    pub features: Option<Features>,
    /// BLAKE3 of the describer's weights in hexadecimal, where it is known.
    pub described_by: Option<String>,
}

impl Statistics {
    /// Takes every tensor of a file.
    pub fn take(mut weights: Weights) -> Result<Self, StatisticsError> {
        let first = |weights: &Weights, name: &str| {
            let found = weights.tensors().find(|(key, _)| *key == name);
            found.and_then(|(_, shape)| usize::try_from(*shape.first()?).ok())
        };
        let d = first(&weights, "mean").unwrap_or(1);
        let mean = weights.take_f64("mean", &[d])?;
        let covariance = weights.take_f64("covariance", &[d, d])?;
        let n = match weights.has("n") {
            true => weights.take_f64("n", &[1])?.first().map(|&n| n as usize),
            false => None,
        };
        let features = match first(&weights, "features") {
            Some(n) => Some(weights.take_vec("features", &[n, d])?),
            None => None,
        };
        let described_by = match weights.has("described_by") {
            true => Some(weights.take_vec("described_by", &[HASH])?),
            false => None,
        };
        weights.finish()?;
        let hex = |bytes: Vec<f32>| bytes.iter().map(|&b| format!("{:02x}", b as u8)).collect();
        Ok(Self {
            gaussian: Gaussian::new(mean, covariance, n)?,
            features: features
                .map(|values| Features::new(d, values))
                .transpose()?,
            described_by: described_by.map(hex),
        })
    }
}
