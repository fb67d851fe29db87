//! What can go wrong with a run, and what a program should make of it.

use crate::limits::FREE_BYTES_MIN;
use crate::picture::PictureError;
use crate::registry::OpenError;
use crate::spec::SpecError;
use noisesearch_core::disk::{Action, DiskError};
use noisesearch_core::journal::JournalError;
use noisesearch_models::denoiser::TaskError;
use noisesearch_models::replay::ReplayError;
use std::path::{Path, PathBuf};

/// What can go wrong with a run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The spec is refused.
    #[error(transparent)]
    Spec(#[from] SpecError),
    /// The model cannot be asked this.
    #[error(transparent)]
    Task(#[from] TaskError),
    /// Weights that cannot be used.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The model could not make a recipe.
    #[error(transparent)]
    Replay(#[from] ReplayError),
    /// A tensor operation failed.
    #[error("the model failed: {0}")]
    Tensor(#[from] candle_core::Error),
    /// A verifier failed on all it was shown. Nothing that was journalled is lost.
    #[error("verifier {name} failed: {source}")]
    Verifier {
        /// The run directory, if there is one yet.
        run: Option<PathBuf>,
        /// Its name.
        name: String,
        /// Why.
        source: Box<candle_core::Error>,
    },
    /// The disk failed.
    #[error("{}: {source}", run.display())]
    Disk {
        /// The run directory.
        run: PathBuf,
        /// Why.
        source: DiskError,
    },
    /// The journal cannot be used, or the disk below it failed.
    #[error("{}: {source}", run.display())]
    Journal {
        /// The run directory.
        run: PathBuf,
        /// Why.
        source: JournalError,
    },
    /// The journal does not fit the search, or a fault of the program.
    #[error("{}: {problem}", run.display())]
    Diverged {
        /// The run directory.
        run: PathBuf,
        /// What does not fit.
        problem: String,
    },
    /// A file of the run that cannot be read as what it is.
    #[error("{} is not readable: {problem}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        problem: String,
    },
    /// A picture that cannot be written or read.
    #[error("{}: {source}", path.display())]
    Picture {
        /// The file.
        path: PathBuf,
        /// Why.
        source: PictureError,
    },
    /// Too little room on the disk to begin.
    #[error(
        "{} has {free} bytes free; a run needs {FREE_BYTES_MIN}: make room and try again",
        path.display()
    )]
    DiskFull {
        /// Where it was to be made.
        path: PathBuf,
        /// Bytes free.
        free: u64,
    },
    /// A run without a summary of what it is now.
    #[error(
        "{} has nothing to report: it is at work, or was killed since it last stopped; \
         resume it and let it end, or stop it",
        run.display()
    )]
    Unfinished {
        /// The run directory.
        run: PathBuf,
    },
    /// Not a run directory.
    #[error("{} is no run: it has no {missing}", path.display())]
    NotARun {
        /// The directory given.
        path: PathBuf,
        /// The file that is not there.
        missing: &'static str,
    },
}

/// What a program should make of an [`Error`]; the exit codes of the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// What was asked for makes no sense.
    Usage,
    /// It did not work.
    Failed,
    /// The run stopped early and can be resumed.
    Resumable,
    /// The journal is damaged.
    Damaged,
    /// An input was read and refused.
    Refused,
}

impl Error {
    /// This error, with the run that it stopped where that was not known.
    pub(crate) fn of_run(mut self, path: &Path) -> Self {
        if let Self::Verifier { run, .. } = &mut self {
            run.get_or_insert_with(|| path.to_owned());
        }
        self
    }

    /// What a program should make of it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Spec(_) | Self::NotARun { .. } | Self::Unfinished { .. } => ErrorKind::Usage,
            Self::Task(_) | Self::Open(_) | Self::Unreadable { .. } => ErrorKind::Refused,
            Self::Replay(_)
            | Self::Tensor(_)
            | Self::Picture { .. }
            | Self::Diverged { .. }
            | Self::DiskFull { .. } => ErrorKind::Failed,
            Self::Verifier { .. } => ErrorKind::Resumable,
            Self::Disk { source, .. } => disk_kind(source),
            Self::Journal { source, .. } => match source {
                JournalError::Disk(source) => disk_kind(source),
                JournalError::Damaged { .. } => ErrorKind::Damaged,
                JournalError::Exists | JournalError::Missing => ErrorKind::Usage,
                JournalError::Failed => ErrorKind::Resumable,
                JournalError::Full { .. } => ErrorKind::Failed,
                _ => ErrorKind::Refused,
            },
        }
    }
}

/// A run stops at the first failure of its disk and can go on from what is safe.
fn disk_kind(error: &DiskError) -> ErrorKind {
    match error {
        DiskError::Locked { .. } => ErrorKind::Failed,
        DiskError::TooLarge { .. } => ErrorKind::Refused,
        DiskError::Io {
            action: Action::Read,
            ..
        } => ErrorKind::Failed,
        _ => ErrorKind::Resumable,
    }
}
