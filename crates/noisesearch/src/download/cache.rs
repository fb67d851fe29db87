//! A repository in the cache, as the hub's own programs lay it out.

use super::{DownloadError, Hash, Plan, RemoteFile};
use noisesearch_models::checkpoint::hub::Hub;
use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

/// `models--ORG--NAME` in the cache.
pub(super) struct Repository(PathBuf);

impl Repository {
    pub(super) fn of(hub: &Hub, repository: &str) -> Self {
        let folder = format!("models--{}", repository.replace('/', "--"));
        Self(hub.path().join(folder))
    }

    /// Where the bytes of a file are.
    pub(super) fn blob(&self, hash: &Hash) -> PathBuf {
        self.0.join("blobs").join(hash.digits())
    }

    /// Where they are until all of them are there.
    pub(super) fn part(&self, hash: &Hash) -> PathBuf {
        self.blob(hash).with_extension("incomplete")
    }

    /// Whether all bytes of a file are there.
    pub(super) fn has(&self, file: &RemoteFile) -> bool {
        length(&self.blob(&file.hash)) == Some(file.size)
    }

    /// How many bytes of a file are there.
    pub(super) fn have(&self, file: &RemoteFile) -> u64 {
        match self.has(file) {
            true => file.size,
            false => length(&self.part(&file.hash)).map_or(0, |have| have.min(file.size)),
        }
    }

    /// Makes the folders, if there is room for `needed` bytes.
    pub(super) fn prepare(&self, needed: u64) -> Result<(), DownloadError> {
        let folder = self.0.join("blobs");
        fs::create_dir_all(&folder).map_err(at(&folder))?;
        // A system that does not tell has room until a write fails.
        let Ok(stat) = rustix::fs::statvfs(&folder) else {
            return Ok(());
        };
        let free = stat.f_bavail.saturating_mul(stat.f_frsize);
        match needed > free {
            true => Err(DownloadError::Full {
                folder,
                needed,
                free,
            }),
            false => Ok(()),
        }
    }

    /// Lets the files of a plan, which are all there, appear in its snapshot; then names it.
    pub(super) fn publish(&self, plan: &Plan) -> Result<PathBuf, DownloadError> {
        let snapshot = self.0.join("snapshots").join(&plan.commit);
        for file in &plan.files {
            let link = snapshot.join(&file.path);
            if let Some(folder) = link.parent() {
                fs::create_dir_all(folder).map_err(at(folder))?;
            }
            let up = "../".repeat(2 + file.path.matches('/').count());
            let target = format!("{up}blobs/{}", file.hash.digits());
            replace(&link, |new| symlink(&target, new))?;
        }
        let refs = self.0.join("refs");
        fs::create_dir_all(&refs).map_err(at(&refs))?;
        replace(&refs.join("main"), |new| fs::write(new, &plan.commit))?;
        Ok(snapshot)
    }
}

/// Makes a file beside `path` and puts it in its place.
fn replace(path: &Path, make: impl FnOnce(&Path) -> io::Result<()>) -> Result<(), DownloadError> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.new", std::process::id()));
    let new = path.with_file_name(name);
    make(&new)
        .and_then(|()| fs::rename(&new, path))
        .map_err(at(path))
}

/// Bytes of a regular file.
fn length(path: &Path) -> Option<u64> {
    let kind = fs::metadata(path).ok()?;
    kind.is_file().then_some(kind.len())
}

/// An error of the disk at a path.
pub(super) fn at(path: &Path) -> impl FnOnce(io::Error) -> DownloadError {
    let path = path.to_owned();
    |source| DownloadError::Io { path, source }
}
