//! What is measured of a set of pictures, from features that a [`describe::Describer`] makes.
//!
//! Every metric says of how many samples it is, and warns where these are few for it.

pub mod archive;
pub mod describe;
pub mod eigen;
mod features;
pub mod frechet;
pub mod greedy;
pub mod inception_score;
pub mod precision_recall;
pub mod scores;
pub mod statistics;

pub use features::Features;
pub(crate) use features::same_dim;
use std::fmt;

/// What cannot be measured.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MetricError {
    /// Values that do not divide into rows.
    #[error("{values} values are no rows of {dim}")]
    Ragged {
        /// Values there are.
        values: usize,
        /// Values of a row.
        dim: usize,
    },
    /// NaN or infinity.
    #[error("row {row} holds a value that is not finite; leave that sample out")]
    NonFinite {
        /// Of the features.
        row: usize,
    },
    /// Fewer samples than the metric is defined for.
    #[error("{metric} of {found} samples; it needs at least {least}")]
    TooFew {
        /// Which.
        metric: &'static str,
        /// Samples there are.
        found: usize,
        /// Samples it needs.
        least: usize,
    },
    /// Two sets that were described differently.
    #[error("one set has {left} features a sample and the other {right}; describe both alike")]
    Dimensions {
        /// Features of the one.
        left: usize,
        /// Features of the other.
        right: usize,
    },
    /// Scores that do not belong together.
    #[error("{left} scores against {right}; pairs are compared, so there must be as many")]
    Unpaired {
        /// Scores of the one.
        left: usize,
        /// Scores of the other.
        right: usize,
    },
    /// Probabilities that are none.
    #[error("row {row} is no distribution: its values must be at least 0 and sum to 1")]
    NoDistribution {
        /// Of the probabilities.
        row: usize,
    },
    /// A mean and a covariance of different sizes, or of none.
    #[error(
        "a covariance of {covariance} values for a mean of {mean}; it must have {mean} squared"
    )]
    Sizes {
        /// Values of the mean.
        mean: usize,
        /// Values of the covariance.
        covariance: usize,
    },
    /// A mean or covariance with NaN or infinity, or so large that squares are.
    #[error("the statistics hold a value that is not finite, or too large to be squared")]
    NonFiniteStatistics,
    /// No samples have it.
    #[error("the covariance is not one: it has a negative eigenvalue")]
    Negative,
    /// Too few or too many directions of statistics.
    #[error("{wanted} dimensions of statistics that have {found}; name 1 to {found}")]
    Directions {
        /// What was asked for.
        wanted: usize,
        /// What there is.
        found: usize,
    },
}

/// Why a value should be read with care.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Caution {
    /// A covariance of `n` samples in `dim` dimensions has no full rank: the distance is mostly
    /// bias.
    Singular {
        /// Samples of the smaller set.
        n: usize,
        /// Features of a sample.
        dim: usize,
    },
    /// The bias of a distance, about proportional to `dim / n` (Chong and Forsyth 2020, arXiv
    /// 1911.07023), is not small yet.
    Biased {
        /// Samples of the smaller set.
        n: usize,
        /// Features of a sample.
        dim: usize,
    },
    /// So few samples of each class that the mean distribution is a guess.
    FewOfClass {
        /// Samples.
        n: usize,
        /// Classes.
        classes: usize,
    },
    /// So few samples that their neighbourhoods say little of the set.
    FewNeighbours {
        /// Samples of the smaller set.
        n: usize,
    },
}

impl fmt::Display for Caution {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Singular { n, dim } => write!(
                f,
                "{n} samples are too few for {dim} features: the covariance has no full rank and \
                 the distance is mostly bias; compare it with distances of sets of {n} only"
            ),
            Self::Biased { n, dim } => write!(
                f,
                "{n} samples are few for {dim} features: the distance is too large by a share \
                 that falls with n; compare it with distances of sets of {n} only"
            ),
            Self::FewOfClass { n, classes } => write!(
                f,
                "{n} samples are few for {classes} classes: the score is too small"
            ),
            Self::FewNeighbours { n } => {
                write!(
                    f,
                    "{n} samples are few: precision and recall vary by chance"
                )
            }
        }
    }
}
