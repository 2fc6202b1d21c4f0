//! Projects as the tests of `redhold dev` need them, and what one asks of a running one.

use std::fs;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;
use test_support::client;
use test_support::dev::Dev;

/// For what should happen at once, on a machine that has much else to do.
pub(crate) const SOON: Duration = Duration::from_secs(20);

/// An empty folder.
pub(crate) fn folder() -> TempDir {
    tempfile::Builder::new()
        .prefix("redhold-test-")
        .tempdir()
        .expect("a folder")
}

/// A project with one tab of nodes.
pub(crate) fn project(nodes: &Value) -> TempDir {
    let folder = folder();
    write_flows(folder.path(), nodes);
    folder
}

/// Flows of one tab with these nodes.
pub(crate) fn write_flows(folder: &Path, nodes: &Value) {
    let mut flows = vec![json!({ "id": "tab", "type": "tab", "label": "Tab" })];
    flows.extend(nodes.as_array().expect("nodes").iter().cloned());
    for node in &mut flows[1..] {
        node["z"] = json!("tab");
    }
    fs::write(folder.join("flows.json"), Value::Array(flows).to_string()).expect("flows.json");
}

/// An endpoint `GET /run` that answers with what the function makes of the message.
pub(crate) fn endpoint(code: &str) -> Value {
    json!([
        { "id": "in", "type": "http in", "url": "/run", "method": "get", "wires": [["f"]] },
        { "id": "f", "type": "function", "name": "work", "func": code, "outputs": 1, "wires": [["out"]] },
        { "id": "out", "type": "http response", "wires": [] },
    ])
}

/// A module of one node, in node_modules and package.json: `code` gets `msg`, `send` and `require`.
pub(crate) fn module(project: &Path, node: &str, code: &str) {
    let name = format!("node-red-{node}");
    let folder = project.join("node_modules").join(&name);
    fs::create_dir_all(&folder).expect("a folder");
    let write = |file: &str, text: String| fs::write(folder.join(file), text).expect("a file");
    let manifest = json!({ "name": name, "version": "1.0.0",
        "node-red": { "nodes": { node: "node.js" } } });
    write("package.json", manifest.to_string());
    write(
        "node.js",
        format!(
            "module.exports = (RED) => RED.nodes.registerType('{node}', function (config) {{ \
             RED.nodes.createNode(this, config); this.on('input', (msg, send) => {{ {code} }}) }})"
        ),
    );
    write(
        "node.html",
        format!(
            "<script>RED.nodes.registerType('{node}', {{ category: 'function', defaults: {{}}, inputs: 1, \
             outputs: 1 }})</script>"
        ),
    );
    let manifest = json!({ "name": "mine", "private": true, "dependencies": { name: "~1.0.0" } });
    fs::write(project.join("package.json"), manifest.to_string()).expect("a file");
}

/// Its answer to a request.
pub(crate) fn get(dev: &Dev, path: &str) -> client::Answer {
    client::get(&dev.url(path)).expect("an answer")
}

/// Deploys all flows by the editor's API.
pub(crate) fn deploy(dev: &Dev, flows: &Value) {
    let answer = client::post(&dev.url("flows"), flows).expect("an answer");
    assert_eq!(answer.status, 204, "{}", answer.text());
}
