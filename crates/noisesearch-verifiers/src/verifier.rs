//! The verifier seam: one row in, one value out, order kept.

use candle_core::{Result, Tensor};
use noisesearch_core::ledger::Fees;
use noisesearch_core::level::Level;
use noisesearch_models::task::Task;
use std::sync::Arc;

/// Who judges: it goes into the run's fingerprint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifierId {
    /// Short name, as typed after `--verifier`.
    pub name: String,
    /// BLAKE3 of the weights in hex, or what else says which judge it is; empty for a verifier
    /// without weights.
    pub weights: String,
    /// Version of its preprocessing and arithmetic.
    pub version: u32,
}

/// Images to be judged.
pub struct Samples<'a> {
    /// Finished images `[b, 1|3, h, w]` f32 in `[0, 1]`.
    pub images: &'a Tensor,
    /// The x0-prediction at [`Verifier::early_level`], decoded like `images`; present when asked.
    pub early: Option<&'a Tensor>,
}

/// Scores finished images; higher is better.
pub trait Verifier: Send + Sync {
    /// Name, weights and version.
    fn id(&self) -> &VerifierId;
    /// The level at which this verifier also wants the x0-prediction, if it does.
    fn early_level(&self) -> Option<Level> {
        None
    }
    /// One value a row of `samples`, in row order; a row's value does not depend on its
    /// neighbours. NaN is a row that could not be judged; an error is one of all rows.
    fn score(&self, task: &Task, samples: &Samples) -> Result<Vec<f64>>;
    /// Whether the same picture may get another score when it is judged again.
    fn varies(&self) -> bool {
        false
    }
    /// [`Self::score`] that uses nothing kept of earlier answers: of a verifier that varies, an
    /// independent second look.
    fn score_afresh(&self, task: &Task, samples: &Samples) -> Result<Vec<f64>> {
        self.score(task, samples)
    }
    /// What a person should know since this was last asked, such as why a row has no score.
    fn notes(&self) -> Vec<String> {
        Vec::new()
    }
    /// What was asked of services that may charge for it since this verifier was opened.
    fn fees(&self) -> Fees {
        Fees::default()
    }
    /// Told that these images, `[b, 1|3, h, w]` in `[0, 1]`, were chosen for `task`. Only a
    /// verifier that judges a sample by the set it would join listens.
    fn accept(&self, _task: &Task, _images: &Tensor) -> Result<()> {
        Ok(())
    }
    /// Whether a score means "pass", for verifiers that grade exactly.
    fn passes(&self, _score: f64) -> Option<bool> {
        None
    }
    /// Whether a rough picture, without the decoder's detail, may be scored as a preview. A
    /// verifier that looks for exact shapes, or compares two decoded pictures, says no.
    fn takes_rough_previews(&self) -> bool {
        true
    }
    /// How the score changes with the pixels, for a verifier that can say; a search may climb it.
    /// A verifier that only evaluates does not say.
    fn gradient(&self) -> Option<&dyn ScoreGradient> {
        None
    }
}

/// A [`Verifier`] whose score has a gradient.
pub trait ScoreGradient: Send + Sync {
    /// The gradient of the score with respect to the pixels of one finished image
    /// `[1, 1|3, h, w]` f32 in `[0, 1]`, same shape.
    fn slope(&self, task: &Task, image: &Tensor) -> Result<Tensor>;
}

/// Several runs may share a verifier, such as one that judges the set of all their answers.
impl<V: Verifier + ?Sized> Verifier for Arc<V> {
    fn id(&self) -> &VerifierId {
        (**self).id()
    }
    fn early_level(&self) -> Option<Level> {
        (**self).early_level()
    }
    fn score(&self, task: &Task, samples: &Samples) -> Result<Vec<f64>> {
        (**self).score(task, samples)
    }
    fn varies(&self) -> bool {
        (**self).varies()
    }
    fn score_afresh(&self, task: &Task, samples: &Samples) -> Result<Vec<f64>> {
        (**self).score_afresh(task, samples)
    }
    fn notes(&self) -> Vec<String> {
        (**self).notes()
    }
    fn fees(&self) -> Fees {
        (**self).fees()
    }
    fn accept(&self, task: &Task, images: &Tensor) -> Result<()> {
        (**self).accept(task, images)
    }
    fn passes(&self, score: f64) -> Option<bool> {
        (**self).passes(score)
    }
    fn takes_rough_previews(&self) -> bool {
        (**self).takes_rough_previews()
    }
    fn gradient(&self) -> Option<&dyn ScoreGradient> {
        (**self).gradient()
    }
}
