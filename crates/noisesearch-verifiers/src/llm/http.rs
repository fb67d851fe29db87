//! One request to a chat endpoint, sent again while that may help.
//!
//! No redirect is followed, so the key reaches the URL that was set and no other. Neither what an
//! endpoint writes nor what the HTTP library says enters a message: both may hold the key.

use super::settings::Settings;
use crate::limits::{LLM_ATTEMPTS_MAX, LLM_RESPONSE_BYTES_MAX, LLM_RETRY_SECONDS_MAX};
use serde_json::Value;
use std::time::Duration;
use ureq::Agent;
use ureq::tls::{RootCerts, TlsConfig};

/// Why a request has no response.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HttpError {
    /// The endpoint does not want it, and would not another time.
    #[error("the judge refused the request with status {status}{}", hint(*.status))]
    Refused {
        /// HTTP status.
        status: u16,
    },
    /// The endpoint is elsewhere.
    #[error(
        "the judge redirects (status {status}), which is not followed; set the URL it moved to"
    )]
    Redirected {
        /// HTTP status.
        status: u16,
    },
    /// Every attempt failed.
    #[error("the judge did not answer in {attempts} attempts; the last: {last}")]
    GaveUp {
        /// Times it was sent.
        attempts: u32,
        /// What became of the last.
        last: Attempt,
    },
    /// A response of no reasonable size.
    #[error("the judge's response exceeds {LLM_RESPONSE_BYTES_MAX} bytes")]
    TooLarge,
}

/// What became of an attempt that is worth another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Attempt {
    /// Too many requests, or a fault of the endpoint.
    #[error("status {0}{hint}", hint = hint(*.0))]
    Status(u16),
    /// Nothing in time.
    #[error("no whole response within {} s", .0.as_secs_f32())]
    Timeout(Duration),
    /// No connection, or one that broke.
    #[error("the connection failed ({0})")]
    Connection(&'static str),
}

fn hint(status: u16) -> &'static str {
    match status {
        401 | 403 => "; check NOISESEARCH_LLM_KEY",
        400 | 422 => {
            "; where it takes no temperature or no JSON schema, \
             NOISESEARCH_LLM_OMIT=temperature,response_format leaves them out"
        }
        429 => "; NOISESEARCH_LLM_CONCURRENT=1 asks one question at a time",
        404 => "; check NOISESEARCH_LLM_URL and NOISESEARCH_LLM_MODEL",
        _ => "",
    }
}

/// What a person can do about a certificate.
const UNTRUSTED: &str = "no trusted TLS; SSL_CERT_FILE names authorities of your own";

enum Failed {
    /// With the wait that the endpoint asks for.
    Again(Attempt, Option<Duration>),
    For(HttpError),
}

/// The way to one endpoint.
pub struct Client {
    agent: Agent,
    url: String,
    settings: Settings,
}

impl Client {
    /// A client that has not connected yet.
    pub fn new(settings: &Settings) -> Self {
        let mut config = Agent::config_builder()
            .timeout_global(Some(settings.timeout))
            .max_redirects(0)
            .http_status_as_error(false);
        if !settings.authorities.is_empty() {
            let authorities = RootCerts::new_with_certs(&settings.authorities);
            let trusting = TlsConfig::builder().root_certs(authorities);
            config = config.tls_config(trusting.build());
        }
        if settings.is_local() {
            config = config.proxy(None);
        }
        Self {
            agent: config.build().into(),
            url: format!("{}/chat/completions", settings.url),
            settings: settings.clone(),
        }
    }

    /// The response to `body`, and how often it was sent. Waits are 1, 2, 4.. times the first
    /// delay, or longer where the endpoint asks for it.
    pub fn post(&self, body: &Value) -> (Result<Vec<u8>, HttpError>, u32) {
        let body = body.to_string();
        let mut delay = self.settings.first_delay;
        let mut attempts = 0;
        loop {
            attempts += 1;
            let (last, asked) = match self.send(&body) {
                Ok(response) => return (Ok(response), attempts),
                Err(Failed::For(error)) => return (Err(error), attempts),
                Err(Failed::Again(attempt, asked)) => (attempt, asked),
            };
            if attempts == LLM_ATTEMPTS_MAX {
                return (Err(HttpError::GaveUp { attempts, last }), attempts);
            }
            std::thread::sleep(wait(delay, asked));
            delay *= 2;
        }
    }

    fn send(&self, body: &str) -> Result<Vec<u8>, Failed> {
        let mut request = self
            .agent
            .post(&self.url)
            .header("content-type", "application/json");
        if let Some(key) = &self.settings.key {
            request = request.header("authorization", key.authorization());
        }
        let sent = request.send(body);
        let mut response = sent.map_err(|error| self.failed(&error))?;
        let status = response.status().as_u16();
        match status {
            200..=299 => {}
            300..=399 => return Err(Failed::For(HttpError::Redirected { status })),
            408 | 429 | 500..=599 => {
                let asked = response.headers().get("retry-after");
                let asked = asked.and_then(|value| value.to_str().ok()?.trim().parse().ok());
                let asked = asked.map(Duration::from_secs);
                return Err(Failed::Again(Attempt::Status(status), asked));
            }
            _ => return Err(Failed::For(HttpError::Refused { status })),
        }
        let body = response.body_mut().with_config();
        let read = body.limit(LLM_RESPONSE_BYTES_MAX).read_to_vec();
        read.map_err(|error| self.failed(&error))
    }

    fn failed(&self, error: &ureq::Error) -> Failed {
        let words = match error {
            ureq::Error::BodyExceedsLimit(_) => return Failed::For(HttpError::TooLarge),
            ureq::Error::Timeout(_) => {
                return Failed::Again(Attempt::Timeout(self.settings.timeout), None);
            }
            ureq::Error::HostNotFound => "no such host",
            ureq::Error::ConnectionFailed => "not reachable",
            ureq::Error::Io(error) => match error.kind() {
                std::io::ErrorKind::ConnectionRefused => "refused",
                std::io::ErrorKind::TimedOut => "timed out",
                // What rustls finds wrong in a handshake arrives as this.
                std::io::ErrorKind::InvalidData => UNTRUSTED,
                _ => "broken",
            },
            ureq::Error::Rustls(_) | ureq::Error::Tls(_) => UNTRUSTED,
            _ => "not HTTP",
        };
        Failed::Again(Attempt::Connection(words), None)
    }
}

/// How long to wait: our own delay, or what the endpoint asks for within reason.
fn wait(delay: Duration, asked: Option<Duration>) -> Duration {
    let most = Duration::from_secs(LLM_RETRY_SECONDS_MAX);
    delay.max(asked.unwrap_or_default().min(most))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_is_given_the_time_it_asks_for_within_reason() {
        let seconds = Duration::from_secs;
        for (asked, want) in [
            (None, 4),
            (Some(0), 4),
            (Some(30), 30),
            (Some(u64::MAX), LLM_RETRY_SECONDS_MAX),
        ] {
            assert_eq!(wait(seconds(4), asked.map(seconds)), seconds(want));
        }
    }
}
