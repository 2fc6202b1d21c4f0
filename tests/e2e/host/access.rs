//! Who comes in where: editors behind the token, endpoints as they are set, the interface behind the token.

use std::time::Duration;

use serde_json::json;
use test_support::browser::Browser;
use test_support::eventually::eventually;
use test_support::host::{Host, SOON};
use test_support::skip::skipped;

use super::hello;

#[test]
fn editors_are_for_who_has_the_token() {
    let host = Host::start();
    host.create("pump", &hello(), &json!({}));
    let get = |path: &str, headers: &[(&str, &str)]| {
        host.call("pump", "GET", path, headers, Vec::new())
            .expect("an answer")
    };
    let page = get("/", &[]);
    assert_eq!(
        (page.status, page.header("location")),
        (303, Some("/.redhold/sign-in?to=/"))
    );
    for path in [
        "/flows",
        "/settings",
        "/nodes",
        "//flows",
        "/FLOWS",
        "/%66lows",
        "/context/global",
    ] {
        let answer = get(path, &[]);
        assert!([401, 404].contains(&answer.status), "{path}: {}", answer.status);
        assert!(!answer.text().contains("tab"), "{path}");
        // What only the front may say is not believed from anybody else.
        let forged = get(path, &[("x-redhold-voucher", "x"), ("authorization", "Bearer x")]);
        assert!([401, 404].contains(&forged.status), "{path}: {}", forged.status);
    }
    assert_eq!(get("/run", &[]).status, 200, "endpoints are open by default");

    let form = |token: &str| {
        let headers = [("content-type", "application/x-www-form-urlencoded")];
        host.call(
            "pump",
            "POST",
            "/.redhold/sign-in",
            &headers,
            format!("token={token}").into_bytes(),
        )
        .expect("an answer")
    };
    assert_eq!(form("wrong").status, 403);
    let token = host.token();
    let signed = form(token.trim_start_matches("Bearer "));
    assert_eq!(signed.status, 303);
    let cookie = signed.header("set-cookie").expect("a cookie").to_owned();
    assert!(
        cookie.contains("HttpOnly") && cookie.contains("SameSite=Lax"),
        "{cookie}"
    );
    let pair = cookie.split(';').next().expect("a pair");
    assert_eq!(get("/flows", &[("cookie", pair)]).status, 200);
    assert_eq!(get("/", &[("cookie", pair)]).status, 200);

    // The same cookie opens no other instance.
    host.create("other", &hello(), &json!({}));
    let answer = host
        .call("other", "GET", "/flows", &[("cookie", pair)], Vec::new())
        .expect("an answer");
    assert_eq!(answer.status, 401);

    // The interface over the network wants the token.
    let api = |headers: &[(&str, &str)]| {
        test_support::client::request(
            "GET",
            &format!("http://127.0.0.1:{}/api/v1/instances", host.port()),
            headers,
            Vec::new(),
        )
        .expect("an answer")
        .status
    };
    assert_eq!(api(&[]), 401);
    assert_eq!(api(&[("authorization", "Bearer x")]), 401);
    assert_eq!(api(&[("authorization", &token)]), 200);
    assert_eq!(host.get("nobody", "/").expect("an answer").status, 404);
}

#[test]
fn endpoints_can_have_a_password() {
    let host = Host::start();
    let settings =
        json!({ "http": { "access": "basic", "user": "me", "password": { "hidden": true, "value": "pw" } } });
    host.create("pump", &hello(), &settings);
    let get = |headers: &[(&str, &str)]| {
        host.call("pump", "GET", "/run", headers, Vec::new())
            .expect("an answer")
    };
    let refused = get(&[]);
    assert_eq!(refused.status, 401);
    assert!(
        refused
            .header("www-authenticate")
            .is_some_and(|value| value.starts_with("Basic"))
    );
    assert_eq!(get(&[("authorization", "Basic bWU6cHc=")]).status, 200);
    assert_eq!(get(&[("authorization", "Basic bWU6cHg=")]).status, 401);
    assert!(!host.view("pump").to_string().contains("\"pw\""));
}

