//! What a person or a program is told when a run ends, on stdout.

use crate::exit::{Exit, say};
use crate::screen::Screen;
use noisesearch::memory::size;
use noisesearch::rundir::{GRID, REPORT};
use noisesearch::spec::Checked;
use noisesearch::summary::{Column, Shown, Summary};
use noisesearch_core::search::StopReason;
use serde::Serialize;
use std::io::{self, Write};
use std::path::Path;

/// What `--json` prints.
#[derive(Serialize)]
struct Object<'a> {
    run: &'a Path,
    stop: StopReason,
    best: Option<&'a Shown>,
    baseline: Option<&'a Shown>,
    billed: Column,
    spent: Column,
    seconds: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    peak_bytes: Option<u64>,
}

impl<'a> From<&'a Summary> for Object<'a> {
    fn from(summary: &'a Summary) -> Self {
        Self {
            run: &summary.run,
            stop: summary.stop,
            best: summary.best.as_ref(),
            baseline: summary.baseline.as_ref(),
            billed: summary.billed,
            spent: summary.spent,
            seconds: summary.seconds,
            peak_bytes: summary.peak_bytes,
        }
    }
}

/// Prints what came out of a run, and how to go on when it was stopped.
pub fn print(summary: &Summary, screen: &Screen, json: bool) -> anyhow::Result<Exit> {
    screen.clear();
    let text = if json {
        serde_json::to_string_pretty(&Object::from(summary))? + "\n"
    } else {
        text(summary, screen.spec.as_ref())
    };
    match io::stdout().write_all(text.as_bytes()) {
        // Whoever read this has seen enough; the run is on the disk.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
        other => other?,
    }
    if summary.stop != StopReason::Cancelled {
        return Ok(Exit::Done);
    }
    say(&format!("stopped; to go on: {}", resume(&summary.run)));
    Ok(Exit::Stopped)
}

/// The command that goes on with a run, as it can be typed.
pub fn resume(run: &Path) -> String {
    let program = std::env::args_os().next().unwrap_or_default();
    let program = program.to_string_lossy();
    format!(
        "{} resume {}",
        quoted(&program),
        quoted(&run.to_string_lossy())
    )
}

/// The command that was typed, as it can be typed again.
pub fn again() -> String {
    let words = std::env::args_os().map(|word| quoted(&word.to_string_lossy()));
    words.collect::<Vec<_>>().join(" ")
}

/// A word as a POSIX shell reads it back.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+:@,".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

/// Scores without and with search, what it cost, and where it is.
fn text(summary: &Summary, spec: Option<&Checked>) -> String {
    let nfe = |column: &Column| column.search_nfe + column.final_nfe;
    let (billed, spent) = (nfe(&summary.billed), nfe(&summary.spent));
    let mut lines = spec.map_or_else(Vec::new, |spec| scores(summary, spec));
    let peak = summary.peak_bytes.map(size);
    let peak = peak.map_or_else(String::new, |peak| format!(", memory at most {peak}"));
    lines.push(format!(
        "billed {billed} NFE, spent {spent} NFE, {:.1} s{peak}",
        summary.seconds
    ));
    lines.push(match &summary.best {
        Some(best) => format!("best    {}", best.image.display()),
        None => "no candidate was finished".to_owned(),
    });
    for (what, file) in [("grid  ", GRID), ("report", REPORT)] {
        lines.push(format!("{what}  {}", summary.run.join(file).display()));
    }
    lines.join("\n") + "\n"
}

/// A line for each verifier. What was made again also has the score that the search saw.
fn scores(summary: &Summary, spec: &Checked) -> Vec<String> {
    let cell = |shown: &Option<Shown>, name: &str| {
        let score = shown.as_ref().and_then(|shown| shown.scores.get(name));
        score.map_or("-".to_owned(), |score| format!("{score:.3}"))
    };
    let names = spec.scored();
    let width = names.iter().map(String::len).max().unwrap_or(0);
    let searched = summary.best.as_ref().map(|best| &best.searched);
    let searched = searched.filter(|scores| !scores.is_empty());
    let mut lines = vec![format!(
        "{:width$}  {:>14}  {:>8}{}",
        "",
        "without search",
        "best",
        searched.map_or("", |_| "  in the search")
    )];
    for (at, name) in names.iter().enumerate() {
        let (before, best) = (cell(&summary.baseline, name), cell(&summary.best, name));
        let role = if at < spec.verifiers.len() {
            "optimised"
        } else {
            "watched"
        };
        let saw = searched.and_then(|scores| scores.get(name));
        let saw = saw.map_or_else(String::new, |score| format!("  {score:>13.3}"));
        lines.push(format!(
            "{name:width$}  {before:>14}  {best:>8}{saw}  {role}"
        ));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::quoted;

    #[test]
    fn words_read_back() {
        assert_eq!(quoted("runs/a-1_b.c"), "runs/a-1_b.c");
        assert_eq!(quoted(""), "''");
        assert_eq!(quoted("my runs/it's"), r"'my runs/it'\''s'");
    }
}
