//! `noisesearch study` on the real binary: the same again, killed, stopped, refused.

use crate::common::{Ended, Scratch, ended};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use std::process::Child;
use std::time::Duration;

const STUDY: &str = "title = \"Curves\"\nstatement = \"more is better\"\n\
    source = \"arXiv 2501.09732\"\n\
    [tasks]\nclasses = [\"Q\", \"7\"]\n\
    [base]\nmodel = \"glyphs-small\"\nsolver = \"euler\"\nsteps = 2\nbatch = 2\n\
    verifiers = [\"classifier\"]\nwatch = [\"oracle\"]\n\
    [[arm]]\nname = \"random\"\n\
    points = [{ budget = \"1evals\" }, { budget = \"2evals\" }, { budget = \"4evals\" }]\n\
    [[arm]]\nname = \"zero-order\"\nspec = { search = { method = \"zero-order\" } }\n\
    points = [{ budget = \"9evals\" }]\n";
const RESULTS: &str = "results.jsonl";

/// Rows without measured seconds.
fn rows(scratch: &Scratch, directory: &str) -> Vec<Value> {
    let text = scratch.read(format!("{directory}/{RESULTS}"));
    let row = |line: &str| {
        let mut row: Value = serde_json::from_str(line).unwrap();
        row["cost"]["seconds"] = Value::Null;
        row
    };
    String::from_utf8(text).unwrap().lines().map(row).collect()
}

/// Waits until the store has more than `bytes` bytes; returns whether the process still works.
fn working(scratch: &Scratch, child: &mut Child, out: &str, bytes: u64) -> bool {
    let known = scratch.path(format!("{out}/known.jsonl"));
    loop {
        if child.try_wait().unwrap().is_some() {
            return false;
        }
        if std::fs::metadata(&known).is_ok_and(|known| known.len() > bytes) {
            return true;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn a_study_gives_the_same_again_and_after_kills() {
    let scratch = Scratch::new("study");
    scratch.write("curves.toml", STUDY);
    let first = scratch
        .done(&["study", "curves.toml", "--out", "one", "--json"])
        .json();
    let study = &first["studies"][0];
    assert_eq!(
        (study["cells"].as_u64(), study["rows"].as_u64()),
        (Some(8), Some(8))
    );
    // Random search of 4, and 8 neighbours of the first noise: for each of two classes.
    assert_eq!(study["made"], 2 * (4 + 8));
    let whole = rows(&scratch, "one/curves");
    assert_eq!(whole.len(), 8);
    for file in ["study.toml", "results.parquet", "report.html"] {
        assert!(!scratch.read(format!("one/curves/{file}")).is_empty());
    }
    let size = scratch.read("one/known.jsonl").len() as u64;
    let command = ["study", "curves.toml", "--out", "two"];
    let mut killed = 0;
    for part in 1..=6 {
        let mut child = scratch.start(&command);
        if working(&scratch, &mut child, "two", size * part / 8) {
            child.kill().unwrap();
            killed += 1;
        }
        let Ended { code, err, .. } = ended(child);
        assert!(code.is_none() || code == Some(0), "{err}");
    }
    assert!(killed >= 3, "only {killed} kills hit the study");
    assert!(!scratch.path(format!("two/curves/{RESULTS}")).exists() || killed < 6);
    let done = scratch.done(&command);
    assert_eq!(rows(&scratch, "two/curves"), whole);
    // Whoever ran it again sees this without comparing rows.
    let checksum = study["checksum"].as_str().unwrap();
    assert!(
        done.out.contains(&format!("checksum {checksum}: ")),
        "{}",
        done.out
    );
    let findings = String::from_utf8(scratch.read("two/findings.md")).unwrap();
    let said = format!("Checksum of its 8 rows without seconds: `{checksum}`.");
    assert!(findings.contains(&said), "{findings}");
}

#[test]
fn a_signal_stops_a_study_and_the_command_that_goes_on_is_said() {
    let scratch = Scratch::new("study-stopped");
    scratch.write("long.toml", STUDY.replace("9evals", "4000evals"));
    let command = ["study", "long.toml", "--out", "my out"];
    let mut child = scratch.start(&command);
    assert!(working(&scratch, &mut child, "my out", 2000));
    let pid = i32::try_from(child.id())
        .ok()
        .and_then(Pid::from_raw)
        .unwrap();
    kill_process(pid, Signal::INT).unwrap();
    let Ended { code, err, out } = ended(child);
    assert_eq!((code, out.as_str()), (Some(3), ""), "{err}");
    assert!(err.contains("study long.toml --out 'my out'"), "{err}");
    let size = scratch.read("my out/known.jsonl").len();
    // The directory is free again, and nothing was lost.
    let mut child = scratch.start(&command);
    assert!(working(&scratch, &mut child, "my out", size as u64));
    let other = scratch.run(&command);
    assert_eq!(other.code, Some(2), "{}", other.err);
    assert!(
        other
            .err
            .contains(&format!("in use by process {}", child.id())),
        "{}",
        other.err
    );
    child.kill().unwrap();
    ended(child);
}

#[test]
fn a_directory_is_run_in_the_order_of_names() {
    let scratch = Scratch::new("study-folder");
    std::fs::create_dir(scratch.path("all")).unwrap();
    scratch.write("all/2-more.toml", STUDY);
    scratch.write("all/1-first.toml", STUDY);
    scratch.write("all/notes.txt", "no study");
    let done = scratch
        .done(&["study", "all", "--out", "out", "--json"])
        .json();
    let made = |at: usize| {
        (
            done["studies"][at]["study"].clone(),
            done["studies"][at]["made"].clone(),
        )
    };
    assert_eq!(made(0), ("1-first".into(), 24.into()));
    assert_eq!(made(1), ("2-more".into(), 0.into()));
}
