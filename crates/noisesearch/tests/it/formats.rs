//! In which number format models are opened, and what is made in which.

use crate::fake::registry;
use crate::runs::{checked, go, scratch};
use noisesearch::engine::Engine;
use noisesearch::registry::Registry;
use noisesearch::verify;
use noisesearch_core::job::{Outcome, View};
use noisesearch_core::recipe::Recipe;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

/// Number formats in which the models of a registry were opened.
type Opened = Arc<Mutex<Vec<&'static str>>>;

/// A registry of ours around the fakes: it sees how they are opened.
fn watched() -> (Registry, Opened) {
    let (mut registry, opened) = (registry(), Opened::default());
    for entry in &mut registry.models {
        let (open, opened) = (entry.open.clone(), opened.clone());
        entry.open = Arc::new(move |place| {
            opened.lock().unwrap().push(place.products.name());
            open(place)
        });
    }
    (registry, opened)
}

#[test]
fn a_registry_of_ones_own_opens_every_format() {
    let (registry, opened) = watched();
    for dtype in ["f32", "bf16-pair", "int8"] {
        let spec = format!("prompt = \"a\"\ndtype = \"{dtype}\"");
        Engine::open(&registry, &checked(&spec, &registry)).unwrap();
        assert_eq!(opened.lock().unwrap().pop(), Some(dtype));
    }
    assert!(opened.lock().unwrap().is_empty());
}

/// Scores of a recipe in one number format.
fn scores(dtype: &str, recipe: &Recipe) -> BTreeMap<String, f64> {
    let registry = registry();
    let text = format!("prompt = \"four\"\nverifiers = [\"left\"]\ndtype = \"{dtype}\"");
    let spec = checked(&text, &registry);
    let engine = Engine::open(&registry, &spec).unwrap();
    let made = engine.make(&[(recipe, View::Final)]).unwrap().remove(0);
    let Ok(Outcome::Scored(scores)) = made.result else {
        panic!("{recipe} failed")
    };
    let values = scores.values().iter().copied();
    spec.scored().into_iter().zip(values).collect()
}

/// Candidates in bf16, of which nine are made again in f32.
const LADDER: &str = "prompt = \"four\"\nverifiers = [\"left\"]\nbudget = \"300nfe\"\n\
                      search-dtype = \"bf16-pair\"\ncount = 9";

#[test]
fn the_best_are_made_again_and_the_best_of_them_is_the_answer() {
    let out = scratch("ladder");
    let (registry, opened) = watched();
    let summary = go(&registry, &checked(LADDER, &registry), &out);
    assert_eq!(*opened.lock().unwrap(), ["bf16-pair", "f32"]);
    assert_eq!(
        (summary.billed.search_nfe, summary.billed.final_nfe),
        (246, 54)
    );
    for shown in &summary.kept {
        assert_eq!(shown.scores, scores("f32", &shown.recipe));
        assert_eq!(shown.searched, scores("bf16-pair", &shown.recipe));
        assert_ne!(shown.scores, shown.searched);
    }
    let of = |scores: &BTreeMap<String, f64>| scores["left"];
    assert!(
        summary
            .kept
            .is_sorted_by(|one, next| of(&one.scores) >= of(&next.scores))
    );
    // Rounding is so coarse here that the search has them in another order.
    assert!(
        !summary
            .kept
            .is_sorted_by(|one, next| of(&one.searched) >= of(&next.searched))
    );
    let (best, baseline) = (summary.best.unwrap(), summary.baseline.unwrap());
    assert_eq!(
        (best.id, &best.scores),
        (summary.kept[0].id, &summary.kept[0].scores)
    );
    assert_eq!(baseline.scores, scores("f32", &baseline.recipe));
    let all = verify(&registry, &summary.run, true).unwrap();
    // 41 candidates, the baseline, the answer and eight more that were made again.
    assert_eq!((all.candidates, all.mismatches), (41 + 10, vec![]));
    let report = std::fs::read_to_string(summary.run.join("report.html")).unwrap();
    let both = format!(
        "left {:.4} <small>(in the search {:.4})",
        of(&best.scores),
        of(&best.searched)
    );
    assert!(report.contains(&both), "{both}");
    std::fs::remove_dir_all(out).unwrap();
}

/// A picture of the other format under the name of one that was made again is found out.
#[test]
fn a_picture_of_the_search_is_no_final_one() {
    let out = scratch("swapped");
    let registry = registry();
    let summary = go(&registry, &checked(LADDER, &registry), &out);
    let second = &summary.kept[1].image;
    let name = second.file_name().unwrap();
    std::fs::copy(summary.run.join("images").join(name), second).unwrap();
    let some = verify(&registry, &summary.run, false).unwrap();
    assert_eq!(
        some.mismatches,
        vec![],
        "only the answer and the baseline are looked at"
    );
    let all = verify(&registry, &summary.run, true).unwrap();
    assert_eq!(all.mismatches.len(), 1);
    assert_eq!(all.mismatches[0].what, "number 2");
    std::fs::remove_dir_all(out).unwrap();
}
