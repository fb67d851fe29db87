//! Where the bytes of tensors are: in memory, in a file that is read tensor by tensor, or nowhere.
//!
//! A file is read with ordinary reads, not mapped: a mapped file that somebody shortens kills the
//! process, and one that somebody rewrites changes tensors behind the program's back. What was
//! hashed at opening and what is read later are held together by length and modification time.

use super::header::{self, Entry};
use super::{Fault, foreign};
use crate::limits::FILE_BYTES_MAX;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fs::{File, Metadata};
use std::io::{Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

/// Bytes that are hashed or read at a time.
const CHUNK: usize = 1 << 20;

/// Hashes of files that were read before, so that a file is hashed once as long as its length and
/// its modification time stay.
#[derive(Debug, Default)]
pub struct Hashes(Mutex<BTreeMap<PathBuf, Stamp>>);

/// What a file was when it was hashed.
#[derive(Clone, Debug)]
struct Stamp {
    size: u64,
    modified: Option<SystemTime>,
    hash: blake3::Hash,
}

impl Hashes {
    /// BLAKE3 of an opened file.
    fn of(&self, path: &Path, file: &mut File, kind: &Metadata) -> Result<blake3::Hash, Fault> {
        let (size, modified) = (kind.len(), kind.modified().ok());
        let known = |all: &BTreeMap<PathBuf, Stamp>| all.get(path).cloned();
        let stamp = known(&self.0.lock().unwrap_or_else(PoisonError::into_inner));
        if let Some(stamp) = stamp
            && (stamp.size, stamp.modified) == (size, modified)
            && modified.is_some()
        {
            return Ok(stamp.hash);
        }
        let hash = hash(file, size)?;
        let stamp = Stamp {
            size,
            modified,
            hash,
        };
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.insert(path.to_owned(), stamp);
        Ok(hash)
    }
}

/// Bytes of tensors.
#[derive(Debug)]
pub(super) enum Store {
    /// All of them.
    Memory(Cow<'static, [u8]>),
    /// A file that was hashed and shall stay as it was.
    File {
        file: File,
        size: u64,
        modified: Option<SystemTime>,
    },
    /// None: names and shapes only, every value is zero.
    Hollow,
}

/// A store whose layout is right, its tensors, and the BLAKE3 of all its bytes.
pub(super) struct Opened {
    pub(super) store: Store,
    pub(super) entries: BTreeMap<String, Entry>,
    pub(super) hash: blake3::Hash,
}

impl Store {
    /// Bytes in memory.
    pub(super) fn memory(bytes: Cow<'static, [u8]>) -> Result<Opened, Fault> {
        Ok(Opened {
            entries: header::parse(&bytes, bytes.len() as u64)?,
            hash: blake3::hash(&bytes),
            store: Self::Memory(bytes),
        })
    }

    /// A regular file. Its header is checked before the rest is read, and hashed.
    pub(super) fn open(path: &Path, hashes: &Hashes) -> Result<Opened, Fault> {
        let (mut file, kind) = regular_file(path)?;
        let entries = header(&mut file, kind.len())?;
        let hash = hashes.of(path, &mut file, &kind)?;
        let store = Self::File {
            file,
            size: kind.len(),
            modified: kind.modified().ok(),
        };
        store.unchanged()?;
        Ok(Opened {
            store,
            entries,
            hash,
        })
    }

    /// The tensors of a file, of which nothing but the header is read.
    pub(super) fn look(path: &Path) -> Result<BTreeMap<String, Entry>, Fault> {
        let (mut file, kind) = regular_file(path)?;
        header(&mut file, kind.len())
    }

    /// Shows `visit` the bytes of a tensor, `pieces` one after the other, some at a time: always a
    /// multiple of the 8 bytes of the largest number, but at the end of a piece.
    pub(super) fn each(
        &mut self,
        pieces: &[Range<u64>],
        visit: &mut dyn FnMut(&[u8]),
    ) -> Result<(), Fault> {
        match self {
            Self::Hollow => Ok(()),
            Self::Memory(bytes) => {
                for piece in pieces {
                    let range = piece.start as usize..piece.end as usize;
                    visit(bytes.get(range).ok_or(Fault::Changed)?);
                }
                Ok(())
            }
            Self::File { file, .. } => {
                let mut chunk = vec![0; CHUNK];
                for piece in pieces {
                    file.seek(SeekFrom::Start(piece.start))?;
                    let mut left = piece.end - piece.start;
                    while left > 0 {
                        let some = &mut chunk[..left.min(CHUNK as u64) as usize];
                        file.read_exact(some).map_err(cut)?;
                        visit(some);
                        left -= some.len() as u64;
                    }
                }
                Ok(())
            }
        }
    }

    /// Refuses a file whose length or modification time is not that of its opening.
    pub(super) fn unchanged(&self) -> Result<(), Fault> {
        let Self::File {
            file,
            size,
            modified,
        } = self
        else {
            return Ok(());
        };
        let now = file.metadata()?;
        match now.len() == *size && now.modified().ok() == *modified {
            true => Ok(()),
            false => Err(Fault::Changed),
        }
    }
}

/// A file that ends before its tensors do was shortened after its header was read.
fn cut(error: std::io::Error) -> Fault {
    match error.kind() {
        std::io::ErrorKind::UnexpectedEof => Fault::Changed,
        _ => error.into(),
    }
}

/// Opens a regular file of limited size.
fn regular_file(path: &Path) -> Result<(File, Metadata), Fault> {
    // Looked at before it is opened: opening a pipe would wait for its writer.
    regular(&std::fs::metadata(path)?)?;
    let file = File::open(path)?;
    let kind = file.metadata()?;
    regular(&kind)?;
    let size = kind.len();
    if size > FILE_BYTES_MAX {
        return Err(Fault::Limit {
            what: "length in bytes",
            size,
            limit: FILE_BYTES_MAX,
        });
    }
    Ok((file, kind))
}

/// Refuses what is no regular file.
fn regular(kind: &Metadata) -> Result<(), Fault> {
    match (kind.is_file(), kind.is_dir()) {
        (true, _) => Ok(()),
        (_, true) => Err(Fault::NotAFile {
            found: "a directory",
        }),
        _ => Err(Fault::NotAFile {
            found: "a pipe or device",
        }),
    }
}

/// The tensors of a file, from its beginning.
fn header(file: &mut File, size: u64) -> Result<BTreeMap<String, Entry>, Fault> {
    let mut bytes = Vec::new();
    let prefix = foreign::PREFIX as u64;
    (&mut *file).take(prefix).read_to_end(&mut bytes)?;
    let head = header::end(&bytes, size)?;
    let rest = head.saturating_sub(bytes.len() as u64);
    (&mut *file).take(rest).read_to_end(&mut bytes)?;
    header::parse(&bytes, size)
}

/// BLAKE3 of all `size` bytes of a file.
fn hash(file: &mut File, size: u64) -> Result<blake3::Hash, Fault> {
    file.seek(SeekFrom::Start(0))?;
    let (mut hasher, mut chunk, mut seen) = (blake3::Hasher::new(), vec![0; CHUNK], 0);
    while seen <= size {
        match file.read(&mut chunk) {
            Ok(0) => break,
            Ok(read) => {
                hasher.update(&chunk[..read]);
                seen += read as u64;
            }
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error.into()),
        }
    }
    match seen == size {
        true => Ok(hasher.finalize()),
        false => Err(Fault::Changed),
    }
}
