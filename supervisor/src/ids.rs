//! Identifiers: drawn at random, never reused, and short enough for a socket's path.

use ring::rand::{SecureRandom, SystemRandom};

/// Digits and letters that are not mistaken for each other (Crockford's base 32).
const LETTERS: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// Twelve characters, 60 bits.
///
/// # Panics
/// When the kernel has no randomness to give, which it has from before this program could start.
#[must_use]
pub fn fresh() -> String {
    let mut bytes = [0; 12];
    random(&mut bytes);
    bytes
        .iter()
        .map(|byte| char::from(LETTERS[usize::from(byte % 32)]))
        .collect()
}

/// Fills `bytes` with randomness for keys and tokens.
///
/// # Panics
/// As [`fresh`].
#[expect(
    clippy::expect_used,
    reason = "getrandom(2) does not fail on a kernel that this program runs on"
)]
pub fn random(bytes: &mut [u8]) {
    SystemRandom::new()
        .fill(bytes)
        .expect("the kernel gives randomness");
}

/// Bytes as lower-case digits, two each.
#[must_use]
pub fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_name_instances() {
        let (one, other) = (fresh(), fresh());
        assert_ne!(one, other);
        for id in [one, other] {
            assert!(id.parse::<runtime::spec::InstanceId>().is_ok(), "{id}");
        }
    }
}
