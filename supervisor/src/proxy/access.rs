//! Who may come in: the administrator's token, the cookie that a browser gets for it, names and passwords of endpoints.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use hyper::header::{AUTHORIZATION, COOKIE, HeaderMap};
use ring::hmac;

use crate::clock;
use crate::ids;
use crate::instances::tokens::PREFIX;
use crate::paths;

/// How long a browser stays signed in, in milliseconds.
const STAYS: u64 = 12 * 3600 * 1000;

/// Least characters of a token, or of the key of cookies.
const SHORTEST: usize = 16;

/// What decides about the administrator.
#[derive(Clone, Debug)]
pub struct Gate {
    key: hmac::Key,
    token: hmac::Tag,
    /// Where the token can be read.
    file: PathBuf,
}

impl Gate {
    /// Reads the token, or makes it on a host that has none; true when it was made.
    ///
    /// # Errors
    /// When the files cannot be read or written.
    pub fn open(keys: &Path) -> io::Result<(Self, bool)> {
        let file = keys.join("admin-token");
        let (token, _) = read_or_make(&file)?;
        let (secret, made) = read_or_make(&keys.join("sign-in.key"))?;
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
        let token = hmac::sign(&key, token.as_bytes());
        Ok((Self { key, token, file }, made))
    }

    /// Where the token can be read by who may.
    #[must_use]
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// Whether this is the token; takes as long for any other.
    #[must_use]
    pub fn admits(&self, token: &str) -> bool {
        hmac::verify(&self.key, token.trim().as_bytes(), self.token.as_ref()).is_ok()
    }

    /// Whether a request carries the token.
    #[must_use]
    pub fn bears_token(&self, headers: &HeaderMap) -> bool {
        bearer(headers).is_some_and(|token| self.admits(token))
    }

    /// Whether a request carries a cookie for this host.
    #[must_use]
    pub fn signed_in(&self, headers: &HeaderMap, host: &str) -> bool {
        let pairs = headers
            .get_all(COOKIE)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(';'))
            .filter_map(|pair| pair.trim().split_once('='));
        let ours = pairs.filter(|(name, _)| COOKIES.contains(name));
        ours.into_iter().any(|(_, value)| {
            let Some((until, tag)) = value.split_once('.') else {
                return false;
            };
            let fresh = until.parse::<u64>().is_ok_and(|until| until > clock::now_ms());
            let tag = URL_SAFE_NO_PAD.decode(tag).unwrap_or_default();
            fresh && hmac::verify(&self.key, signed(host, until).as_bytes(), &tag).is_ok()
        })
    }

    /// The `Set-Cookie` for a browser that has shown the token on this host.
    #[must_use]
    pub fn cookie(&self, host: &str, secure: bool) -> String {
        let until = (clock::now_ms() + STAYS).to_string();
        let tag = hmac::sign(&self.key, signed(host, &until).as_bytes());
        let tag = URL_SAFE_NO_PAD.encode(tag.as_ref());
        let name = cookie_name(secure);
        let secure = if secure { "; Secure" } else { "" };
        let age = STAYS / 1000;
        format!("{name}={until}.{tag}; Path=/; HttpOnly; SameSite=Lax; Max-Age={age}{secure}")
    }
}

/// Names of the cookie, over TLS and in clear: for the front alone, never for an instance.
pub(super) const COOKIES: [&str; 2] = [cookie_name(true), cookie_name(false)];

/// Browsers send a name with this prefix over TLS only, and to no other host.
const fn cookie_name(secure: bool) -> &'static str {
    if secure { "__Host-redhold" } else { "redhold" }
}

fn signed(host: &str, until: &str) -> String {
    format!("cookie {host} {until}")
}

fn read_or_make(path: &Path) -> io::Result<(String, bool)> {
    match fs::read_to_string(path) {
        // An empty file would let everybody in.
        Ok(text) if text.trim().len() < SHORTEST => {
            let message = format!("{} holds fewer than {SHORTEST} characters", path.display());
            Err(io::Error::other(message))
        }
        Ok(text) => Ok((text.trim().to_owned(), false)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let mut bytes = [0; 24];
            ids::random(&mut bytes);
            let text = URL_SAFE_NO_PAD.encode(bytes);
            paths::write_private(path, format!("{text}\n").as_bytes())?;
            Ok((text, true))
        }
        Err(error) => Err(error),
    }
}

/// The token of `Authorization: Bearer`.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// An access token of an instance's endpoints; whether it is one that was given is not known here.
#[must_use]
pub fn endpoint_token(headers: &HeaderMap) -> Option<&str> {
    bearer(headers).filter(|token| token.starts_with(PREFIX))
}

/// The name and password of `basic` access.
#[must_use]
pub fn basic(headers: &HeaderMap) -> Option<(String, String)> {
    let value = headers.get(AUTHORIZATION)?.to_str().ok()?;
    let decoded = STANDARD.decode(value.strip_prefix("Basic ")?).ok()?;
    let text = String::from_utf8(decoded).ok()?;
    let (name, password) = text.split_once(':')?;
    Some((name.to_owned(), password.to_owned()))
}

/// Compares without telling by its time where the two differ, nor how long they are.
#[must_use]
pub fn same(one: &str, other: &str) -> bool {
    /// Known to nobody, and gone with the process.
    static KEY: LazyLock<hmac::Key> = LazyLock::new(|| {
        let mut secret = [0; 32];
        ids::random(&mut secret);
        hmac::Key::new(hmac::HMAC_SHA256, &secret)
    });
    let tag = hmac::sign(&KEY, one.as_bytes());
    hmac::verify(&KEY, other.as_bytes(), tag.as_ref()).is_ok()
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderValue;

    use super::*;

    #[test]
    fn a_cookie_opens_one_host_and_a_token_all() {
        let folder = tempfile::tempdir().expect("a folder");
        let (gate, made) = Gate::open(folder.path()).expect("a gate");
        assert!(made);
        let (again, made) = Gate::open(folder.path()).expect("the same gate");
        assert!(!made);
        let token = fs::read_to_string(gate.file()).expect("the token");
        assert!(again.admits(&token) && !again.admits("x") && !again.admits(""));

        let short = tempfile::tempdir().expect("a folder");
        fs::write(short.path().join("admin-token"), "\n").expect("a file");
        Gate::open(short.path()).expect_err("an empty token");

        let with = |name, value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(name, HeaderValue::from_str(value).expect("a header"));
            headers
        };
        let cookie = gate.cookie("a.localhost", true);
        let pair = cookie.split(';').next().expect("a pair");
        let headers = with(COOKIE, &format!("x=1; {pair}"));
        assert!(again.signed_in(&headers, "a.localhost"));
        assert!(!again.signed_in(&headers, "b.localhost"));
        let (until, rest) = pair.split_once('.').expect("two parts");
        assert!(!again.signed_in(&with(COOKIE, &format!("{until}0.{rest}")), "a.localhost"));
        let bearer = with(AUTHORIZATION, &format!("Bearer {}", token.trim()));
        assert!(again.bears_token(&bearer) && !again.signed_in(&bearer, "b.localhost"));
        assert_eq!(
            basic(&with(AUTHORIZATION, "Basic YTpiOmM=")),
            Some(("a".to_owned(), "b:c".to_owned()))
        );
        assert!(same("a", "a") && !same("a", "b"));
    }
}
