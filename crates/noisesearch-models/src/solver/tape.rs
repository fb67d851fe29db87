//! A deterministic solve backwards (reverse mode, for any solver here).
//!
//! Every state of a solve is a weighted sum of the first state and of the predictions made so
//! far, with weights that depend on the levels alone. So the solver itself tells them, run on
//! unit vectors; and going back needs those weights and one backward evaluation a prediction:
//!
//! ```text
//! x_k = w_k0 x + sum_{j<k} w_k,j+1 x0_j,   x0_k = D(x_k),   end = w_n0 x + sum_j w_n,j+1 x0_j
//! ```

use super::{Route, Solver};
use noisesearch_core::level::Level;
use std::convert::Infallible;

/// What a solve evaluated: all that is needed to go back. Memory: one state an evaluation.
#[derive(Debug)]
pub struct Tape {
    /// State and level of every evaluation.
    evaluations: Vec<(Vec<f32>, Level)>,
    /// `w_k`, one row an evaluation and one for the end; row `k` has `k + 1` entries.
    weights: Vec<Vec<f32>>,
}

/// From an evaluation's state, level and cotangent of its prediction to one of the state.
pub type Vjp<'a, E> = dyn FnMut(&[f32], Level, &[f32]) -> Result<Vec<f32>, E> + 'a;

impl Tape {
    /// Solves like [`Solver::solve`], remembering every evaluation.
    pub fn record<E>(
        solver: Solver,
        route: Route<'_>,
        x: &mut [f32],
        predict: &mut super::Predict<'_, E>,
    ) -> Result<Self, E> {
        let mut evaluations = Vec::new();
        solver.solve(route, x, &mut |x: &[f32], at| {
            evaluations.push((x.to_vec(), at));
            predict(x, at)
        })?;
        let weights = weights(solver, route, evaluations.len());
        Ok(Self {
            evaluations,
            weights,
        })
    }

    /// A cotangent of the end to one of the first state, in f64 between evaluations.
    pub fn back<E>(&self, cotangent: &[f32], vjp: &mut Vjp<'_, E>) -> Result<Vec<f32>, E> {
        let width = cotangent.len();
        // One for the first state, then one a prediction.
        let mut sums = vec![vec![0.0f64; width]; self.weights.len()];
        let mut arrived = cotangent.to_vec();
        for (k, weights) in self.weights.iter().enumerate().rev() {
            for (sum, &weight) in sums.iter_mut().zip(weights) {
                for (sum, &d) in sum.iter_mut().zip(&arrived) {
                    *sum += f64::from(weight) * f64::from(d);
                }
            }
            // Row k is complete: nothing before it reads prediction k - 1.
            let Some(before) = k.checked_sub(1) else {
                break;
            };
            let (x, at) = &self.evaluations[before];
            let prediction: Vec<f32> = sums[k].iter().map(|&d| d as f32).collect();
            arrived = vjp(x, *at, &prediction)?;
        }
        Ok(sums[0].iter().map(|&d| d as f32).collect())
    }
}

/// The weights of a solve of `evaluations`, told by the solver.
fn weights(solver: Solver, route: Route<'_>, evaluations: usize) -> Vec<Vec<f32>> {
    let unit = |place: usize| {
        let mut unit = vec![0.0; evaluations + 1];
        unit[place] = 1.0;
        unit
    };
    let (mut rows, mut x) = (Vec::with_capacity(evaluations + 1), unit(0));
    let Ok(()) = solver.solve::<Infallible>(route, &mut x, &mut |x: &[f32], _| {
        rows.push(x[..=rows.len()].to_vec());
        Ok(unit(rows.len()))
    });
    rows.push(x);
    rows
}
