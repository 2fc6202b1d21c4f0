//! Integrity strings, and hashing while bytes stream past.

use std::fmt;
use std::fmt::Write as _;
use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use sha2::Digest;
use thiserror::Error;

/// A hash function that registries publish.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Algorithm {
    /// Only packages published before 2017 have nothing better.
    Sha1,
    /// What every registry publishes now, and what locks hold.
    Sha512,
}

impl Algorithm {
    const fn name(self) -> &'static str {
        match self {
            Self::Sha1 => "sha1",
            Self::Sha512 => "sha512",
        }
    }

    const fn length(self) -> usize {
        match self {
            Self::Sha1 => 20,
            Self::Sha512 => 64,
        }
    }
}

/// What bytes must hash to, written as in subresource integrity: `sha512-` and the digest in base 64.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Integrity {
    algorithm: Algorithm,
    digest: Vec<u8>,
}

/// A text that is no integrity string.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("`{given}` is not an integrity value: {reason}")]
pub struct IntegrityError {
    given: String,
    reason: &'static str,
}

/// Bytes that are not the ones that were promised.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("the bytes hash to {actual}, not to the expected {expected}")]
pub struct Mismatch {
    /// What was promised.
    pub expected: Integrity,
    /// What came.
    pub actual: Integrity,
}

impl Integrity {
    /// Which hash function it uses.
    #[must_use]
    pub const fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The digest in hexadecimal: a safe file name.
    #[must_use]
    pub fn hex(&self) -> String {
        self.digest.iter().fold(String::new(), |mut text, byte| {
            // Writing to a string cannot fail.
            let _ = write!(text, "{byte:02x}");
            text
        })
    }

    /// The `shasum` field of old registry documents: a SHA-1 in hexadecimal.
    ///
    /// # Errors
    /// When it is not 40 hexadecimal digits.
    pub fn from_shasum(text: &str) -> Result<Self, IntegrityError> {
        let error = || IntegrityError {
            given: text.chars().take(200).collect(),
            reason: "a shasum has 40 hexadecimal digits",
        };
        if text.len() != 40 || !text.is_ascii() {
            return Err(error());
        }
        let digest = (0..20)
            .map(|at| u8::from_str_radix(&text[at * 2..at * 2 + 2], 16))
            .collect::<Result<_, _>>()
            .map_err(|_| error())?;
        Ok(Self {
            algorithm: Algorithm::Sha1,
            digest,
        })
    }
}

impl FromStr for Integrity {
    type Err = IntegrityError;

    /// Reads the strongest of the values given (they are separated by blanks); options after `?` are ignored, as
    /// the specification demands.
    fn from_str(text: &str) -> Result<Self, IntegrityError> {
        let error = |reason| IntegrityError {
            given: text.chars().take(200).collect(),
            reason,
        };
        let mut best: Option<Self> = None;
        for word in text.split_ascii_whitespace() {
            let Some((name, value)) = word.split_once('-') else {
                continue;
            };
            let algorithm = match name {
                "sha512" => Algorithm::Sha512,
                "sha1" => Algorithm::Sha1,
                _ => continue,
            };
            let value = value.split_once('?').map_or(value, |(value, _)| value);
            let digest = STANDARD
                .decode(value)
                .map_err(|_| error("its digest is not base 64"))?;
            if digest.len() != algorithm.length() {
                return Err(error("its digest has the wrong length"));
            }
            if best.as_ref().is_none_or(|best| best.algorithm < algorithm) {
                best = Some(Self { algorithm, digest });
            }
        }
        best.ok_or_else(|| error("it holds no sha512 or sha1 value"))
    }
}

impl TryFrom<String> for Integrity {
    type Error = IntegrityError;

    fn try_from(text: String) -> Result<Self, IntegrityError> {
        text.parse()
    }
}

impl From<Integrity> for String {
    fn from(integrity: Integrity) -> Self {
        integrity.to_string()
    }
}

