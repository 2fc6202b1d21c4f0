//! Settings of Node-RED that show outside, and secrets that do not.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use test_support::eventually::eventually;
use test_support::host::{Host, SOON};
use test_support::package::Package;
use test_support::registry::Registry;

use super::{endpoint, hello};

/// What the editor's interface says at a path.
fn editor(host: &Host, name: &str, path: &str) -> Value {
    let token = host.token();
    let headers = [("authorization", token.as_str()), ("accept", "application/json")];
    let answer = host
        .call(name, "GET", path, &headers, Vec::new())
        .expect("an answer");
    assert_eq!(answer.status, 200, "{path}: {}", answer.text());
    answer.json()
}

#[test]
fn an_editor_looks_and_is_framed_as_it_is_set() {
    let registry = Registry::start();
    let manifest = json!({ "name": "node-red-theme-plain", "version": "1.0.0",
        "node-red": { "plugins": { "plain": "plain.js" } } });
    let theme = "module.exports = (RED) => RED.plugins.registerPlugin('plain', { type: 'node-red-theme', css: ['plain.css'] })";
    let package = Package::new("node-red-theme-plain", "1.0.0")
        .file("package.json", manifest.to_string().as_bytes())
        .file("plain.js", theme.as_bytes())
        .file("plain.css", b"body { color: teal }");
    registry.publish(&package.pack());
    let host = Host::start();
    let settings = json!({
        "timeZone": "Asia/Kolkata",
        "env": { "npm_config_registry": registry.url(), "npm_config_noproxy": "127.0.0.1" },
        "palette": { "packages": { "node-red-theme-plain": "1" }, "catalogues": ["https://nodes.example/catalogue.json"],
            "nodesExcludes": ["10-mqtt.js"] },
        "editor": { "theme": "plain", "pageTitle": "Pump house", "favicon": "brand/icon.png", "headerUrl": "https://x.example/",
            "codeEditor": "ace", "tours": true, "debugMaxLength": 77, "apiMaxLength": "2kb" },
        "http": { "corsOrigins": ["https://a.example"], "corsMethods": ["GET"] },
    });
    let flows = endpoint("msg.payload = new Date(0).getHours(); return msg");
    let new = json!({ "name": "pump", "flows": flows, "settings": settings, "start": false });
    let view = host.ask("POST", "/instances", &new).expect("created");
    let files = host
        .data()
        .join("instances")
        .join(view["id"].as_str().expect("an id"))
        .join("files");
    fs::create_dir(files.join("brand")).expect("a folder");
    fs::write(files.join("brand/icon.png"), b"a picture").expect("a picture");
    host.act("pump", "start");
    host.wait("pump", "running");

    let settings = editor(&host, "pump", "/settings");
    let set = &settings["editorTheme"];
    assert_eq!(settings["codeEditor"]["lib"], "ace", "{settings}");
    assert_eq!(
        (
            &set["tours"],
            &editor(&host, "pump", "/diagnostics")["runtime"]["settings"]["debugMaxLength"]
        ),
        (&json!(true), &json!(77))
    );
    assert_eq!(
        set["palette"]["catalogues"],
        json!(["https://nodes.example/catalogue.json"])
    );
    let theme = editor(&host, "pump", "/theme");
    assert_eq!(theme["page"]["title"], "Pump house", "{theme}");
    let icon = theme["page"]["favicon"].as_str().expect("an icon");
    let token = host.token();
    let headers = [("authorization", token.as_str())];
    let shown = host
        .call("pump", "GET", &format!("/{icon}"), &headers, Vec::new())
        .expect("an answer");
    assert_eq!(
        (shown.status, shown.text().as_str()),
        (200, "a picture"),
        "{icon}"
    );
    assert!(theme["page"]["css"].to_string().contains("plain.css"), "{theme}");
    assert_eq!(theme["header"]["url"], "https://x.example/");
    assert!(!editor(&host, "pump", "/nodes").to_string().contains("mqtt in"));
    let large = vec![b'x'; 3000];
    let json = [
        ("authorization", token.as_str()),
        ("content-type", "application/json"),
    ];
    let refused = host
        .call("pump", "POST", "/flows", &json, large)
        .expect("an answer");
    assert_eq!(refused.status, 413);
    // Half past five in the morning.
    assert_eq!(host.get("pump", "/run").expect("an answer").text(), "5");
    let asked = [
        ("origin", "https://a.example"),
        ("access-control-request-method", "GET"),
    ];
    let answer = host
        .call("pump", "OPTIONS", "/run", &asked, Vec::new())
        .expect("an answer");
    assert_eq!(answer.header("access-control-allow-methods"), Some("GET"));

    // Other sites may show neither the editor nor a dashboard in a frame, until that is set.
    let framed = |path: &str| {
        let answer = host
            .call("pump", "GET", path, &headers, Vec::new())
            .expect("an answer");
        // A page may have a policy of its own; browsers keep to all of them.
        let mut policies = answer
            .headers
            .iter()
            .filter(|(key, _)| key == "content-security-policy");
        policies
            .find(|(_, policy)| policy.starts_with("frame-ancestors"))
            .map(|(_, policy)| policy.clone())
    };
    let policy = Some(format!("frame-ancestors 'self' http://localhost:{}", host.port()));
    for path in ["/", "/ui/", "/dashboard/page1"] {
        assert_eq!(framed(path), policy, "{path}");
    }
    assert_eq!(framed("/run"), None);
    let change = json!({ "settings": { "editor": { "dashboardFrames": true } } });
    let changed = host.ask("PATCH", "/instances/pump", &change).expect("changed");
    assert_eq!(changed["observed"]["restartNeeded"], false);
    eventually("dashboards may be framed", SOON, || {
        let now = (framed("/ui/"), framed("/"));
        (now == (None, policy.clone())).then_some(()).ok_or(now)
    });
    let bad = json!({ "settings": { "editor": { "favicon": "../../secret" } } });
    host.ask("PATCH", "/instances/pump", &bad).expect_err("a refusal");
}

