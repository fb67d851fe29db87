//! Solvers and searches on the analytic diffusion of `core::sim`: a Gaussian mixture with its
//! exact denoiser, so that every answer is known.

use candle_core::{Device, Result, Tensor};
use noisesearch_core::budget::Budget;
use noisesearch_core::job::{Job, Outcome, Scores, View};
use noisesearch_core::level::Level;
use noisesearch_core::noise::Stream;
use noisesearch_core::objective::Objective;
use noisesearch_core::search::{SearchSpec, Terms};
use noisesearch_core::sim::gaussian_mixture::{Gaussian, GaussianMixture, Noising};
use noisesearch_models::denoiser::{Conditioning, Denoiser, Encoded, LatentShape};
use noisesearch_models::path::NoisePath;
use noisesearch_models::replay::{Row, Sampler};
use noisesearch_models::schedule::Schedule;
use noisesearch_models::solver::{Route, Solver};
use std::convert::Infallible;

/// Dimensions of the target, as a latent `[1, 2, 8]`.
const DIMENSIONS: usize = 16;

struct Exact(GaussianMixture);

impl Exact {
    fn denoise_row(&self, x: &[f32], at: Level) -> Vec<f32> {
        let wide: Vec<f64> = x.iter().map(|x| f64::from(*x)).collect();
        let x0 = self.0.denoise(&wide, noising(at));
        x0.into_iter().map(|x| x as f32).collect()
    }
}

impl Denoiser for Exact {
    fn shape(&self) -> LatentShape {
        LatentShape {
            channels: 1,
            height: 2,
            width: 8,
        }
    }
    fn denoise(&self, x: &Tensor, at: Level, _: &Conditioning) -> Result<Tensor> {
        let rows = x.flatten_all()?.to_vec1::<f32>()?;
        let x0: Vec<f32> = rows
            .chunks(DIMENSIONS)
            .flat_map(|row| self.denoise_row(row, at))
            .collect();
        Tensor::from_vec(x0, x.shape(), &Device::Cpu)
    }
    fn passes_per_row(&self, _: &Conditioning) -> u64 {
        1
    }
}

fn noising(at: Level) -> Noising {
    let point = NoisePath::Flow.at(at);
    Noising {
        alpha: point.alpha,
        sigma: point.sigma,
    }
}

fn component(weight: f64, mean: f64, std: f64) -> Gaussian {
    Gaussian {
        weight,
        mean: vec![mean; DIMENSIONS],
        std,
    }
}

fn mixture(parts: &[Gaussian]) -> Exact {
    Exact(GaussianMixture::new(parts.to_vec()).unwrap())
}

/// Runs a search to its end on the exact denoiser; returns every finished sample with its score,
/// in the order of jobs, and the index of the answer.
fn run(
    search: &str,
    evals: u64,
    denoiser: &Exact,
    score: impl Fn(&[f32]) -> f64,
) -> (Vec<(Job, Vec<f32>, f64)>, usize) {
    let terms = Terms {
        seed: 3,
        budget: Budget::Evals(evals),
        search_steps: 16,
        final_steps: 16,
        ladder: false,
        nfe: Solver::Heun.nfe_rule(),
        objective: Objective::parse("v", &["v".to_owned()]).unwrap(),
        goal: None,
        keep: 1,
    };
    let spec: SearchSpec = serde_json::from_str(search).unwrap();
    let mut search = spec.resolve(&terms).unwrap().build(&terms).unwrap();
    let nothing = Encoded {
        tensors: Vec::new(),
    };
    let sampler = Sampler {
        denoiser,
        conditioning: &Conditioning {
            cond: nothing.clone(),
            uncond: nothing,
            guidance: 1.0,
        },
        path: &NoisePath::Flow,
        solver: Solver::Heun,
        schedule: Schedule::EVEN,
        batch: 64,
        slope: None,
    };
    let mut finished = Vec::new();
    while search.stop().is_none() {
        for job in search.ask(16) {
            let x = make(&sampler, &job);
            let value = score(&x);
            let scores = Scores::new(vec![value]).unwrap();
            search.tell(job.id, &Outcome::Scored(scores));
            if job.view == View::Final {
                finished.push((job, x, value));
            }
        }
    }
    let answer = search.finalists(1)[0];
    let place = finished.iter().position(|(job, ..)| job.id == answer);
    (finished, place.unwrap())
}

fn make(sampler: &Sampler, job: &Job) -> Vec<f32> {
    let mut rows: Vec<Row> = vec![sampler.start(job.recipe.clone()).unwrap()];
    sampler.replay(&mut rows, &mut |_| ()).unwrap();
    if job.view == View::Final {
        return rows[0].state().unwrap().x.clone();
    }
    let views = sampler.preview(&mut rows, &mut |_| ()).unwrap();
    views.into_iter().next().flatten().unwrap()
}

