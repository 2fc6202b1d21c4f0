//! Where packages come from and with which credentials, read as npm reads it.
//!
//! Layers, nearest first: environment (`npm_config_*`), project, user and global npmrc. Credentials belong to an
//! address and everything below it, and are given to nobody else.

use std::collections::HashMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::{fmt, fs, io};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use npmrc_config_rs::{ConfigData, expand_tilde};
use thiserror::Error;
use url::Url;

use crate::name::PackageName;

/// The key of a list of certificates, each in one line.
const AUTHORITIES: &str = "ca[]";

/// npm's configuration as far as fetching packages is concerned.
#[derive(Clone)]
pub struct Config {
    /// Nearest first.
    pub(crate) layers: Vec<HashMap<String, String>>,
    pub(crate) env: HashMap<String, String>,
}

/// Where configuration is looked for.
#[derive(Clone, Debug)]
pub struct Places {
    /// The folder whose project npmrc counts: it, or the nearest folder above with a package.json.
    pub project: PathBuf,
    /// The environment.
    pub env: Vec<(String, String)>,
}

/// Configuration that cannot be used.
#[derive(Debug, Error)]
pub enum ConfigError {
    /// An npmrc exists and cannot be read.
    #[error("npm's configuration file {path} cannot be read")]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A setting holds something else than it should.
    #[error("npm's setting `{key}` is not {expected}")]
    Value {
        /// The setting.
        key: String,
        /// What it should be.
        expected: &'static str,
    },
    /// A file with certificates cannot be read.
    #[error("the certificates in {path} ({key}) cannot be read")]
    Certificates {
        /// The setting or variable that names the file.
        key: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// What may be told to a program that must not see credentials.
#[derive(Clone, Debug, Default)]
pub struct Addresses {
    /// The default registry, where one was set.
    pub registry: Option<Url>,
    /// Proxy for `http:` addresses; it may hold a password.
    pub http_proxy: Option<Url>,
    /// Proxy for `https:` addresses; it may hold a password.
    pub https_proxy: Option<Url>,
    /// Hosts that are reached without a proxy, separated by commas.
    pub no_proxy: String,
    /// File with the certificates that are trusted instead of, or besides, the usual ones.
    pub ca_file: Option<PathBuf>,
}

/// The value of an `Authorization` header. Never printed.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Authorization(pub(crate) String);

/// Certificates that are trusted.
#[derive(Debug, Default)]
pub(crate) struct Trust {
    /// Instead of the system's, as npm's `ca` and `cafile` mean it.
    pub(crate) only: Vec<Vec<u8>>,
    /// In addition: `NODE_EXTRA_CA_CERTS`.
    pub(crate) extra: Vec<Vec<u8>>,
    /// False when `strict-ssl=false` turned verification off.
    pub(crate) verify: bool,
}

/// Which proxy for which scheme, and for whom none.
#[derive(Clone, Default, PartialEq, Eq)]
pub(crate) struct Proxies {
    pub(crate) http: Option<Url>,
    pub(crate) https: Option<Url>,
    pub(crate) except: String,
}

impl Places {
    /// The current folder and this process's environment. Variables that are not text are left out: no setting
    /// of npm's can be meant by them.
    ///
    /// # Errors
    /// When there is no current folder.
    pub fn here() -> io::Result<Self> {
        let text =
            |(key, value): (OsString, OsString)| Some((key.into_string().ok()?, value.into_string().ok()?));
        Ok(Self {
            project: std::env::current_dir()?,
            env: std::env::vars_os().filter_map(text).collect(),
        })
    }
}

impl Config {
    /// Reads all layers.
    ///
    /// # Errors
    /// When an existing npmrc cannot be read, or the registry or proxy it names is no address.
    pub fn load(places: &Places) -> Result<Self, ConfigError> {
        let env: HashMap<String, String> = places
            .env
            .iter()
            .filter(|(_, value)| !value.is_empty())
            .cloned()
            .collect();
        let mut config = Self {
            layers: vec![environment_layer(&env)],
            env,
        };
        let project = npmrc_config_rs::find_local_prefix(&places.project);
        let project = npmrc_config_rs::project_config_path(&project);
        let user = config
            .path("userconfig")
            .or_else(|| config.env.get("HOME").map(|home| Path::new(home).join(".npmrc")));
        // Global is read even where there is no Node.js from whose place npm would derive it.
        let global = config.path("globalconfig").or_else(|| {
            config
                .path("prefix")
                .or_else(npmrc_config_rs::find_global_prefix)
                .map(|prefix| npmrc_config_rs::global_config_path(&prefix))
        });
        for path in [Some(project), user, global].into_iter().flatten() {
            let unreadable = |source| ConfigError::File {
                path: path.clone(),
                source,
            };
            let Some(mut layer) = ConfigData::load(&path).map_err(|source| unreadable(Box::new(source)))?
            else {
                continue;
            };
            // A map keeps the last of several entries, and each of these is a certificate.
            let text = fs::read_to_string(&path).map_err(|source| unreadable(Box::new(source)))?;
            if let Some(list) = authorities(&text) {
                layer.data.insert(AUTHORITIES.to_owned(), list);
            }
            config.layers.push(layer.data);
        }
        config.default_registry()?;
        config.proxies()?;
        Ok(config)
    }

    pub(crate) fn get(&self, key: &str) -> Option<&str> {
        self.layers
            .iter()
            .find_map(|layer| layer.get(key))
            .map(String::as_str)
    }

    fn path(&self, key: &str) -> Option<PathBuf> {
        self.get(key)
            .filter(|path| !path.is_empty() && *path != "null")
            .map(expand_tilde)
    }

    fn address(&self, key: &str) -> Result<Option<Url>, ConfigError> {
        let Some(text) = self
            .get(key)
            .filter(|text| !matches!(*text, "" | "null" | "false"))
        else {
            return Ok(None);
        };
        Url::parse(text)
            .ok()
            .filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
            .map(Some)
            .ok_or_else(|| ConfigError::Value {
                key: key.to_owned(),
                expected: "an http or https address",
            })
    }

    /// The registry for packages without one of their own; ends in a slash.
    ///
    /// # Errors
    /// When it is no address.
    pub fn default_registry(&self) -> Result<Url, ConfigError> {
        let url = self.address("registry")?;
        url.map_or_else(
            || {
                Url::parse(npmrc_config_rs::registry::DEFAULT_REGISTRY).map_err(|_| ConfigError::Value {
                    key: "registry".to_owned(),
                    expected: "set",
                })
            },
            |url| Ok(as_folder(url)),
        )
    }

    /// The registry for this package: its scope's, or the default one.
    ///
    /// # Errors
    /// When it is no address.
    pub fn registry_for(&self, name: &PackageName) -> Result<Url, ConfigError> {
        if let Some(scope) = name.scope()
            && let Some(url) = self.address(&format!("{scope}:registry"))?
        {
            return Ok(as_folder(url));
        }
        self.default_registry()
    }

    /// Where packages come from and through what, without credentials.
    ///
    /// # Errors
    /// When a setting is no address.
    pub fn addresses(&self) -> Result<Addresses, ConfigError> {
        let proxies = self.proxies()?;
        Ok(Addresses {
            registry: self.address("registry")?.map(as_folder),
            http_proxy: proxies.http,
            https_proxy: proxies.https,
            no_proxy: proxies.except,
            ca_file: self
                .path("cafile")
                .or_else(|| self.env.get("NODE_EXTRA_CA_CERTS").map(PathBuf::from)),
        })
    }

    /// Credentials for an address: those configured for it or for the nearest folder above it.
    pub(crate) fn authorization(&self, url: &Url) -> Option<Authorization> {
        let mut place = npmrc_config_rs::nerf_dart(url);
        loop {
            if let Some(found) = self.credentials_at(&place) {
                return Some(found);
            }
            // `//host/a/b/` -> `//host/a/` -> `//host/`
            let trimmed = place.trim_end_matches('/');
            let end = trimmed.rfind('/')?;
            if end < 2 {
                return None;
            }
            place.truncate(end + 1);
        }
    }

    fn credentials_at(&self, place: &str) -> Option<Authorization> {
        // npm takes keys with and without the slash at the end.
        let bare = place.trim_end_matches('/');
        let get = |key: &str| {
            self.get(&format!("{place}:{key}"))
                .or_else(|| self.get(&format!("{bare}:{key}")))
                .filter(|value| !value.is_empty())
        };
        if let Some(token) = get("_authToken") {
            return Some(Authorization(format!("Bearer {token}")));
        }
        if let Some(basic) = get("_auth") {
            return Some(Authorization(format!("Basic {basic}")));
        }
        let (name, password) = (get("username")?, get("_password")?);
        let password = STANDARD.decode(password).ok()?;
        let mut both = format!("{name}:").into_bytes();
        both.extend(password);
        Some(Authorization(format!("Basic {}", STANDARD.encode(both))))
    }

    /// npm's `https-proxy` and `proxy`, else what the environment says to every program.
    pub(crate) fn proxies(&self) -> Result<Proxies, ConfigError> {
        let env = |names: &[&str]| -> Result<Option<Url>, ConfigError> {
            for name in names {
                let found = self
                    .env
                    .get(*name)
                    .or_else(|| self.env.get(&name.to_ascii_uppercase()));
                if let Some(text) = found {
                    let text = if text.contains("://") {
                        text.clone()
                    } else {
                        format!("http://{text}")
                    };
                    return Url::parse(&text).map(Some).map_err(|_| ConfigError::Value {
                        key: (*name).to_owned(),
                        expected: "an address",
                    });
                }
            }
            Ok(None)
        };
        let set = self
            .address("https-proxy")?
            .map_or_else(|| self.address("proxy"), |url| Ok(Some(url)))?;
        let except = self
            .get("noproxy")
            .map(str::to_owned)
            .or_else(|| self.env.get("no_proxy").cloned())
            .or_else(|| self.env.get("NO_PROXY").cloned())
            .unwrap_or_default();
        Ok(match set {
            Some(url) => Proxies {
                http: Some(url.clone()),
                https: Some(url),
                except,
            },
            None => Proxies {
                http: env(&["http_proxy", "all_proxy"])?,
                https: env(&["https_proxy", "http_proxy", "all_proxy"])?,
                except,
            },
        })
    }

    /// Certificates that are trusted. `SSL_CERT_FILE` and `SSL_CERT_DIR` say where the system's are; the reader of
    /// the system's roots honours them itself.
    pub(crate) fn trust(&self) -> Result<Trust, ConfigError> {
        let read = |key: &'static str, path: PathBuf| {
            fs::read(&path).map_err(|source| ConfigError::Certificates { key, path, source })
        };
        let mut trust = Trust {
            verify: self.verifies_tls(),
            ..Trust::default()
        };
        for key in ["ca", AUTHORITIES] {
            if let Some(inline) = self.get(key).filter(|text| text.contains("BEGIN CERTIFICATE")) {
                trust.only.push(inline.replace("\\n", "\n").into_bytes());
            }
        }
        if let Some(path) = self.path("cafile") {
            trust.only.push(read("cafile", path)?);
        }
        if let Some(path) = self.env.get("NODE_EXTRA_CA_CERTS") {
            trust
                .extra
                .push(read("NODE_EXTRA_CA_CERTS", PathBuf::from(path))?);
        }
        Ok(trust)
    }

    /// False when `strict-ssl=false` turned certificate checks off: a lesser mode that must be told.
    #[must_use]
    pub fn verifies_tls(&self) -> bool {
        self.get("strict-ssl")
            .and_then(npmrc_config_rs::parse_bool)
            .unwrap_or(true)
    }

    /// How often a failed request is made again: npm's `fetch-retries`.
    pub(crate) fn retries(&self) -> u32 {
        self.get("fetch-retries")
            .and_then(|text| text.parse().ok())
            .unwrap_or(4)
    }
}

/// Settings may hold tokens: only their number is shown.
impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Config({} layers)", self.layers.len())
    }
}

