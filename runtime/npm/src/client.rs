//! Fetches metadata and archives from the registries that npm's configuration names.
//!
//! Redirects are followed here rather than by the HTTP library: credentials are looked up anew for each address,
//! so a registry that points elsewhere never sends its token along.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::time::Duration;

use reqwest::header::{
    ACCEPT, AUTHORIZATION, CONTENT_RANGE, CONTENT_TYPE, HeaderMap, HeaderValue, LOCATION, RANGE, RETRY_AFTER,
};
use reqwest::{Certificate, NoProxy, Proxy, Response, StatusCode};
use url::Url;

use crate::config::{Config, Proxies};
use crate::error::{FetchError, labelled, shown};
use crate::name::PackageName;
use crate::packument::Packument;
use crate::retry::Retry;
use node_semver::Version;

/// A registry that does not answer a connection by then is not reachable.
const CONNECT: Duration = Duration::from_secs(20);
/// A connection that says nothing for this long is dead. There is no limit on the whole: a slow link is slow.
const IDLE: Duration = Duration::from_secs(60);
/// Redirects to follow; the longest useful chain is a registry, its mirror and a store.
const HOPS: usize = 8;
/// The abbreviated document of a package with thousands of versions has some megabytes.
const MAX_PACKUMENT: u64 = 64 << 20;
/// What npm itself asks for: only what installing needs.
const ABBREVIATED: &str = "application/vnd.npm.install-v1+json; q=1.0, application/json; q=0.8, */*";

/// A client of all configured registries. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Client {
    http: reqwest::Client,
    config: Config,
}

/// How much of a package's metadata is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Form {
    /// What installing needs.
    Abbreviated,
    /// Everything, with times and people.
    Full,
}

/// An archive that is coming.
#[derive(Debug)]
pub struct Download {
    response: Response,
    package: String,
    url: String,
    /// Offset of the first byte that comes: the one asked for, or 0 where the server ignores offsets.
    pub start: u64,
    /// Bytes of the whole archive, where the server says it.
    pub total: Option<u64>,
}

impl Client {
    /// A client for this configuration.
    ///
    /// # Errors
    /// When certificates cannot be read or none are trusted.
    pub fn new(config: Config) -> Result<Self, FetchError> {
        // The TLS library wants one provider per process. An error says that it has one already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let tls = |error: reqwest::Error| FetchError::Tls(Box::new(error));
        let mut builder = reqwest::Client::builder()
            .user_agent(concat!("redhold/", env!("CARGO_PKG_VERSION")))
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(CONNECT)
            .read_timeout(IDLE)
            .no_proxy();
        for proxy in proxies(&config.proxies()?).map_err(tls)? {
            builder = builder.proxy(proxy);
        }
        let trust = config.trust()?;
        let parsed = |bundles: &[Vec<u8>]| -> Result<Vec<Certificate>, FetchError> {
            let mut all = Vec::new();
            for bundle in bundles {
                all.extend(Certificate::from_pem_bundle(bundle).map_err(tls)?);
            }
            Ok(all)
        };
        let (only, extra) = (parsed(&trust.only)?, parsed(&trust.extra)?);
        builder = if !trust.verify {
            builder.tls_danger_accept_invalid_certs(true)
        } else if only.is_empty() {
            builder.tls_certs_merge(extra)
        } else {
            builder.tls_certs_only(only.into_iter().chain(extra))
        };
        Ok(Self {
            http: builder.build().map_err(tls)?,
            config,
        })
    }

    /// The configuration this client follows.
    #[must_use]
    pub const fn config(&self) -> &Config {
        &self.config
    }

    /// A fresh count of failures, as configured.
    #[must_use]
    pub fn retry(&self) -> Retry {
        Retry::new(self.config.retries())
    }

    /// The metadata of a package, with repetitions.
    ///
    /// # Errors
    /// When it is not there, not allowed, not readable, or the network fails for good.
    pub async fn packument(&self, name: &PackageName) -> Result<Packument, FetchError> {
        let body = self.document(name, Form::Abbreviated).await?;
        serde_json::from_slice(&body).map_err(|source| FetchError::Metadata {
            package: labelled(name, None),
            url: self.config.registry_for(name).map_or_else(
                |_| String::new(),
                |registry| shown(&packument_url(&registry, name)),
            ),
            source,
        })
    }

