//! Euler's method on the probability-flow ODE (Karras et al., arXiv 2206.00364, algorithm 1
//! without its second-order part; Lipman et al., arXiv 2210.02747 for flows):
//!
//! ```text
//! x' = (s'/s) x + (a' - a s'/s) x0
//! ```

use super::{Predict, Route, combine};
use crate::path::Point;

/// The weights of `x` and `x0` in a step.
pub(super) fn weights(from: Point, to: Point) -> (f64, f64) {
    let keep = to.sigma / from.sigma;
    (keep, to.alpha - from.alpha * keep)
}

pub(super) fn solve<E>(
    Route { path, levels }: Route<'_>,
    x: &mut [f32],
    predict: &mut Predict<'_, E>,
) -> Result<(), E> {
    for step in levels.windows(2) {
        let x0 = predict(x, step[0])?;
        let (keep, now) = weights(path.at(step[0]), path.at(step[1]));
        combine(x, keep, [(now, &x0)]);
    }
    Ok(())
}
