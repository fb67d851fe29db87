//! The cache of the Hugging Face hub, which is read and never filled.
//!
//! ```text
//! HF_HUB_CACHE > HUGGINGFACE_HUB_CACHE > HF_HOME/hub > XDG_CACHE_HOME/huggingface/hub >
//! ~/.cache/huggingface/hub
//!   models--org--name/refs/main               names a commit
//!   models--org--name/snapshots/COMMIT/...    links into models--org--name/blobs
//! ```

use super::CheckpointError;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// Length of a commit's name: `refs/main` is read no further.
const COMMIT: usize = 40;

/// A folder of downloaded repositories.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hub(PathBuf);

impl Hub {
    /// The cache in a folder.
    pub fn at(folder: impl Into<PathBuf>) -> Self {
        Self(folder.into())
    }

    /// The cache that the environment names; `var` gives its variables. `None` without a home.
    pub fn named(var: impl Fn(&str) -> Option<OsString>) -> Option<Self> {
        let set = |name: &str| {
            var(name)
                .filter(|value| !value.is_empty())
                .map(PathBuf::from)
        };
        let whole = ["HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"];
        let below = [
            ("HF_HOME", "hub"),
            ("XDG_CACHE_HOME", "huggingface/hub"),
            ("HOME", ".cache/huggingface/hub"),
            ("USERPROFILE", ".cache/huggingface/hub"),
        ];
        let below = || {
            let mut below = below.into_iter();
            below.find_map(|(name, folder)| set(name).map(|path| path.join(folder)))
        };
        whole.into_iter().find_map(set).or_else(below).map(Self)
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The snapshot of a repository `org/name` that `main` names, or the only one there is;
    /// `None` if the repository was not downloaded.
    pub fn snapshot(&self, repository: &str) -> Result<Option<PathBuf>, CheckpointError> {
        if !is_repository(repository) {
            return Ok(None);
        }
        let root = self
            .0
            .join(format!("models--{}", repository.replace('/', "--")));
        let snapshots = root.join("snapshots");
        if !snapshots.is_dir() {
            return Ok(None);
        }
        let found = match main(&root)? {
            Some(commit) => Some(snapshots.join(commit)).filter(|path| path.is_dir()),
            None => only(&snapshots)?,
        };
        if let Some(snapshot) = &found {
            inside(snapshot, &root, 0)?;
        }
        Ok(found)
    }
}

/// Whether a name is `org/name`, of the letters that the hub allows.
pub fn is_repository(name: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    let word = |w: &str| !w.is_empty() && w.len() <= 96 && w.chars().all(allowed);
    let plain = |w: &str| word(w) && !w.starts_with(['.', '-']) && !w.contains("--");
    name.split_once('/')
        .is_some_and(|(org, name)| plain(org) && plain(name))
}

/// The commit that `refs/main` names; `None` if there is no such file.
fn main(root: &Path) -> Result<Option<String>, CheckpointError> {
    let path = root.join("refs/main");
    let text = match super::folder::read(&path) {
        Ok(bytes) => String::from_utf8_lossy(&bytes).trim().to_owned(),
        Err(CheckpointError::Io { source, .. })
            if source.kind() == std::io::ErrorKind::NotFound =>
        {
            return Ok(None);
        }
        Err(error) => return Err(error),
    };
    let hex = text.len() <= COMMIT && text.chars().all(|c| c.is_ascii_hexdigit());
    match hex && !text.is_empty() {
        true => Ok(Some(text)),
        false => Err(CheckpointError::Commit(path)),
    }
}

/// The only folder in a folder.
fn only(folder: &Path) -> Result<Option<PathBuf>, CheckpointError> {
    let mut folders = entries(folder)?;
    folders.retain(|path| path.is_dir());
    Ok(folders.pop().filter(|_| folders.is_empty()))
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>, CheckpointError> {
    let failed = |source| CheckpointError::Io {
        path: folder.to_owned(),
        source,
    };
    let entries = std::fs::read_dir(folder).map_err(failed)?;
    entries
        .map(|entry| Ok(entry.map_err(failed)?.path()))
        .collect()
}

/// Folders within a snapshot; diffusers has one level of them.
const DEPTH_MAX: usize = 4;

/// Refuses a snapshot with a link that leaves its repository.
fn inside(folder: &Path, root: &Path, depth: usize) -> Result<(), CheckpointError> {
    let real = |path: &Path| path.canonicalize().ok();
    let Some(root_real) = real(root) else {
        return Ok(());
    };
    for path in entries(folder)? {
        // A link whose file is gone is found when that file is needed.
        let Some(target) = real(&path) else { continue };
        if !target.starts_with(&root_real) {
            return Err(CheckpointError::Outside(path));
        }
        if target.is_dir() && depth < DEPTH_MAX {
            inside(&path, root, depth + 1)?;
        }
    }
    Ok(())
}
