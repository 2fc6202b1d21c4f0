//! Secrets: encrypted at rest under the host's key, and never printed.

use std::fmt;
use std::fs;
use std::io;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::hmac;
use thiserror::Error;

use crate::ids;
use crate::paths;

/// Says how the rest of a sealed text is to be read.
const FORMAT: &str = "c1:";

/// A text that does not print itself.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Takes a text in.
    #[must_use]
    pub const fn new(text: String) -> Self {
        Self(text)
    }

    /// The text, for who really needs it.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

/// Why a sealed text cannot be opened.
#[derive(Debug, Error)]
#[error(
    "a stored secret cannot be opened: it was sealed with another host key, for something else, or it is damaged"
)]
pub struct SealError;

/// The host's key.
#[derive(Clone, Debug)]
pub struct HostKey {
    seals: LessSafeKey,
    vouches: hmac::Key,
}

impl HostKey {
    /// Reads the key, or makes it on a host that has none.
    ///
    /// # Errors
    /// When the file cannot be read or written, or holds something else.
    pub fn open(path: &Path) -> io::Result<Self> {
        let bytes = match fs::read(path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let mut bytes = vec![0; 32];
                ids::random(&mut bytes);
                paths::write_private(path, &bytes)?;
                bytes
            }
            Err(error) => return Err(error),
        };
        let key = UnboundKey::new(&CHACHA20_POLY1305, &bytes)
            .map_err(|_| io::Error::other("it is not a key of 32 bytes"))?;
        // Two uses of one key are kept apart by a derivation of their own.
        let root = hmac::Key::new(hmac::HMAC_SHA256, &bytes);
        let vouches = hmac::sign(&root, b"redhold vouchers");
        Ok(Self {
            seals: LessSafeKey::new(key),
            vouches: hmac::Key::new(hmac::HMAC_SHA256, vouches.as_ref()),
        })
    }

    /// Seals a text for one purpose, for example an instance's identifier: it opens for no other.
    ///
    /// # Panics
    /// Never: texts are far shorter than what the cipher takes.
    #[must_use]
    #[expect(clippy::expect_used, reason = "the cipher refuses only texts of 256 GiB")]
    pub fn seal(&self, purpose: &str, text: &str) -> String {
        // Random nonces of 96 bits: a host seals some thousand texts, of the 2^32 that would be too many.
        let mut nonce = [0; NONCE_LEN];
        ids::random(&mut nonce);
        let mut sealed = text.as_bytes().to_vec();
        self.seals
            .seal_in_place_append_tag(
                Nonce::assume_unique_for_key(nonce),
                Aad::from(purpose.as_bytes()),
                &mut sealed,
            )
            .expect("a short text");
        let whole = [&nonce[..], &sealed].concat();
        format!("{FORMAT}{}", STANDARD_NO_PAD.encode(whole))
    }

    /// What an instance believes that the front alone can know: by it the front vouches for whoever asks.
    #[must_use]
    pub fn voucher(&self, id: &str) -> Secret {
        let tag = hmac::sign(&self.vouches, id.as_bytes());
        Secret(URL_SAFE_NO_PAD.encode(tag.as_ref()))
    }

    /// Opens what was sealed for `purpose`.
    ///
    /// # Errors
    /// When it was sealed for something else, with another key, or is damaged.
    pub fn open_sealed(&self, purpose: &str, sealed: &str) -> Result<Secret, SealError> {
        let encoded = sealed.strip_prefix(FORMAT).ok_or(SealError)?;
        let mut bytes = STANDARD_NO_PAD.decode(encoded).map_err(|_| SealError)?;
        let (nonce, text) = bytes.split_first_chunk_mut::<NONCE_LEN>().ok_or(SealError)?;
        let text = self
            .seals
            .open_in_place(
                Nonce::assume_unique_for_key(*nonce),
                Aad::from(purpose.as_bytes()),
                text,
            )
            .map_err(|_| SealError)?;
        String::from_utf8(text.to_vec())
            .map(Secret)
            .map_err(|_| SealError)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sealed_text_opens_only_here_and_for_its_purpose() {
        let folder = tempfile::tempdir().expect("a folder");
        let key = HostKey::open(&folder.path().join("host.key")).expect("a key");
        let again = HostKey::open(&folder.path().join("host.key")).expect("the same key");
        let other = HostKey::open(&folder.path().join("other.key")).expect("another key");
        let sealed = key.seal("a", "hunter2");
        assert!(!sealed.contains("hunter2") && sealed != key.seal("a", "hunter2"));
        let opened = again.open_sealed("a", &sealed).expect("opened");
        assert_eq!(opened.reveal(), "hunter2");
        assert_eq!(format!("{opened:?} {key:?}").matches("hunter2").count(), 0);
        assert!(again.open_sealed("b", &sealed).is_err());
        assert!(other.open_sealed("a", &sealed).is_err());
        let mut damaged = sealed;
        damaged.replace_range(10..11, "_");
        assert!(key.open_sealed("a", &damaged).is_err());
    }
}
