//! DDIM (Song et al., arXiv 2010.02502, equations 12 and 16), for any path:
//!
//! ```text
//! x' = a' x0 + sqrt(s'^2 - t^2) e + t z        e = (x - a x0) / s
//! t  = eta (s'/s) sqrt(s^2 - (a/a')^2 s'^2)
//! ```
//!
//! With `eta` 0 it is deterministic, with 1 it draws from the posterior of the forward process.

use super::{Predict, Route, combine};
use crate::path::Point;

/// The weights of a step.
pub(super) struct Weights {
    /// Of the state `x`.
    pub keep: f64,
    /// Of the clean-sample prediction `x0`.
    pub now: f64,
    /// Of the fresh noise `z`.
    pub noise: f64,
}

/// The step from one point to a less noisy one.
pub(super) fn weights(from: Point, to: Point, eta: f64) -> Weights {
    let (a, s) = (from.alpha, from.sigma);
    let ratio = a / to.alpha * to.sigma;
    let noise = eta * to.sigma / s * (s * s - ratio * ratio).max(0.0).sqrt();
    let rest = (to.sigma * to.sigma - noise * noise).max(0.0).sqrt();
    let keep = rest / s;
    Weights {
        keep,
        now: to.alpha - a * keep,
        noise,
    }
}

pub(super) fn solve<E>(
    Route { path, levels }: Route<'_>,
    x: &mut [f32],
    predict: &mut Predict<'_, E>,
) -> Result<(), E> {
    for step in levels.windows(2) {
        let x0 = predict(x, step[0])?;
        let Weights { keep, now, .. } = weights(path.at(step[0]), path.at(step[1]), 0.0);
        combine(x, keep, [(now, &x0)]);
    }
    Ok(())
}
