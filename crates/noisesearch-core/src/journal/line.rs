//! One line: `16 hex digits, space, JSON, newline`; the digits are the first 8 bytes of
//! `BLAKE3(digits' bytes of the line before || JSON)`, so that a line that was changed, lost,
//! doubled or moved shows. It catches accidents, not a forger.

use super::JournalError;
use super::entry::Entry;
use super::fingerprint::Fingerprint;
use crate::limits::JOURNAL_LINE_MAX;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Version of the line format; in the first line.
const FORMAT: u32 = 1;

/// Checksum of a line and, through the chain, of all lines before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Head([u8; 8]);

impl Head {
    fn digits(self) -> [u8; 16] {
        let mut digits = [0; 16];
        for (pair, byte) in digits.chunks_exact_mut(2).zip(self.0) {
            let digit = |nibble: u8| b"0123456789abcdef"[usize::from(nibble)];
            pair.copy_from_slice(&[digit(byte >> 4), digit(byte & 15)]);
        }
        digits
    }
}

impl fmt::Display for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = self.digits();
        digits
            .iter()
            .try_for_each(|&digit| write!(f, "{}", char::from(digit)))
    }
}

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
pub(super) fn write(before: Head, json: &[u8]) -> Result<(Vec<u8>, Head), JournalError> {
    let head = chain(before, json);
    let mut line = head.digits().to_vec();
    line.push(b' ');
    line.extend(json);
    line.push(b'\n');
    if line.len() > JOURNAL_LINE_MAX {
        return Err(JournalError::LineTooLong { bytes: line.len() });
    }
    Ok((line, head))
}

/// The JSON of the first line.
pub(super) fn first(fingerprint: &Fingerprint) -> Result<Vec<u8>, JournalError> {
    to_json(&First {
        journal: FORMAT,
        fingerprint,
    })
}

pub(super) fn to_json(value: &impl Serialize) -> Result<Vec<u8>, JournalError> {
    serde_json::to_vec(value).map_err(JournalError::Unwritable)
}

/// Reads a whole journal. A bad last line is left out; damage before a whole line is an error.
pub(super) fn read(bytes: &[u8]) -> Result<Contents, JournalError> {
    let mut reader = Reader {
        bytes,
        line: 1,
        at: 0,
        head: Head::default(),
    };
    let Some(first) = reader.next::<First<Fingerprint>>()? else {
        return Err(reader.damaged());
    };
    if first.journal != FORMAT {
        return Err(JournalError::Format(first.journal));
    }
    let mut entries = Vec::new();
    while let Some(entry) = reader.next()? {
        entries.push(entry);
    }
    if !torn(&bytes[reader.at..]) {
        return Err(reader.damaged());
    }
    Ok(Contents {
        fingerprint: first.fingerprint,
        entries,
        head: reader.head,
        whole: reader.at,
    })
}

struct Reader<'a> {
    bytes: &'a [u8],
    /// Number of the next line, from 1.
    line: usize,
    /// Where it starts.
    at: usize,
    /// Checksum of the line before.
    head: Head,
}

impl Reader<'_> {
    /// The next line if it is whole and in its place.
    fn next<T: DeserializeOwned>(&mut self) -> Result<Option<T>, JournalError> {
        let rest = &self.bytes[self.at..];
        let Some(end) = rest.iter().position(|&byte| byte == b'\n') else {
            return Ok(None);
        };
        let Some((digits, json)) = split(&rest[..end]) else {
            return Ok(None);
        };
        let head = chain(self.head, json);
        if end >= JOURNAL_LINE_MAX || digits != head.digits() {
            return Ok(None);
        }
        let value = serde_json::from_slice(json).map_err(|source| JournalError::Unreadable {
            line: self.line,
            source,
        })?;
        self.head = head;
        self.line += 1;
        self.at += end + 1;
        Ok(Some(value))
    }

    fn damaged(&self) -> JournalError {
        JournalError::Damaged {
            line: self.line,
            byte: self.at,
        }
    }
}

/// Whether `tail`, which does not start with a good line, can be what an interrupted append
/// left: one line at most. It cannot when a line that is whole by itself comes later, or when its
/// first line starts with a whole entry and goes on (its newline is what was damaged).
fn torn(tail: &[u8]) -> bool {
    let mut lines = tail.split(|&byte| byte == b'\n');
    let first = lines.next().unwrap_or_default();
    let goes_on = entry_len(first).is_some_and(|whole| first.len() > whole + 1);
    !goes_on && !lines.any(|line| entry_len(line).is_some())
}

/// How many bytes of `line` are digits, space and an entry, whatever the digits say.
fn entry_len(line: &[u8]) -> Option<usize> {
    let (digits, json) = split(line)?;
    if !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    let mut values = serde_json::Deserializer::from_slice(json).into_iter::<Entry>();
    values.next()?.ok()?;
    Some(line.len() - json.len() + values.byte_offset())
}

/// The 16 digits and the JSON.
fn split(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let (digits, rest) = line.split_at_checked(16)?;
    Some((digits, rest.strip_prefix(b" ")?))
}

fn chain(before: Head, json: &[u8]) -> Head {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&before.0).update(json);
    let mut head = [0; 8];
    hasher.finalize_xof().fill(&mut head);
    Head(head)
}
