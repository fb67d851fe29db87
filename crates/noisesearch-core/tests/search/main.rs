//! The algorithms: the conformance suite, and what is particular to each.

mod halving;
mod ladder;

use noisesearch_core::budget::{Budget, Goal};
use noisesearch_core::conformance::{self, terms};
use noisesearch_core::job::{Failure, Job, JobId, Outcome, Scores, View};
use noisesearch_core::ledger::NfeRule;
use noisesearch_core::objective::Objective;
use noisesearch_core::recipe::{Move, Recipe};
use noisesearch_core::search::zero_order::Stuck;
use noisesearch_core::search::{
    Search, SearchError, SearchSpec, StopReason, Terms, paths, zero_order,
};

fn suite(spec: &SearchSpec) {
    conformance::search(&|terms| spec.build(terms));
}

fn zero_order(spec: zero_order::Spec) -> SearchSpec {
    SearchSpec::ZeroOrder(spec)
}

#[test]
fn random_conforms() {
    suite(&SearchSpec::named("random").unwrap());
}

#[test]
fn zero_order_conforms() {
    for stuck in [Stuck::Keep, Stuck::Restart, Stuck::Retry] {
        for (neighbours, rounds) in [(1, None), (4, Some(200)), (7, None)] {
            let spec = zero_order::Spec {
                neighbours,
                stuck,
                rounds,
                ..Default::default()
            };
            suite(&zero_order(spec));
        }
    }
}

#[test]
fn paths_conform() {
    for paths in [1, 2, 4] {
        suite(&SearchSpec::Paths(paths::Spec {
            paths,
            ..Default::default()
        }));
    }
    let spec = paths::Spec {
        paths: 3,
        noises: Some(2),
        ..Default::default()
    };
    suite(&SearchSpec::Paths(spec));
}

fn score(value: f64) -> Outcome {
    Outcome::Scored(Scores::new(vec![value]).unwrap())
}

/// Runs to the end, one job at a time.
fn run(search: &mut dyn Search, world: impl Fn(&Job) -> Outcome) -> Vec<Job> {
    let mut jobs = Vec::new();
    while search.stop().is_none() {
        let job = search.ask(1).remove(0);
        search.tell(job.id, &world(&job));
        jobs.push(job);
    }
    jobs
}

fn recipes(spec: &SearchSpec, terms: &Terms, world: impl Fn(&Job) -> Outcome) -> Vec<String> {
    let jobs = run(&mut *spec.build(terms).unwrap(), world);
    jobs.iter().map(|job| job.recipe.to_string()).collect()
}

fn plain(budget: Budget) -> Terms {
    let nfe = NfeRule {
        per_step: 1,
        saved_at_zero: 0,
    };
    Terms {
        search_steps: 20,
        final_steps: 20,
        nfe,
        ..terms(budget)
    }
}

#[test]
fn random_growing_n_keeps_the_earlier_candidates() {
    let spec = SearchSpec::named("random").unwrap();
    let few = recipes(&spec, &plain(Budget::Nfe(640)), |_| score(0.0));
    let many = recipes(&spec, &plain(Budget::Nfe(1280)), |_| score(0.0));
    assert_eq!((few.len(), many.len()), (32, 64));
    assert_eq!(few, many[..32]);
    let root = noisesearch_core::noise::candidate_root(7, 0);
    assert_eq!(few[0], format!("root {root} | denoise to 0 in 20"));
}

#[test]
fn final_steps_are_reserved_only_when_they_differ() {
    let count = |final_steps| {
        let terms = Terms {
            final_steps,
            ..plain(Budget::Nfe(640))
        };
        let spec = SearchSpec::named("random").unwrap();
        recipes(&spec, &terms, |_| score(0.0)).len()
    };
    assert_eq!((count(20), count(50), count(21)), (32, 29, 30));
    let terms = Terms {
        final_steps: 50,
        ..plain(Budget::Nfe(640))
    };
    let winner: Recipe = "root 7 | nudge #0 cos 0.5 | denoise to 0 in 20"
        .parse()
        .unwrap();
    let (again, nfe) = terms.remake(&winner).unwrap();
    assert_eq!(
        again.to_string(),
        "root 7 | nudge #0 cos 0.5 | denoise to 0 in 50"
    );
    assert_eq!(nfe, 50);
    assert_eq!(plain(Budget::Nfe(1)).remake(&winner), None);
    let path = "root 7 | denoise to 0.1 in 9 | denoise to 0 in 20"
        .parse()
        .unwrap();
    assert_eq!(terms.remake(&path), None);
}

