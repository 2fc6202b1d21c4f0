//! Code that waits for a name is given that name: what it compares names with becomes the names of the next runs.

use node_vetting::exercise::{Observations, Profile, exercise};
use node_vetting::trace::What;

use crate::guest::engine;
use crate::support::closure;

const MANIFEST: &str = r#"{"name":"gated","version":"1.0.0","node-red":{"nodes":{"gated":"gated.js"}}}"#;
const NODE: &str = "const inner = require('inner');
    module.exports = (RED) => RED.nodes.registerType('gated', function (config) {
        RED.nodes.createNode(this, config);
        this.on('input', (msg, send, done) => { inner(msg.payload); send(msg); done(); });
    });";

/// The runs of a node whose dependency starts a program when `gate` says so.
fn observe(gate: &str) -> Observations {
    let inner = format!(
        "const os = require('os');
         const strike = () => require('child_process').exec('strike');
         const text = (...parts) => parts.join('');
         module.exports = (payload) => {{ {gate} }};"
    );
    let closure = closure(&[
        ("gated", &[("package.json", MANIFEST), ("gated.js", NODE)]),
        ("inner", &[("index.js", inner.as_str())]),
    ]);
    exercise(engine(), &closure, &Profile::default()).expect("runs")
}

/// The names of the runs in which it was started.
fn struck(seen: &Observations) -> Vec<&str> {
    let starts = |what: &What| {
        matches!(what, What::Spawn { command, arguments, .. }
            if command.contains("strike") || arguments.iter().any(|argument| argument.contains("strike")))
    };
    let runs = seen
        .runs
        .iter()
        .filter(|run| run.events.iter().any(|event| starts(&event.what)));
    runs.map(|run| run.run.as_str()).collect()
}

#[test]
fn a_name_that_is_made_at_run_time_is_found() {
    for gate in [
        "if (os.hostname() === text('mill', '-', 'north')) strike();",
        "if (text('mill-', 'north') == os.hostname().toLowerCase()) strike();",
        "if ([text('mill-', 'north'), 'x'].includes(os.hostname())) strike();",
        "if (new Set([text('mill-', 'north')]).has(os.hostname())) strike();",
        "if (`${os.userInfo().username}@${os.hostname()}` === text('operator@mill-', 'north')) strike();",
        "switch (os.hostname().split('-')[0]) { case 'mill': strike(); }",
        "if (os.userInfo().username === text('svc', '-', 'north')) strike();",
        "if (new RegExp(text('^mill', '-[0-9]+$')).test(os.hostname()) || os.hostname().match(/^mill-\\d+$/)) strike();",
    ] {
        let seen = observe(gate);
        let runs = struck(&seen);
        assert!(!runs.is_empty(), "{gate}: {:?}", names(&seen));
        assert!(
            runs.iter().all(|run| run.starts_with("called [")),
            "{gate}: {runs:?}"
        );
    }
}

#[test]
fn a_value_of_the_environment_is_found() {
    let seen = observe("if (process.env.PLANT_STAGE === text('can', 'ary')) strike();");
    assert_eq!(
        struck(&seen),
        ["called [PLANT_STAGE=canary]"],
        "{:?}",
        names(&seen)
    );
    let seen = observe("if (process.env.PLANT_STAGE) strike();");
    assert_eq!(struck(&seen)[0], "asked-env");
}

#[test]
fn a_word_in_a_message_is_found() {
    let seen = observe("if (payload === text('se', 'same')) strike();");
    assert_eq!(struck(&seen), ["more words"], "{:?}", names(&seen));
}

#[test]
fn what_compares_no_names_is_not_run_again() {
    let seen = observe("if (payload === 1 || typeof payload === 'string') return;");
    assert!(
        names(&seen)
            .iter()
            .all(|name| !name.starts_with("called") && *name != "more words")
    );
}

fn names(seen: &Observations) -> Vec<&str> {
    seen.runs.iter().map(|run| run.run.as_str()).collect()
}
