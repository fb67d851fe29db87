//! What a run directory needs of a disk. Core opens no files: the real disk is in crate
//! `noisesearch`, a faulty one in [`crate::sim`].
//!
//! Names are plain file names inside the run directory. Whoever calls stops at the first error:
//! after a failed write or sync the state of the file is unknown, and only reading it again in a
//! new attempt tells (Rebello et al., "Can applications recover from fsync failures?", ATC 2020:
//! a second sync may report success for bytes that were never written).

use std::io;

/// One run directory. Everything that a run promises to keep goes through here.
pub trait Disk {
    /// Takes the exclusive lock of the directory and keeps it as long as this value lives. The
    /// kernel holds it, so it goes with the process, however that ends. Taking it again is fine.
    ///
    /// # Errors
    /// [`DiskError::Locked`], at once, when somebody else holds it.
    fn lock(&self) -> Result<(), DiskError>;

    /// The whole file; `None` when there is none.
    ///
    /// # Errors
    /// [`DiskError::TooLarge`], before anything is read, above `limit` bytes.
    fn read(&self, name: &str, limit: u64) -> Result<Option<Vec<u8>>, DiskError>;

    /// Writes all of `bytes` at the end of a file that exists. Not durable before
    /// [`Disk::sync`]. After an error any part of `bytes` may be there.
    fn append(&self, name: &str, bytes: &[u8]) -> Result<(), DiskError>;

    /// Returns once every byte appended to the file would survive a loss of power. An error is
    /// final: it must not be called again for these bytes.
    fn sync(&self, name: &str) -> Result<(), DiskError>;

    /// Makes `bytes` the whole content of the file, durably and at once: a temporary file,
    /// synced, renamed over `name`, then the directory synced. At every moment, and after an
    /// error, `name` holds either the old content or the new. A later append goes to the new
    /// file.
    fn replace(&self, name: &str, bytes: &[u8]) -> Result<(), DiskError>;
}

/// A disk that keeps nothing, for a search that is not gone on with: what it was told is known
/// elsewhere, or is asked anew.
pub struct Nowhere;

impl Disk for Nowhere {
    fn lock(&self) -> Result<(), DiskError> {
        Ok(())
    }
    fn read(&self, _: &str, _: u64) -> Result<Option<Vec<u8>>, DiskError> {
        Ok(None)
    }
    fn append(&self, _: &str, _: &[u8]) -> Result<(), DiskError> {
        Ok(())
    }
    fn sync(&self, _: &str) -> Result<(), DiskError> {
        Ok(())
    }
    fn replace(&self, _: &str, _: &[u8]) -> Result<(), DiskError> {
        Ok(())
    }
}

/// What was being done to a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Taking the lock.
    Lock,
    /// Reading.
    Read,
    /// Appending, or writing a temporary file.
    Write,
    /// Syncing the file or its directory.
    Sync,
    /// Renaming a temporary file into place.
    Rename,
}

/// A disk that did not do what was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DiskError {
    /// Somebody else is at work in this directory.
    #[error("the run is in use by {holder}; wait for it or stop it")]
    Locked {
        /// Who holds the lock, for example `process 4711`.
        holder: String,
    },
    /// No space left.
    #[error(
        "disk full: cannot write {needed} bytes to {name}, {free} bytes are free; \
         make room, then resume"
    )]
    Full {
        /// The file.
        name: String,
        /// Bytes that were to be written.
        needed: u64,
        /// Bytes that were free.
        free: u64,
    },
    /// More bytes than we are willing to read.
    #[error("{name} has {size} bytes; at most {limit} are read")]
    TooLarge {
        /// The file.
        name: String,
        /// Its size.
        size: u64,
        /// The most allowed.
        limit: u64,
    },
    /// Anything else that the operating system reports.
    #[error("cannot {} {name}: {source}", .action.word())]
    Io {
        /// What was being done.
        action: Action,
        /// The file.
        name: String,
        /// The system's answer.
        source: io::Error,
    },
}

impl Action {
    /// The action in a message.
    fn word(self) -> &'static str {
        match self {
            Self::Lock => "lock",
            Self::Read => "read",
            Self::Write => "write",
            Self::Sync => "sync",
            Self::Rename => "put in place",
        }
    }
}
