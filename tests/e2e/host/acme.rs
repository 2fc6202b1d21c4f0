//! Certificates by ACME, from a real authority, verified by curl.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use nix::sys::signal::Signal;
use serde_json::Value;
use test_support::acme::{Authority, Manner};
use test_support::client::free_port;
use test_support::eventually::{eventually, let_pass};
use test_support::host::{Host, SOON};
use test_support::program::{curl, said};
use test_support::skip::skipped;

const DOMAIN: &str = "rh.test";

/// Certificates that last longer than any test.
const LONG: u32 = 90 * 24 * 3600;

/// A host whose certificates an authority gives.
struct Served {
    // Dropped first: the host speaks to the authority.
    host: Host,
    authority: Authority,
    https: u16,
}

impl Served {
    /// Prepared, not started; `None` where there is no authority. `off` moves the port where it asks for proofs away from
    /// where they are.
    fn prepared(test: &str, life: u32, bound: bool, off: bool) -> Option<Self> {
        let (http, https) = (free_port(), free_port());
        let proof_port = if off { free_port() } else { http };
        let Some(authority) = Authority::start(Manner {
            proof_port,
            life,
            bound,
        }) else {
            skipped(test, "Pebble, a test server for ACME (package `pebble`)");
            return None;
        };
        let mut host = Host::prepared(&[]);
        let external = host.data().join("external.key");
        fs::write(&external, Authority::KEY).expect("a key");
        let bound = match bound {
            true => format!(
                "eab-kid = '{}'\neab-key-file = '{}'",
                Authority::KID,
                external.display()
            ),
            false => String::new(),
        };
        let config = format!(
            "domain = '{DOMAIN}'\nhttps = ['127.0.0.1:{https}']\n[tls]\nmode = 'acme'\n\
             contact = 'mailto:operator@rh.test'\nterms-agreed = true\ndirectory = '{}'\nca-file = '{}'\n{bound}\n",
            authority.directory(),
            authority.own().display(),
        );
        let file = host.data().join("redhold.toml");
        fs::write(&file, config).expect("a configuration");
        host.configure(http, &["--config", &file.to_string_lossy()]);
        Some(Self {
            host,
            authority,
            https,
        })
    }

    fn started(test: &str, life: u32) -> Option<Self> {
        let mut served = Self::prepared(test, life, false, false)?;
        served.host.run();
        Some(served)
    }

    /// What curl gets from a name, believing only this root.
    fn curl(&self, name: &str, root: &Path) -> String {
        let output = curl(root)
            .args(["--output", "/dev/null", "--write-out", "%{http_code}"])
            .args(["--resolve", &format!("{name}:{}:127.0.0.1", self.https)])
            .arg(format!("https://{name}:{}/", self.https))
            .output()
            .expect("curl");
        said(&output)
    }

    fn standing(&self, name: &str) -> Result<Value, String> {
        let about = self.host.ask("GET", "/host", &Value::Null)?;
        let all = about["certificates"].as_array().cloned().unwrap_or_default();
        let found = all.iter().find(|one| one["name"] == name).cloned();
        found.ok_or_else(|| about.to_string())
    }

    /// Waits until a name stands as wanted.
    fn until(&self, name: &str, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        eventually(&format!("{name}: {what}"), SOON * 4, || {
            let standing = self.standing(name)?;
            wanted(&standing)
                .then(|| standing.clone())
                .ok_or_else(|| standing.to_string())
        })
    }

    fn certified(&self, name: &str) -> Value {
        self.until(name, "a certificate", |standing| {
            standing["issuer"].is_string() && standing["lastError"].is_null()
        })
    }

    /// An instance that need not run.
    fn instance(&self, name: &str) {
        self.host.does(&["instance", "create", name, "--stopped"]);
    }
}

#[test]
fn a_certificate_for_every_name_comes_and_is_kept() {
    let Some(mut served) = Served::started("a_certificate_for_every_name_comes_and_is_kept", LONG) else {
        return;
    };
    served.certified(DOMAIN);
    served.instance("pump");
    let standing = served.certified("pump.rh.test");
    assert!(
        standing["issuer"]
            .as_str()
            .is_some_and(|name| name.contains("Pebble")),
        "{standing}"
    );
    let root = served.authority.root().expect("a root");
    assert_eq!(served.curl(DOMAIN, &root), "200");
    // Its instance is stopped; the front says so over TLS that curl believes.
    let said = served.curl("pump.rh.test", &root);
    assert!(said == "503" || said == "303", "{said}");
    let shown = served.host.does(&["host", "show"]);
    assert!(shown.contains("pump.rh.test by Pebble"), "{shown}");
    let metrics = test_support::client::unix(
        &served.host.data().join("run/api.sock"),
        "GET",
        "/metrics",
        &[],
        Vec::new(),
    );
    let metrics = metrics.expect("figures").text();
    let end = standing["notAfterMs"].as_u64().expect("an end") / 1000;
    let line = format!("redhold_certificate_not_after_timestamp_seconds{{name=\"pump.rh.test\"}} {end}");
    assert!(metrics.contains(&line), "{line} in {metrics}");

    for file in [
        "account/account.json",
        "account/state.json",
        "pump.rh.test/certificate.pem",
        "pump.rh.test/state.json",
    ] {
        let path = served.host.data().join("keys/acme").join(file);
        let mode = fs::metadata(&path).expect(file).permissions().mode();
        assert_eq!(mode & 0o077, 0, "{file}");
    }
    let said = served.host.said();
    assert!(!said.contains("PRIVATE KEY"), "{said}");

    // Redirects everything else, and answers no token but those of its orders.
    let host = format!("{DOMAIN}:{}", served.host.port());
    let clear = test_support::client::request(
        "GET",
        &format!(
            "http://127.0.0.1:{}/.well-known/acme-challenge/guessed",
            served.host.port()
        ),
        &[("host", &host)],
        Vec::new(),
    );
    assert_eq!(clear.expect("an answer").status, 308);

    let orders = served.authority.orders();
    assert!(orders >= 2, "{}", served.authority.said());
    served.host.kill();
    // What is on the disk is served at once, also without its authority.
    served.authority.end();
    served.host.run();
    assert_eq!(served.curl(DOMAIN, &root), "200");
    let standing = served.certified("pump.rh.test");
    assert_eq!(standing["notAfterMs"].as_u64().map(|ms| ms / 1000), Some(end));
    assert_eq!(served.authority.orders(), orders);
    // A new name shows that it is still ordering, and that it does not for the old ones.
    served.authority.run();
    served.instance("fan");
    served.certified("fan.rh.test");
    assert_eq!(served.authority.orders(), orders + 1);
}

