//! What can go wrong with a study.

use crate::limits::CELLS_MAX;
use crate::population::PopulationError;
use crate::report::ReportError;
use noisesearch::ErrorKind;
use noisesearch::picture::PictureError;
use noisesearch_core::chain::ChainError;
use noisesearch_core::disk::DiskError;
use parquet::errors::ParquetError;
use std::path::PathBuf;

/// What can go wrong with a study.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StudyError {
    /// A file that cannot be read.
    #[error("cannot read {}: {problem}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        problem: String,
    },
    /// A directory without studies.
    #[error("{} holds no study: it has no file *.toml", .0.display())]
    NoStudies(PathBuf),
    /// A study whose file is not of the form.
    #[error("{}: {problem}", path.display())]
    Form {
        /// The file.
        path: PathBuf,
        /// What is wrong, and where.
        problem: String,
    },
    /// A prompt set with something in it that is no prompt.
    #[error("{}, line {line}, column {column}: {problem}", path.display())]
    Prompts {
        /// The prompt set.
        path: PathBuf,
        /// The line, from 1.
        line: u64,
        /// The column, from 1, in bytes; for CSV the field.
        column: usize,
        /// What is wrong there.
        problem: String,
    },
    /// More cells than fit.
    #[error("{}: {cells} cells; at most {CELLS_MAX} are run", path.display())]
    TooManyCells {
        /// The study's file.
        path: PathBuf,
        /// Tasks times seeds times points.
        cells: usize,
    },
    /// Settings that make no sense, all that were found.
    #[error("{}:\n{}", path.display(), lines(problems))]
    Settings {
        /// The study's file.
        path: PathBuf,
        /// Where, and what is wrong there.
        problems: Vec<String>,
    },
    /// A task that a model cannot be asked. Nothing was written.
    #[error("{}: task {task:?}: {problem}", path.display())]
    Task {
        /// The study's file.
        path: PathBuf,
        /// The prompt or class.
        task: String,
        /// Why not.
        problem: String,
    },
    /// The model or a verifier failed.
    #[error(transparent)]
    Engine(#[from] noisesearch::Error),
    /// The disk failed.
    #[error("{}: {source}", directory.display())]
    Disk {
        /// Where it was written.
        directory: PathBuf,
        /// Why.
        source: DiskError,
    },
    /// Known outcomes that cannot be used.
    #[error(
        "{}: {source}; it is left as it is: restore it from a copy, or move it away and every \
         outcome is computed again",
        path.display()
    )]
    Known {
        /// The file.
        path: PathBuf,
        /// Why.
        source: ChainError,
    },
    /// Known outcomes of another version.
    #[error("{} has format {found}; this program reads format 1: move it away", path.display())]
    KnownFormat {
        /// The file.
        path: PathBuf,
        /// The format it says.
        found: u32,
    },
    /// A write to the known outcomes failed before: what the file ends in is not known.
    #[error(
        "{}: an earlier write failed, so nothing more is written to it; see to the disk, then run \
         the same command again: it goes on from what is whole",
        .0.display()
    )]
    Halted(PathBuf),
    /// Another study has this name here.
    #[error(
        "{} holds the results of another study of this name: give another --out, or move it away \
         (known outcomes stay)",
        .0.display()
    )]
    Another(PathBuf),
    /// Something that JSON cannot say.
    #[error("cannot write JSON: {0}")]
    Json(#[from] serde_json::Error),
    /// The table of results.
    #[error("cannot write results.parquet: {0}")]
    Parquet(#[from] ParquetError),
    /// A picture of an answer.
    #[error("cannot write a picture: {0}")]
    Picture(#[from] PictureError),
    /// The report or the findings. The results are on the disk.
    #[error("the results are written, the report is not: {0}")]
    Report(#[from] ReportError),
    /// A set of answers cannot be measured.
    #[error("the results are written, the report is not: {0}")]
    Population(#[from] PopulationError),
    /// A fault of the program, or an outcome that is not what it was.
    #[error("{cell}: {problem}")]
    Diverged {
        /// Study, arm, point, task and seed.
        cell: String,
        /// What does not fit.
        problem: String,
    },
}

fn lines(problems: &[String]) -> String {
    problems.join("\n")
}

impl StudyError {
    /// What a program should make of it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::NoStudies(_)
            | Self::Form { .. }
            | Self::TooManyCells { .. }
            | Self::Settings { .. }
            | Self::Another(_) => ErrorKind::Usage,
            Self::Unreadable { .. }
            | Self::Prompts { .. }
            | Self::Task { .. }
            | Self::KnownFormat { .. } => ErrorKind::Refused,
            Self::Engine(error) => error.kind(),
            Self::Disk { source, .. } => match source {
                DiskError::Full { .. } => ErrorKind::Resumable,
                DiskError::TooLarge { .. } => ErrorKind::Refused,
                _ => ErrorKind::Failed,
            },
            Self::Known { source, .. } => match source {
                ChainError::Damaged { .. } => ErrorKind::Damaged,
                _ => ErrorKind::Refused,
            },
            Self::Report(_)
            | Self::Population(_)
            | Self::Json(_)
            | Self::Parquet(_)
            | Self::Picture(_)
            | Self::Halted(_)
            | Self::Diverged { .. } => ErrorKind::Failed,
        }
    }
}
