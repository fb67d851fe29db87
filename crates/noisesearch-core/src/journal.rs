//! The truth about a run: an append-only file that remembers every outcome before the search is
//! told of it, so that a run stopped at any moment continues to the same result.
//!
//! ```text
//! line 1    fingerprint: what this run is
//! line 2..  one entry a line: outcomes, what was spent, and at the end why it ended
//! ```
//!
//! Lines are chained by checksums. One append is one line, so only the last line can be
//! incomplete after a crash, and its outcomes were told to nobody: it is dropped, loudly. A bad
//! line before a whole one is damage and refused. To open a journal is to put its whole lines in
//! place anew, atomically: that cuts a torn tail, and makes durable what an earlier process may
//! have written but failed to sync.

mod entry;
mod fingerprint;
mod line;

pub use crate::chain::Head;
pub use entry::{Entry, Told, outcome};
pub use fingerprint::{Difference, Fingerprint};

use crate::disk::{Disk, DiskError};
use crate::limits::{JOURNAL_LINE_MAX, JOURNAL_MAX};

/// Name of the journal in a run directory.
pub const JOURNAL: &str = "journal.jsonl";

/// A journal that is open for appending; holds the run's lock through its disk.
pub struct Journal<'d> {
    disk: &'d dyn Disk,
    head: Head,
    len: u64,
    failed: bool,
}

/// A journal with all that it remembers.
pub struct Opened<'d> {
    /// Where the run goes on.
    pub journal: Journal<'d>,
    /// What happened so far, in order.
    pub entries: Vec<Entry>,
    /// What the user must be told, if anything.
    pub notice: Option<Notice>,
}

/// A journal as it lies on disk, for those who only look.
#[derive(Debug)]
pub struct Snapshot {
    /// What the run is.
    pub fingerprint: Fingerprint,
    /// What happened so far, in order.
    pub entries: Vec<Entry>,
    /// Checksum of all of it; two people may compare.
    pub head: Head,
    /// What the user must be told, if anything.
    pub notice: Option<Notice>,
}

/// The journal ended in an incomplete line, which was dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Notice {
    /// Bytes dropped.
    pub dropped: usize,
    /// Whole lines before them.
    pub line: usize,
}

impl std::fmt::Display for Notice {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "the journal ended in an incomplete line (interrupted write): dropped {} bytes after \
             line {}; what they said is computed again",
            self.dropped, self.line
        )
    }
}

/// Why a journal cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JournalError {
    /// A new run in a directory that has one.
    #[error("{JOURNAL} exists already; resume it or choose another directory")]
    Exists,
    /// Nothing to resume.
    #[error("there is no {JOURNAL} here: this run never began; start it anew")]
    Missing,
    /// Bytes that no interrupted write explains.
    #[error(
        "{JOURNAL} is damaged at line {line} (byte {byte}) and is left as it is; restore it from a \
         copy, or start a new run"
    )]
    Damaged {
        /// First bad line, from 1.
        line: usize,
        /// Where it starts, in bytes from 0.
        byte: usize,
    },
    /// A whole line that this program does not understand.
    #[error("{JOURNAL} line {line} is whole but of another version of this program: {source}")]
    Unreadable {
        /// The line, from 1.
        line: usize,
        /// What was not understood.
        source: serde_json::Error,
    },
    /// A format of another version.
    #[error("{JOURNAL} has format {0}; this program reads format 1")]
    Format(u32),
    /// Another run's journal.
    #[error(
        "this is another run: {} is {} in {JOURNAL}, but {} here; resume it with the same \
         settings, files and program",
        .0.field, .0.journal, .0.here
    )]
    Different(Box<Difference>),
    /// Something that is no JSON.
    #[error("cannot write to {JOURNAL}: {0}")]
    Unwritable(serde_json::Error),
    /// More than fits in a line.
    #[error("a journal line of {bytes} bytes; at most {JOURNAL_LINE_MAX} are allowed")]
    LineTooLong {
        /// Its length.
        bytes: usize,
    },
    /// A journal at its limit.
    #[error("{JOURNAL} has {bytes} bytes; at most {JOURNAL_MAX} are allowed: end this run")]
    Full {
        /// Its length with the line that did not fit.
        bytes: u64,
    },
    /// An append after one that failed.
    #[error("an earlier write to {JOURNAL} failed; resume the run in a new process")]
    Failed,
    /// The disk failed.
    #[error(transparent)]
    Disk(#[from] DiskError),
}

