//! Runs a prelude on a package, for those who write preludes.
//!
//! `cargo run -p node-vetting --example guest -- SCRIPTS PROJECT PACKAGE PLAN`: bakes the `.js` files below the folder
//! SCRIPTS, starting with `main.js`, with the packages that its `packages.json` lists (`[{name, version, integrity}]`),
//! lays out PROJECT's `node_modules`, calls `drive` with the text of the file PLAN, and prints what came of it as JSON.
//! Without PLAN the package is exercised as vetting does, and what all runs show is printed.

#![expect(clippy::print_stderr, reason = "a tool for whoever works on the guest")]

use std::collections::BTreeMap;
use std::error::Error;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use node_vetting::closure::Closure;
use node_vetting::engine::{Budget, Engine, Folder, Pinned, Recipe, Script};
use node_vetting::exercise::{Profile, exercise};
use node_vetting::package::Package;
use node_vetting::world::{Conditions, World};
use npm::{Algorithm, Client, Config, Hasher, Places};

type Anything = Box<dyn Error>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Anything> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [scripts, project, package, plan @ ..] = arguments.as_slice() else {
        return Err("usage: guest SCRIPTS PROJECT PACKAGE [PLAN]".into());
    };
    let recipe = recipe(Path::new(scripts))?;
    let folder = Folder::open(&std::env::temp_dir().join("redhold-guest"))?;
    let client = Client::new(Config::load(&Places::here()?)?)?;
    let start = Instant::now();
    let engine = Engine::open(&recipe.image(&folder, &client).await?)?;
    let prepared = start.elapsed();
    let closure = closure(Path::new(project), package)?;
    let start = Instant::now();
    let [plan] = plan else {
        let seen = exercise(&engine, &closure, &Profile::default())?;
        for run in &seen.runs {
            eprintln!(
                "{:16} {:?} {:.2} G fuel, {} MiB, {} events, {} files",
                run.run,
                run.end,
                run.fuel as f64 / 1e9,
                run.memory >> 20,
                run.events.len(),
                run.loaded.len()
            );
        }
        eprintln!("{:?}, {} ms", seen.driven, start.elapsed().as_millis());
        serde_json::to_writer_pretty(std::io::stdout().lock(), &seen.seen)?;
        return Ok(());
    };
    let budget = Budget {
        fuel: 60_000_000_000,
        deadline: Duration::from_secs(60),
        memory: 256 << 20,
    };
    let ran = engine.run(
        World::new(&closure, Conditions::default()),
        &budget,
        &fs::read_to_string(plan)?,
    )?;
    let told = serde_json::json!({
        "prepared_ms": prepared.as_millis(),
        "run_ms": start.elapsed().as_millis(),
        "answer": ran.answer,
        "threw": ran.threw,
        "trace": ran.trace,
    });
    serde_json::to_writer_pretty(std::io::stdout().lock(), &told)?;
    Ok(())
}

fn recipe(folder: &Path) -> Result<Recipe, Anything> {
    let mut files = BTreeMap::new();
    read(folder, "", &mut files)?;
    let mut scripts = Vec::new();
    for (name, content) in files {
        if name.ends_with(".js") {
            scripts.push(Script {
                source: String::from_utf8(content.to_vec())?.into(),
                name: name.into(),
            });
        }
    }
    scripts.sort_by_key(|script| script.name != "main.js");
    let listed = fs::read_to_string(folder.join("packages.json")).unwrap_or_else(|_| "[]".to_owned());
    let listed: Vec<BTreeMap<String, String>> = serde_json::from_str(&listed)?;
    let packages = listed
        .iter()
        .map(|entry| Pinned {
            name: entry["name"].clone().into(),
            version: entry["version"].clone().into(),
            integrity: entry["integrity"].clone().into(),
        })
        .collect();
    Ok(Recipe { scripts, packages })
}

fn closure(project: &Path, name: &str) -> Result<Closure, Anything> {
    let mut places = BTreeMap::new();
    packages(&project.join("node_modules"), "node_modules", &mut places)?;
    let root = places
        .remove(&format!("node_modules/{name}"))
        .ok_or_else(|| format!("{name} is not installed there"))?;
    Ok(Closure::new(Arc::unwrap_or_clone(root), places))
}

fn packages(folder: &Path, place: &str, into: &mut BTreeMap<String, Arc<Package>>) -> Result<(), Anything> {
    for entry in fs::read_dir(folder)? {
        let (path, name) = {
            let entry = entry?;
            (entry.path(), entry.file_name().to_string_lossy().into_owned())
        };
        let place = format!("{place}/{name}");
        if name.starts_with('@') {
            packages(&path, &place, into)?;
        } else if path.join("package.json").exists() {
            let mut files = BTreeMap::new();
            read(&path, "", &mut files)?;
            if let Ok(package) = Package::from_files(files, Hasher::new(Algorithm::Sha512).finish()) {
                into.insert(place.clone(), Arc::new(package));
            }
            let inner = path.join("node_modules");
            if inner.is_dir() {
                packages(&inner, &format!("{place}/node_modules"), into)?;
            }
        }
    }
    Ok(())
}

fn read(folder: &Path, prefix: &str, into: &mut BTreeMap<String, Bytes>) -> Result<(), Anything> {
    for entry in fs::read_dir(folder)? {
        let (path, name) = {
            let entry = entry?;
            (entry.path(), entry.file_name().to_string_lossy().into_owned())
        };
        if path.is_dir() {
            if name != "node_modules" {
                read(&path, &format!("{prefix}{name}/"), into)?;
            }
        } else {
            into.insert(format!("{prefix}{name}"), fs::read(&path)?.into());
        }
    }
    Ok(())
}
