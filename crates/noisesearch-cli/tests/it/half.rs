//! Which of 64 pictures is best hangs very little on `--dtype bf16`: pictures of the same recipes
//! in both formats, which the same verifier in f32 ranks.

use crate::common::Scratch;
use crate::folders;
use serde_json::Value;
use std::collections::BTreeMap;

const COUNT: usize = 64;

/// Spearman's coefficient of the two rankings, at least; measured is 0.9983. Only near ones change
/// places.
const RHO: f64 = 0.997;
/// How many of the best are the same in the same order; measured are 9.
const FIRST: usize = 8;
/// How far the two scores of a recipe are apart at most, of all between the worst and the best;
/// measured is 0.023.
const APART: f64 = 0.04;

/// Scores of all candidates by the names of their recipes.
fn scores(scratch: &Scratch, dtype: &str) -> BTreeMap<String, f64> {
    let count = COUNT.to_string();
    let budget = format!("{COUNT}evals");
    let args = [
        "generate",
        "hello",
        "--model=./tiny",
        "--verifier=clipscore",
        "--weights=clipscore=./clipscore",
        "--search=random",
        "--budget",
        &budget,
        "--count",
        &count,
        "--steps=4",
        "--seed=7",
        "--width=32",
        "--height=32",
        "--json",
        "--out",
        dtype,
        "--dtype",
        dtype,
    ];
    let summary = scratch.done(&args).json();
    let run = summary["run"].as_str().unwrap();
    let whole = scratch.read(format!("{run}/summary.json"));
    let whole: Value = serde_json::from_slice(&whole).unwrap();
    let score = |kept: &Value| {
        let id = kept["id"].as_str().unwrap().to_owned();
        (id, kept["scores"]["clipscore"].as_f64().unwrap())
    };
    whole["kept"]
        .as_array()
        .unwrap()
        .iter()
        .map(score)
        .collect()
}

/// Names from best to worst.
fn ranking(scores: &BTreeMap<String, f64>) -> Vec<&str> {
    let mut names: Vec<&str> = scores.keys().map(String::as_str).collect();
    names.sort_by(|a, b| scores[*b].total_cmp(&scores[*a]));
    names
}

/// Spearman's coefficient of two rankings of the same names, none tied.
fn spearman(a: &[&str], b: &[&str]) -> f64 {
    let place = |name: &&str| b.iter().position(|other| other == name).unwrap() as f64;
    let squares = a
        .iter()
        .enumerate()
        .map(|(i, name)| (i as f64 - place(name)).powi(2));
    let n = a.len() as f64;
    1.0 - 6.0 * squares.sum::<f64>() / (n * (n * n - 1.0))
}

#[test]
fn pictures_of_bf16_are_ranked_as_those_of_f32() {
    let scratch = Scratch::new("half");
    folders::stable_diffusion(&scratch.path("tiny"));
    folders::verifier(&scratch.path("clipscore"), "clip");
    let [whole, half] = ["f32", "bf16-tile"].map(|dtype| scores(&scratch, dtype));
    assert_eq!(whole.len(), COUNT);
    assert!(whole.keys().eq(half.keys()));
    assert_ne!(whole, half);
    let orders = [ranking(&whole), ranking(&half)];
    let rho = spearman(&orders[0], &orders[1]);
    assert!(rho > RHO, "{rho}");
    assert_eq!(orders[0][..FIRST], orders[1][..FIRST]);
    let spread = whole[orders[0][0]] - whole[orders[0][COUNT - 1]];
    let apart = whole.iter().map(|(name, score)| (score - half[name]).abs());
    let apart = apart.fold(0.0, f64::max) / spread;
    assert!(apart < APART, "{apart}");
}

/// A run in bf16 names the order of its sums, so that it is made again on any processor; int8 has
/// no orders. The tests of the kernels show that every one gives the same bits in all three.
#[test]
fn runs_in_bf16_and_int8_are_made_again_bit_for_bit() {
    let scratch = Scratch::new("lab-bf16");
    for (dtype, batch) in [
        ("bf16", "16"),
        ("bf16-tile", "5"),
        ("bf16-pair", "3"),
        ("int8", "5"),
    ] {
        let args = [
            "generate",
            "a red circle",
            "--steps=3",
            "--budget=9evals",
            "--json",
            "--dtype",
            dtype,
            "--out",
            dtype,
            "--batch",
            batch,
        ];
        let summary = scratch.done(&args).json();
        let run = summary["run"].as_str().unwrap();
        let toml = String::from_utf8(scratch.read(format!("{run}/run.toml"))).unwrap();
        let named = ["bf16-tile", "bf16-pair", "int8"].map(|name| format!("dtype = \"{name}\""));
        assert!(named.iter().any(|line| toml.contains(line)), "{toml}");
        scratch.done(&["verify", run, "--all"]);
        let config = format!("{run}/run.toml");
        let again = scratch.done(&["generate", "--config", &config, "--json", "--batch=16"]);
        assert_eq!(again.json()["best"]["scores"], summary["best"]["scores"]);
    }
}

/// The program at the instruction levels of this processor: AVX2, AVX-512, and the units for bf16.
/// The plain level takes half a minute a run; the tests of the kernels go through it.
#[test]
fn every_instruction_level_makes_the_same_run() {
    let scratch = Scratch::new("levels");
    let refused = scratch.run(&["models", "--isa=mmx"]);
    assert_eq!(refused.code, Some(1));
    let (_, levels) = refused.err.split_once("it has ").unwrap();
    for dtype in ["f32", "bf16-tile", "bf16-pair", "int8"] {
        let best = |level: &str| {
            let args = [
                "generate",
                "two red circles",
                "--steps=3",
                "--budget=4evals",
                "--json",
                "--dtype",
                dtype,
                "--isa",
                level,
                "--out",
                level,
                "--seed=7",
            ];
            let summary = scratch.done(&args).json();
            let image = summary["best"]["image"].as_str().unwrap();
            (
                summary["best"].clone()["scores"].clone(),
                scratch.read(image),
            )
        };
        let faster = levels.trim().split(", ").filter(|level| *level != "plain");
        let mut results = faster.map(best);
        let first = results.next().unwrap();
        assert!(results.all(|other| other == first), "{dtype}");
    }
}
