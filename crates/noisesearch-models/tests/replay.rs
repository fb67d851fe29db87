//! Recipes replayed on an exact Gaussian denoiser: nothing but the recipe matters, costs are what
//! the rule says, and a row that fails fails alone.

use candle_core::{Device, Result, Tensor};
use noisesearch_core::job::Failure;
use noisesearch_core::level::Level;
use noisesearch_core::noise::{Stream, candidate_root, nudge};
use noisesearch_core::recipe::{Move, Recipe};
use noisesearch_models::denoiser::{Conditioning, Denoiser, Encoded, LatentShape};
use noisesearch_models::path::{Betas, NoisePath};
use noisesearch_models::replay::{ReplayError, Row, Sampler, State};
use noisesearch_models::schedule::Schedule;
use noisesearch_models::solver::Solver;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

const SHAPE: LatentShape = LatentShape {
    channels: 2,
    height: 2,
    width: 3,
};
const ELEMENTS: usize = 12;
const MEAN: f64 = 0.7;
const SPREAD: f64 = 0.4;

/// The exact denoiser of `N(MEAN, SPREAD^2)`; counts rows and remembers levels.
struct Gaussian {
    path: NoisePath,
    rows: AtomicU64,
    levels: Mutex<Vec<f32>>,
}

impl Gaussian {
    fn new(path: NoisePath) -> Self {
        Self {
            path,
            rows: AtomicU64::new(0),
            levels: Mutex::default(),
        }
    }
}

impl Denoiser for Gaussian {
    fn shape(&self) -> LatentShape {
        SHAPE
    }
    fn denoise(&self, x: &Tensor, at: Level, _: &Conditioning) -> Result<Tensor> {
        self.rows.fetch_add(x.dim(0)? as u64, Relaxed);
        self.levels.lock().unwrap().push(at.get());
        let p = self.path.at(at);
        let variance = (p.alpha * SPREAD).powi(2) + p.sigma * p.sigma;
        let gain = p.alpha * SPREAD * SPREAD / variance;
        x.affine(gain, MEAN - gain * p.alpha * MEAN)
    }
    fn passes_per_row(&self, _: &Conditioning) -> u64 {
        1
    }
}

/// Makes one row of one call NaN.
struct Faulty {
    inner: Gaussian,
    call: usize,
    row: usize,
    calls: Mutex<usize>,
}

impl Denoiser for Faulty {
    fn shape(&self) -> LatentShape {
        SHAPE
    }
    fn denoise(&self, x: &Tensor, at: Level, cond: &Conditioning) -> Result<Tensor> {
        let x0 = self.inner.denoise(x, at, cond)?;
        let mut calls = self.calls.lock().unwrap();
        *calls += 1;
        if *calls != self.call {
            return Ok(x0);
        }
        let mut values = x0.flatten_all()?.to_vec1::<f32>()?;
        values[self.row * ELEMENTS + 5] = f32::NAN;
        Tensor::from_vec(values, x0.shape(), &Device::Cpu)
    }
    fn passes_per_row(&self, _: &Conditioning) -> u64 {
        1
    }
}

/// Returns rows of another shape.
struct Misshapen;

impl Denoiser for Misshapen {
    fn shape(&self) -> LatentShape {
        SHAPE
    }
    fn denoise(&self, x: &Tensor, _: Level, _: &Conditioning) -> Result<Tensor> {
        x.narrow(3, 0, 2)
    }
    fn passes_per_row(&self, _: &Conditioning) -> u64 {
        1
    }
}

fn vp() -> NoisePath {
    NoisePath::vp(Betas::STABLE_DIFFUSION).unwrap()
}

fn level(value: f32) -> Level {
    Level::new(value).unwrap()
}

fn conditioning() -> Conditioning {
    let tensors = Vec::new();
    let none = Encoded { tensors };
    Conditioning {
        cond: none.clone(),
        uncond: none,
        guidance: 1.0,
    }
}