impl fmt::Display for Integrity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.algorithm.name(), STANDARD.encode(&self.digest))
    }
}

/// Hashes what passes.
#[derive(Clone)]
pub struct Hasher(State);

#[derive(Clone)]
enum State {
    Sha1(sha1::Sha1),
    Sha512(Box<sha2::Sha512>),
}

impl Hasher {
    /// A hasher that has seen nothing.
    #[must_use]
    pub fn new(algorithm: Algorithm) -> Self {
        Self(match algorithm {
            Algorithm::Sha1 => State::Sha1(sha1::Sha1::new()),
            Algorithm::Sha512 => State::Sha512(Box::default()),
        })
    }

    /// Takes the next bytes in.
    pub fn update(&mut self, bytes: &[u8]) {
        match &mut self.0 {
            State::Sha1(state) => state.update(bytes),
            State::Sha512(state) => state.update(bytes),
        }
    }

    /// The hash of all bytes seen.
    #[must_use]
    pub fn finish(self) -> Integrity {
        match self.0 {
            State::Sha1(state) => Integrity {
                algorithm: Algorithm::Sha1,
                digest: state.finalize().to_vec(),
            },
            State::Sha512(state) => Integrity {
                algorithm: Algorithm::Sha512,
                digest: state.finalize().to_vec(),
            },
        }
    }

    /// Compares the hash of all bytes seen with what was promised. `expected` must use this hasher's algorithm.
    ///
    /// # Errors
    /// When they differ, with both values.
    pub fn check(self, expected: &Integrity) -> Result<(), Mismatch> {
        let actual = self.finish();
        if actual == *expected {
            Ok(())
        } else {
            Err(Mismatch {
                expected: expected.clone(),
                actual,
            })
        }
    }
}

impl fmt::Debug for Hasher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            State::Sha1(_) => "Hasher(sha1)",
            State::Sha512(_) => "Hasher(sha512)",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EMPTY_512: &str =
        "sha512-z4PhNX7vuL3xVChQ1m2AB9Yg5AULVxXcg/SpIdNs6c5H0NE8XYXysP+DGNKHfuwvY7kxvUdBeoGlODJ6+SfaPg==";
    const EMPTY_1: &str = "sha1-2jmj7l5rSw0yVb/vlWAYkK/YBwk=";

    #[test]
    fn the_strongest_value_counts() {
        for (text, expected) in [
            (EMPTY_512.to_owned(), EMPTY_512),
            (format!("{EMPTY_1} {EMPTY_512}"), EMPTY_512),
            (format!("md5-AAAA {EMPTY_1}"), EMPTY_1),
            (format!("{EMPTY_512}?foo"), EMPTY_512),
        ] {
            assert_eq!(text.parse::<Integrity>().unwrap().to_string(), expected);
        }
        for text in ["", "sha512", "sha512-", "sha512-AAAA", "sha512-!", "md5-AAAA"] {
            assert!(text.parse::<Integrity>().is_err(), "{text}");
        }
    }

    #[test]
    fn bytes_are_told_from_others() {
        for expected in [EMPTY_512, EMPTY_1] {
            let expected: Integrity = expected.parse().unwrap();
            assert_eq!(Hasher::new(expected.algorithm()).check(&expected), Ok(()));
            let mut other = Hasher::new(expected.algorithm());
            other.update(b"x");
            let mismatch = other.check(&expected).unwrap_err();
            assert_eq!(mismatch.expected, expected);
            assert_ne!(mismatch.actual, expected);
        }
    }

    #[test]
    fn shasums_are_sha1() {
        let empty = Integrity::from_shasum("da39a3ee5e6b4b0d3255bfef95601890afd80709").unwrap();
        assert_eq!(empty.to_string(), EMPTY_1);
        assert_eq!(empty.hex(), "da39a3ee5e6b4b0d3255bfef95601890afd80709");
        assert!(Integrity::from_shasum("da39").is_err());
        assert!(Integrity::from_shasum(&"g".repeat(40)).is_err());
    }
}
