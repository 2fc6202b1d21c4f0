//! From an empty disk to a running instance with a certificate, with the command line alone.

use test_support::client::free_port;
use test_support::eventually::eventually;
use test_support::host::{Host, SOON};
use test_support::program;

use super::hello;

#[test]
fn with_the_command_line_alone() {
    let https = free_port();
    let host = Host::with(&[
        "--https",
        &format!("127.0.0.1:{https}"),
        "--domain",
        "rh.localhost",
    ]);
    for part in [
        "First start",
        "admin-token",
        "redhold instance create",
        "authority.pem",
    ] {
        eventually("its greeting", SOON, || {
            let said = host.said();
            if said.contains(part) { Ok(()) } else { Err(said) }
        });
    }
    let flows = host.data().join("hello.json");
    std::fs::write(&flows, hello().to_string()).expect("a file");
    let said = host.does(&[
        "instance",
        "create",
        "pump",
        "--env",
        "WHO=you",
        "--flows",
        &flows.to_string_lossy(),
        "--wait",
    ]);
    assert!(
        said.contains(&format!("https://pump.rh.localhost:{https}/")),
        "{said}"
    );
    assert!(host.does(&["instance", "list"]).contains("running"));

    // A stranger to this code believes the certificate and gets the answer over HTTP/2.
    let authority = host.data().join("keys/authority.pem");
    let curl = |args: &[&str]| {
        let output = program::curl(&authority)
            .args(["--resolve", &format!("pump.rh.localhost:{https}:127.0.0.1")])
            .args(args)
            .output()
            .expect("curl");
        program::said(&output)
    };
    let address = format!("https://pump.rh.localhost:{https}/run");
    assert_eq!(curl(&[&address]), "hello you");
    let head = curl(&["--include", "--http2", &address]);
    assert!(head.starts_with("HTTP/2 200"), "{head}");
    let clear = curl(&[
        "--include",
        "--header",
        "host: pump.rh.localhost",
        &format!("http://127.0.0.1:{}/run?a=b", host.port()),
    ]);
    assert!(clear.starts_with("HTTP/1.1 308"), "{clear}");
    assert!(
        clear.contains(&format!("location: https://pump.rh.localhost:{https}/run?a=b")),
        "{clear}"
    );

    for (args, part) in [
        (vec!["logs", "pump", "-n", "5"], "Started flows"),
        (vec!["logs", "pump", "--grep", "STARTED"], "Started flows"),
        (vec!["events", "pump"], "its flows run"),
        (vec!["top"], "pump"),
        (vec!["limits", "pump", "--memory", "300"], "300 MiB"),
        (vec!["host", "show"], "rh.localhost"),
        (vec!["host", "audit"], "instance.create"),
        (vec!["host", "token"], ""),
        (vec!["instance", "show", "pump"], "node-red"),
        (vec!["instance", "suspend", "pump", "--wait"], "suspended"),
        (vec!["instance", "resume", "pump", "--wait"], "running"),
        (
            vec!["instance", "set", "pump", "env.WHO=all", "editor.codeEditor=ace"],
            "changed",
        ),
        (vec!["instance", "restart", "pump", "--wait"], "running"),
        (vec!["instance", "copy", "pump", "twin", "--stopped"], "twin"),
        (vec!["instance", "rename", "twin", "brother"], "brother"),
        (vec!["instance", "delete", "brother"], "undelete"),
        (vec!["instance", "undelete", "brother"], "brought back"),
        (vec!["instance", "delete", "brother", "--now"], "for good"),
        (vec!["instance", "safe-mode", "pump", "--wait"], "running"),
        (vec!["instance", "stop", "pump", "--wait"], "stopped"),
        (vec!["instance", "start", "pump", "--wait"], "running"),
        (vec!["instance", "kill", "pump", "--wait"], "stopped"),
    ] {
        let said = host.does(&args);
        assert!(said.contains(part), "{args:?}: {said}");
    }
    for args in [
        vec!["instance", "list", "--json"],
        vec!["events", "pump", "--json"],
        vec!["top", "--json"],
    ] {
        let said = host.does(&args);
        serde_json::from_str::<serde_json::Value>(&said)
            .unwrap_or_else(|error| panic!("{args:?}: {error}: {said}"));
    }
    let refused = host.cli(&["instance", "show", "nobody"]);
    assert_eq!(refused.status.code(), Some(1));
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(
        said.contains("no instance `nobody`") && said.contains("hint:"),
        "{said}"
    );
}
