//! Guests that attack their host: each ends within its budget, the next guest is unharmed, and nothing passes for done.

use std::time::{Duration, Instant};

use node_vetting::engine::{Budget, Ran};
use node_vetting::trace::End;
use node_vetting::world::Conditions;

use crate::support::{budget, run, run_with};

/// Little enough that the tests are quick.
fn small() -> Budget {
    Budget {
        fuel: 2_000_000_000,
        memory: 64 << 20,
        ..budget()
    }
}

fn attack(source: &str) -> Ran {
    let conditions = Conditions {
        events: 5000,
        ..Conditions::default()
    };
    let ran = run_with(source, conditions, &small());
    assert!(ran.trace.memory <= 64 << 20, "{}", ran.trace.memory);
    assert!(ran.trace.fuel <= small().fuel);
    ran
}

/// It was stopped, and by what.
fn spent(source: &str, what: &str) {
    let ran = attack(source);
    let end = match what {
        "fuel" => End::Stuck,
        what => End::Spent(what.to_owned()),
    };
    assert_eq!(ran.trace.end, end, "{source}: {:?} {:?}", ran.answer, ran.threw);
    assert_eq!(ran.answer, None, "{source}");
}

/// It was stopped by one of several walls, whichever stands first on this machine.
fn stopped(source: &str) {
    let ran = attack(source);
    assert!(
        ran.trace.end != End::Done || ran.threw.is_some(),
        "{source}: {:?}",
        ran.answer
    );
}

#[test]
fn loops_without_end_run_out_of_fuel() {
    spent("for (;;);", "fuel");
    spent("for (;;) { try { for (;;); } finally { continue; } }", "fuel");
    spent(
        "const again = () => Promise.resolve().then(again); again();",
        "fuel",
    );
    spent("const f = () => { try { f(); } finally { f(); } }; f();", "fuel");
    spent("while (true) { try { throw 1; } catch {} }", "fuel");
}

#[test]
fn deadlines_hold_where_fuel_does_not() {
    let budget = Budget {
        fuel: u64::MAX / 2,
        deadline: Duration::from_millis(300),
        ..budget()
    };
    let start = Instant::now();
    let ran = run_with("for (;;);", Conditions::default(), &budget);
    assert_eq!(ran.trace.end, End::Spent("time".to_owned()));
    assert!(start.elapsed() >= budget.deadline);
}

#[test]
fn memory_is_refused() {
    for source in [
        "const all = []; for (;;) all.push(new Uint8Array(1 << 20).fill(1));",
        "let s = 'x'.repeat(1 << 20); const all = []; for (let i = 0; ; i++) all.push(s + i);",
        "const o = {}; for (let i = 0; ; i++) o['k' + i] = [i];",
        "new Uint8Array(10 * 1024 ** 3);",
        "'x'.repeat(2 ** 30 - 1).repeat(50);",
        "const a = []; a.length = 2 ** 32 - 1; a.fill(0);",
        "new ArrayBuffer(1, { maxByteLength: 2 ** 40 }).resize(2 ** 39);",
    ] {
        stopped(source);
    }
}

#[test]
fn recursion_ends_as_an_error() {
    for source in [
        "const f = () => f(); f();",
        "const f = () => [1].forEach(f); f();",
        "let p = {}; for (let i = 0; i < 1e5; i++) p = new Proxy(p, {}); p.x;",
        "const o = { toString() { return '' + o; } }; '' + o;",
        "const o = { get x() { return this.x; } }; o.x;",
        "let a = []; for (let i = 0; i < 1e5; i++) a = [a]; JSON.stringify(a);",
        "let a = []; for (let i = 0; i < 1e5; i++) a = [a]; a.flat(Infinity); String(a);",
        "class A extends A.constructor { constructor() { new A(); } } new A();",
    ] {
        stopped(source);
    }
    // And the engine is usable afterwards.
    let ran = run("const f = () => f(); try { f(); } catch (error) { module.exports.result = error.name; }");
    assert_eq!(
        (ran.answer.as_deref(), ran.trace.end),
        (Some("RangeError"), End::Done)
    );
}

