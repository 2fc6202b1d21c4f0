//! The machine that the guest believes to be on, and what lies on it before a package comes: all of it made up.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::world::files::Files;
use crate::world::secrets::{MARKER, Secrets};

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

/// What lies on the machine: the user directory, a home with what homes hold, a few system files.
pub(super) fn furnish(files: &mut Files, machine: &Machine, secrets: &mut Secrets) {
    user_dir(files, secrets);
    home(files, secrets);
    for (path, text) in [
        ("/etc/hostname", format!("{}\n", machine.host)),
        (
            "/etc/hosts",
            format!("127.0.0.1 localhost\n192.0.2.17 {}\n", machine.host),
        ),
        (
            "/etc/os-release",
            "ID=debian\nVERSION_ID=\"13\"\nPRETTY_NAME=\"Debian GNU/Linux 13 (trixie)\"\n".to_owned(),
        ),
        (
            "/etc/passwd",
            format!(
                "root:x:0:0:root:/root:/bin/bash\n{0}:x:{1}:{1}::{HOME}:/bin/bash\n",
                machine.user, machine.uid
            ),
        ),
        ("/etc/resolv.conf", "nameserver 192.0.2.1\n".to_owned()),
        ("/proc/version", "Linux version 6.12.48\n".to_owned()),
        (
            "/proc/cpuinfo",
            "processor : 0\nmodel name : Intel(R) Core(TM) i5-8365UE CPU @ 1.60GHz\n".to_owned(),
        ),
        ("/etc/machine-id", "8f2b1c0d4e5a69788796a5b4c3d2e1f0\n".to_owned()),
    ] {
        files.place(path, text, 0o644);
    }
    let hash = secrets.plant("password-hash", "shadow", 43);
    files.place(
        "/etc/shadow",
        format!("root:$y$j9T$x$.{hash}:20000::::::\n"),
        0o600,
    );
    for folder in [
        "/tmp",
        "/var/tmp",
        "/usr/bin",
        "/usr/local/bin",
        "/dev/shm",
        "/data/configured",
    ] {
        files.place_folder(folder);
    }
    for program in [
        "/bin/sh",
        "/bin/bash",
        "/usr/bin/node",
        "/usr/bin/curl",
        "/usr/bin/git",
    ] {
        files.place(program, format!("\x7fELF{MARKER}").into_bytes(), 0o755);
    }
}

fn user_dir(files: &mut Files, secrets: &mut Secrets) {
    let credential_secret = secrets.plant("settings", "credentialSecret", 32);
    let admin = secrets.plant("settings", "adminAuth", 53);
    let encrypted = secrets.plant("flow-credential", "file", 64);
    let internal = secrets.plant("settings", "runtime", 64);
    let mut place = |name: &str, text: String| files.place(&format!("{USER_DIR}/{name}"), text, 0o644);
    place(
        "flows.json",
        json!([
            { "id": "f6f2187d.f17ca8", "type": "tab", "label": "Line 3", "disabled": false, "info": "" },
            { "id": "5b0c1a7e.4d1f2c", "type": "inject", "z": "f6f2187d.f17ca8", "name": "every minute",
              "repeat": "60", "topic": "line3/speed", "payload": "", "payloadType": "date", "x": 160, "y": 80,
              "wires": [["9a1d3b5c.2e4f60"]] },
            { "id": "9a1d3b5c.2e4f60", "type": "debug", "z": "f6f2187d.f17ca8", "name": "", "active": true,
              "x": 370, "y": 80, "wires": [] },
        ])
        .to_string(),
    );
    place("flows_cred.json", json!({ "$": encrypted }).to_string());
    place(
        "settings.js",
        format!(
            "module.exports = {{\n  flowFile: 'flows.json',\n  credentialSecret: '{credential_secret}',\n  uiPort: 1880,\n  \
             adminAuth: {{ type: 'credentials', users: [{{ username: 'admin', password: '$2b$08${admin}', permissions: '*' }}] }},\n}};\n"
        ),
    );
    place(
        ".config.runtime.json",
        json!({ "instanceId": "3c1f", "_credentialSecret": internal }).to_string(),
    );
    place(".config.nodes.json", json!({}).to_string());
    place(
        ".config.users.json",
        json!({ "admin": { "editor": { "view": {} } } }).to_string(),
    );
    place(
        "package.json",
        json!({ "name": "node-red-project", "description": "A Node-RED Project", "version": "0.0.1", "private": true }).to_string(),
    );
    files.place_folder("/data/lib/flows");
}

