//! Each command once, end to end, on the lab.

use crate::common::{Ended, Scratch, cheap, ended, png_pixels};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Map, Value};
use std::process::Child;
use std::time::Duration;

fn keys(value: &Value) -> Vec<&str> {
    value
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect()
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap()
}

/// The object without what may differ between two runs of one spec.
fn result(object: &Value) -> Value {
    let mut kept = Map::new();
    for key in ["stop", "billed"] {
        kept.insert(key.into(), object[key].clone());
    }
    for key in ["best", "baseline"] {
        let mut shown = object[key].clone();
        shown.as_object_mut().unwrap().remove("image");
        kept.insert(key.into(), shown);
    }
    Value::Object(kept)
}

#[test]
fn json_is_one_object_of_the_promised_shape() {
    let scratch = Scratch::new("json");
    let object = scratch.generate(&["--budget", "6evals"]);
    let mut top = vec![
        "baseline", "best", "billed", "run", "seconds", "spent", "stop",
    ];
    if cfg!(target_os = "linux") {
        top.push("peak_bytes");
        assert!(object["peak_bytes"].as_u64().unwrap() > 1 << 20, "{object}");
    }
    top.sort();
    assert_eq!(keys(&object), top);
    for shown in [&object["best"], &object["baseline"]] {
        assert_eq!(keys(shown), ["id", "image", "recipe", "scores"]);
        assert!(text(shown, "recipe").starts_with("root "), "{shown}");
        assert_eq!(text(shown, "id").len(), 64);
        assert!(shown["scores"]["classifier"].is_f64(), "{shown}");
        let png = scratch.read(text(shown, "image"));
        assert!(png.starts_with(b"\x89PNG"));
    }
    for column in [&object["billed"], &object["spent"]] {
        let expected = ["final_nfe", "passes", "search_nfe", "verifier_calls"];
        assert_eq!(keys(column), expected);
    }
    assert_eq!(object["billed"]["search_nfe"], 12);
    assert_eq!(text(&object, "stop"), "budget");
    let run = text(&object, "run");
    assert!(run.starts_with("runs/"), "{run}");
    for name in [
        "run.toml",
        "journal.jsonl",
        "best.png",
        "grid.png",
        "report.html",
    ] {
        assert!(!scratch.read(format!("{run}/{name}")).is_empty());
    }
    let summary: Value =
        serde_json::from_slice(&scratch.read(format!("{run}/summary.json"))).unwrap();
    for key in top {
        assert_eq!(summary[key], object[key], "{key}");
    }
}

#[test]
fn a_prompt_is_enough_and_its_output_is_for_people() {
    let scratch = Scratch::new("prompt");
    let prompt = "two red circles and a blue square";
    let run = scratch.done(&["generate", prompt, "--budget", "3evals", "--steps", "2"]);
    assert!(run.err.contains(", seed "), "{}", run.err);
    for word in [
        "without search",
        "clip",
        "optimised",
        "watched",
        "best.png",
        "report.html",
    ] {
        assert!(run.out.contains(word), "{word} in {}", run.out);
    }
}

#[test]
fn every_search_runs_and_its_run_toml_repeats_it() {
    let searches: [&[&str]; 4] = [
        &["--search", "random"],
        &["--search", "first-order", "--rate", "0.1"],
        &[
            "--search",
            "zero-order",
            "--neighbours",
            "3",
            "--cosine",
            "0.9",
            "--stuck",
            "retry",
        ],
        &[
            "--search",
            "paths",
            "--paths",
            "2",
            "--noises",
            "2",
            "--leg-steps",
            "1",
        ],
    ];
    for (at, search) in searches.iter().enumerate() {
        let scratch = Scratch::new(&format!("search-{at}"));
        let first = scratch.generate(&[&["--budget", "200nfe"], *search].concat());
        let config = format!("{}/run.toml", text(&first, "run"));
        let again = scratch
            .done(&["generate", "--json", "--config", &config])
            .json();
        assert_eq!(first["best"]["id"], again["best"]["id"]);
        assert_eq!(first["billed"], again["billed"]);
        let png = |object: &Value| scratch.read(text(&object["best"], "image"));
        assert_eq!(
            png(&first),
            png(&again),
            "best.png differs by a byte: {search:?}"
        );
    }
}

