//! Solves backwards, and ascents replayed, on a denoiser that is not linear.

use candle_core::{Device, Result, Tensor};
use noisesearch_core::level::Level;
use noisesearch_core::noise::ascend;
use noisesearch_core::recipe::{Recipe, VerifierName};
use noisesearch_models::denoiser::{Conditioning, Denoiser, Encoded, LatentShape};
use noisesearch_models::gradient::{DenoiserGradient, Slope};
use noisesearch_models::path::{Betas, NoisePath};
use noisesearch_models::replay::{ReplayError, Row, Sampler};
use noisesearch_models::schedule::Schedule;
use noisesearch_models::solver::{Route, Solver, Tape};
use std::convert::Infallible;

const ELEMENTS: usize = 8;

/// `x0 = tanh(a x)`, with `a` from the level.
fn gain(at: Level) -> f64 {
    0.5 + f64::from(at.get())
}

fn predict(x: &[f32], at: Level) -> Vec<f32> {
    let one = |x: &f32| libm::tanh(gain(at) * f64::from(*x)) as f32;
    x.iter().map(one).collect()
}

fn vjp(x: &[f32], at: Level, d: &[f32]) -> Vec<f32> {
    let one = |(x, d): (&f32, &f32)| {
        let y = libm::tanh(gain(at) * f64::from(*x));
        (f64::from(*d) * gain(at) * (1.0 - y * y)) as f32
    };
    x.iter().zip(d).map(one).collect()
}

struct Tanh {
    backwards: bool,
}

impl Denoiser for Tanh {
    fn shape(&self) -> LatentShape {
        LatentShape {
            channels: 2,
            height: 2,
            width: 2,
        }
    }
    fn denoise(&self, x: &Tensor, at: Level, _: &Conditioning) -> Result<Tensor> {
        let values = x.flatten_all()?.to_vec1::<f32>()?;
        Tensor::from_vec(predict(&values, at), x.shape(), &Device::Cpu)
    }
    fn passes_per_row(&self, _: &Conditioning) -> u64 {
        1
    }
    fn gradient(&self) -> Option<Box<dyn DenoiserGradient + '_>> {
        self.backwards.then(|| Box::new(Back) as Box<_>)
    }
}

struct Back;

impl DenoiserGradient for Back {
    fn vjp(&self, x: &Tensor, at: Level, _: &Conditioning, d: &Tensor) -> Result<Tensor> {
        let flat = |x: &Tensor| x.flatten_all()?.to_vec1::<f32>();
        Tensor::from_vec(vjp(&flat(x)?, at, &flat(d)?), x.shape(), &Device::Cpu)
    }
}

/// The score is `sum of w x0`; only one verifier is known.
struct Weighted;

const WEIGHTS: [f32; ELEMENTS] = [1.0, -2.0, 0.5, 3.0, -0.25, 1.5, -1.0, 2.0];

impl Slope for Weighted {
    fn slope(&self, verifier: VerifierName, x0: &Tensor) -> Result<Option<Tensor>> {
        let known = verifier.as_str() == "weighted";
        let slope = || Tensor::from_slice(&WEIGHTS, x0.shape(), &Device::Cpu);
        known.then(slope).transpose()
    }
}

fn start() -> Vec<f32> {
    (0..ELEMENTS).map(|i| (1.7 * i as f32).sin()).collect()
}

fn paths() -> [NoisePath; 2] {
    [
        NoisePath::Flow,
        NoisePath::vp(Betas::STABLE_DIFFUSION).unwrap(),
    ]
}

fn solve(solver: Solver, route: Route, x: &[f32]) -> Vec<f32> {
    let mut x = x.to_vec();
    let mut tanh = |x: &[f32], at| Ok::<_, Infallible>(predict(x, at));
    let Ok(()) = solver.solve(route, &mut x, &mut tanh);
    x
}