/// The processes that this one started.
fn children(parent: i64) -> Vec<String> {
    let line = format!("PPid:\t{parent}\n");
    let names = fs::read_dir("/proc").expect("processes").flatten();
    let names = names.map(|entry| entry.file_name().to_string_lossy().into_owned());
    let status = |name: &String| fs::read_to_string(format!("/proc/{name}/status")).unwrap_or_default();
    names.filter(|name| status(name).contains(&line)).collect()
}

/// All text below a folder.
fn everything(folder: &Path) -> String {
    let mut text = String::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            text.push_str(&everything(&path));
        } else if let Ok(bytes) = fs::read(&path) {
            text.push_str(&String::from_utf8_lossy(&bytes));
        }
    }
    text
}

#[test]
fn no_key_of_an_instance_stands_in_a_file() {
    let host = Host::start();
    let mut flows = hello();
    let nodes = flows.as_array_mut().expect("nodes");
    nodes.push(json!({ "id": "h", "type": "http request", "z": "tab", "method": "GET", "authType": "basic", "wires": [[]] }));
    let id = host.create("pump", &hello(), &json!({}));
    let mut with = flows.clone();
    for node in with.as_array_mut().expect("nodes") {
        if node["id"] == "h" {
            node["credentials"] = json!({ "user": "ann", "password": "hunter2" });
        }
    }
    host.deploy("pump", &with);
    host.act("pump", "restart");
    host.until("pump", "a second start", |view| {
        view["observed"]["starts"] == 2 && view["observed"]["state"] == "running"
    });
    // The key of before opens what was sealed with it.
    let known = editor(&host, "pump", "/credentials/http-request/h");
    assert_eq!(known["user"], "ann");
    let place = host.data().join("instances").join(&id);
    let own = fs::read_to_string(place.join("data/.config.runtime.json")).unwrap_or_default();
    assert!(!own.contains("_credentialSecret"), "the key is the host's: {own}");
    let settings = fs::read_to_string(place.join("run/guest/settings.json")).expect("settings");
    let settings: Value = serde_json::from_str(&settings).expect("JSON");
    assert_eq!(settings["secrets"], true);
    let init = host.record(&id).expect("a record")["init"]["pid"]
        .as_i64()
        .expect("a process");
    let texts = everything(&place.join("run"));
    assert!(
        !texts.contains("credentialSecret\":\"") && !texts.contains("voucher\":\""),
        "{texts}"
    );
    let children = children(init);
    assert!(!children.is_empty());
    for child in children {
        let open = fs::read_dir(format!("/proc/{child}/fd"))
            .expect("descriptors")
            .flatten();
        let open: Vec<_> = open
            .filter_map(|entry| fs::read_link(entry.path()).ok())
            .collect();
        assert!(
            !open.iter().any(|to| to.to_string_lossy().contains("memfd:input")),
            "it was read and closed: {open:?}"
        );
        let env = fs::read(format!("/proc/{child}/environ")).expect("an environment");
        assert!(!String::from_utf8_lossy(&env).contains("voucher"));
    }
}

