//! `fid` and `oracle-fid`: how near the accepted pictures come to real ones with this one among
//! them, the greedy oracle of Ma et al. 2025 (arXiv 2501.09732, section 3).
//!
//! ```text
//! score = -frechet distance(accepted pictures and this one, statistics)
//! ```
//!
//! It judges a set, not a picture: [`Verifier::accept`] tells it what was chosen, and every later
//! score depends on that. The distance of a small set is far from its value for many pictures;
//! compare distances of sets of one size only.

use crate::glyphs::judge::Judge;
use crate::glyphs::oracle::Oracle;
use crate::image::Entry;
use crate::inception::describer::InceptionDescriber;
use crate::metrics::describe::Describer;
use crate::metrics::frechet::Gaussian;
use crate::metrics::greedy::{Set, Target};
use crate::metrics::statistics::{Statistics, StatisticsError};
use crate::metrics::{Features, MetricError};
use crate::verifier::{Samples, Verifier, VerifierId};
use candle_core::{Result, Tensor};
use noisesearch_models::checkpoint::Checkpoint;
use noisesearch_models::layers::Place;
use noisesearch_models::pipeline::OpenError;
use noisesearch_models::task::Task;
use noisesearch_models::weights::Weights;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Version of the preprocessing and arithmetic.
const VERSION: u32 = 1;
/// The file with the statistics, beside the network.
const STATISTICS: &str = "statistics.safetensors";
/// Directions of Inception's 2048 that are compared when a name is typed: a picture that is
/// accepted costs 50 ms instead of 30 s.
pub const DIRECTIONS: usize = 256;

/// The entry, with Inception's features.
pub const ENTRY: Entry = Entry {
    name: "fid",
    about: "minus the FID of the accepted pictures with this one among them",
    repository: "https://github.com/mseitzer/pytorch-fid/releases/tag/fid_weights",
    file: "pt_inception-2015-12-05-6726825d.pth",
    bytes: 95_600_000,
    licence: "Apache-2.0",
    open: |folder| Ok(Box::new(Fid::open(folder)?)),
};

/// The verifier.
pub struct Fid {
    id: VerifierId,
    describer: Box<dyn Describer>,
    set: Mutex<Set>,
}

impl Fid {
    /// Compares features by `describer` with `statistics` of such features, in the `directions` in
    /// which these vary most, 1 to all.
    pub fn new(
        name: &str,
        describer: Box<dyn Describer>,
        statistics: &Gaussian,
        directions: usize,
    ) -> std::result::Result<Self, MetricError> {
        let mut hasher = blake3::Hasher::new();
        for value in statistics.mean().iter().chain(statistics.covariance()) {
            hasher.update(&value.to_le_bytes());
        }
        let (network, statistics_hash) = (describer.id().1, hasher.finalize().to_hex());
        Ok(Self {
            id: VerifierId {
                name: name.into(),
                weights: format!("{network} {statistics_hash} {directions}"),
                version: VERSION,
            },
            set: Mutex::new(Set::new(Target::new(statistics, directions)?)),
            describer,
        })
    }

    /// Inception-v3 and the statistics of real pictures from a folder with `model.safetensors` and
    /// `statistics.safetensors`, in the 256 directions in which these vary most.
    ///
    /// # Errors
    /// Files that are missing, damaged or something else.
    pub fn open(folder: &Path) -> std::result::Result<Self, OpenError> {
        let network = Checkpoint::of_network(folder).weights("")?;
        let describer = InceptionDescriber::load(network, &Place::cpu())?;
        let unsupported = |error: &dyn std::error::Error| OpenError::Unsupported {
            what: STATISTICS.to_owned(),
            found: error.to_string(),
            supported: "statistics of Inception's 2048 features".into(),
        };
        let statistics = Statistics::take(Weights::open(&folder.join(STATISTICS))?);
        let statistics = statistics.map_err(|error| match error {
            StatisticsError::Weights(error) => OpenError::from(error),
            StatisticsError::Metric(error) => unsupported(&error),
        })?;
        let of_them =
            crate::metrics::same_dim(statistics.gaussian.dim(), crate::inception::FEATURES);
        let fid = of_them.and_then(|()| {
            Self::new(
                ENTRY.name,
                Box::new(describer),
                &statistics.gaussian,
                DIRECTIONS,
            )
        });
        fid.map_err(|error| unsupported(&error))
    }

    /// `oracle-fid`: the lab's glyphs against 5400 real ones, by the oracle's 64 features.
    pub fn glyphs() -> std::result::Result<Self, StatisticsError> {
        let oracle = Oracle::new(Judge::oracle()?);
        let reference = Gaussian::of(&crate::glyphs::reference()?)?;
        let directions = reference.dim();
        Ok(Self::new(
            "oracle-fid",
            Box::new(oracle),
            &reference,
            directions,
        )?)
    }

    /// How many pictures were accepted.
    pub fn accepted(&self) -> usize {
        self.set().count()
    }

    fn set(&self) -> MutexGuard<'_, Set> {
        self.set.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Rows in f64.
fn wide(features: &Features) -> Vec<Vec<f64>> {
    let row = |row: &[f32]| row.iter().map(|&value| f64::from(value)).collect();
    features.rows().map(row).collect()
}

impl Verifier for Fid {
    fn id(&self) -> &VerifierId {
        &self.id
    }

    fn score(&self, _task: &Task, samples: &Samples) -> Result<Vec<f64>> {
        let rows = wide(&self.describer.features(samples.images)?);
        let set = self.set();
        Ok(rows.iter().map(|row| -set.distance_with(row)).collect())
    }

    fn accept(&self, _task: &Task, images: &Tensor) -> Result<()> {
        let rows = wide(&self.describer.features(images)?);
        let mut set = self.set();
        rows.iter().for_each(|row| set.accept(row));
        Ok(())
    }
}
