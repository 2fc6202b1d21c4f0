//! How far real packages get in the guest, for those who work on its stand-ins.
//!
//! `cargo run -p node-vetting --example reach -- [--scripts FOLDER] [--whole | --places] PACKAGE...`: resolves each package as npm would,
//! runs it, and prints a line of what came of it, with the reasons of what failed below. `--scripts` takes the guest's code from a
//! folder instead of the one built in, `--whole` makes all runs instead of the base run, `--places` none: it
//! prints where every package lies, to be compared with what npm lays out.

#![expect(clippy::print_stdout, reason = "what it prints is what it is for")]

use std::collections::BTreeMap;
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use node_vetting::closure::Closure;
use node_vetting::engine::{Engine, Folder, Recipe, Script};
use node_vetting::exercise::{Driven, Profile, base, exercise};
use node_vetting::guest;
use node_vetting::resolve::{Cache, Limits, Options, Platform, Resolver, Silent, Target};
use node_vetting::trace::{Phase, Trace, What};
use npm::{Client, Config, Places};

type Anything = Box<dyn Error>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Anything> {
    let mut recipe = guest::recipe();
    let (mut whole, mut places, mut names) = (false, false, Vec::new());
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--scripts" => recipe.scripts = scripts(Path::new(&arguments.next().ok_or("--scripts FOLDER")?))?,
            "--whole" => whole = true,
            "--places" => places = true,
            _ => names.push(argument),
        }
    }
    let client = Client::new(Config::load(&Places::here()?)?)?;
    let kept = std::env::temp_dir().join("redhold-reach");
    let engine = engine(&recipe, &kept, &client).await?;
    let resolver = Resolver::new(client, Some(Cache::at(&kept.join("cache"))), options()?);
    for name in names {
        let target = if Path::new(&name).is_dir() {
            Target::Folder(name.clone().into())
        } else {
            Target::parse(&name)?
        };
        let resolved = resolver.resolve(&target, Arc::new(Silent)).await;
        let closure = match resolved {
            Ok(resolved) => resolved.closure,
            Err(error) => {
                println!("{name}: {error}");
                continue;
            }
        };
        if places {
            for (place, package) in closure.places() {
                println!("{place} {}", package.spec());
            }
            continue;
        }
        let start = Instant::now();
        let (runs, driven) = if whole {
            let seen = exercise(&engine, &closure, &Profile::default())?;
            (seen.runs, seen.driven)
        } else {
            let (trace, driven) = base(&engine, &closure, &Profile::default())?;
            (vec![trace], driven)
        };
        line(&closure, &runs, &driven, start);
    }
    Ok(())
}

fn line(closure: &Closure, runs: &[Trace], driven: &Driven, start: Instant) {
    println!(
        "{}: {} packages, {} gaps; {} types, {} constructed, {} fed, {} sent, {} routes; {:?}, {:.2} G fuel, {} MiB, {} files, {} runs, {:.1} s",
        closure.root().spec(),
        closure.places().count(),
        closure.gaps.len(),
        driven.types.len(),
        driven.constructed.len(),
        driven.fed,
        driven.sent,
        driven.routes,
        runs[0].end,
        runs[0].fuel as f64 / 1e9,
        runs[0].memory >> 20,
        runs[0].loaded.len(),
        runs.len(),
        start.elapsed().as_secs_f64(),
    );
    let missing: Vec<&String> = driven
        .types
        .iter()
        .filter(|one| !driven.constructed.contains(one))
        .collect();
    if !missing.is_empty() {
        println!("  not constructed: {missing:?}");
    }
    let mut told: BTreeMap<String, (usize, String)> = BTreeMap::new();
    for event in &runs[0].events {
        let text = match &event.what {
            What::Failed { node_type, said } => format!("failed {node_type}: {}", short(said)),
            What::Uncaught { said } => format!("uncaught {}", short(said)),
            What::Unsupported { what } => format!("unsupported {what}"),
            What::Require {
                name, found: false, ..
            } => format!("not found {name}"),
            _ => continue,
        };
        let phase = match &event.phase {
            Phase::Register => "register".to_owned(),
            other => format!("{other:?}"),
        };
        told.entry(text).or_insert((0, phase)).0 += 1;
    }
    for (text, (times, phase)) in told {
        println!("  {times} x {text} [{phase}]");
    }
}

/// The beginning of a message with the first places of its stack.
fn short(said: &str) -> String {
    said.lines()
        .take(4)
        .map(str::trim)
        .collect::<Vec<_>>()
        .join(" | ")
}

fn options() -> Result<Options, Anything> {
    Ok(Options {
        node: "24.21.0".parse()?,
        npm: "11.19.1".parse()?,
        before: None,
        platform: Platform::here(),
        all_platforms: false,
        full: false,
        online: true,
        limits: Limits::default(),
    })
}

async fn engine(recipe: &Recipe, kept: &Path, client: &Client) -> Result<Engine, Anything> {
    let folder = Folder::open(&kept.join("engine"))?;
    Ok(Engine::open(&recipe.image(&folder, client).await?)?)
}

fn scripts(folder: &Path) -> Result<Vec<Script>, Anything> {
    let mut found = Vec::new();
    let mut waiting: Vec<PathBuf> = vec![folder.to_owned()];
    while let Some(inner) = waiting.pop() {
        for entry in fs::read_dir(inner)? {
            let path = entry?.path();
            if path.is_dir() {
                waiting.push(path);
            } else {
                found.push(Script {
                    name: path.strip_prefix(folder)?.to_string_lossy().into_owned().into(),
                    source: fs::read_to_string(&path)?.into(),
                });
            }
        }
    }
    // The one to start with is first.
    found.sort_by_key(|script| (script.name != "main.js", script.name.clone()));
    Ok(found)
}
