//! Heun's method (Karras et al., arXiv 2206.00364, algorithm 1). In the scaled state `y = x / c`
//! and time `u`, the ODE is `dy/du = (y - x0) / u`: flows take `c = 1` and `u = level`,
//! variance-preserving paths `c = a` and `u = s / a`. Then
//!
//! ```text
//! y_e = y + (u' - u) (y - x0) / u                                     Euler's step
//! y'  = y + (u' - u) / 2 ((y - x0) / u + (y_e - x0_e) / u')           the average slope
//!     = (u'/u) y + (1 - u'/u - w) x0 + w x0_e,      w = (u - u') / (2 u')
//! ```
//!
//! The step to level 0, where the second slope is undefined, is Euler's.

use super::{Predict, Route, combine, euler};
use crate::path::{NoisePath, Point};

/// `(c, u)` of a point.
fn chart(path: &NoisePath, at: Point) -> (f64, f64) {
    match path {
        NoisePath::Flow => (1.0, at.sigma),
        NoisePath::Vp(_) => (at.alpha, at.sigma / at.alpha),
    }
}

pub(super) fn solve<E>(
    Route { path, levels }: Route<'_>,
    x: &mut [f32],
    predict: &mut Predict<'_, E>,
) -> Result<(), E> {
    for step in levels.windows(2) {
        let (from, to) = (path.at(step[0]), path.at(step[1]));
        let (keep, now) = euler::weights(from, to);
        let x0 = predict(x, step[0])?;
        if to.sigma == 0.0 {
            combine(x, keep, [(now, &x0)]);
            continue;
        }
        let mut ahead = x.to_vec();
        combine(&mut ahead, keep, [(now, &x0)]);
        let x0_ahead = predict(&ahead, step[1])?;
        let ((_, u), (c, u_to)) = (chart(path, from), chart(path, to));
        let w = c * (u - u_to) / (2.0 * u_to);
        combine(x, keep, [(now - w, &x0), (w, &x0_ahead)]);
    }
    Ok(())
}
