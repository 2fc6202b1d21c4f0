//! Cryptography that the guest leaves to the host: exact, and quick enough for passwords.
//!
//! | operation | arguments | gives |
//! |---|---|---|
//! | `crypto.hash` | `algorithm` + bytes | bytes |
//! | `crypto.hmac` | `algorithm, key` + bytes | bytes |
//! | `crypto.pbkdf2` | `algorithm, salt, iterations, length` + password | bytes |
//! | `crypto.scrypt` | `salt, n, r, p, length` + password | bytes |
//! | `crypto.hkdf` | `algorithm, salt, info, length` + key | bytes |
//! | `crypto.cipher` | `algorithm, key, iv, decrypt, aad, tag, padding` + bytes | bytes, the tag behind them |
//! | `crypto.random` | `size` | bytes; the world's chance gives them |
//!
//! `key`, `salt`, `iv`, `aad`, `tag` and `info` are base64.

use aes_gcm::aead::{Aead, KeyInit, Payload};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use cbc::cipher::block_padding::{NoPadding, Pkcs7};
use cbc::cipher::{BlockDecryptMut, BlockEncryptMut, KeyIvInit, StreamCipher};
use hmac::{Hmac, Mac};
use md5::Md5;
use serde_json::Value;
use sha1::Sha1;
use sha2::{Digest, Sha224, Sha256, Sha384, Sha512};

use crate::world::args::{Args, Fault, Reply};

/// Most rounds of a key derivation over all blocks of its key. What is recommended for passwords is 1.3 million at most.
const MOST_ROUNDS: u64 = 6_000_000;
/// Most bytes that `scrypt` goes through, four times what it takes by default.
const MOST_SCRYPT: u64 = 64 << 20;
/// Longest key that is derived.
const MOST_DERIVED: u64 = 4096;

type Done = Result<Reply, Fault>;

pub(super) fn convert(op: &str, args: &Args<'_>) -> Done {
    match op {
        "crypto.hash" => hash(args.text("algorithm"), args.body()),
        "crypto.hmac" => hmac(args.text("algorithm"), &coded(args, "key")?, args.body()),
        "crypto.pbkdf2" => pbkdf2(args),
        "crypto.scrypt" => scrypt(args),
        "crypto.hkdf" => hkdf(args),
        "crypto.cipher" => cipher(args),
        _ => Err(Fault::new(
            "ERR_METHOD_NOT_IMPLEMENTED",
            format!("{op} is not implemented"),
        )),
    }
}

/// What an operation costs, in units of fuel.
pub(super) fn price(op: &str, args: &Args<'_>) -> u64 {
    match op {
        "crypto.pbkdf2" => rounds(args).min(MOST_ROUNDS) * 5000,
        "crypto.scrypt" => scrypt_bytes(args).min(MOST_SCRYPT) * 40,
        _ => args.body().len() as u64 * 12,
    }
}

/// Rounds of a derivation over all blocks of its key.
fn rounds(args: &Args<'_>) -> u64 {
    args.number("iterations")
        .saturating_mul(args.number("length").div_ceil(16).max(1))
}

fn coded(args: &Args<'_>, name: &str) -> Result<Vec<u8>, Fault> {
    STANDARD
        .decode(args.text(name))
        .map_err(|error| Fault::new("ERR_INVALID_ARG_VALUE", format!("{name}: {error}")))
}

fn unknown(what: &str) -> Fault {
    Fault::new("ERR_CRYPTO_INVALID_DIGEST", format!("Invalid digest: {what}"))
}

/// Runs something with the hash of a name.
macro_rules! with_hash {
    ($name:expr, $hash:ident => $work:expr) => {{
        let name = $name.to_ascii_lowercase().replace('-', "");
        let name = name.strip_prefix("rsa").unwrap_or(&name);
        match name {
            "md5" => {
                type $hash = Md5;
                $work
            }
            "sha1" => {
                type $hash = Sha1;
                $work
            }
            "sha224" => {
                type $hash = Sha224;
                $work
            }
            "sha256" => {
                type $hash = Sha256;
                $work
            }
            "sha384" => {
                type $hash = Sha384;
                $work
            }
            "sha512" => {
                type $hash = Sha512;
                $work
            }
            _ => Err(unknown($name)),
        }
    }};
}