    /// The metadata of a package as the registry writes it, with repetitions: at most 64 MB.
    ///
    /// # Errors
    /// When it is not there, not allowed, or the network fails for good.
    pub async fn document(&self, name: &PackageName, form: Form) -> Result<Vec<u8>, FetchError> {
        let url = packument_url(&self.config.registry_for(name)?, name);
        let accept = match form {
            Form::Abbreviated => ABBREVIATED,
            Form::Full => "application/json",
        };
        self.whole(&labelled(name, None), &url, accept).await
    }

    /// The keys that the default registry signs with, as it writes them.
    ///
    /// # Errors
    /// When it has none, or the network fails for good.
    pub async fn signing_keys(&self) -> Result<Vec<u8>, FetchError> {
        let url = below(&self.config.default_registry()?, "-/npm/v1/keys");
        self.whole("the registry's keys", &url, "application/json").await
    }

    /// Asks the default registry for known flaws: package names with versions as JSON, answered by name as JSON.
    /// One attempt: whoever asks has another source, or does without.
    ///
    /// # Errors
    /// When the registry does not offer it, or the network fails.
    pub async fn advisories(&self, wanted: &[u8]) -> Result<Vec<u8>, FetchError> {
        let url = below(
            &self.config.default_registry()?,
            "-/npm/v1/security/advisories/bulk",
        );
        let package = "known flaws";
        let mut request = self
            .http
            .post(url.clone())
            .header(ACCEPT, "application/json")
            .header(CONTENT_TYPE, "application/json")
            .body(wanted.to_vec());
        if let Some(value) = self.authorize(&url) {
            request = request.header(AUTHORIZATION, value);
        }
        let response = request.send().await.map_err(|source| FetchError::Network {
            package: package.to_owned(),
            url: shown(&url),
            source: source.without_url(),
        })?;
        if !response.status().is_success() {
            return Err(FetchError::Status {
                package: package.to_owned(),
                url: shown(&url),
                status: response.status().as_u16(),
                after: None,
            });
        }
        body(response, package, &url).await
    }