/// A sampler with even spacing.
struct Bench {
    conditioning: Conditioning,
    path: NoisePath,
    solver: Solver,
    batch: usize,
}

impl Bench {
    fn new(path: NoisePath, solver: Solver, batch: usize) -> Self {
        Self {
            conditioning: conditioning(),
            path,
            solver,
            batch,
        }
    }

    fn sampler<'a>(&'a self, denoiser: &'a dyn Denoiser) -> Sampler<'a> {
        Sampler {
            denoiser,
            conditioning: &self.conditioning,
            path: &self.path,
            solver: self.solver,
            schedule: Schedule::EVEN,
            batch: self.batch,
            slope: None,
        }
    }

    fn rows(&self, denoiser: &dyn Denoiser, recipes: &[Recipe]) -> Vec<Row> {
        let sampler = self.sampler(denoiser);
        let start = |recipe: &Recipe| sampler.start(recipe.clone()).unwrap();
        let mut rows: Vec<Row> = recipes.iter().map(start).collect();
        sampler.replay(&mut rows, &mut |_| {}).unwrap();
        rows
    }
}

fn recipe(text: &str) -> Recipe {
    text.parse().unwrap()
}

/// Legal recipes of every kind, from counted dice.
fn random_recipe(seed: u64) -> Recipe {
    let mut dice = (0..).map(|i| candidate_root(seed, i));
    let mut roll = |sides: u64| dice.next().unwrap() % sides;
    let mut moves = Vec::new();
    for _ in 0..roll(3) {
        let draw = roll(100) as u32;
        moves.push(Move::Nudge { draw, cosine: 0.9 });
    }
    let mut at = 100;
    for _ in 0..1 + roll(3) {
        let to = [0, 11, 40][roll(3) as usize].min(at - 1);
        let (draw, steps, down) = (roll(9) as u32, 1 + roll(5) as u16, level(to as f32 / 100.0));
        moves.push(match roll(3) {
            0 => Move::Diffuse {
                draw,
                to: down,
                steps,
            },
            _ => Move::Denoise { to: down, steps },
        });
        at = to + 1 + roll(99 - to);
        let up = level(at as f32 / 100.0);
        moves.push(Move::Renoise { draw, to: up });
    }
    let to = Level::CLEAN;
    moves.push(Move::Denoise { to, steps: 3 });
    Recipe { root: seed, moves }
}

/// What the rule says that a recipe costs.
fn cost(recipe: &Recipe, solver: Solver) -> u64 {
    let rule = solver.nfe_rule();
    let of = |step: &Move| match *step {
        Move::Denoise { to, steps } => {
            let saved = if to == Level::CLEAN {
                rule.saved_at_zero
            } else {
                0
            };
            rule.per_step * u64::from(steps) - saved
        }
        Move::Diffuse { steps, .. } => u64::from(steps),
        _ => 0,
    };
    recipe.moves.iter().map(of).sum()
}

#[test]
fn evaluations_are_what_the_rule_says() {
    for solver in Solver::ALL {
        for path in [NoisePath::Flow, vp()] {
            let recipes: Vec<Recipe> = (0..1250).map(random_recipe).collect();
            let gaussian = Gaussian::new(path.clone());
            let rows = Bench::new(path, solver, 64).rows(&gaussian, &recipes);
            let costs: Vec<u64> = recipes.iter().map(|r| cost(r, solver)).collect();
            for (row, cost) in rows.iter().zip(&costs) {
                let counted = u64::from(row.state().unwrap().evaluations);
                assert_eq!(counted, *cost, "{solver} {}", row.recipe());
            }
            assert_eq!(
                gaussian.rows.load(Relaxed),
                costs.iter().sum::<u64>(),
                "{solver}"
            );
        }
    }
}

