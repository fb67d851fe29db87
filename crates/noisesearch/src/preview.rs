//! How x0-predictions are decoded for their scores.

use crate::error::Error;
use crate::spec::{Resolved, SpecError};
use noisesearch_models::denoiser::{Decoder, Denoiser};
use noisesearch_models::preview::{FIT_VERSION, FitError, Linear};
use noisesearch_verifiers::verifier::Verifier;
use serde::{Deserialize, Serialize};
use std::str::FromStr;

/// How x0-predictions are decoded for their scores. Finished samples always take the decoder.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Preview {
    /// By the model's decoder.
    #[default]
    Full,
    /// By a linear map of the latents that is fitted to the model's decoder when it is opened.
    Linear,
}

impl FromStr for Preview {
    type Err = SpecError;

    fn from_str(name: &str) -> Result<Self, SpecError> {
        match name {
            "full" => Ok(Self::Full),
            "linear" => Ok(Self::Linear),
            _ => Err(SpecError::Unknown {
                what: "preview",
                name: name.chars().take(80).collect(),
                known: "full, linear".into(),
            }),
        }
    }
}

/// What stands for the decoder of `(denoiser, decoder)` where a spec asks for it, unless the model
/// or a verifier cannot take it. The same decoder gives the same map whenever it is opened.
pub(crate) fn open(
    spec: &Resolved,
    (denoiser, decoder): (&dyn Denoiser, &dyn Decoder),
    verifiers: &[Box<dyn Verifier>],
) -> Result<Option<Linear>, Error> {
    if spec.preview == Preview::Full {
        return Ok(None);
    }
    let refuse = |what, name: &str, why: String| SpecError::NoLinearPreview {
        what,
        name: name.to_owned(),
        why,
    };
    if let Some(verifier) = verifiers.iter().find(|v| !v.takes_rough_previews()) {
        let why = "it judges detail that they do not have".into();
        return Err(refuse("verifier", &verifier.id().name, why).into());
    }
    match Linear::fit(decoder, denoiser.shape().channels) {
        Ok(map) => Ok(Some(map)),
        Err(FitError::Decoder(error)) => Err(error.into()),
        Err(error) => Err(refuse("model", &spec.model, error.to_string()).into()),
    }
}

/// How a map was made, for the fingerprint: with the weights, it is all that decides it.
pub(crate) fn name() -> String {
    format!("linear-v{FIT_VERSION}")
}

/// What a person is told of a map.
pub(crate) fn note(map: &Linear) -> String {
    let share = 100.0 * map.explained_share();
    format!("linear previews explain {share:.1} % of the variance of decoded pictures (R^2)")
}