#[test]
fn endpoints_can_have_tokens() {
    let mut host = Host::start();
    let code = "msg.payload = JSON.stringify(msg.req.headers); return msg";
    host.create(
        "pump",
        &super::endpoint(code),
        &json!({ "http": { "access": "tokens" } }),
    );
    let get = |host: &Host, token: &str| {
        let value = format!("Bearer {token}");
        host.call("pump", "GET", "/run", &[("authorization", &value)], Vec::new())
            .expect("an answer")
    };
    let refused = host.get("pump", "/run").expect("an answer");
    assert_eq!(refused.status, 401);
    assert_eq!(
        refused.header("www-authenticate"),
        Some("Bearer realm=\"Node-RED\"")
    );
    let token = host.does(&["instance", "token", "create", "pump", "ci", "--days", "1"]);
    let token = token.trim();
    assert!(token.starts_with("rht_"), "{token}");
    let taken = host.cli(&["instance", "token", "create", "pump", "ci"]);
    assert_ne!(taken.status.code(), Some(0));
    eventually("it is taken", SOON, || match get(&host, token).status {
        200 => Ok(()),
        status => Err(status),
    });
    assert!(!get(&host, token).text().contains("rht_"), "flows do not see it");
    assert_eq!(get(&host, "rht_x").status, 401);
    // It opens no editor.
    let value = format!("Bearer {token}");
    let flows = host.call("pump", "GET", "/flows", &[("authorization", &value)], Vec::new());
    assert_eq!(flows.expect("an answer").status, 401);
    let list = |host: &Host| {
        let all = host.ask("GET", "/instances/pump/tokens", &serde_json::Value::Null);
        all.expect("tokens")
    };
    let listed = list(&host);
    assert!(
        listed[0]["lastUsedMs"].is_u64() && listed[0]["token"].is_null(),
        "{listed}"
    );
    assert!(host.does(&["instance", "token", "list", "pump"]).contains("ci"));

    // What is on the disk is none, and it outlives the host.
    host.stop();
    let store = host.data().join("store");
    let secret = token.trim_start_matches("rht_").as_bytes();
    for entry in walk(&store) {
        let bytes = std::fs::read(&entry).expect("a file");
        assert!(
            !bytes.windows(secret.len()).any(|part| part == secret),
            "{}",
            entry.display()
        );
    }
    host.run();
    host.wait("pump", "running");
    assert_eq!(get(&host, token).status, 200);
    assert_eq!(list(&host)[0]["name"], "ci");
    assert!(list(&host)[0]["lastUsedMs"].is_u64());
    host.does(&["instance", "token", "revoke", "pump", "ci"]);
    assert_eq!(get(&host, token).status, 401, "at once");
    let audit = host
        .ask("GET", "/audit", &serde_json::Value::Null)
        .expect("entries")
        .to_string();
    assert!(audit.contains("instance.token-create") && audit.contains("instance.token-revoke"));
    assert!(!audit.contains(token));
    let past = host.ask(
        "POST",
        "/instances/pump/tokens",
        &json!({ "name": "old", "expiresMs": 1 }),
    );
    past.expect_err("it would have ended");
    let soon = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .expect("a time");
    let end = u64::try_from(soon.as_millis()).expect("a time") + 3000;
    let made = host.ask(
        "POST",
        "/instances/pump/tokens",
        &json!({ "name": "short", "expiresMs": end }),
    );
    let short = made.expect("created")["token"]
        .as_str()
        .expect("a token")
        .to_owned();
    eventually("it ends", SOON, || match get(&host, &short).status {
        401 if std::time::SystemTime::now() > std::time::UNIX_EPOCH + Duration::from_millis(end) => Ok(()),
        status => Err(status),
    });
}

/// All files below a folder.
fn walk(folder: &std::path::Path) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(folder).expect("a folder").flatten();
    entries
        .flat_map(|entry| match entry.path() {
            path if path.is_dir() => walk(&path),
            path => vec![path],
        })
        .collect()
}

