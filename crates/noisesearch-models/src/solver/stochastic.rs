//! The stochastic first-order solver: DDIM with `eta` 1, which draws every step from the
//! posterior of the forward process (Ho et al., arXiv 2006.11239, algorithm 2).

use super::{Predict, Route, combine, ddim};

/// Gives the standard normals of step `step` (from 0), one per element of the state.
pub type Draw<'a> = dyn FnMut(u32) -> Vec<f32> + 'a;

/// Moves `x` (any number of rows, f32) along `route`; one evaluation a step. No noise is drawn
/// for a step that adds none (to level 0). Errors are those of `predict`.
pub fn diffuse<E>(
    route: Route<'_>,
    x: &mut [f32],
    predict: &mut Predict<'_, E>,
    draw: &mut Draw<'_>,
) -> Result<(), E> {
    for (index, step) in (0u32..).zip(route.levels.windows(2)) {
        let x0 = predict(x, step[0])?;
        let weights = ddim::weights(route.path.at(step[0]), route.path.at(step[1]), 1.0);
        if weights.noise == 0.0 {
            combine(x, weights.keep, [(weights.now, &x0)]);
        } else {
            let noise = draw(index);
            let terms = [(weights.now, &x0[..]), (weights.noise, &noise)];
            combine(x, weights.keep, terms);
        }
    }
    Ok(())
}
