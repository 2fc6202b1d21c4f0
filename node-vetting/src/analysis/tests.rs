//! Every rule beside its innocent twin: text in, text out.

use std::collections::BTreeMap;

use npm::{Algorithm, Hasher};
use proptest::prelude::*;

use super::code::{self, How};
use super::*;

const RUNTIME: How = How {
    half: Half::Runtime,
    module: false,
    entry: true,
};

fn found(source: &str, how: How) -> Found {
    let source = source.to_owned();
    // As deep a stack as the product gives.
    let outcome = pool::all(vec![(source, how)], |(source, how)| code::read(source, *how));
    match outcome.into_iter().next() {
        Some(Outcome::Done(found)) => found,
        _ => panic!("it was not read"),
    }
}

/// Capabilities of a piece of code, sorted.
fn can(source: &str) -> Vec<String> {
    can_as(source, RUNTIME)
}

fn can_as(source: &str, how: How) -> Vec<String> {
    let found = found(source, how);
    let broken = found
        .abouts
        .iter()
        .find(|(_, about)| matches!(about, About::Unparsable { .. }));
    assert!(broken.is_none(), "{source}: {broken:?}");
    let mut all: Vec<String> = found
        .sites
        .iter()
        .map(|site| site.capability.to_string())
        .collect();
    all.sort();
    all.dedup();
    all
}

/// Other findings of a piece of code, as `kind` and what tells them apart.
fn says(source: &str) -> Vec<String> {
    let found = found(source, RUNTIME);
    let abouts = found.abouts.iter().filter(|(_, about)| *about != About::Minified);
    let mut all: Vec<String> = abouts.map(|(_, about)| brief(about)).collect();
    all.sort();
    all.dedup();
    all
}

fn brief(about: &About) -> String {
    match about {
        About::Host { host, listed, .. } => format!("host {host} {}", listed.as_deref().unwrap_or("-")),
        About::Address { address, scope } => format!("address {address} {scope}"),
        About::Mentions { list, entry, .. } => format!("mentions {list}: {entry}"),
        About::Obfuscated { how, .. } => format!("obfuscated {how}"),
        About::HiddenCharacters { what, .. } => format!("hidden {what}"),
        About::Blob {
            alphabet,
            decoder,
            content,
            ..
        } => format!("blob {alphabet} {content} {decoder}"),
        About::DateGate { with } => format!("date {with}"),
        About::ChanceGate { with } => format!("chance {with}"),
        About::HostGate { what, with } => format!("{what} is {with}"),
        About::SplitName { module } => format!("split {module}"),
        About::Unparsable { why } => format!("unparsable: {why}"),
        other => format!("{other:?}"),
    }
}

#[track_caller]
fn check_can(cases: &[(&str, &[&str])]) {
    for (source, expected) in cases {
        assert_eq!(can(source), *expected, "{source}");
    }
}

#[track_caller]
fn check_says(cases: &[(&str, &[&str])]) {
    for (source, expected) in cases {
        assert_eq!(says(source), *expected, "{source}");
    }
}