#[test]
fn nesting_ends_the_parser_and_not_the_host() {
    for source in [
        "JSON.parse('['.repeat(1e5) + ']'.repeat(1e5));",
        "JSON.parse('{\"a\":'.repeat(1e5) + '1' + '}'.repeat(1e5));",
        "eval('('.repeat(1e5) + ')'.repeat(1e5));",
        "eval('['.repeat(1e5));",
        "eval('!'.repeat(1e6) + '1');",
        "new RegExp('('.repeat(1e5) + ')'.repeat(1e5));",
        "new Function('a'.repeat(10) + '=>{'.repeat(1e5));",
    ] {
        stopped(source);
    }
}

#[test]
fn patterns_and_sorts_are_paid_for() {
    for source in [
        "/^(a+)+$/.test('a'.repeat(40) + 'b');",
        "/(x+x+)+y/.exec('x'.repeat(60));",
        "const a = Array.from({ length: 1e6 }, (_, i) => i); for (;;) a.sort(() => Math.random() - 0.5);",
        "let n = 3n; for (;;) n = n ** 3n;",
        "'a'.repeat(1e6).replace(/a/g, () => 'b'.repeat(1e4));",
        "const s = 'ab'.repeat(1e5); for (;;) s.split('').reverse().join('');",
    ] {
        stopped(source);
    }
}

#[test]
fn floods_are_capped() {
    spent(
        "const host = require('host'); for (;;) host('env.keys');",
        "events",
    );
    spent(
        "const host = require('host'); const b = new Uint8Array(1 << 20); for (;;) host('output', {}, b);",
        "output",
    );
    spent(
        "const host = require('host'); for (let i = 0; ; i++) try { host('net.connect', { host: 'h' + i, port: 1 }); } catch {}",
        "events",
    );
}

#[test]
fn work_of_the_host_is_paid_for_too() {
    let start = Instant::now();
    for source in [
        "const host = require('host'); const b = new Uint8Array(8 << 20); for (;;) host('crypto.hash', { algorithm: 'sha512' }, b);",
        "const host = require('host'); for (;;) host('crypto.pbkdf2', { algorithm: 'sha512', salt: '', iterations: 1e6, length: 64 });",
        "const host = require('host'); const b = new Uint8Array(4 << 20).fill(97); for (;;) host('net.send', { id: host('net.connect', { host: 'x', port: 1 }).id }, b);",
        "const host = require('host'); let b = host('zlib', { format: 'gzip', mode: 'deflate' }, new Uint8Array(32 << 20)); for (;;) host('zlib', { format: 'gzip', mode: 'inflate' }, b);",
    ] {
        stopped(source);
    }
    // Some five thousand million units are a second; a debug build of the host's half is slower.
    assert!(
        start.elapsed() < Duration::from_secs(100),
        "{:?}",
        start.elapsed()
    );
}

#[test]
fn the_door_cannot_be_broken() {
    for source in [
        "const host = require('host'); host(); host('fs.read', null); host('x'.repeat(1e6), {}, new Uint8Array(0));",
        "const host = require('host'); host({ toString() { throw 1; } });",
        "const host = require('host'); host('fs.write', { path: '/tmp/\\ud800' }, new Uint8Array([0xff]));",
        "const host = require('host'); host('record', { what: { kind: 'send' } }); host('phase', { phase: 7 });",
        "const host = require('host'); host('net.send', { id: -1 }); host('clock.advance', { ms: 1e300 }); new Date().toString();",
    ] {
        let ran = attack(source);
        assert!(
            !matches!(ran.trace.end, End::Trapped(_)),
            "{source}: {:?}",
            ran.trace.end
        );
    }
}

#[test]
fn the_next_guest_knows_nothing() {
    attack("globalThis.left = 1; Object.prototype.left = 2; Array.prototype.map = () => 3; for (;;);");
    let ran = run("module.exports.result = [typeof left, typeof {}.left, [1].map((n) => n)].join();");
    assert_eq!(ran.answer.as_deref(), Some("undefined,undefined,1"));
}
