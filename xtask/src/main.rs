//! Development tasks: `cargo xtask` lists them.

use anyhow::{Context, Result, bail};
use std::process::Command;

mod instructions;
mod python;

const USAGE: &str = "\
usage: cargo xtask <task>
  test     format, lints, docs and every test: what CI runs
  bench    side-by-side measurements against PyTorch; writes docs/performance.md. Names of rows
           measure only those; `bench --list` lists them, `bench --rounds 2` is a quick look
  instructions
           counts instructions of the core's hot functions and fails when they grew by more than
           2 %; --accept keeps the new counts
  parity   makes the golden values again from the reference and compares
  train    trains the lab's models and verifiers, resuming from lab/checkpoints
  card     measures the lab's models and writes the numbers of their cards";

fn main() -> Result<()> {
    std::env::set_current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))?;
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let rest = arguments.get(1..).unwrap_or_default();
    match arguments.first().map(String::as_str) {
        Some("test") => test(),
        Some("bench") => python::bench(rest),
        Some("instructions") => match rest {
            [] => instructions::instructions(false),
            [flag] if flag == "--accept" => instructions::instructions(true),
            _ => bail!("{USAGE}"),
        },
        Some("parity") => python::parity(),
        Some("train") => python::train(),
        Some("card") => python::card(),
        _ => bail!("{USAGE}"),
    }
}

/// Runs `program` with `arguments` (split at spaces) and fails when it fails.
fn run(program: &str, arguments: &str) -> Result<()> {
    run_with(program, arguments, &[])
}

fn run_with(program: &str, arguments: &str, variables: &[(&str, &str)]) -> Result<()> {
    eprintln!("+ {program} {arguments}");
    let status = Command::new(program)
        .args(arguments.split_whitespace())
        .envs(variables.iter().copied())
        .status()
        .with_context(|| format!("cannot start {program}"))?;
    if !status.success() {
        bail!("`{program} {arguments}` failed: {status}");
    }
    Ok(())
}

fn test() -> Result<()> {
    run("cargo", "fmt --all --check")?;
    run(
        "cargo",
        "clippy --release --workspace --all-targets --locked -- -D warnings",
    )?;
    let deny = [("RUSTDOCFLAGS", "-D warnings")];
    run_with(
        "cargo",
        "doc --release --workspace --no-deps --locked",
        &deny,
    )?;
    run("cargo", "test --release --workspace --locked")?;
    // Features that are off by default. Of the whole workspace, so that what they do not touch is
    // not built again.
    let hub = "--release --workspace --locked --features noisesearch-cli/hub";
    run(
        "cargo",
        &format!("clippy {hub} --all-targets -- -D warnings"),
    )?;
    run("cargo", &format!("test {hub} --test hub"))?;
    run("cargo", &format!("test {hub} --test it hub"))
}