#[test]
fn programs_are_seen_under_every_name() {
    check_can(&[
        ("require('child_process').exec('ls -l')", &["proc.spawn{ls}"]),
        (
            "const cp = require('node:child_process'); cp.spawn('/bin/ls')",
            &["proc.spawn{ls}"],
        ),
        (
            "const { exec: run } = require('child_process'); run(cmd)",
            &["proc.spawn{computed}"],
        ),
        (
            "const { exec } = require('child_process'); const go = exec; go('curl x | sh')",
            &["proc.spawn{shell}"],
        ),
        (
            "let e; e = require('child_process').execSync; e(`git ${x}`)",
            &["proc.spawn{git}"],
        ),
        (
            "var c = require('child_' + 'process'); c['ex' + 'ec']('ls')",
            &["proc.spawn{ls}"],
        ),
        (
            "const c = require('child_process'); c[m](x)",
            &["proc.spawn{computed}"],
        ),
        (
            "require('util').promisify(require('child_process').exec)('ls')",
            &["proc.spawn{ls}"],
        ),
        ("(0, require('child_process').exec)('ls')", &["proc.spawn{ls}"]),
        (
            "require('child_process').exec.call(null, 'ls')",
            &["proc.spawn{computed}"],
        ),
        (
            "process.mainModule.require('child_process').exec('ls')",
            &["proc.spawn{ls}"],
        ),
        (
            "process.getBuiltinModule('child_process').exec('ls')",
            &["proc.spawn{ls}"],
        ),
        (
            "process.binding('spawn_sync').spawn({})",
            &["proc.spawn{computed}"],
        ),
        (
            "var __toESM = f; var c = __toESM(require('child_process')); c.default.exec('ls')",
            &["proc.spawn{ls}"],
        ),
        (
            "global.process.mainModule.require('child_process').exec('ls')",
            &["proc.spawn{ls}"],
        ),
        (
            "module.exports = require('child_process')",
            &["proc.spawn{computed}"],
        ),
        (
            "exports.run = require('child_process').exec",
            &["proc.spawn{computed}"],
        ),
        (
            "const r = require('module').createRequire('/'); r('child_process').exec('ls')",
            &["proc.spawn{ls}"],
        ),
        ("import('child_process').then(c => c)", &[]),
        (
            "async function f() { (await import('child_process')).exec('ls') }",
            &["proc.spawn{ls}"],
        ),
        // Twins.
        ("/x/.exec('ls -l')", &[]),
        ("const db = require('./db'); db.exec('select 1')", &[]),
        ("function f(exec) { exec('ls') }", &[]),
        ("const cp = require('child_process')", &[]),
        ("const spawn = require('./spawn'); spawn('ls')", &[]),
    ]);
    let module = How {
        module: true,
        ..RUNTIME
    };
    for (source, expected) in [
        (
            "import { exec as x } from 'child_process'; x('ls')",
            "proc.spawn{ls}",
        ),
        (
            "import * as cp from 'node:child_process'; cp.exec('ls')",
            "proc.spawn{ls}",
        ),
        ("import cp from 'child_process'; cp.exec('ls')", "proc.spawn{ls}"),
    ] {
        assert_eq!(can_as(source, module), [expected], "{source}");
    }
}

#[test]
fn code_from_text_is_seen() {
    check_can(&[
        ("eval('1 + 1')", &["code.eval{literal}"]),
        ("eval(x)", &["code.eval{computed}"]),
        ("(0, eval)(x)", &["code.eval{computed}"]),
        ("const e = eval; e(x)", &["code.eval{computed}"]),
        ("globalThis['ev' + 'al'](x)", &["code.eval{computed}"]),
        ("new Function('a', b)()", &["code.eval{literal}"]),
        ("new Function(b)()", &["code.eval{computed}"]),
        ("[].constructor.constructor(x)()", &["code.eval{computed}"]),
        (
            "Object.getPrototypeOf(async function () {}).constructor(x)",
            &["code.eval{computed}"],
        ),
        ("setTimeout('x()', 1)", &["code.eval{literal}"]),
        ("require('vm').runInNewContext(x)", &["code.vm{computed}"]),
        ("new (require('vm').Script)('x')", &["code.vm{literal}"]),
        (
            "new module.constructor()._compile(x, '')",
            &["code.eval{computed}"],
        ),
        // Twins.
        ("Function('return this')()", &[]),
        ("setTimeout(() => x(), 1)", &[]),
        ("obj.eval(x)", &[]),
        ("this.constructor(x)", &[]),
        ("JSON.parse(x)", &[]),
    ]);
}

#[test]
fn modules_by_computed_names_are_seen() {
    check_can(&[
        ("require(x)", &["code.dynamic-require{computed}"]),
        ("require('./lib/' + x)", &["code.dynamic-require{own}"]),
        (
            "require(require('path').join(__dirname, x))",
            &["code.dynamic-require{own}"],
        ),
        ("import(x)", &["code.dynamic-require{computed}"]),
        ("const n = 'fs'; require(n)", &[]),
        ("require('./lib/a')", &[]),
    ]);
    check_says(&[
        ("require('child_' + 'process')", &["split child_process"]),
        ("require(['f', 's'].join(''))", &["split fs"]),
        (
            "require(Buffer.from('aHR0cHM=', 'base64').toString())",
            &["split https"],
        ),
        ("require(String.fromCharCode(102, 115))", &["split fs"]),
        ("require('fs')", &[]),
        ("require('./a' + '/b')", &[]),
        ("const name = 'fs'; require(name)", &[]),
    ]);
}

