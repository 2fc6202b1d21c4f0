//! The machine that the guest believes to be on, and its environment: all of it made up.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::world::secrets::Secrets;

/// Node-RED's user directory.
pub const USER_DIR: &str = "/data";
/// The home of who runs it.
pub const HOME: &str = "/home/operator";
/// Where the packages of the guest's own prelude lie while an image is made.
pub const PACKAGES: &str = "/packages/node_modules";

/// Who and where the guest is told to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Machine {
    /// `linux`, `win32`, `darwin`.
    pub platform: String,
    /// `x64`, `arm64`, `arm`.
    pub arch: String,
    /// Host name.
    pub host: String,
    /// Name of the user.
    pub user: String,
    /// Number of the user; 0 is root.
    pub uid: u32,
    /// Seconds east of Greenwich.
    pub utc_offset: i32,
    /// `en-US`.
    pub locale: String,
}

impl Default for Machine {
    fn default() -> Self {
        Self {
            platform: "linux".to_owned(),
            arch: "x64".to_owned(),
            host: "plant7-gateway".to_owned(),
            user: "operator".to_owned(),
            uid: 1000,
            utc_offset: 0,
            locale: "en-US".to_owned(),
        }
    }
}

impl Machine {
    /// What the guest's `process` is made from.
    pub(super) fn process(&self) -> Value {
        json!({
            "pid": 4217, "ppid": 1, "uid": self.uid, "gid": self.uid, "cwd": USER_DIR, "platform": self.platform,
            "arch": self.arch, "exec_path": "/usr/local/bin/node", "version": "v24.11.1",
            "versions": {
                "node": "24.11.1", "v8": "13.6.233.10-node.28", "uv": "1.51.0", "zlib": "1.3.1-e00f703", "modules": "137",
                "openssl": "3.5.4", "napi": "10", "ares": "1.34.5", "nghttp2": "1.67.1", "llhttp": "9.3.0", "unicode": "16.0",
            },
        })
    }

    /// The answer to a question about the machine.
    pub(super) fn tell(&self, what: &str) -> Value {
        let windows = self.platform == "win32";
        let (kind, release) = match self.platform.as_str() {
            "win32" => ("Windows_NT", "10.0.20348"),
            "darwin" => ("Darwin", "24.6.0"),
            _ => ("Linux", "6.12.48"),
        };
        match what {
            "platform" => json!(self.platform),
            "arch" => json!(self.arch),
            "machine" => json!(if self.arch == "arm64" { "aarch64" } else { "x86_64" }),
            "hostname" => json!(self.host),
            "type" => json!(kind),
            "release" => json!(release),
            "version" => json!(format!("#1 {kind} {release}")),
            "homedir" => json!(HOME),
            "tmpdir" => json!("/tmp"),
            "user" => json!({
                "username": self.user, "uid": self.uid, "gid": self.uid, "homedir": HOME,
                "shell": if windows { Value::Null } else { json!("/bin/bash") },
            }),
            "cpus" => json!(4),
            "cpu_model" => json!("Intel(R) Core(TM) i5-8365UE CPU @ 1.60GHz"),
            "totalmem" => json!(8_245_432_320_u64),
            "freemem" => json!(5_103_230_976_u64),
            "uptime" => json!(43_200),
            "loadavg" => json!([0.21, 0.18, 0.12]),
            "interfaces" => json!({
                "lo": [interface("127.0.0.1", "255.0.0.0", "00:00:00:00:00:00", true)],
                "eth0": [interface("192.0.2.17", "255.255.255.0", "02:42:c0:00:02:11", false)],
            }),
            "locale" => json!(self.locale),
            _ => Value::Null,
        }
    }
}

fn interface(address: &str, mask: &str, mac: &str, internal: bool) -> Value {
    json!({
        "address": address, "netmask": mask, "family": "IPv4", "mac": mac, "internal": internal,
        "cidr": format!("{address}/{}", if internal { 8 } else { 24 }),
    })
}

/// The environment before a persona adds to it, with secrets of the usual names.
pub(super) fn environment(machine: &Machine, secrets: &mut Secrets) -> BTreeMap<String, String> {
    let mut environment: BTreeMap<String, String> = [
        ("HOME", HOME),
        ("USER", machine.user.as_str()),
        ("LOGNAME", machine.user.as_str()),
        ("HOSTNAME", machine.host.as_str()),
        (
            "PATH",
            "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        ),
        ("SHELL", "/bin/bash"),
        ("PWD", USER_DIR),
        ("LANG", "en_US.UTF-8"),
        ("TZ", "UTC"),
        ("TERM", "xterm-256color"),
        ("NODE_VERSION", "24.11.1"),
    ]
    .into_iter()
    .map(|(key, value)| (key.to_owned(), value.to_owned()))
    .collect();
    let mut plant = |key: &str, length, shape: &dyn Fn(&str) -> String| {
        let secret = secrets.plant("environment", key, length);
        environment.insert(key.to_owned(), shape(&secret));
    };
    let bare = |secret: &str| secret.to_owned();
    plant("AWS_ACCESS_KEY_ID", 16, &|secret| {
        format!("AKIA{}", secret.to_uppercase())
    });
    plant("AWS_SECRET_ACCESS_KEY", 40, &bare);
    plant("NPM_TOKEN", 36, &|secret| format!("npm_{secret}"));
    plant("GITHUB_TOKEN", 36, &|secret| format!("ghp_{secret}"));
    plant("NODE_RED_CREDENTIAL_SECRET", 32, &bare);
    plant("DATABASE_URL", 24, &|secret| {
        format!("postgres://historian:{secret}@db.plant.example:5432/historian")
    });
    environment
}