    async fn whole(&self, package: &str, url: &Url, accept: &'static str) -> Result<Vec<u8>, FetchError> {
        let mut retry = self.retry();
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, HeaderValue::from_static(accept));
        loop {
            let attempt = async {
                let (response, url) = self.get(package, url.clone(), &headers).await?;
                body(response, package, &url).await
            };
            match attempt.await {
                Err(error) => pause(&mut retry, error).await?,
                done => return done,
            }
        }
    }

    fn authorize(&self, url: &Url) -> Option<HeaderValue> {
        let mut value = HeaderValue::from_str(&self.config.authorization(url)?.0).ok()?;
        value.set_sensitive(true);
        Some(value)
    }

    /// Starts fetching an archive from an offset. One attempt: whoever takes the bytes repeats with the new
    /// offset. What comes must be checked against its integrity; that is also what makes a resumed download
    /// safe, more than any validator of the server's could.
    ///
    /// # Errors
    /// As [`FetchError`] says.
    pub async fn tarball(
        &self,
        name: &PackageName,
        version: &Version,
        from: u64,
    ) -> Result<Download, FetchError> {
        let package = labelled(name, Some(version));
        let registry = self.config.registry_for(name)?;
        let usual = tarball_url(&registry, name, version);
        match self.tarball_at(&package, usual, from).await {
            // Some registries keep archives elsewhere; their metadata says where.
            Err(FetchError::NotFound { package, url }) => {
                let document = match self.packument(name).await {
                    Ok(document) => document,
                    Err(FetchError::NotFound { .. }) => return Err(FetchError::NotFound { package, url }),
                    Err(error) => return Err(error),
                };
                let Ok(told) = Url::parse(&document.exact(version)?.dist.tarball) else {
                    return Err(FetchError::NotFound { package, url });
                };
                self.tarball_at(&package, on_registry(told, &registry), from)
                    .await
            }
            other => other,
        }
    }

    async fn tarball_at(&self, package: &str, url: Url, from: u64) -> Result<Download, FetchError> {
        let mut headers = HeaderMap::new();
        if from > 0
            && let Ok(value) = HeaderValue::from_str(&format!("bytes={from}-"))
        {
            headers.insert(RANGE, value);
        }
        let (response, url) = match self.get(package, url.clone(), &headers).await {
            // Past the end of what the server has: what is here already cannot be the beginning of it.
            Err(FetchError::Status { status: 416, .. }) if from > 0 => {
                self.get(package, url, &HeaderMap::new()).await?
            }
            other => other?,
        };
        let range = (response.status() == StatusCode::PARTIAL_CONTENT)
            .then(|| content_range(response.headers()))
            .flatten();
        let (start, total) = match range {
            Some((start, total)) if start == from => (start, total),
            // A part that was not asked for, or one without its place: of no use.
            _ if response.status() == StatusCode::PARTIAL_CONTENT => {
                return Err(FetchError::Status {
                    package: package.to_owned(),
                    url: shown(&url),
                    status: response.status().as_u16(),
                    after: None,
                });
            }
            _ => (0, response.content_length()),
        };
        Ok(Download {
            response,
            package: package.to_owned(),
            url: shown(&url),
            start,
            total,
        })
    }

    /// One GET with redirects; the answer is a success, and where it came from.
    async fn get(
        &self,
        package: &str,
        mut url: Url,
        headers: &HeaderMap,
    ) -> Result<(Response, Url), FetchError> {
        let mut secure = url.scheme() == "https";
        for _ in 0..HOPS {
            let mut request = self.http.get(url.clone()).headers(headers.clone());
            // Nothing secret over a plain connection that a secure one pointed to.
            let allowed = !secure || url.scheme() == "https";
            let authorization = allowed.then(|| self.authorize(&url)).flatten();
            let sent = authorization.is_some();
            if let Some(value) = authorization {
                request = request.header(AUTHORIZATION, value);
            }
            let response = request.send().await.map_err(|source| FetchError::Network {
                package: package.to_owned(),
                url: shown(&url),
                source: source.without_url(),
            })?;
            let status = response.status();
            if status.is_success() {
                return Ok((response, url));
            }
            let (package, at) = (package.to_owned(), shown(&url));
            match status.as_u16() {
                301 | 302 | 303 | 307 | 308 => {
                    let next = response
                        .headers()
                        .get(LOCATION)
                        .and_then(|value| value.to_str().ok())
                        .and_then(|text| url.join(text).ok())
                        .filter(|next| matches!(next.scheme(), "http" | "https"));
                    let Some(next) = next else {
                        return Err(FetchError::Redirect {
                            package,
                            url: at,
                            how: "to no address",
                        });
                    };
                    secure |= next.scheme() == "https";
                    url = next;
                }
                404 | 410 => return Err(FetchError::NotFound { package, url: at }),
                status @ (401..=403) => {
                    return Err(FetchError::Denied {
                        package,
                        url: at,
                        status,
                        sent,
                    });
                }
                status => {
                    return Err(FetchError::Status {
                        package,
                        url: at,
                        status,
                        after: retry_after(response.headers()),
                    });
                }
            }
        }
        Err(FetchError::Redirect {
            package: package.to_owned(),
            url: shown(&url),
            how: "in circles",
        })
    }
}

impl Download {
    /// The next bytes; none at the end.
    ///
    /// # Errors
    /// When the connection breaks or stays silent too long.
    pub async fn chunk(&mut self) -> Result<Option<bytes::Bytes>, FetchError> {
        self.response.chunk().await.map_err(|source| FetchError::Network {
            package: self.package.clone(),
            url: self.url.clone(),
            source: source.without_url(),
        })
    }

    /// Where the bytes come from, fit to be shown.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }
}

/// A whole document, bounded.
async fn body(mut response: Response, package: &str, url: &Url) -> Result<Vec<u8>, FetchError> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|source| FetchError::Network {
        package: package.to_owned(),
        url: shown(url),
        source: source.without_url(),
    })? {
        body.extend_from_slice(&chunk);
        if body.len() as u64 > MAX_PACKUMENT {
            return Err(FetchError::TooLarge {
                package: package.to_owned(),
                url: shown(url),
                limit: MAX_PACKUMENT,
            });
        }
    }
    Ok(body)
}

/// Waits as the count says, or gives the error back when it is to stand.
///
/// # Errors
/// The error itself, when trying again is useless or was done often enough.
pub(crate) async fn pause(retry: &mut Retry, error: FetchError) -> Result<(), FetchError> {
    // The standard library's hash seeds are the random numbers at hand.
    let dice = RandomState::new().build_hasher().finish() as u32;
    match retry.pause(&error, dice) {
        Some(pause) => {
            tracing::debug!(%error, ?pause, "trying again");
            tokio::time::sleep(pause).await;
            Ok(())
        }
        None => Err(error),
    }
}

