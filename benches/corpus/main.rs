//! How well packages are judged: behaviours that must be refused, near misses and real packages that must not be, and what
//! looking at them costs.
//!
//! Run: `cargo bench -p supervisor --bench corpus`. Each package goes through `redhold vet`, twice: the second time from
//! the cache, which is what is timed, and the two reports must be equal byte for byte. The generated packages come from a
//! registry on the loopback device, the real ones from that of npm's configuration.
//!
//! Words after `--`: `--quick` (each behaviour once, no real packages), `--attacks`, `--benign`, `--only TEXT` (samples
//! whose name or id holds it), `--seed NUMBER`, `--to FILE` (everything as JSON), `--write FOLDER` (the generated packages
//! as folders, and nothing else is done). Ends with 1 when a bound of correctness is missed.

#![expect(clippy::print_stdout, reason = "a bench's result is what it prints")]

mod case;
mod tell;
mod vet;

use std::fs;
use std::path::Path;
use std::process::ExitCode;

use test_support::bench::asked_for;
use test_support::corpus::{self, Extent, Sample};
use test_support::package::Package;
use test_support::registry::Registry;

use case::{Case, Kind};
use vet::Bench;

fn main() -> ExitCode {
    let seed = word("--seed").and_then(|text| text.parse().ok()).unwrap_or(1);
    let extent = if asked_for("--quick") {
        Extent::Once
    } else {
        Extent::Full
    };
    let attacks = if asked_for("--benign") {
        Vec::new()
    } else {
        corpus::attacks(seed, extent)
    };
    let twins = if asked_for("--attacks") {
        Vec::new()
    } else {
        corpus::twins(seed)
    };
    if let Some(folder) = word("--write") {
        write(Path::new(&folder), attacks.iter().chain(&twins));
        return ExitCode::SUCCESS;
    }
    let registry = Registry::start();
    for made in attacks.iter().chain(&twins).flat_map(|sample| &sample.packages) {
        let files = made
            .files
            .iter()
            .map(|(path, text)| (path.as_str(), text.as_bytes()));
        registry.publish(&Package::of(files).pack());
    }
    let mut cases: Vec<Case> = attacks
        .iter()
        .map(|sample| Case::of(sample, Kind::Attack))
        .collect();
    cases.extend(twins.iter().map(|sample| Case::of(sample, Kind::Twin)));
    if !asked_for("--quick") && !asked_for("--attacks") {
        cases.extend(case::real());
    }
    if let Some(text) = word("--only") {
        cases.retain(|case| case.spec.contains(&text) || case.id.contains(&text));
    }
    let bench = Bench::new(registry.url());
    let results: Vec<_> = cases
        .iter()
        .map(|case| {
            let result = bench.look(case);
            tell::line(case, &result);
            result
        })
        .collect();
    let met = tell::all(&cases, &results);
    if let Some(file) = word("--to") {
        fs::write(&file, tell::json(&cases, &results)).expect("the file is written");
    }
    if met { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// The word behind an option.
fn word(option: &str) -> Option<String> {
    std::env::args().skip_while(|word| word != option).nth(1)
}

/// Writes samples as folders, with their dependencies where npm would put them, and a list of what is expected.
fn write<'a>(folder: &Path, samples: impl Iterator<Item = &'a Sample>) {
    let mut list = Vec::new();
    for sample in samples {
        for (number, made) in sample.packages.iter().enumerate() {
            let mut top = folder.join(sample.name());
            if number > 0 {
                top = top.join("node_modules").join(&made.name);
            }
            for (path, text) in &made.files {
                let file = top.join(path);
                fs::create_dir_all(file.parent().expect("a folder")).expect("a folder");
                fs::write(file, text).expect("a file");
            }
        }
        list.push(serde_json::json!({ "name": sample.name(), "id": sample.id, "title": sample.title, "way": sample.way }));
    }
    let list = serde_json::Value::from(list);
    fs::write(folder.join("corpus.json"), format!("{list:#}\n")).expect("the list");
    println!("{}", folder.display());
}
