//! The hub over HTTP: what a repository holds, and its files from some byte on.
//!
//! ```text
//! GET ENDPOINT/api/models/ORG/NAME/revision/main?blobs=true
//! GET ENDPOINT/ORG/NAME/resolve/COMMIT/PATH
//! ```
//!
//! The token goes to the endpoint and to no host that it redirects to, over TLS or within this
//! machine only, and into no message.

use super::order::Order;
use super::{DownloadError, Hash, Plan, RemoteFile};
use noisesearch_verifiers::url::{host, is_this_machine};
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeSet;
use std::io::Read;
use std::path::{Component, Path};
use std::time::Duration;
use ureq::config::RedirectAuthHeaders;
use ureq::http::Response;
use ureq::{Agent, Body};

/// Where the hub is when nothing is said.
const HUB: &str = "https://huggingface.co";

/// Attempts in a row that bring nothing, after which a download is given up.
const ATTEMPTS_MAX: u32 = 5;

/// A listing of a repository: thousands of files are some hundred kilobytes.
const LISTING_BYTES_MAX: u64 = 16 << 20;

/// Files of a repository that are fetched.
const FILES_MAX: usize = 1000;

/// Bytes of a file: a hundred times the largest shard that is published.
const FILE_BYTES_MAX: u64 = 1 << 42;

/// How long a connection may say nothing.
const SILENCE: Duration = Duration::from_secs(60);

/// What the environment says.
pub struct Settings {
    endpoint: String,
    /// `Bearer TOKEN`.
    authorization: Option<String>,
    /// Wait before the second attempt; doubled after each.
    pub first_delay: Duration,
}

impl Settings {
    /// `HF_ENDPOINT`, `HF_TOKEN` and `HF_HUB_OFFLINE`; `var` gives the variables.
    pub fn from_variables(var: impl Fn(&str) -> Option<String>) -> Result<Self, DownloadError> {
        let set = |name: &str| {
            var(name)
                .map(|v| v.trim().to_owned())
                .filter(|v| !v.is_empty())
        };
        let yes = |v: String| ["1", "ON", "YES", "TRUE"].contains(&v.to_uppercase().as_str());
        if set("HF_HUB_OFFLINE").is_some_and(yes) {
            return Err(DownloadError::Offline);
        }
        let endpoint = set("HF_ENDPOINT").unwrap_or_else(|| HUB.to_owned());
        let endpoint = endpoint.trim_end_matches('/').to_owned();
        if host(&endpoint).is_none() {
            let shown = endpoint.rsplit_once('@');
            let endpoint = shown.map_or(endpoint.clone(), |(_, host)| format!("..@{host}"));
            return Err(DownloadError::Endpoint { endpoint });
        }
        let token = set("HF_TOKEN").filter(|_| is_private(&endpoint));
        if token
            .as_ref()
            .is_some_and(|t| !t.bytes().all(|b| b.is_ascii_graphic()))
        {
            return Err(DownloadError::TokenText);
        }
        Ok(Self {
            endpoint,
            authorization: token.map(|token| format!("Bearer {token}")),
            first_delay: Duration::from_secs(1),
        })
    }
}

/// Whether nobody listens on the way to a URL.
fn is_private(url: &str) -> bool {
    url.starts_with("https://") || host(url).is_some_and(is_this_machine)
}

/// The way to the hub.
pub struct Client {
    agent: Agent,
    settings: Settings,
}

/// Why an attempt failed.
pub(super) enum Failed {
    /// Another may succeed. Whether this one brought something.
    Again(DownloadError, bool),
    For(DownloadError),
}

impl Client {
    /// A client that has not connected yet.
    pub fn new(settings: Settings) -> Self {
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .redirect_auth_headers(RedirectAuthHeaders::SameHost)
            .timeout_connect(Some(SILENCE))
            .timeout_recv_response(Some(SILENCE))
            .timeout_per_read(Some(SILENCE));
        let config = match settings.endpoint.starts_with("http://") {
            true if is_private(&settings.endpoint) => config.proxy(None),
            _ => config,
        };
        Self {
            agent: config.build().into(),
            settings,
        }
    }

    /// What has to be fetched for an order.
    pub fn plan(&self, order: &Order) -> Result<Plan, DownloadError> {
        let repository = &order.repository;
        let endpoint = &self.settings.endpoint;
        let url = format!("{endpoint}/api/models/{repository}/revision/main?blobs=true");
        let text = self.persist(|| {
            let mut response = self.get(&url, repository, 0)?;
            let body = response.body_mut().with_config().limit(LISTING_BYTES_MAX);
            body.read_to_vec()
                .map_err(|error| again(&url, &error, false))
        })?;
        let unusable = |problem: String| DownloadError::Listing {
            repository: repository.clone(),
            problem,
        };
        let listing: Listing =
            serde_json::from_slice(&text).map_err(|error| unusable(error.to_string()))?;
        let files = listing.files(order).map_err(unusable)?;
        if files.is_empty() {
            return Err(DownloadError::NoFiles {
                repository: repository.clone(),
                patterns: order.patterns.join(", "),
            });
        }
        let licence = order.licence.map(str::to_owned);
        Ok(Plan {
            repository: repository.clone(),
            licence: licence.unwrap_or_else(|| listing.licence()),
            commit: listing.sha,
            files,
        })
    }

