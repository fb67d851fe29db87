//! DPM-Solver++(2M) (Lu et al., arXiv 2211.01095, algorithm 2), with `l = ln(a/s)`:
//!
//! ```text
//! h = l' - l,   r = (l - l_previous) / h
//! D  = (1 + 1/(2r)) x0 - 1/(2r) x0_previous
//! x' = (s'/s) x - a' (exp(-h) - 1) D         where a' (exp(-h) - 1) = a s'/s - a'
//! ```
//!
//! The first step and the step to level 0, where `h` is infinite, are first order.

use super::{Predict, Route, combine, euler};
use crate::path::Point;

/// `1/(2r)` of a step with a previous one, 0 where that is not a finite number.
fn backward(previous: Point, from: Point, to: Point) -> f64 {
    let l = |p: Point| libm::log(p.alpha / p.sigma);
    let weight = 0.5 * (l(to) - l(from)) / (l(from) - l(previous));
    if weight.is_finite() { weight } else { 0.0 }
}

pub(super) fn solve<E>(
    Route { path, levels }: Route<'_>,
    x: &mut [f32],
    predict: &mut Predict<'_, E>,
) -> Result<(), E> {
    let mut previous: Option<(Point, Vec<f32>)> = None;
    for step in levels.windows(2) {
        let (from, to) = (path.at(step[0]), path.at(step[1]));
        let (keep, now) = euler::weights(from, to);
        let x0 = predict(x, step[0])?;
        match &previous {
            Some((before, x0_before)) => {
                let w = now * backward(*before, from, to);
                combine(x, keep, [(now + w, &x0), (-w, x0_before)]);
            }
            None => combine(x, keep, [(now, &x0)]),
        }
        previous = Some((from, x0));
    }
    Ok(())
}
