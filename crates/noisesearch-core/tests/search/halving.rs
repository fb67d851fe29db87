//! Successive halving: the conformance suite, and what is particular to it.

use super::{plain, run, score, suite};
use noisesearch_core::budget::Budget;
use noisesearch_core::job::JobId;
use noisesearch_core::search::{SearchError, SearchSpec, StopReason, halving};

#[test]
fn halving_conforms() {
    for (rungs, factor) in [
        (vec![0.75, 0.5], 3),
        (vec![0.5], 2),
        (vec![0.8, 0.5, 0.2], 4),
    ] {
        suite(&SearchSpec::Halving(halving::Spec {
            rungs,
            factor,
            ..Default::default()
        }));
    }
    suite(&SearchSpec::Halving(halving::Spec {
        starts: Some(5),
        ..Default::default()
    }));
}

#[test]
fn halving_drops_most_noises_early() {
    let spec = halving::Spec {
        starts: Some(9),
        ..Default::default()
    };
    let mut search = SearchSpec::Halving(spec)
        .build(&plain(Budget::Nfe(1000)))
        .unwrap();
    // Noises 3, 5 and 8 win at 0.75, then 5 (job 10) at 0.5.
    let wins = [3, 5, 8, 10];
    let jobs = run(&mut *search, |job| {
        score(f64::from(u8::from(wins.contains(&job.id.0))))
    });
    let nfe: Vec<u64> = jobs.iter().map(|job| job.nfe).collect();
    assert_eq!(nfe, [[6; 9].as_slice(), &[6; 3], &[10]].concat());
    let root = |job: usize| jobs[job].recipe.root;
    assert_eq!([root(9), root(10), root(11)], [root(3), root(5), root(8)]);
    let winner = format!(
        "root {} | denoise to 0.75 in 5 | denoise to 0.5 in 5 | denoise to 0 in 10",
        root(5)
    );
    assert_eq!(jobs[12].recipe.to_string(), winner);
    assert_eq!(search.finalists(9), vec![JobId(12)]);
    assert_eq!(search.stop(), Some(StopReason::Exhausted));
}

#[test]
fn halving_begins_with_as_many_noises_as_the_budget_pays_for() {
    let spec = SearchSpec::named("halving").unwrap();
    let starts = |budget| {
        spec.resolve(&plain(budget)).map(|spec| match spec {
            SearchSpec::Halving(halving) => halving.starts,
            other => panic!("{other:?}"),
        })
    };
    // One noise: 6 + 6 + 10. Nine: 9 * 6 + 3 * 6 + 10 = 82; the tenth brings 6 + 6 + 10 more.
    assert_eq!(starts(Budget::Nfe(22)), Ok(Some(1)));
    assert_eq!(starts(Budget::Nfe(82)), Ok(Some(9)));
    assert_eq!(starts(Budget::Nfe(103)), Ok(Some(9)));
    assert_eq!(starts(Budget::Nfe(104)), Ok(Some(10)));
    assert_eq!(starts(Budget::Evals(13)), Ok(Some(9)));
    let small = spec.build(&plain(Budget::Nfe(21))).err().unwrap();
    let smallest = Budget::Nfe(22);
    let given = Budget::Nfe(21);
    assert_eq!(small, SearchError::BudgetTooSmall { given, smallest });
}