#[test]
fn renewal_outlives_an_outage() {
    let Some(mut served) = Served::started("renewal_outlives_an_outage", 60) else {
        return;
    };
    let first = served.certified(DOMAIN)["notAfterMs"].as_u64().expect("an end");
    let second = served.until(DOMAIN, "a newer certificate", |standing| {
        standing["notAfterMs"].as_u64().is_some_and(|end| end > first)
    });
    let root = served.authority.root().expect("a root");
    assert_eq!(served.curl(DOMAIN, &root), "200");
    assert_eq!(served.authority.orders(), 2, "{}", served.authority.said());

    served.authority.end();
    let failed = served.until(DOMAIN, "a failure is reported", |standing| {
        standing["lastError"].is_string()
    });
    assert_eq!(failed["notAfterMs"], second["notAfterMs"], "{failed}");
    assert_eq!(served.curl(DOMAIN, &root), "200", "the one of before is served");
    assert!(served.host.said().contains("no certificate came"));
    // Then it ends, and the host's own authority stands in.
    served.until(DOMAIN, "it ends", |standing| standing["issuer"].is_null());
    let own = served.host.data().join("keys/authority.pem");
    assert_eq!(served.curl(DOMAIN, &own), "200");

    // The authority comes back without knowing the account; a person asks the host to hurry.
    served.authority.run();
    let root = served.authority.root().expect("a root");
    served.host.signal(Signal::SIGHUP);
    eventually("the next certificate is served", SOON * 4, || {
        match served.curl(DOMAIN, &root).as_str() {
            "200" => Ok(()),
            other => Err(other.to_owned()),
        }
    });
    served.certified(DOMAIN);
}

#[test]
fn a_proof_that_fails_is_not_tried_in_a_hurry() {
    let Some(mut served) = Served::prepared("a_proof_that_fails_is_not_tried_in_a_hurry", LONG, false, true)
    else {
        return;
    };
    served.host.run();
    let failed = served.until(DOMAIN, "a failure is reported", |standing| {
        standing["lastError"].is_string()
    });
    assert!(failed["issuer"].is_null() && failed["failures"] == 1, "{failed}");
    assert!(
        failed["lastError"]
            .as_str()
            .is_some_and(|said| said.contains("127.0.0.1") || said.contains("refused")),
        "it says why: {failed}"
    );
    let own = served.host.data().join("keys/authority.pem");
    assert_eq!(
        served.curl(DOMAIN, &own),
        "200",
        "the host's own authority stands in"
    );
    // Killed and started again and again, it asks no more often.
    for _ in 0..3 {
        served.host.kill();
        served.host.run();
        served.until(DOMAIN, "it still says so", |standing| {
            standing["lastError"].is_string()
        });
    }
    let_pass(SOON / 10);
    assert_eq!(served.authority.orders(), 1, "{}", served.authority.said());
    // A person may, until an hour has had four orders.
    for orders in 2..=4 {
        served.host.signal(Signal::SIGHUP);
        served.until(DOMAIN, "it was tried again", |standing| {
            standing["failures"] == orders
        });
    }
    served.host.signal(Signal::SIGHUP);
    let_pass(SOON / 10);
    assert_eq!(served.authority.orders(), 4, "{}", served.authority.said());
}

#[test]
fn an_account_can_belong_to_another() {
    let Some(mut served) = Served::prepared("an_account_can_belong_to_another", LONG, true, false) else {
        return;
    };
    let file = served.host.data().join("external.key");
    fs::write(&file, "AAAA").expect("another key");
    served.host.run();
    served.until(DOMAIN, "a wrong key is refused", |standing| {
        standing["lastError"].is_string()
    });
    assert_eq!(served.authority.orders(), 0);
    fs::write(&file, Authority::KEY).expect("the key");
    served.host.stop();
    served.host.run();
    served.host.signal(Signal::SIGHUP);
    served.certified(DOMAIN);
    let said = served.host.said();
    assert!(!said.contains(Authority::KEY), "{said}");
}

#[test]
fn without_an_agreement_nothing_starts() {
    let mut host = Host::prepared(&["--tls", "acme", "--domain", DOMAIN]);
    host.spawn();
    let (code, said) = host.ends();
    assert_eq!(code, Some(2), "{said}");
    for part in ["terms-agreed = true", "mailto:", "hint:"] {
        assert!(said.contains(part), "{part} in {said}");
    }
}
