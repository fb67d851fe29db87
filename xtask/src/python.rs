//! Tasks that need PyTorch. They make their own environments: `lab/.venv` to train, `parity/.venv`
//! with the reference implementations, which are also the peers of measurements.

use crate::{run, run_with};
use anyhow::Result;
use std::path::Path;

const LAB: &str = "lab/.venv/bin/python";
const REFERENCES: &str = "parity/.venv/bin/python";

/// Scripts that make golden values and manifests from reference implementations.
const PARITY: [&str; 22] = [
    "schedules",
    "clip_vocabulary",
    "tokens",
    "text_encoders",
    "unet",
    "vae",
    "pipelines",
    "flux",
    "pixart",
    "sit",
    "imagenet",
    "transformer_pipelines",
    "class_pipelines",
    "folders",
    "single_file",
    "preprocess",
    "clip",
    "vision",
    "image_reward",
    "inception",
    "metrics",
    "convert",
];

/// Makes the environment of `folder` once, from its `requirements.txt`.
fn environment(folder: &str) -> Result<()> {
    let python = format!("{folder}/.venv/bin/python");
    if !Path::new(&python).exists() {
        run("python3", &format!("-m venv {folder}/.venv"))?;
        let install = format!("-m pip install --quiet -r {folder}/requirements.txt");
        run(&python, &install)?;
    }
    Ok(())
}

fn build() -> Result<()> {
    run("cargo", "build --release --workspace --examples --bins")
}

/// Measures this program and PyTorch side by side and writes `docs/performance.md`; `arguments`
/// are those of `benches/bench.py`.
pub fn bench(arguments: &[String]) -> Result<()> {
    environment("parity")?;
    run("cargo", "build --release --locked --bin noisesearch")?;
    for (package, example) in [
        ("noisesearch", "bench"),
        ("noisesearch", "overhead"),
        ("noisesearch", "engine_share"),
        ("noisesearch-models", "peak"),
    ] {
        let build = "build --release --locked --package";
        run("cargo", &format!("{build} {package} --example {example}"))?;
    }
    run(
        REFERENCES,
        &format!("benches/bench.py {}", arguments.join(" ")),
    )
}

/// Makes golden values and manifests again, compares them with the committed ones, and has all
/// tests hold this program to them.
pub fn parity() -> Result<()> {
    environment("parity")?;
    for name in PARITY {
        run(REFERENCES, &format!("parity/{name}.py"))?;
    }
    environment("lab")?;
    for script in [
        "lab/scenes/golden_unet.py",
        "lab/scenes/golden.py",
        "lab/scenes/golden_gradient.py",
        "lab/glyphs/golden.py",
        "lab/glyphs/golden_gradient.py",
    ] {
        run(LAB, script)?;
    }
    run(REFERENCES, "parity/compare.py")?;
    let packages = "--package noisesearch-models --package noisesearch-verifiers";
    run("cargo", &format!("test --release --locked {packages}"))
}

/// Trains everything the lab ships, resuming from checkpoints.
pub fn train() -> Result<()> {
    environment("lab")?;
    build()?;
    let data = [("NOISESEARCH_LAB", "target/release/noisesearch-lab")];
    run_with("bash", "lab/train.sh", &data)
}

/// Measures what the model cards say of the scenes model.
pub fn card() -> Result<()> {
    run("cargo", "build --release --workspace --bins")?;
    run("python3", "lab/card.py")
}