    /// A file of a plan from byte `start` on, or from the beginning if the hub will not.
    pub(super) fn file(
        &self,
        plan: &Plan,
        file: &RemoteFile,
        start: u64,
    ) -> Result<Answer, Failed> {
        let (endpoint, repository) = (&self.settings.endpoint, &plan.repository);
        let (commit, path) = (&plan.commit, encoded(&file.path));
        let url = format!("{endpoint}/{repository}/resolve/{commit}/{path}");
        let response = self.get(&url, repository, start)?;
        let start = match response.status().as_u16() {
            206 => start,
            _ => 0,
        };
        let body = response.into_body().into_reader();
        Ok(Answer {
            url,
            start,
            body: Box::new(body),
        })
    }

    fn get(&self, url: &str, repository: &str, start: u64) -> Result<Response<Body>, Failed> {
        let mut request = self.agent.get(url);
        if let Some(authorization) = &self.settings.authorization {
            request = request.header("authorization", authorization);
        }
        if start > 0 {
            request = request.header("range", format!("bytes={start}-"));
        }
        let response = request.call().map_err(|error| again(url, &error, false))?;
        match response.status().as_u16() {
            200 => Ok(response),
            206 if begins_at(&response, start) => Ok(response),
            status => Err(self.refusal(&response, status, url, repository)),
        }
    }

    fn refusal(
        &self,
        response: &Response<Body>,
        status: u16,
        url: &str,
        repository: &str,
    ) -> Failed {
        let code = response.headers().get("x-error-code");
        let code = code.and_then(|code| code.to_str().ok()).unwrap_or_default();
        let gated = || DownloadError::Gated {
            repository: repository.to_owned(),
            page: format!("{HUB}/{repository}"),
            status,
        };
        let absent = || DownloadError::Absent {
            what: repository.to_owned(),
            status,
        };
        Failed::For(match (status, code) {
            (_, "GatedRepo") => gated(),
            (_, "RepoNotFound") | (404, _) => absent(),
            (401, _) if self.settings.authorization.is_some() => DownloadError::Token { status },
            (401 | 403, _) => gated(),
            (408 | 429 | 500..=599, _) => {
                let url = url.to_owned();
                return Failed::Again(DownloadError::Status { url, status }, false);
            }
            _ => DownloadError::Status {
                url: url.to_owned(),
                status,
            },
        })
    }

    /// Tries again while that may help. An attempt that brought something does not count.
    pub(super) fn persist<T>(
        &self,
        mut attempt: impl FnMut() -> Result<T, Failed>,
    ) -> Result<T, DownloadError> {
        let (mut failed, mut delay) = (0, self.settings.first_delay);
        loop {
            let (error, progress) = match attempt() {
                Ok(result) => return Ok(result),
                Err(Failed::For(error)) => return Err(error),
                Err(Failed::Again(error, progress)) => (error, progress),
            };
            failed += 1;
            if progress {
                (failed, delay) = (0, self.settings.first_delay);
            } else if failed == ATTEMPTS_MAX {
                return Err(error);
            }
            std::thread::sleep(delay);
            delay *= 2;
        }
    }
}

/// The bytes of a file as they come.
pub(super) struct Answer {
    url: String,
    /// The first of them.
    pub(super) start: u64,
    body: Box<dyn Read>,
}

impl Answer {
    /// Some bytes; `None` at the end. `progress` tells whether some came before.
    pub(super) fn read(
        &mut self,
        into: &mut [u8],
        progress: bool,
    ) -> Result<Option<usize>, Failed> {
        match self.body.read(into) {
            Ok(0) => Ok(None),
            Ok(read) => Ok(Some(read)),
            Err(_) => Err(self.cut(progress)),
        }
    }

    /// The end came too early.
    pub(super) fn cut(&self, progress: bool) -> Failed {
        let (url, problem) = (self.url.clone(), "the connection was cut");
        Failed::Again(DownloadError::Connection { url, problem }, progress)
    }
}

/// Whether a part of a file is the one that was asked for.
fn begins_at(response: &Response<Body>, start: u64) -> bool {
    let range = response.headers().get("content-range");
    let range = range.and_then(|range| range.to_str().ok());
    let first = range.and_then(|range| range.strip_prefix("bytes ")?.split('-').next());
    first.is_some_and(|first| first.parse() == Ok(start))
}

/// A connection that failed; what the library says is left out, it may quote a header.
fn again(url: &str, error: &ureq::Error, progress: bool) -> Failed {
    let problem = match error {
        ureq::Error::Timeout(_) => "no answer in time",
        ureq::Error::HostNotFound => "no such host",
        ureq::Error::TooManyRedirects => "it redirects in a circle",
        ureq::Error::Rustls(_) | ureq::Error::Tls(_) => "no trusted TLS",
        ureq::Error::BodyExceedsLimit(_) => "the answer is too long",
        _ => "the connection failed",
    };
    let url = url.to_owned();
    Failed::Again(DownloadError::Connection { url, problem }, progress)
}

