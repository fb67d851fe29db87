//! Paths and schedules against the tables of `parity/schedules.py` (origin noted there).

use noisesearch_core::level::Level;
use noisesearch_models::path::{Betas, NoisePath, PathError};
use noisesearch_models::schedule::Schedule;
use serde_json::Value;

/// Relative; twenty times what is reached (the cosine loses most, near its end), and crossed by
/// each mutation that was tried: T - 1 for T, betas shifted by one, sigma interpolated.
const TOLERANCE: f64 = 1e-9;

fn goldens() -> Value {
    let file = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../parity/goldens/schedules.json"
    );
    serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap()
}

fn level(value: f64) -> Level {
    Level::new(value as f32).unwrap()
}

fn paths() -> [(&'static str, NoisePath); 3] {
    let vp = |betas| NoisePath::vp(betas).unwrap();
    [
        ("linear", vp(Betas::DDPM)),
        ("scaled_linear", vp(Betas::STABLE_DIFFUSION)),
        ("cosine", vp(Betas::Cosine)),
    ]
}

fn assert_close(got: f64, want: f64, what: &str) {
    let error = (got - want).abs() / want.abs().max(f64::MIN_POSITIVE);
    assert!(
        got == want || error < TOLERANCE,
        "{what}: {got}, not {want} ({error:.1e})"
    );
}

#[test]
fn variance_preserving_paths_match_the_reference() {
    let goldens = goldens();
    for (name, path) in paths() {
        let rows = goldens["paths"][name].as_array().unwrap();
        assert!(rows.len() > 10);
        for row in rows {
            let at = row["level"].as_f64().unwrap();
            let point = path.at(level(at));
            assert_close(
                point.alpha,
                row["alpha"].as_f64().unwrap(),
                &format!("{name} a({at})"),
            );
            assert_close(
                point.sigma,
                row["sigma"].as_f64().unwrap(),
                &format!("{name} s({at})"),
            );
        }
    }
}

/// The noise range that k-diffusion documents for Stable Diffusion: 0.0292 to 14.6146.
#[test]
fn stable_diffusion_has_its_known_noise_range() {
    let path = NoisePath::vp(Betas::STABLE_DIFFUSION).unwrap();
    for (at, sigma) in [(0.001, 0.0292), (1.0, 14.6146)] {
        let point = path.at(level(at));
        assert!(
            (point.sigma / point.alpha / sigma - 1.0).abs() < 2e-3,
            "{point:?}"
        );
    }
}

#[test]
fn every_path_runs_from_clean_to_noise() {
    for (name, path) in paths().into_iter().chain([("flow", NoisePath::Flow)]) {
        let points: Vec<_> = (0..=4000)
            .map(|i| path.at(level(f64::from(i) / 4000.0)))
            .collect();
        assert_eq!((points[0].alpha, points[0].sigma), (1.0, 0.0), "{name}");
        assert!(points.windows(2).all(|p| p[1].alpha < p[0].alpha), "{name}");
        assert!(
            points.windows(2).all(|p| p[1].sigma >= p[0].sigma),
            "{name}"
        );
    }
}

/// Two forward legs are one: the kernels compose, and end in the path's own variance.
#[test]
fn forward_noising_keeps_the_marginals() {
    for (name, path) in paths().into_iter().chain([("flow", NoisePath::Flow)]) {
        for (from, to) in [(0.0, 0.3), (0.11, 0.89), (0.02, 0.8), (0.5, 1.0)] {
            let (keep, noise) = path.forward(level(from), level(to));
            let (from, to) = (path.at(level(from)), path.at(level(to)));
            assert_close(keep * from.alpha, to.alpha, name);
            let variance = keep * keep * from.sigma * from.sigma + noise * noise;
            assert_close(variance.sqrt(), to.sigma, name);
        }
    }
}

#[test]
fn impossible_betas_are_refused() {
    for (start, end) in [
        (0.0, 0.02),
        (0.1, 0.02),
        (0.1, 1.0),
        (f64::NAN, 0.1),
        (0.1, f64::NAN),
    ] {
        let made = [
            Betas::Linear { start, end },
            Betas::ScaledLinear { start, end },
        ];
        for path in made.map(NoisePath::vp) {
            assert!(matches!(path, Err(PathError { .. })), "{start} {end}");
        }
    }
}

#[test]
fn spacings_match_the_reference() {
    let goldens = goldens();
    let check = |schedule: Schedule, want: &Value, slack: f64| {
        let want: Vec<f64> = want
            .as_array()
            .unwrap()
            .iter()
            .map(|v| v.as_f64().unwrap())
            .collect();
        let steps = want.len() as u16 - 1;
        let got = schedule.levels(Level::NOISE, Level::CLEAN, steps);
        assert_eq!(got.len(), want.len());
        for (got, want) in got.iter().zip(want) {
            assert!(
                (f64::from(got.get()) - want).abs() < slack,
                "{got:?} {want}"
            );
        }
    };
    for shift in ["1.0", "3.0", "0.5"] {
        let schedule = Schedule::shifted(shift.parse().unwrap()).unwrap();
        check(schedule, &goldens["shift"][shift], 1e-7);
    }
    for steps in ["1", "4", "10", "50"] {
        check(Schedule::EVEN, &goldens["trailing"][steps], 1e-7);
    }
}

/// Once the steps of a count that does not divide 1000, such as the 30 of PixArt's preset, lay
/// between the indices at which a network was trained and at which diffusers asks it.
#[test]
fn trailing_steps_are_the_whole_indices_of_diffusers() {
    let goldens = goldens();
    for (steps, want) in goldens["indices"].as_object().unwrap() {
        let levels = Schedule::TRAILING.levels(Level::NOISE, Level::CLEAN, steps.parse().unwrap());
        let found: Vec<f32> = levels.iter().map(|level| level.get()).collect();
        let want = want.as_array().unwrap().iter();
        let want: Vec<f32> = want.map(|v| v.as_f64().unwrap() as f32).collect();
        assert_eq!(found, want, "{steps}");
    }
}

#[test]
fn trailing_steps_that_are_whole_stay_and_none_turns_back() {
    for steps in (1..=1000).filter(|steps| 1000 % steps == 0) {
        let levels = |schedule: Schedule| schedule.levels(Level::NOISE, Level::CLEAN, steps);
        assert_eq!(
            levels(Schedule::TRAILING),
            levels(Schedule::EVEN),
            "{steps}"
        );
    }
    for (from, to) in [
        (1.0, 0.0),
        (0.89, 0.11),
        (0.5, 0.49),
        (0.4996, 0.0),
        (0.003, 0.0),
    ] {
        for steps in [1, 2, 3, 7, 30, 48, 1000, 5000] {
            let levels = Schedule::TRAILING.levels(level(from), level(to), steps);
            let distinct = levels.windows(2).all(|pair| pair[1] < pair[0]);
            assert!(
                distinct && levels.len() == usize::from(steps) + 1,
                "{from} {to} {steps}"
            );
        }
    }
}

#[test]
fn a_leg_is_spaced_like_the_whole_way() {
    for shift in [0.25, 1.0, 3.0, 12.0] {
        let schedule = Schedule::shifted(shift).unwrap();
        let whole = schedule.levels(Level::NOISE, Level::CLEAN, 20);
        let leg = schedule.levels(whole[5], whole[15], 10);
        for (a, b) in leg.iter().zip(&whole[5..=15]) {
            assert!((a.get() - b.get()).abs() < 1e-6, "{shift}: {a:?} {b:?}");
        }
        assert_eq!((leg[0], leg[10]), (whole[5], whole[15]));
    }
}

#[test]
fn levels_never_turn_back_however_fine() {
    for shift in [0.01, 1.0, 1000.0] {
        let schedule = Schedule::shifted(shift).unwrap();
        for (from, to) in [(1.0, 0.0), (1e-7, 0.0), (0.5, 0.499999), (1.0, 0.999999)] {
            let levels = schedule.levels(level(from), level(to), u16::MAX);
            assert_eq!(levels.len(), usize::from(u16::MAX) + 1);
            assert!(
                levels.windows(2).all(|pair| pair[1] <= pair[0]),
                "{shift} {from} {to}"
            );
        }
    }
    assert!(
        [0.0, -1.0, f64::NAN, f64::INFINITY]
            .iter()
            .all(|s| Schedule::shifted(*s).is_err())
    );
}
