//! First-order search: the conformance suite, what a step bills, and how a climber climbs.

use noisesearch_core::budget::Budget;
use noisesearch_core::conformance::{self, terms};
use noisesearch_core::job::{Failure, Job, Outcome, Scores};
use noisesearch_core::noise::{Stream, ascend};
use noisesearch_core::recipe::Move;
use noisesearch_core::search::first_order::Spec;
use noisesearch_core::search::{SearchError, SearchSpec, StopReason, Terms};
use noisesearch_core::sim::Landscape;

fn spec(pivots: u32, rate: f32) -> SearchSpec {
    SearchSpec::FirstOrder(Spec {
        pivots,
        tries: 1,
        rate,
        follow: Some("classifier".parse().unwrap()),
    })
}

fn tries_of(search: SearchSpec, tries: u32) -> SearchSpec {
    match search {
        SearchSpec::FirstOrder(spec) => SearchSpec::FirstOrder(Spec { tries, ..spec }),
        other => other,
    }
}

/// Every job and its outcome until the search is over.
fn run(search: &SearchSpec, terms: &Terms, score: impl Fn(&Job) -> Option<f64>) -> Vec<Job> {
    let mut search = search.build(terms).unwrap();
    let mut jobs = Vec::new();
    while search.stop().is_none() {
        for job in search.ask(1) {
            let outcome = match score(&job) {
                Some(score) => Outcome::Scored(Scores::new(vec![score]).unwrap()),
                None => Outcome::Failed(Failure::NonFinite { evaluation: 1 }),
            };
            search.tell(job.id, &outcome);
            jobs.push(job);
        }
    }
    assert_eq!(search.stop(), Some(StopReason::Budget));
    jobs
}

/// The rates of a recipe's ascents.
fn rates(job: &Job) -> Vec<f32> {
    let rate = |step: &Move| match step {
        Move::Ascend { verifier, rate, .. } => {
            assert_eq!(verifier.as_str(), "classifier");
            Some(*rate)
        }
        _ => None,
    };
    job.recipe.moves.iter().filter_map(rate).collect()
}

#[test]
fn first_order_conforms() {
    for (pivots, tries, rate) in [(1, 1, 0.2), (2, 3, 1.0), (5, 1, 0.001)] {
        let spec = tries_of(spec(pivots, rate), tries);
        conformance::search(&|terms| spec.build(terms));
    }
}

/// A solve of 8 Heun steps is 15 NFE; a step is two of them and three for each of one backward.
#[test]
fn a_step_bills_five_solves() {
    let jobs = run(&spec(2, 0.2), &terms(Budget::Evals(6)), |job| {
        Some(job.id.0 as f64)
    });
    let bills: Vec<u64> = jobs.iter().map(|job| job.nfe).collect();
    assert_eq!(bills, [15, 15, 75, 75, 75, 75]);
    // The final solve of 20 steps, 39 NFE, is set aside.
    for (budget, count) in [(54, 1), (128, 1), (129, 2), (203, 2), (204, 3)] {
        let jobs = run(&spec(1, 0.2), &terms(Budget::Nfe(budget)), |_| Some(0.0));
        assert_eq!(jobs.len(), count, "{budget}");
    }
}

#[test]
fn a_better_step_is_kept_and_a_worse_one_halved() {
    // Job 1 is better, 2 and 3 are worse, 4 is better.
    let scores = [0.0, 1.0, 0.5, 0.9, 2.0, 3.0];
    let jobs = run(&spec(1, 0.4), &terms(Budget::Evals(6)), |job| {
        Some(scores[job.id.0 as usize])
    });
    let tried: Vec<Vec<f32>> = jobs.iter().map(rates).collect();
    let want: [&[f32]; 6] = [
        &[],
        &[0.4],
        &[0.4, 0.4],
        &[0.4, 0.2],
        &[0.4, 0.1],
        &[0.4, 0.1, 0.1],
    ];
    assert_eq!(tried, want);
    assert!(
        jobs.iter()
            .all(|job| job.recipe.root == jobs[0].recipe.root)
    );
}