#[test]
fn the_smallest_budget_is_named() {
    let terms = Terms {
        final_steps: 50,
        ..plain(Budget::Nfe(10))
    };
    let error = SearchSpec::named("random")
        .unwrap()
        .build(&terms)
        .err()
        .unwrap();
    let text = "budget 10nfe is too small for one candidate; the smallest that works is 70nfe";
    assert_eq!(error.to_string(), text);
}

/// A million candidates; finalists are the best of them and nothing else is held.
#[test]
fn random_is_flat_to_a_million_candidates() {
    let terms = plain(Budget::Evals(1_000_000));
    let mut search = SearchSpec::named("random").unwrap().build(&terms).unwrap();
    let value = |job: &Job| (job.id.0.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 11) as f64;
    let mut all = Vec::new();
    for job in run(&mut *search, |job| score(value(job))) {
        all.push((value(&job), job.id));
    }
    all.sort_by(|a, b| b.0.total_cmp(&a.0));
    let best: Vec<JobId> = all.iter().take(terms.keep).map(|entry| entry.1).collect();
    assert_eq!(search.finalists(100), best);
    assert_eq!(search.finalists(2), best[..2]);
}

/// The chain of nudges of a recipe.
fn draws(job: &Job) -> Vec<u32> {
    let draw = |step: &Move| match step {
        Move::Nudge { draw, cosine } => {
            assert_eq!(*cosine, 0.95);
            Some(*draw)
        }
        _ => None,
    };
    job.recipe.moves.iter().filter_map(draw).collect()
}

fn chains(stuck: Stuck, rounds: Option<u32>, wins: &[u64]) -> Vec<(usize, Vec<u32>)> {
    let spec = zero_order(zero_order::Spec {
        neighbours: 2,
        stuck,
        rounds,
        cosine: 0.95,
    });
    let mut search = spec.build(&plain(Budget::Evals(9))).unwrap();
    let jobs = run(&mut *search, |job| {
        let wins = wins.contains(&job.id.0);
        score(if wins {
            job.id.0 as f64
        } else {
            -(job.id.0 as f64)
        })
    });
    let mut roots = Vec::new();
    let mut place = |root| {
        roots.iter().position(|r| *r == root).unwrap_or_else(|| {
            roots.push(root);
            roots.len() - 1
        })
    };
    jobs.iter()
        .map(|job| (place(job.recipe.root), draws(job)))
        .collect()
}

#[test]
fn zero_order_climbs_without_scoring_the_pivot_again() {
    let expected: &[&[u32]] = &[
        &[],
        &[0],
        &[1],
        &[1, 2],
        &[1, 3],
        &[1, 2, 4],
        &[1, 2, 5],
        &[1, 2, 6],
        &[1, 2, 7],
    ];
    let got = chains(Stuck::Keep, None, &[2, 3]);
    assert_eq!(
        got.iter()
            .map(|(_, chain)| chain.as_slice())
            .collect::<Vec<_>>(),
        expected
    );
}

#[test]
fn zero_order_restarts_and_retries_when_stuck() {
    // Round 1 is stuck. Restart: fresh noise, its neighbours, again.
    let (a, b, c) = (vec![], vec![0], vec![1]);
    let restart = chains(Stuck::Restart, None, &[]);
    let row = |root| [(root, a.clone()), (root, b.clone()), (root, c.clone())];
    assert_eq!(restart, [row(0), row(1), row(2)].concat());
    // Keep counts a stuck round, retry does not: only the budget of 9 ends it.
    assert_eq!(chains(Stuck::Keep, Some(2), &[]).len(), 5);
    assert_eq!(chains(Stuck::Retry, Some(2), &[]).len(), 9);
    assert_eq!(chains(Stuck::Retry, Some(2), &[1, 3]).len(), 5);
}

#[test]
fn zero_order_ends_in_a_partial_round() {
    let spec = zero_order(zero_order::Spec::default());
    for evals in 1..14 {
        let got = recipes(&spec, &plain(Budget::Evals(evals)), |job| {
            score(job.id.0 as f64)
        });
        assert_eq!(got.len() as u64, evals);
    }
}

#[test]
fn zero_order_starts_afresh_when_a_chain_is_full() {
    let spec = zero_order(zero_order::Spec {
        neighbours: 1,
        ..Default::default()
    });
    let mut search = spec.build(&plain(Budget::Evals(600))).unwrap();
    let jobs = run(&mut *search, |job| score(job.id.0 as f64));
    assert_eq!(jobs[254].recipe.moves.len(), 255);
    assert_eq!(jobs[255].recipe.moves.len(), 1);
    assert_eq!(search.finalists(1), [JobId(599)]);
    jobs.iter().for_each(|job| job.recipe.check().unwrap());
}

