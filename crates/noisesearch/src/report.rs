//! `grid.png` and `report.html`, made from what is in the run directory.

use crate::error::Error;
use crate::grid::{Tile, grid};
use crate::html;
use crate::identity;
use crate::picture::Picture;
use crate::record::Record;
use crate::registry::Registry;
use crate::run::journal_error;
use crate::rundir::{GRID, REPORT, RunDir, SUMMARY};
use crate::spec::Checked;
use crate::summary::{Shown, Summary};
use noisesearch_core::disk::Disk;
use noisesearch_core::journal::{self, Head, Snapshot};
use std::path::{Path, PathBuf};

/// Bytes of a summary, at most: a few dozen candidates.
const SUMMARY_BYTES_MAX: u64 = 4 << 20;

/// Makes the grid and the report of the run in `dir` again and returns the report's path. Reads
/// without a lock.
///
/// # Errors
/// [`Error::Unfinished`] when the run has gone on since it last stopped; when the spec is not the
/// one that began it.
pub fn report(registry: &Registry, dir: &Path) -> Result<PathBuf, Error> {
    let (run, spec) = RunDir::open(dir, registry)?;
    let wrong = |source| journal_error(&run, source);
    let snapshot = journal::read(&run.files).map_err(wrong)?;
    identity::check_settings(&spec, &snapshot.fingerprint).map_err(wrong)?;
    let summary = summary(&run, snapshot.head)?.ok_or_else(|| Error::Unfinished {
        run: run.files.path().to_owned(),
    })?;
    write(&run, &spec, &summary, &snapshot)?;
    Ok(run.path(REPORT))
}

/// The summary of a run that was stopped or has ended; `None` when it has gone on since, of which
/// its journal's head tells.
pub(crate) fn summary(run: &RunDir, head: Head) -> Result<Option<Summary>, Error> {
    let text = run
        .files
        .read(SUMMARY, SUMMARY_BYTES_MAX)
        .map_err(|source| run.disk(source))?;
    let Some(text) = text else {
        return Ok(None);
    };
    let summary: Summary = serde_json::from_slice(&text).map_err(|error| Error::Unreadable {
        path: run.path(SUMMARY),
        problem: error.to_string(),
    })?;
    let present = summary.journal == head.to_string();
    Ok(present.then(|| moved(summary, run)))
}

/// The summary with its paths as they are now, should the directory have been moved.
fn moved(mut summary: Summary, run: &RunDir) -> Summary {
    let here = |path: &mut PathBuf| {
        if let Ok(inside) = path.strip_prefix(&summary.run) {
            *path = run.files.path().join(inside);
        }
    };
    let best = summary
        .best
        .iter_mut()
        .chain(&mut summary.baseline)
        .chain(&mut summary.kept);
    best.for_each(|shown| here(&mut shown.image));
    summary.run = run.files.path().to_owned();
    summary
}

/// Writes grid and report of a run that has just stopped.
pub(crate) fn write_of(run: &RunDir, spec: &Checked, summary: &Summary) -> Result<(), Error> {
    let snapshot = journal::read(&run.files).map_err(|source| journal_error(run, source))?;
    write(run, spec, summary, &snapshot)
}

fn write(
    run: &RunDir,
    spec: &Checked,
    summary: &Summary,
    snapshot: &Snapshot,
) -> Result<(), Error> {
    let names = spec.scored();
    let mut tiles = Vec::new();
    let mut show = |title: String, shown: &Shown| -> Result<(), Error> {
        let tile = picture(run, shown)?.map(|picture| Tile {
            picture,
            lines: lines(title, shown, &names),
        });
        tiles.extend(tile);
        Ok(())
    };
    if let Some(baseline) = &summary.baseline {
        show("without search".to_owned(), baseline)?;
    }
    if let Some(best) = &summary.best {
        show("best".to_owned(), best)?;
    }
    for (place, shown) in summary.kept.iter().enumerate().skip(1) {
        show(format!("number {}", place + 1), shown)?;
    }
    if !tiles.is_empty() {
        let png = grid(tiles).to_png(&[]);
        let png = png.map_err(|source| Error::Picture {
            path: run.path(GRID),
            source,
        })?;
        run.write(GRID, &png)?;
    }
    let files = |shown: &Shown| run.relative(&shown.image);
    let page = html::Page {
        spec,
        summary,
        snapshot,
        image: &|shown| files(shown),
    };
    run.write(REPORT, page.html().as_bytes())
}

fn lines(title: String, shown: &Shown, names: &[String]) -> Vec<String> {
    let score = |name: &String| Some(format!("{name} {:.3}", shown.scores.get(name)?));
    std::iter::once(title)
        .chain(names.iter().filter_map(score))
        .collect()
}

fn picture(run: &RunDir, shown: &Shown) -> Result<Option<Picture>, Error> {
    let bytes = run.relative(&shown.image);
    Ok(bytes.and_then(|bytes| Some(Record::read(&bytes)?.0)))
}
