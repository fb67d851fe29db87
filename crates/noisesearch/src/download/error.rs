//! Why a download does not go on.

use crate::memory::size;
use std::io;
use std::path::PathBuf;

/// Why a download does not go on. No message holds the token.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DownloadError {
    /// Nothing is called so.
    #[error(
        "`{name}` is no published model or verifier and no org/name; see `noisesearch models` and \
         `noisesearch verifiers`"
    )]
    Unknown {
        /// As typed, shortened.
        name: String,
    },
    /// It is not on the hub in a form that can be used.
    #[error("{name} cannot be downloaded as it is published; to get it:\n  {help}")]
    ByHand {
        /// Model or verifier.
        name: String,
        /// What to do, a line each.
        help: String,
    },
    /// The environment forbids it.
    #[error("HF_HUB_OFFLINE is set, so nothing is downloaded; unset it to download")]
    Offline,
    /// There is no place for downloads.
    #[error("there is no cache to download into; set HF_HUB_CACHE or HF_HOME")]
    NoCache,
    /// The endpoint is no URL.
    #[error("HF_ENDPOINT is {endpoint}; it must be http:// or https:// and a host, without a user")]
    Endpoint {
        /// As set, without a user, who may have a password.
        endpoint: String,
    },
    /// The token has letters that a header cannot hold.
    #[error("HF_TOKEN holds letters that no token has; set it again")]
    TokenText,
    /// The owner wants the licence to be accepted.
    #[error(
        "{repository} asks to accept its licence first (status {status}): do so at {page}, then \
         set HF_TOKEN to a token of that account (https://huggingface.co/settings/tokens)"
    )]
    Gated {
        /// `org/name`.
        repository: String,
        /// Its page.
        page: String,
        /// HTTP status.
        status: u16,
    },
    /// The token is not taken.
    #[error("the hub does not take HF_TOKEN (status {status}); make another, or unset it")]
    Token {
        /// HTTP status.
        status: u16,
    },
    /// There is no such repository or file.
    #[error("{what} is not on the hub (status {status}); is the name right?")]
    Absent {
        /// Repository, or repository and file.
        what: String,
        /// HTTP status.
        status: u16,
    },
    /// The hub answers something else.
    #[error("{url} answered with status {status}; try again later")]
    Status {
        /// What was asked for.
        url: String,
        /// HTTP status.
        status: u16,
    },
    /// The connection failed again and again.
    #[error("{url}: {problem}; what came is kept, so try again and it goes on from there")]
    Connection {
        /// What was asked for.
        url: String,
        /// The last problem.
        problem: &'static str,
    },
    /// The listing of a repository is not what it should be.
    #[error("the hub's listing of {repository} is unusable: {problem}")]
    Listing {
        /// `org/name`.
        repository: String,
        /// What is wrong.
        problem: String,
    },
    /// A repository has none of the files.
    #[error("{repository} has none of the files that are needed: {patterns}")]
    NoFiles {
        /// `org/name`.
        repository: String,
        /// What was looked for.
        patterns: String,
    },
    /// A file is not what was listed.
    #[error(
        "{path} of {repository} is not what the hub lists ({found}, expected {wanted}); it was \
         removed, try again"
    )]
    Wrong {
        /// `org/name`.
        repository: String,
        /// Its path there.
        path: String,
        /// Size or hash found.
        found: String,
        /// Size or hash listed.
        wanted: String,
    },
    /// Another program fetches the same file.
    #[error("{path} is being downloaded by another program; wait for it, then try again")]
    Busy {
        /// The part.
        path: PathBuf,
    },
    /// Too little room.
    #[error("{} more are needed in {folder} and {} are free", size(*.needed), size(*.free))]
    Full {
        /// The cache.
        folder: PathBuf,
        /// Bytes to come.
        needed: u64,
        /// Bytes free.
        free: u64,
    },
    /// The disk refuses.
    #[error("{path}: {source}")]
    Io {
        /// Where.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}
