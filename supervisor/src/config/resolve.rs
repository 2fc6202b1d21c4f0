//! Pure: flags over environment over file over defaults; all mistakes at once.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use ipnet::IpNet;

use super::file::File;
use super::{Config, LogFormat, Tls, alerts, network, tls};
use crate::problem::{Code, Problem};

/// Connections of one client: an eighth of what a host takes, and enough for an office behind one address.
const PER_CLIENT: usize = 2048;
/// A day.
const DRAIN_MINUTES: u32 = 24 * 60;

/// What the command line says; everything optional.
#[derive(Clone, Debug, Default)]
pub struct Flags {
    /// `--data-dir`
    pub data_dir: Option<PathBuf>,
    /// `--http`
    pub http: Option<Vec<String>>,
    /// `--https`
    pub https: Option<Vec<String>>,
    /// `--domain`
    pub domain: Option<String>,
    /// `--tls`
    pub tls: Option<String>,
    /// `--certificate`
    pub certificate: Option<PathBuf>,
    /// `--key`
    pub key: Option<PathBuf>,
    /// `--log-format`
    pub log: Option<String>,
}

/// Resolves a configuration. `text` is the file's, `env` the environment, `root` who runs this, `cores` the machine.
///
/// # Errors
/// [`Code::Usage`] with everything that is wrong.
pub fn resolve(
    flags: Flags,
    env: impl Fn(&str) -> Option<String>,
    text: Option<(&str, &str)>,
    default_data_dir: PathBuf,
    root: bool,
    cores: usize,
) -> Result<Config, Problem> {
    let mut wrong = Vec::new();
    let file = match text {
        None => File::default(),
        Some((path, text)) => toml::from_str(text).unwrap_or_else(|error: toml::de::Error| {
            let line = error.span().map_or(1, |span| {
                text[..span.start.min(text.len())].matches('\n').count() + 1
            });
            wrong.push(format!("{path}, line {line}: {}", error.message()));
            File::default()
        }),
    };
    let env = |name: &str| env(name).filter(|value| !value.is_empty());
    let list = |name: &str| {
        env(name).map(|text| {
            text.split(',')
                .map(|part| part.trim().to_owned())
                .collect::<Vec<_>>()
        })
    };
    let mode = flags.tls.or_else(|| env("REDHOLD_TLS"));
    let path = |name: &str| env(name).map(PathBuf::from);
    let named = (
        flags.certificate.or_else(|| path("REDHOLD_CERTIFICATE")),
        flags.key.or_else(|| path("REDHOLD_KEY")),
    );
    let tls = tls::resolve(mode, named, file.tls, &mut wrong);
    let ports: (u16, u16) = if root { (80, 443) } else { (8080, 8443) };
    let mut addresses = |name: &str, given: Option<Vec<String>>, port: u16| -> Vec<SocketAddr> {
        let given = given.unwrap_or_else(|| vec![format!("[::]:{port}")]);
        let mut parsed = Vec::new();
        for text in given {
            match text.parse() {
                Ok(address) => parsed.push(address),
                Err(_) => wrong.push(format!(
                    "{name}: `{text}` is no address with a port, such as 0.0.0.0:{port} or [::]:{port}"
                )),
            }
        }
        parsed
    };
    let http = addresses(
        "http",
        flags.http.or_else(|| list("REDHOLD_HTTP")).or(file.http),
        ports.0,
    );
    let given = flags.https.or_else(|| list("REDHOLD_HTTPS")).or(file.https);
    let https = if tls == Tls::Off && given.is_none() {
        Vec::new()
    } else {
        addresses("https", given, ports.1)
    };
    if tls == Tls::Off && !https.is_empty() {
        wrong.push("https: there are addresses, but `tls` is off".to_owned());
    }
    let domain = flags
        .domain
        .or_else(|| env("REDHOLD_DOMAIN"))
        .or(file.domain)
        .unwrap_or_else(|| "localhost".to_owned())
        .to_ascii_lowercase();
    let label = |part: &str| {
        !part.is_empty() && part.len() <= 63 && part.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'-')
    };
    if !domain.split('.').all(label) {
        wrong.push(format!("domain: `{domain}` is no host name"));
    }
    if matches!(tls, Tls::Acme(_)) && !domain.contains('.') {
        wrong.push(format!(
            "domain: `{domain}` is no name for which an authority gives certificates; name the one that leads here"
        ));
    }
    if matches!(tls, Tls::Acme(_)) && http.is_empty() {
        wrong.push("http: the authority of `acme` asks in clear, and there is no address for it".to_owned());
    }
    let log = flags.log.or_else(|| env("REDHOLD_LOG_FORMAT")).or(file.log);
    let log = match log.as_deref() {
        None | Some("auto") => LogFormat::Auto,
        Some("text") => LogFormat::Text,
        Some("json") => LogFormat::Json,
        Some("journald") => LogFormat::Journald,
        Some(other) => {
            wrong.push(format!(
                "log: `{other}` is no format; choose auto, text, json or journald"
            ));
            LogFormat::Auto
        }
    };
    let alerts = alerts::resolve(file.alerts, &mut wrong);
    let starts_at_once = file.starts_at_once.unwrap_or(cores * 2);
    if starts_at_once == 0 {
        wrong.push("starts-at-once: nothing would ever start".to_owned());
    }
    let connections_per_client = file.connections_per_client.unwrap_or(PER_CLIENT);
    if connections_per_client == 0 {
        wrong.push("connections-per-client: nobody could ever connect".to_owned());
    }
    let mut proxies = Vec::new();
    for text in file.proxies.unwrap_or_default() {
        let address = text.parse::<IpAddr>().map(IpNet::from);
        match address.or_else(|_| text.parse::<IpNet>()) {
            Ok(proxy) => proxies.push(proxy),
            Err(_) => wrong.push(format!(
                "proxies: `{text}` is no address and no network, such as 192.0.2.7 or 2001:db8::/64"
            )),
        }
    }
    let control_group = path("REDHOLD_CGROUP").or(file.control_group);
    if let Some(group) = control_group.as_deref().filter(|group| !is_group(group)) {
        wrong.push(format!(
            "control-group: `{}` is no group; write it as /proc/<pid>/cgroup does, such as \
             /system.slice/redhold-instances.service",
            group.display()
        ));
    }
    let mut table = file.network;
    table.default = env("REDHOLD_NETWORK").or(table.default);
    if let Some(network) = network::resolve(&table, &mut wrong)
        && wrong.is_empty()
    {
        Ok(Config {
            data_dir: flags.data_dir.or(file.data_dir).unwrap_or(default_data_dir),
            http,
            https,
            domain,
            tls,
            control_group,
            starts_at_once,
            connections_per_client,
            proxies,
            drain: Duration::from_secs(60 * u64::from(file.drain_minutes.unwrap_or(DRAIN_MINUTES))),
            by_path: file.by_path.unwrap_or(false),
            network,
            alerts,
            log,
        })
    } else {
        let message = format!("the configuration is wrong: {}", wrong.join("; "));
        Err(Problem::new(Code::Usage, message).hint("`redhold serve --help` lists every option and variable"))
    }
}

