//! Every family of models on the disk, searched by the real binary: a tiny folder of each, made of
//! the golden files of reference pipelines, from the prompt or the class to the report.

use crate::common::{Scratch, png_pixels, png_size};
use crate::folders;
use serde_json::Value;

/// A program that scores every picture by a checksum of its file, so that another picture has
/// another score.
pub const CHECKSUM: &str = "#!/bin/sh
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
        let verifiers = summary["best"]["scores"].as_object().unwrap().len() as u64;
        // Every candidate, and the pictures with and without search.
        let made = format!("made again from recipes: {},", self.calls / verifiers + 2);
        assert!(verified.out.starts_with(&made), "{verified:?}");
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

#[test]
fn flux_schnell_by_random_search() {
    let scratch = scratch("flux-schnell");
    folders::flux(&scratch.path("tiny"), "schnell");
    let summary = Case {
        task: &["a photo of two small dogs"],
        more: &[RANDOM, &["--verifier", VERIFIER]].concat(),
        size: [48, 32],
        nfe: 6,
        passes: 6,
        calls: 3,
    }
    .hold(&scratch);
    best_is_not_worse(&summary);
}

#[test]
fn pixart_by_search_over_paths() {
    let scratch = scratch("pixart");
    folders::pixart(&scratch.path("tiny"));
    let search = "--search paths --paths 2 --noises 2 --first-steps 2 --leg-steps 1 \
                  --sigma 0.5 --forward 0.2 --backward 0.45 --budget 16nfe";
    let search: Vec<&str> = search.split(' ').collect();
    Case {
        task: &["a photo of two small dogs"],
        more: &[&search[..], &["--verifier", VERIFIER]].concat(),
        size: [32, 48],
        // Two first legs; four renoisings with a preview each, down to 0.25; four to 0.
        nfe: 2 * 2 + 4 * 2 + 4,
        passes: 32,
        calls: 8,
    }
    .hold(&scratch);
}

#[test]
fn pixart_alpha_by_random_search() {
    let scratch = scratch("pixart-alpha");
    folders::pixart_alpha(&scratch.path("tiny"));
    let summary = Case {
        task: &["a photo of two small dogs"],
        more: &[RANDOM, &["--verifier", VERIFIER]].concat(),
        size: [48, 32],
        nfe: 6,
        passes: 12,
        calls: 3,
    }
    .hold(&scratch);
    best_is_not_worse(&summary);
}

/// `--class` by name and by number, each in the one size that the network has.
#[test]
fn classes_of_dit_and_sit_by_random_search() {
    // SiT's usual solver is Heun's, whose two steps are three evaluations, without guidance.
    for (class, golden, label, nfe, passes) in [
        ("SiTPipeline", "sit", "tench", 9, 9),
        ("DiTPipeline", "dit", "3", 6, 12),
    ] {
        let scratch = scratch(golden);
        folders::of_classes(&scratch.path("tiny"), class, golden);
        let summary = Case {
            task: &["--class", label],
            more: &[RANDOM, &["--verifier", VERIFIER]].concat(),
            size: [64, 64],
            nfe,
            passes,
            calls: 3,
        }
        .hold(&scratch);
        best_is_not_worse(&summary);
    }
}

/// The three of the ensemble, and the golden file whose network each is here.
const ENSEMBLE: [(&str, &str); 3] = [
    ("clipscore", "clip"),
    ("imagereward", "image_reward"),
    ("aesthetic", "aesthetic-mlp"),
];

/// FLUX.1-dev and the ensemble of the paper: all three scores are written down, and the answer is
/// the candidate of the best mean rank.
#[test]
fn flux_dev_by_the_mean_rank_of_three_verifiers() {
    let scratch = scratch("flux-dev");
    folders::flux(&scratch.path("tiny"), "dev");
    let mut more: Vec<String> = "--search random --budget 6evals --count 6"
        .split(' ')
        .map(str::to_owned)
        .collect();
    for (name, golden) in ENSEMBLE {
        folders::verifier(&scratch.path(name), golden);
        let weights = format!("{name}=./{name}");
        more.extend(["--verifier", name, "--weights", &weights].map(str::to_owned));
    }
    let more: Vec<&str> = more.iter().map(String::as_str).collect();
    let summary = Case {
        task: &["two dogs, watercolour"],
        more: &more,
        size: [48, 32],
        nfe: 12,
        passes: 12,
        calls: 18,
    }
    .hold(&scratch);
    for key in ["best", "baseline"] {
        let scores = summary[key]["scores"].as_object().unwrap();
        let mut names = ENSEMBLE.map(|(name, _)| name);
        names.sort_unstable();
        assert!(scores.keys().eq(names), "{summary}");
    }
    in_order_of_the_mean_rank(&scratch, &summary);
    let objective = "rank(clipscore,imagereward,aesthetic)";
    let page = report(&scratch, &summary);
    assert!(page.contains(&format!("<code>{objective}</code>")));
    let toml = scratch.read(format!("{}/run.toml", text(&summary["run"])));
    let toml = String::from_utf8(toml).unwrap();
    assert!(
        toml.contains(&format!("objective = \"{objective}\"")),
        "{toml}"
    );
    for (name, _) in ENSEMBLE {
        let score = summary["best"]["scores"][name].as_f64().unwrap();
        assert!(page.contains(&format!("{name} {score:.4}")), "{name}");
    }
}

/// All candidates, which the run was asked to keep, come in the order of the mean of their ranks.
fn in_order_of_the_mean_rank(scratch: &Scratch, summary: &Value) {
    let path = format!("{}/summary.json", text(&summary["run"]));
    let whole: Value = serde_json::from_slice(&scratch.read(path)).unwrap();
    let kept = whole["kept"].as_array().unwrap();
    assert_eq!(kept.len(), 6);
    assert_eq!(kept[0]["id"], summary["best"]["id"]);
    // Twice the sum of the ranks, 1 being best and equal scores sharing theirs.
    let mut sums = vec![0; kept.len()];
    for (name, _) in ENSEMBLE {
        let score = |shown: &Value| shown["scores"][name].as_f64().unwrap();
        let scores: Vec<f64> = kept.iter().map(score).collect();
        let mut distinct = scores.clone();
        distinct.sort_by(f64::total_cmp);
        distinct.dedup();
        assert!(distinct.len() > 4, "{name}: {scores:?}");
        for (sum, score) in sums.iter_mut().zip(&scores) {
            let better = scores.iter().filter(|&other| other > score).count();
            let same = scores.iter().filter(|&other| other == score).count();
            *sum += 2 * better + same + 1;
        }
    }
    assert!(sums.is_sorted(), "{sums:?}");
    assert!(sums[0] < sums[5], "{sums:?}");
}
