//! `score` and `fid` on folders of pictures.

use crate::common::Scratch;
use serde_json::Value;
use std::fs;

/// Runs the cheap model and returns the folder of its pictures.
fn pictures(scratch: &Scratch, seed: &str, count: &str) -> String {
    let budget = format!("{count}evals");
    let more = ["--seed", seed, "--count", count, "--budget", &budget];
    let args = [
        &[
            "generate",
            "--json",
            "--class",
            "Q",
            "--model",
            "glyphs-small",
        ],
        &["--solver", "euler", "--steps", "2", "--watch", "oracle"],
        &more[..],
    ];
    let object = scratch.done(&args.concat()).json();
    format!("{}/images", object["run"].as_str().unwrap())
}

fn number(value: &Value) -> f64 {
    value
        .as_f64()
        .unwrap_or_else(|| panic!("{value} is no number"))
}

#[test]
fn pictures_are_scored_as_their_run_scored_them() {
    let scratch = Scratch::new("score");
    let folder = pictures(&scratch, "7", "5");
    let verifiers = ["--verifier", "classifier", "--verifier", "oracle"];
    let args = [&["score", "--json", &folder], &verifiers[..]].concat();
    let object = scratch.done(&args).json();
    let scored = object["pictures"].as_array().unwrap();
    assert_eq!(scored.len(), 5);
    let run = folder.strip_suffix("/images").unwrap();
    let summary: Value =
        serde_json::from_slice(&scratch.read(format!("{run}/summary.json"))).unwrap();
    let best = scored.iter().map(|p| number(&p["scores"]["classifier"]));
    let best = best.fold(f64::NEG_INFINITY, f64::max);
    assert_eq!(best, number(&summary["best"]["scores"]["classifier"]));
    let oracle = scored.iter().map(|p| number(&p["scores"]["oracle"]));
    let mean = oracle.sum::<f64>() / 5.0;
    let totals = &object["verifiers"]["oracle"];
    assert!((number(&totals["mean"]) - mean).abs() < 1e-12);
    assert_eq!((&totals["n"], &totals["passed"]), (&5.into(), &Value::Null));
    assert!(scored.iter().all(|picture| picture["class"] == "Q"));
    // A list of classes says the same.
    let names = scored
        .iter()
        .map(|picture| picture["image"].as_str().unwrap());
    let names = names.map(|path| path.rsplit('/').next().unwrap());
    scratch.write(
        "list.tsv",
        names.map(|name| format!("{name}\tQ\n")).collect::<String>(),
    );
    let listed = [&args[..], &["--classes", "list.tsv"]].concat();
    assert_eq!(scratch.done(&listed).json(), object);
    // Another class than the picture's own; and a table for people.
    let other = [&["score", &folder, "--class", "A"], &verifiers[..]].concat();
    let other = scratch.done(&other).out;
    let lines: Vec<&str> = other.lines().collect();
    assert_eq!(lines.len(), 7, "{other}");
    assert!(lines[0].ends_with("oracle  picture"), "{other}");
    assert!(lines[6].ends_with("mean of 5"), "{other}");
    let last = lines[6].split_whitespace().nth(1).unwrap();
    assert!(last.parse::<f64>().unwrap() < 0.5 * mean, "{other}");
}

#[test]
fn a_grader_passes_by_category() {
    let scratch = Scratch::new("score-grader");
    let prompt = "a red circle";
    let args = [
        &[
            "generate", "--json", prompt, "--budget", "2evals", "--steps", "2",
        ],
        &["--count", "2", "--seed", "1"][..],
    ];
    let run = scratch.done(&args.concat()).json();
    let run = run["run"].as_str().unwrap();
    // The grid of a run is no picture of its own.
    let own = scratch.done(&["score", "--json", run, "--verifier", "grader"]);
    let own = own.json();
    assert_eq!(own["pictures"].as_array().unwrap().len(), 2, "{own}");
    assert_eq!(own["pictures"][0]["prompt"], prompt);
    let list = "best.png\ta red circle\tcolour\nbaseline.png\tthree blue rings\tnumeracy\n";
    scratch.write("prompts.tsv", list);
    let listed = [
        "score",
        run,
        "--verifier",
        "grader",
        "--prompts",
        "prompts.tsv",
    ];
    let object = scratch.done(&[&listed[..], &["--json"]].concat()).json();
    let totals = &object["verifiers"]["grader"];
    let passes = |picture: &Value| number(&picture["scores"]["grader"]) == 1.0;
    let pictures = object["pictures"].as_array().unwrap();
    let passed = pictures.iter().filter(|picture| passes(picture)).count();
    assert_eq!(totals["passed"]["passed"], passed);
    assert_eq!(totals["passed"]["n"], 2);
    assert_eq!(totals["categories"]["numeracy"]["n"], 1);
    assert_eq!(totals["categories"]["numeracy"]["passed"], 0);
    let text = scratch.done(&listed).out;
    assert!(
        text.contains("grader passes 0 of 1 (0.0 %) of numeracy"),
        "{text}"
    );
}

#[test]
fn sets_are_measured_and_statistics_stand_for_them() {
    let scratch = Scratch::new("fid");
    let [one, other] = ["1", "2"].map(|seed| pictures(&scratch, seed, "6"));
    let (one, other) = (one.as_str(), other.as_str());
    let fid = |args: &[&str]| scratch.done(&[&["fid", "--json"], args].concat()).json();
    let glyphs = ["--features", "glyphs"];
    let found = fid(&[&[one, other], &glyphs[..]].concat());
    assert!(number(&found["fid"]) > 0.0, "{found}");
    for key in ["precision", "recall"] {
        assert!((0.0..=1.0).contains(&number(&found[key])), "{found}");
    }
    assert!(
        (1.0..36.0).contains(&number(&found["inception_score"])),
        "{found}"
    );
    assert_eq!(
        found["n"],
        serde_json::json!({"generated": 6, "reference": 6})
    );
    assert_eq!(found["warnings"].as_array().unwrap().len(), 3, "{found}");
    let save = ["--save", "one.safetensors"];
    let real = fid(&[&[one, "glyphs"], &save[..]].concat());
    assert_eq!(real["n"]["reference"], 5400);
    // The saved set is the folder.
    let again = fid(&[&["one.safetensors", other], &glyphs[..]].concat());
    assert_eq!(again, found);
    let itself = fid(&[&[one, "one.safetensors"], &glyphs[..]].concat());
    assert!(number(&itself["fid"]) < 1e-9, "{itself}");
    assert_eq!(
        (&itself["precision"], &itself["recall"]),
        (&1.0.into(), &1.0.into())
    );
    let text = scratch.done(&[&["fid", one, other], &glyphs[..]].concat());
    assert!(text.out.contains("n = 6 against 6"), "{}", text.out);
    assert!(
        text.err.contains("warning: 6 samples are too few"),
        "{}",
        text.err
    );
}

#[test]
fn what_is_no_png_is_named_and_left_out() {
    let scratch = Scratch::new("score-others");
    let folder = pictures(&scratch, "3", "2");
    fs::write(scratch.path(&folder).join("photo.JPG"), "not read").unwrap();
    fs::write(scratch.path(&folder).join("notes.txt"), "not read").unwrap();
    let scored = scratch.done(&["score", &folder, "--verifier", "oracle"]);
    assert!(
        scored.err.contains("1 pictures that are no PNG"),
        "{}",
        scored.err
    );
    assert!(scored.out.contains("mean of 2"), "{}", scored.out);
}