#[test]
fn an_npmrc_is_the_gates_alone() {
    let host = Host::start();
    let text = "//npm.example/:_authToken=abc\nlegacy-peer-deps=true\n";
    let secret = json!({ "hidden": true, "value": text });
    let id = host.create("pump", &hello(), &json!({ "palette": { "npmrc": secret } }));
    let folder = host.data().join("instances").join(&id);
    let npmrc = folder.join("data/.npmrc");
    assert!(!npmrc.exists());
    let restarted = |starts: u64| {
        host.act("pump", "restart");
        host.until("pump", "another start", |view| {
            view["observed"]["starts"] == starts && view["observed"]["state"] == "running"
        });
    };
    // What an earlier version wrote goes, one of somebody else's stays.
    fs::write(&npmrc, text).expect("one of before");
    let digest = "4f78624d9533e4bcfde0c3bde84ee4b73f09a5f91e6afa58c26797ce663c970b";
    fs::write(folder.join("npmrc.sha256"), digest).expect("its digest");
    restarted(2);
    assert!(!npmrc.exists());
    fs::write(&npmrc, "fund=false\n").expect("one of somebody's own");
    restarted(3);
    assert_eq!(fs::read_to_string(&npmrc).expect("it stays"), "fund=false\n");
}

#[test]
fn what_is_not_allowed_is_not_installed_whoever_asks() {
    let registry = Registry::start();
    for name in ["good", "evil"] {
        registry.publish(
            &Package::new(name, "1.0.0")
                .file("index.js", b"module.exports = 1")
                .pack(),
        );
    }
    let host = Host::start();
    // Asks for npm as Node-RED's own code does, past its lists.
    let code = "const npm = '/stack/node_modules/npm/bin/npm-cli.js'; \
                cp.execFile(process.execPath, [npm, 'install', '--save', '--', msg.req.query.name], (error, out, err) => { \
                msg.payload = error ? 'refused ' + err : 'installed'; node.send(msg) })";
    let mut flows = endpoint(code);
    for node in flows.as_array_mut().expect("nodes") {
        if node["id"] == "f" {
            node["libs"] = json!([{ "var": "cp", "module": "child_process" }, { "var": "process", "module": "process" }]);
        }
    }
    let settings = json!({
        "palette": { "allowList": ["good"], "modulesAllowList": ["good", "child_process", "process"] },
        "env": { "npm_config_registry": registry.url(), "npm_config_noproxy": "127.0.0.1" },
    });
    host.create("pump", &flows, &settings);
    let evil = host
        .get("pump", "/run?name=evil@1.0.0")
        .expect("an answer")
        .text();
    assert!(
        evil.starts_with("refused") && evil.contains("palette.allowInstall"),
        "{evil}"
    );
    assert_eq!(registry.requests().len(), 0);
    let good = host
        .get("pump", "/run?name=good@1.0.0")
        .expect("an answer")
        .text();
    assert_eq!(good, "installed");
}