#[test]
fn the_best_of_the_tries_climbs() {
    // Job 0 fails, 2 is the best of the fresh ones; 4 is better, 5 to 7 are worse.
    let scores = [None, Some(1.0), Some(3.0), Some(2.0), Some(4.0)];
    let jobs = run(
        &tries_of(spec(1, 0.4), 4),
        &terms(Budget::Evals(9)),
        |job| *scores.get(job.id.0 as usize).unwrap_or(&Some(0.0)),
    );
    let bills: Vec<u64> = jobs.iter().map(|job| job.nfe).collect();
    assert_eq!(bills, [15, 15, 15, 15, 75, 75, 75, 75, 75]);
    let tried: Vec<Vec<f32>> = jobs[4..].iter().map(rates).collect();
    let want: [&[f32]; 5] = [&[0.4], &[0.4, 0.4], &[0.4, 0.2], &[0.4, 0.1], &[0.4, 0.05]];
    assert_eq!(tried, want);
    let mut fresh: Vec<u64> = jobs[..4].iter().map(|job| job.recipe.root).collect();
    assert!(jobs[4..].iter().all(|job| job.recipe.root == fresh[2]));
    fresh.dedup();
    assert_eq!(fresh.len(), 4);
}

#[test]
fn a_climber_that_is_stuck_starts_again() {
    let jobs = run(&spec(1, 0.8), &terms(Budget::Evals(8)), |job| {
        (job.id.0 != 5).then_some(-(job.id.0 as f64))
    });
    let last: Vec<Option<f32>> = jobs.iter().map(|job| rates(job).last().copied()).collect();
    let rates = [0.8, 0.4, 0.2, 0.1].map(Some);
    // Job 5, the second start, fails; a third follows at once.
    let want = [&[None], &rates[..], &[None, None, Some(0.8)]].concat();
    assert_eq!(last, want);
    assert_ne!(jobs[4].recipe.root, jobs[5].recipe.root);
    assert_ne!(jobs[5].recipe.root, jobs[6].recipe.root);
}

/// On a landscape of many hills the gradient finds more than neighbours do for the same NFE.
#[test]
fn the_gradient_climbs() {
    let landscape = Landscape {
        dimensions: 64,
        verifiers: 1,
        grain: 0.0,
    };
    let best = |search: &SearchSpec, seed| {
        let terms = Terms {
            seed,
            ..terms(Budget::Nfe(1500))
        };
        let score = |job: &Job| landscape.scores(&job.recipe)[0];
        let jobs = run(search, &terms, |job| Some(score(job)));
        jobs.iter().map(score).fold(f64::MIN, f64::max)
    };
    let mean = |search: &SearchSpec| (0..20).map(|seed| best(search, seed)).sum::<f64>() / 20.0;
    let neighbours = SearchSpec::named("zero-order").unwrap();
    let (first, zero) = (mean(&spec(1, 0.2)), mean(&neighbours));
    assert!(first > zero + 0.1, "first-order {first}, zero-order {zero}");
}

#[test]
fn settings_are_checked() {
    let refused = |spec: Spec| match SearchSpec::FirstOrder(spec).build(&terms(Budget::Evals(9))) {
        Err(SearchError::Setting { name, .. }) => name,
        other => panic!("{:?}", other.err()),
    };
    let follow = Some("classifier".parse().unwrap());
    let base = Spec {
        follow,
        ..Spec::default()
    };
    for rate in [0.0, 0.0009, 1.1, f32::NAN] {
        assert_eq!(
            refused(Spec {
                rate,
                ..base.clone()
            }),
            "rate"
        );
    }
    for tries in [0, 65537] {
        assert_eq!(
            refused(Spec {
                tries,
                ..base.clone()
            }),
            "tries"
        );
    }
    for pivots in [0, 1025] {
        assert_eq!(
            refused(Spec {
                pivots,
                ..base.clone()
            }),
            "pivots"
        );
    }
    assert_eq!(refused(Spec::default()), "follow");
}

#[test]
fn an_ascent_goes_up_and_keeps_the_norm() {
    let norm = |x: &[f32]| x.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>().sqrt();
    let x = Stream::initial(3).normals(1024);
    let mut slope = vec![0.0; 1024];
    slope[5] = 7.0;
    let y = ascend(&x, &slope, 0.1);
    assert!((norm(&y) / norm(&x) - 1.0).abs() < 1e-6);
    // Only element 5 moves before the way back to the shell, by a tenth of the norm.
    let back = f64::from(y[0]) / f64::from(x[0]);
    let moved = f64::from(y[5]) / back - f64::from(x[5]);
    assert!((moved / norm(&x) - 0.1).abs() < 1e-6, "{moved}");
    // The length of the gradient does not matter, and without one nothing moves.
    let longer: Vec<f32> = slope.iter().map(|g| g * 1e9).collect();
    assert_eq!(ascend(&x, &longer, 0.1), y);
    assert_eq!(ascend(&x, &[0.0; 1024], 0.1), x);
}
