//! The directory of one study.
//!
//! ```text
//! DIR/known.jsonl        what is known, of all studies here      DIR/lock    who works here
//! DIR/NAME/study.toml    a copy of the study's file
//! DIR/NAME/results.jsonl results.parquet                         when all cells have ended
//! ```

use crate::error::StudyError;
use crate::known::disk_error;
use crate::limits::STUDY_BYTES_MAX;
use crate::plan::Plan;
use crate::row::Row;
use crate::table;
use noisesearch::disk::Directory;
use noisesearch_core::disk::{Disk, DiskError};
use std::path::{Path, PathBuf};

const STUDY: &str = "study.toml";
/// One row a line, in the order of cells.
pub const RESULTS: &str = "results.jsonl";
/// The same as a table.
pub const TABLE: &str = "results.parquet";

/// Where the results of a study go.
pub struct Output<'a> {
    path: PathBuf,
    plan: &'a Plan,
}

impl<'a> Output<'a> {
    /// Below `out`; nothing is made yet.
    pub fn new(out: &Path, plan: &'a Plan) -> Self {
        let path = out.join(&plan.name);
        Self { path, plan }
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn failed(&self) -> impl Fn(DiskError) -> StudyError {
        |source| disk_error(&self.path, source)
    }

    /// Refuses a directory that holds another study of this name.
    pub fn check(&self) -> Result<(), StudyError> {
        let there = Directory::new(&self.path).read(STUDY, STUDY_BYTES_MAX);
        match there.map_err(self.failed())? {
            Some(text) if text != self.plan.text.as_bytes() => {
                Err(StudyError::Another(self.path.clone()))
            }
            _ => Ok(()),
        }
    }

    /// Makes the directory, with the study's file in it.
    pub fn begin(&self) -> Result<(), StudyError> {
        let directory = Directory::ensure(&self.path).map_err(self.failed())?;
        let text = self.plan.text.as_bytes();
        directory.replace(STUDY, text).map_err(self.failed())
    }

    /// Writes what came out, each file whole at once.
    pub fn write(&self, rows: &[Row]) -> Result<(), StudyError> {
        let mut lines = Vec::new();
        for row in rows {
            serde_json::to_writer(&mut lines, row)?;
            lines.push(b'\n');
        }
        let directory = Directory::new(&self.path);
        directory.replace(RESULTS, &lines).map_err(self.failed())?;
        directory
            .replace(TABLE, &table::write(rows)?)
            .map_err(self.failed())
    }
}
