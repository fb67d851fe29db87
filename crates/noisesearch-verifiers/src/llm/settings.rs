//! Where the judge is and who it is, from the environment.

use super::grade::Omitted;
use super::key::Key;
use crate::limits::{
    LLM_AUTHORITIES_BYTES_MAX, LLM_CONCURRENT, LLM_CONCURRENT_MAX, LLM_SECONDS_MAX,
};
use crate::url::{host, is_this_machine};
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;
use ureq::tls::{Certificate, PemItem, parse_pem};

/// Base URL of the endpoint, up to and without `/chat/completions`.
pub const URL: &str = "NOISESEARCH_LLM_URL";
/// Name of the model, as the endpoint calls it.
pub const MODEL: &str = "NOISESEARCH_LLM_MODEL";
/// The key, for endpoints that need one; nowhere else is one read from.
pub const KEY: &str = "NOISESEARCH_LLM_KEY";
/// A PEM file of the authorities to trust in the place of the public ones; OpenSSL's variable.
pub const AUTHORITIES: &str = "SSL_CERT_FILE";
/// Folder of the cached grades; empty for none.
pub const CACHE: &str = "NOISESEARCH_LLM_CACHE";

/// Requests at the same time, a whole number.
pub const CONCURRENT: &str = "NOISESEARCH_LLM_CONCURRENT";
/// What a request leaves out, separated by commas: `temperature`, `response_format`.
pub const OMIT: &str = "NOISESEARCH_LLM_OMIT";

/// Where the judge is and how it is asked.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Base URL without a slash at its end.
    pub url: String,
    /// Name of the model.
    pub model: String,
    /// What requests leave out.
    pub omitted: Omitted,
    /// Sent to that URL only.
    pub key: Option<Key>,
    /// Who may vouch for the endpoint; empty for the public authorities.
    pub authorities: Vec<Certificate<'static>>,
    /// Folder of the cached grades.
    pub cache: Option<PathBuf>,
    /// Requests at the same time.
    pub concurrent: usize,
    /// Time for one request.
    pub timeout: Duration,
    /// Wait before the second attempt; doubled before every further one.
    pub first_delay: Duration,
}

/// Settings that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SettingsError {
    /// A variable that is not set.
    #[error("the verifier llm needs {0} to be set; see docs/verifiers.md")]
    Missing(&'static str),
    /// A URL of another form.
    #[error(
        "{URL} is not a base URL like https://host/v1: http or https, no user, no query, no \
         fragment"
    )]
    Url,
    /// A key that would travel in the clear.
    #[error("{KEY} would travel unencrypted; use an https URL, or http to this machine")]
    Unencrypted,
    /// Authorities that cannot be read.
    #[error("{AUTHORITIES} is {}: {problem}; it names a PEM file of certificates", path.display())]
    Authorities {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// No number of requests.
    #[error("{CONCURRENT} is `{0}`; it is a whole number from 1 to {LLM_CONCURRENT_MAX}")]
    Concurrent(String),
    /// Something that a request does not have or cannot do without.
    #[error("{OMIT} names `{0}`; it may name temperature and response_format")]
    Omit(String),
    /// A key that no header can carry.
    #[error("{KEY} is not a key: it has spaces, line breaks or letters beyond ASCII")]
    Key,
}

impl Settings {
    /// From variables, looked up by name; a variable that is empty is not set.
    pub fn from_variables(look: impl Fn(&str) -> Option<String>) -> Result<Self, SettingsError> {
        let text = |name| look(name).map(|text| text.trim().to_owned());
        let set = |name| text(name).filter(|text| !text.is_empty());
        let url = set(URL).ok_or(SettingsError::Missing(URL))?;
        let url = url.trim_end_matches('/').to_owned();
        let host = host(&url).ok_or(SettingsError::Url)?;
        let key = set(KEY).map(|key| Key::new(&key).ok_or(SettingsError::Key));
        let key = key.transpose()?;
        if key.is_some() && url.starts_with("http://") && !is_this_machine(host) {
            return Err(SettingsError::Unencrypted);
        }
        let authorities = set(AUTHORITIES).map(|path| authorities(Path::new(&path)));
        let cache = match text(CACHE) {
            Some(folder) if folder.is_empty() => None,
            Some(folder) => Some(folder.into()),
            None => usual_cache(&set),
        };
        Ok(Self {
            model: set(MODEL).ok_or(SettingsError::Missing(MODEL))?,
            url,
            omitted: set(OMIT).map_or(Ok(Omitted::default()), |names| omitted(&names))?,
            key,
            authorities: authorities.transpose()?.unwrap_or_default(),
            cache,
            concurrent: set(CONCURRENT).map_or(Ok(LLM_CONCURRENT), |text| concurrent(&text))?,
            timeout: Duration::from_secs(LLM_SECONDS_MAX),
            first_delay: Duration::from_secs(1),
        })
    }

    /// Which judge this is: the model, and what it is asked without, on which its answers depend.
    pub fn judge(&self) -> String {
        let Omitted {
            temperature,
            response_format,
        } = self.omitted;
        let without = |yes, name| if yes { name } else { "" };
        let temperature = without(temperature, " without temperature");
        let format = without(response_format, " without response_format");
        format!("{}{temperature}{format}", self.model)
    }

    /// Whether the endpoint is this machine, which no proxy stands before.
    pub(super) fn is_local(&self) -> bool {
        host(&self.url).is_some_and(is_this_machine)
    }
}

fn concurrent(text: &str) -> Result<usize, SettingsError> {
    let number = text.parse().ok();
    let number = number.filter(|number| (1..=LLM_CONCURRENT_MAX).contains(number));
    number.ok_or_else(|| SettingsError::Concurrent(shown(text)))
}

