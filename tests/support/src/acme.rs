//! A real authority of certificates on the loopback device: Pebble, the test server of the makers of Let's Encrypt.
//!
//! It refuses what a real one refuses: used nonces, wrong signatures, answers that are not those of the account. The
//! package is called `pebble` (Debian); `REDHOLD_TEST_PEBBLE` names the folder of its two programs where they are
//! not on the path. Each start of it forgets all accounts and orders and has another root.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::json;
use tempfile::TempDir;

use crate::client::free_port;
use crate::eventually::eventually;
use crate::host::SOON;
use crate::program::curl;

/// An authority and the names that lead to it. Dropping it ends both.
#[derive(Debug)]
pub struct Authority {
    folder: TempDir,
    programs: Option<PathBuf>,
    port: u16,
    management: u16,
    names: u16,
    children: Vec<Child>,
    resolver: Option<Child>,
}

/// How an authority is.
#[derive(Clone, Copy, Debug)]
pub struct Manner {
    /// Where it asks for proofs, on 127.0.0.1 whatever the name.
    pub proof_port: u16,
    /// How long its certificates last, in seconds.
    pub life: u32,
    /// Whether it takes only accounts that are bound to [`Authority::KID`].
    pub bound: bool,
}

impl Authority {
    /// The name of an external account.
    pub const KID: &str = "kid-1";

    /// Its key.
    pub const KEY: &str = "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W";

    /// Starts one; `None` when the machine has no Pebble.
    ///
    /// # Panics
    /// When it is there and does not start.
    #[must_use]
    pub fn start(manner: Manner) -> Option<Self> {
        let programs = std::env::var_os("REDHOLD_TEST_PEBBLE").map(PathBuf::from);
        let mut own = Self {
            folder: tempfile::tempdir().expect("a folder"),
            programs,
            port: free_port(),
            management: free_port(),
            names: free_port(),
            children: Vec::new(),
            resolver: None,
        };
        let resolver = Command::new(own.program("pebble-challtestsrv"))
            .args(["-defaultIPv4", "127.0.0.1", "-defaultIPv6", ""])
            .args(["-http01", "", "-https01", "", "-tlsalpn01", "", "-management"])
            .arg(format!("127.0.0.1:{}", free_port()))
            .args(["-dns01", &format!("127.0.0.1:{}", own.names)])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .ok()?;
        own.resolver = Some(resolver);
        own.configure(manner);
        own.run();
        Some(own)
    }

    fn program(&self, name: &str) -> PathBuf {
        let folder = self.programs.as_ref();
        folder.map_or_else(|| PathBuf::from(name), |folder| folder.join(name))
    }

    fn configure(&self, manner: Manner) {
        let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).expect("a certificate");
        let write =
            |name: &str, text: String| fs::write(self.folder.path().join(name), text).expect("written");
        write("own.pem", made.cert.pem());
        write("own.key", made.signing_key.serialize_pem());
        let file = |name: &str| self.folder.path().join(name);
        let config = json!({ "pebble": {
            "listenAddress": format!("127.0.0.1:{}", self.port),
            "managementListenAddress": format!("127.0.0.1:{}", self.management),
            "certificate": file("own.pem"), "privateKey": file("own.key"),
            "httpPort": manner.proof_port, "tlsPort": 1, "ocspResponderURL": "",
            "certificateValidityPeriod": manner.life,
            "externalAccountBindingRequired": manner.bound,
            "externalAccountMACKeys": { Self::KID: Self::KEY },
        } });
        write("config.json", config.to_string());
    }

    /// Starts it again.
    ///
    /// # Panics
    /// When it does not answer.
    pub fn run(&mut self) {
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.folder.path().join("said"))
            .expect("a log");
        let child = Command::new(self.program("pebble"))
            .arg("-config")
            .arg(self.folder.path().join("config.json"))
            .args(["-dnsserver", &format!("127.0.0.1:{}", self.names), "-strict"])
            // Without its pauses of up to 15 seconds; of good nonces it refuses every twentieth, as it comes.
            .env("PEBBLE_VA_NOSLEEP", "1")
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a log"))
            .stderr(log)
            .spawn()
            .expect("pebble");
        self.children.push(child);
        let _ = eventually("the authority answers", SOON, || self.root());
    }

    /// Ends it, as an outage does.
    ///
    /// # Panics
    /// When it does not end.
    pub fn end(&mut self) {
        for mut child in self.children.drain(..) {
            child.kill().expect("killed");
            child.wait().expect("collected");
        }
    }

    /// Where it describes itself.
    #[must_use]
    pub fn directory(&self) -> String {
        format!("https://localhost:{}/dir", self.port)
    }

    /// The certificate by which it is believed.
    #[must_use]
    pub fn own(&self) -> PathBuf {
        self.folder.path().join("own.pem")
    }

    /// A file with the root of what it gives.
    ///
    /// # Errors
    /// When it does not answer.
    pub fn root(&self) -> Result<PathBuf, String> {
        let output = curl(&self.own())
            .arg("--fail")
            .arg(format!("https://localhost:{}/roots/0", self.management))
            .output()
            .expect("curl");
        if !output.status.success() {
            return Err(String::from_utf8_lossy(&output.stderr).into_owned());
        }
        let file = self.folder.path().join("root.pem");
        fs::write(&file, output.stdout).expect("written");
        Ok(file)
    }

    /// Orders that it took, over all its starts.
    #[must_use]
    pub fn orders(&self) -> usize {
        self.said().matches(" Added order ").count()
    }

    /// Everything that it said.
    #[must_use]
    pub fn said(&self) -> String {
        fs::read_to_string(self.log()).unwrap_or_default()
    }

    fn log(&self) -> impl AsRef<Path> {
        self.folder.path().join("said")
    }
}

impl Drop for Authority {
    fn drop(&mut self) {
        if std::thread::panicking() {
            use std::io::Write;
            let _ = writeln!(std::io::stderr(), "the authority said:\n{}", self.said());
        }
        for mut child in self.children.drain(..).chain(self.resolver.take()) {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
