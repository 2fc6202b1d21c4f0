//! `redhold dev`, as a person uses it: fresh folders, deploys, the end, crashes, being killed.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::{Value, json};
use test_support::client::{self, free_port};
use test_support::data;
use test_support::dev::{START, Start, run_records};
use test_support::eventually::{eventually, let_pass};
use test_support::skip::skipped;
use test_support::websocket::WebSocket;

use crate::projects::{SOON, deploy, endpoint, folder, get, project, write_flows};

/// Nothing of an instance is left: no process, control group, mount, run directory.
fn assert_nothing_left(dev: &(String, Vec<(i32, i32)>), data: &Path) {
    let (id, pids) = dev;
    for pid in pids.iter().flat_map(|(keeper, init)| [keeper, init]) {
        eventually("its processes are gone", SOON, || {
            if Path::new(&format!("/proc/{pid}")).exists() {
                Err(*pid)
            } else {
                Ok(())
            }
        });
    }
    assert!(
        !data.join("dev-v1").join(id).exists(),
        "{id} is still in the data directory"
    );
    let mounts = fs::read_to_string("/proc/self/mountinfo").expect("the mounts");
    assert!(!mounts.contains(id.as_str()), "a mount is left");
    let groups = Command::new("find")
        .args(["/sys/fs/cgroup", "-type", "d", "-name", &format!("*{id}*")])
        .output()
        .expect("find");
    assert_eq!(
        String::from_utf8_lossy(&groups.stdout),
        "",
        "a control group is left"
    );
}

/// The instance's name and processes, from its run record.
fn instance(folder: &Path, data: &Path) -> (String, Vec<(i32, i32)>) {
    let name = folder
        .file_name()
        .expect("a name")
        .to_string_lossy()
        .to_lowercase();
    let name: String = name.chars().take(16).collect();
    let (path, record) = run_records(data)
        .into_iter()
        .find(|(path, _)| path.to_string_lossy().contains(name.trim_matches('-')))
        .expect("a run record");
    let id = path
        .ancestors()
        .nth(2)
        .and_then(Path::file_name)
        .expect("its folder");
    let pid = |process: &str| i32::try_from(record[process]["pid"].as_i64().expect("a pid")).expect("a pid");
    (
        id.to_string_lossy().into_owned(),
        vec![(pid("keeper"), pid("init"))],
    )
}