#[test]
fn the_environment_is_seen() {
    check_can(&[
        ("process.env.HOME", &["env.read{HOME}"]),
        ("const { TOKEN } = process.env", &["env.read{TOKEN}"]),
        ("const env = process.env; env.CI", &["env.read{CI}"]),
        ("process.env[x]", &["env.read{computed}"]),
        ("process['env']['A' + 'B']", &["env.read{AB}"]),
        ("JSON.stringify(process.env)", &["env.enumerate"]),
        ("Object.keys(process.env)", &["env.enumerate"]),
        ("for (const k in process.env) f(k)", &["env.enumerate"]),
        ("const all = { ...process.env }", &["env.enumerate"]),
        ("process.env.X = 1", &["env.write{X}"]),
        ("delete process.env.X", &["env.write{X}"]),
        (
            "process.env.NODE_TLS_REJECT_UNAUTHORIZED = '0'",
            &["env.write{NODE_TLS_REJECT_UNAUTHORIZED}", "net.tls.insecure"],
        ),
        // Twins: what a child would have anyway, and somebody else's env.
        ("f({ env: process.env })", &[]),
        ("f({ env: { ...process.env, A: 1 } })", &[]),
        ("config.env.HOME", &[]),
    ]);
}

#[test]
fn files_have_classes() {
    check_can(&[
        ("require('fs').readFileSync('/etc/hosts')", &["fs.read{system}"]),
        (
            "const os = require('os'), path = require('path'); require('fs').readFile(path.join(os.homedir(), '.ssh', 'id_rsa'), f)",
            &["fs.read{secret}"],
        ),
        (
            "require('fs').readFileSync(process.env.HOME + '/.npmrc')",
            &["env.read{HOME}", "fs.read{secret}"],
        ),
        (
            "require('fs').promises.writeFile(__dirname + '/x', y)",
            &["fs.write{own}"],
        ),
        ("require('fs/promises').rm(x)", &["fs.delete{computed}"]),
        (
            "require('fs').appendFileSync(require('os').homedir() + '/.bashrc', x)",
            &["fs.write{startup}"],
        ),
        (
            "require('fs').writeFileSync(RED.settings.userDir + '/flows.json', '')",
            &["fs.write{flows}", "red.settings{userDir}"],
        ),
        ("require('fs').chmodSync(x, 0o755)", &["fs.exec-bit{computed}"]),
        ("require('fs').chmodSync(x, 0o644)", &["fs.write{computed}"]),
        ("require('fs').openSync(x, 'w')", &["fs.write{computed}"]),
        ("require('fs').openSync(x, 'r')", &["fs.read{computed}"]),
        (
            "require('fs-extra').remove('node_modules/x')",
            &["fs.delete{packages}"],
        ),
        ("require('fs').existsSync(x)", &[]),
        ("store.readFile(x)", &[]),
    ]);
}

#[test]
fn destinations_are_seen() {
    check_can(&[
        (
            "require('https').get('https://api.example.org/x')",
            &["net.connect{api.example.org}"],
        ),
        (
            "require('https').request({ hostname: 'h.example', path: '/' })",
            &["net.connect{h.example}"],
        ),
        (
            "const o = { host: 'h.example' }; require('http').request(o)",
            &["net.connect{h.example}"],
        ),
        (
            "require('https').get(`https://${config.host}/x`)",
            &["net.connect{computed}"],
        ),
        ("fetch('https://x.example/' + y)", &["net.connect{x.example}"]),
        (
            "const axios = require('axios'); axios.post(url, data)",
            &["net.connect{computed}"],
        ),
        (
            "const s = new (require('net').Socket)(); s.connect(1, 'h.example')",
            &["net.connect{computed}", "net.connect{h.example}"],
        ),
        (
            "require('dns').resolveTxt('x.example', f)",
            &["net.dns{x.example}"],
        ),
        ("require('dgram').createSocket('udp4')", &["net.udp{computed}"]),
        ("require('http').createServer(f)", &["net.listen"]),
        ("f({ rejectUnauthorized: false })", &["net.tls.insecure"]),
        // Twins.
        ("f({ rejectUnauthorized: node.verify })", &[]),
        ("cache.get('https://x.example')", &[]),
        ("client.request(options)", &[]),
    ]);
}

