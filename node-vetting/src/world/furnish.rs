//! What lies on the guest's machine before a package comes: a user directory, a home with what homes hold, a few system
//! files, and secrets in all the usual places.

use serde_json::json;

use crate::world::files::Files;
use crate::world::machine::{HOME, Machine, USER_DIR};
use crate::world::secrets::{MARKER, Secrets};

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
