//! Every family of models on the disk, searched by the real binary: a tiny folder of each, made of
//! the golden files of reference pipelines, from the prompt or the class to the report.

use crate::common::{Scratch, png_pixels, png_size};
use crate::folders;
use serde_json::Value;

/// A program that scores every picture by a checksum of its file.
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
const VERIFIER: &str = "cmd:./checksum.sh";

/// What is asked of a model, and what it must cost.
struct Case<'a> {
    /// The prompt, or `--class` and the class.
    task: &'a [&'a str],
    /// Search, budget, verifiers and whatever else.
    more: &'a [&'a str],
    size: [u32; 2],
    /// Billed evaluations of the network.
    nfe: u64,
    /// Passes of the network: two where an evaluation is guided by a second one.
    passes: u64,
    /// Scores billed.
    calls: u64,
}

/// Three samples in two steps each.
const RANDOM: &[&str] = &["--search", "random", "--budget", "3evals"];

impl Case<'_> {
    /// The summary of a run of the model in folder `tiny` into `out`.
    fn run(&self, scratch: &Scratch, out: &str) -> Value {
        let [width, height] = self.size.map(|pixels| pixels.to_string());
        let size = ["--width", &width, "--height", &height];
        let fixed = ["--model", "./tiny", "--steps", "2", "--seed", "7", "--json"];
        let args = [&["generate"], self.task, &fixed, &size, self.more].concat();
        let ended = scratch.done(&[&args[..], &["--out", out]].concat());
        ended.json()
    }

    /// Runs it twice, and holds both to what a run promises; returns the first's summary.
    fn hold(&self, scratch: &Scratch) -> Value {
        let [first, second] = ["first", "second"].map(|out| self.run(scratch, out));
        self.hold_one(scratch, &first);
        for key in ["best", "baseline"] {
            assert_eq!(first[key]["id"], second[key]["id"], "{key}");
            assert_eq!(first[key]["scores"], second[key]["scores"], "{key}");
            let pixels = |run: &Value| png_pixels(&scratch.read(text(&run[key]["image"])));
            assert!(!pixels(&first).is_empty());
            assert_eq!(pixels(&first), pixels(&second), "{key}");
        }
        assert_eq!(first["billed"], second["billed"]);
        first
    }

    fn hold_one(&self, scratch: &Scratch, summary: &Value) {
        let billed = &summary["billed"];
        let nfe = ["search_nfe", "final_nfe"].map(|key| billed[key].as_u64().unwrap());
        assert_eq!(nfe, [self.nfe, 0], "{summary}");
        assert_eq!(billed["passes"], self.passes, "{summary}");
        assert_eq!(billed["verifier_calls"], self.calls, "{summary}");
        for key in ["best", "baseline"] {
            let shown = &summary[key];
            let scores = shown["scores"].as_object().unwrap();
            assert!(!scores.is_empty() && scores.values().all(Value::is_f64));
            let png = scratch.read(text(&shown["image"]));
            assert_eq!(png_size(&png), self.size, "{key}");
        }
        let run = text(&summary["run"]);
        for name in ["best.png", "baseline.png", "grid.png"] {
            let png = scratch.read(format!("{run}/{name}"));
            assert!(png.starts_with(b"\x89PNG"), "{name}");
        }
        assert!(report(scratch, summary).ends_with("</html>\n"));
        let verified = scratch.done(&["verify", run, "--all"]);
        assert!(verified.out.ends_with("\nall the same\n"), "{verified:?}");
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}

fn report(scratch: &Scratch, summary: &Value) -> String {
    let path = format!("{}/report.html", text(&summary["run"]));
    String::from_utf8(scratch.read(path)).unwrap()
}

/// A directory with the program that scores by checksums.
fn scratch(name: &str) -> Scratch {
    let scratch = Scratch::new(&format!("family-{name}"));
    scratch.program("checksum.sh", CHECKSUM);
    scratch
}

/// Without search it is the first of the candidates, so the best of them cannot be worse.
fn best_is_not_worse(summary: &Value) {
    let score = |key: &str| summary[key]["scores"][VERIFIER].as_f64().unwrap();
    assert!(score("best") >= score("baseline"), "{summary}");
}

#[test]
fn stable_diffusion_by_zero_order_search() {
    let scratch = scratch("sd15");
    folders::stable_diffusion(&scratch.path("tiny"));
    let search = ["--search", "zero-order", "--neighbours", "2", "--budget"];
    let summary = Case {
        task: &["a cat on a mat"],
        // The pivot, and two rounds of two neighbours.
        more: &[&search[..], &["5evals", "--verifier", VERIFIER]].concat(),
        size: [24, 16],
        nfe: 10,
        passes: 20,
        calls: 5,
    }
    .hold(&scratch);
    best_is_not_worse(&summary);
}

#[test]
fn stable_diffusion_xl_by_random_search() {
    let scratch = scratch("sdxl");
    folders::stable_diffusion_xl(&scratch.path("tiny"));
    let summary = Case {
        task: &["a cat on a mat"],
        more: &[RANDOM, &["--verifier", VERIFIER]].concat(),
        size: [16, 32],
        nfe: 6,
        passes: 12,
        calls: 3,
    }
    .hold(&scratch);
    best_is_not_worse(&summary);
}
