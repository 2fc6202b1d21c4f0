//! What vetting costs: making the engine's image, starting a guest from it, and reading and exercising packages of three
//! sizes.
//!
//! Run: `cargo bench -p supervisor --bench vetting`, with `-- --quick` for a look whether it works. The packages come from
//! the registry, with all that they bring, at pinned versions. What attackers cost is measured by the bench `hostile`.

use std::collections::BTreeMap;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use node_vetting::analysis::Means;
use node_vetting::closure::Closure;
use node_vetting::engine::{Budget, Engine, Folder};
use node_vetting::exercise::Profile;
use node_vetting::guest;
use node_vetting::package::Package;
use node_vetting::resolve::{Limits, Options, Platform, Resolver, Silent, Target};
use node_vetting::worker::Client as Worker;
use node_vetting::world::{Conditions, World};
use npm::{Algorithm, Client, Config, Hasher, Places};
use test_support::bench::table::Table;
use test_support::bench::{asked_for, median};

/// Of one file, of some hundred, of some thousand.
const PACKAGES: [&str; 3] = [
    "node-red-node-random@0.4.1",
    "node-red-contrib-s7@3.1.0",
    "node-red-contrib-influxdb@0.7.0",
];

fn main() {
    let rounds = if asked_for("--quick") { 20 } else { 500 };
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let client = Client::new(Config::load(&Places::here().expect("places")).expect("npm's configuration"));
    let client = client.expect("a client");
    let folder = tempfile::tempdir().expect("a folder");
    let kept = Folder::open(&folder.path().join("engine")).expect("the folder of the engine");
    let mut table = Table::default();

    let make = || {
        runtime
            .block_on(guest::recipe().image(&kept, &client))
            .expect("an image")
    };
    // The first time fetches the archives, so the second one is what compiling costs.
    std::fs::remove_file(make()).expect("the image is removed");
    let start = Instant::now();
    let image = make();
    let took = start.elapsed().as_secs_f64();
    table.alone("image: prepare and compile, once per release", "s", took, None);
    let start = Instant::now();
    let engine = Engine::open(&image).expect("an engine");
    let took = start.elapsed().as_secs_f64() * 1e3;
    table.alone("image: map, once per worker", "ms", took, None);

    let closure = nothing();
    let starts = (0..rounds).map(|_| {
        let world = World::new(&closure, Conditions::default());
        let start = Instant::now();
        // Too little for anything: what is measured is the start, and the end.
        engine.run(world, &too_little(), "{}").expect("a run");
        start.elapsed().as_secs_f64() * 1e6
    });
    table.alone(
        "guest: start, stop and thread",
        "us",
        median(starts.collect()),
        None,
    );

    let worker = Worker {
        patience: Duration::from_secs(600),
    };
    let start_worker = |what: &str| {
        let mut command = Command::new(test_support::redhold!());
        command.args(["vet-worker", what]).env_clear();
        command
    };
    for name in PACKAGES {
        let target = Target::parse(name).expect("a package");
        let resolver = Resolver::new(client.clone(), None, options());
        let resolved = runtime.block_on(resolver.resolve(&target, Arc::new(Silent)));
        let resolved = resolved.expect("a closure");
        let start = Instant::now();
        let findings = worker.read(
            || Ok(start_worker("read")),
            &resolved.closure,
            &resolved.listings,
            Means::default(),
        );
        let took = start.elapsed().as_secs_f64();
        let files = findings.expect("findings").measured.parsed;
        table.alone(&format!("{name}: read, {files} files of code"), "s", took, None);
        let mut command = start_worker("exercise");
        command.arg(&image);
        let start = Instant::now();
        let seen = worker.exercise(command, &resolved.closure, &Profile::default());
        let took = start.elapsed().as_secs_f64();
        let runs = seen.expect("observations").runs.len();
        table.alone(&format!("{name}: exercised, {runs} runs"), "s", took, None);
    }
    table.print();
}

fn nothing() -> Closure {
    let manifest = Bytes::from(r#"{"name":"nothing","version":"1.0.0"}"#);
    let files = BTreeMap::from([("package.json".to_owned(), manifest)]);
    let package = Package::from_files(files, Hasher::new(Algorithm::Sha512).finish());
    Closure::new(package.expect("a package"), BTreeMap::new())
}

fn too_little() -> Budget {
    Budget {
        fuel: 200_000,
        deadline: Duration::from_secs(10),
        memory: 256 << 20,
    }
}

fn options() -> Options {
    Options {
        node: "24.11.1".parse().expect("a version"),
        npm: "11.19.1".parse().expect("a version"),
        before: None,
        platform: Platform::here(),
        all_platforms: false,
        full: false,
        online: true,
        limits: Limits::default(),
    }
}
