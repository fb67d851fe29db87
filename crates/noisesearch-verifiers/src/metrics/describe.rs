//! The describer seam: pictures become features, and features class probabilities.

use super::Features;
use candle_core::{Result, Tensor};

/// Describes pictures for the metrics of sets. Features suffice for every metric, so that they
/// may be stored instead of pictures.
pub trait Describer: Send + Sync {
    /// Short name and BLAKE3 of the weights: what is described by another is not comparable.
    fn id(&self) -> (&str, &str);

    /// Features of `images: [b, 1|3, h, w]` f32 in `[0, 1]`, one row each in order; a row does
    /// not depend on its neighbours.
    fn features(&self, images: &Tensor) -> Result<Features>;

    /// Class probabilities of rows of [`Describer::features`], one row each in order; each row
    /// sums to 1.
    fn probabilities(&self, features: &Features) -> Result<Features>;
}
