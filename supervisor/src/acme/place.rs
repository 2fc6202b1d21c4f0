//! What is kept of a name on the disk: its certificate with its key in one file, and what is under way.
//!
//! One file for both, because two cannot be replaced at one stroke: after a power cut a key and a certificate that
//! do not belong together would be worse than none.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::crypto::ring::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use serde::{Deserialize, Serialize};
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::schedule::Failures;
use crate::paths;

/// The folder of one name.
#[derive(Clone, Debug)]
pub(super) struct Place(PathBuf);

/// What is under way for a name.
#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Record {
    /// The directory from which the certificate came; one that came from another is replaced.
    pub(super) from: Option<String>,
    /// Orders that led to nothing.
    pub(super) failures: Failures,
    /// Why the last one did not.
    pub(super) last_error: Option<String>,
    /// An order that was made and whose certificate has not come.
    pub(super) order: Option<Pending>,
}

/// An order at an authority. It is taken up again after a crash: authorities count orders.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Pending {
    /// The directory of the authority.
    pub(super) directory: String,
    /// The order there.
    pub(super) url: String,
    /// The key that the certificate will have, PEM.
    pub(super) key: String,
}

/// A record and where it is kept.
#[derive(Clone)]
pub(super) struct Journal {
    /// The folder.
    pub(super) place: Place,
    /// What is under way.
    pub(super) record: Record,
}

impl Journal {
    /// Reads it.
    pub(super) fn open(all: &Path, name: &str) -> io::Result<Self> {
        let place = Place::open(all, name)?;
        let record = place.record();
        Ok(Self { place, record })
    }

    /// Keeps it.
    pub(super) async fn keep(&self) -> io::Result<()> {
        let own = self.clone();
        let kept = tokio::task::spawn_blocking(move || own.place.keep_record(&own.record)).await;
        kept.map_err(io::Error::other)?
    }
}

/// A certificate that can be served.
#[derive(Clone, Debug)]
pub(super) struct Held {
    /// With its key.
    pub(super) certified: Arc<CertifiedKey>,
    /// Who gave it.
    pub(super) issuer: String,
    /// Its life, in milliseconds since 1970.
    pub(super) life: (u64, u64),
}

impl Place {
    /// The folder of `name` in `all`, made when it is missing.
    pub(super) fn open(all: &Path, name: &str) -> io::Result<Self> {
        let folder = all.join(name);
        if !folder.is_dir() {
            DirBuilder::new().recursive(true).mode(0o700).create(&folder)?;
            File::open(all)?.sync_all()?;
        }
        Ok(Self(folder))
    }

    /// What is under way; nothing, when what stands there cannot be read.
    pub(super) fn record(&self) -> Record {
        let text = fs::read(self.0.join("state.json")).unwrap_or_default();
        serde_json::from_slice(&text).unwrap_or_default()
    }

    /// Keeps what is under way.
    pub(super) fn keep_record(&self, record: &Record) -> io::Result<()> {
        let text = serde_json::to_vec_pretty(record)?;
        paths::write_private(&self.0.join("state.json"), &text)
    }

    /// The certificate, where there is one. An error says why the file that is there is of no use.
    pub(super) fn certificate(&self, name: &str) -> Option<Result<(Held, String), String>> {
        match fs::read_to_string(self.0.join("certificate.pem")) {
            Ok(text) => Some(parse(name, &text).map(|held| (held, text))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => Some(Err(error.to_string())),
        }
    }

    /// Keeps a certificate: its key, then itself, then those of who gave it.
    pub(super) fn keep_certificate(&self, text: &str) -> io::Result<()> {
        paths::write_private(&self.0.join("certificate.pem"), text.as_bytes())
    }
}

/// Reads key and certificates of `name` out of one text.
pub(super) fn parse(name: &str, text: &str) -> Result<Held, String> {
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text.as_bytes()).collect();
    let chain = chain.map_err(|error| format!("it is no PEM: {error}"))?;
    let key = PrivateKeyDer::from_pem_slice(text.as_bytes()).map_err(|error| format!("its key: {error}"))?;
    let first = chain.first().ok_or("there is no certificate in it")?.clone();
    let (_, own) = X509Certificate::from_der(&first).map_err(|error| format!("it is damaged: {error}"))?;
    let names = own.subject_alternative_name().ok().flatten();
    let covered = names.is_some_and(|found| {
        let named = |general: &GeneralName<'_>| matches!(general, GeneralName::DNSName(dns) if dns.eq_ignore_ascii_case(name));
        found.value.general_names.iter().any(named)
    });
    if !covered {
        return Err(format!("it is not for {name}"));
    }
    let millis = |seconds: i64| u64::try_from(seconds).unwrap_or(0).saturating_mul(1000);
    let validity = own.validity();
    let life = (
        millis(validity.not_before.timestamp()),
        millis(validity.not_after.timestamp()),
    );
    let common = own
        .issuer()
        .iter_common_name()
        .next()
        .and_then(|cn| cn.as_str().ok());
    let issuer = common.map_or_else(|| own.issuer().to_string(), str::to_owned);
    let certified =
        CertifiedKey::from_der(chain, key, &default_provider()).map_err(|error| error.to_string())?;
    Ok(Held {
        certified: Arc::new(certified),
        issuer,
        life,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(names: &[&str]) -> (String, String) {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let made = rcgen::generate_simple_self_signed(names).expect("a certificate");
        (made.signing_key.serialize_pem(), made.cert.pem())
    }

    #[test]
    fn only_what_belongs_together_and_to_the_name_is_served() {
        let (key, certificate) = made(&["A.example"]);
        let (other, _) = made(&["a.example"]);
        let held = parse("a.example", &format!("{key}{certificate}")).expect("fits");
        assert!(held.life.0 < held.life.1 && !held.issuer.is_empty());
        for (name, text) in [
            ("b.example", format!("{key}{certificate}")),
            ("a.example", format!("{other}{certificate}")),
            ("a.example", certificate.clone()),
            ("a.example", key.clone()),
            ("a.example", String::new()),
            (
                "a.example",
                format!("{key}{}", &certificate[..certificate.len() / 2]),
            ),
        ] {
            assert!(parse(name, &text).is_err(), "{name}: {text}");
        }
    }

    #[test]
    fn what_is_kept_comes_back_for_this_account_alone() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().expect("a folder");
        let place = Place::open(folder.path(), "a.example").expect("a place");
        assert!(place.certificate("a.example").is_none());
        let (key, certificate) = made(&["a.example"]);
        place
            .keep_certificate(&format!("{key}{certificate}"))
            .expect("kept");
        let mut record = Record::default();
        record.failures.failed(5, None, 0.5);
        place.keep_record(&record).expect("kept");
        let again = Place::open(folder.path(), "a.example").expect("a place");
        assert_eq!(again.record().failures, record.failures);
        assert!(again.certificate("a.example").expect("there").is_ok());
        for file in ["certificate.pem", "state.json"] {
            let mode = fs::metadata(place.0.join(file))
                .expect("a file")
                .permissions()
                .mode();
            assert_eq!(mode & 0o077, 0, "{file}");
        }
        fs::write(place.0.join("state.json"), "{").expect("damaged");
        assert_eq!(place.record().failures.count, 0);
    }
}
