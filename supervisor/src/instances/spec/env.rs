//! The environment of an instance: built from nothing, never inherited from the host.
//!
//! Precedence, lowest first: Redhold's defaults (time zone, language, allocator and thread pool sizes, npm), then
//! the person's variables, which may replace any of them. A name that would undo a wall or a measured lever behind
//! the person's back is refused by name instead of being dropped or obeyed silently: see [`reserved`].

use std::path::PathBuf;

use npm::Addresses;
use url::Url;

use super::{Inside, PrepareError, Wanted};

/// How the palette manager reaches the npm registry. Addresses only: a token belongs into the project's `.npmrc`,
/// which npm reads itself; what stands in the environment can be read by every flow.
#[derive(Clone, Debug, Default)]
pub struct NpmSettings {
    /// The registry.
    pub registry: Option<String>,
    /// Proxy for `http:` addresses.
    pub proxy: Option<String>,
    /// Proxy for `https:` addresses.
    pub https_proxy: Option<String>,
    /// Hosts that are reached without a proxy, separated by commas.
    pub no_proxy: Option<String>,
    /// Host file with further certificate authorities (PEM).
    pub ca: Option<PathBuf>,
}

impl From<Addresses> for NpmSettings {
    fn from(host: Addresses) -> Self {
        let text = |url: Option<Url>| url.map(String::from);
        Self {
            registry: text(host.registry),
            proxy: text(host.http_proxy),
            https_proxy: text(host.https_proxy),
            no_proxy: Some(host.no_proxy).filter(|hosts| !hosts.is_empty()),
            ca: host.ca_file,
        }
    }
}

/// Why a person's environment may not name this variable, if so.
#[must_use]
pub fn reserved(name: &str) -> Option<&'static str> {
    const LOADER: &str = "it changes which native code every program inside loads";
    const NODE: &str = "Redhold starts Node.js with measured flags of its own";
    const PLACE: &str = "Redhold decides where things lie inside the sandbox";
    match name {
        "NODE_OPTIONS" | "NODE_COMPILE_CACHE" | "NODE_DISABLE_COMPILE_CACHE" | "NODE_V8_COVERAGE" => {
            Some(NODE)
        }
        "HOME" | "PWD" | "NODE_PATH" | "NODE_RED_HOME" | "TMPDIR" => Some(PLACE),
        "NODE_CHANNEL_FD" | "NODE_UNIQUE_ID" => {
            Some("it makes Node.js believe in a parent process that is not there")
        }
        "NODE_RED_ENABLE_SAFE_MODE" => Some("start with safe mode instead"),
        _ if name.starts_with("LD_") => Some(LOADER),
        _ if name.starts_with("REDHOLD_") => Some("the prefix REDHOLD_ is Redhold's own"),
        _ => None,
    }
}

/// Checks a person's variables.
pub(super) fn check(variables: &[(String, String)]) -> Result<(), PrepareError> {
    for (name, value) in variables {
        if name.is_empty() || name.contains(['=', '\0']) || value.contains('\0') {
            return Err(PrepareError::Unusable(name.clone()));
        }
        if let Some(reason) = reserved(name) {
            return Err(PrepareError::Reserved {
                name: name.clone(),
                reason,
            });
        }
    }
    Ok(())
}

/// The whole environment, sorted by nothing but precedence; no name occurs twice.
pub(super) fn environment(wanted: &Wanted<'_>, inside: &Inside) -> Vec<(String, String)> {
    let text = |path: &std::path::Path| path.to_string_lossy().into_owned();
    let mut all: Vec<(String, String)> = [
        ("PATH", "/usr/local/bin:/usr/bin:/bin".to_owned()),
        ("HOME", text(&inside.data)),
        ("TMPDIR", "/tmp".to_owned()),
        ("LANG", "C.UTF-8".to_owned()),
        // glibc gives each thread an arena of its own and keeps freed memory; one arena and a low threshold took
        // 5 MB off an idle instance and cost no CPU per request (`mallopt(3)`).
        ("MALLOC_ARENA_MAX", "1".to_owned()),
        ("MALLOC_TRIM_THRESHOLD_", "65536".to_owned()),
        // libuv's default of 4 threads serves file access and name look-ups; 2 suffice for Node-RED's own.
        ("UV_THREADPOOL_SIZE", "2".to_owned()),
        // What a package runs at its installation runs with all that the instance may do, unseen. Nodes that must
        // build native code need an explicit decision.
        ("npm_config_ignore_scripts", "true".to_owned()),
        ("npm_config_update_notifier", "false".to_owned()),
        ("npm_config_fund", "false".to_owned()),
        ("npm_config_audit", "false".to_owned()),
        // Otherwise npm fills HOME, which is the project folder, with a cache and a log of each run.
        ("npm_config_cache", "/tmp/npm".to_owned()),
        ("npm_config_logs_max", "0".to_owned()),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_owned(), value))
    .collect();
    let npm = &wanted.npm;
    let addresses = [
        ("npm_config_registry", &npm.registry),
        ("npm_config_proxy", &npm.proxy),
        ("npm_config_https_proxy", &npm.https_proxy),
    ];
    for (name, value) in addresses {
        if let Some(address) = value {
            all.push((name.to_owned(), without_password(address)));
        }
    }
    if let Some(hosts) = &npm.no_proxy {
        all.push(("npm_config_noproxy".to_owned(), hosts.clone()));
    }
    if npm.ca.is_some() {
        all.push(("npm_config_cafile".to_owned(), text(&inside.guest.join("ca.pem"))));
    }
    for (name, value) in &wanted.env {
        match all.iter_mut().find(|(known, _)| known == name) {
            Some(known) => known.1.clone_from(value),
            None => all.push((name.clone(), value.clone())),
        }
    }
    all
}

/// The address without a user name and password in it.
fn without_password(address: &str) -> String {
    match Url::parse(address) {
        Ok(mut url) if !url.username().is_empty() || url.password().is_some() => {
            let cleared = url.set_username("").and_then(|()| url.set_password(None));
            if cleared.is_ok() {
                url.into()
            } else {
                String::new()
            }
        }
        _ => address.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_undo_a_wall_is_refused_by_name() {
        for name in ["NODE_OPTIONS", "LD_PRELOAD", "REDHOLD_X", "HOME"] {
            let refused = check(&[(name.to_owned(), String::new())]).expect_err(name);
            assert!(refused.to_string().contains(name), "{refused}");
        }
        check(&[
            ("UV_THREADPOOL_SIZE".to_owned(), "8".to_owned()),
            ("TZ".to_owned(), "Europe/Vienna".to_owned()),
        ])
        .expect("levers without a wall behind them are the person's choice");
        for (name, value) in [("", "x"), ("A=B", "x"), ("A", "x\0y")] {
            assert!(check(&[(name.to_owned(), value.to_owned())]).is_err());
        }
    }

    #[test]
    fn passwords_do_not_pass() {
        assert_eq!(
            without_password("http://me:secret@proxy.example:3128/"),
            "http://proxy.example:3128/"
        );
        assert_eq!(
            without_password("http://registry.example"),
            "http://registry.example"
        );
    }
}