impl<'d> Journal<'d> {
    /// Whether a journal with this fingerprint can begin, before anything is written.
    ///
    /// # Errors
    /// [`JournalError::LineTooLong`] when it does not fit in the first line.
    pub fn check(fingerprint: &Fingerprint) -> Result<(), JournalError> {
        line::write(Head::default(), &line::first(fingerprint)).map(drop)
    }

    /// Locks the run directory and begins a journal there.
    ///
    /// # Errors
    /// [`JournalError::Exists`]; [`DiskError::Locked`]; any disk error, after which there is
    /// either no journal or one without entries.
    pub fn create(
        disk: &'d dyn Disk,
        fingerprint: &Fingerprint,
    ) -> Result<Opened<'d>, JournalError> {
        disk.lock()?;
        if disk.read(JOURNAL, JOURNAL_MAX)?.is_some() {
            return Err(JournalError::Exists);
        }
        let (bytes, head) = line::write(Head::default(), &line::first(fingerprint))?;
        disk.replace(JOURNAL, &bytes)?;
        let journal = Self {
            disk,
            head,
            len: bytes.len() as u64,
            failed: false,
        };
        Ok(Opened {
            journal,
            entries: Vec::new(),
            notice: None,
        })
    }

    /// Locks the run directory, reads its journal and puts the whole lines in place anew.
    ///
    /// # Errors
    /// [`JournalError::Missing`], [`JournalError::Different`], [`JournalError::Damaged`] and the
    /// like leave the file untouched.
    pub fn open(disk: &'d dyn Disk, fingerprint: &Fingerprint) -> Result<Opened<'d>, JournalError> {
        disk.lock()?;
        let mut bytes = load(disk)?;
        let contents = line::read(&bytes)?;
        if let Some(difference) = contents.fingerprint.difference(fingerprint) {
            return Err(JournalError::Different(Box::new(difference)));
        }
        let notice = notice(&contents, &bytes);
        bytes.truncate(contents.whole);
        disk.replace(JOURNAL, &bytes)?;
        let journal = Self {
            disk,
            head: contents.head,
            len: bytes.len() as u64,
            failed: false,
        };
        Ok(Opened {
            journal,
            entries: contents.entries,
            notice,
        })
    }

    /// Makes `entry` durable: one write, then one sync. Only then may it be told.
    ///
    /// # Errors
    /// After any disk error every later call fails with [`JournalError::Failed`]: nothing is
    /// tried again.
    pub fn append(&mut self, entry: &Entry) -> Result<(), JournalError> {
        if self.failed {
            return Err(JournalError::Failed);
        }
        let (bytes, head) = line::write(self.head, entry)?;
        let len = self.len + bytes.len() as u64;
        if len > JOURNAL_MAX {
            return Err(JournalError::Full { bytes: len });
        }
        self.failed = true;
        self.disk.append(JOURNAL, &bytes)?;
        self.disk.sync(JOURNAL)?;
        (self.failed, self.head, self.len) = (false, head, len);
        Ok(())
    }

    /// Checksum of everything so far.
    pub fn head(&self) -> Head {
        self.head
    }
}

/// Reads a journal without lock or change.
///
/// # Errors
/// As [`Journal::open`], save for the fingerprint, which is for the caller to judge.
pub fn read(disk: &dyn Disk) -> Result<Snapshot, JournalError> {
    let bytes = load(disk)?;
    let contents = line::read(&bytes)?;
    Ok(Snapshot {
        notice: notice(&contents, &bytes),
        fingerprint: contents.fingerprint,
        entries: contents.entries,
        head: contents.head,
    })
}

fn load(disk: &dyn Disk) -> Result<Vec<u8>, JournalError> {
    let bytes = disk.read(JOURNAL, JOURNAL_MAX)?;
    bytes.ok_or(JournalError::Missing)
}

fn notice(contents: &line::Contents, bytes: &[u8]) -> Option<Notice> {
    let dropped = bytes.len() - contents.whole;
    (dropped > 0).then_some(Notice {
        dropped,
        line: 1 + contents.entries.len(),
    })
}