#[test]
fn neither_batch_nor_neighbours_nor_order_change_a_row() {
    for solver in Solver::ALL {
        let recipes: Vec<Recipe> = (0..64).map(random_recipe).collect();
        let alone = |recipe: &Recipe| {
            let bench = Bench::new(vp(), solver, 1);
            let rows = bench.rows(&Gaussian::new(vp()), std::slice::from_ref(recipe));
            rows[0].state().unwrap().clone()
        };
        let wanted: Vec<State> = recipes.iter().map(alone).collect();
        for (batch, turn) in [(0, 0), (2, 3), (7, 11), (64, 50), (1000, 1)] {
            let mut recipes = recipes.clone();
            recipes.rotate_left(turn);
            let rows = Bench::new(vp(), solver, batch).rows(&Gaussian::new(vp()), &recipes);
            for (i, row) in rows.iter().enumerate() {
                assert_eq!(
                    row.state().unwrap(),
                    &wanted[(i + turn) % 64],
                    "{solver} {batch}"
                );
            }
        }
    }
}

#[test]
fn a_prefix_can_be_kept_and_continued() {
    let bench = Bench::new(NoisePath::Flow, Solver::Dpmpp2M, 8);
    let gaussian = Gaussian::new(NoisePath::Flow);
    for seed in 0..40 {
        let whole = random_recipe(seed);
        let end = bench
            .rows(&gaussian, std::slice::from_ref(&whole))
            .remove(0);
        for done in 0..=whole.moves.len() {
            let moves = whole.moves[..done].to_vec();
            let prefix = Recipe { root: seed, moves };
            let state = bench
                .rows(&gaussian, &[prefix])
                .remove(0)
                .state()
                .unwrap()
                .clone();
            let mut rows = [Row::resume(whole.clone(), done, state).unwrap()];
            bench
                .sampler(&gaussian)
                .replay(&mut rows, &mut |_| {})
                .unwrap();
            assert_eq!(rows[0].state(), end.state());
        }
    }
}

#[test]
fn moves_use_the_noise_of_their_place() {
    let bench = Bench::new(NoisePath::Flow, Solver::Euler, 8);
    let gaussian = Gaussian::new(NoisePath::Flow);
    let state = |text| {
        bench
            .rows(&gaussian, &[recipe(text)])
            .remove(0)
            .state()
            .unwrap()
            .clone()
    };
    let noise = Stream::initial(7).normals(ELEMENTS);
    let first = nudge(&noise, 0.95, Stream::of_move(7, 0, 3));
    let second = nudge(&first, 0.5, Stream::of_move(7, 1, 3));
    assert_eq!(
        state("root 7 | nudge #3 cos 0.95 | nudge #3 cos 0.5").x,
        second
    );
    let low = state("root 7 | denoise to 0.11 in 4");
    let high = state("root 7 | denoise to 0.11 in 4 | renoise #2 to 0.89");
    let e = Stream::of_move(7, 1, 2).normals(ELEMENTS);
    let keep = (1.0 - 0.89) / (1.0 - 0.11);
    let spread = f64::from(0.89_f32 * 0.89 - (keep * 0.11_f32).powi(2)).sqrt();
    for ((low, high), e) in low.x.iter().zip(&high.x).zip(e) {
        let want = f64::from(keep * low) + spread * f64::from(e);
        assert!((f64::from(*high) - want).abs() < 1e-6);
    }
    let other = state("root 7 | diffuse #1 to 0.5 in 4");
    assert_ne!(other, state("root 7 | diffuse #2 to 0.5 in 4"));
    assert_ne!(other, state("root 8 | diffuse #1 to 0.5 in 4"));
}