#[test]
fn instances_can_be_addressed_by_a_path() {
    let folder = tempfile::tempdir().expect("a folder");
    let config = folder.path().join("redhold.toml");
    std::fs::write(&config, "by-path = true").expect("a configuration");
    let host = Host::with(&["--tls", "off", "--config", &config.to_string_lossy()]);
    let code = "msg.payload = msg.req.headers['x-forwarded-prefix'] + msg.req.url; return msg";
    host.create("pump", &super::endpoint(code), &json!({}));
    let token = host.token();
    let get = |path: &str, headers: &[(&str, &str)]| {
        let url = format!("http://127.0.0.1:{}{path}", host.port());
        test_support::client::request("GET", &url, headers, Vec::new()).expect("an answer")
    };
    assert_eq!(get("/i/pump/run?a=b", &[]).text(), "/i/pump/run?a=b");
    assert_eq!(get("/i/pump", &[]).header("location"), Some("/i/pump/"));
    let turned = get("/i/pump/", &[]);
    assert_eq!(turned.header("location"), Some("/.redhold/sign-in?to=/i/pump/"));
    assert!(
        get("/.redhold/sign-in?to=/i/pump/", &[])
            .text()
            .contains("value=\"/i/pump/\"")
    );
    assert!(
        !get("/.redhold/sign-in?to=//evil.example/", &[])
            .text()
            .contains("evil")
    );
    assert_eq!(get("/i/pump/flows", &[]).status, 401);
    let flows = get("/i/pump/flows", &[("authorization", &token)]);
    assert_eq!(flows.status, 200);
    let foreign = [
        ("authorization", token.as_str()),
        ("origin", "https://evil.example"),
    ];
    let url = format!("http://127.0.0.1:{}/i/pump/flows", host.port());
    let answer = test_support::client::request("POST", &url, &foreign, b"[]".to_vec()).expect("an answer");
    assert_eq!(
        answer.status, 403,
        "another site's page is told apart by the path that the instance sees"
    );
    // By its name it knows of no prefix, whatever a client says.
    let answer = host.call(
        "pump",
        "GET",
        "/run",
        &[("x-forwarded-prefix", "/forged")],
        Vec::new(),
    );
    assert_eq!(answer.expect("an answer").text(), "undefined/run");
}

#[test]
fn an_operator_signs_in_and_deploys_in_a_browser() {
    let Some(mut browser) = Browser::start() else {
        return skipped(
            "host::access::an_operator_signs_in_and_deploys_in_a_browser",
            "Chromium",
        );
    };
    let host = Host::start();
    host.create(
        "pump",
        &hello(),
        &json!({ "editor": { "headerTitle": "Pump house" } }),
    );
    let page = format!("http://pump.localhost:{}/", host.port());
    browser.go(&page);
    browser.wait_for("document.querySelector('input[name=token]')");
    let pictures = std::env::var_os("REDHOLD_TEST_PICTURES").map(std::path::PathBuf::from);
    let keep = |browser: &mut Browser, name: &str| {
        if let Some(folder) = &pictures {
            browser.screenshot(&folder.join(name));
        }
    };
    let type_in = |browser: &mut Browser, text: &str| {
        let set = format!(
            "document.querySelector('input[name=token]').value = {}",
            json!(text)
        );
        browser.eval(&set).expect("typed");
        browser.click("button");
    };
    keep(&mut browser, "sign-in.png");
    type_in(&mut browser, "wrong");
    browser.wait_for("document.querySelector('[role=alert]').textContent.includes('not the token')");
    keep(&mut browser, "refused.png");
    let token = host.token();
    type_in(&mut browser, token.trim_start_matches("Bearer "));
    browser.wait_for("window.RED && RED.nodes && RED.nodes.node('f')");
    browser.wait_for("$('#red-ui-loading-progress:visible').length === 0");
    assert_eq!(
        browser
            .eval("document.querySelector('#red-ui-header').textContent.includes('Pump house')")
            .expect("a value"),
        true
    );
    // No second sign-in, the live channel is open, and a deploy arrives.
    assert_eq!(
        browser
            .eval("$('#node-dialog-login:visible').length")
            .expect("a value"),
        0
    );
    browser
        .eval(
            "(() => { const f = RED.nodes.node('f'); f.func = \"msg.payload = 'changed'; return msg\"; \
             f.changed = true; f.dirty = true; RED.nodes.dirty(true); })()",
        )
        .expect("changed");
    browser.click("#red-ui-header-button-deploy");
    keep(&mut browser, "editor.png");
    eventually("the deploy", SOON, || match host.get("pump", "/run")?.text() {
        text if text == "changed" => Ok(()),
        text => Err(text),
    });
    host.wait_event("pump", "deployed");
}