/// The slope of the error against the step, on the exact flow of one component.
#[test]
fn solvers_have_their_order_on_the_exact_flow() {
    let target = component(1.0, 0.7, 0.4);
    let exact = mixture(std::slice::from_ref(&target));
    let to = Level::new(0.2).unwrap();
    let start = Stream::initial(1).normals(DIMENSIONS);
    let wide: Vec<f64> = start.iter().map(|x| f64::from(*x)).collect();
    let want = target.flow(&wide, noising(Level::NOISE), noising(to));
    let error = |solver: Solver, steps| {
        let levels = Schedule::EVEN.levels(Level::NOISE, to, steps);
        let route = Route {
            path: &NoisePath::Flow,
            levels: &levels,
        };
        let mut x = start.clone();
        let mut predict = |x: &[f32], at| Ok::<_, Infallible>(exact.denoise_row(x, at));
        let Ok(()) = solver.solve(route, &mut x, &mut predict);
        let square = |(x, want): (&f32, &f64)| (f64::from(*x) - want).powi(2);
        x.iter().zip(&want).map(square).sum::<f64>().sqrt()
    };
    for solver in Solver::ALL {
        let slope = (error(solver, 32) / error(solver, 128)).log2() / 2.0;
        let (order, slack) = match solver {
            Solver::Euler | Solver::Ddim => (1.0, 0.1),
            Solver::Heun | Solver::Dpmpp2M => (2.0, 0.15),
        };
        assert!((slope - order).abs() < slack, "{solver}: slope {slope:.3}");
    }
}

/// Of one component the sample is a known function of the noise, so the best of n is known from
/// the noises alone.
#[test]
fn random_search_finds_the_noise_whose_exact_sample_is_best() {
    let target = component(1.0, 0.7, 0.4);
    let sum = |x: &[f32]| x.iter().map(|x| f64::from(*x)).sum::<f64>();
    let (finished, answer) = run(
        r#"{"method": "random"}"#,
        64,
        &mixture(std::slice::from_ref(&target)),
        sum,
    );
    assert_eq!(finished.len(), 64);
    let exact = |job: &Job| {
        let noise = Stream::initial(job.recipe.root).normals(DIMENSIONS);
        let noise: Vec<f64> = noise.iter().map(|x| f64::from(*x)).collect();
        let x = target.flow(&noise, noising(Level::NOISE), noising(Level::CLEAN));
        x.iter().sum::<f64>()
    };
    let known: Vec<f64> = finished.iter().map(|(job, ..)| exact(job)).collect();
    for ((.., score), known) in finished.iter().zip(&known) {
        assert!((score - known).abs() < 0.1, "{score} for {known}");
    }
    let best = (0..known.len()).max_by(|&a, &b| known[a].total_cmp(&known[b]));
    assert_eq!(Some(answer), best);
}

/// On the shell of one norm a linear score has a known maximum; a local search comes near it and
/// gets further than as many free draws.
#[test]
fn zero_order_search_climbs_to_the_known_maximum() {
    let target = component(1.0, 0.0, 0.4);
    let exact = mixture(std::slice::from_ref(&target));
    let sum = |x: &[f32]| x.iter().map(|x| f64::from(*x)).sum::<f64>();
    let local = r#"{"method": "zero-order", "neighbours": 4, "cosine": 0.95, "stuck": "keep"}"#;
    let (finished, answer) = run(local, 400, &exact, sum);
    let norm = |job: &Job| {
        let noise = Stream::initial(job.recipe.root).normals(DIMENSIONS);
        noise
            .iter()
            .map(|x| f64::from(*x).powi(2))
            .sum::<f64>()
            .sqrt()
    };
    // The flow of a centred component scales the noise by its deviation.
    let maximum = 0.4 * norm(&finished[0].0) * (DIMENSIONS as f64).sqrt();
    let reached = finished[answer].2 / maximum;
    assert!((0.93..1.05).contains(&reached), "{reached} of the maximum");
    let (draws, best) = run(r#"{"method": "random"}"#, 400, &exact, sum);
    let free = draws[best].2 / (0.4 * norm(&draws[best].0) * (DIMENSIONS as f64).sqrt());
    assert!(free < 0.9, "free draws reach {free} of their maximum");
}

/// A rare mode: one draw in ten falls into it, so the best of 64 is in it, and so is what paths
/// keep.
#[test]
fn searches_find_the_rare_mode() {
    let parts = [component(0.9, -1.0, 0.3), component(0.1, 1.0, 0.3)];
    let exact = mixture(&parts);
    let clean = noising(Level::CLEAN);
    let rare = |x: &[f32]| {
        let wide: Vec<f64> = x.iter().map(|x| f64::from(*x)).collect();
        -wide.iter().map(|x| (x - 1.0).powi(2)).sum::<f64>()
    };
    let share = |finished: &[(Job, Vec<f32>, f64)]| {
        let inside = finished
            .iter()
            .filter(|(_, x, _)| x.iter().sum::<f32>() > 0.0);
        inside.count() as f64 / finished.len() as f64
    };
    let (draws, best) = run(r#"{"method": "random"}"#, 256, &exact, rare);
    assert!((share(&draws) - 0.1).abs() < 0.06, "{}", share(&draws));
    let (paths, kept) = run(r#"{"method": "paths", "paths": 2}"#, 64, &exact, rare);
    for x in [&draws[best].1, &paths[kept].1] {
        let wide: Vec<f64> = x.iter().map(|x| f64::from(*x)).collect();
        let (there, here) = (parts[0].clone(), parts[1].clone());
        let of = |part| GaussianMixture::new(vec![part]).unwrap();
        let [there, here] = [there, here].map(|part| of(part).log_density(&wide, clean));
        assert!(here > there + 50.0, "the answer lies in the common mode");
    }
}
