//! Candidates in one number format and the best of them again in another: what that reserves.

use super::{plain, run, score};
use noisesearch_core::budget::Budget;
use noisesearch_core::level::Level;
use noisesearch_core::recipe::Recipe;
use noisesearch_core::search::{SearchError, SearchSpec, Terms};

/// Five are kept.
fn ladder(budget: Budget) -> Terms {
    Terms {
        ladder: true,
        ..plain(budget)
    }
}

/// Candidates of a search, and NFE that it bills and that making its best again bills.
fn billed(method: &str, terms: &Terms) -> (usize, u64, u64) {
    let spec = SearchSpec::named(method).unwrap().resolve(terms).unwrap();
    let mut search = spec.build(terms).unwrap();
    let jobs = run(&mut *search, |job| score(job.id.0 as f64));
    let finalists = search.finalists(terms.finals());
    let again =
        |job: &noisesearch_core::job::JobId| terms.remake(&jobs[job.0 as usize].recipe).unwrap().1;
    let nfe = jobs.iter().map(|job| job.nfe).sum();
    (jobs.len(), nfe, finalists.iter().map(again).sum())
}

#[test]
fn every_kept_candidate_is_made_again_within_the_budget() {
    let random = |nfe| billed("random", &ladder(Budget::Nfe(nfe)));
    // Few candidates reserve their own finals only, and from the fifth on there are five.
    assert_eq!(random(40), (1, 20, 20));
    assert_eq!(random(120), (3, 60, 60));
    assert_eq!(random(200), (5, 100, 100));
    assert_eq!(random(640), (27, 540, 100));
    assert_eq!(
        billed("zero-order", &ladder(Budget::Nfe(640))),
        (27, 540, 100)
    );
    // Finals of candidates are not counted among evaluations.
    let evals = billed("random", &ladder(Budget::Evals(9)));
    assert_eq!(evals, (9, 180, 100));
    for method in ["paths", "halving"] {
        for nfe in 420..460 {
            let (_, search, finals) = billed(method, &ladder(Budget::Nfe(nfe)));
            assert!(
                search + finals <= nfe,
                "{method}: {search} + {finals} of {nfe}"
            );
            assert!(finals > 0, "{method}");
        }
    }
}

#[test]
fn what_is_kept_is_solved_with_the_final_steps_or_as_it_is() {
    let terms = Terms {
        final_steps: 50,
        ..ladder(Budget::Nfe(640))
    };
    let again = |terms: &Terms, text: &str| {
        let (again, nfe) = terms.remake(&text.parse().unwrap()).unwrap();
        (again.to_string(), nfe)
    };
    let nudged = "root 7 | nudge #0 cos 0.5 | denoise to 0 in 20";
    let finer = "root 7 | nudge #0 cos 0.5 | denoise to 0 in 50";
    assert_eq!(again(&terms, nudged), (finer.to_owned(), 50));
    let same = ladder(Budget::Nfe(640));
    assert_eq!(again(&same, nudged), (nudged.to_owned(), 20));
    let path = "root 7 | denoise to 0.1 in 9 | renoise #1 to 0.8 | denoise to 0 in 5";
    assert_eq!(again(&terms, path), (path.to_owned(), 14));
}

#[test]
fn a_recipe_costs_what_replaying_it_evaluates() {
    let heun = noisesearch_core::ledger::NfeRule {
        per_step: 2,
        saved_at_zero: 1,
    };
    let nfe = |text: &str| text.parse::<Recipe>().unwrap().nfe(&heun);
    assert_eq!(nfe("root 7"), 0);
    assert_eq!(nfe("root 7 | nudge #0 cos 0.5 | denoise to 0 in 20"), 39);
    assert_eq!(
        nfe("root 7 | denoise to 0.5 in 10 | denoise to 0 in 10"),
        20 + 19
    );
    assert_eq!(nfe("root 7 | diffuse #1 to 0 in 7"), 7);
    // The solve through which the gradient is taken, and three for each evaluation backwards.
    let climb = "root 7 | ascend clip by 0.2 in 8 | denoise to 0 in 20";
    assert_eq!(nfe(climb), 4 * heun.nfe(8, Level::CLEAN) + 39);
}

#[test]
fn a_search_along_gradients_refuses_a_ladder() {
    let spec = SearchSpec::named("first-order").unwrap();
    let spec = spec.following("clip".parse().unwrap());
    let built = spec.build(&ladder(Budget::Evals(9)));
    assert_eq!(built.err(), Some(SearchError::Ladder));
    assert!(spec.build(&plain(Budget::Evals(9))).is_ok());
}
