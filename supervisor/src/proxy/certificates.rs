//! Certificates: from files that somebody renews, or from an authority of the host's own.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose,
};
use rustls::ServerConfig;
use rustls::crypto::ring::{default_provider, sign::any_supported_type};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use crate::paths;
use crate::problem::{Code, Problem};

/// Names for which certificates are kept; a client can ask for as many as it likes.
const KEPT: usize = 2000;

/// An authority of the host's own.
#[derive(Debug)]
pub struct LocalAuthority {
    /// Certificate of the authority, PEM, for whoever trusts this host.
    file: PathBuf,
    issuer: Issuer<'static, KeyPair>,
    domain: String,
    made: RwLock<HashMap<String, Arc<CertifiedKey>>>,
}

impl LocalAuthority {
    /// Reads the authority, or makes it on a host that has none.
    ///
    /// # Errors
    /// When its files cannot be read or written.
    pub fn open(keys: &Path, domain: &str) -> Result<Self, Problem> {
        let file = keys.join("authority.pem");
        let key_file = keys.join("authority.key");
        if !file.exists() || !key_file.exists() {
            make_authority(&file, &key_file)?;
        }
        let key = KeyPair::from_pem(&read(&key_file)?).map_err(|error| unusable(&key_file, error.into()))?;
        let issuer = Issuer::new(authority(), key);
        Ok(Self {
            file,
            issuer,
            domain: domain.to_owned(),
            made: RwLock::default(),
        })
    }

    /// Where the authority's certificate is, for those who are to trust it.
    #[must_use]
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// The certificate of a name, made when it is asked for the first time.
    fn certificate(&self, name: &str) -> Option<Arc<CertifiedKey>> {
        if let Some(known) = self.made.read().unwrap_or_else(PoisonError::into_inner).get(name) {
            return Some(known.clone());
        }
        let made = Arc::new(self.make(name)?);
        let mut all = self.made.write().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= KEPT {
            all.clear();
        }
        all.insert(name.to_owned(), made.clone());
        Some(made)
    }

    fn make(&self, name: &str) -> Option<CertifiedKey> {
        let mut params = CertificateParams::new(vec![name.to_owned()]).ok()?;
        params.distinguished_name = common_name(name);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        // Made anew at every start of the host, so they need not last.
        let now = std::time::SystemTime::now();
        params.not_before = (now - std::time::Duration::from_secs(24 * 3600)).into();
        params.not_after = (now + std::time::Duration::from_secs(397 * 24 * 3600)).into();
        let key = KeyPair::generate().ok()?;
        let certificate = params.signed_by(&key, &self.issuer).ok()?;
        let key = PrivateKeyDer::try_from(key.serialize_der()).ok()?;
        let key = any_supported_type(&key).ok()?;
        Some(CertifiedKey::new(vec![certificate.der().clone()], key))
    }
}

impl ResolvesServerCert for LocalAuthority {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        // A client that asks by address names nobody.
        let name = hello.server_name().unwrap_or("localhost");
        let ours = name == self.domain
            || name == "localhost"
            || name
                .strip_suffix(self.domain.as_str())
                .is_some_and(|rest| rest.ends_with('.') && !rest[..rest.len() - 1].contains('.'));
        ours.then(|| self.certificate(name))?
    }
}

/// What every such authority has in common; which one it is, its key says.
fn authority() -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = common_name("Redhold local authority");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

fn make_authority(file: &Path, key_file: &Path) -> Result<(), Problem> {
    let cannot = |error: rcgen::Error| unusable(file, error.into());
    let mut params = authority();
    let now = std::time::SystemTime::now();
    params.not_before = (now - std::time::Duration::from_secs(24 * 3600)).into();
    params.not_after = (now + std::time::Duration::from_secs(10 * 365 * 24 * 3600)).into();
    let key = KeyPair::generate().map_err(cannot)?;
    let certificate = params.self_signed(&key).map_err(cannot)?;
    let write = |path: &Path, text: &str| {
        paths::write_private(path, text.as_bytes())
            .map_err(|error| Problem::io(format!("cannot write {}", path.display()), error))
    };
    // The key first: a certificate without one would be believed to be complete.
    write(key_file, &key.serialize_pem())?;
    write(file, &certificate.pem())
}

fn common_name(name: &str) -> DistinguishedName {
    let mut names = DistinguishedName::new();
    names.push(DnType::CommonName, name);
    names
}

/// Certificates from files, read again on demand.
#[derive(Debug)]
pub struct FileCertificate {
    certificate: PathBuf,
    key: PathBuf,
    now: RwLock<Arc<CertifiedKey>>,
}

impl FileCertificate {
    /// Reads the files.
    ///
    /// # Errors
    /// When they cannot be read, or do not belong together.
    pub fn open(certificate: &Path, key: &Path) -> Result<Self, Problem> {
        Ok(Self {
            now: RwLock::new(load(certificate, key)?),
            certificate: certificate.to_owned(),
            key: key.to_owned(),
        })
    }

    /// Reads the files again; what was read before stays when they are wrong.
    ///
    /// # Errors
    /// As [`FileCertificate::open`].
    pub fn reload(&self) -> Result<(), Problem> {
        let fresh = load(&self.certificate, &self.key)?;
        *self.now.write().unwrap_or_else(PoisonError::into_inner) = fresh;
        Ok(())
    }
}

impl ResolvesServerCert for FileCertificate {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.now.read().unwrap_or_else(PoisonError::into_inner).clone())
    }
}

fn load(certificate: &Path, key: &Path) -> Result<Arc<CertifiedKey>, Problem> {
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(read(certificate)?.as_bytes())
        .map(|found| found.map(CertificateDer::into_owned))
        .collect();
    let chain = chain.map_err(|error| unusable(certificate, error.into()))?;
    let secret =
        PrivateKeyDer::from_pem_slice(read(key)?.as_bytes()).map_err(|error| unusable(key, error.into()))?;
    let certified = CertifiedKey::from_der(chain, secret, &default_provider())
        .map_err(|error| unusable(certificate, error.into()))?;
    Ok(Arc::new(certified))
}

fn read(path: &Path) -> Result<String, Problem> {
    fs::read_to_string(path).map_err(|error| Problem::io(format!("cannot read {}", path.display()), error))
}

fn unusable(path: &Path, error: Box<dyn std::error::Error + Send + Sync>) -> Problem {
    Problem::new(
        Code::Usage,
        format!("{} cannot be used for TLS", path.display()),
    )
    .because(error)
    .hint("it must be PEM, the certificate and the key must belong together, the host's own certificate comes first")
}

/// The TLS of a door: 1.2 and 1.3, HTTP/2 before HTTP/1.1.
///
/// # Errors
/// Never with the built-in cipher suites.
pub fn server_config(certificates: Arc<dyn ResolvesServerCert>) -> Result<Arc<ServerConfig>, Problem> {
    let mut config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| Problem::new(Code::Failed, "TLS cannot be set up").because(error))?
        .with_no_client_auth()
        .with_cert_resolver(certificates);
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}
