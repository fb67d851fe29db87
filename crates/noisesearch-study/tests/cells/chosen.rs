//! Arms whose answers are chosen one after another.

use crate::scratch::{BASE, HEAD, RANDOM, Scratch, TASKS};
use noisesearch_study::row::Row;
use noisesearch_verifiers::metrics::Features;
use noisesearch_verifiers::metrics::frechet::{Frechet, Gaussian};

/// Of the same candidates a choice by FID makes another set, which comes nearer to real pictures
/// than the best by any verifier; of one candidate there is nothing to choose.
#[test]
fn answers_chosen_for_fid_are_nearer_than_the_best() {
    let scratch = Scratch::new("chosen");
    let arm = "[[arm]]\nname = \"chosen\"\nchoose = \"fid\"\n\
               points = [{ budget = \"1evals\" }, { budget = \"4evals\" }]\n";
    let tasks = "[tasks]\nclasses = [\"Q\", \"7\", \"A\"]\nseeds = 3\n";
    let report = scratch.done(&scratch.file("one.toml", &[HEAD, tasks, BASE, RANDOM, arm]));
    // All of them by both arms: what is chosen among costs nothing again.
    assert_eq!((report.cells, report.rows, report.made), (45, 45, 36));
    let rows = scratch.rows("one");
    let of = |arm: &str, point| -> Vec<&Row> {
        let there = rows
            .iter()
            .filter(|row| row.arm == arm && row.point == point);
        there.collect()
    };
    let distance = |rows: &[&Row]| {
        let features = rows.iter().flat_map(|row| row.features.clone()).collect();
        let set = Gaussian::of(&Features::new(64, features).unwrap()).unwrap();
        let real = Gaussian::of(&noisesearch_verifiers::glyphs::reference().unwrap()).unwrap();
        Frechet::of(&set, &real).unwrap().value
    };
    let (one, chosen) = (of("chosen", 0), of("chosen", 1));
    let recipes = |rows: &[&Row]| {
        rows.iter()
            .map(|row| row.recipe.clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(recipes(&one), recipes(&of("random", 0)));
    let found = [&one, &of("random", 2), &chosen].map(|rows| distance(rows));
    assert!(found[2] < 0.9 * found[0].min(found[1]), "{found:?}");
    assert!(chosen.iter().all(|row| row.optimised.is_empty()));
    assert!(chosen.iter().all(|row| row.cost.candidates == 4));
}

#[test]
fn a_choice_by_fid_needs_random_candidates_and_real_pictures() {
    let scratch = Scratch::new("no-choice");
    let says = |parts: &[&str], words: &[&str]| scratch.says(parts, words);
    let steered = "[[arm]]\nname = \"a\"\nchoose = \"fid\"\npoints = [{ budget = \"3evals\", \
                   search = { method = \"zero-order\", neighbours = 2 } }]\n";
    says(
        &[HEAD, TASKS, BASE, steered],
        &["arm `a`", "leave its search at random"],
    );
    let chosen = "[[arm]]\nname = \"a\"\nchoose = \"fid\"\npoints = [{}]\n";
    let scenes = "[tasks]\nprompts = \"prompts.txt\"\n[base]\nmodel = \"scenes\"\n\
                  verifiers = [\"clip\"]\nbudget = \"2evals\"\n";
    scratch.file("prompts.txt", &["a red circle\n"]);
    says(
        &[HEAD, scenes, chosen],
        &["arm `a`", "none are known for model `scenes`"],
    );
}