fn hash(algorithm: &str, bytes: &[u8]) -> Done {
    with_hash!(algorithm, Hash => Ok(Reply::Bytes(Hash::digest(bytes).to_vec().into())))
}

fn hmac(algorithm: &str, key: &[u8], bytes: &[u8]) -> Done {
    with_hash!(algorithm, Hash => {
        let mut mac = <Hmac<Hash> as Mac>::new_from_slice(key).map_err(|_| unknown(algorithm))?;
        mac.update(bytes);
        Ok(Reply::Bytes(mac.finalize().into_bytes().to_vec().into()))
    })
}

fn pbkdf2(args: &Args<'_>) -> Done {
    let algorithm = args.text("algorithm");
    let salt = coded(args, "salt")?;
    let length = args.number("length");
    if rounds(args) > MOST_ROUNDS || length > MOST_DERIVED {
        return Err(Fault::new("ERR_OUT_OF_RANGE", "more than the machine can do"));
    }
    let mut key = vec![0; length as usize];
    with_hash!(algorithm, Hash => {
        pbkdf2::pbkdf2_hmac::<Hash>(args.body(), &salt, args.number("iterations") as u32, &mut key);
        Ok(Reply::Bytes(key.into()))
    })
}

fn hkdf(args: &Args<'_>) -> Done {
    let algorithm = args.text("algorithm");
    let (salt, info) = (coded(args, "salt")?, coded(args, "info")?);
    let mut key = vec![0; args.number("length").min(MOST_DERIVED) as usize];
    with_hash!(algorithm, Hash => {
        hkdf::Hkdf::<Hash>::new(Some(&salt), args.body())
            .expand(&info, &mut key)
            .map_err(|_| Fault::new("ERR_CRYPTO_INVALID_KEYLEN", "Invalid key length"))?;
        Ok(Reply::Bytes(key.into()))
    })
}

/// What `scrypt` costs: its memory is passed over twice.
fn scrypt_bytes(args: &Args<'_>) -> u64 {
    [("n", 16_384), ("r", 8), ("p", 1)]
        .into_iter()
        .map(|(name, usual)| args.json(name).as_u64().unwrap_or(usual))
        .fold(128, u64::saturating_mul)
}

fn scrypt(args: &Args<'_>) -> Done {
    let out_of_range = || {
        Fault::new(
            "ERR_CRYPTO_INVALID_SCRYPT_PARAMS",
            "Invalid scrypt params: memory limit exceeded",
        )
    };
    if scrypt_bytes(args) > MOST_SCRYPT {
        return Err(out_of_range());
    }
    let number = |name, usual| args.json(name).as_u64().unwrap_or(usual);
    let n = number("n", 16_384);
    if !n.is_power_of_two() || n < 2 {
        return Err(out_of_range());
    }
    let mut key = vec![0; args.number("length").clamp(1, MOST_DERIVED) as usize];
    let params = scrypt::Params::new(
        n.trailing_zeros() as u8,
        u32::try_from(number("r", 8)).map_err(|_| out_of_range())?,
        u32::try_from(number("p", 1)).map_err(|_| out_of_range())?,
        64,
    )
    .map_err(|_| out_of_range())?;
    scrypt::scrypt(args.body(), &coded(args, "salt")?, &params, &mut key).map_err(|_| out_of_range())?;
    Ok(Reply::Bytes(key.into()))
}

