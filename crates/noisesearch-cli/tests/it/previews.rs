//! Linear previews: a search over early predictions of a latent model, by the real binary.

use crate::common::{Ended, Scratch};
use crate::folders;
use serde_json::Value;

/// A program that scores every picture by a checksum of its file, so that another picture has
/// another score.
const CHECKSUM: &str = "#!/bin/sh
while read -r line; do
  id=${line#*'\"id\":'}
  id=${id%%,*}
  images=${line#*'\"images\":['}
  images=${images%%]*}
  scores=
  for image in $(echo \"$images\" | tr '\",' '  '); do
    sum=$(cksum < \"$image\")
    scores=\"$scores,${sum%% *}\"
  done
  echo \"{\\\"id\\\":$id,\\\"scores\\\":[${scores#,}]}\"
done
";

fn scratch(name: &str) -> Scratch {
    let scratch = Scratch::new(name);
    scratch.program("checksum.sh", CHECKSUM);
    folders::stable_diffusion(&scratch.path("tiny"));
    scratch
}

fn paths(scratch: &Scratch, preview: &str) -> Ended {
    paths_with(scratch, preview, &[])
}

fn paths_with(scratch: &Scratch, preview: &str, more: &[&str]) -> Ended {
    let args = [
        "generate",
        "a cat on a mat",
        "--model",
        "./tiny",
        "--steps",
        "4",
        "--seed",
        "7",
        "--width",
        "24",
        "--height",
        "16",
        "--search",
        "paths",
        "--paths",
        "2",
        "--budget",
        "60nfe",
        "--verifier",
        "cmd:./checksum.sh",
        "--preview",
        preview,
        "--out",
        preview,
        "--json",
    ];
    scratch.done(&[&args[..], more].concat())
}

/// How they are fitted decides the result, also where candidates are made in another number format;
/// once only the format of the answer, which has no previews, was asked.
#[test]
fn the_fit_of_linear_previews_is_in_the_fingerprint() {
    let scratch = scratch("previews-fingerprint");
    let fit = |more: &[&str]| {
        let summary = paths_with(&scratch, "linear", more).json();
        let path = format!("{}/journal.jsonl", summary["run"].as_str().unwrap());
        let journal = String::from_utf8(scratch.read(path)).unwrap();
        let first: Value = serde_json::from_str(&journal.lines().next().unwrap()[17..]).unwrap();
        first["fingerprint"]["preview"].clone()
    };
    let one = fit(&[]);
    assert!(one.is_string(), "{one}");
    assert_eq!(fit(&["--search-dtype", "bf16-pair", "--count", "1"]), one);
}

/// The scores that the journal tells, in order, of previews or of finished samples.
fn told(scratch: &Scratch, summary: &Value) -> Vec<String> {
    let path = format!("{}/journal.jsonl", summary["run"].as_str().unwrap());
    let journal = String::from_utf8(scratch.read(path)).unwrap();
    let lines = journal
        .lines()
        .flat_map(|line| line.split("\"outcome\":").skip(1));
    lines
        .map(|rest| rest.split('}').next().unwrap().to_owned())
        .collect()
}

#[test]
fn a_search_by_linear_previews_resumes_to_the_same_report() {
    let scratch = scratch("previews-linear");
    let ended = paths(&scratch, "linear");
    let summary = ended.json();
    let run = summary["run"].as_str().unwrap();
    assert!(
        ended.err.contains("linear previews explain"),
        "{}",
        ended.err
    );
    let toml = String::from_utf8(scratch.read(format!("{run}/run.toml"))).unwrap();
    assert!(toml.contains("preview = \"linear\"\n"), "{toml}");
    // Early predictions look otherwise, finished samples do not, and the bill is the same.
    let full = paths(&scratch, "full").json();
    assert_ne!(told(&scratch, &summary)[0], told(&scratch, &full)[0]);
    assert_eq!(summary["baseline"]["scores"], full["baseline"]["scores"]);
    assert_eq!(summary["billed"], full["billed"]);
    // Stopped in the middle: the last lines of the journal and the summary are not there yet.
    let journal = String::from_utf8(scratch.read(format!("{run}/journal.jsonl"))).unwrap();
    let lines: Vec<&str> = journal.lines().collect();
    let kept = format!("{}\n", lines[..lines.len() - 2].join("\n"));
    scratch.write(&format!("{run}/journal.jsonl"), kept);
    std::fs::remove_file(scratch.path(format!("{run}/summary.json"))).unwrap();
    let resumed = scratch.done(&["resume", run, "--json"]).json();
    for key in ["best", "baseline", "billed", "kept", "stop"] {
        assert_eq!(resumed[key], summary[key], "{key}");
    }
    let again = String::from_utf8(scratch.read(format!("{run}/journal.jsonl"))).unwrap();
    assert_eq!(again.lines().count(), lines.len());
}

#[test]
fn linear_previews_are_refused_where_there_are_none() {
    let scratch = Scratch::new("previews-refused");
    let refused = |args: &[&str], says: &str| {
        let common = ["--preview", "linear", "--budget", "1evals", "--steps", "2"];
        let ended = scratch.run(&[&["generate"], args, &common[..]].concat());
        assert_eq!(ended.code, Some(1), "{ended:?}");
        assert!(ended.err.contains(says), "{}", ended.err);
        assert!(scratch.runs("runs").is_empty());
    };
    let scenes = ["a red cross", "--verifier", "clip", "--watch", "grader"];
    refused(&scenes, "linear previews are not for verifier `grader`");
    let scenes = ["a red cross", "--verifier", "clip", "--watch", "looks"];
    refused(&scenes, "linear previews are not for model `scenes");
}