#[test]
fn a_fresh_folder_becomes_a_project_that_works() {
    let folder = folder();
    let dev = Start::on(folder.path()).ready();
    let left = instance(folder.path(), data::shared());
    assert!(get(&dev, "").text().contains("<title>Node-RED</title>"));
    assert!(get(&dev, "hello?name=you").text().contains("Hello, you!"));
    let manifest: Value =
        serde_json::from_slice(&fs::read(folder.path().join("package.json")).expect("package.json"))
            .expect("JSON");
    assert_eq!(manifest["private"], true);

    // The live channel: what a flow sends to the debug sidebar.
    let mut comms = WebSocket::open(&dev.url("comms").replace("http", "ws"), &[]).expect("the live channel");
    comms.send(r#"{"subscribe":"debug"}"#).expect("the live channel");
    let injected = client::post(&dev.url("inject/redhold-inject"), &json!({})).expect("an answer");
    assert_eq!(injected.status, 200, "{}", injected.text());
    comms
        .until(SOON, |text| text.contains("\"topic\":\"debug\""))
        .expect("a debug message");

    // A deploy by the editor's API, then the new endpoint.
    let mut flows = get(&dev, "flows").json();
    let tab = json!({ "id": "tab", "type": "tab", "label": "Tab" });
    let list = flows.as_array_mut().expect("a list");
    list.push(tab);
    for mut node in endpoint("msg.payload = 'deployed'; return msg;")
        .as_array()
        .expect("nodes")
        .clone()
    {
        node["z"] = json!("tab");
        list.push(node);
    }
    deploy(&dev, &flows);
    // The answer to a deploy comes before its routes.
    eventually("the new endpoint", SOON, || {
        match get(&dev, "run").text().as_str() {
            "deployed" => Ok(()),
            other => Err(other.to_owned()),
        }
    });
    assert!(
        fs::read_to_string(folder.path().join("flows.json"))
            .expect("flows")
            .contains("deployed")
    );

    let said = dev.said();
    assert!(
        said.contains("Started flows") && said.contains("namespaces"),
        "{said}"
    );
    let (status, said) = dev.stop();
    assert_eq!(status.code(), Some(0), "{said}");
    assert!(said.contains("stopping Node-RED"), "{said}");
    assert_nothing_left(&left, data::shared());
}

#[test]
fn the_folder_is_plain_node_reds_too() {
    let folder = folder();
    let dev = Start::on(folder.path()).ready();
    assert!(get(&dev, "hello").text().contains("Hello"));
    dev.stop();
    let listed = Command::new(data::binary())
        .args(["stack", "fetch", "--json", "--data-dir"])
        .arg(data::shared())
        .output()
        .expect("redhold stack fetch");
    let listed: Value = serde_json::from_slice(&listed.stdout).expect("JSON");
    let stack = listed.as_array().map_or(&listed, |all| &all[0]);
    let red = Path::new(stack["path"].as_str().expect("a path")).join("node_modules/node-red/red.js");
    let port = free_port();
    let mut plain = Command::new(stack["executable"].as_str().expect("a path"))
        .arg(red)
        .args(["--port", &port.to_string(), "--userDir"])
        .arg(folder.path())
        .current_dir(folder.path())
        .stdout(Stdio::null())
        .spawn()
        .expect("plain Node-RED");
    let answer = eventually("plain Node-RED answers", START, || {
        let answer = client::get(&format!("http://127.0.0.1:{port}/hello"))?;
        if answer.status == 200 {
            Ok(answer)
        } else {
            Err(answer.text())
        }
    });
    // While it runs, a second one must not write over its flows.
    let (code, said) = Start::on(folder.path()).fails();
    let rival = format!("another Node-RED (process {})", plain.id());
    assert!(code == 4 && said.contains(&rival), "{said}");
    plain.kill().expect("its end");
    plain.wait().expect("its end");
    assert!(answer.text().contains("Hello"));
}

#[test]
fn a_second_ctrl_c_does_not_wait() {
    // The loop never turns again, so a gentle stop would take all of its grace.
    let folder = project(&endpoint(
        "const end = Date.now() + 9000; while (Date.now() < end); return msg;",
    ));
    let mut dev = Start::on(folder.path()).ready();
    let left = instance(folder.path(), data::shared());
    let url = dev.url("run");
    let request = std::thread::spawn(move || client::get(&url));
    // It is busy when nothing else is answered.
    eventually("the loop is blocked", SOON, || {
        let stuck = std::net::TcpStream::connect(("127.0.0.1", dev.port())).expect("the front accepts");
        stuck
            .set_read_timeout(Some(Duration::from_millis(300)))
            .expect("a timeout");
        use std::io::Write;
        (&stuck)
            .write_all(b"GET /settings HTTP/1.1\r\nhost: localhost\r\n\r\n")
            .expect("the front reads");
        match stuck.peek(&mut [0; 1]) {
            Ok(_) => Err("it answers"),
            Err(_) => Ok(()),
        }
    });
    dev.signal(Signal::SIGINT);
    dev.wait_said("stopping Node-RED", SOON);
    let begun = std::time::Instant::now();
    dev.signal(Signal::SIGINT);
    let status = dev.wait(SOON);
    assert_eq!(status.code(), Some(130), "{}", dev.said());
    assert!(
        begun.elapsed() < Duration::from_secs(4),
        "it took {:?}",
        begun.elapsed()
    );
    let _ = request.join();
    assert_nothing_left(&left, data::shared());
}

#[test]
fn a_closed_terminal_ends_it_gently() {
    let folder = folder();
    let mut dev = Start::on(folder.path()).ready();
    let left = instance(folder.path(), data::shared());
    dev.signal(Signal::SIGHUP);
    let status = dev.wait(SOON);
    assert_eq!(status.code(), Some(0), "{}", dev.said());
    assert!(dev.said().contains("Stopped flows"), "{}", dev.said());
    assert_nothing_left(&left, data::shared());
}

#[test]
fn a_killed_dev_leaves_node_red_to_the_next() {
    let folder = folder();
    let mut first = Start::on(folder.path()).ready();
    let before = instance(folder.path(), data::shared());
    assert!(get(&first, "hello").text().contains("asked for 1 times"));
    first.signal(Signal::SIGKILL);
    first.wait(SOON);
    assert!(
        Path::new(&format!("/proc/{}", before.1[0].1)).exists(),
        "Node-RED ended with it"
    );

    let mut second = Start::on(folder.path()).ready();
    assert!(second.said().contains("took it over"), "{}", second.said());
    assert_eq!(instance(folder.path(), data::shared()), before);
    // The same process: its flows remember.
    assert!(get(&second, "hello").text().contains("asked for 2 times"));
    second.signal(Signal::SIGKILL);
    second.wait(SOON);

    let third = Start::on(folder.path()).args(&["--safe"]).ready();
    assert!(third.said().contains("other options"), "{}", third.said());
    assert_ne!(instance(folder.path(), data::shared()), before);
    let after = instance(folder.path(), data::shared());
    let (status, said) = third.stop();
    assert_eq!(status.code(), Some(0), "{said}");
    assert_nothing_left(&before, data::shared());
    assert_nothing_left(&after, data::shared());
}

#[test]
fn a_second_dev_is_told_where_the_first_is() {
    let folder = folder();
    let first = Start::on(folder.path()).ready();
    let (code, said) = Start::on(folder.path()).fails();
    assert_eq!(code, 4, "{said}");
    assert!(
        said.contains(&format!("already running at {}", first.url(""))),
        "{said}"
    );
}

#[test]
fn safe_mode_opens_the_editor_with_the_flows_stopped() {
    let folder = project(&endpoint("msg.payload = 'ran'; return msg;"));
    let dev = Start::on(folder.path()).args(&["--safe"]).ready();
    assert!(dev.said().contains("safe mode"), "{}", dev.said());
    assert_eq!(get(&dev, "run").status, 404);
    let flows = get(&dev, "flows").json();
    deploy(&dev, &flows);
    eventually("the flows run after a deploy", SOON, || {
        match get(&dev, "run").text().as_str() {
            "ran" => Ok(()),
            other => Err(other.to_owned()),
        }
    });
}

#[test]
fn a_crash_is_told_and_mended_until_it_repeats_itself() {
    let folder = project(&endpoint(
        "setTimeout(() => { Promise.reject(new Error('boom of a flow')); }, 200); msg.payload = 'soon'; return msg;",
    ));
    let mut dev = Start::on(folder.path()).ready();
    for _ in 0..3 {
        let before = dev.said().matches("Node-RED runs again").count();
        eventually("it crashes", SOON, || match client::get(&dev.url("run")) {
            Ok(answer) if answer.text() == "soon" => Ok(()),
            other => Err(format!("{other:?}")),
        });
        eventually("it runs again", START, || {
            let now = dev.said().matches("Node-RED runs again").count();
            if now > before { Ok(()) } else { Err(dev.said()) }
        });
    }
    assert!(
        dev.said()
            .contains("Node-RED ended with exit code 1; it starts again"),
        "{}",
        dev.said()
    );
    let _ = client::get(&dev.url("run"));
    let status = dev.wait(START);
    let said = dev.said();
    assert_eq!(status.code(), Some(1), "{said}");
    assert!(
        said.contains("again and again") && said.contains("boom of a flow"),
        "{said}"
    );
    assert!(said.contains("hint:") && said.contains("--safe"), "{said}");
}

#[test]
fn running_out_of_memory_is_named_with_its_limit() {
    let folder = project(&endpoint(
        "const all = context.get('all') || []; for (let i = 0; i < 40; i++) all.push(Buffer.alloc(16e6, 1)); \
         context.set('all', all); return msg;",
    ));
    let dev = Start::on(folder.path()).args(&["--memory", "200M"]).ready();
    let _ = client::get(&dev.url("run"));
    dev.wait_said("ran out of its memory of 200 MiB", START);
    dev.wait_said("Node-RED runs again", START);
}

#[test]
fn missing_nodes_are_named_and_the_editor_is_open() {
    let folder = project(&json!([{ "id": "x", "type": "never-heard-of", "wires": [] }]));
    let dev = Start::on(folder.path()).ready();
    dev.wait_said("not installed: never-heard-of", SOON);
    assert!(dev.said().contains("Manage palette"), "{}", dev.said());
    assert_eq!(get(&dev, "").status, 200);
}

#[test]
fn what_a_flow_prints_cannot_drive_the_terminal() {
    let folder = project(&endpoint(
        "node.warn('\\u001b[2Jgone\\u0007'); msg.payload = 'ok'; return msg;",
    ));
    let dev = Start::on(folder.path()).ready();
    assert_eq!(get(&dev, "run").text(), "ok");
    dev.wait_said("gone", SOON);
    let said = dev.said();
    assert!(!said.contains('\x1b') && !said.contains('\x07'), "{said:?}");
    assert!(said.contains("function:work \u{241b}[2Jgone\u{2407}"), "{said}");
}

#[test]
fn variables_of_an_env_file_reach_flows_and_nobody_else() {
    let folder = project(&endpoint(
        "msg.payload = env.get('SECRET_WORD') + env.get('HOME'); return msg;",
    ));
    let file = folder.path().with_extension("env");
    fs::write(&file, "# words\nexport SECRET_WORD='s w o r d'\n").expect("a file");
    let dev = Start::on(folder.path())
        .args(&["--env-file".as_ref(), file.as_os_str()])
        .env("REDHOLD_TEST_LEAK", "leak")
        .ready();
    assert_eq!(get(&dev, "run").text(), "s w o r d/data");
    let (_, said) = dev.stop();
    assert!(!said.contains("s w o r d"), "{said}");
    fs::remove_file(file).expect("a file");
}

#[test]
fn events_are_objects_for_a_program() {
    let folder = folder();
    let dev = Start::on(folder.path()).args(&["--json"]).ready();
    let said = dev.said();
    let ready = said
        .lines()
        .find(|line| line.contains("\"event\":\"ready\""))
        .expect("a ready event");
    let ready: Value = serde_json::from_str(ready).expect("JSON");
    assert_eq!(ready["url"], dev.url(""));
    assert!(
        said.lines()
            .all(|line| serde_json::from_str::<Value>(line).is_ok()),
        "{said}"
    );
}

#[test]
fn it_needs_no_root() {
    const NOBODY: u32 = 54_321;
    if !nix::unistd::geteuid().is_root() {
        return; // Every other test here shows the same.
    }
    let home = folder();
    let dir = home.path().join("project");
    fs::create_dir(&dir).expect("a folder");
    for path in [home.path(), &dir] {
        std::os::unix::fs::chown(path, Some(NOBODY), Some(NOBODY)).expect("its owner");
    }
    let home_data = home.path().join("data");
    let dev = Start::on(&dir)
        .uid(NOBODY)
        .data(&home_data)
        .env("HOME", home.path())
        .ready();
    assert!(get(&dev, "hello").text().contains("Hello"));
    let owner = std::os::unix::fs::MetadataExt::uid(&fs::metadata(dir.join("flows.json")).expect("flows"));
    assert_eq!(owner, NOBODY);
    let left = instance(&dir, &home_data);
    let (status, said) = dev.stop();
    assert_eq!(status.code(), Some(0), "{said}");
    assert_nothing_left(&left, &home_data);
}

#[test]
fn a_module_from_the_palette_works_through_the_front() {
    let folder = folder();
    let dev = Start::on(folder.path()).ready();
    let answer = client::post(
        &dev.url("nodes"),
        &json!({ "module": "@flowfuse/node-red-dashboard" }),
    );
    let answer = answer.expect("an answer");
    assert_eq!(answer.status, 200, "{}", answer.text());
    let flows = json!([
        { "id": "tab", "type": "tab", "label": "Tab" },
        { "id": "base", "type": "ui-base", "name": "My Dashboard", "path": "/dashboard" },
        { "id": "theme", "type": "ui-theme", "name": "Theme", "colors": {}, "sizes": {} },
        { "id": "page", "type": "ui-page", "name": "First", "ui": "base", "path": "/first", "layout": "grid", "theme": "theme" },
        { "id": "group", "type": "ui-group", "name": "Group", "page": "page", "width": "6", "height": "1" },
        { "id": "text", "type": "ui-text", "z": "tab", "group": "group", "name": "shown", "label": "shown", "wires": [] },
    ]);
    deploy(&dev, &flows);
    eventually("the dashboard's page", SOON, || {
        let page = get(&dev, "dashboard/first");
        if page.status == 200 && page.text().contains("<div id=\"app\">") {
            Ok(())
        } else {
            Err(page.text())
        }
    });
    // Its own live channel is socket.io: the first answer of its long poll, then a WebSocket.
    let poll = get(&dev, "dashboard/socket.io/?EIO=4&transport=polling");
    assert!(
        poll.status == 200 && poll.text().contains("\"sid\""),
        "{}",
        poll.text()
    );
    let socket = dev
        .url("dashboard/socket.io/?EIO=4&transport=websocket")
        .replace("http", "ws");
    let mut socket = WebSocket::open(&socket, &[]).expect("socket.io by WebSocket");
    assert!(socket.next(SOON).expect("its greeting").contains("\"sid\""));
}

#[test]
fn modules_that_package_json_names_are_installed_first() {
    let folder = folder();
    let manifest = json!({ "name": "x", "private": true, "dependencies": { "node-red-node-random": "*" } });
    fs::write(folder.path().join("package.json"), manifest.to_string()).expect("package.json");
    write_flows(
        folder.path(),
        &json!([{ "id": "r", "type": "random", "low": 1, "high": 2, "wires": [[]] }]),
    );
    let dev = Start::on(folder.path()).ready();
    let said = dev.said();
    assert!(said.contains("installing node-red-node-random"), "{said}");
    assert!(!said.contains("not installed"), "{said}");
}

#[test]
fn the_editor_works_in_a_browser() {
    let Some(mut browser) = test_support::browser::Browser::start() else {
        return skipped("dev::the_editor_works_in_a_browser", "Chromium");
    };
    let folder = folder();
    let dev = Start::on(folder.path()).ready();
    browser.go(&dev.url(""));
    browser.wait_for("window.RED && RED.nodes && RED.nodes.node('redhold-inject')");
    browser.wait_for("$('#red-ui-loading-progress:visible').length === 0");
    // The button at the left of the inject node, then the debug sidebar.
    browser
        .eval("RED.sidebar.show('debug')")
        .expect("the debug sidebar");
    // The editor may move the node under the mouse while it settles: a person clicks again then.
    eventually("the message arrives", SOON, || {
        browser.click("[id='redhold-inject'] .red-ui-flow-node-button-button");
        let_pass(Duration::from_millis(500));
        match browser.eval("document.querySelectorAll('.red-ui-debug-msg').length > 0") {
            Ok(Value::Bool(true)) => Ok(()),
            other => Err(other),
        }
    });
    // A change, then the deploy button.
    browser
        .eval(
            "(() => { const node = RED.nodes.node('redhold-inject'); node.name = 'greet'; \
             node.changed = true; node.dirty = true; RED.nodes.dirty(true); RED.view.redraw(); return true; })()",
        )
        .expect("a change");
    browser.click("#red-ui-header-button-deploy");
    eventually("the deploy is on disk", SOON, || {
        let flows = fs::read_to_string(folder.path().join("flows.json")).expect("flows");
        if flows.contains("greet") {
            Ok(())
        } else {
            Err("not yet")
        }
    });
    if let Some(file) = std::env::var_os("REDHOLD_TEST_SCREENSHOT") {
        browser.wait_for("$('.red-ui-notification:visible, #red-ui-header-shade:visible').length === 0");
        browser.wait_for("!$('#red-ui-header-button-deploy .red-ui-deploy-button-spinner').is(':visible')");
        browser.screenshot(Path::new(&file));
    }
}