fn home(files: &mut Files, secrets: &mut Secrets) {
    let mut place = |name: &str, text: String, mode| files.place(&format!("{HOME}/{name}"), text, mode);
    let npm = secrets.plant("npm-token", "npmrc", 36);
    // The registry's own name is the user's to choose, as everywhere.
    place(
        ".npmrc",
        format!("//registry.plant.example/:_authToken=npm_{npm}\n"),
        0o600,
    );
    let lines: Vec<String> = (0..6)
        .map(|line| secrets.plant("ssh-key", &format!("ssh {line}"), 70))
        .collect();
    place(
        ".ssh/id_ed25519",
        format!(
            "-----BEGIN OPENSSH PRIVATE KEY-----\n{}\n-----END OPENSSH PRIVATE KEY-----\n",
            lines.join("\n")
        ),
        0o600,
    );
    place(
        ".ssh/id_ed25519.pub",
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIPlant operator@plant7\n".to_owned(),
        0o644,
    );
    place(
        ".ssh/known_hosts",
        "git.plant.example ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGit\n".to_owned(),
        0o644,
    );
    let key = secrets.plant("cloud-key", "aws id", 16).to_uppercase();
    let secret = secrets.plant("cloud-key", "aws", 40);
    place(
        ".aws/credentials",
        format!("[default]\naws_access_key_id = AKIA{key}\naws_secret_access_key = {secret}\n"),
        0o600,
    );
    let google = secrets.plant("cloud-key", "gcloud", 64);
    place(
        ".config/gcloud/application_default_credentials.json",
        json!({ "type": "authorized_user", "refresh_token": google }).to_string(),
        0o600,
    );
    let azure = secrets.plant("cloud-key", "azure", 64);
    place(
        ".azure/accessTokens.json",
        json!([{ "refreshToken": azure }]).to_string(),
        0o600,
    );
    let kube = secrets.plant("cloud-key", "kube", 48);
    place(
        ".kube/config",
        format!("apiVersion: v1\nkind: Config\nusers:\n- name: plant\n  user:\n    token: {kube}\n"),
        0o600,
    );
    let docker = secrets.plant("docker-auth", "docker", 40);
    place(
        ".docker/config.json",
        json!({ "auths": { "images.plant.example": { "auth": docker } } }).to_string(),
        0o600,
    );
    let git = secrets.plant("git-credential", "git", 36);
    place(
        ".git-credentials",
        format!("https://operator:ghp_{git}@git.plant.example\n"),
        0o600,
    );
    let hub = secrets.plant("git-credential", "hub", 36);
    place(
        ".config/gh/hosts.yml",
        format!("git.plant.example:\n  oauth_token: gho_{hub}\n"),
        0o600,
    );
    let netrc = secrets.plant("git-credential", "netrc", 24);
    place(
        ".netrc",
        format!("machine git.plant.example login operator password {netrc}\n"),
        0o600,
    );
    let wallet = secrets.plant("wallet", "wallet", 64);
    place(".config/Exodus/exodus.wallet/seed.seco", wallet, 0o600);
    let bitcoin = secrets.plant("wallet", "bitcoin", 64);
    place(".bitcoin/wallet.dat", bitcoin, 0o600);
    let history = secrets.plant("password", "history", 20);
    place(
        ".bash_history",
        format!("cd /data\nmysql -u root -p{history}\n"),
        0o600,
    );
    place(".bashrc", "export EDITOR=nano\n".to_owned(), 0o644);
    place(".profile", "[ -f ~/.bashrc ] && . ~/.bashrc\n".to_owned(), 0o644);
    place(
        ".gitconfig",
        "[user]\n\tname = Operator\n\temail = operator@plant.example\n".to_owned(),
        0o644,
    );
}

