//! Scores in closed form: a smooth landscape with many hills over a recipe's noise.
//!
//! The made-up model samples one Gaussian, `N(0, 1/4)` in every dimension, on the linear path. A
//! deterministic solve then keeps `z = x / sqrt(v)` ([`super::gaussian_mixture`]), and noising or
//! stochastic solving between two levels mixes it with fresh noise at the exact correlation
//!
//! ```text
//! z' = rho z + sqrt(1 - rho^2) e,   rho = (alpha_high / alpha_low) sqrt(v_low / v_high)
//! score_k = mean_i(cos(4 z_i + k) - (z_i - c_k)^2 / 4),   c_k = (k + 1) / 2
//! ```

use crate::level::Level;
use crate::noise::{Stream, ascend, nudge};
use crate::recipe::{Move, Recipe};

/// How candidates are scored.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Landscape {
    /// Dimensions of the noise, at least 2.
    pub dimensions: usize,
    /// Scores a candidate.
    pub verifiers: usize,
    /// Scores are rounded to multiples of this, so that there are ties; 0 leaves them.
    pub grain: f64,
}

impl Landscape {
    /// The scores of a recipe: a function of it and nothing else.
    pub fn scores(&self, recipe: &Recipe) -> Vec<f64> {
        let z = self.noise(recipe);
        let score = |k: usize| {
            let (shift, centre) = (k as f64, (k as f64 + 1.0) / 2.0);
            let hill = |z: &f32| {
                let z = f64::from(*z);
                libm::cos(4.0 * z + shift) - (z - centre) * (z - centre) / 4.0
            };
            let mean = z.iter().map(hill).sum::<f64>() / z.len() as f64;
            if self.grain > 0.0 {
                (mean / self.grain).round() * self.grain
            } else {
                mean
            }
        };
        (0..self.verifiers).map(score).collect()
    }

    /// The normalised state at the end of a recipe.
    fn noise(&self, recipe: &Recipe) -> Vec<f32> {
        let mut z = Stream::initial(recipe.root).normals(self.dimensions);
        let mut level = Level::NOISE;
        for (index, step) in (0u32..).zip(&recipe.moves) {
            let stream = |draw| Stream::of_move(recipe.root, index, draw);
            match *step {
                Move::Ascend { rate, .. } => z = ascend(&z, &slope(&z), rate),
                Move::Nudge { draw, cosine } => z = nudge(&z, cosine, stream(draw)),
                Move::Denoise { .. } => {}
                Move::Renoise { draw, to } => mix(&mut z, correlation(to, level), stream(draw)),
                Move::Diffuse { draw, to, .. } => {
                    mix(&mut z, correlation(level, to), stream(draw));
                }
            }
            level = step.to().unwrap_or(level);
        }
        z
    }
}

/// The gradient of the first score before its rounding, times the number of dimensions.
fn slope(z: &[f32]) -> Vec<f32> {
    let rise = |z: &f32| -4.0 * libm::sin(4.0 * f64::from(*z)) - (f64::from(*z) - 0.5) / 2.0;
    z.iter().map(|z| rise(z) as f32).collect()
}

fn mix(z: &mut [f32], rho: f64, stream: Stream) {
    let fresh = stream.normals(z.len());
    let share = (1.0 - rho * rho).sqrt();
    for (z, e) in z.iter_mut().zip(fresh) {
        *z = (rho * f64::from(*z) + share * f64::from(e)) as f32;
    }
}

/// Between the states at two levels of one forward process.
fn correlation(high: Level, low: Level) -> f64 {
    let parts = |level: Level| {
        let (alpha, sigma) = (1.0 - f64::from(level.get()), f64::from(level.get()));
        (alpha, (alpha * alpha / 4.0 + sigma * sigma).sqrt())
    };
    let ((alpha_high, high), (alpha_low, low)) = (parts(high), parts(low));
    (alpha_high / alpha_low * low / high).clamp(0.0, 1.0)
}
