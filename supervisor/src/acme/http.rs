//! Requests to an authority: with an end, a bound on what comes back, and an ear for `Retry-After`.

use std::error::Error as StdError;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::header::RETRY_AFTER;
use hyper::{Request, Response, StatusCode};
use instant_acme::{BodyWrapper, BytesResponse, Error, HttpClient};
use reqwest::Certificate;

use crate::clock;
use crate::config::Acme;
use crate::problem::{Code, Problem};

/// Until a connection stands.
const CONNECT: Duration = Duration::from_secs(10);

/// Until an answer is complete.
const WHOLE: Duration = Duration::from_secs(30);

/// Longest answer, in bytes; a chain of certificates has some kilobytes.
const LONGEST: usize = 1 << 20;

/// See the module. Clones share what they heard.
#[derive(Clone, Debug)]
pub(super) struct Http {
    client: reqwest::Client,
    heard: Arc<Mutex<Option<Later>>>,
}

/// An authority wants to be asked later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Later {
    /// From when on, in milliseconds since 1970.
    pub(super) at: u64,
    /// For everything, rather than for what was asked.
    pub(super) everything: bool,
}

impl Http {
    /// A client that believes the configured authorities, or the system's.
    ///
    /// # Errors
    /// When their certificates cannot be read.
    pub(super) fn new(config: &Acme) -> Result<Self, Problem> {
        // The TLS library wants one provider per process. An error says that it has one already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut builder = reqwest::Client::builder()
            .user_agent(concat!("redhold/", env!("CARGO_PKG_VERSION")))
            .redirect(reqwest::redirect::Policy::none())
            .https_only(true)
            .connect_timeout(CONNECT)
            .timeout(WHOLE);
        if let Some(file) = &config.ca_file {
            let text = std::fs::read(file)
                .map_err(|error| Problem::io(format!("cannot read {}", file.display()), error))?;
            let all = Certificate::from_pem_bundle(&text)
                .ok()
                .filter(|all| !all.is_empty());
            let all = all.ok_or_else(|| {
                Problem::new(
                    Code::Usage,
                    format!("{} holds no certificate in PEM", file.display()),
                )
                .hint("tls.ca-file names the certificates by which the ACME server itself is believed")
            })?;
            builder = builder.tls_certs_only(all);
        }
        let client = builder.build().map_err(|error| {
            Problem::new(Code::Host, "cannot prepare requests to the ACME server")
                .because(error)
                .hint("install the system's certificates (package `ca-certificates`), or name a file of them as tls.ca-file")
        })?;
        Ok(Self {
            client,
            heard: Arc::default(),
        })
    }

    /// What was heard since this was asked last.
    pub(super) fn later(&self) -> Option<Later> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    async fn send(self, request: Request<BodyWrapper<Bytes>>) -> Result<BytesResponse, Error> {
        let (head, body) = request.into_parts();
        let Ok(body) = body.collect().await;
        let request = Request::from_parts(head, body.to_bytes());
        let request = reqwest::Request::try_from(request).map_err(other)?;
        let mut answer = self.client.execute(request).await.map_err(other)?;
        let status = answer.status();
        if status == StatusCode::TOO_MANY_REQUESTS || status == StatusCode::SERVICE_UNAVAILABLE {
            let value = answer.headers().get(RETRY_AFTER);
            let at = value.and_then(|value| moment(value.to_str().ok()?, clock::now_ms()));
            *self.heard.lock().unwrap_or_else(PoisonError::into_inner) = at.map(|at| Later {
                at,
                everything: status == StatusCode::SERVICE_UNAVAILABLE,
            });
        }
        let mut whole = Vec::new();
        while let Some(part) = answer.chunk().await.map_err(other)? {
            if whole.len() + part.len() > LONGEST {
                return Err(Error::Other("its answer is longer than a mebibyte".into()));
            }
            whole.extend_from_slice(&part);
        }
        let mut response = Response::new(Full::new(Bytes::from(whole)));
        *response.status_mut() = status;
        *response.headers_mut() = answer.headers().clone();
        Ok(BytesResponse::from(response))
    }
}

impl HttpClient for Http {
    fn request(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, Error>> + Send>> {
        Box::pin(self.clone().send(request))
    }
}

fn other(error: impl Into<Box<dyn StdError + Send + Sync>>) -> Error {
    Error::Other(error.into())
}

/// RFC 9110, 10.2.3: seconds, or a date.
fn moment(value: &str, now: u64) -> Option<u64> {
    let value = value.trim();
    if let Ok(seconds) = value.parse::<u64>() {
        return Some(now.saturating_add(seconds.saturating_mul(1000)));
    }
    let date = jiff::fmt::rfc2822::parse(value).ok()?;
    u64::try_from(date.timestamp().as_millisecond()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_and_dates_are_understood() {
        for (value, expected) in [
            ("120", Some(121_000)),
            (" 0 ", Some(1000)),
            ("Thu, 01 Jan 1970 00:10:00 GMT", Some(600_000)),
            ("soon", None),
            ("-1", None),
            ("", None),
            ("18446744073709551615", Some(u64::MAX)),
        ] {
            assert_eq!(moment(value, 1000), expected, "{value}");
        }
    }
}