/// Files and folders whose content is somebody's secret, below the home or anywhere.
const SECRET: &[&str] = &[
    "/data/settings.js",
    "/data/.config.runtime.json",
    "/data/.config.users.json",
    "/etc/shadow",
    "/etc/ssh",
    "/root",
    "/proc/self/environ",
    "/proc/1/environ",
    "/var/run/secrets",
    "/run/secrets",
];
const SECRET_AT_HOME: &[&str] = &[
    ".npmrc",
    ".yarnrc",
    ".ssh",
    ".aws",
    ".azure",
    ".kube",
    ".docker",
    ".git-credentials",
    ".netrc",
    ".gnupg",
    ".config/gcloud",
    ".config/gh",
    ".config/Exodus",
    ".config/google-chrome",
    ".mozilla",
    ".bitcoin",
    ".ethereum",
    ".electrum",
    ".bash_history",
    ".zsh_history",
    ".pgpass",
    ".my.cnf",
    ".pypirc",
    ".password-store",
    ".claude",
    ".gemini",
    ".config/op",
    ".local/share/keyrings",
    ".terraform.d",
    ".vault-token",
];
/// Places from which something is started later.
const STARTUP: &[&str] = &[
    "/etc/systemd",
    "/lib/systemd",
    "/usr/lib/systemd",
    "/etc/cron",
    "/var/spool/cron",
    "/etc/init.d",
    "/etc/rc",
    "/etc/profile",
    "/etc/bash.bashrc",
    "/etc/ld.so.preload",
    "/usr/local/bin",
    "/usr/bin",
    "/bin",
    "/sbin",
    "/usr/sbin",
];
const STARTUP_AT_HOME: &[&str] = &[
    ".bashrc",
    ".bash_profile",
    ".bash_login",
    ".profile",
    ".zshrc",
    ".zprofile",
    ".zshenv",
    ".config/systemd",
    ".config/autostart",
    ".ssh/authorized_keys",
    ".ssh/config",
    ".gitconfig",
    ".config/git",
    ".vimrc",
    "Library/LaunchAgents",
    ".local/bin",
    ".config/fish",
    ".claude",
    ".github",
    ".vscode",
];

fn among(path: &str, list: &[&str]) -> bool {
    list.iter().any(|entry| {
        path.strip_prefix(entry)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/') || entry.starts_with("/etc/"))
    })
}

/// The class of a path: for whom it is there. `own` is the folder of the package that asks.
pub(super) fn class_of(path: &str, own: Option<&str>, writes: bool) -> &'static str {
    let at_home = path.strip_prefix(HOME).map(|rest| rest.trim_start_matches('/'));
    if own.is_some_and(|own| path == own || path.strip_prefix(own).is_some_and(|rest| rest.starts_with('/')))
    {
        return "own";
    }
    if writes && (among(path, STARTUP) || at_home.is_some_and(|path| among(path, STARTUP_AT_HOME))) {
        return "startup";
    }
    if among(path, SECRET) || at_home.is_some_and(|path| among(path, SECRET_AT_HOME)) {
        return "secret";
    }
    if path.starts_with("/proc/") && path.ends_with("/environ") {
        return "secret";
    }
    if let Some(name) = path.strip_prefix("/data/") {
        return match name {
            _ if name.starts_with("flows") && name.ends_with(".json") => "flows",
            _ if name.starts_with("node_modules/") => "packages",
            _ if name == "configured" || name.starts_with("configured/") => "configured",
            _ => "userdir",
        };
    }
    if path == USER_DIR {
        return "userdir";
    }
    if among(path, &["/tmp", "/var/tmp", "/dev/shm"]) {
        return "temporary";
    }
    if at_home.is_some() { "home" } else { "system" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_have_classes() {
        let own = Some("/data/node_modules/a");
        for (path, writes, class) in [
            ("/data/node_modules/a/x.js", true, "own"),
            ("/data/node_modules/ab/x.js", true, "packages"),
            ("/data/flows.json", true, "flows"),
            ("/data/flows_cred.json", false, "flows"),
            ("/data/settings.js", false, "secret"),
            ("/data/context/x", true, "userdir"),
            ("/data/configured/log.txt", true, "configured"),
            ("/home/operator/.npmrc", false, "secret"),
            ("/home/operator/.npmrcs", false, "home"),
            ("/home/operator/.ssh/id_ed25519", false, "secret"),
            ("/home/operator/.ssh/authorized_keys", true, "startup"),
            ("/home/operator/.bashrc", true, "startup"),
            ("/home/operator/.bashrc", false, "home"),
            ("/etc/cron.d/x", true, "startup"),
            ("/etc/hosts", false, "system"),
            ("/proc/77/environ", false, "secret"),
            ("/tmp/x", true, "temporary"),
        ] {
            assert_eq!(class_of(path, own, writes), class, "{path}");
        }
    }
}
