//! Solvers on a Gaussian target, whose clean-sample prediction and whose flow are known exactly.

use noisesearch_core::level::Level;
use noisesearch_core::noise::Stream;
use noisesearch_models::path::{Betas, NoisePath};
use noisesearch_models::schedule::Schedule;
use noisesearch_models::solver::{Route, Solver, diffuse};
use std::convert::Infallible;

/// Target `N(MEAN, SPREAD^2)` in every element.
const MEAN: f64 = 0.7;
const SPREAD: f64 = 0.4;

fn level(value: f32) -> Level {
    Level::new(value).unwrap()
}

fn paths() -> [(&'static str, NoisePath); 2] {
    [
        ("flow", NoisePath::Flow),
        ("vp", NoisePath::vp(Betas::STABLE_DIFFUSION).unwrap()),
    ]
}

/// `E[x0 | x]`.
fn denoise(path: &NoisePath, x: &[f32], at: Level) -> Result<Vec<f32>, Infallible> {
    let p = path.at(at);
    let gain = p.alpha * SPREAD * SPREAD / deviation(path, at).powi(2);
    Ok(x.iter()
        .map(|x| (MEAN + gain * (f64::from(*x) - p.alpha * MEAN)) as f32)
        .collect())
}

/// The standard deviation of `x` at a level.
fn deviation(path: &NoisePath, at: Level) -> f64 {
    let p = path.at(at);
    (p.alpha * SPREAD).hypot(p.sigma)
}

/// Where the exact flow takes `x`.
fn exact(path: &NoisePath, x: f32, from: Level, to: Level) -> f64 {
    let unit = (f64::from(x) - path.at(from).alpha * MEAN) / deviation(path, from);
    path.at(to).alpha * MEAN + unit * deviation(path, to)
}

/// Root mean square error of a solve from noise to `to`.
fn error(solver: Solver, path: &NoisePath, to: Level, steps: u16) -> f64 {
    let levels = Schedule::EVEN.levels(Level::NOISE, to, steps);
    let start = Stream::initial(1).normals(64);
    let mut x = start.clone();
    let route = Route {
        path,
        levels: &levels,
    };
    let Ok(()) = solver.solve(route, &mut x, &mut |x, at| denoise(path, x, at));
    let square =
        |(x, start): (&f32, &f32)| (f64::from(*x) - exact(path, *start, Level::NOISE, to)).powi(2);
    (x.iter().zip(&start).map(square).sum::<f64>() / 64.0).sqrt()
}

/// Least-squares slope of ln(error) against ln(1/steps).
fn order(solver: Solver, path: &NoisePath, to: Level) -> f64 {
    let points: Vec<(f64, f64)> = [32, 64, 128, 256]
        .map(|n| (-f64::from(n).ln(), error(solver, path, to, n).ln()))
        .to_vec();
    let n = points.len() as f64;
    let (sx, sy) = points
        .iter()
        .fold((0.0, 0.0), |s, p| (s.0 + p.0, s.1 + p.1));
    let top: f64 = points.iter().map(|p| (p.0 - sx / n) * (p.1 - sy / n)).sum();
    let bottom: f64 = points.iter().map(|p| (p.0 - sx / n).powi(2)).sum();
    top / bottom
}

#[test]
fn solvers_have_their_order_on_both_paths() {
    for (name, path) in paths() {
        for to in [0.5, 0.2] {
            for solver in Solver::ALL {
                let slope = order(solver, &path, level(to));
                println!("{name} to {to} {solver}: {slope:.3}");
                let (want, slack) = match solver {
                    Solver::Euler | Solver::Ddim => (1.0, 0.1),
                    Solver::Heun | Solver::Dpmpp2M => (2.0, 0.15),
                };
                assert!(
                    (slope - want).abs() < slack,
                    "{name} to {to} {solver}: slope {slope:.3}"
                );
            }
        }
    }
}

#[test]
fn solvers_reach_the_clean_sample() {
    for (name, path) in paths() {
        for solver in Solver::ALL {
            let errors = [16, 64, 256].map(|n| error(solver, &path, Level::CLEAN, n));
            println!("{name} {solver}: {errors:?}");
            assert!(
                errors[0] < 0.1 && errors[1] < errors[0] / 2.0,
                "{name} {solver} {errors:?}"
            );
        }
    }
}

/// One step of every solver to level 0 is the prediction itself.
#[test]
fn a_single_step_to_clean_is_the_prediction() {
    for (name, path) in paths() {
        let start = Stream::initial(5).normals(33);
        let Ok(x0) = denoise(&path, &start, Level::NOISE);
        for solver in Solver::ALL {
            let mut x = start.clone();
            let levels = [Level::NOISE, Level::CLEAN];
            let route = Route {
                path: &path,
                levels: &levels,
            };
            let Ok(()) = solver.solve(route, &mut x, &mut |x, at| denoise(&path, x, at));
            assert_eq!(x, x0, "{name} {solver}");
        }
    }
}

/// DDIM without noise and Euler are one rule.
#[test]
fn ddim_is_euler() {
    for (name, path) in paths() {
        let levels = Schedule::EVEN.levels(Level::NOISE, level(0.02), 9);
        let route = Route {
            path: &path,
            levels: &levels,
        };
        let [mut a, mut b] = [(); 2].map(|()| Stream::initial(2).normals(100));
        let Ok(()) = Solver::Euler.solve(route, &mut a, &mut |x, at| denoise(&path, x, at));
        let Ok(()) = Solver::Ddim.solve(route, &mut b, &mut |x, at| denoise(&path, x, at));
        assert!(
            a.iter().zip(&b).all(|(a, b)| (a - b).abs() < 1e-5),
            "{name}"
        );
    }
}

/// The worked 2M step of the paper, against its formula written with logarithms.
#[test]
fn dpmpp_2m_is_the_published_rule() {
    let path = NoisePath::vp(Betas::DDPM).unwrap();
    let levels = [0.8, 0.6, 0.35].map(level);
    let outputs = [0.25_f32, -0.4];
    let mut calls = outputs.iter();
    let mut x = [0.9_f32];
    let route = Route {
        path: &path,
        levels: &levels,
    };
    let mut predict = |_: &[f32], _| Ok::<_, Infallible>(vec![*calls.next().unwrap()]);
    let Ok(()) = Solver::Dpmpp2M.solve(route, &mut x, &mut predict);
    let p = levels.map(|l| path.at(l));
    let l = p.map(|p| (p.alpha / p.sigma).ln());
    let [first, second] = outputs.map(f64::from);
    let (h1, h2) = (l[1] - l[0], l[2] - l[1]);
    let x1 = p[1].sigma / p[0].sigma * 0.9_f32 as f64 - p[1].alpha * (-h1).exp_m1() * first;
    let back = h2 / (2.0 * h1);
    let d = (1.0 + back) * second - back * first;
    let x2 = p[2].sigma / p[1].sigma * x1 - p[2].alpha * (-h2).exp_m1() * d;
    assert!((f64::from(x[0]) - x2).abs() < 1e-6, "{x:?} {x2}");
}

#[test]
fn solvers_cost_what_their_rule_says() {
    for (_, path) in paths() {
        for solver in Solver::ALL {
            for (to, steps) in [(0.0, 1), (0.0, 7), (0.3, 1), (0.3, 12)] {
                let levels = Schedule::EVEN.levels(level(0.9), level(to), steps);
                let mut calls = 0;
                let mut predict = |x: &[f32], at| {
                    calls += 1;
                    denoise(&path, x, at)
                };
                let route = Route {
                    path: &path,
                    levels: &levels,
                };
                let Ok(()) = solver.solve(route, &mut [0.5; 3], &mut predict);
                let rule = solver.nfe_rule();
                let saved = if to == 0.0 { rule.saved_at_zero } else { 0 };
                assert_eq!(
                    calls,
                    rule.per_step * u64::from(steps) - saved,
                    "{solver} {to} {steps}"
                );
            }
        }
    }
}

/// The stochastic solver draws from the target's own marginal at every level where it stops.
#[test]
fn diffusing_keeps_the_marginals() {
    const COUNT: usize = 40_000;
    for (name, path) in paths() {
        for to in [0.4, 0.1] {
            let levels = Schedule::EVEN.levels(Level::NOISE, level(to), 250);
            let mut x = Stream::initial(3).normals(COUNT);
            let mut draw = |step| Stream::of_move(3, 0, 0).at_step(step).normals(COUNT);
            let route = Route {
                path: &path,
                levels: &levels,
            };
            let Ok(()) = diffuse(route, &mut x, &mut |x, at| denoise(&path, x, at), &mut draw);
            let mean = x.iter().map(|x| f64::from(*x)).sum::<f64>() / COUNT as f64;
            let square = x
                .iter()
                .map(|x| (f64::from(*x) - mean).powi(2))
                .sum::<f64>();
            let std = (square / COUNT as f64).sqrt();
            let (want_mean, want) = (path.at(level(to)).alpha * MEAN, deviation(&path, level(to)));
            println!("{name} to {to}: mean {mean:.4} ({want_mean:.4}), std {std:.4} ({want:.4})");
            assert!(
                (mean - want_mean).abs() < 0.01,
                "{name} to {to}: mean {mean}"
            );
            assert!(
                (std / want - 1.0).abs() < 0.02,
                "{name} to {to}: std {std}, not {want}"
            );
        }
    }
}

/// The noise of a step is that of the posterior (Ho et al., arXiv 2006.11239, equation 7):
/// `(1 - A') / (1 - A) (1 - A/A')` with `A = alpha^2`, seen by moving 0 with prediction 0.
#[test]
fn diffusing_adds_the_posterior_noise() {
    let path = NoisePath::vp(Betas::DDPM).unwrap();
    for (from, to) in [(1.0, 0.5), (0.5, 0.49), (0.2, 0.001)] {
        let levels = [level(from), level(to)];
        let [a, b] = levels.map(|l| path.at(l).alpha.powi(2));
        let want = ((1.0 - b) / (1.0 - a) * (1.0 - a / b)).sqrt();
        let route = Route {
            path: &path,
            levels: &levels,
        };
        let mut x = [0.0];
        let mut zero = |_: &[f32], _| Ok::<_, Infallible>(vec![0.0]);
        let Ok(()) = diffuse(route, &mut x, &mut zero, &mut |_| vec![1.0]);
        assert!((f64::from(x[0]) / want - 1.0).abs() < 1e-6, "{x:?} {want}");
    }
}

/// Fresh noise at every step: the end says nothing of the start.
#[test]
fn diffusing_forgets_its_start() {
    const COUNT: usize = 10_000;
    let path = NoisePath::Flow;
    let levels = Schedule::EVEN.levels(Level::NOISE, Level::CLEAN, 50);
    let route = Route {
        path: &path,
        levels: &levels,
    };
    let start = Stream::initial(3).normals(COUNT);
    let mut x = start.clone();
    let mut draw = |step| Stream::of_move(3, 0, 0).at_step(step).normals(COUNT);
    let Ok(()) = diffuse(route, &mut x, &mut |x, at| denoise(&path, x, at), &mut draw);
    let shared = start
        .iter()
        .zip(&x)
        .map(|(a, b)| f64::from(a * (b - 0.7) / 0.4))
        .sum::<f64>();
    assert!((shared / COUNT as f64).abs() < 0.05, "{shared}");
}

#[test]
fn names_are_read_back_and_unknown_ones_list_the_known() {
    for solver in Solver::ALL {
        assert_eq!(solver.name().parse(), Ok(solver));
    }
    let error = "rk4".parse::<Solver>().unwrap_err().to_string();
    assert!(error.contains("`rk4`") && Solver::ALL.iter().all(|s| error.contains(s.name())));
}
