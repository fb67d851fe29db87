//! What can go wrong with a run, and what a program should make of it.

use crate::limits::FREE_BYTES_MIN;
use crate::picture::PictureError;
use crate::registry::OpenError;
use crate::spec::SpecError;
use noisesearch_models::denoiser::TaskError;
use std::path::PathBuf;

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
    /// A tensor operation failed.
    #[error("the model failed: {0}")]
    Tensor(#[from] candle_core::Error),
    /// A file operation failed.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// The verb.
        action: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A picture that cannot be written or read.
    #[error("{}: {source}", path.display())]
    Picture {
        /// The file.
        path: PathBuf,
        /// Why.
        source: PictureError,
    },
    /// Too little room on the disk.
    #[error(
        "{} has {free} bytes free; a run needs {FREE_BYTES_MIN}: make room and try again",
        path.display()
    )]
    DiskFull {
        /// The run directory.
        path: PathBuf,
        /// Bytes free.
        free: u64,
    },
    /// Not a run directory.
    #[error("{} is no run: it has no {missing}", path.display())]
    NotARun {
        /// The directory given.
        path: PathBuf,
        /// The file that is not there.
        missing: &'static str,
    },
    /// Another process works on this run.
    #[error("{} is in use by {holder}; wait for it or stop it", path.display())]
    Locked {
        /// The run directory.
        path: PathBuf,
        /// Who holds the lock.
        holder: String,
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
    /// What a program should make of it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Spec(_) | Self::NotARun { .. } => ErrorKind::Usage,
            Self::Task(_) | Self::Open(_) => ErrorKind::Refused,
            Self::Tensor(_) | Self::Picture { .. } | Self::Locked { .. } => ErrorKind::Failed,
            Self::Io { .. } | Self::DiskFull { .. } => ErrorKind::Resumable,
        }
    }
}
