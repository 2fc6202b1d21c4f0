//! Access tokens for what an instance's flows serve: as they are stored, and when each was used last.
//!
//! Of a token itself only a digest is kept. It is 32 random bytes, so that a plain one suffices: there is nothing to
//! guess, and judging a request costs no more than a look-up.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::ids;
use crate::store::table::{Record, Table};
use crate::store::{Batch, Store, StoreError};

/// Begins every token, so that scanners for leaked secrets know one when they see it.
pub const PREFIX: &str = "rht_";

/// What is kept of a token; its name stands in its key, after the instance's identifier.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndpointToken {
    /// SHA-256 of the token, in hexadecimal.
    pub digest: String,
    /// When it was created, in milliseconds since 1970.
    pub created_ms: u64,
    /// When it is no longer taken, in milliseconds since 1970; never without one.
    #[serde(default)]
    pub expires_ms: Option<u64>,
}

impl Record for EndpointToken {
    const TABLE: &'static str = "endpoint-tokens";
    const FORMAT: u32 = 1;
}

/// When a token was used last, as it is written from time to time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenUse {
    /// In milliseconds since 1970.
    pub at_ms: u64,
}

impl Record for TokenUse {
    const TABLE: &'static str = "endpoint-token-uses";
    const FORMAT: u32 = 1;
}

/// The digest of a token.
#[must_use]
pub fn digest(token: &str) -> String {
    ids::hexadecimal(&Sha256::digest(token))
}

/// A new token.
#[must_use]
pub(super) fn fresh() -> String {
    let mut bytes = [0; 32];
    ids::random(&mut bytes);
    format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(bytes))
}

/// The key of a token without its table.
pub(super) fn place(id: &str, name: &str) -> String {
    format!("{id}/{name}")
}

/// Whether a token can have this name.
pub(super) fn is_name(name: &str) -> bool {
    let inner = |c: u8| c.is_ascii_alphanumeric() || b"-_.".contains(&c);
    (1..=40).contains(&name.len()) && name.bytes().all(inner)
}

/// The batch that removes all tokens of an instance.
///
/// # Errors
/// When the store cannot be read.
pub(super) fn forget(store: &Store, id: &str) -> Result<Batch, StoreError> {
    let mut batch = Batch::default();
    for (name, _) in Table::<EndpointToken>::of(store).scan(&place(id, ""))? {
        batch = batch
            .remove(Table::<EndpointToken>::key(&name))
            .remove(Table::<TokenUse>::key(&name));
    }
    Ok(batch)
}

/// What the front needs of a token.
#[derive(Clone, Debug)]
pub struct Admission {
    expires_ms: Option<u64>,
    state: Arc<State>,
}

/// What all copies of an admission share.
#[derive(Debug, Default)]
struct State {
    /// When it was used last, in milliseconds since 1970; 0 is not since that was last written.
    used: AtomicU64,
    revoked: AtomicBool,
}

impl Admission {
    /// Whether it holds at `now_ms`; notes its use.
    #[must_use]
    pub fn holds(&self, now_ms: u64) -> bool {
        let revoked = self.state.revoked.load(Ordering::Relaxed);
        let holds = !revoked && self.expires_ms.is_none_or(|end| now_ms < end);
        if holds {
            self.state.used.store(now_ms, Ordering::Relaxed);
        }
        holds
    }
}

/// When tokens were used, since that was last written.
#[derive(Debug, Default)]
pub struct Uses(Mutex<HashMap<String, Arc<State>>>);

impl Uses {
    /// What the front gets of the token at this place.
    pub fn admission(&self, place: &str, token: &EndpointToken) -> Admission {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Admission {
            expires_ms: token.expires_ms,
            state: all.entry(place.to_owned()).or_default().clone(),
        }
    }

    /// When the token at this place was used; 0 is not since that was last written.
    pub(super) fn of(&self, place: &str) -> u64 {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.get(place)
            .map_or(0, |state| state.used.load(Ordering::Relaxed))
    }

    /// A token is no more: from now on its admissions hold nowhere, also where a table still has them.
    pub(super) fn revoke(&self, place: &str) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(state) = all.remove(place) {
            state.revoked.store(true, Ordering::Relaxed);
        }
    }

    /// Takes what is to be written: place and time.
    pub(super) fn take(&self) -> Vec<(String, u64)> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let times = all
            .iter()
            .map(|(place, state)| (place.clone(), state.used.swap(0, Ordering::Relaxed)));
        times.filter(|(_, at)| *at > 0).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_told_by_its_digest_and_ends_in_time() {
        let (one, other) = (fresh(), fresh());
        assert!(one.starts_with(PREFIX) && one.len() == 47 && one != other);
        assert_eq!(
            digest("abc"),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
        let uses = Uses::default();
        let token = EndpointToken {
            digest: digest(&one),
            created_ms: 1,
            expires_ms: Some(100),
        };
        let admission = uses.admission("i/t", &token);
        assert!(!admission.holds(100), "its end is no longer its time");
        assert_eq!(uses.take(), [], "what was refused was not used");
        assert!(admission.holds(99));
        assert_eq!(uses.of("i/t"), 99);
        // The front's copy and the one that a new table gets are the same.
        assert!(uses.admission("i/t", &token).holds(98));
        assert_eq!(uses.take(), [("i/t".to_owned(), 98)]);
        assert_eq!((uses.take().len(), uses.of("i/t")), (0, 0));
        uses.revoke("i/t");
        assert!(!admission.holds(97));
    }

    #[test]
    fn names_are_harmless_in_keys_and_addresses() {
        for good in ["ci", "Line-4.meter_2"] {
            assert!(is_name(good), "{good}");
        }
        for bad in ["", "a/b", "a b", "ä", &"x".repeat(41)] {
            assert!(!is_name(bad), "{bad}");
        }
    }
}
