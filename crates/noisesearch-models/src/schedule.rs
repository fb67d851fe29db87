//! Which levels a solver visits.

use noisesearch_core::level::Level;

/// A spacing of levels: even, or pushed towards noise by a shift `s`,
/// `level = s u / (1 + (s - 1) u)` with `u` even (Esser et al., arXiv 2403.03206, section 5.3.2).
///
/// Even levels are the uniform times of flow models and the "trailing" steps of discrete
/// diffusions (Lin et al., arXiv 2305.08891, table 2).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Schedule {
    shift: f64,
}

/// A shift that is no positive finite number.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
#[error("schedule shift {0} must be a positive finite number; 1 is even spacing")]
pub struct ShiftError(pub f64);

impl Schedule {
    /// Even spacing.
    pub const EVEN: Self = Self { shift: 1.0 };

    /// Spacing with this shift; 3 is the usual one of large latent models, 1 is even.
    pub fn shifted(shift: f64) -> Result<Self, ShiftError> {
        if shift > 0.0 && shift.is_finite() {
            Ok(Self { shift })
        } else {
            Err(ShiftError(shift))
        }
    }

    /// `steps + 1` levels from `from` to `to`, both exact, never turning back. A leg is spaced
    /// like the same stretch of the whole way. `steps` is at least 1.
    pub fn levels(&self, from: Level, to: Level, steps: u16) -> Vec<Level> {
        let (start, end) = (self.even(from), self.even(to));
        let between = |i| {
            let u = start + (end - start) * f64::from(i) / f64::from(steps);
            let level = self.shift * u / (1.0 + (self.shift - 1.0) * u);
            Level::new((level as f32).clamp(0.0, 1.0)).unwrap_or(to)
        };
        let inner = (1..steps).map(between);
        std::iter::once(from).chain(inner).chain([to]).collect()
    }

    /// The even position of a level.
    fn even(&self, level: Level) -> f64 {
        let level = f64::from(level.get());
        level / (self.shift - (self.shift - 1.0) * level)
    }
}

impl Default for Schedule {
    fn default() -> Self {
        Self::EVEN
    }
}