fn omitted(names: &str) -> Result<Omitted, SettingsError> {
    let mut omitted = Omitted::default();
    for name in names.split(',').map(str::trim) {
        match name {
            "temperature" => omitted.temperature = true,
            "response_format" => omitted.response_format = true,
            other => return Err(SettingsError::Omit(shown(other))),
        }
    }
    Ok(omitted)
}

/// What was set, short enough for a message.
fn shown(text: &str) -> String {
    text.chars().take(80).collect()
}

/// The certificates of a PEM file, at least one.
fn authorities(path: &Path) -> Result<Vec<Certificate<'static>>, SettingsError> {
    let refuse = |problem: String| SettingsError::Authorities {
        path: path.to_owned(),
        problem,
    };
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(|error| refuse(error.to_string()))?;
    let read = file.take(LLM_AUTHORITIES_BYTES_MAX).read_to_end(&mut bytes);
    read.map_err(|error| refuse(error.to_string()))?;
    let certificate = |item| match item {
        Ok(PemItem::Certificate(certificate)) => Some(certificate),
        _ => None,
    };
    let found: Vec<_> = parse_pem(&bytes).filter_map(certificate).collect();
    match found.is_empty() {
        true => Err(refuse("it holds no certificate".to_owned())),
        false => Ok(found),
    }
}

fn usual_cache(set: &impl Fn(&'static str) -> Option<String>) -> Option<PathBuf> {
    let base = set("XDG_CACHE_HOME").map(PathBuf::from);
    let base = base.or_else(|| Some(PathBuf::from(set("HOME")?).join(".cache")));
    Some(base?.join("noisesearch").join("llm"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(variables: &[(&str, &str)]) -> Result<Settings, SettingsError> {
        Settings::from_variables(|name| {
            let found = variables.iter().find(|(key, _)| *key == name);
            found.map(|(_, value)| value.to_string())
        })
    }

    #[test]
    fn what_is_missing_is_named() {
        assert_eq!(settings(&[]).unwrap_err(), SettingsError::Missing(URL));
        let only_url = settings(&[(URL, "http://localhost:8000/v1/")]);
        assert_eq!(only_url.unwrap_err(), SettingsError::Missing(MODEL));
        let whole = [
            (URL, "http://localhost:8000/v1/"),
            (MODEL, "m"),
            ("HOME", "/home/a"),
        ];
        let whole = settings(&whole).unwrap();
        assert_eq!(
            (&*whole.url, &*whole.model),
            ("http://localhost:8000/v1", "m")
        );
        assert!(whole.key.is_none() && whole.is_local());
        assert_eq!(
            whole.cache.unwrap(),
            PathBuf::from("/home/a/.cache/noisesearch/llm")
        );
        let none = [
            (URL, "https://a"),
            (MODEL, "m"),
            (CACHE, ""),
            ("HOME", "/home/a"),
        ];
        assert_eq!(settings(&none).unwrap().cache, None);
    }

    #[test]
    fn how_the_judge_is_asked_can_be_set() {
        let set = |name, value| settings(&[(URL, "https://a"), (MODEL, "m"), (name, value)]);
        assert_eq!(set(CONCURRENT, " ").unwrap().concurrent, LLM_CONCURRENT);
        assert_eq!(set(CONCURRENT, "1").unwrap().concurrent, 1);
        for text in ["0", "257", "-1", "many"] {
            let refused = SettingsError::Concurrent(text.to_owned());
            assert_eq!(set(CONCURRENT, text).unwrap_err(), refused);
        }
        let judges = [
            ("", "m"),
            ("temperature", "m without temperature"),
            ("response_format", "m without response_format"),
            (
                "response_format, temperature",
                "m without temperature without response_format",
            ),
        ];
        for (names, judge) in judges {
            assert_eq!(set(OMIT, names).unwrap().judge(), judge);
        }
        let refused = SettingsError::Omit("model".to_owned());
        assert_eq!(set(OMIT, "temperature,model").unwrap_err(), refused);
    }

    #[test]
    fn odd_urls_are_refused() {
        for url in [
            "ftp://a",
            "a.example/v1",
            "https://",
            "https:///v1",
            "https://user@a.example/v1",
            "https://user:word@a.example",
            "https://a.example/v1?key=x",
            "https://a.example/#x",
            "https://a.example\\@b.example",
            "https://a b",
            "https://b\u{fc}cher.example",
            "file:///etc/passwd",
        ] {
            let found = settings(&[(URL, url), (MODEL, "m")]);
            assert_eq!(found.unwrap_err(), SettingsError::Url, "{url}");
        }
    }

    #[test]
    fn a_key_does_not_travel_unencrypted() {
        let with_key = |url| settings(&[(URL, url), (MODEL, "m"), (KEY, "k")]);
        for url in [
            "https://a.example",
            "http://127.0.0.1:1",
            "http://[::1]:1/v1",
        ] {
            assert!(with_key(url).is_ok(), "{url}");
        }
        for url in [
            "http://a.example",
            "http://10.0.0.1",
            "http://localhost.a.example",
            "http://127.0.0.1.a.example",
            "http://2130706433",
        ] {
            assert_eq!(
                with_key(url).unwrap_err(),
                SettingsError::Unencrypted,
                "{url}"
            );
        }
        let odd = settings(&[(URL, "https://a"), (MODEL, "m"), (KEY, "a\nb")]);
        assert_eq!(odd.unwrap_err(), SettingsError::Key);
    }
}
