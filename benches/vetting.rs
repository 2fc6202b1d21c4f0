//! What vetting costs: making the engine's image, starting a guest from it, and exercising packages of three sizes.
//!
//! Run: `cargo bench -p supervisor --bench vetting`, with `-- --quick` for a look whether it works. The packages come from
//! the registry, with all that they bring, at their pinned versions.

use std::path::Path;
use std::time::Instant;

use node_vetting::closure::Closure;
use node_vetting::engine::{Budget, Engine, Folder};
use node_vetting::exercise::{Observations, Profile, exercise};
use node_vetting::guest;
use node_vetting::world::{Conditions, World};
use npm::{Client, Config, Places};
use test_support::bench::table::Table;
use test_support::bench::{asked_for, median};
use test_support::packages;

fn main() {
    let rounds = if asked_for("--quick") { 20 } else { 500 };
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let client = Client::new(Config::load(&Places::here().expect("places")).expect("npm's configuration"));
    let client = client.expect("a client");
    let folder = tempfile::tempdir().expect("a folder");
    let kept = Folder::open(&folder.path().join("engine")).expect("the folder of the engine");
    let mut table = Table::default();

    // The first time fetches the archives, so the second one is what compiling costs.
    let image = runtime.block_on(guest::recipe().image(&kept, &client)).expect("an image");
    std::fs::remove_file(&image).expect("the image is removed");
    let start = Instant::now();
    let image = runtime.block_on(guest::recipe().image(&kept, &client)).expect("an image");
    table.alone("image: prepare and compile, once per release", "s", start.elapsed().as_secs_f64(), None);
    let start = Instant::now();
    let engine = Engine::open(&image).expect("an engine");
    table.alone("image: map, once per worker", "ms", start.elapsed().as_secs_f64() * 1e3, None);

    let starts = (0..rounds).map(|_| {
        let start = Instant::now();
        let nothing = Budget { fuel: 200_000, ..budget() };
        // Too little for anything: what is measured is the start, and the end.
        engine.run(World::new(&empty(), Conditions::default()), &nothing, "{}").expect("a run");
        start.elapsed().as_secs_f64() * 1e6
    });
    let starts: Vec<f64> = starts.collect();
    table.alone("guest: start, stop and thread", "us", median(starts), None);

    for name in ["node-red-node-random", "node-red-contrib-influxdb", "node-red-contrib-s7"] {
        let closure = runtime.block_on(packages::closure(&client, name));
        let start = Instant::now();
        let seen = exercise(&engine, &closure, &Profile::default()).expect("observations");
        let took = start.elapsed().as_secs_f64();
        tell(&mut table, name, &seen, took);
    }
    table.print();
}