#[test]
fn what_is_typed_wins_over_the_config() {
    let scratch = Scratch::new("config");
    scratch.write(
        "my.toml",
        "class = \"Q\"\nmodel = \"glyphs-small\"\nseed = 7\nsteps = 9\n\
        [search]\nmethod = \"zero-order\"\nneighbours = 2\n",
    );
    let flags = ["--steps", "2", "--cosine", "0.9", "--budget", "4evals"];
    let args = [&["generate", "--json", "--config", "my.toml"], &flags[..]].concat();
    let object = scratch.done(&args).json();
    let toml = scratch.read(format!("{}/run.toml", text(&object, "run")));
    let toml = String::from_utf8(toml).unwrap();
    for line in ["steps = 2", "seed = 7", "cosine = 0.9", "neighbours = 2"] {
        assert!(toml.lines().any(|l| l == line), "{line} in\n{toml}");
    }
}

#[test]
fn the_batch_changes_nothing() {
    let scratch = Scratch::new("batch");
    let search = [
        "--search",
        "zero-order",
        "--neighbours",
        "3",
        "--budget",
        "10evals",
    ];
    let with = |batch| scratch.generate(&[&search[..], &["--batch", batch]].concat());
    let (one, three) = (with("1"), with("3"));
    assert_eq!(result(&one), result(&three));
    let json = ["baseline", "best"].map(|key| text(&one[key], "image").to_owned());
    let other = ["baseline", "best"].map(|key| text(&three[key], "image").to_owned());
    for (a, b) in json.iter().zip(&other) {
        let [a, b] = [a, b].map(|path| png_pixels(&scratch.read(path)));
        assert_eq!(a, b);
    }
}

#[test]
fn without_a_seed_two_runs_differ_and_each_names_its_own() {
    let scratch = Scratch::new("seed");
    let args = [
        "generate", "--json", "--class", "Q", "--steps", "1", "--budget", "1evals",
    ];
    let seeds = [(); 2].map(|()| {
        let run = scratch.done(&args);
        let toml = scratch.read(format!("{}/run.toml", text(&run.json(), "run")));
        let toml = String::from_utf8(toml).unwrap();
        let seed = toml
            .lines()
            .find_map(|line| line.strip_prefix("seed = "))
            .unwrap();
        assert!(run.err.contains(&format!("seed {seed},")), "{}", run.err);
        seed.to_owned()
    });
    assert_ne!(seeds[0], seeds[1]);
}

#[test]
fn a_target_ends_the_run_early() {
    let scratch = Scratch::new("until");
    let object = scratch.generate(&["--budget", "50evals", "--until", "classifier=-1e9"]);
    assert_eq!(text(&object, "stop"), "target");
    assert_eq!(object["billed"]["search_nfe"], 2);
}

#[test]
fn several_verifiers_and_several_pictures() {
    let scratch = Scratch::new("several");
    let verifiers = [
        "--verifier",
        "classifier",
        "--verifier",
        "self",
        "--watch",
        "oracle",
    ];
    let more = ["--budget", "6evals", "--count", "3", "--search-steps", "1"];
    let object = scratch.generate(&[&verifiers[..], &more].concat());
    assert_eq!(
        keys(&object["best"]["scores"]),
        ["classifier", "oracle", "self"]
    );
    assert_eq!(object["billed"]["final_nfe"], 2);
    assert_eq!(object["billed"]["search_nfe"], 6);
}

#[test]
fn a_finished_run_is_verified_reported_and_shown_again() {
    let scratch = Scratch::new("after");
    let object = scratch.generate(&["--budget", "6evals"]);
    let run = text(&object, "run");
    assert!(!scratch.done(&["verify", run]).out.is_empty());
    let all = scratch.done(&["verify", run, "--all"]);
    assert!(
        all.out
            .starts_with("made again from recipes: 8, of which 8"),
        "{}",
        all.out
    );
    std::fs::remove_file(scratch.path(run).join("report.html")).unwrap();
    let report = scratch.done(&["report", run]);
    assert!(report.out.contains("report.html"), "{}", report.out);
    assert!(
        scratch
            .read(format!("{run}/report.html"))
            .starts_with(b"<!")
    );
    let again = scratch.done(&["resume", run, "--json"]).json();
    assert_eq!(result(&again), result(&object));
}

