//! R12: neither batch, nor position, nor neighbours, nor what is cached changes an outcome.

use crate::fake::registry;
use crate::runs::{checked, go, scratch};
use noisesearch::engine::Engine;
use noisesearch::summary::Summary;
use noisesearch_core::job::{Outcome, View};
use noisesearch_core::noise::candidate_root;
use noisesearch_core::recipe::Recipe;

/// Sixty-four recipes of every kind; many share what they begin with.
fn recipes() -> Vec<(Recipe, View)> {
    let tails = [
        "denoise to 0 in 5",
        "nudge #1 cos 0.9 | denoise to 0 in 5",
        "nudge #1 cos 0.9 | nudge #2 cos 0.9 | denoise to 0 in 4",
        "nudge #1 cos 0.9 | nudge #3 cos 0.9 | denoise to 0 in 4",
        "denoise to 0.11 in 4 | renoise #1 to 0.89 | denoise to 0.08 in 3",
        "denoise to 0.11 in 4 | renoise #2 to 0.89 | denoise to 0 in 3",
        "denoise to 0.5 in 2 | diffuse #4 to 0.2 in 2",
        "diffuse #4 to 0 in 5",
    ];
    let mut recipes = Vec::new();
    for root in 0..8 {
        for tail in tails {
            let root = candidate_root(7, root);
            let recipe: Recipe = format!("root {root} | {tail}").parse().unwrap();
            let whole = recipe.level() == noisesearch_core::level::Level::CLEAN;
            recipes.push((recipe, if whole { View::Final } else { View::Preview }));
        }
    }
    recipes
}

#[test]
fn outcomes_do_not_depend_on_company() {
    let registry = registry();
    let engine = |batch: usize, solver: &str| {
        let text = format!(
            "prompt = \"a\"\nbatch = {batch}\nsolver = \"{solver}\"\nverifiers = [\"bright\"]\n\
             watch = [\"left\", \"even\", \"self\"]"
        );
        Engine::open(&registry, &checked(&text, &registry)).unwrap()
    };
    let recipes = recipes();
    assert_eq!(recipes.len(), 64);
    for solver in ["euler", "heun", "dpmpp-2m"] {
        let alone: Vec<Outcome> = recipes
            .iter()
            .map(|(recipe, view)| {
                let made = engine(1, solver)
                    .make(&[(recipe, *view)])
                    .unwrap()
                    .remove(0);
                made.result.unwrap()
            })
            .collect();
        for (shift, batch) in [1, 2, 3, 5, 8, 16, 33, 64].into_iter().enumerate() {
            let engine = engine(batch, solver);
            // Another order each time: 64 and an odd stride have no common divisor.
            let order: Vec<usize> = (0..64)
                .map(|i| (i * (2 * shift + 1) + 11 * shift) % 64)
                .collect();
            for part in order.chunks(19) {
                let wanted: Vec<_> = part
                    .iter()
                    .map(|&i| (&recipes[i].0, recipes[i].1))
                    .collect();
                let made = engine.make(&wanted).unwrap();
                for (&i, made) in part.iter().zip(made) {
                    assert_eq!(
                        made.result.as_ref().unwrap(),
                        &alone[i],
                        "{batch}: {}",
                        recipes[i].0
                    );
                }
            }
        }
    }
}

#[test]
fn a_shared_beginning_is_solved_once() {
    let registry = registry();
    let spec = checked("prompt = \"a\"", &registry);
    let engine = Engine::open(&registry, &spec).unwrap();
    let recipe = |draw: u32| -> Recipe {
        let text = format!("root 5 | denoise to 0.11 in 10 | renoise #{draw} to 0.89 | ");
        (text + "denoise to 0.08 in 3").parse().unwrap()
    };
    let (one, two, three) = (recipe(1), recipe(2), recipe(3));
    engine
        .make(&[(&one, View::Preview), (&two, View::Preview)])
        .unwrap();
    assert_eq!(engine.spent().search_nfe, 10 + 2 * (3 + 1));
    engine.make(&[(&three, View::Preview)]).unwrap();
    assert_eq!(engine.spent().search_nfe, 10 + 3 * (3 + 1));
    let next: Recipe = format!("{two} | renoise #1 to 0.86 | denoise to 0 in 3")
        .parse()
        .unwrap();
    engine.make(&[(&next, View::Final)]).unwrap();
    assert_eq!(engine.spent().search_nfe, 10 + 3 * (3 + 1) + 3);
}

/// What is kept to go back to changes what is spent, and nothing else.
#[test]
fn a_run_does_not_depend_on_the_size_of_the_cache() {
    let out = scratch("cache");
    let registry = registry();
    let run = |size: &str| {
        let text = format!(
            "prompt = \"three\"\nbudget = \"300nfe\"\nverifiers = [\"self\"]\nbatch = 2\n\
             cache = \"{size}\"\n[search]\nmethod = \"paths\""
        );
        go(&registry, &checked(&text, &registry), &out)
    };
    // No state; three of 256 bytes and their tables; all.
    let [none, few, all] = ["0B", "1500B", "256MB"].map(run);
    for other in [&none, &few] {
        let scores = |summary: &Summary| {
            let kept = summary.kept.iter();
            kept.map(|shown| (shown.id, shown.scores.clone()))
                .collect::<Vec<_>>()
        };
        assert_eq!(scores(other), scores(&all));
        assert_eq!(other.billed, all.billed);
    }
    assert_eq!(all.spent.search_nfe, all.billed.search_nfe);
    assert!(
        none.spent.search_nfe > few.spent.search_nfe,
        "states are kept"
    );
    assert!(
        few.spent.search_nfe > all.spent.search_nfe,
        "states are dropped"
    );
    std::fs::remove_dir_all(out).unwrap();
}