impl Retry {
    /// Waits as the count says, or gives the error back when it is to stand.
    ///
    /// # Errors
    /// The error itself, when trying again is useless or was done often enough.
    pub async fn wait(&mut self, error: FetchError) -> Result<(), FetchError> {
        pause(self, error).await
    }
}

fn proxies(proxies: &Proxies) -> reqwest::Result<Vec<Proxy>> {
    let except = || NoProxy::from_string(&proxies.except);
    let mut all = Vec::new();
    if let Some(url) = &proxies.http {
        all.push(Proxy::http(url.clone())?.no_proxy(except()));
    }
    if let Some(url) = &proxies.https {
        all.push(Proxy::https(url.clone())?.no_proxy(except()));
    }
    Ok(all)
}

/// `@scope/name` is one path segment in metadata addresses: its slash is written `%2f`.
fn packument_url(registry: &Url, name: &PackageName) -> Url {
    let mut url = registry.clone();
    let path = format!("{}{}", registry.path(), name.as_str().replace('/', "%2f"));
    url.set_path(&path);
    url
}

/// An address below a registry's.
fn below(registry: &Url, path: &str) -> Url {
    let mut url = registry.clone();
    url.set_path(&format!("{}{path}", registry.path()));
    url
}

/// npm's convention, which lets a lock do without addresses.
fn tarball_url(registry: &Url, name: &PackageName, version: &Version) -> Url {
    let mut url = registry.clone();
    let path = format!("{}{name}/-/{}-{version}.tgz", registry.path(), name.base());
    url.set_path(&path);
    url
}

/// Mirrors repeat the public registry's addresses in their metadata; npm goes to the configured host instead.
fn on_registry(mut told: Url, registry: &Url) -> Url {
    let public = Url::parse(npmrc_config_rs::registry::DEFAULT_REGISTRY).ok();
    if public.is_some_and(|public| public.host_str() == told.host_str())
        && told.host_str() != registry.host_str()
    {
        let path = format!("{}{}", registry.path().trim_end_matches('/'), told.path());
        told = registry.clone();
        told.set_path(&path);
    }
    told
}

/// `bytes 100-199/33663`: the first byte and the size of the whole.
fn content_range(headers: &HeaderMap) -> Option<(u64, Option<u64>)> {
    let text = headers.get(CONTENT_RANGE)?.to_str().ok()?;
    let (range, total) = text.strip_prefix("bytes ")?.split_once('/')?;
    let (start, _) = range.split_once('-')?;
    Some((start.trim().parse().ok()?, total.trim().parse().ok()))
}

/// Seconds only: a date would need a clock that agrees with the server's.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_follow_npms_convention() {
        let registry = Url::parse("http://r.test/npm/").unwrap();
        let version = Version::parse("1.2.3-rc.1").unwrap();
        for (name, document, archive) in [
            (
                "thing",
                "http://r.test/npm/thing",
                "http://r.test/npm/thing/-/thing-1.2.3-rc.1.tgz",
            ),
            (
                "@team/thing",
                "http://r.test/npm/@team%2fthing",
                "http://r.test/npm/@team/thing/-/thing-1.2.3-rc.1.tgz",
            ),
        ] {
            let name: PackageName = name.parse().unwrap();
            assert_eq!(packument_url(&registry, &name).as_str(), document);
            assert_eq!(tarball_url(&registry, &name, &version).as_str(), archive);
        }
    }

    #[test]
    fn mirrors_are_not_left() {
        let registry = Url::parse("http://mirror.test/npm/").unwrap();
        let mut public = Url::parse(npmrc_config_rs::registry::DEFAULT_REGISTRY).unwrap();
        public.set_path("/a/-/a-1.0.0.tgz");
        assert_eq!(
            on_registry(public, &registry).as_str(),
            "http://mirror.test/npm/a/-/a-1.0.0.tgz"
        );
        let other = Url::parse("http://cdn.test/a.tgz").unwrap();
        assert_eq!(on_registry(other.clone(), &registry), other);
    }

    #[test]
    fn ranges_are_read() {
        let read = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(CONTENT_RANGE, HeaderValue::from_str(text).unwrap());
            content_range(&headers)
        };
        assert_eq!(read("bytes 100-199/33663"), Some((100, Some(33663))));
        assert_eq!(read("bytes 100-199/*"), Some((100, None)));
        assert_eq!(read("bytes */33663"), None);
        assert_eq!(read("lines 1-2/3"), None);
    }
}