#[test]
fn the_process_and_the_machine() {
    check_can(&[
        ("process.exit(1)", &["proc.exit"]),
        ("process.kill(1)", &["proc.signal"]),
        ("process.setuid(0)", &["proc.uid"]),
        ("new (require('worker_threads').Worker)('x.js')", &["worker"]),
        ("require('os').hostname()", &["os.identity{host name}"]),
        ("setTimeout(f, 20 * 24 * 3600 * 1000)", &["time.long{20.0 days}"]),
        ("WebAssembly.instantiate(x)", &["code.wasm"]),
        ("process.dlopen(module, x)", &["code.native"]),
        // Twins.
        ("require('os').platform()", &[]),
        ("setTimeout(f, 60 * 1000)", &[]),
        ("process.on('exit', f)", &[]),
        ("node.exit()", &[]),
    ]);
}

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

#[test]
fn texts_are_looked_at() {
    check_says(&[
        ("f('https://pastebin.com/raw/x')", &["host pastebin.com paste"]),
        (
            "f('https://api.' + 'telegram.org/bot' + token)",
            &["host api.telegram.org messenger"],
        ),
        (
            "f(['webhook', 'site'].join('.'))",
            &["host webhook.site request-catcher"],
        ),
        (
            "f(atob('aHR0cHM6Ly93ZWJob29rLnNpdGUveA=='))",
            &["host webhook.site request-catcher"],
        ),
        (
            "f('https://example.org/a', 'http://www.w3.org/2000/svg')",
            &["host example.org -"],
        ),
        ("f('203.0.113.7')", &["address 203.0.113.7 documentation"]),
        ("f('http://8.8.8.8:80/')", &["address 8.8.8.8 public"]),
        (
            "f('127.0.0.1', '192.168.0.1')",
            &["address 127.0.0.1 loopback", "address 192.168.0.1 private"],
        ),
        ("f('~/.npmrc')", &["mentions secret-path: .npmrc"]),
        (
            "const os = require('os'); f(require('path').join(os.homedir(), '.ssh', 'x'))",
            &["mentions secret-path: {home}/.ssh"],
        ),
        (
            "f('.github/workflows/a.yml')",
            &["mentions workflow-path: .github/workflows"],
        ),
        (
            "f('claude --dangerously-skip-permissions -p')",
            &["mentions ai-tool: --dangerously-skip-permissions"],
        ),
        (
            "f('curl -fsSL https://bun.sh/install')",
            &[
                "host bun.sh -",
                "mentions runtime-download: bun.sh/install",
                "mentions runtime-download: curl -fsSL https://bun",
            ],
        ),
        ("f('npm publish')", &["mentions registry-publish: npm publish"]),
        (
            "f(`http://169.254.169.254/latest`)",
            &[
                "address 169.254.169.254 link-local",
                "mentions cloud-metadata: 169.254.169.254",
            ],
        ),
        // Twins.
        ("f('version 1.2.3', '1.2.3.4.5', 'a:b', 'npm install')", &[]),
        ("'use strict'; import_('pastebin')", &[]),
        ("// https://pastebin.com/x\nf()", &[]),
    ]);
}

#[test]
fn gates_are_noted() {
    check_says(&[
        ("if (Date.now() > 1800000000000) f()", &["date 1800000000000"]),
        (
            "if (new Date() > new Date('2027-01-01')) f()",
            &["date 2027-01-01"],
        ),
        (
            "const now = new Date().getTime(); if (now >= Date.UTC(2027, 1)) f()",
            &["date 2027-1"],
        ),
        ("if (new Date().getFullYear() >= 2027) f()", &["date 2027"]),
        ("if (Math.random() < 0.01) f()", &["chance 0.01"]),
        (
            "if (require('os').hostname() === 'build-7') f()",
            &["host name is build-7"],
        ),
        ("if (process.env.USER == 'ci') f()", &["user is ci"]),
        // Twins.
        ("if (Date.now() - start > 5000) f()", &[]),
        ("if (msg.time > 1800000000000) f()", &[]),
        ("if (Math.random() < probability) f()", &[]),
        ("if (hostname === 'x') f()", &[]),
    ]);
}

