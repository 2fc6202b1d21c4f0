//! The registry's signatures: they prove that the registry gave these bytes this name, not that they are harmless.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use npm::{Dist, Signature};
use ring::signature::{ECDSA_P256_SHA256_ASN1, UnparsedPublicKey};
use serde::{Deserialize, Serialize};

/// What stands before the point in the usual form of a P-256 key: the names of the curve and of the form.
const KEY_PREFIX: usize = 26;
/// An uncompressed point of that curve.
const POINT: usize = 65;

/// What is known about the signature of a version.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Signed {
    /// Nobody could tell: the registry offers no keys, or was not asked.
    #[default]
    Unchecked,
    /// The registry signs, but not this.
    No,
    /// The signature is right.
    Yes,
    /// There is a signature, and it is wrong or made with a key that is not the registry's.
    Wrong,
}

/// The keys that a registry signs with.
#[derive(Clone, Debug, Default)]
pub(super) struct Keys(BTreeMap<String, Vec<u8>>);

#[derive(Deserialize)]
struct Document {
    keys: Vec<Key>,
}

#[derive(Deserialize)]
struct Key {
    keyid: String,
    #[serde(default)]
    scheme: String,
    key: String,
}

impl Keys {
    /// Reads what a registry says of its keys; what is of no use is left out.
    pub(super) fn read(bytes: &[u8]) -> Self {
        let document: Document = serde_json::from_slice(bytes).unwrap_or(Document { keys: Vec::new() });
        let usable = document.keys.into_iter().filter_map(|key| {
            let written = STANDARD.decode(&key.key).ok()?;
            let point = written.get(KEY_PREFIX..)?;
            (key.scheme == "ecdsa-sha2-nistp256" && point.len() == POINT).then(|| (key.keyid, point.to_vec()))
        });
        Self(usable.collect())
    }

    /// Checks the signatures of a version.
    pub(super) fn check(&self, package: &str, dist: &Dist) -> Signed {
        if self.0.is_empty() {
            return Signed::Unchecked;
        }
        let Some(integrity) = dist.written_integrity() else {
            return Signed::No;
        };
        if dist.signatures.is_empty() {
            return Signed::No;
        }
        let message = format!("{package}:{integrity}");
        let right = |signature: &Signature| {
            let (Some(key), Ok(bytes)) = (self.0.get(&signature.keyid), STANDARD.decode(&signature.sig))
            else {
                return false;
            };
            UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, key)
                .verify(message.as_bytes(), &bytes)
                .is_ok()
        };
        if dist.signatures.iter().any(right) {
            Signed::Yes
        } else {
            Signed::Wrong
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ring::rand::SystemRandom;
    use ring::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair};

    const INTEGRITY: &str =
        "sha512-z4PhNX7vuL3xVChQ1m2AB9Yg5AULVxXcg/SpIdNs6c5H0NE8XYXysP+DGNKHfuwvY7kxvUdBeoGlODJ6+SfaPg==";
    const PREFIX: [u8; KEY_PREFIX] = [
        0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86,
        0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
    ];

    fn dist(signatures: &serde_json::Value) -> Dist {
        serde_json::from_value(serde_json::json!({
            "tarball": "", "integrity": INTEGRITY, "signatures": signatures,
        }))
        .expect("it is read")
    }

    #[test]
    fn signatures_are_told_apart() {
        let random = SystemRandom::new();
        let pair = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &random).expect("a key");
        let pair =
            EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, pair.as_ref(), &random).expect("a key");
        let written = [&PREFIX[..], pair.public_key().as_ref()].concat();
        let keys = serde_json::json!({ "keys": [
            { "keyid": "K", "keytype": "ecdsa-sha2-nistp256", "scheme": "ecdsa-sha2-nistp256",
              "key": STANDARD.encode(written) },
            { "keyid": "old", "scheme": "other", "key": "AAAA" },
        ] });
        let keys = Keys::read(keys.to_string().as_bytes());
        let sign = |what: &str| {
            let message = format!("{what}:{INTEGRITY}");
            STANDARD.encode(pair.sign(&random, message.as_bytes()).expect("it is signed"))
        };
        let signed = |id: &str, what: &str| dist(&serde_json::json!([{ "keyid": id, "sig": sign(what) }]));
        assert_eq!(keys.check("a@1.0.0", &signed("K", "a@1.0.0")), Signed::Yes);
        assert_eq!(keys.check("a@1.0.0", &signed("K", "a@1.0.1")), Signed::Wrong);
        assert_eq!(keys.check("a@1.0.0", &signed("other", "a@1.0.0")), Signed::Wrong);
        assert_eq!(keys.check("a@1.0.0", &dist(&serde_json::json!([]))), Signed::No);
        assert_eq!(
            Keys::read(b"no keys").check("a@1.0.0", &signed("K", "a@1.0.0")),
            Signed::Unchecked
        );
    }
}
