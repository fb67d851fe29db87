//! Bad studies, and what is said of them; a part of `docs/bad-input.md`.

use crate::bad_input::{Page, typed};
use crate::common::Scratch;

/// The parts of a study's file that the next ones are put between.
const STUDY: [&str; 3] = [
    "title = \"t\"\nstatement = \"s\"\nsource = \"p\"\n",
    "[tasks]\nclasses = [\"Q\"]\n[base]\nmodel = \"glyphs-small\"\nsteps = 2\n",
    "[[arm]]\nname = \"a\"\npoints = [{ budget = \"1evals\" }]\n",
];

/// What a study's file has, and its text.
fn study_files() -> Vec<(&'static str, String)> {
    let [head, tasks, arm] = STUDY;
    let of = |parts: &[&str]| parts.concat();
    let prompts = "[tasks]\nprompts = \"set.csv\"\n";
    vec![
        ("nothing in it", String::new()),
        ("an unknown table", of(&[head, tasks, "[server]\n", arm])),
        (
            "an unknown key of an arm",
            of(&[head, tasks, arm, "colour = 1\n"]),
        ),
        ("no arm", of(&[head, tasks])),
        (
            "an arm without points",
            of(&[head, tasks, "[[arm]]\nname = \"a\"\npoints = []\n"]),
        ),
        ("two arms of one name", of(&[head, tasks, arm, arm])),
        (
            "a budget of nothing",
            of(&[head, tasks, &arm.replace("1evals", "0evals")]),
        ),
        (
            "a class among an arm's settings",
            of(&[head, tasks, arm, "spec = { class = \"A\" }\n"]),
        ),
        (
            "a class that is none",
            of(&[head, &tasks.replace("\"Q\"", "\"Q\", \"QQ\""), arm]),
        ),
        ("no tasks", of(&[head, "[tasks]\n", arm])),
        (
            "prompts that are not there",
            of(&[head, "[tasks]\nprompts = \"absent.txt\"\n", arm]),
        ),
        ("a table without prompts", of(&[head, prompts, arm])),
    ]
}

/// Adds the section of studies.
pub fn rows(scratch: &Scratch, page: &mut Page) {
    page.section(
        "Studies",
        "typed after `noisesearch study`, or a study with",
    );
    scratch.write("set.csv", "text,category\na red circle,colour\n");
    for args in [&[][..], &["absent.toml"], &["folder"], &["a-file"]] {
        page.row(&typed(args), &scratch.run(&[&["study"], args].concat()));
    }
    for (what, text) in study_files() {
        scratch.write("my.toml", text);
        page.row(
            what,
            &scratch.run(&["study", "my.toml", "--out", "studied"]),
        );
    }
    assert!(
        !scratch.path("studied").exists(),
        "a refused study left something behind"
    );
    scratch.write("my.toml", STUDY.concat());
    let study = ["study", "my.toml", "--out", "studied"];
    scratch.done(&study);
    scratch.write("my.toml", STUDY.concat().replace("1evals", "2evals"));
    page.row("the name of another in its directory", &scratch.run(&study));
    let mut known = scratch.read("studied/known.jsonl");
    known[20] ^= 1;
    scratch.write("studied/known.jsonl", known);
    scratch.write("my.toml", STUDY.concat());
    page.row("a flipped bit in its known outcomes", &scratch.run(&study));
}