/// Once the program panicked, or showed one run's candidates under another's settings.
#[test]
fn no_report_is_made_of_edited_settings() {
    let scratch = Scratch::new("edited");
    let object = scratch.generate(&["--budget", "6evals"]);
    let run = text(&object, "run");
    let path = format!("{run}/run.toml");
    let toml = String::from_utf8(scratch.read(&path)).unwrap();
    let edited = toml.replace("watch = [\"oracle\"]", "watch = [\"oracle\", \"self\"]");
    assert_ne!(edited, toml);
    scratch.write(&path, edited);
    let refused = scratch.run(&["report", run]);
    assert_eq!(refused.code, Some(5), "{}", refused.err);
    let says = "this is another run: spec.watch is [\"oracle\"] in journal.jsonl, but ";
    assert!(refused.err.contains(says), "{}", refused.err);
    scratch.write(&path, toml);
    scratch.done(&["report", run]);
}

#[test]
fn lists_and_completions() {
    let scratch = Scratch::new("lists");
    let cases: [(&[&str], &[&str]); 6] = [
        (
            &["models"],
            &[
                "scenes",
                "glyphs-base",
                "glyphs-small",
                "takes a class",
                "budget",
            ],
        ),
        (
            &["verifiers"],
            &["grader", "clip", "looks", "classifier", "oracle", "self"],
        ),
        (
            &["searches"],
            &[
                "random",
                "zero-order",
                "--cosine 0.95",
                "paths",
                "--sigma 0.11",
                "first-order",
                "--rate 0.2",
            ],
        ),
        (
            &["completions", "bash"],
            &["_noisesearch()", "--neighbours"],
        ),
        (&["completions", "zsh"], &["#compdef noisesearch"]),
        (&["--help"], &["generate", "completions"]),
    ];
    for (args, words) in cases {
        let ended = scratch.done(args);
        assert!(ended.err.is_empty(), "{}", ended.err);
        for word in words {
            assert!(ended.out.contains(word), "{word} in {}", ended.out);
        }
    }
}

#[test]
fn a_reader_that_goes_is_no_error() {
    let scratch = Scratch::new("pipe");
    let json = cheap(&["--budget", "2evals"]);
    let cases: [&[&str]; 4] = [&["models"], &["completions", "bash"], &["--help"], &json];
    for args in cases {
        let mut child = scratch.start(args);
        drop(child.stdout.take());
        drop(child.stderr.take());
        assert_eq!(child.wait().unwrap().code(), Some(0), "{args:?}");
    }
}

/// More than a test will ever wait for.
const ENDLESS: [&str; 2] = ["--budget", "10000000evals"];

fn journal_bytes(scratch: &Scratch) -> usize {
    scratch
        .runs("runs")
        .first()
        .map_or(0, |run| scratch.read(run.join("journal.jsonl")).len())
}

/// Waits until the journal has grown beyond `bytes`, then sends a signal and waits for the end.
fn stop_when_grown(scratch: &Scratch, child: Child, bytes: usize, signal: Signal) -> Ended {
    while journal_bytes(scratch) <= bytes {
        std::thread::sleep(Duration::from_millis(5));
    }
    kill_process(Pid::from_child(&child), signal).unwrap();
    ended(child)
}

#[test]
fn a_signal_stops_cleanly_and_the_printed_command_goes_on() {
    let scratch = Scratch::new("signal");
    let first = scratch.start(&cheap(&ENDLESS));
    // The first line says what the run is, the next ones tell candidates.
    while journal_bytes(&scratch) == 0 {
        std::thread::sleep(Duration::from_millis(5));
    }
    let mut bytes = journal_bytes(&scratch);
    let mut stopped = stop_when_grown(&scratch, first, bytes, Signal::INT);
    for signal in [Signal::INT, Signal::TERM] {
        assert_eq!(stopped.code, Some(3), "{}", stopped.err);
        assert_eq!(text(&stopped.json(), "stop"), "cancelled");
        let command = stopped.err.split("to go on: ").nth(1).unwrap();
        let words: Vec<&str> = command.split_whitespace().collect();
        assert_eq!(words[0], env!("CARGO_BIN_EXE_noisesearch"));
        bytes = journal_bytes(&scratch);
        let again = scratch.start(&[&words[1..], &["--json"]].concat());
        stopped = stop_when_grown(&scratch, again, bytes, signal);
    }
    assert_eq!(stopped.code, Some(3), "{}", stopped.err);
    assert!(stopped.err.contains("resumed after"), "{}", stopped.err);
}
