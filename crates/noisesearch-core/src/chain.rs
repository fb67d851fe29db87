//! Files of lines chained by checksums, to which whole lines are appended.
//!
//! One line: `16 hex digits, space, JSON, newline`; the digits are the first 8 bytes of
//! `BLAKE3(digits' bytes of the line before || JSON)`, so that a line that was changed, lost,
//! doubled or moved shows. It catches accidents, not a forger.
//!
//! When one append is one line, a crash can leave only the last line incomplete: [`Reader::end`]
//! tells that from damage.

use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fmt;

/// Checksum of a line and, through the chain, of all lines before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Head([u8; 8]);

/// Why a line cannot be written, or a file of lines not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ChainError {
    /// Something that is no JSON.
    #[error("cannot write a line: {0}")]
    Unwritable(serde_json::Error),
    /// More than fits in a line.
    #[error("a line of {bytes} bytes; at most {most} are allowed")]
    LineTooLong {
        /// Its length.
        bytes: usize,
        /// The most allowed.
        most: usize,
    },
    /// Bytes that no interrupted write explains.
    #[error("damaged at line {line} (byte {byte})")]
    Damaged {
        /// First bad line, from 1.
        line: usize,
        /// Where it starts, in bytes from 0.
        byte: usize,
    },
    /// A whole line that this program does not understand.
    #[error("line {line} is whole but of another version of this program: {source}")]
    Unreadable {
        /// The line, from 1.
        line: usize,
        /// What was not understood.
        source: serde_json::Error,
    },
}

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

/// The line of `value` after `before`, at most `most` bytes with its newline, and its checksum.
pub fn line(
    before: Head,
    value: &impl Serialize,
    most: usize,
) -> Result<(Vec<u8>, Head), ChainError> {
    let json = serde_json::to_vec(value).map_err(ChainError::Unwritable)?;
    let head = chain(before, &json);
    let mut line = head.digits().to_vec();
    line.push(b' ');
    line.extend(json);
    line.push(b'\n');
    match line.len() {
        bytes if bytes > most => Err(ChainError::LineTooLong { bytes, most }),
        _ => Ok((line, head)),
    }
}

/// Reads the lines of a file in order.
pub struct Reader<'a> {
    bytes: &'a [u8],
    most: usize,
    /// Number of the next line, from 1.
    line: usize,
    /// Where it starts.
    at: usize,
    /// Checksum of the line before.
    head: Head,
}

impl<'a> Reader<'a> {
    /// At the first line of `bytes`, whose lines have at most `most` bytes.
    pub fn new(bytes: &'a [u8], most: usize) -> Self {
        let (line, at, head) = (1, 0, Head::default());
        Self {
            bytes,
            most,
            line,
            at,
            head,
        }
    }

    /// The next line; `None` when it is not whole or not in its place.
    ///
    /// # Errors
    /// [`ChainError::Unreadable`] for a line that is whole but no `T`.
    pub fn read<T: DeserializeOwned>(&mut self) -> Result<Option<T>, ChainError> {
        let rest = &self.bytes[self.at..];
        let Some(end) = rest.iter().position(|&byte| byte == b'\n') else {
            return Ok(None);
        };
        let Some((digits, json)) = split(&rest[..end]) else {
            return Ok(None);
        };
        let head = chain(self.head, json);
        if end >= self.most || digits != head.digits() {
            return Ok(None);
        }
        let value = serde_json::from_slice(json).map_err(|source| ChainError::Unreadable {
            line: self.line,
            source,
        })?;
        self.head = head;
        self.line += 1;
        self.at += end + 1;
        Ok(Some(value))
    }

    /// The checksum of the lines read, and how many bytes they have; what follows, if anything,
    /// is what an interrupted append of one line, a `T`, left.
    ///
    /// # Errors
    /// [`ChainError::Damaged`] when it cannot be that.
    pub fn end<T: DeserializeOwned>(&self) -> Result<(Head, usize), ChainError> {
        match torn::<T>(&self.bytes[self.at..]) {
            true => Ok((self.head, self.at)),
            false => Err(self.damaged()),
        }
    }

    /// That the next line is damaged.
    pub fn damaged(&self) -> ChainError {
        ChainError::Damaged {
            line: self.line,
            byte: self.at,
        }
    }
}

/// Whether `tail`, which does not start with a good line, can be what an interrupted append
/// left: one line at most. It cannot when a line that is whole by itself comes later, or when its
/// first line starts with a whole `T` and goes on (its newline is what was damaged).
fn torn<T: DeserializeOwned>(tail: &[u8]) -> bool {
    let mut lines = tail.split(|&byte| byte == b'\n');
    let first = lines.next().unwrap_or_default();
    let goes_on = value_len::<T>(first).is_some_and(|whole| first.len() > whole + 1);
    !goes_on && !lines.any(|line| value_len::<T>(line).is_some())
}

/// How many bytes of `line` are digits, space and a `T`, whatever the digits say.
fn value_len<T: DeserializeOwned>(line: &[u8]) -> Option<usize> {
    let (digits, json) = split(line)?;
    if !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    let mut values = serde_json::Deserializer::from_slice(json).into_iter::<T>();
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
