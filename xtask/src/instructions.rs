//! Counts the instructions of the core's hot functions under valgrind and holds them to those kept
//! in `benches/instructions.txt`: a check of speed that a busy machine cannot disturb.
//!
//! The counts belong to a compiler and, because some libraries choose their code by the processor,
//! to a kind of processor; the file's comment says which compiler.

use crate::run;
use anyhow::{Context, Result, bail};
use std::collections::BTreeMap;
use std::process::Command;

const KEPT: &str = "benches/instructions.txt";
/// Every function is called so often.
const CALLS: &str = "4";
/// A count that is larger by more than this fails the check.
const GROWTH_MAX_PERCENT: u64 = 2;

/// Instructions by the name of what was done.
type Counts = BTreeMap<String, u64>;

/// Counts, and compares with what was kept or, if `accept`, keeps the new counts.
pub fn instructions(accept: bool) -> Result<()> {
    let release = "build --release --locked --package noisesearch-core --example hot";
    run("cargo", release)?;
    let program = program();
    let names = output(Command::new(&program))?;
    let counts = names
        .lines()
        .map(|name| Ok((name.to_owned(), count(&program, name)?)));
    let counts = counts.collect::<Result<Counts>>()?;
    if accept {
        return keep(&counts);
    }
    let kept = std::fs::read_to_string(KEPT).with_context(|| format!("cannot read {KEPT}"))?;
    let mut grown = Vec::new();
    for (name, now) in &counts {
        let (line, fails) = judge(name, parse(&kept)?.get(name).copied(), *now);
        println!("{line}");
        grown.extend(fails.then_some(name.as_str()));
    }
    if !grown.is_empty() {
        let compiler = kept.lines().nth(1).unwrap_or_default();
        bail!(
            "{} need more instructions than {KEPT} allows (counted with: {}).\n\
             If that is meant, keep the new counts: cargo xtask instructions --accept",
            grown.join(", "),
            compiler.trim_start_matches("# "),
        );
    }
    Ok(())
}

fn program() -> String {
    let target = std::env::var("CARGO_TARGET_DIR").unwrap_or_else(|_| "target".into());
    format!("{target}/release/examples/hot")
}

/// What a program prints on both streams, if it succeeds.
fn output(mut command: Command) -> Result<String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command
        .output()
        .with_context(|| format!("cannot start {name}"))?;
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text).into_owned();
    if !output.status.success() {
        bail!("`{name}` failed: {}\n{text}", output.status);
    }
    Ok(text)
}

/// Instructions inside the function `measured` of the example, doing `name`.
fn count(program: &str, name: &str) -> Result<u64> {
    let mut valgrind = Command::new("valgrind");
    valgrind.args(["--tool=callgrind", "--callgrind-out-file=/dev/null"]);
    valgrind.args(["--toggle-collect=*hot::measured*", program, name, CALLS]);
    let text = output(valgrind).context(
        "counting needs valgrind; install it, for example with `apt-get install valgrind`",
    )?;
    match collected(&text) {
        Some(count) if count > 0 => Ok(count),
        _ => bail!("valgrind counted nothing in `measured` of {program} {name}:\n{text}"),
    }
}

/// The number in valgrind's line `==1234== Collected : 5678`.
fn collected(text: &str) -> Option<u64> {
    let (_, rest) = text.split_once("Collected :")?;
    rest.split_whitespace().next()?.parse().ok()
}

/// Lines of a name and a count; comments begin with `#`.
fn parse(text: &str) -> Result<Counts> {
    let lines = text
        .lines()
        .filter(|line| !line.starts_with('#') && !line.is_empty());
    let counts = lines.map(|line| {
        let (name, count) = line
            .split_once(' ')
            .with_context(|| format!("{KEPT}: {line}"))?;
        let count = count
            .trim()
            .parse()
            .with_context(|| format!("{KEPT}: {line}"))?;
        Ok((name.to_owned(), count))
    });
    counts.collect()
}

/// What to say of a count, and whether it fails the check.
fn judge(name: &str, kept: Option<u64>, now: u64) -> (String, bool) {
    let Some(kept) = kept else {
        return (format!("{name}: {now} instructions, none kept"), true);
    };
    let change = now as f64 / kept as f64 - 1.0;
    let line = format!(
        "{name}: {now} instructions, {:+.2} % of {kept}",
        100.0 * change
    );
    (line, 100 * now > (100 + GROWTH_MAX_PERCENT) * kept)
}

fn keep(counts: &Counts) -> Result<()> {
    let mut rustc = Command::new("rustc");
    rustc.arg("--version");
    let mut text = format!(
        "# Instructions of {CALLS} calls in crates/noisesearch-core/examples/hot.rs, written by \
         `cargo xtask instructions --accept`\n# {}",
        output(rustc)?,
    );
    for (name, count) in counts {
        text += &format!("{name} {count}\n");
    }
    std::fs::write(KEPT, text).with_context(|| format!("cannot write {KEPT}"))?;
    println!("kept in {KEPT}");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn valgrind_and_the_file_are_read() {
        let text = "==7== Events    : Ir\n==7== Collected : 5678\n==7==\n";
        assert_eq!(collected(text), Some(5678));
        assert_eq!(collected("==7== Events"), None);
        let counts = parse("# by\n# rustc 1\nnormals 12\nrounds 3\n").unwrap();
        assert_eq!(counts["normals"], 12);
        assert_eq!(counts.len(), 2);
        parse("normals twelve").unwrap_err();
    }

    #[test]
    fn only_growth_beyond_two_percent_fails() {
        for (kept, now, fails) in [
            (Some(1000), 1020, false),
            (Some(1000), 1021, true),
            (Some(1000), 500, false),
            (None, 1, true),
        ] {
            assert_eq!(judge("x", kept, now).1, fails, "{kept:?} {now}");
        }
    }
}
