//! One file: the part that came before, what comes after it, and whether that is the file.

use super::cache::{Repository, at};
use super::remote::Failed;
use super::{Client, DownloadError, Hash, Plan, RemoteFile};
use rustix::fs::{FlockOperation, flock};
use sha1::{Digest, Sha1};
use sha2::Sha256;
use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// Bytes that are read at a time.
const CHUNK: usize = 1 << 16;

/// Fetches a file into the cache, unless it is there. `tell` is told how many bytes are.
pub(super) fn fetch(
    client: &Client,
    plan: &Plan,
    file: &RemoteFile,
    cache: &Repository,
    tell: &mut dyn FnMut(u64),
) -> Result<(), DownloadError> {
    let path = cache.part(&file.hash);
    if !cache.has(file) {
        let mut part = Part::open(path.clone(), plan, file)?;
        // Another program may have ended it while this one opened it.
        if !cache.has(file) {
            client.persist(|| part.go_on(client, tell))?;
            return part.finish(&cache.blob(&file.hash));
        }
        drop(fs::remove_file(path));
    }
    tell(file.size);
    Ok(())
}

/// The beginning of a file, which no other program writes to.
struct Part<'a> {
    plan: &'a Plan,
    wanted: &'a RemoteFile,
    path: PathBuf,
    file: File,
    /// Bytes of it.
    have: u64,
    hasher: Hasher,
}

impl<'a> Part<'a> {
    fn open(path: PathBuf, plan: &'a Plan, wanted: &'a RemoteFile) -> Result<Self, DownloadError> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        let file = options.open(&path).map_err(at(&path))?;
        if flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
            return Err(DownloadError::Busy { path });
        }
        let mut part = Self {
            plan,
            wanted,
            path,
            file,
            have: 0,
            hasher: Hasher::of(wanted),
        };
        part.read_back().map_err(at(&part.path))?;
        Ok(part)
    }

    /// Hashes what is there; more than the whole is of no use.
    fn read_back(&mut self) -> std::io::Result<()> {
        if self.file.metadata()?.len() > self.wanted.size {
            return self.restart();
        }
        let mut chunk = vec![0; CHUNK];
        loop {
            match self.file.read(&mut chunk)? {
                0 => return Ok(()),
                read => {
                    self.hasher.update(&chunk[..read]);
                    self.have += read as u64;
                }
            }
        }
    }

    /// Forgets what is there.
    fn restart(&mut self) -> std::io::Result<()> {
        self.file.set_len(0)?;
        self.file.seek(SeekFrom::Start(0))?;
        (self.have, self.hasher) = (0, Hasher::of(self.wanted));
        Ok(())
    }

    /// Asks for what is missing and keeps what comes of it.
    fn go_on(&mut self, client: &Client, tell: &mut dyn FnMut(u64)) -> Result<(), Failed> {
        let start = self.have;
        tell(start);
        if start == self.wanted.size {
            return Ok(());
        }
        let io = |path: &Path| {
            let path = path.to_owned();
            move |error| Failed::For(at(&path)(error))
        };
        let mut answer = client.file(self.plan, self.wanted, start)?;
        if answer.start != start {
            self.restart().map_err(io(&self.path))?;
        }
        let mut chunk = vec![0; CHUNK];
        while let Some(read) = answer.read(&mut chunk, self.have > start)? {
            if self.have + read as u64 > self.wanted.size {
                return Err(Failed::For(self.wrong("more bytes".into(), "bytes")));
            }
            self.file
                .write_all(&chunk[..read])
                .map_err(io(&self.path))?;
            self.hasher.update(&chunk[..read]);
            self.have += read as u64;
            tell(self.have);
        }
        match self.have == self.wanted.size {
            true => Ok(()),
            false => Err(answer.cut(self.have > start)),
        }
    }

    /// Gives the file its name, if it is the one that is listed.
    fn finish(mut self, blob: &Path) -> Result<(), DownloadError> {
        let hasher = std::mem::replace(&mut self.hasher, Hasher::of(self.wanted));
        let found = hasher.digits();
        if found != self.wanted.hash.digits() {
            return Err(self.wrong(found, "hash"));
        }
        let moved = self.file.sync_all();
        moved
            .and_then(|()| fs::rename(&self.path, blob))
            .map_err(at(blob))
    }

    /// Removes what cannot become the file.
    fn wrong(&self, found: String, what: &str) -> DownloadError {
        drop(fs::remove_file(&self.path));
        DownloadError::Wrong {
            repository: self.plan.repository.clone(),
            path: self.wanted.path.clone(),
            found,
            wanted: match what {
                "hash" => self.wanted.hash.digits().to_owned(),
                _ => format!("{} bytes", self.wanted.size),
            },
        }
    }
}

/// A hash in the making.
enum Hasher {
    Sha256(Sha256),
    Git(Sha1),
}

impl Hasher {
    fn of(file: &RemoteFile) -> Self {
        match file.hash {
            Hash::Sha256(_) => Self::Sha256(Sha256::new()),
            Hash::Git(_) => Self::Git(Sha1::new_with_prefix(format!("blob {}\0", file.size))),
        }
    }

    fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Sha256(hasher) => hasher.update(bytes),
            Self::Git(hasher) => hasher.update(bytes),
        }
    }

    fn digits(self) -> String {
        match self {
            Self::Sha256(hasher) => format!("{:x}", hasher.finalize()),
            Self::Git(hasher) => format!("{:x}", hasher.finalize()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `git hash-object` and `sha256sum` of a file of the letters `abc`.
    #[test]
    fn hashes_are_those_of_git_and_of_sha256() {
        let digits = |hash| {
            let path = "a".to_owned();
            let mut hasher = Hasher::of(&RemoteFile {
                path,
                size: 3,
                hash,
            });
            hasher.update(b"ab");
            hasher.update(b"c");
            hasher.digits()
        };
        assert_eq!(
            digits(Hash::Git(String::new())),
            "f2ba8f84ab5c1bce84a7b441cb1959cfc7093b7f"
        );
        assert_eq!(
            digits(Hash::Sha256(String::new())),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
    }
}