/// `npm_config_fetch_retries` sets `fetch-retries`; names are compared without regard to case, except those of
/// addresses, which start with `//`.
pub(crate) fn environment_layer(env: &HashMap<String, String>) -> HashMap<String, String> {
    const PREFIX: &str = "npm_config_";
    env.iter()
        .filter_map(|(name, value)| {
            let (prefix, key) = name.split_at_checked(PREFIX.len())?;
            if !prefix.eq_ignore_ascii_case(PREFIX) || key.is_empty() {
                return None;
            }
            let key = if key.starts_with("//") {
                key.to_owned()
            } else {
                let (first, rest) = key.split_at(1);
                format!("{first}{}", rest.replace('_', "-")).to_ascii_lowercase()
            };
            Some((key, value.clone()))
        })
        .collect()
}

/// All certificates that an npmrc lists one by one, or nothing.
fn authorities(npmrc: &str) -> Option<String> {
    let list: Vec<&str> = npmrc
        .lines()
        .filter_map(|line| {
            let (key, value) = line.split_once('=')?;
            (key.trim() == AUTHORITIES).then(|| value.trim().trim_matches(['"', '\'']))
        })
        .collect();
    (!list.is_empty()).then(|| list.join("\n"))
}

/// The same address with a slash at the end, so that joining appends.
fn as_folder(mut url: Url) -> Url {
    if !url.path().ends_with('/') {
        let path = format!("{}/", url.path());
        url.set_path(&path);
    }
    url.set_query(None);
    url.set_fragment(None);
    url
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(user: &str, env: &[(&str, &str)]) -> Config {
        let home = std::env::temp_dir().join(format!("npm-config-{}-{:p}", std::process::id(), user));
        fs::create_dir_all(&home).unwrap();
        fs::write(home.join(".npmrc"), user).unwrap();
        fs::write(home.join("package.json"), "{}").unwrap();
        let mut all = vec![
            ("HOME".to_owned(), home.display().to_string()),
            ("npm_config_globalconfig".to_owned(), "/nonexistent".to_owned()),
        ];
        all.extend(env.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())));
        let project = home.join("project");
        fs::create_dir_all(&project).unwrap();
        fs::write(project.join("package.json"), "{}").unwrap();
        let config = Config::load(&Places { project, env: all }).unwrap();
        fs::remove_dir_all(home).unwrap();
        config
    }

    #[test]
    fn the_nearest_layer_wins() {
        let name: PackageName = "@team/thing".parse().unwrap();
        let plain: PackageName = "thing".parse().unwrap();
        let user = "registry=http://user.test/npm\n@team:registry=http://team.test/";
        let found = config(user, &[]);
        assert_eq!(
            found.registry_for(&plain).unwrap().as_str(),
            "http://user.test/npm/"
        );
        assert_eq!(found.registry_for(&name).unwrap().as_str(), "http://team.test/");
        let found = config(user, &[("NPM_CONFIG_REGISTRY", "http://env.test")]);
        assert_eq!(found.registry_for(&plain).unwrap().as_str(), "http://env.test/");
        assert_eq!(found.registry_for(&name).unwrap().as_str(), "http://team.test/");
    }

    #[test]
    fn credentials_stay_where_they_belong() {
        let found = config(
            "//a.test/npm/:_authToken=secret\n//b.test/:username=u\n//b.test/:_password=cGFzcw==\n\
             //c.test:8080/:_auth=dTpw\n",
            &[("npm_config_//d.test/:_authToken", "env")],
        );
        for (url, expected) in [
            ("http://a.test/npm/x/-/x-1.0.0.tgz", Some("Bearer secret")),
            ("http://a.test/npm/x", Some("Bearer secret")),
            ("http://a.test/other/x", None),
            ("http://a.test.evil/npm/x", None),
            ("http://a.test:81/npm/x", None),
            ("http://b.test/deep/er/x", Some("Basic dTpwYXNz")),
            ("http://c.test:8080/x", Some("Basic dTpw")),
            ("http://c.test/x", None),
            ("http://d.test/x", Some("Bearer env")),
        ] {
            let url = Url::parse(url).unwrap();
            assert_eq!(
                found.authorization(&url).map(|a| a.0).as_deref(),
                expected,
                "{url}"
            );
        }
        assert!(!format!("{found:?}").contains("secret"));
    }

    #[test]
    fn proxies_come_from_npm_or_the_environment() {
        let text = |url: &Option<Url>| url.as_ref().map(|url| url.as_str().to_owned());
        let none = config("", &[]).proxies().unwrap();
        assert_eq!((none.http, none.https), (None, None));
        let env = config("", &[("HTTP_PROXY", "p.test:3128"), ("no_proxy", "x.test")])
            .proxies()
            .unwrap();
        assert_eq!(text(&env.http).as_deref(), Some("http://p.test:3128/"));
        assert_eq!(text(&env.https).as_deref(), Some("http://p.test:3128/"));
        assert_eq!(env.except, "x.test");
        let both = config(
            "proxy=http://npm.test/\nnoproxy=y.test",
            &[("HTTPS_PROXY", "http://e.test")],
        )
        .proxies()
        .unwrap();
        assert_eq!(text(&both.https).as_deref(), Some("http://npm.test/"));
        assert_eq!(both.except, "y.test");
    }

    #[test]
    fn certificate_checks_are_on_unless_turned_off() {
        assert!(config("", &[]).verifies_tls());
        assert!(!config("strict-ssl=false", &[]).verifies_tls());
        assert!(config("strict-ssl=banana", &[]).verifies_tls());
    }

    #[test]
    fn every_certificate_of_a_list_counts() {
        let one = |name: &str| format!("-----BEGIN CERTIFICATE-----\\n{name}\\n-----END CERTIFICATE-----");
        let npmrc = format!(
            "ca[]=\"{}\"\n ca[] = {}\nregistry=http://a.test/\n",
            one("first"),
            one("second")
        );
        let trust = config(&npmrc, &[]).trust().unwrap();
        let pem = String::from_utf8(trust.only.concat()).unwrap();
        assert_eq!(
            pem.lines().collect::<Vec<_>>(),
            [
                "-----BEGIN CERTIFICATE-----",
                "first",
                "-----END CERTIFICATE-----",
                "-----BEGIN CERTIFICATE-----",
                "second",
                "-----END CERTIFICATE-----"
            ]
        );
        assert!(trust.extra.is_empty());
    }

    #[test]
    fn nonsense_is_named() {
        let places = Places {
            project: PathBuf::from("/"),
            env: vec![("npm_config_registry".to_owned(), "nonsense".to_owned())],
        };
        assert_eq!(
            Config::load(&places).unwrap_err().to_string(),
            "npm's setting `registry` is not an http or https address"
        );
    }
}