#[test]
fn zero_order_replaces_a_pivot_that_failed() {
    let spec = zero_order(zero_order::Spec {
        neighbours: 2,
        ..Default::default()
    });
    let mut search = spec.build(&plain(Budget::Evals(6))).unwrap();
    let failure = Outcome::Failed(Failure::NonFinite { evaluation: 3 });
    let jobs = run(&mut *search, |job| {
        if job.id.0 < 3 {
            failure.clone()
        } else {
            score(1.0)
        }
    });
    assert_eq!(draws(&jobs[3]), [0; 0]);
    assert_ne!(jobs[3].recipe.root, jobs[0].recipe.root);
    assert_eq!(search.finalists(9), [JobId(3), JobId(4), JobId(5)]);
}

#[test]
fn paths_follow_the_published_schedule() {
    let spec = paths::Spec {
        paths: 1,
        noises: Some(1),
        first_steps: Some(11),
        leg_steps: Some(5),
        ..Default::default()
    };
    let mut search = SearchSpec::Paths(spec)
        .build(&plain(Budget::Nfe(1000)))
        .unwrap();
    let jobs = run(&mut *search, |_| score(0.0));
    let root = jobs[0].recipe.root;
    let last = format!(
        "root {root} | denoise to 0.11 in 11 | renoise #0 to 0.89 | denoise to 0.08 in 5 \
         | renoise #0 to 0.86 | denoise to 0.05 in 5 | renoise #0 to 0.83 | denoise to 0.02 in 5 \
         | renoise #0 to 0.8 | denoise to 0 in 5"
    );
    assert_eq!(jobs.last().unwrap().recipe.to_string(), last);
    let views: Vec<View> = jobs.iter().map(|job| job.view).collect();
    assert_eq!(
        views,
        [View::Preview, View::Preview, View::Preview, View::Final]
    );
    // 11 + 5 + preview, 5 + preview, 5 + preview, 5.
    assert_eq!(
        jobs.iter().map(|job| job.nfe).collect::<Vec<_>>(),
        [17, 6, 6, 5]
    );
    assert_eq!(search.stop(), Some(StopReason::Exhausted));
    assert_eq!(
        (search.finalists(9), search.baseline()),
        (vec![JobId(3)], None)
    );
}

#[test]
fn paths_keep_the_best_of_all_paths() {
    let spec = paths::Spec {
        paths: 2,
        noises: Some(3),
        ..Default::default()
    };
    let mut search = SearchSpec::Paths(spec)
        .build(&plain(Budget::Nfe(1000)))
        .unwrap();
    // Jobs 1 and 2 of path 0 win; path 1 dies out. Then jobs 8 and 10 win.
    let wins = [1, 2, 8, 10];
    let jobs = run(&mut *search, |job| {
        score(f64::from(u8::from(wins.contains(&job.id.0))))
    });
    assert_eq!(jobs.len(), 24);
    let tail = |job: usize| {
        let moves = &jobs[job].recipe.moves;
        let draw = |step: &Move| match step {
            Move::Renoise { draw, .. } => Some(*draw),
            _ => None,
        };
        moves.iter().filter_map(draw).collect::<Vec<_>>()
    };
    assert!(
        jobs[6..]
            .iter()
            .all(|job| job.recipe.root == jobs[0].recipe.root)
    );
    assert_eq!((tail(1), tail(2), tail(5)), (vec![1], vec![2], vec![5]));
    assert_eq!((tail(6), tail(9)), (vec![1, 0], vec![2, 3]));
    assert_eq!((tail(12), tail(15)), (vec![1, 2, 0], vec![2, 4, 3]));
    // First legs are paid by the first job of each path.
    let nfe: Vec<u64> = jobs.iter().map(|job| job.nfe).collect();
    assert_eq!(nfe[..7], [24, 6, 6, 24, 6, 6, 6]);
}