/// Elements do not meet here, so every element's derivative is one central difference.
#[test]
fn every_solver_goes_back() {
    const STEP: f32 = 1.0 / 64.0;
    for path in &paths() {
        for solver in Solver::ALL {
            for steps in [1, 2, 5] {
                let levels = Schedule::EVEN.levels(Level::NOISE, Level::CLEAN, steps);
                let levels = levels.as_slice();
                let route = Route { path, levels };
                let mut x = start();
                let mut tanh = |x: &[f32], at| Ok::<_, Infallible>(predict(x, at));
                let Ok(tape) = Tape::record(solver, route, &mut x, &mut tanh);
                assert_eq!(x, solve(solver, route, &start()));
                let Ok(back) = tape.back(&WEIGHTS, &mut |x: &[f32], at, d: &[f32]| {
                    Ok::<_, Infallible>(vjp(x, at, d))
                });
                let at = |step: f32| {
                    let moved: Vec<f32> = start().iter().map(|x| x + step).collect();
                    solve(solver, route, &moved)
                };
                let [near, far] = [STEP, 2.0 * STEP].map(|h| (at(h), at(-h), 2.0 * h));
                for i in 0..ELEMENTS {
                    let slope = |(a, b, h): &(Vec<f32>, Vec<f32>, f32)| (a[i] - b[i]) / h;
                    let want = WEIGHTS[i] * (4.0 * slope(&near) - slope(&far)) / 3.0;
                    let error = (back[i] - want).abs() / WEIGHTS[i].abs();
                    // Heun with the weight of its first slope halved is at 1e-1.
                    assert!(error < 1e-4, "{solver}, {steps} steps, {i}: {error:.1e}");
                }
            }
        }
    }
}

fn conditioning() -> Conditioning {
    let none = Encoded {
        tensors: Vec::new(),
    };
    Conditioning {
        cond: none.clone(),
        uncond: none,
        guidance: 1.0,
    }
}

fn replay(
    denoiser: &Tanh,
    slope: Option<&dyn Slope>,
    recipes: &[&str],
) -> std::result::Result<Vec<Row>, ReplayError> {
    let sampler = Sampler {
        denoiser,
        conditioning: &conditioning(),
        path: &NoisePath::Flow,
        solver: Solver::Heun,
        schedule: Schedule::EVEN,
        batch: 3,
        slope,
    };
    let recipes = recipes.iter().map(|text| text.parse::<Recipe>().unwrap());
    let mut rows: Vec<Row> = recipes.map(|r| sampler.start(r).unwrap()).collect();
    sampler.replay(&mut rows, &mut |_| panic!("an ascent shows nothing"))?;
    Ok(rows)
}

const RECIPES: [&str; 3] = [
    "root 1 | ascend weighted by 0.2 in 3",
    "root 2 | nudge #1 cos 0.9 | ascend weighted by 0.1 in 2 | ascend weighted by 0.3 in 1",
    "root 1 | ascend weighted by 0.2 in 3 | nudge #4 cos 0.5",
];

#[test]
fn an_ascent_is_a_step_along_the_gradient_through_the_solve() {
    let tanh = Tanh { backwards: true };
    let x = replay(&tanh, None, &["root 1"]).unwrap()[0].clone();
    let x = x.state().unwrap().x.clone();
    let levels = Schedule::EVEN.levels(Level::NOISE, Level::CLEAN, 3);
    let route = Route {
        path: &NoisePath::Flow,
        levels: &levels,
    };
    let mut forward = |x: &[f32], at| Ok::<_, Infallible>(predict(x, at));
    let Ok(tape) = Tape::record(Solver::Heun, route, &mut x.clone(), &mut forward);
    let mut back = |x: &[f32], at, d: &[f32]| Ok::<_, Infallible>(vjp(x, at, d));
    let Ok(gradient) = tape.back(&WEIGHTS, &mut back);
    let rows = replay(&tanh, Some(&Weighted), &RECIPES[..1]).unwrap();
    let state = rows[0].state().unwrap();
    assert_eq!(state.x, ascend(&x, &gradient, 0.2));
    assert_eq!((state.level, state.evaluations), (Level::NOISE, 5));
}

#[test]
fn rows_climb_alone() {
    let tanh = Tanh { backwards: true };
    let together = replay(&tanh, Some(&Weighted), &RECIPES).unwrap();
    for (recipe, row) in RECIPES.iter().zip(&together) {
        let alone = replay(&tanh, Some(&Weighted), &[recipe]).unwrap();
        assert_eq!(alone[0].state().unwrap(), row.state().unwrap(), "{recipe}");
    }
}

#[test]
fn without_a_gradient_it_is_refused() {
    let refused = |backwards, slope, recipe| {
        let error = replay(&Tanh { backwards }, slope, &[recipe]).unwrap_err();
        assert!(matches!(error, ReplayError::NoGradient(_)), "{error}");
    };
    refused(false, Some(&Weighted as &dyn Slope), RECIPES[0]);
    refused(true, None, RECIPES[0]);
    refused(true, Some(&Weighted), "root 1 | ascend other by 0.2 in 3");
}