/// Below the root of the tree, and without a way back.
fn is_group(path: &Path) -> bool {
    use std::path::Component;
    let mut parts = path.components();
    parts.next() == Some(Component::RootDir)
        && parts.clone().next().is_some()
        && parts.all(|part| matches!(part, Component::Normal(_)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolved(flags: Flags, env: &[(&str, &str)], text: &str) -> Result<Config, Problem> {
        let lookup = |name: &str| {
            env.iter()
                .find(|(key, _)| *key == name)
                .map(|(_, value)| (*value).to_owned())
        };
        resolve(flags, lookup, Some(("redhold.toml", text)), "/d".into(), false, 2)
    }

    #[test]
    fn the_nearest_word_wins() {
        let text = "domain = 'file.example'\nhttp = ['127.0.0.1:1']\ndata-dir = '/file'\nstarts-at-once = 7";
        let config = resolved(Flags::default(), &[], text).expect("fits");
        assert_eq!(config.domain, "file.example");
        assert_eq!(
            (config.data_dir.to_str(), config.starts_at_once),
            (Some("/file"), 7)
        );
        assert_eq!(config.https, ["[::]:8443".parse().expect("an address")]);
        let env = [
            ("REDHOLD_DOMAIN", "env.example"),
            ("REDHOLD_HTTP", "127.0.0.1:2, [::1]:2"),
        ];
        let config = resolved(Flags::default(), &env, text).expect("fits");
        assert_eq!((config.domain.as_str(), config.http.len()), ("env.example", 2));
        let file = format!("control-group = '/file'\n{text}");
        for (env, expected) in [
            (&[][..], "/file"),
            (
                &[("REDHOLD_CGROUP", "/system.slice/a.service")][..],
                "/system.slice/a.service",
            ),
        ] {
            let config = resolved(Flags::default(), env, &file).expect("fits");
            assert_eq!(config.control_group.as_deref(), Some(Path::new(expected)));
        }
        let flags = Flags {
            domain: Some("Flag.example".to_owned()),
            tls: Some("off".to_owned()),
            ..Flags::default()
        };
        let config = resolved(flags, &env, text).expect("fits");
        assert_eq!((config.domain.as_str(), config.https.len()), ("flag.example", 0));
        assert_eq!(
            resolved(Flags::default(), &[], "").expect("fits").starts_at_once,
            4
        );
        let text = "connections-per-client = 9\nproxies = ['192.0.2.7', '2001:db8::/64']";
        let config = resolved(Flags::default(), &[], text).expect("fits");
        assert_eq!(config.connections_per_client, 9);
        let proxies = ["192.0.2.7/32", "2001:db8::/64"].map(|text| text.parse().expect("a network"));
        assert_eq!(config.proxies, proxies);
    }

    #[test]
    fn all_mistakes_are_told_at_once() {
        let env = [("REDHOLD_LOG_FORMAT", "xml"), ("REDHOLD_TLS", "maybe")];
        let text = "domain = 'a..b'\nhttp = ['x']\nstarts-at-once = 0\n\
                    connections-per-client = 0\nproxies = ['10.0.0.0/33']\n[network]\npool = '10.0.0.0/40'";
        let said = resolved(Flags::default(), &env, text)
            .expect_err("wrong")
            .to_string();
        for part in [
            "`xml`",
            "`maybe`",
            "`a..b`",
            "`x` is no address",
            "starts-at-once",
            "network: pool: `10.0.0.0/40`",
            "connections-per-client",
            "proxies: `10.0.0.0/33`",
        ] {
            assert!(said.contains(part), "{part} in {said}");
        }
        let said = resolved(Flags::default(), &env, "a = 1\n")
            .expect_err("wrong")
            .to_string();
        assert!(said.contains("redhold.toml, line 1: unknown field `a`"), "{said}");
        assert!(said.contains("`xml`"), "{said}");
        for group in ["/", "system.slice", "/a/../b"] {
            let said = resolved(Flags::default(), &[("REDHOLD_CGROUP", group)], "");
            assert!(
                said.expect_err("wrong").to_string().contains("control-group"),
                "{group}"
            );
        }
        let half = "[tls]\ncertificate = '/c'";
        assert!(resolved(Flags::default(), &[], half).is_err());
    }
}