fn cipher(args: &Args<'_>) -> Done {
    let algorithm = args.text("algorithm").to_ascii_lowercase();
    let (key, iv) = (coded(args, "key")?, coded(args, "iv")?);
    let decrypts = args.flag("decrypt");
    let bad = |what: &str| Fault::new("ERR_CRYPTO_INVALID_KEYLEN", format!("{what} for {algorithm}"));
    let input = args.body();
    /// Runs one of the three sizes of a mode.
    macro_rules! sized {
        ($small:expr, $middle:expr, $large:expr) => {
            match (algorithm.as_str().get(4..7), key.len()) {
                (Some("128"), 16) => $small,
                (Some("192"), 24) => $middle,
                (Some("256"), 32) => $large,
                _ => Err(bad("Invalid key length")),
            }
        };
    }
    let (output, tag) = match algorithm.get(8..) {
        Some("cbc") => {
            let padding = args.json("padding") != &Value::Bool(false);
            let output = sized!(
                chained::<aes::Aes128>(&key, &iv, input, decrypts, padding),
                chained::<aes::Aes192>(&key, &iv, input, decrypts, padding),
                chained::<aes::Aes256>(&key, &iv, input, decrypts, padding)
            )?;
            (output, Vec::new())
        }
        Some("ctr") => {
            let output = sized!(
                counted::<ctr::Ctr128BE<aes::Aes128>>(&key, &iv, input),
                counted::<ctr::Ctr128BE<aes::Aes192>>(&key, &iv, input),
                counted::<ctr::Ctr128BE<aes::Aes256>>(&key, &iv, input)
            )?;
            (output, Vec::new())
        }
        Some("gcm") => {
            if iv.len() != 12 {
                return Err(bad("Unusual length of the initialization vector"));
            }
            let (aad, tag) = (coded(args, "aad")?, coded(args, "tag")?);
            let sealed = Sealed {
                iv: &iv,
                aad: &aad,
                tag: &tag,
            };
            match (algorithm.get(4..7), key.len()) {
                (Some("128"), 16) => sealed.run::<aes_gcm::Aes128Gcm>(&key, input, decrypts)?,
                (Some("256"), 32) => sealed.run::<aes_gcm::Aes256Gcm>(&key, input, decrypts)?,
                _ => return Err(bad("Invalid key length")),
            }
        }
        _ => {
            return Err(Fault::new(
                "ERR_CRYPTO_UNKNOWN_CIPHER",
                format!("Unknown cipher {algorithm}"),
            ));
        }
    };
    Ok(Reply::Bytes([output, tag].concat().into()))
}

fn chained<C>(key: &[u8], iv: &[u8], input: &[u8], decrypts: bool, padding: bool) -> Result<Vec<u8>, Fault>
where
    C: cbc::cipher::BlockCipher + BlockEncryptMut + BlockDecryptMut + KeyInit,
    cbc::Encryptor<C>: KeyIvInit + BlockEncryptMut,
    cbc::Decryptor<C>: KeyIvInit + BlockDecryptMut,
{
    let fault = || {
        Fault::new(
            "ERR_OSSL_BAD_DECRYPT",
            "error:1C800064:Provider routines::bad decrypt",
        )
    };
    if decrypts {
        let cipher = cbc::Decryptor::<C>::new_from_slices(key, iv).map_err(|_| fault())?;
        let done = if padding {
            cipher.decrypt_padded_vec_mut::<Pkcs7>(input)
        } else {
            cipher.decrypt_padded_vec_mut::<NoPadding>(input)
        };
        return done.map_err(|_| fault());
    }
    let cipher = cbc::Encryptor::<C>::new_from_slices(key, iv).map_err(|_| fault())?;
    if padding {
        Ok(cipher.encrypt_padded_vec_mut::<Pkcs7>(input))
    } else if input.len().is_multiple_of(16) {
        Ok(cipher.encrypt_padded_vec_mut::<NoPadding>(input))
    } else {
        Err(fault())
    }
}

fn counted<C: KeyIvInit + StreamCipher>(key: &[u8], iv: &[u8], input: &[u8]) -> Result<Vec<u8>, Fault> {
    let mut cipher = C::new_from_slices(key, iv)
        .map_err(|_| Fault::new("ERR_CRYPTO_INVALID_IV", "Invalid initialization vector"))?;
    let mut output = input.to_vec();
    cipher.apply_keystream(&mut output);
    Ok(output)
}

