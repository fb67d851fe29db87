//! `noisesearch study FILE|DIR...`.

use crate::args::Study;
use crate::exit::{Exit, Usage, say};
use crate::screen::StudyScreen;
use crate::{interrupt, outcome};
use anyhow::Context;
use noisesearch::registry::Registry;
use noisesearch_study::StudyError;
use noisesearch_study::study::{Options, Report, Verdict};
use noisesearch_study::watch::Control;
use serde::Serialize;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// What `--json` prints.
#[derive(Serialize)]
struct Object<'a> {
    studies: &'a [Report],
}

/// Runs studies, or goes on with them.
pub fn run(args: &Study) -> anyhow::Result<Exit> {
    let mut files = Vec::new();
    for study in &args.studies {
        match study.is_dir() {
            true => files.extend(inside(study)?),
            false => files.push(study.clone()),
        }
    }
    distinct(&files)?;
    let options = Options {
        out: args.out.clone(),
        quick: args.quick,
        images: args.images,
        findings: args.findings.clone(),
    };
    let mut screen = StudyScreen::new();
    let mut control = Control {
        observer: &mut screen,
        cancel: interrupt::listen()?,
    };
    let verdict = noisesearch_study::run(&Registry::builtin(), &files, &options, &mut control);
    screen.clear();
    let Verdict::Done(reports) = verdict? else {
        say(&format!("stopped; to go on: {}", outcome::again()));
        return Ok(Exit::Stopped);
    };
    let text = match args.json {
        true => serde_json::to_string_pretty(&Object { studies: &reports })? + "\n",
        false => reports.iter().map(line).collect(),
    };
    match io::stdout().write_all(text.as_bytes()) {
        // Whoever read this has seen enough; the results are on the disk.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
        other => other?,
    }
    Ok(Exit::Done)
}

fn line(report: &Report) -> String {
    format!(
        "{}: {} cells, {} candidates made, {:.1} s, checksum {}: {}\n",
        report.study,
        report.cells,
        report.made,
        report.seconds,
        report.checksum,
        report.directory.join("report.html").display()
    )
}

/// The studies of a directory, by name.
fn inside(directory: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let cannot = || format!("cannot read {}", directory.display());
    let mut files = Vec::new();
    for entry in std::fs::read_dir(directory).with_context(cannot)? {
        let path = entry.with_context(cannot)?.path();
        if path
            .extension()
            .is_some_and(|extension| extension == "toml")
        {
            files.push(path);
        }
    }
    files.sort();
    match files.is_empty() {
        true => Err(StudyError::NoStudies(directory.to_owned()).into()),
        false => Ok(files),
    }
}

/// Two studies of one name would share a directory.
fn distinct(files: &[PathBuf]) -> Result<(), Usage> {
    for (at, file) in files.iter().enumerate() {
        let same = |other: &&PathBuf| other.file_stem() == file.file_stem();
        if let Some(other) = files[..at].iter().find(same) {
            let (one, two) = (other.display(), file.display());
            return Err(Usage(format!("two studies of one name: {one} and {two}")));
        }
    }
    Ok(())
}
