//! The certificates of this moment: what TLS takes them from, and what is said of them.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use serde::Serialize;
use utoipa::ToSchema;

use super::place::Held;
use crate::clock;

/// See the module.
pub struct Shelf {
    names: RwLock<BTreeMap<String, Entry>>,
    /// Serves what has no certificate yet, or none any more.
    stand_in: Arc<dyn ResolvesServerCert>,
}

/// What is known of a name.
#[derive(Clone, Debug, Default)]
pub(super) struct Entry {
    /// Its certificate.
    pub(super) held: Option<Held>,
    /// Why it has no newer one.
    pub(super) error: Option<String>,
    /// Orders in a row without a certificate.
    pub(super) failures: u32,
    /// When the next one is ordered, in milliseconds since 1970.
    pub(super) next: Option<u64>,
}

/// The certificate of a name.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Standing {
    /// The host name.
    pub name: String,
    /// Who gave the certificate that is served; `null` while the host's own authority stands in.
    pub issuer: Option<String>,
    /// When the authority's certificate ends, as RFC 3339 writes it; it may have ended.
    pub not_after: Option<String>,
    /// The same, in milliseconds since 1970.
    pub not_after_ms: Option<u64>,
    /// Why the last order led to nothing; `null` when it led to a certificate.
    pub last_error: Option<String>,
    /// Orders in a row that led to nothing.
    pub failures: u32,
    /// When the next order is made at the earliest, as RFC 3339 writes it.
    pub next_order: Option<String>,
}

impl Shelf {
    pub(super) fn new(stand_in: Arc<dyn ResolvesServerCert>) -> Self {
        Self {
            names: RwLock::default(),
            stand_in,
        }
    }

    /// Changes what is known of a name.
    pub(super) fn change(&self, name: &str, change: impl FnOnce(&mut Entry)) {
        let mut names = self.names.write().unwrap_or_else(PoisonError::into_inner);
        change(names.entry(name.to_owned()).or_default());
    }

    /// Forgets names.
    pub(super) fn retain(&self, wanted: impl Fn(&str) -> bool) {
        let mut names = self.names.write().unwrap_or_else(PoisonError::into_inner);
        names.retain(|name, _| wanted(name));
    }

    /// Every name.
    #[must_use]
    pub fn standings(&self) -> Vec<Standing> {
        let now = clock::now_ms();
        let names = self.names.read().unwrap_or_else(PoisonError::into_inner);
        let standing = |(name, entry): (&String, &Entry)| {
            let end = entry.held.as_ref().map(|held| held.life.1);
            let served = entry.held.as_ref().filter(|held| now < held.life.1);
            Standing {
                name: name.clone(),
                issuer: served.map(|held| held.issuer.clone()),
                not_after: end.and_then(written),
                not_after_ms: end,
                last_error: entry.error.clone(),
                failures: entry.failures,
                next_order: entry.next.and_then(written),
            }
        };
        names.iter().map(standing).collect()
    }

    /// The authority's certificate of a name, unless it has ended.
    fn of(&self, name: &str) -> Option<Arc<CertifiedKey>> {
        let names = self.names.read().unwrap_or_else(PoisonError::into_inner);
        let held = names.get(name)?.held.as_ref()?;
        (clock::now_ms() < held.life.1).then(|| held.certified.clone())
    }
}

/// A moment, in milliseconds since 1970, as people and programs read it.
pub(super) fn written(ms: u64) -> Option<String> {
    let time = jiff::Timestamp::from_millisecond(i64::try_from(ms).ok()?).ok()?;
    Some(time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string())
}

impl fmt::Debug for Shelf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shelf").finish_non_exhaustive()
    }
}

impl ResolvesServerCert for Shelf {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let name = hello.server_name().map(str::to_ascii_lowercase);
        name.and_then(|name| self.of(&name))
            .or_else(|| self.stand_in.resolve(hello))
    }
}
