//! `fid`: how near the accepted pictures come to given statistics with this one among them, the
//! greedy oracle of Ma et al. 2025 (arXiv 2501.09732, section 3).
//!
//! ```text
//! score = -frechet distance(accepted pictures and this one, statistics)
//! ```
//!
//! It judges a set, not a picture: [`Verifier::accept`] tells it what was chosen, and every later
//! score depends on that. The distance of a small set is far from its value for many pictures;
//! compare distances of sets of one size only.

use super::{FEATURES, Inception};
use crate::metrics::MetricError;
use crate::metrics::frechet::Gaussian;
use crate::metrics::greedy::{Set, Target};
use crate::verifier::{Samples, Verifier, VerifierId};
use candle_core::{Result, Tensor, bail};
use noisesearch_models::layers::{Place, Source};
use noisesearch_models::task::Task;
use noisesearch_models::weights::{Weights, WeightsError};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Version of the preprocessing and arithmetic.
const VERSION: u32 = 1;

/// Files that the verifier cannot use.
#[derive(Debug, thiserror::Error)]
pub enum FidError {
    /// A file that is none of its.
    #[error(transparent)]
    Weights(#[from] WeightsError),
    /// Numbers that are no statistics.
    #[error("the statistics cannot be used: {0}")]
    Statistics(#[from] MetricError),
}

/// The verifier.
pub struct Fid {
    id: VerifierId,
    network: Inception,
    set: Mutex<Set>,
}

impl Fid {
    /// From the network's file and that of the statistics: `mu [2048]` and `sigma [2048, 2048]`, as
    /// `scripts/convert_inception.py` makes it of pytorch-fid's `.npz`. The `dimensions` in which
    /// the statistics vary most are compared, 1 to 2048.
    pub fn load(
        mut network: Weights,
        mut statistics: Weights,
        dimensions: usize,
        place: &Place,
    ) -> std::result::Result<Self, FidError> {
        let weights = format!("{} {} {dimensions}", network.hash(), statistics.hash());
        let mean = statistics.take_f64("mu", &[FEATURES])?;
        let covariance = statistics.take_f64("sigma", &[FEATURES; 2])?;
        statistics.finish()?;
        let statistics = Gaussian::new(mean, covariance, None)?;
        let inception = Inception::load(Source::new(&mut network, place))?;
        network.finish()?;
        Ok(Self {
            id: VerifierId {
                name: "fid".into(),
                weights,
                version: VERSION,
            },
            network: inception,
            set: Mutex::new(Set::new(Target::new(&statistics, dimensions)?)),
        })
    }

    /// How many pictures were accepted.
    pub fn accepted(&self) -> usize {
        self.set().count()
    }

    fn features(&self, images: &Tensor) -> Result<Vec<Vec<f64>>> {
        let rows: Vec<Vec<f32>> = self.network.features(images)?.to_vec2()?;
        let wide = |row: Vec<f32>| row.into_iter().map(f64::from).collect();
        Ok(rows.into_iter().map(wide).collect())
    }

    fn set(&self) -> MutexGuard<'_, Set> {
        self.set.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Verifier for Fid {
    fn id(&self) -> &VerifierId {
        &self.id
    }

    fn score(&self, _task: &Task, samples: &Samples) -> Result<Vec<f64>> {
        let rows = self.features(samples.images)?;
        let set = self.set();
        Ok(rows.iter().map(|row| -set.distance_with(row)).collect())
    }

    fn accept(&self, _task: &Task, images: &Tensor) -> Result<()> {
        let rows = self.features(images)?;
        if !rows.iter().flatten().all(|value| value.is_finite()) {
            bail!("fid was given a picture whose features are not finite")
        }
        let mut set = self.set();
        rows.iter().for_each(|row| set.accept(row));
        Ok(())
    }
}
