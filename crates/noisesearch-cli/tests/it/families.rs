//! Every family of models on the disk, searched by the real binary with an ensemble of verifiers: a
//! tiny folder of each, made of the golden files of reference pipelines, from the prompt or the
//! class to the report.

use crate::common::{Scratch, png_pixels, png_size};
use crate::folders;
use serde_json::Value;

/// Verifiers by name, and the golden file whose network each is here.
type Ensemble = [(&'static str, &'static str); 3];

/// That of the paper, which judges pictures of prompts.
const OF_PROMPTS: Ensemble = [
    ("clipscore", "clip"),
    ("imagereward", "image_reward"),
    ("aesthetic", "aesthetic-mlp"),
];

/// One that judges pictures of classes.
const OF_CLASSES: Ensemble = [
    ("dinov2-class", "dinov2-class-1"),
    ("clip-class", "clip"),
    ("aesthetic", "aesthetic-mlp"),
];

/// One on which CLIP's score of these networks is not 0, below which there are none.
const PROMPT: &[&str] = &["two dogs, watercolour"];

/// What is asked of a model, and what it must cost.
struct Case<'a> {
    /// The prompt, or `--class` and the class.
    task: &'a [&'a str],
    ensemble: Ensemble,
    /// Search, budget and count.
    search: &'a str,
    size: [u32; 2],
    /// Billed evaluations of the network.
    nfe: u64,
    /// Passes of the network: two where an evaluation is guided by a second one.
    passes: u64,
    /// Pictures scored.
    scored: u64,
    /// Pictures kept.
    kept: usize,
}

/// Six samples in two steps each, all of them kept.
const RANDOM: &str = "random --budget 6evals --count 6";

impl Case<'_> {
    /// The summary of a run of the model in folder `tiny` into `out`.
    fn run(&self, scratch: &Scratch, out: &str) -> Value {
        let [width, height] = self.size.map(|pixels| pixels.to_string());
        let size = ["--width", &width, "--height", &height];
        let fixed = ["--model", "./tiny", "--steps", "2", "--seed", "7", "--json"];
        let search: Vec<&str> = self.search.split_whitespace().collect();
        let flags = self.ensemble.map(|(name, _)| {
            let weights = format!("{name}=./{name}");
            ["--verifier", name, "--weights", &weights].map(str::to_owned)
        });
        let flags: Vec<&str> = flags.iter().flatten().map(String::as_str).collect();
        let args = [&["generate"], self.task, &fixed, &size, &flags].concat();
        let more = [&["--out", out, "--search"], &search[..]].concat();
        scratch.done(&[args, more].concat()).json()
    }

    /// Runs it twice, and holds both to what a run promises.
    fn hold(&self, scratch: &Scratch) {
        for (name, golden) in self.ensemble {
            folders::verifier(&scratch.path(name), golden);
        }
        let [first, second] = ["first", "second"].map(|out| self.run(scratch, out));
        self.hold_one(scratch, &first);
        self.in_order_of_the_mean_rank(scratch, &first);
        self.names_the_objective(scratch, &first);
        for key in ["best", "baseline"] {
            assert_eq!(first[key]["id"], second[key]["id"], "{key}");
            assert_eq!(first[key]["scores"], second[key]["scores"], "{key}");
            let pixels = |run: &Value| png_pixels(&scratch.read(text(&run[key]["image"])));
            assert!(!pixels(&first).is_empty());
            assert_eq!(pixels(&first), pixels(&second), "{key}");
        }
        assert_eq!(first["billed"], second["billed"]);
    }

    fn hold_one(&self, scratch: &Scratch, summary: &Value) {
        let billed = &summary["billed"];
        let nfe = ["search_nfe", "final_nfe"].map(|key| billed[key].as_u64().unwrap());
        assert_eq!(nfe, [self.nfe, 0], "{summary}");
        assert_eq!(billed["passes"], self.passes, "{summary}");
        assert_eq!(billed["verifier_calls"], 3 * self.scored, "{summary}");
        let mut names = self.ensemble.map(|(name, _)| name);
        names.sort_unstable();
        for key in ["best", "baseline"] {
            let shown = &summary[key];
            let scores = shown["scores"].as_object().unwrap();
            assert!(scores.keys().eq(names), "{summary}");
            assert!(scores.values().all(Value::is_f64), "{summary}");
            let png = scratch.read(text(&shown["image"]));
            assert_eq!(png_size(&png), self.size, "{key}");
        }
        let run = text(&summary["run"]);
        for name in ["best.png", "baseline.png", "grid.png"] {
            let png = scratch.read(format!("{run}/{name}"));
            assert!(png.starts_with(b"\x89PNG"), "{name}");
        }
        let verified = scratch.done(&["verify", run, "--all"]);
        // Every candidate, and the pictures with and without search.
        let made = format!("made again from recipes: {},", self.scored + 2);
        assert!(verified.out.starts_with(&made), "{verified:?}");
        assert!(verified.out.ends_with("\nall the same\n"), "{verified:?}");
    }

    /// The pictures that are kept come in the order of the mean of their ranks.
    fn in_order_of_the_mean_rank(&self, scratch: &Scratch, summary: &Value) {
        let path = format!("{}/summary.json", text(&summary["run"]));
        let whole: Value = serde_json::from_slice(&scratch.read(path)).unwrap();
        let kept = whole["kept"].as_array().unwrap();
        assert_eq!(kept.len(), self.kept, "{whole}");
        assert_eq!(kept[0]["id"], summary["best"]["id"]);
        // Twice the sum of the ranks, 1 being best and equal scores sharing theirs.
        let mut sums = vec![0; kept.len()];
        for (name, _) in self.ensemble {
            let score = |shown: &Value| shown["scores"][name].as_f64().unwrap();
            let scores: Vec<f64> = kept.iter().map(score).collect();
            let mut distinct = scores.clone();
            distinct.sort_by(f64::total_cmp);
            distinct.dedup();
            assert!(distinct.len() + 1 >= kept.len(), "{name}: {scores:?}");
            for (sum, score) in sums.iter_mut().zip(&scores) {
                let better = scores.iter().filter(|&other| other > score).count();
                let same = scores.iter().filter(|&other| other == score).count();
                *sum += 2 * better + same + 1;
            }
        }
        assert!(sums.is_sorted(), "{sums:?}");
        assert!(sums.first() < sums.last(), "{sums:?}");
    }

    /// The report and `run.toml` name what was optimised, and the report each score of the best.
    fn names_the_objective(&self, scratch: &Scratch, summary: &Value) {
        let read = |name: &str| {
            let path = format!("{}/{name}", text(&summary["run"]));
            String::from_utf8(scratch.read(path)).unwrap()
        };
        let objective = format!("rank({})", self.ensemble.map(|(name, _)| name).join(","));
        let toml = read("run.toml");
        let line = format!("objective = \"{objective}\"");
        assert!(toml.contains(&line), "{toml}");
        let page = read("report.html");
        assert!(page.ends_with("</html>\n"));
        assert!(page.contains(&format!("<code>{objective}</code>")));
        for (name, _) in self.ensemble {
            let score = summary["best"]["scores"][name].as_f64().unwrap();
            assert!(page.contains(&format!("{name} {score:.4}")), "{name}");
        }
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}

