//! Whoever is told of trouble: a mail server (aiosmtpd, the Debian package `python3-aiosmtpd`) and a receiver of webhooks
//! in one program of Python, which knows nothing of our code and checks signatures by itself.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use crate::client::free_port;

/// The program.
const PROGRAM: &str = include_str!("../../fixtures/receiver.py");

/// Name and password of the mail server's only account.
const ACCOUNT: (&str, &str) = ("redhold", "correct horse");

/// The key of signatures.
const KEY: &str = "0123456789abcdef0123456789abcdef";

/// A mail server and a receiver of webhooks. Dropping it ends both.
#[derive(Debug)]
pub struct Receiver {
    folder: TempDir,
    python: &'static str,
    mail: u16,
    hooks: u16,
    child: Option<Child>,
}

impl Receiver {
    /// One that is not started yet; `None` when the machine has no aiosmtpd.
    ///
    /// # Panics
    /// When its folder cannot be made.
    #[must_use]
    pub fn prepared() -> Option<Self> {
        // The package is for the system's own Python, which need not be the first on the path.
        let has = |python: &&str| {
            let asked = Command::new(python).args(["-c", "import aiosmtpd"]).output();
            asked.is_ok_and(|output| output.status.success())
        };
        let python = ["/usr/bin/python3", "python3"].into_iter().find(has)?;
        let own = Self {
            folder: tempfile::tempdir().expect("a folder"),
            python,
            mail: free_port(),
            hooks: free_port(),
            child: None,
        };
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
        own.write("receiver.py", PROGRAM);
        own.write("cert.pem", &made.cert.pem());
        own.write("key.pem", &made.signing_key.serialize_pem());
        own.write("password", ACCOUNT.1);
        own.write("hook.key", KEY);
        Some(own)
    }

    /// Starts it.
    ///
    /// # Panics
    /// When it does not start.
    pub fn run(&mut self) {
        let path = |name: &str| self.folder.path().join(name);
        let mut child = Command::new(self.python)
            .arg(path("receiver.py"))
            .arg(self.folder.path())
            .args([self.mail.to_string(), self.hooks.to_string()])
            .args([path("cert.pem"), path("key.pem")])
            .args([ACCOUNT.0, ACCOUNT.1, KEY])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("Python");
        let said = child.stdout.take().map(BufReader::new);
        self.child = Some(child);
        let first = said.and_then(|said: BufReader<ChildStdout>| said.lines().next());
        assert_eq!(first.expect("a line").expect("a line"), "ready");
    }

    /// The table `[alerts]` with which a host reaches it; `to` is who is told.
    #[must_use]
    pub fn table(&self, to: &[&str]) -> String {
        let path = |name: &str| self.folder.path().join(name).display().to_string();
        format!(
            "[alerts]\nto = {to:?}\n\
             [alerts.mail]\nfrom = 'Redhold <redhold@host.example>'\nserver = 'localhost'\nport = {}\n\
             user = '{}'\npassword-file = '{}'\nca-file = '{}'\n\
             [[alerts.webhook]]\nname = 'chat'\nurl = 'http://127.0.0.1:{}/hook'\nkey-file = '{}'\n",
            self.mail,
            ACCOUNT.0,
            path("password"),
            path("cert.pem"),
            self.hooks,
            path("hook.key"),
        )
    }

    /// The mails that came, oldest first, with lines that were broken for the way put together.
    #[must_use]
    pub fn mails(&self) -> Vec<String> {
        let whole = |text: String| {
            let text = text.replace("\r\n", "\n").replace("=\n", "");
            text.replace("=3D", "=")
        };
        read_all(&self.folder.path().join("mail/new"))
            .into_iter()
            .map(whole)
            .collect()
    }

    /// The documents that the webhook got, oldest first.
    ///
    /// # Panics
    /// When one is no JSON.
    #[must_use]
    pub fn documents(&self) -> Vec<Value> {
        let all = read_all(&self.folder.path().join("hooks"));
        all.iter()
            .map(|text| serde_json::from_str(text).expect("JSON"))
            .collect()
    }

    /// Has the webhook answer with this status; `None` is that it takes what comes.
    ///
    /// # Panics
    /// When that cannot be written.
    pub fn answers(&self, status: Option<u16>) {
        let file = self.folder.path().join("answer");
        match status {
            Some(status) => fs::write(file, status.to_string()).expect("written"),
            None => fs::remove_file(file).expect("removed"),
        }
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.folder.path().join(name), text).expect("a file");
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// The files of a folder in order of their time.
fn read_all(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut files: Vec<_> = entries
        .filter_map(|entry| Some((entry.metadata().ok()?.modified().ok()?, entry.path())))
        .collect();
    files.sort();
    let texts = files.into_iter().map(|(_, path)| fs::read_to_string(path));
    texts.filter_map(Result::ok).collect()
}
