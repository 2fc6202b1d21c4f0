//! What can go wrong with fetching: on which package, from where, and whether trying again can help.

use std::time::Duration;

use thiserror::Error;
use url::Url;

use crate::config::ConfigError;
use crate::integrity::Mismatch;
use crate::name::PackageName;
use crate::packument::PackumentError;

/// A fetch that failed. Addresses in messages carry no credentials.
#[derive(Debug, Error)]
pub enum FetchError {
    /// The configuration cannot be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The client could not be made: no trusted certificates, or unreadable ones.
    #[error("cannot prepare secure connections")]
    Tls(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The registry has no such package.
    #[error("{package} is not at {url}")]
    NotFound {
        /// The package, with its version where one was asked for.
        package: String,
        /// Where it was looked for.
        url: String,
    },
    /// The registry wants other credentials, or any.
    #[error("{url} refused to give {package} ({status})")]
    Denied {
        /// The package.
        package: String,
        /// Where.
        url: String,
        /// 401, 402 or 403.
        status: u16,
        /// Whether credentials were sent.
        sent: bool,
    },
    /// The server answered with something else than the package.
    #[error("{url} answered {status} instead of giving {package}")]
    Status {
        /// The package.
        package: String,
        /// Where.
        url: String,
        /// The HTTP status.
        status: u16,
        /// How long it asked to be left alone.
        after: Option<Duration>,
    },
    /// No connection, or it broke.
    #[error("cannot fetch {package} from {url}")]
    Network {
        /// The package.
        package: String,
        /// Where.
        url: String,
        /// Why.
        #[source]
        source: reqwest::Error,
    },
    /// The server sent the client in circles or to a place that is no address.
    #[error("{url} redirects {package} {how}")]
    Redirect {
        /// The package.
        package: String,
        /// Where.
        url: String,
        /// What is wrong with it.
        how: &'static str,
    },
    /// The server says that it has fewer or more bytes than the lock.
    #[error("{package} from {url} has {got} bytes, not {expected}")]
    Size {
        /// The package.
        package: String,
        /// Where.
        url: String,
        /// What the server has.
        got: u64,
        /// What was expected.
        expected: u64,
    },
    /// A document is larger than any sensible one.
    #[error("{package} from {url} is larger than {limit} bytes")]
    TooLarge {
        /// The package.
        package: String,
        /// Where.
        url: String,
        /// The limit.
        limit: u64,
    },
    /// The metadata is not readable.
    #[error("the metadata of {package} from {url} cannot be read")]
    Metadata {
        /// The package.
        package: String,
        /// Where.
        url: String,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// The metadata does not hold what was asked for.
    #[error(transparent)]
    Packument(#[from] PackumentError),
    /// The bytes are not the promised ones.
    #[error("{package} is not what was expected")]
    Integrity {
        /// The package.
        package: String,
        /// Both hashes.
        #[source]
        source: Mismatch,
    },
}

impl FetchError {
    /// Whether the same request can succeed in a moment: the list of failures worth repeating.
    #[must_use]
    pub fn passing(&self) -> bool {
        match self {
            // A certificate that is not trusted stays so; connections and bodies that break may not.
            Self::Network { source, .. } => !source.is_builder() && !mentions(source, "certificate"),
            Self::Status { status, .. } => matches!(status, 408 | 420 | 425 | 429 | 500..=599),
            _ => false,
        }
    }

    /// How long the server asked to be left alone, where it did.
    #[must_use]
    pub const fn asked_to_wait(&self) -> Option<Duration> {
        match self {
            Self::Status { after, .. } => *after,
            _ => None,
        }
    }

    /// Whether a certificate was not trusted.
    #[must_use]
    pub fn distrusted(&self) -> bool {
        matches!(self, Self::Network { source, .. } if mentions(source, "certificate"))
    }

    /// Whether no connection could be made at all.
    #[must_use]
    pub fn unreachable(&self) -> bool {
        matches!(self, Self::Network { source, .. } if source.is_connect() || source.is_timeout())
    }
}

/// Whether the error or one of its causes contains the word: TLS failures have no kind of their own.
fn mentions(error: &reqwest::Error, word: &str) -> bool {
    let mut next: Option<&dyn std::error::Error> = Some(error);
    while let Some(error) = next {
        if error.to_string().contains(word) {
            return true;
        }
        next = error.source();
    }
    false
}

/// `name@version` as messages have it.
pub(crate) fn labelled(name: &PackageName, version: Option<&node_semver::Version>) -> String {
    version.map_or_else(|| name.to_string(), |version| format!("{name}@{version}"))
}

/// An address without what may be secret in it: user, password, query and fragment.
#[must_use]
pub fn shown(url: &Url) -> String {
    let mut url = url.clone();
    // Both fail only for addresses without a host, which hold neither.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url.set_query(None);
    url.set_fragment(None);
    url.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_shown_without_secrets() {
        let url = Url::parse("https://me:secret@r.test:8443/npm/x?token=secret#secret").unwrap();
        assert_eq!(shown(&url), "https://r.test:8443/npm/x");
    }

    #[test]
    fn only_passing_failures_are_worth_repeating() {
        let status = |status| FetchError::Status {
            package: String::new(),
            url: String::new(),
            status,
            after: None,
        };
        for code in [408, 429, 500, 502, 503, 504] {
            assert!(status(code).passing(), "{code}");
        }
        for code in [400, 405, 410, 416, 200] {
            assert!(!status(code).passing(), "{code}");
        }
    }
}