fn scratch(name: &str) -> Scratch {
    Scratch::new(&format!("family-{name}"))
}

#[test]
fn stable_diffusion_by_zero_order_search() {
    let scratch = scratch("sd15");
    folders::stable_diffusion(&scratch.path("tiny"));
    Case {
        task: PROMPT,
        ensemble: OF_PROMPTS,
        // The pivot, and two rounds of two neighbours.
        search: "zero-order --neighbours 2 --budget 5evals --count 5",
        size: [24, 16],
        nfe: 10,
        passes: 20,
        scored: 5,
        kept: 5,
    }
    .hold(&scratch);
}

#[test]
fn stable_diffusion_xl_by_random_search() {
    let scratch = scratch("sdxl");
    folders::stable_diffusion_xl(&scratch.path("tiny"));
    Case {
        task: PROMPT,
        ensemble: OF_PROMPTS,
        search: RANDOM,
        size: [16, 32],
        nfe: 12,
        passes: 24,
        scored: 6,
        kept: 6,
    }
    .hold(&scratch);
}

#[test]
fn flux_by_random_search() {
    for kind in ["dev", "schnell"] {
        let scratch = scratch(&format!("flux-{kind}"));
        folders::flux(&scratch.path("tiny"), kind);
        Case {
            task: PROMPT,
            ensemble: OF_PROMPTS,
            search: RANDOM,
            size: [48, 32],
            nfe: 12,
            passes: 12,
            scored: 6,
            kept: 6,
        }
        .hold(&scratch);
    }
}

#[test]
fn pixart_by_search_over_paths() {
    let scratch = scratch("pixart");
    folders::pixart(&scratch.path("tiny"));
    Case {
        task: PROMPT,
        ensemble: OF_PROMPTS,
        search: "paths --paths 2 --noises 2 --first-steps 2 --leg-steps 1 \
                 --sigma 0.5 --forward 0.2 --backward 0.45 --budget 16nfe --count 4",
        size: [32, 48],
        // Two first legs; four renoisings with a preview each, down to 0.25; four to 0.
        nfe: 2 * 2 + 4 * 2 + 4,
        passes: 32,
        scored: 8,
        kept: 4,
    }
    .hold(&scratch);
}

#[test]
fn pixart_alpha_by_random_search() {
    let scratch = scratch("pixart-alpha");
    folders::pixart_alpha(&scratch.path("tiny"));
    Case {
        task: PROMPT,
        ensemble: OF_PROMPTS,
        search: RANDOM,
        size: [48, 32],
        nfe: 12,
        passes: 24,
        scored: 6,
        kept: 6,
    }
    .hold(&scratch);
}

/// `--class` by name and by number, each in the one size that the network has.
#[test]
fn classes_of_dit_and_sit_by_random_search() {
    // SiT's usual solver is Heun's, whose two steps are three evaluations, without guidance.
    for (class, golden, label, nfe, passes) in [
        ("SiTPipeline", "sit", "tench", 18, 18),
        ("DiTPipeline", "dit", "3", 12, 24),
    ] {
        let scratch = scratch(golden);
        folders::of_classes(&scratch.path("tiny"), class, golden);
        Case {
            task: &["--class", label],
            ensemble: OF_CLASSES,
            search: RANDOM,
            size: [64, 64],
            nfe,
            passes,
            scored: 6,
            kept: 6,
        }
        .hold(&scratch);
    }
}
