//! Advice on made-up measurements whose best answer is known.

use noisesearch::advise::{Look, Pilot, TaskLooks, correlations, plan};
use noisesearch::spec::{Spec, Task};
use noisesearch_core::budget::Budget;
use noisesearch_core::conformance::terms;
use noisesearch_core::noise::Stream;
use noisesearch_core::search::{SearchSpec, Terms};

const STEPS: u16 = 20;

/// Terms of a model that takes 20 Euler steps.
fn terms_of(budget: Budget) -> Terms {
    let steps = STEPS;
    Terms {
        final_steps: steps,
        ladder: false,
        search_steps: steps,
        budget,
        nfe: noisesearch_core::ledger::NfeRule {
            per_step: 1,
            saved_at_zero: 0,
        },
        ..terms(budget)
    }
}

/// A measurement of 30 tasks in which a look goes with the end as `like` says.
fn pilot(like: impl Fn(&Look) -> f64) -> Pilot {
    let looks = Pilot::looks(STEPS);
    let normals = |task: u64, column: usize| {
        let stream = Stream::initial(1000 * task + column as u64);
        stream.normals(40).into_iter().map(f64::from).collect()
    };
    let task = |task: u64| {
        let end: Vec<f64> = normals(task, 99);
        let column = |(at, look): (usize, &Look)| {
            let (r, own) = (like(look), normals(task, at));
            let mixed = end.iter().zip(own).map(|(e, o): (&f64, f64)| {
                let merit = r * e + (1.0 - r * r).sqrt() * o;
                Some(10.0 + 3.0 * merit)
            });
            mixed.collect::<Vec<_>>()
        };
        TaskLooks {
            task: task.to_string(),
            merits: looks.iter().enumerate().map(column).collect(),
        }
    };
    Pilot {
        fingerprint: "made up".into(),
        steps: STEPS,
        scores: true,
        tasks: (0..30).map(task).collect(),
        looks,
    }
}

#[test]
fn a_preview_that_tells_all_is_used_as_early_as_it_does() {
    let told = |look: &Look| match *look {
        Look::Preview { level } if level > 0.65 => 0.0,
        Look::Preview { .. } | Look::Final => 1.0,
        Look::Steps { .. } => 0.0,
    };
    let pilot = pilot(told);
    let advice = plan(&pilot, &terms_of(Budget::Nfe(800))).unwrap();
    let SearchSpec::Halving(halving) = &advice.best.allocation.search else {
        panic!("{advice:?}");
    };
    assert!(halving.rungs.iter().all(|rung| *rung < 0.65), "{advice:?}");
    assert!((halving.rungs[0] - 0.6).abs() < 1e-9, "{advice:?}");
    // Best of 40 expects 2.16 deviations; the merits' deviation is 3.
    assert!((advice.plain.deviations - 2.16).abs() < 0.08, "{advice:?}");
    // That would be 6.5 in their unit, were the best of 40 measured ones not the limit.
    let gain = advice.plain.gain.unwrap();
    assert!((5.5..6.5).contains(&gain), "{gain}");
    let (more, low, high) = advice.more;
    assert!(low > 0.0 && low <= more && more <= high, "{advice:?}");
    // Nothing was raced, so that the best allocation is what is searched with.
    assert_eq!(advice.chosen().search, advice.best.allocation.search);
}

#[test]
fn looks_that_tell_nothing_are_not_used() {
    let pilot = pilot(|look| f64::from(u8::from(*look == Look::Final)));
    let advice = plan(&pilot, &terms_of(Budget::Evals(32))).unwrap();
    assert_eq!(advice.budget_nfe, 32 * u64::from(STEPS));
    assert_eq!(advice.best, advice.plain);
    assert_eq!(advice.best.allocation.candidates, 32);
    assert_eq!(advice.more.0, 0.0);
    for (look, correlation) in correlations(&pilot) {
        let wanted = f64::from(u8::from(look == Look::Final));
        assert!((correlation - wanted).abs() < 0.1, "{look:?} {correlation}");
    }
}

#[test]
fn fewer_steps_are_taken_where_they_tell_as_much() {
    let told = |look: &Look| match look {
        Look::Preview { .. } => 0.0,
        Look::Steps { .. } | Look::Final => 1.0,
    };
    let advice = plan(&pilot(told), &terms_of(Budget::Nfe(800))).unwrap();
    let best = &advice.best.allocation;
    assert_eq!((best.search.name(), best.search_steps), ("random", 5));
    // 20 of 800 NFE make the winner again.
    assert_eq!(best.candidates, 780 / 5);
    let spec = advice.apply(Spec::default());
    assert_eq!(spec.search_steps, Some(5));
    assert_eq!(spec.budget, Some(Budget::Nfe(800)));
}

#[test]
fn no_advice_without_a_measurement_or_a_budget_that_pays() {
    let good = pilot(|_| 1.0);
    assert_eq!(plan(&good, &terms_of(Budget::Nfe(19))), None);
    assert_eq!(plan(&good, &terms_of(Budget::Seconds(9.0))), None);
    let none = Pilot {
        tasks: Vec::new(),
        ..good
    };
    assert_eq!(plan(&none, &terms_of(Budget::Nfe(800))), None);
}

#[test]
fn only_the_labs_models_bring_tasks() {
    let scenes = noisesearch::advise::usual_tasks("scenes");
    assert_eq!(scenes.len(), 12);
    assert!(scenes.iter().all(|task| matches!(task, Task::Prompt(_))));
    assert!(noisesearch::advise::usual_tasks("flux.1-dev").is_empty());
}
