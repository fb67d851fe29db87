//! Noise level of a sample: 1 is pure noise, 0 is clean.

use serde::{Deserialize, Serialize};

/// A noise level in `[0, 1]`: 1 is pure noise, 0 is clean.
///
/// On the linear flow path it is sigma itself; on a variance-preserving path it is the
/// diffusion time `t / T`.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(try_from = "f32", into = "f32")]
pub struct Level(f32);

/// A number that is no noise level.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
#[error("noise level {0} is outside [0, 1]; 1 is pure noise, 0 is clean")]
pub struct LevelError(pub f32);

impl Level {
    /// Pure noise.
    pub const NOISE: Self = Self(1.0);
    /// A clean sample.
    pub const CLEAN: Self = Self(0.0);

    /// Checks that `value` is a finite number in `[0, 1]`. Negative zero becomes zero.
    pub fn new(value: f32) -> Result<Self, LevelError> {
        if (0.0..=1.0).contains(&value) {
            Ok(Self(value + 0.0))
        } else {
            Err(LevelError(value))
        }
    }

    /// The level as a number in `[0, 1]`.
    pub fn get(self) -> f32 {
        self.0
    }
}

impl TryFrom<f32> for Level {
    type Error = LevelError;
    fn try_from(value: f32) -> Result<Self, LevelError> {
        Self::new(value)
    }
}

impl From<Level> for f32 {
    fn from(level: Level) -> f32 {
        level.0
    }
}
