//! How FLUX.1 spaces its steps: pushed towards noise, the more the larger the image (Esser et al.,
//! arXiv 2403.03206, section 5.3.2): `shift = exp(mu)`, with `mu` linear in the image's tokens.

use crate::checkpoint::Checkpoint;
use crate::denoiser::LatentShape;
use crate::models::unsupported;
use crate::pipeline::OpenError;
use crate::schedule::Schedule;
use serde::Deserialize;

/// The part of a `FlowMatchEulerDiscreteScheduler`'s configuration that spaces steps.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default)]
pub struct FlowConfig {
    /// Steps of the scale on which times are counted.
    pub num_train_timesteps: u32,
    /// The shift, where it does not depend on the image.
    pub shift: f64,
    /// Whether it depends on the image.
    pub use_dynamic_shifting: bool,
    /// `mu` of a small image.
    pub base_shift: f64,
    /// `mu` of a large image.
    pub max_shift: f64,
    /// Tokens of a small image.
    pub base_image_seq_len: u32,
    /// Tokens of a large image.
    pub max_image_seq_len: u32,
    /// Other spacings, which are not run here.
    #[serde(flatten)]
    others: Others,
}

/// Settings of other models that change the spacing.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
struct Others {
    invert_sigmas: bool,
    use_karras_sigmas: bool,
    use_exponential_sigmas: bool,
    use_beta_sigmas: bool,
    stochastic_sampling: bool,
    shift_terminal: Option<f64>,
    time_shift_type: Option<String>,
}

impl Default for FlowConfig {
    fn default() -> Self {
        Self {
            num_train_timesteps: 1000,
            shift: 1.0,
            use_dynamic_shifting: false,
            base_shift: 0.5,
            max_shift: 1.15,
            base_image_seq_len: 256,
            max_image_seq_len: 4096,
            others: Others::default(),
        }
    }
}

impl FlowConfig {
    /// The `scheduler` of a checkpoint.
    pub fn open(checkpoint: &Checkpoint) -> Result<Self, OpenError> {
        Ok(checkpoint.config("scheduler")?)
    }

    /// The spacing for latents of `shape`, of which two by two pixels are a token.
    pub fn schedule(&self, shape: LatentShape) -> Result<Schedule, OpenError> {
        self.check()?;
        if !self.use_dynamic_shifting {
            return Ok(Schedule::shifted(self.shift)?);
        }
        let tokens = (shape.height / 2 * (shape.width / 2)) as f64;
        let [base, most] = [self.base_image_seq_len, self.max_image_seq_len].map(f64::from);
        let slope = (self.max_shift - self.base_shift) / (most - base);
        let mu = self.base_shift + slope * (tokens - base);
        Ok(Schedule::shifted(libm::exp(mu))?)
    }

    fn check(&self) -> Result<(), OpenError> {
        let Others {
            invert_sigmas,
            use_karras_sigmas,
            use_exponential_sigmas,
            use_beta_sigmas,
            stochastic_sampling,
            shift_terminal,
            time_shift_type,
        } = &self.others;
        let switches = [
            ("invert_sigmas", *invert_sigmas),
            ("use_karras_sigmas", *use_karras_sigmas),
            ("use_exponential_sigmas", *use_exponential_sigmas),
            ("use_beta_sigmas", *use_beta_sigmas),
            ("stochastic_sampling", *stochastic_sampling),
        ];
        let refuse = |what: &str, found: &dyn std::fmt::Debug, supported: &str| {
            let what = format!("{what} of scheduler/scheduler_config.json");
            Err(unsupported(what, found, supported))
        };
        if let Some((name, _)) = switches.iter().find(|(_, on)| *on) {
            return refuse(name, &true, "false");
        }
        if let Some(end) = shift_terminal {
            return refuse("shift_terminal", end, "null");
        }
        if let Some(kind) = time_shift_type
            .as_ref()
            .filter(|kind| *kind != "exponential")
        {
            return refuse("time_shift_type", kind, "exponential");
        }
        if self.num_train_timesteps != 1000 {
            return refuse("num_train_timesteps", &self.num_train_timesteps, "1000");
        }
        if self.base_image_seq_len >= self.max_image_seq_len {
            let found = [self.base_image_seq_len, self.max_image_seq_len];
            return refuse("image_seq_len", &found, "the base below the maximum");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use noisesearch_core::level::Level;
    use serde_json::{Value, json};

    fn schedule(config: Value, side: usize) -> Result<Schedule, OpenError> {
        let config: FlowConfig = serde_json::from_value(config).unwrap();
        config.schedule(LatentShape {
            channels: 16,
            height: side,
            width: side,
        })
    }

    /// A level of two even steps is `s / (1 + s)`.
    fn shift(schedule: Schedule) -> f64 {
        let levels = schedule.levels(Level::NOISE, Level::CLEAN, 2);
        let level = f64::from(levels[1].get());
        level / (1.0 - level)
    }

    #[test]
    fn larger_images_are_shifted_more() {
        let dev = json!({"use_dynamic_shifting": true, "shift": 3.0, "max_shift": 1.15});
        for (side, mu) in [(32, 0.5), (128, 1.15), (64, 0.5 + 0.65 * 768.0 / 3840.0)] {
            let got = shift(schedule(dev.clone(), side).unwrap()).ln();
            assert!((got - mu).abs() < 1e-5, "{side}: {got} for {mu}");
        }
        let schnell = json!({"use_dynamic_shifting": false, "shift": 1.0});
        assert_eq!(schedule(schnell, 128).unwrap(), Schedule::EVEN);
    }

    #[test]
    fn levels_are_the_sigmas_of_the_reference() {
        #[derive(Deserialize)]
        struct Golden {
            flow: Vec<Flow>,
        }
        #[derive(Deserialize)]
        struct Flow {
            config: Value,
            side: usize,
            steps: u16,
            sigmas: Vec<f32>,
        }
        let golden = include_bytes!("../../../../../parity/goldens/schedules.json");
        let golden: Golden = serde_json::from_slice(golden).unwrap();
        assert!(golden.flow.len() >= 9);
        for flow in golden.flow {
            let schedule = schedule(flow.config, flow.side / 8).unwrap();
            let levels = schedule.levels(Level::NOISE, Level::CLEAN, flow.steps);
            assert_eq!(levels.len(), flow.sigmas.len());
            for (level, sigma) in levels.iter().zip(flow.sigmas) {
                let (side, steps, off) = (flow.side, flow.steps, (level.get() - sigma).abs());
                assert!(
                    off < 2e-6,
                    "{side} pixels, {steps} steps: {sigma} off by {off}"
                );
            }
        }
    }

    #[test]
    fn other_spacings_are_refused_by_name() {
        for (field, value) in [
            ("use_karras_sigmas", json!(true)),
            ("shift_terminal", json!(0.1)),
            ("time_shift_type", json!("linear")),
            ("num_train_timesteps", json!(500)),
            ("max_image_seq_len", json!(256)),
        ] {
            let error = schedule(json!({field: value}), 64).unwrap_err().to_string();
            let name = field.trim_start_matches("max_");
            assert!(error.contains(name), "{error}");
        }
        assert!(schedule(json!({"shift": 0.0}), 64).is_err());
        let wild = json!({"use_dynamic_shifting": true, "max_shift": 1e300});
        assert!(schedule(wild, 128).is_err());
    }
}
