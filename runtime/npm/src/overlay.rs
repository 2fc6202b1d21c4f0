//! What somebody else than this host's operator says of registries, above the host's configuration: an instance's settings.

use std::collections::HashMap;

use crate::config::{Config, ConfigError, environment_layer};

impl Config {
    /// The same with what `env` (`npm_config_*`) and the text of an npmrc say of registries and credentials above it.
    /// Both may be a stranger's: `${NAME}` stands for what `env` has, never for what this process has, and no file of
    /// this machine can be named.
    ///
    /// # Errors
    /// When a registry or proxy is no address.
    pub fn overlaid(&self, env: &[(String, String)], npmrc: &str) -> Result<Self, ConfigError> {
        let theirs: HashMap<String, String> = env.iter().cloned().collect();
        let text = entries(npmrc)
            .map(|(key, value)| (key.to_owned(), expanded(value, &theirs)))
            .collect();
        let mut config = self.clone();
        for mut layer in [text, environment_layer(&theirs)] {
            layer.retain(|key, _| may_be_overlaid(key));
            config.layers.insert(0, layer);
        }
        config.default_registry()?;
        config.proxies()?;
        Ok(config)
    }
}

/// What the text of an npmrc says of how to install: nothing of registries, of who may use them, or of this machine.
#[must_use]
pub fn install_options(npmrc: &str) -> Vec<(String, String)> {
    const KEYS: [&str; 12] = [
        "engine-strict",
        "force",
        "include",
        "install-strategy",
        "legacy-peer-deps",
        "loglevel",
        "omit",
        "prefer-dedupe",
        "save-exact",
        "save-prefix",
        "strict-peer-deps",
        "tag",
    ];
    entries(npmrc)
        .filter(|(key, _)| KEYS.contains(key))
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect()
}

/// Keys with their values, as written but for the quotes.
fn entries(npmrc: &str) -> impl Iterator<Item = (&str, &str)> {
    let lines = npmrc.lines().map(str::trim);
    lines
        .filter(|line| !line.starts_with(['#', ';']))
        .filter_map(|line| line.split_once('='))
        .map(|(key, value)| (key.trim(), bare(value)))
}

/// What is about registries and who may use them, and names nothing on this machine.
fn may_be_overlaid(key: &str) -> bool {
    const KEYS: [&str; 6] = [
        "registry",
        "proxy",
        "https-proxy",
        "noproxy",
        "fetch-retries",
        "strict-ssl",
    ];
    KEYS.contains(&key) || key.starts_with("//") || (key.starts_with('@') && key.ends_with(":registry"))
}

/// A value without the quotes around it.
fn bare(value: &str) -> &str {
    let value = value.trim();
    ['"', '\'']
        .into_iter()
        .find_map(|quote| value.strip_prefix(quote)?.strip_suffix(quote))
        .unwrap_or(value)
}

/// A value with `${NAME}` replaced from `env`; what is not there is replaced by nothing.
fn expanded(value: &str, env: &HashMap<String, String>) -> String {
    let mut parts = value.split("${");
    let mut all = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (name, rest) = part.split_once('}').unwrap_or((part, ""));
        all.push_str(env.get(name.trim_end_matches('?')).map_or("", String::as_str));
        all.push_str(rest);
    }
    all
}

#[cfg(test)]
mod tests {
    use url::Url;

    use super::*;
    use crate::name::PackageName;

    #[test]
    fn how_to_install_is_told_from_where() {
        let text = "registry=http://r.test/\n//r.test/:_authToken=x\n# omit=y\nlegacy-peer-deps = true\nsave-prefix=\"^\"\n\
                    cafile=/etc/shadow\nignore-scripts=false\n";
        let found = install_options(text);
        let found: Vec<(&str, &str)> = found
            .iter()
            .map(|(key, value)| (key.as_str(), value.as_str()))
            .collect();
        assert_eq!(found, [("legacy-peer-deps", "true"), ("save-prefix", "^")]);
    }

    #[test]
    fn a_strangers_layer_names_registries_and_sees_nothing_of_this_process() {
        let plain: PackageName = "thing".parse().unwrap();
        let host = [
            ("registry", "http://user.test/"),
            ("//user.test/:_authToken", "host"),
            ("cafile", "/host.pem"),
        ];
        let host = Config {
            layers: vec![host.map(|(key, value)| (key.to_owned(), value.to_owned())).into()],
            env: HashMap::new(),
        };
        let path = std::env::var("PATH").unwrap();
        let env = [
            ("npm_config_registry".to_owned(), "http://env.test".to_owned()),
            ("TOKEN".to_owned(), "theirs".to_owned()),
        ];
        let text = "registry=http://ignored.test/\n# x=y\n//env.test/:_authToken=\"${TOKEN}${PATH}\"\ncafile=/etc/shadow\n";
        let found = host.overlaid(&env, text).unwrap();
        assert_eq!(found.registry_for(&plain).unwrap().as_str(), "http://env.test/");
        let bearer = |url: &str| {
            found
                .authorization(&Url::parse(url).unwrap())
                .map(|found| found.0)
        };
        assert_eq!(bearer("http://env.test/thing").as_deref(), Some("Bearer theirs"));
        assert_eq!(bearer("http://user.test/thing").as_deref(), Some("Bearer host"));
        assert_eq!(found.get("cafile"), Some("/host.pem"));
        assert!(!format!("{:?}", found.layers).contains(&path));
        assert!(host.overlaid(&[], "registry=nonsense").is_err());
    }
}