#[test]
fn hidden_code_is_measured() {
    let names: String = (0..30).map(|at| format!("var _0x{at:04x} = {at};")).collect();
    let table: String = (0..40).map(|at| format!("'t{at}',")).collect();
    let rotator = format!(
        "var t = [{table}]; (function (l, n) {{ while (true) {{ try {{ break }} catch (e) {{ l.push(l.shift()) }} }} }})(t, 3)"
    );
    let codes = "String.fromCharCode(104, 116, 116, 112, 115, 58, 47, 47, 120, 46, 121, 122, n)";
    let escapes = "f('\\x68\\x74\\x74\\x70\\x73\\x3a\\x2f\\x2f\\x78\\x2e\\x79\\x7a\\x68')";
    let xor = "o += String.fromCharCode(d.charCodeAt(i) ^ k.charCodeAt(i % k.length))";
    let bytes = "for (;;) out[i] = data[i] ^ key[i % key.length]";
    let flat =
        "var o = '3|1|0|2'.split('|'), i = 0; while (true) { switch (o[i++]) { case '0': f() } break }";
    check_says(&[
        (&names, &["obfuscated hex-identifiers"]),
        (&rotator, &["obfuscated string-rotator"]),
        (codes, &["obfuscated charcode-table"]),
        (escapes, &["host x.yzh -", "obfuscated hex-escapes"]),
        (xor, &["obfuscated xor-decoder"]),
        (bytes, &["obfuscated xor-decoder"]),
        (flat, &["obfuscated flattened"]),
        (
            "eval(function(p,a,c,k,e,d){return p}('x'))",
            &["obfuscated packer"],
        ),
        // Twins: minified names, a checksum, a websocket mask, a table, control characters.
        ("function a(b,c){return b(c)}", &[]),
        ("crc = (crc >>> 8) ^ table[(crc ^ s.charCodeAt(i)) & 0xff]", &[]),
        ("for (;;) data[i] = data[i] ^ mask[i % 4]", &[]),
        (&format!("var t = [{table}]"), &[]),
        (
            "f('\\x1b[31m\\x1b[0m\\x00\\x01\\x02\\x03\\x04\\x05\\x06\\x07\\x08\\x0b\\x0c\\x0e')",
            &[],
        ),
        ("list.push(other.pop())", &[]),
    ]);
}

#[test]
fn hidden_characters_are_told() {
    let selectors: String = (0..40)
        .map(|at| char::from_u32(0xe0100 + at).expect("a character"))
        .collect();
    check_says(&[
        (&format!("f('{selectors}')"), &["hidden selector"]),
        ("/* \u{202e} } \u{2066} */ f()", &["hidden direction"]),
        ("var \u{3164} = 1", &["hidden filler"]),
        // Twins: an emoji, a joiner in a word, a byte order mark.
        ("f('\u{2764}\u{fe0f}', '\u{1f468}\u{200d}\u{1f469}')", &[]),
        ("\u{feff}f('ü')", &[]),
    ]);
}

#[test]
fn blobs_are_measured() {
    use base64::Engine;
    let noise: Vec<u8> = (0_u32..3000)
        .map(|at| (at.wrapping_mul(2_654_435_761) >> 13) as u8)
        .collect();
    let base = base64::engine::general_purpose::STANDARD.encode(&noise);
    let wasm = base64::engine::general_purpose::STANDARD.encode([b"\0asm\x01\0\0\0", &noise[..]].concat());
    let hex: String = noise.iter().map(|byte| format!("{byte:02x}")).collect();
    let prose = "the quick brown fox jumps over the lazy dog and does so again. ".repeat(40);
    check_says(&[
        (&format!("x = '{base}'"), &["blob base64 unknown false"]),
        (
            &format!("eval2(Buffer.from('{base}', 'base64'))"),
            &["blob base64 unknown true"],
        ),
        (&format!("x = atob('{wasm}')"), &["blob base64 wasm true"]),
        (&format!("x = '{hex}'"), &["blob hex unknown false"]),
        (&format!("x = '{prose}'"), &[]),
        (&format!("x = '{}'", "a".repeat(4000)), &[]),
    ]);
}