/// Search over paths on the exact denoiser ends in the target.
#[test]
fn backtracking_paths_end_in_the_target() {
    let text = "denoise to 0.11 in 40 | renoise #1 to 0.89 | denoise to 0.08 in 40 \
                | renoise #2 to 0.86 | denoise to 0 in 400";
    let recipes: Vec<Recipe> = (0..2000)
        .map(|i| recipe(&format!("root {i} | {text}")))
        .collect();
    for path in [NoisePath::Flow, vp()] {
        let rows = Bench::new(path.clone(), Solver::Heun, 500).rows(&Gaussian::new(path), &recipes);
        let values: Vec<f64> = rows
            .iter()
            .flat_map(|row| row.state().unwrap().x.iter().map(|x| f64::from(*x)))
            .collect();
        let count = values.len() as f64;
        let mean = values.iter().sum::<f64>() / count;
        let std = (values.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / count).sqrt();
        assert!((mean - MEAN).abs() < 0.01, "{mean}");
        assert!((std / SPREAD - 1.0).abs() < 0.02, "{std}");
    }
}

/// Reliability row R9: at every evaluation, for every solver, in every position.
#[test]
fn a_row_that_stops_being_finite_fails_alone() {
    let moves =
        "denoise to 0.3 in 3 | renoise #1 to 0.6 | diffuse #1 to 0.4 in 2 | denoise to 0 in 3";
    let recipes: Vec<Recipe> = (0..3)
        .map(|i| recipe(&format!("root {i} | {moves}")))
        .collect();
    for solver in Solver::ALL {
        let bench = Bench::new(NoisePath::Flow, solver, 8);
        let healthy = bench.rows(&Gaussian::new(NoisePath::Flow), &recipes);
        for call in 1..=cost(&recipes[0], solver) as usize {
            for sick in 0..3 {
                let faulty = Faulty {
                    inner: Gaussian::new(NoisePath::Flow),
                    call,
                    row: sick,
                    calls: Mutex::new(0),
                };
                let sampler = bench.sampler(&faulty);
                let start = |r: &Recipe| sampler.start(r.clone()).unwrap();
                let mut rows: Vec<Row> = recipes.iter().map(start).collect();
                let mut seen = [0; 3];
                sampler
                    .replay(&mut rows, &mut |e| seen[e.row] += 1)
                    .unwrap();
                for (i, (row, healthy)) in rows.iter().zip(&healthy).enumerate() {
                    let evaluation = call as u32;
                    let failure = Failure::NonFinite { evaluation };
                    let want = if i == sick {
                        Err(&failure)
                    } else {
                        healthy.state()
                    };
                    assert_eq!(row.state(), want, "{solver} call {call} row {i}");
                }
                assert_eq!(seen[sick], call - 1, "{solver}");
                // A failed row is left out, and the others stand at level 0: nothing is evaluated.
                let spent = faulty.inner.rows.load(Relaxed);
                assert_eq!(sampler.preview(&mut rows, &mut |_| {}).unwrap()[sick], None);
                assert_eq!(faulty.inner.rows.load(Relaxed), spent);
            }
        }
    }
}

#[test]
fn a_state_that_overflowed_is_blamed_on_the_evaluation_that_made_it() {
    let mut state = State {
        x: vec![0.0; ELEMENTS],
        level: level(0.001),
        evaluations: 4,
    };
    state.x[3] = f32::INFINITY;
    let text = "root 1 | denoise to 0.001 in 4 | renoise #1 to 0.5 | denoise to 0 in 2";
    let bench = Bench::new(NoisePath::Flow, Solver::Euler, 1);
    let gaussian = Gaussian::new(NoisePath::Flow);
    let mut rows = [Row::resume(recipe(text), 1, state).unwrap()];
    bench
        .sampler(&gaussian)
        .replay(&mut rows, &mut |_| {})
        .unwrap();
    assert_eq!(rows[0].state(), Err(&Failure::NonFinite { evaluation: 4 }));
}

