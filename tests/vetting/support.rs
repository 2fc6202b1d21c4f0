//! A small prelude and packages made in place, for tests that need a guest but no Node.js around it.

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::Duration;

use bytes::Bytes;
use node_vetting::closure::Closure;
use node_vetting::engine::{Budget, Engine, Folder, Pinned, Ran, Recipe, Script};
use node_vetting::package::Package;
use node_vetting::trace::{Event, What};
use node_vetting::world::{Conditions, World};
use npm::{Algorithm, Client, Config, Hasher, Places};

/// Loads the package's entry as CommonJS, with the door as `require('host')`; whatever it exports is the answer.
const PRELUDE: &str = r"
import { ask } from './ask.js';
const load = (path) => {
  const module = { exports: {} };
  const require = (name) => {
    if (name === 'host') return ask;
    return load(ask('module.resolve', { from: path, name }).path);
  };
  ask('code.function', { path })(module.exports, require, module, path, '/');
  return module.exports;
};
globalThis.__guest = {
  drive(path) {
    const answer = path.endsWith('.mjs') ? import(path) : load(path);
    ask('jobs');
    return String(answer.result || answer);
  },
  synthesize: (path) => 'export default ' + JSON.stringify(path),
  rejected(promise, reason, handled) {
    if (!handled) ask('record', { what: { kind: 'uncaught', said: String(reason) } });
  },
};
";
const ASK: &str = r"
const door = globalThis.host;
delete globalThis.host;
export function ask(op, args, bytes) {
  const said = door(op, JSON.stringify(args || {}), bytes);
  if (typeof said !== 'string') return said;
  const value = JSON.parse(said);
  if (value && value.error) throw new Error(value.error.message);
  return value;
}
";

/// Where artefacts are kept between runs of the tests.
pub(crate) fn folder() -> Folder {
    let shared = std::env::var_os("REDHOLD_TEST_DATA")
        .map_or_else(|| PathBuf::from(env!("CARGO_TARGET_TMPDIR")), PathBuf::from);
    Folder::open(&shared.join("vetting-engine")).expect("the folder of the engine")
}

pub(crate) fn client() -> Client {
    let places = Places::here().expect("the places of npm's configuration");
    Client::new(Config::load(&places).expect("npm's configuration")).expect("a client")
}

pub(crate) fn recipe() -> Recipe {
    Recipe {
        scripts: vec![
            Script {
                name: "main.js".into(),
                source: PRELUDE.into(),
            },
            Script {
                name: "ask.js".into(),
                source: ASK.into(),
            },
        ],
        packages: Vec::new(),
    }
}

/// The engine with the small prelude; made once.
pub(crate) fn engine() -> &'static Engine {
    static ENGINE: OnceLock<Engine> = OnceLock::new();
    ENGINE.get_or_init(|| {
        let image = tokio::runtime::Runtime::new()
            .expect("a runtime")
            .block_on(recipe().image(&folder(), &client()))
            .expect("an image");
        Engine::open(&image).expect("an engine")
    })
}

/// A closure of packages by name, each with files; the first is the one in question.
pub(crate) fn closure(packages: &[(&str, &[(&str, &str)])]) -> Closure {
    let mut made = packages.iter().map(|(name, files)| {
        let mut all: BTreeMap<String, Bytes> = files
            .iter()
            .map(|(path, text)| ((*path).to_owned(), Bytes::from((*text).to_owned())))
            .collect();
        all.entry("package.json".to_owned())
            .or_insert_with(|| format!("{{\"name\":\"{name}\",\"version\":\"1.0.0\"}}").into());
        let integrity = Hasher::new(Algorithm::Sha512).finish();
        Package::from_files(all, integrity).expect("a package")
    });
    let root = made.next().expect("one package");
    let others = made
        .map(|package| (format!("node_modules/{}", package.name), package.into()))
        .collect();
    Closure::new(root, others)
}

pub(crate) fn budget() -> Budget {
    Budget {
        fuel: 5_000_000_000,
        deadline: Duration::from_secs(120),
        memory: 256 << 20,
    }
}

/// Runs one file as the entry of a package called `t`.
pub(crate) fn run(source: &str) -> Ran {
    run_with(source, Conditions::default(), &budget())
}

pub(crate) fn run_with(source: &str, conditions: Conditions, budget: &Budget) -> Ran {
    let closure = closure(&[("t", &[("index.js", source)])]);
    engine()
        .run(
            World::new(&closure, conditions),
            budget,
            "/data/node_modules/t/index.js",
        )
        .expect("a run")
}

/// What was seen, without when and where.
pub(crate) fn seen(ran: &Ran) -> Vec<&What> {
    ran.trace.events.iter().map(|Event { what, .. }| what).collect()
}

/// The Node.js of the default stack, fetched by the stack's own lock.
pub(crate) fn node() -> PathBuf {
    const LOCK: &str = include_str!("../../runtime/stacks/node-red-5.json");
    let lock: serde_json::Value = serde_json::from_str(LOCK).expect("the lock of a stack");
    let arch = if cfg!(target_arch = "aarch64") {
        "arm64"
    } else {
        "x64"
    };
    let said = |key: &str| {
        lock["node"][arch][key]
            .as_str()
            .expect("a pinned Node.js")
            .to_owned()
    };
    let pinned = Pinned {
        name: said("name").into(),
        version: said("version").into(),
        integrity: said("integrity").into(),
    };
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("node-{}", said("version")));
    if path.exists() {
        return path;
    }
    let package = tokio::runtime::Runtime::new()
        .expect("a runtime")
        .block_on(pinned.get(&folder(), &client()))
        .expect("Node.js from the registry");
    let program = package.file("bin/node").expect("the program");
    let part = path.with_extension("part");
    fs::write(&part, program).expect("the program is written");
    fs::set_permissions(&part, Permissions::from_mode(0o755)).expect("it may run");
    fs::rename(&part, &path).expect("it is there");
    path
}
