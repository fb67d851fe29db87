//! Self-supervised verifiers: how much the x0-prediction at level 0.4 already looks like the
//! finished image (Ma et al. 2025, arXiv 2501.09732, section 3.1). They need neither prompt nor
//! class.
//!
//! ```text
//! score = cos(f(x0-prediction), f(image)) = a · b / (|a| |b|)
//! ```

use crate::image::finite;
use crate::verifier::{Samples, Verifier, VerifierId};
use candle_core::{Result, Tensor, bail};
use noisesearch_core::level::Level;
use noisesearch_models::task::Task;

/// Images `[b, 1|3, h, w]` to features, a list a row.
type Features = Box<dyn Fn(&Tensor) -> Result<Vec<Vec<f32>>> + Send + Sync>;

/// Compares an image with its early prediction by the features of some network, -1 to 1; 0 where
/// one of them has none.
pub struct Agreement {
    id: VerifierId,
    features: Features,
}

impl Agreement {
    /// By the features that `features` makes of images `[b, 1|3, h, w]`, a list a row.
    pub fn new(
        id: VerifierId,
        features: impl Fn(&Tensor) -> Result<Vec<Vec<f32>>> + Send + Sync + 'static,
    ) -> Self {
        let features = Box::new(features);
        Self { id, features }
    }
}

impl Verifier for Agreement {
    fn id(&self) -> &VerifierId {
        &self.id
    }

    fn takes_rough_previews(&self) -> bool {
        false
    }

    fn early_level(&self) -> Option<Level> {
        Level::new(0.4).ok()
    }

    fn score(&self, _task: &Task, samples: &Samples) -> Result<Vec<f64>> {
        let name = &self.id.name;
        let Some(early) = samples.early else {
            bail!(
                "the verifier \"{name}\" compares an image with its x0-prediction at level 0.4, \
                 and was given none"
            )
        };
        if early.dims() != samples.images.dims() {
            let (early, images) = (early.dims(), samples.images.dims());
            bail!("x0-predictions {early:?} do not belong to images {images:?}")
        }
        let early = (self.features)(early)?;
        let last = (self.features)(samples.images)?;
        let scores = early.iter().zip(&last).map(|(a, b)| cosine(a, b));
        finite(name, scores.collect())
    }
}

/// Cosine of the angle between `a` and `b`, in f64; 0 when either has no length.
fn cosine(a: &[f32], b: &[f32]) -> f64 {
    let dot = |a: &[f32], b: &[f32]| -> f64 {
        let products = a.iter().zip(b).map(|(x, y)| f64::from(*x) * f64::from(*y));
        products.sum()
    };
    let length = (dot(a, a) * dot(b, b)).sqrt();
    if length == 0.0 {
        0.0
    } else {
        dot(a, b) / length
    }
}

#[cfg(test)]
mod tests {
    use super::cosine;

    #[test]
    fn the_cosine_sees_directions_only() {
        assert_eq!(cosine(&[3.0, 4.0], &[6.0, 8.0]), 1.0);
        assert_eq!(cosine(&[1.0, 0.0], &[0.0, 5.0]), 0.0);
        assert_eq!(cosine(&[1.0, 0.0], &[3.0, 4.0]), 0.6);
        assert_eq!(cosine(&[0.0, 0.0], &[3.0, 4.0]), 0.0);
    }
}
