//! Downloading from the Hugging Face hub into its cache, where every program that reads the cache
//! finds the files.
//!
//! ```text
//! orders(name) -> Client::plan(order) -> a person says yes -> fetch(plan)
//! ```
//!
//! A file is kept as `blobs/HASH.incomplete` while it comes, so a download that stops goes on at
//! its byte. Only a file whose size and hash are those of the listing gets its name, and only when
//! all are there do they appear in a snapshot and does `refs/main` name it.

mod blob;
mod cache;
mod error;
mod order;
mod remote;

pub use error::DownloadError;
pub use noisesearch_models::checkpoint::hub::Hub;
pub use order::{Order, orders};
pub use remote::{Client, Settings};

use cache::Repository;
use std::path::PathBuf;

/// Files of one repository at one commit.
#[derive(Clone, Debug)]
pub struct Plan {
    /// `org/name`.
    pub repository: String,
    /// Under which licence, as this program or the repository's card says.
    pub licence: String,
    /// 40 hexadecimal digits.
    pub commit: String,
    /// What is fetched.
    pub files: Vec<RemoteFile>,
}

/// A file of a repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemoteFile {
    /// Its path in the repository, relative and without `..`.
    pub path: String,
    /// Bytes.
    pub size: u64,
    /// What its bytes are held to, and its name in the cache.
    pub hash: Hash,
}

/// A hash of a file, in hexadecimal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Hash {
    /// SHA-256 of a large file.
    Sha256(String),
    /// SHA-1 of a small one as git has it: after `blob SIZE` and a zero.
    Git(String),
}

impl Hash {
    /// Its digits.
    pub fn digits(&self) -> &str {
        match self {
            Self::Sha256(digits) | Self::Git(digits) => digits,
        }
    }
}

impl Plan {
    /// Bytes of all files.
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.size).sum()
    }

    /// Bytes that are not in the cache yet.
    pub fn missing(&self, hub: &Hub) -> u64 {
        let cache = Repository::of(hub, &self.repository);
        let missing = |file: &RemoteFile| file.size - cache.have(file);
        self.files.iter().map(missing).sum()
    }
}

/// What is being fetched.
#[derive(Clone, Copy, Debug)]
pub struct Progress<'a> {
    /// The file's path.
    pub path: &'a str,
    /// Bytes of all files that are there.
    pub done: u64,
    /// Bytes of all files.
    pub total: u64,
}

/// Fetches what is missing of a plan and returns the snapshot.
///
/// # Errors
/// Whatever came is kept, but for a file whose bytes are not those of the listing.
pub fn fetch(
    client: &Client,
    plan: &Plan,
    hub: &Hub,
    show: &mut dyn FnMut(Progress),
) -> Result<PathBuf, DownloadError> {
    let cache = Repository::of(hub, &plan.repository);
    cache.prepare(plan.missing(hub))?;
    let (mut before, total) = (0, plan.bytes());
    for file in &plan.files {
        let mut tell = |have| {
            show(Progress {
                path: &file.path,
                done: before + have,
                total,
            });
        };
        blob::fetch(client, plan, file, &cache, &mut tell)?;
        before += file.size;
    }
    cache.publish(plan)
}