#[test]
fn paths_choose_the_largest_affordable_number_of_noises() {
    let spec = SearchSpec::named("paths").unwrap();
    let noises = |budget| {
        let spec = spec.resolve(&plain(budget));
        spec.map(|spec| match spec {
            SearchSpec::Paths(paths) => (paths.noises, paths.first_steps, paths.leg_steps),
            other => panic!("{other:?}"),
        })
    };
    // 2 paths: 2 * 18 for first legs, 2 * (3 * 6 + 5) = 46 a noise.
    let chosen = |m| Ok((Some(m), Some(18), Some(5)));
    assert_eq!(noises(Budget::Nfe(82)), chosen(1));
    assert_eq!(noises(Budget::Nfe(36 + 46 * 7 + 45)), chosen(7));
    assert_eq!(noises(Budget::Evals(8 * 5 + 7)), chosen(5));
    let time = Budget::Seconds(9.0);
    assert_eq!(noises(time), Err(SearchError::TimeBudget(time)));
    let small = spec.build(&plain(Budget::Nfe(81))).err().unwrap();
    let smallest = Budget::Nfe(82);
    assert_eq!(
        small,
        SearchError::BudgetTooSmall {
            given: Budget::Nfe(81),
            smallest
        }
    );
}

#[test]
fn settings_out_of_range_are_named() {
    let refused = |text: &str| {
        let spec: SearchSpec = serde_json::from_str(text).unwrap();
        match spec.build(&plain(Budget::Nfe(10_000))).err() {
            Some(SearchError::Setting { name, .. }) => name,
            other => panic!("{text}: {other:?}"),
        }
    };
    let zero = |rest: &str| refused(&format!(r#"{{"method":"zero-order",{rest}}}"#));
    assert_eq!(zero(r#""neighbours":0"#), "neighbours");
    assert_eq!(zero(r#""cosine":1.0"#), "cosine");
    assert_eq!(zero(r#""rounds":0"#), "rounds");
    let paths = |rest: &str| refused(&format!(r#"{{"method":"paths",{rest}}}"#));
    assert_eq!(paths(r#""paths":0"#), "paths");
    assert_eq!(paths(r#""noises":0"#), "noises");
    assert_eq!(paths(r#""paths":65536,"noises":65536"#), "noises");
    assert_eq!(paths(r#""sigma":0.0"#), "sigma");
    assert_eq!(paths(r#""sigma":0.5"#), "forward");
    assert_eq!(paths(r#""backward":0.78"#), "backward");
    assert_eq!(paths(r#""backward":0.7801"#), "backward - forward");
    assert_eq!(paths(r#""leg-steps":0"#), "leg-steps");
    assert_eq!(paths(r#""first-steps":0"#), "first-steps");
    let zero_keep = Terms {
        keep: 0,
        ..plain(Budget::Nfe(100))
    };
    assert!(
        SearchSpec::named("random")
            .unwrap()
            .build(&zero_keep)
            .is_err()
    );
}

#[test]
fn specs_read_back_and_refuse_unknown_settings() {
    for spec in SearchSpec::all() {
        let text = serde_json::to_string(&spec).unwrap();
        assert_eq!(serde_json::from_str::<SearchSpec>(&text).unwrap(), spec);
        assert_eq!(SearchSpec::named(spec.name()), Some(spec));
    }
    for text in [
        r#"{"method":"random","n":3}"#,
        r#"{"method":"zero-order","lambda":3}"#,
        r#"{"method":"paths","stuck":"keep"}"#,
        r#"{"method":"anneal"}"#,
    ] {
        assert!(serde_json::from_str::<SearchSpec>(text).is_err(), "{text}");
    }
}

/// Only a finished sample can reach the target.
#[test]
fn a_preview_does_not_reach_the_target() {
    let goal = Some(Goal {
        verifier: 0,
        score: 0.5,
    });
    let terms = Terms {
        goal,
        ..plain(Budget::Nfe(400))
    };
    let mut search = SearchSpec::named("paths").unwrap().build(&terms).unwrap();
    let jobs = run(&mut *search, |_| score(1.0));
    assert_eq!(jobs.last().unwrap().view, View::Final);
    assert_eq!(jobs.iter().filter(|job| job.view == View::Final).count(), 1);
    assert_eq!(search.stop(), Some(StopReason::Target));
}

/// Under mean rank a candidate's place may change as others come; all are compared.
#[test]
fn mean_rank_compares_all_candidates() {
    let objective = Objective::MeanRank(vec![0, 1]);
    let terms = Terms {
        objective,
        keep: 1,
        ..plain(Budget::Evals(4))
    };
    let mut search = SearchSpec::named("random").unwrap().build(&terms).unwrap();
    let rows = [[3.0, 0.0], [2.0, 3.0], [0.0, 2.0], [1.0, 1.0]];
    let world = |job: &Job| Scores::new(rows[job.id.0 as usize].to_vec()).unwrap();
    run(&mut *search, |job| Outcome::Scored(world(job)));
    assert_eq!(search.finalists(9), [JobId(1)]);
}
