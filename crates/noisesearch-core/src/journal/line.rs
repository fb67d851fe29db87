//! The lines of a journal: a fingerprint, then entries, chained as in [`crate::chain`].

use super::JournalError;
use super::entry::Entry;
use super::fingerprint::Fingerprint;
use crate::chain::{ChainError, Head, Reader, line};
use crate::limits::JOURNAL_LINE_MAX;
use serde::{Deserialize, Serialize};

/// Version of the line format; in the first line.
const FORMAT: u32 = 1;

/// The first line.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct First<F> {
    journal: u32,
    fingerprint: F,
}

/// The whole lines of a journal.
pub(super) struct Contents {
    pub fingerprint: Fingerprint,
    pub entries: Vec<Entry>,
    pub head: Head,
    /// How many bytes the lines above have; what follows is a torn tail.
    pub whole: usize,
}

/// The line after `before`, and its checksum.
pub(super) fn write(before: Head, value: &impl Serialize) -> Result<(Vec<u8>, Head), JournalError> {
    Ok(line(before, value, JOURNAL_LINE_MAX)?)
}

/// What the first line says.
pub(super) fn first(fingerprint: &Fingerprint) -> impl Serialize {
    First {
        journal: FORMAT,
        fingerprint,
    }
}

/// Reads a whole journal. A bad last line is left out; damage before a whole line is an error.
pub(super) fn read(bytes: &[u8]) -> Result<Contents, JournalError> {
    let mut reader = Reader::new(bytes, JOURNAL_LINE_MAX);
    let Some(first) = reader.read::<First<Fingerprint>>()? else {
        return Err(reader.damaged().into());
    };
    if first.journal != FORMAT {
        return Err(JournalError::Format(first.journal));
    }
    let mut entries = Vec::new();
    while let Some(entry) = reader.read()? {
        entries.push(entry);
    }
    let (head, whole) = reader.end::<Entry>()?;
    Ok(Contents {
        fingerprint: first.fingerprint,
        entries,
        head,
        whole,
    })
}

impl From<ChainError> for JournalError {
    fn from(error: ChainError) -> Self {
        match error {
            ChainError::Unwritable(source) => Self::Unwritable(source),
            ChainError::LineTooLong { bytes, .. } => Self::LineTooLong { bytes },
            ChainError::Damaged { line, byte } => Self::Damaged { line, byte },
            ChainError::Unreadable { line, source } => Self::Unreadable { line, source },
        }
    }
}