/// A path as a part of a URL.
fn encoded(path: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._~/".contains(&b);
    path.bytes()
        .map(|b| match plain(b) {
            true => char::from(b).to_string(),
            false => format!("%{b:02X}"),
        })
        .collect()
}

/// What the hub says of a repository.
#[derive(Deserialize)]
struct Listing {
    sha: String,
    siblings: Vec<Sibling>,
    #[serde(rename = "cardData", default)]
    card: Value,
}

#[derive(Deserialize)]
struct Sibling {
    rfilename: String,
    size: Option<u64>,
    #[serde(rename = "blobId")]
    blob: Option<String>,
    lfs: Option<Lfs>,
}

#[derive(Deserialize)]
struct Lfs {
    sha256: String,
    size: u64,
}

impl Listing {
    /// The files that an order wants. Those in half precision are left out beside whole ones.
    fn files(&self, order: &Order) -> Result<Vec<RemoteFile>, String> {
        if !is_hex(&self.sha, 40) {
            return Err("the commit has no name".into());
        }
        let wanted = |file: &&Sibling| order.wants(&file.rfilename);
        let mut files: Vec<_> = self.siblings.iter().filter(wanted).collect();
        let folder = |file: &&Sibling| Path::new(&file.rfilename).parent().map(Path::to_owned);
        let half = |file: &&Sibling| file.rfilename.contains(".fp16");
        let weights = |file: &&&Sibling| file.rfilename.ends_with(".safetensors");
        let whole = files.iter().filter(|file| weights(file) && !half(file));
        let whole: BTreeSet<_> = whole.map(folder).collect();
        files.retain(|file| !(half(file) && whole.contains(&folder(file))));
        if files.len() > FILES_MAX {
            return Err(format!(
                "{} files, at most {FILES_MAX} are fetched",
                files.len()
            ));
        }
        files.into_iter().map(Sibling::checked).collect()
    }

    /// The licence that the card names.
    fn licence(&self) -> String {
        let named = |key: &str| self.card.get(key).and_then(Value::as_str);
        let named = named("license_name").or(named("license"));
        named.map_or("not stated, see its page".into(), |name| {
            name.chars().take(80).collect()
        })
    }
}

impl Sibling {
    fn checked(&self) -> Result<RemoteFile, String> {
        let path = self.rfilename.clone();
        let refuse = |problem: &str| Err(format!("{} {problem}", path.escape_debug()));
        let plain = |part: Component| matches!(part, Component::Normal(_));
        let clean = !path.contains(['\\', ':', '\0']) && !path.contains("//");
        if !clean || path.ends_with('/') || !Path::new(&path).components().all(plain) {
            return refuse("is no path of a file");
        }
        let (size, hash) = match (&self.lfs, self.size, &self.blob) {
            (Some(lfs), ..) => (lfs.size, Hash::Sha256(lfs.sha256.clone())),
            (None, Some(size), Some(blob)) => (size, Hash::Git(blob.clone())),
            _ => return refuse("has no size or hash"),
        };
        let length = match hash {
            Hash::Sha256(_) => 64,
            Hash::Git(_) => 40,
        };
        if !is_hex(hash.digits(), length) {
            return refuse("has no hash");
        }
        if size > FILE_BYTES_MAX {
            return refuse("is too large");
        }
        Ok(RemoteFile { path, size, hash })
    }
}

fn is_hex(text: &str, length: usize) -> bool {
    let digit = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
    text.len() == length && text.bytes().all(digit)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Once the first of these passed for this machine, and was sent the token unencrypted.
    #[test]
    fn an_endpoint_with_a_user_is_none() {
        for endpoint in [
            "http://localhost:80@evil.example",
            "https://user@huggingface.co",
            "http://localhost\\@evil.example",
            "http://evil.example#localhost",
            "https://",
            "http://:80",
            "file:///etc",
        ] {
            let settings = Settings::from_variables(|name| match name {
                "HF_ENDPOINT" => Some(endpoint.to_owned()),
                "HF_TOKEN" => Some("secret".to_owned()),
                _ => None,
            });
            assert!(
                !is_private(endpoint) || host(endpoint).is_none(),
                "{endpoint}"
            );
            let error = settings.err().expect(endpoint).to_string();
            assert!(
                error.contains("HF_ENDPOINT") && !error.contains("secret"),
                "{error}"
            );
        }
    }

    #[test]
    fn the_token_goes_over_tls_or_stays_here() {
        for (url, is) in [
            ("https://huggingface.co", true),
            ("http://127.0.0.1:8000", true),
            ("http://[::1]:8000/hub", true),
            ("http://hub.example", false),
            ("http://localhost.example", false),
        ] {
            assert_eq!(is_private(url), is, "{url}");
        }
    }
}