#[test]
fn what_cannot_be_read_is_told() {
    for source in [
        "function (",
        "\u{0}\u{1}",
        "@@",
        &"[".repeat(100_000),
        &"!".repeat(1_000_000),
        &"a=>".repeat(200_000),
    ] {
        let said = says(source);
        assert!(
            said.iter().any(|one| one.starts_with("unparsable")),
            "{source:.20}: {said:?}"
        );
    }
    // A module by its text, a script by its text, sloppy code, a return at the top, a line for the shell.
    for source in [
        "import a from 'b'; export default a",
        "with (a) b()",
        "return 1",
        "#!/usr/bin/env node\nf()",
        "var a = 010",
    ] {
        assert_eq!(says(source), Vec::<String>::new(), "{source}");
    }
}

/// As deep as is allowed, in every way that code nests: none of it may end the process.
#[test]
fn the_deepest_code_is_read() {
    for (open, middle, close) in [
        ("[", "", "]"),
        ("(", "a", ")"),
        ("{", "", "}"),
        ("!", "a", ""),
        ("a=>", "a", ""),
        ("a?b:", "c", ""),
        ("a+", "b", ""),
        ("x='a'+", "b", ""),
        ("a.", "b", ""),
        ("if(a)", "b", ""),
        ("if(a)b;else ", "c", ""),
        ("function f(){", "", "}"),
        ("`${", "a", "}`"),
        ("f(", "", ")"),
        ("new ", "a", ""),
        ("class A{m(){", "", "}}"),
        ("[a]=", "b", ""),
        ("({a:", "b", "})"),
        ("a=b&&", "c", ""),
        ("typeof ", "a", ""),
    ] {
        let (mut low, mut high) = (1, code::MAX_DEPTH);
        let source = |times: usize| format!("{}{middle}{}", open.repeat(times), close.repeat(times));
        // The most that is still let through.
        while low < high {
            let times = (low + high).div_ceil(2);
            if nesting::depth(source(times).as_bytes()) <= code::MAX_DEPTH {
                low = times;
            } else {
                high = times - 1;
            }
        }
        let _ = found(&source(low), RUNTIME);
    }
}

/// Following values must not take for ever where they branch.
#[test]
fn values_that_branch_end() {
    let mut source = String::from("var a0 = 'x';");
    for at in 1..40 {
        let before = at - 1;
        source.push_str(&format!(
            "var a{at} = {};",
            vec![format!("a{before}"); 30].join("+")
        ));
    }
    source.push_str("require(a39)");
    let _ = found(&source, RUNTIME);
}

fn closure(files: &[(&str, &str)], others: &[(&str, &[(&str, &str)])]) -> Closure {
    let package = |files: &[(&str, &str)]| {
        let files = files
            .iter()
            .map(|(path, text)| ((*path).to_owned(), Bytes::from((*text).to_owned())));
        let files: BTreeMap<String, Bytes> = files.collect();
        let mut hasher = Hasher::new(Algorithm::Sha512);
        for content in files.values() {
            hasher.update(content);
        }
        Package::from_files(files, hasher.finish()).expect("a package")
    };
    let others = others
        .iter()
        .map(|(place, files)| ((*place).to_owned(), Arc::new(package(files))))
        .collect();
    Closure::new(package(files), others)
}

