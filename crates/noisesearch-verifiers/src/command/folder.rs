//! A folder that only this user can read and that goes away with its owner.

use super::leftover::{self, Leftover};
use std::fs::DirBuilder;
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// A new folder below the system's temporary one.
#[derive(Debug)]
pub struct Folder(PathBuf);

impl Folder {
    /// Makes it. A folder that is there already is never used.
    pub fn new() -> io::Result<Self> {
        const TRIES: u32 = 10_000;
        let below = std::env::temp_dir();
        for number in 0..TRIES {
            let name = format!("noisesearch-{}-{number}", std::process::id());
            let path = below.join(name);
            let create = || DirBuilder::new().mode(0o700).create(&path);
            match leftover::make(create, |()| Some(Leftover::Folder(path.clone()))) {
                Ok(()) => return Ok(Self(path)),
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
        Err(ErrorKind::AlreadyExists.into())
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Writes a new file and returns its path.
    pub fn write(&self, name: &str, bytes: &[u8]) -> io::Result<PathBuf> {
        let path = self.0.join(name);
        let mut options = std::fs::OpenOptions::new();
        let mut file = options
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&path)?;
        file.write_all(bytes)?;
        Ok(path)
    }

    /// Removes a file that was written; one that is gone already is no error.
    pub fn remove(&self, path: &Path) {
        let _ = std::fs::remove_file(path);
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
        leftover::gone(&Leftover::Folder(std::mem::take(&mut self.0)));
    }
}
