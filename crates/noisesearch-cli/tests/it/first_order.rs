//! First-order search end to end: a climb is stopped, resumed, and made again from its recipes.

use crate::common::{Scratch, cheap, png_pixels};
use serde_json::Value;
use std::path::Path;

const CLIMB: [&str; 8] = [
    "--search",
    "first-order",
    "--pivots",
    "2",
    "--rate",
    "0.1",
    "--budget",
    "9evals",
];

fn text<'a>(object: &'a Value, key: &str) -> &'a str {
    object[key].as_str().unwrap()
}

#[test]
fn a_climb_is_resumed_and_made_again() {
    let scratch = Scratch::new("first-order");
    let whole = scratch.generate(&[&CLIMB[..], &["--batch", "1"]].concat());
    let (run, best) = (Path::new(text(&whole, "run")), &whole["best"]);
    // Two noises, then seven steps of five solves; two Euler steps each.
    assert_eq!(whole["billed"]["search_nfe"], 2 * (2 + 7 * 5));
    assert_eq!(whole["billed"], whole["spent"], "nothing was made twice");
    let score = |shown: &Value| shown["scores"]["classifier"].as_f64().unwrap();
    assert!(score(best) > score(&whole["baseline"]), "{whole}");
    assert!(
        text(best, "recipe").contains("| ascend classifier by 0."),
        "{best}"
    );
    // Rows go through their gradients one at a time, in any batch.
    let batched = scratch.generate(&[&CLIMB[..], &["--batch", "4"]].concat());
    assert_eq!(batched["best"]["id"], best["id"]);
    assert_eq!(batched["billed"], whole["billed"]);

    let picture = png_pixels(&scratch.read(run.join("best.png")));
    let journal = String::from_utf8(scratch.read(run.join("journal.jsonl"))).unwrap();
    let cut: Vec<&str> = journal.split_inclusive('\n').take(1 + 4).collect();
    assert!(cut.len() == 5 && cut.concat() != journal);
    scratch.write(&format!("{}/journal.jsonl", run.display()), cut.concat());
    for gone in ["summary.json", "best.png"] {
        std::fs::remove_file(scratch.path(run.join(gone))).unwrap();
    }
    let again = scratch
        .done(&["resume", text(&whole, "run"), "--json"])
        .json();
    assert_eq!(again["best"], whole["best"]);
    assert_eq!(again["billed"], whole["billed"]);
    assert_eq!(picture, png_pixels(&scratch.read(run.join("best.png"))));
    let verified = scratch.done(&["verify", text(&whole, "run"), "--all"]);
    assert!(
        verified.out.contains("from recipes: 11"),
        "{}",
        verified.out
    );
}

/// A prompt's picture climbs the similarity to the prompt.
#[test]
fn a_prompt_is_climbed_too() {
    let scratch = Scratch::new("first-order-prompt");
    let climb = [
        "--search",
        "first-order",
        "--steps",
        "4",
        "--seed",
        "7",
        "--budget",
        "4evals",
    ];
    let ask = ["generate", "two red circles and a blue square", "--json"];
    let done = scratch.done(&[&ask[..], &climb].concat()).json();
    let best = &done["best"];
    let score = |shown: &Value| shown["scores"]["clip"].as_f64().unwrap();
    assert!(score(best) > score(&done["baseline"]) + 0.01, "{done}");
    let recipe = text(best, "recipe");
    assert!(recipe.contains("| ascend clip by 0.2 in 4"), "{recipe}");
    scratch.done(&["verify", text(&done, "run"), "--all"]);
}

/// Refused before anything is written, with the names of those that can.
#[test]
fn without_a_gradient_it_is_refused() {
    let scratch = Scratch::new("no-gradient");
    let refused = |args: &[&str], said: &str| {
        let ended = scratch.run(args);
        assert_eq!(ended.code, Some(1), "{}", ended.err);
        assert!(ended.err.contains(said), "{}", ended.err);
        assert!(!scratch.path("runs").exists());
    };
    let first = ["--search", "first-order"];
    let scenes = ["generate", "four white rings", "--verifier", "grader"];
    refused(
        &[&scenes[..], &first].concat(),
        "verifier `grader` has none; verifiers that do: clip, looks",
    );
    refused(
        &cheap(&[&first[..], &["--verifier", "self"]].concat()),
        "verifier `self` has none; verifiers that do: classifier",
    );
}
