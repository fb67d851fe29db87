//! What a `scheduler_config.json` says of the noise that a variance-preserving network was trained
//! with (Ho et al., arXiv 2006.11239; Rombach et al., arXiv 2112.10752). How steps are spaced and
//! taken is not read: this program has its own solvers.

use crate::checkpoint::Checkpoint;
use crate::path::{Betas, NoisePath, VP_STEPS};
use crate::pipeline::OpenError;
use crate::prediction::Prediction;
use serde::Deserialize;
use serde_json::Value;

/// The fields of diffusers' schedulers that describe training.
#[derive(Clone, Debug, Deserialize)]
pub struct SchedulerConfig {
    /// Steps of the discrete diffusion.
    #[serde(default = "thousand")]
    pub num_train_timesteps: usize,
    /// `linear`, `scaled_linear` or `squaredcos_cap_v2`.
    #[serde(default = "linear")]
    pub beta_schedule: String,
    /// First beta.
    #[serde(default = "first")]
    pub beta_start: f64,
    /// Last beta.
    #[serde(default = "last")]
    pub beta_end: f64,
    /// `epsilon`, `v_prediction` or `sample`.
    #[serde(default = "epsilon")]
    pub prediction_type: String,
    /// Betas given one by one; not run.
    #[serde(default)]
    pub trained_betas: Value,
    /// Whether the last step is pure noise (Lin et al., arXiv 2305.08891); not run.
    #[serde(default)]
    pub rescale_betas_zero_snr: bool,
}

fn thousand() -> usize {
    VP_STEPS
}

fn linear() -> String {
    "linear".into()
}

fn first() -> f64 {
    0.0001
}

fn last() -> f64 {
    0.02
}

fn epsilon() -> String {
    "epsilon".into()
}

impl SchedulerConfig {
    /// The `scheduler` of a checkpoint.
    pub fn open(checkpoint: &Checkpoint) -> Result<Self, OpenError> {
        Ok(checkpoint.config("scheduler")?)
    }

    /// From clean samples to the noise of training.
    pub fn path(&self) -> Result<NoisePath, OpenError> {
        let (start, end) = (self.beta_start, self.beta_end);
        let betas = match self.beta_schedule.as_str() {
            "linear" => Betas::Linear { start, end },
            "scaled_linear" => Betas::ScaledLinear { start, end },
            "squaredcos_cap_v2" => Betas::Cosine,
            other => {
                let known = "linear, scaled_linear, squaredcos_cap_v2";
                return Err(unsupported("beta_schedule", other, known));
            }
        };
        if self.num_train_timesteps != VP_STEPS {
            let found = self.num_train_timesteps.to_string();
            return Err(unsupported("num_train_timesteps", &found, "1000"));
        }
        if !self.trained_betas.is_null() {
            let known = "beta_start and beta_end";
            return Err(unsupported("trained_betas", "a list", known));
        }
        if self.rescale_betas_zero_snr {
            return Err(unsupported("rescale_betas_zero_snr", "true", "false"));
        }
        Ok(NoisePath::vp(betas)?)
    }

    /// What the network predicts.
    pub fn prediction(&self) -> Result<Prediction, OpenError> {
        match self.prediction_type.as_str() {
            "epsilon" => Ok(Prediction::Noise),
            "v_prediction" => Ok(Prediction::Velocity),
            "sample" => Ok(Prediction::Clean),
            other => {
                let known = "epsilon, v_prediction, sample";
                Err(unsupported("prediction_type", other, known))
            }
        }
    }
}

fn unsupported(field: &str, found: &str, supported: &str) -> OpenError {
    OpenError::Unsupported {
        what: format!("{field} of scheduler/scheduler_config.json"),
        found: found.into(),
        supported: supported.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn config(json: Value) -> SchedulerConfig {
        serde_json::from_value(json).unwrap()
    }

    #[test]
    fn published_settings_are_read() {
        let sdxl = config(json!({
            "beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012,
            "prediction_type": "v_prediction", "trained_betas": null, "set_alpha_to_one": false,
        }));
        let want = NoisePath::vp(Betas::STABLE_DIFFUSION).unwrap();
        assert_eq!(sdxl.path().unwrap(), want);
        assert_eq!(sdxl.prediction().unwrap(), Prediction::Velocity);
        let bare = config(json!({}));
        assert_eq!(bare.path().unwrap(), NoisePath::vp(Betas::DDPM).unwrap());
        assert_eq!(bare.prediction().unwrap(), Prediction::Noise);
    }

    #[test]
    fn what_is_not_run_is_named() {
        for (json, says) in [
            (json!({"beta_schedule": "sigmoid"}), "sigmoid"),
            (json!({"num_train_timesteps": 500}), "500"),
            (json!({"trained_betas": [0.1]}), "trained_betas"),
            (json!({"rescale_betas_zero_snr": true}), "zero_snr"),
            (json!({"beta_start": 2.0}), "betas from 2"),
        ] {
            let error = config(json).path().unwrap_err().to_string();
            assert!(error.contains(says), "{error}");
        }
        let other = config(json!({"prediction_type": "score"}));
        let error = other.prediction().unwrap_err().to_string();
        assert!(error.contains("score"), "{error}");
    }
}