#[test]
fn a_closure_is_looked_at_as_a_whole() {
    let closure = closure(
        &[
            (
                "package.json",
                "{\"name\": \"node-red-contrib-mine\", \"version\": \"1.0.0\", \"license\": \"MIT\", \"repository\": \"x/y\",\n\
                 \"dependencies\": {\"used\": \"1\", \"unused\": \"1\", \"spoken\": \"1\"},\n\
                 \"node-red\": {\"nodes\": {\"mine\": \"nodes/mine.js\"}}}",
            ),
            (
                "nodes/mine.js",
                "const u = require('used/lib/deep');\nconst plugin = 'spoken';\nrequire('undeclared');\n\
                 module.exports = function (RED) {\n  RED.nodes.registerType('mine', N);\n  require('./help')\n}",
            ),
            ("nodes/help.js", "process.exit(1)"),
            (
                "nodes/mine.html",
                "<script type=\"text/html\"></script>\n<script>\nfetch('https://x.example/')\n</script>",
            ),
            ("test/never.js", "process.abort()"),
        ],
        &[
            (
                "node_modules/used",
                &[
                    ("package.json", "{\"name\": \"used\", \"version\": \"1.0.0\"}"),
                    ("lib/deep.js", "eval(x)"),
                ],
            ),
            (
                "node_modules/unused",
                &[(
                    "package.json",
                    "{\"name\": \"unused\", \"version\": \"1.0.0\", \"scripts\": {\"postinstall\": \"node x.js\"}}",
                )],
            ),
        ],
    );
    let found = analyse(&closure, &BTreeMap::new());
    let sites: Vec<String> = found
        .sites
        .iter()
        .map(|said| {
            format!(
                "{}:{} {} {}",
                said.site.file, said.site.line, said.capability, said.reached
            )
        })
        .collect();
    assert_eq!(
        sites,
        [
            "node_modules/node-red-contrib-mine/nodes/help.js:1 proc.exit true",
            "node_modules/node-red-contrib-mine/nodes/mine.html:3 ed.network{x.example} true",
            "node_modules/node-red-contrib-mine/test/never.js:1 proc.exit false",
            "node_modules/unused/package.json:1 code.install-script{postinstall} true",
            "node_modules/used/lib/deep.js:1 code.eval{computed} true",
        ]
    );
    let of_root: Vec<String> = found
        .findings
        .iter()
        .filter(|finding| finding.package.starts_with("node-red-contrib-mine@"))
        .map(|finding| {
            format!(
                "{}:{} {}",
                finding.site.file.rsplit('/').next().unwrap_or_default(),
                finding.site.line,
                brief(&finding.about)
            )
        })
        .filter(|one| !one.contains("Licence"))
        .collect();
    assert_eq!(
        of_root,
        [
            "mine.html:3 host x.example -",
            "mine.js:3 Undeclared { dependency: \"undeclared\" }",
            "package.json:2 Phantom { dependency: \"unused\", script: true }",
        ]
    );
    assert_eq!(found.nodes[0].types, ["mine"]);
    assert_eq!(
        found.nodes[0].editor.as_deref(),
        Some("node_modules/node-red-contrib-mine/nodes/mine.html")
    );
    assert_eq!(found.measured.packages, 3);
    assert_eq!(
        found,
        analyse(&closure, &BTreeMap::new()),
        "the same bytes, the same findings"
    );
    let text = serde_json::to_string(&found).expect("it is written");
    assert_eq!(
        serde_json::from_str::<Findings>(&text).expect("it is read back"),
        found
    );
}

const PIECES: [&str; 40] = [
    "require('child_process')",
    ".exec(",
    "eval",
    "(",
    ")",
    "[",
    "]",
    "{",
    "}",
    "`${",
    "`",
    "'",
    "\"",
    "/",
    "\\",
    "=>",
    "async ",
    "await ",
    "function ",
    "class ",
    "import ",
    "export default ",
    "from 'x'",
    ";",
    ",",
    ":",
    "?",
    "??=",
    "...",
    "\u{202e}",
    "\u{e0101}",
    "0x1f",
    "process.env",
    "<!--",
    "-->",
    "#!",
    "/*",
    "*/",
    "//",
    "\n",
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    /// Whatever is thrown together: it is read or told, and nothing panics.
    #[test]
    fn no_text_breaks_the_reader(pieces in proptest::collection::vec(0..PIECES.len(), 0..60)) {
        let source: String = pieces.iter().map(|at| PIECES[*at]).collect();
        let _ = code::read(&source, RUNTIME);
        let _ = html::scripts(&source);
        let _ = scripts::steps(&source, &BTreeMap::new());
    }

    /// Real code with a part cut out, doubled or broken.
    #[test]
    fn no_mutation_breaks_the_reader(at in 0..2000_usize, cut in 0..200_usize, with in ".{0,8}") {
        let source = include_str!("../../data/sample.js");
        let at = source.char_indices().map(|(at, _)| at).nth(at % source.chars().count()).unwrap_or(0);
        let end = source.char_indices().map(|(at, _)| at).find(|end| *end >= at + cut).unwrap_or(source.len());
        let mutated = format!("{}{with}{}", &source[..at], &source[end..]);
        let _ = code::read(&mutated, RUNTIME);
    }
}
