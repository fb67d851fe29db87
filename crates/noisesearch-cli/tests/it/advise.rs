//! `advise`, and `generate --search auto` which follows it.

use crate::common::{Scratch, cheap};

const SMALL: [&str; 10] = [
    "--class",
    "Q",
    "--class",
    "7",
    "--model",
    "glyphs-small",
    "--solver",
    "euler",
    "--steps",
    "8",
];

#[test]
fn a_measurement_is_made_once_and_kept() {
    let scratch = Scratch::new("advise");
    let args = [
        &["advise", "--json", "--budget", "200nfe", "--noises", "6"],
        &SMALL[..],
    ]
    .concat();
    let first = scratch.done(&args).json();
    assert_eq!(first["tasks"].as_array().unwrap().len(), 2);
    let advice = &first["advice"][0];
    assert_eq!(advice["budget_nfe"], 200);
    let better = advice["best"]["deviations"].as_f64() >= advice["plain"]["deviations"].as_f64();
    assert!(better, "{advice}");
    let path = first["measurement"].as_str().unwrap();
    let written = scratch.read(path);
    let again = scratch.done(&args).json();
    assert_eq!((again, scratch.read(path)), (first, written));
    // For a person, and with another budget, from the same file.
    let said = scratch.done(&[&args[..1], &args[4..], &["--budget", "25evals"]].concat());
    assert!(said.out.contains("kept before"), "{}", said.out);
    assert!(said.out.contains("for 200 NFE: --search "), "{}", said.out);
}

#[test]
fn four_tasks_are_raced_and_the_race_is_kept() {
    let scratch = Scratch::new("race");
    let more = ["--class", "C", "--class", "K", "--noises", "4"];
    let args = [
        &["advise", "--json", "--budget", "60nfe"],
        &SMALL[..],
        &more,
    ]
    .concat();
    let first = scratch.done(&args).json();
    let advice = &first["advice"][0];
    let ran = advice["race"]["ran"].as_array().unwrap();
    let methods = ran
        .iter()
        .map(|ran| ran["search"]["method"].as_str().unwrap());
    let methods: Vec<&str> = methods.collect();
    for method in ["random", "zero-order", "paths", "halving"] {
        assert!(methods.contains(&method), "{methods:?}");
    }
    // The first heat is two of the four tasks; all took part in it.
    let heats = |ran: &serde_json::Value| ran["merits"].as_array().unwrap().len();
    assert!(ran.iter().all(|ran| heats(ran) >= 2), "{advice}");
    let chosen = &advice["chosen"]["search"];
    assert!(ran.iter().any(|ran| ran["search"] == *chosen), "{advice}");
    assert_eq!(scratch.done(&args).json(), first);
}

#[test]
fn auto_searches_as_advised_and_its_run_says_how() {
    let scratch = Scratch::new("auto");
    let more = ["--steps", "8", "--search", "auto", "--budget", "120nfe"];
    let args: Vec<&str> = cheap(&more);
    // CHEAP has two steps of its own.
    let first = args.iter().position(|arg| *arg == "--steps").unwrap();
    let args: Vec<&str> = [&args[..first], &args[first + 2..]].concat();
    let ended = scratch.done(&args);
    assert!(
        ended.err.contains("for 120 NFE: --search "),
        "{}",
        ended.err
    );
    let run = ended.json();
    assert!(run["billed"]["search_nfe"].as_u64().unwrap() <= 120);
    let toml = scratch.read(format!("{}/run.toml", run["run"].as_str().unwrap()));
    let toml = String::from_utf8(toml).unwrap();
    assert!(!toml.contains("auto"), "{toml}");
    // What is watched does not matter to the measurement, so there is one for both.
    let again = scratch.done(&[&args[..], &["--watch", "self"]].concat());
    assert!(
        again.err.contains("for 120 NFE: --search "),
        "{}",
        again.err
    );
    let kept = std::fs::read_dir(scratch.path("runs")).unwrap();
    let names = kept.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let names: Vec<String> = names.collect();
    for kind in ["advice-", "race-"] {
        let kept = names.iter().filter(|name| name.starts_with(kind));
        assert_eq!(kept.count(), 1, "{kind}: {names:?}");
    }
    let verified = scratch.done(&["verify", run["run"].as_str().unwrap(), "--all"]);
    assert_eq!(verified.code, Some(0));
}

#[test]
fn advice_that_cannot_be_given_says_why() {
    let scratch = Scratch::new("no-advice");
    for (more, said) in [
        (&["--budget", "7nfe"][..], "at least 8nfe"),
        (&["--budget", "9s"], "give it as nfe or evals"),
        (&["--noises", "1"], "2..=256"),
        (&["a prompt"], "cannot be used with"),
        (&["--class", "QQ"], "QQ"),
    ] {
        let ended = scratch.run(&[&["advise"], &SMALL[..], more].concat());
        assert_eq!(ended.out, "", "{more:?}");
        assert!(ended.err.contains(said), "{more:?}: {}", ended.err);
    }
    let auto = scratch.run(&cheap(&["--search", "auto", "--rungs", "0.5"]));
    assert_eq!(auto.code, Some(1));
    assert!(auto.err.contains("not of auto"), "{}", auto.err);
}
