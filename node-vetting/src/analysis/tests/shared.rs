//! What code could do to what it shares with others: objects of the language, Node-RED, the editor.

use super::*;

#[test]
fn changes_to_what_is_shared_are_seen() {
    check_can(&[
        (
            "Array.prototype.flat2 = f",
            &["rt.prototype{Array.prototype.flat2}"],
        ),
        (
            "Object.defineProperty(Object.prototype, 'x', {})",
            &["rt.prototype{Object.prototype.x}"],
        ),
        ("JSON.parse = f", &["rt.global{JSON.parse}"]),
        ("global.fetch = f", &["rt.global{fetch}"]),
        ("require('http').request = f", &["rt.core-override{http.request}"]),
        (
            "const http = require('http'); http.get = f",
            &["rt.core-override{http.get}"],
        ),
        ("Object.assign(require('fs'), x)", &["rt.core-override{fs.{?}}"]),
        (
            "process.stdout.write = f",
            &["rt.core-override{process.stdout.write}"],
        ),
        ("require('module')._load = f", &["code.module-hook{module._load}"]),
        (
            "require.extensions['.x'] = f",
            &["code.module-hook{require.extensions..x}"],
        ),
        (
            "require('module').prototype.require = f",
            &["code.module-hook{module.prototype.require}"],
        ),
        ("require.cache[x] = y", &["rt.require-cache"]),
        (
            "delete require.cache[require.resolve('x')]",
            &["rt.require-cache"],
        ),
        ("({}).__proto__.x = 1", &["rt.prototype{Object.prototype}"]),
        // Twins.
        ("Thing.prototype.go = f", &[]),
        ("module.exports.request = f", &[]),
        ("const http = {}; http.get = f", &[]),
        ("Object.assign({}, require('fs'))", &[]),
        ("process.exitCode = 1", &[]),
        ("function Array2() {} Array2.prototype.x = 1", &[]),
    ]);
}

#[test]
fn node_red_is_known_by_its_place() {
    check_can(&[
        (
            "module.exports = function (R) { R.httpAdmin.get('/x', f) }",
            &["red.admin-route{get /x without permission}"],
        ),
        (
            "module.exports = RED => { RED.httpAdmin.post('/x/:id', RED.auth.needsPermission('x.write'), f) }",
            &["red.admin-route{post /x/:id with permission}"],
        ),
        (
            "module.exports = function (RED) { RED.httpNode.get('/x', f) }",
            &["red.http-route{get /x}"],
        ),
        (
            "module.exports = function (RED) { RED.nodes.eachNode(f) }",
            &["red.flows.read"],
        ),
        (
            "module.exports = function (RED) { RED.nodes.getCredentials(id) }",
            &["red.credentials{other}"],
        ),
        (
            "module.exports = function (RED) { RED.hooks.add('onSend', f) }",
            &["red.hooks{onSend}"],
        ),
        (
            "module.exports = function (RED) { const s = RED.settings.adminAuth }",
            &["red.settings{adminAuth}"],
        ),
        (
            "module.exports = function (RED) { RED.log.addHandler(f) }",
            &["red.log-handler"],
        ),
        // Twins.
        (
            "module.exports = function (RED) { this.credentials.password }",
            &[],
        ),
        ("app.get('/x', f)", &[]),
    ]);
    let types = found(
        "module.exports = function (RED) { RED.nodes.registerType('my-type', N) }",
        RUNTIME,
    )
    .types;
    assert_eq!(types, ["my-type"]);
}

#[test]
fn the_editor_half_has_its_own_doors() {
    let editor = How {
        half: Half::Editor,
        ..RUNTIME
    };
    for (source, expected) in [
        ("localStorage.getItem('auth-tokens')", &["ed.token"][..]),
        ("RED.settings.get('auth-tokens')", &["ed.token"]),
        ("fetch('https://x.example/a')", &["ed.network{x.example}"]),
        (
            "$.getScript('https://x.example/a.js')",
            &["ed.external-script{x.example}"],
        ),
        ("window.fetch = f", &["ed.global{fetch}"]),
        (
            "XMLHttpRequest.prototype.open = f",
            &["ed.global{XMLHttpRequest.prototype.open}"],
        ),
        ("document.write(x)", &["ed.html-injection"]),
        (
            "navigator.sendBeacon('https://x.example/')",
            &["ed.network{x.example}"],
        ),
        // Twins.
        ("$.getJSON('my-node/list', f)", &[]),
        ("fetch('my-node/list')", &[]),
        ("document.title = 'x'", &[]),
        ("window.onresize = f", &[]),
        ("RED.nodes.registerType('x', {})", &[]),
    ] {
        assert_eq!(can_as(source, editor), expected, "{source}");
    }
}