/// What goes with a sealed text.
struct Sealed<'a> {
    iv: &'a [u8],
    aad: &'a [u8],
    tag: &'a [u8],
}

impl Sealed<'_> {
    /// The text and the tag.
    fn run<C>(&self, key: &[u8], input: &[u8], decrypts: bool) -> Result<(Vec<u8>, Vec<u8>), Fault>
    where
        C: Aead + KeyInit,
    {
        let fault = || Fault::new("ERR_CRYPTO", "Unsupported state or unable to authenticate data");
        let cipher = C::new_from_slice(key).map_err(|_| fault())?;
        let nonce = aes_gcm::aead::generic_array::GenericArray::from_slice(self.iv);
        if decrypts {
            let msg = [input, self.tag].concat();
            let output = cipher.decrypt(
                nonce,
                Payload {
                    msg: &msg,
                    aad: self.aad,
                },
            );
            return Ok((output.map_err(|_| fault())?, Vec::new()));
        }
        let mut output = cipher
            .encrypt(
                nonce,
                Payload {
                    msg: input,
                    aad: self.aad,
                },
            )
            .map_err(|_| fault())?;
        let tag = output.split_off(output.len() - 16);
        Ok((output, tag))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::closure::hex;

    fn bytes(op: &str, json: &str, input: &[u8]) -> Vec<u8> {
        match convert(op, &Args::parse(json, Some(input))) {
            Ok(Reply::Bytes(bytes)) => bytes.to_vec(),
            other => panic!("{op}: {other:?}"),
        }
    }

    #[test]
    fn hashes_and_keys() {
        let digest = bytes("crypto.hash", r#"{"algorithm":"RSA-SHA256"}"#, b"abc");
        assert_eq!(hex(&digest[..4]), "ba7816bf");
        // RFC 4231, test case 2.
        let mac = bytes(
            "crypto.hmac",
            r#"{"algorithm":"sha256","key":"SmVmZQ=="}"#,
            b"what do ya want for nothing?",
        );
        assert_eq!(hex(&mac[..4]), "5bdcc146");
        // RFC 6070, test vector 2.
        let key = bytes(
            "crypto.pbkdf2",
            r#"{"algorithm":"sha1","salt":"c2FsdA==","iterations":2,"length":20}"#,
            b"password",
        );
        assert_eq!(hex(&key[..4]), "ea6c014d");
    }

    #[test]
    fn sealed_and_opened() {
        let key = STANDARD.encode([7; 32]);
        for (algorithm, iv, tag) in [
            ("aes-256-cbc", 16, 0),
            ("aes-256-ctr", 16, 0),
            ("aes-256-gcm", 12, 16),
        ] {
            let mut arguments =
                json!({ "algorithm": algorithm, "key": key, "iv": STANDARD.encode(vec![1; iv]) });
            let sealed = bytes("crypto.cipher", &arguments.to_string(), b"quite secret");
            assert!(!sealed.starts_with(b"quite"), "{algorithm}");
            let (output, tag) = sealed.split_at(sealed.len() - tag);
            arguments["decrypt"] = true.into();
            arguments["tag"] = STANDARD.encode(tag).into();
            assert_eq!(
                bytes("crypto.cipher", &arguments.to_string(), output),
                b"quite secret",
                "{algorithm}"
            );
        }
    }

    #[test]
    fn more_keys() {
        // RFC 7914, section 12, second vector; RFC 5869, test case 1.
        let key = bytes(
            "crypto.scrypt",
            r#"{"salt":"TmFDbA==","n":1024,"r":8,"p":16,"length":64}"#,
            b"password",
        );
        assert_eq!(hex(&key[..4]), "fdbabe1c");
        let arguments = json!({
            "algorithm": "sha256", "length": 42,
            "salt": STANDARD.encode((0..13).collect::<Vec<u8>>()),
            "info": STANDARD.encode((0xf0..0xfa).collect::<Vec<u8>>()),
        });
        assert_eq!(
            hex(&bytes("crypto.hkdf", &arguments.to_string(), &[11; 22])[..4]),
            "3cb25f25"
        );
    }
}