#[test]
fn a_preview_is_the_prediction_where_the_row_stands() {
    let texts = [
        "root 1 | denoise to 0.4 in 3",
        "root 2 | denoise to 0 in 3",
        "root 3",
        "root 4 | denoise to 0.4 in 2",
    ];
    let bench = Bench::new(NoisePath::Flow, Solver::Euler, 8);
    let gaussian = Gaussian::new(NoisePath::Flow);
    let mut rows = bench.rows(&gaussian, &texts.map(recipe));
    let before: Vec<State> = rows
        .iter()
        .map(|row| row.state().unwrap().clone())
        .collect();
    let spent = gaussian.rows.load(Relaxed);
    let mut seen = Vec::new();
    let mut watch =
        |e: noisesearch_models::replay::Evaluation<'_>| seen.push((e.row, e.evaluation));
    let views = bench
        .sampler(&gaussian)
        .preview(&mut rows, &mut watch)
        .unwrap();
    assert_eq!(gaussian.rows.load(Relaxed) - spent, 3);
    assert_eq!(seen, [(0, 4), (3, 3), (2, 1)]);
    for ((view, before), row) in views.iter().zip(&before).zip(&rows) {
        let x = Tensor::from_slice(&before.x, (1, 2, 2, 3), &Device::Cpu).unwrap();
        let x0 = match before.level == Level::CLEAN {
            true => before.x.clone(),
            false => {
                let x0 = gaussian.denoise(&x, before.level, &conditioning()).unwrap();
                x0.flatten_all().unwrap().to_vec1().unwrap()
            }
        };
        assert_eq!(view.as_ref(), Some(&x0));
        assert_eq!(row.state().unwrap().x, before.x);
    }
}

#[test]
fn a_watch_sees_every_level() {
    let bench = Bench::new(NoisePath::Flow, Solver::Euler, 8);
    let gaussian = Gaussian::new(NoisePath::Flow);
    let sampler = bench.sampler(&gaussian);
    let mut rows = [sampler.start(recipe("root 1 | denoise to 0 in 5")).unwrap()];
    let mut seen = Vec::new();
    let mut watch = |e: noisesearch_models::replay::Evaluation<'_>| {
        assert_eq!(e.x0.len(), ELEMENTS);
        seen.push((e.evaluation, e.level.get()));
    };
    sampler.replay(&mut rows, &mut watch).unwrap();
    assert_eq!(seen, [(1, 1.0), (2, 0.8), (3, 0.6), (4, 0.4), (5, 0.2)]);
    assert_eq!(*gaussian.levels.lock().unwrap(), [1.0, 0.8, 0.6, 0.4, 0.2]);
}

#[test]
fn what_cannot_be_replayed_is_refused() {
    let bench = Bench::new(NoisePath::Flow, Solver::Euler, 8);
    let gaussian = Gaussian::new(NoisePath::Flow);
    let sampler = bench.sampler(&gaussian);
    let up = Move::Denoise {
        to: Level::NOISE,
        steps: 1,
    };
    let illegal = Recipe {
        root: 0,
        moves: vec![up],
    };
    assert!(matches!(
        sampler.start(illegal),
        Err(ReplayError::Recipe(_))
    ));
    let state = |level, count| State {
        x: vec![0.0; count],
        level,
        evaluations: 0,
    };
    let short = recipe("root 1 | denoise to 0.5 in 1");
    for (done, at) in [(0, 0.5), (1, 1.0), (2, 0.5), (1, 0.4)] {
        let row = Row::resume(short.clone(), done, state(level(at), ELEMENTS));
        assert!(
            matches!(row, Err(ReplayError::Prefix { .. })),
            "{done} {at}"
        );
    }
    let row = Row::resume(short.clone(), 0, state(Level::NOISE, 5)).unwrap();
    let error = sampler.replay(&mut [row.clone()], &mut |_| {});
    assert!(matches!(error, Err(ReplayError::Shape { .. })));
    let error = sampler.preview(&mut [row], &mut |_| {});
    assert!(matches!(error, Err(ReplayError::Shape { .. })));
    let mut rows = [sampler.start(short).unwrap()];
    let error = bench.sampler(&Misshapen).replay(&mut rows, &mut |_| {});
    assert!(matches!(error, Err(ReplayError::Shape { .. })));
}
