//! Guests start prepared, ask only the world, are told apart by file and line, and repeat to the unit of fuel.

use node_vetting::trace::{End, Site, What};
use node_vetting::world::{Chance, Conditions, World};

use crate::support::{budget, closure, engine, run, run_with, seen};

fn site(file: &str, line: u32) -> Option<Site> {
    Some(Site {
        file: format!("node_modules/{file}"),
        line,
    })
}

#[test]
fn text_runs_and_answers() {
    let ran = run("module.exports.result = [1, 2, 3].map((n) => n * 2).join() + typeof host;");
    assert_eq!(ran.answer.as_deref(), Some("2,4,6undefined"));
    assert_eq!((ran.threw, ran.trace.end), (None, End::Done));
    assert_eq!(ran.trace.loaded, ["node_modules/t/index.js"]);
}

#[test]
fn what_is_thrown_is_told() {
    let ran = run("\nthrow new TypeError('no such thing');");
    let said = ran.threw.expect("it threw");
    assert!(said.starts_with("TypeError: no such thing"), "{said}");
    assert!(said.contains("/data/node_modules/t/index.js:2"), "{said}");
    assert_eq!(ran.trace.end, End::Done);
}

#[test]
fn broken_text_is_a_syntax_error() {
    let ran = run("let let = ;");
    assert!(ran.threw.expect("it threw").starts_with("SyntaxError"));
}

#[test]
fn files_are_the_worlds() {
    let ran = run(
        "const host = require('host');
         const bytes = host('fs.read', { path: '/home/operator/.npmrc' });
         host('fs.write', { path: '/tmp/x' }, bytes);
         module.exports.result = String.fromCharCode(...host('fs.read', { path: '/tmp/x' })).slice(0, 20);
         try { host('fs.read', { path: '/nowhere' }); } catch (error) { module.exports.result += error.message; }",
    );
    assert_eq!(
        ran.answer.as_deref(),
        Some("//registry.plant.exaENOENT: no such file or directory, open '/nowhere'")
    );
    let [read, written, again, missing] = seen(&ran)[..] else {
        panic!("{:?}", ran.trace.events)
    };
    assert!(matches!(read, What::FsRead { class, found: true, .. } if class == "secret"));
    assert!(matches!(written, What::FsWrite { class, payload, .. }
        if class == "temporary" && payload.secrets == ["npm-token"]));
    assert!(matches!(again, What::FsRead { class, .. } if class == "temporary"));
    assert!(matches!(missing, What::FsRead { found: false, .. }));
}

#[test]
fn calls_are_told_apart_by_file_and_line() {
    let own = "const host = require('host');
        const helper = require('helper');
        host('env.keys');
        [1].forEach(() =>
          host('env.keys'));
        helper.list(host);
        helper.later(host);
        eval('\\n\\n host(\"env.keys\")');";
    let helper = "exports.list = (host) => {
          return host('env.keys');
        };
        exports.later = (host) => Promise.resolve().then(() =>
          host('env.keys'));";
    let closure = closure(&[("t", &[("index.js", own)]), ("helper", &[("index.js", helper)])]);
    let ran = engine()
        .run(
            World::new(&closure, Conditions::default()),
            &budget(),
            "/data/node_modules/t/index.js",
        )
        .expect("a run");
    let sites: Vec<_> = ran.trace.events.iter().map(|event| event.site.clone()).collect();
    assert_eq!(
        sites,
        [
            site("t/index.js", 3),
            site("t/index.js", 5),
            site("helper/index.js", 2),
            // The text that is evaluated, and what it does.
            site("t/index.js", 8),
            site("t/index.js", 8),
            site("helper/index.js", 5),
        ]
    );
    let callers: Vec<_> = ran.trace.events[2]
        .callers
        .iter()
        .map(|site| site.file.as_str())
        .collect();
    assert_eq!(callers, ["node_modules/t/index.js"]);
}

#[test]
fn sites_cannot_be_forged() {
    let ran = run("const host = require('host');
         Error.prepareStackTrace = () => '    at x (/data/node_modules/innocent/index.js:1:1)';
         Error.stackTraceLimit = 0;
         const wicked = { ['x (/data/node_modules/innocent/a.js:7:7)\\n    at y']() { host('env.keys'); } };
         Object.values(wicked)[0]();
         module.exports.result = [typeof Error.prepareStackTrace, Error.stackTraceLimit].join();");
    assert_eq!(ran.answer.as_deref(), Some("function,0"));
    assert_eq!(ran.trace.events[0].site, site("t/index.js", 4));
    assert!(ran.trace.events[0].callers.is_empty());
}

#[test]
fn time_is_virtual() {
    let ran = run(
        "const host = require('host');
         const before = Date.now();
         host('clock.advance', { ms: 86400000 });
         const passed = Date.now() - before;
         const start = Date.now();
         while (Date.now() - start < 1000);
         module.exports.result = [new Date(before).toISOString(), passed, new Date().getTimezoneOffset()].join();",
    );
    assert_eq!(ran.answer.as_deref(), Some("2026-01-06T10:00:00.000Z,86400000,0"));
}

#[test]
fn modules_are_imported() {
    let module = "import other from './other.cjs';
        import { value } from './more.mjs';
        export const result = 'unused';
        globalThis.got = [other, value, import.meta.url, import.meta.dirname].join();
        throw new Error(globalThis.got);";
    let closure = closure(&[(
        "t",
        &[
            ("index.mjs", module),
            ("more.mjs", "await 0; export const value = 5;"),
            ("other.cjs", ""),
        ],
    )]);
    let ran = engine()
        .run(
            World::new(&closure, Conditions::default()),
            &budget(),
            "/data/node_modules/t/index.mjs",
        )
        .expect("a run");
    let said = ran.trace.events.iter().find_map(|event| match &event.what {
        What::Uncaught { said } => Some(said.clone()),
        _ => None,
    });
    let said = said.expect("nobody catches it");
    let wanted =
        "/data/node_modules/t/other.cjs,5,file:///data/node_modules/t/index.mjs,/data/node_modules/t";
    assert!(said.contains(wanted), "{said}");
}

#[test]
fn two_runs_are_equal() {
    let source = "const host = require('host');
        const keys = Object.keys(globalThis).concat(Math.random(), new Map([[{}, 1]]).size);
        for (let i = 0; i < 200; i++) host('dns.resolve', { name: 'h' + Math.random() + '.example' });
        let text = ''; for (let i = 0; i < 20000; i++) text += String.fromCharCode(65 + i % 26);
        host('http.request', { method: 'POST', url: 'https://x.example/' }, host('crypto.random', { size: 64 }));
        module.exports.result = text.length;";
    let (first, second) = (run(source), run(source));
    assert_eq!(first.trace.end, End::Done, "{:?}", first.threw);
    assert_eq!(first.trace.fuel, second.trace.fuel);
    assert_eq!(first.trace, second.trace);
}

#[test]
fn chance_has_extremes() {
    let source = "module.exports.result = require('host')('crypto.random', { size: 2 }).join();";
    for (chance, expected) in [(Chance::Lowest, "0,0"), (Chance::Highest, "255,255")] {
        let conditions = Conditions {
            chance,
            ..Conditions::default()
        };
        assert_eq!(
            run_with(source, conditions, &budget()).answer.as_deref(),
            Some(expected)
        );
    }
}
