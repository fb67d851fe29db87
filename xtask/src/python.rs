//! Tasks that need PyTorch. They make their own environment in `lab/.venv`.

use crate::{run, run_with};
use anyhow::Result;
use std::path::Path;

const PYTHON: &str = "lab/.venv/bin/python";

/// Makes the environment once.
fn environment() -> Result<()> {
    if !Path::new(PYTHON).exists() {
        run("python3", "-m venv lab/.venv")?;
        run(PYTHON, "-m pip install --quiet -r lab/requirements.txt")?;
    }
    run("cargo", "build --release --workspace --examples --bins")
}

/// Measures this program and PyTorch side by side and writes `docs/performance.md`.
pub fn bench() -> Result<()> {
    environment()?;
    run(PYTHON, "benches/compare.py --out docs/performance.md")
}

/// Makes the golden values again and compares them with the committed ones.
pub fn parity() -> Result<()> {
    environment()?;
    for script in [
        "parity/image_reward.py",
        "parity/inception.py",
        "parity/schedules.py",
        "parity/pipelines.py",
        "parity/single_file.py",
        "parity/flux.py",
        "parity/pixart.py",
        "parity/sit.py",
        "parity/imagenet.py",
        "parity/preprocess.py",
        "parity/clip.py",
        "parity/vision.py",
        "parity/unet.py",
        "parity/vae.py",
        "parity/clip_vocabulary.py",
        "parity/tokens.py",
        "parity/transformer_pipelines.py",
        "parity/text_encoders.py",
        "lab/scenes/golden_unet.py",
        "lab/scenes/golden.py",
        "lab/glyphs/golden.py",
    ] {
        run(PYTHON, script)?;
    }
    run("cargo", "test --release --workspace --locked golden")
}

/// Trains everything the lab ships, resuming from checkpoints.
pub fn train() -> Result<()> {
    environment()?;
    let data = [("NOISESEARCH_LAB", "target/release/noisesearch-lab")];
    run_with("bash", "lab/train.sh", &data)
}

/// Measures what the model cards say of the scenes model.
pub fn card() -> Result<()> {
    run("cargo", "build --release --workspace --bins")?;
    run("python3", "lab/card.py")
}
