//! Which levels a solver visits.

use crate::path::{NoisePath, VP_STEPS};
use noisesearch_core::level::Level;

/// A spacing of levels: even, or pushed towards noise by a shift `s`,
/// `level = s u / (1 + (s - 1) u)` with `u` even (Esser et al., arXiv 2403.03206, section 5.3.2).
///
/// Even levels are the uniform times of flow models and the "trailing" steps of discrete
/// diffusions (Lin et al., arXiv 2305.08891, table 2). These are rounded to the whole indices that
/// such a network was trained at, as diffusers does.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Schedule {
    shift: f64,
    indexed: bool,
}

/// A shift that is no positive finite number.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
#[error("schedule shift {0} must be a positive finite number; 1 is even spacing")]
pub struct ShiftError(pub f64);

impl Schedule {
    /// Even spacing.
    pub const EVEN: Self = Self {
        shift: 1.0,
        indexed: false,
    };

    /// The "trailing" steps of diffusers: even spacing, rounded to whole training indices.
    pub const TRAILING: Self = Self {
        shift: 1.0,
        indexed: true,
    };

    /// Even spacing on a path, on whole indices where its network was trained at such.
    pub fn even_on(path: &NoisePath) -> Self {
        match path {
            NoisePath::Flow => Self::EVEN,
            NoisePath::Vp(_) => Self::TRAILING,
        }
    }

    /// Spacing with this shift; 3 is the usual one of large latent models, 1 is even.
    pub fn shifted(shift: f64) -> Result<Self, ShiftError> {
        if shift > 0.0 && shift.is_finite() {
            Ok(Self {
                shift,
                ..Self::EVEN
            })
        } else {
            Err(ShiftError(shift))
        }
    }

    /// `steps + 1` levels from `from` to `to`, both exact, never turning back. A leg is spaced
    /// like the same stretch of the whole way. `steps` is at least 1.
    pub fn levels(&self, from: Level, to: Level, steps: u16) -> Vec<Level> {
        let indices = self.indexed.then(|| indices([from, to], steps)).flatten();
        let (start, end) = (self.even(from), self.even(to));
        let between = |i: u16| {
            if let Some([first, stride]) = indices {
                let index = (first + f64::from(i) * stride).round_ties_even();
                return Level::new((index / VP_STEPS as f64) as f32).unwrap_or(to);
            }
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

/// The first index and the stride of a way whose even steps have to be rounded to whole indices:
/// not one where they are whole, nor one between other levels or of fewer indices than steps.
fn indices([from, to]: [Level; 2], steps: u16) -> Option<[f64; 2]> {
    // Rounded to f32, the product for a thousandth is whole.
    let [start, end] = [from, to].map(|level| f64::from(level.get() * VP_STEPS as f32));
    let (length, steps) = (start - end, f64::from(steps));
    let rounded = start.fract() == 0.0 && end.fract() == 0.0 && length >= steps;
    // The arithmetic of numpy's `arange`, whose halves are to fall on the same side.
    let stride = (start - length / steps) - start;
    (rounded && (length / steps).fract() != 0.0).then_some([start, stride])
}

impl Default for Schedule {
    fn default() -> Self {
        Self::EVEN
    }
}
