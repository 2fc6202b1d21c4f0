//! Attempts made inside a cell and how they ended: what the tests of the walls have in common.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use runtime::spec::Access;

use crate::support::{Cell, Outcome, mount};

/// A cell that makes calls of `tests/fixtures/prober.c`, which says what they are.
pub(crate) fn probing(calls: &[&str]) -> Cell {
    let mut cell = Cell::new("");
    cell.spec
        .mounts
        .push(mount(prober(), "/prober", Access::ReadOnly));
    cell.spec.program.path = "/prober".into();
    cell.spec.program.args = calls.iter().map(|call| (*call).to_owned()).collect();
    cell
}

/// What the prober says of each call, or a program of its attempts: lines like `{"name":"mount","out":"EPERM"}`.
pub(crate) fn answers(output: &str) -> BTreeMap<String, String> {
    let text = |value: &serde_json::Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    output
        .lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
        .map(|line| (text(&line["name"]), text(&line["out"])))
        .collect()
}

/// Every attempt was made, and ended in one of the ways that stand beside it, separated by spaces.
pub(crate) fn ended(outcome: Outcome, attempts: &[(&str, &str)]) {
    let said = format!("{outcome:#?}");
    let made = answers(&outcome.ok());
    for (name, ways) in attempts {
        let out = made
            .get(*name)
            .unwrap_or_else(|| panic!("{name} was not tried: {said}"));
        assert!(ways.split(' ').any(|way| way == out), "{name}: {out}, not {ways}");
    }
    for name in made.keys() {
        assert!(
            attempts.iter().any(|(known, _)| known == name),
            "nobody judges {name}"
        );
    }
}

/// The program for system calls that Node.js cannot make, compiled once per run.
pub(crate) fn prober() -> &'static Path {
    static COMPILED: OnceLock<PathBuf> = OnceLock::new();
    COMPILED.get_or_init(|| compiled("prober"))
}

/// A program of `tests/fixtures`, compiled.
pub(crate) fn compiled(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let prober = folder.join(name);
    // The second run, without root, may not write here; the first has just compiled it.
    let writable = nix::unistd::access(folder, nix::unistd::AccessFlags::W_OK).is_ok();
    if !writable && prober.is_file() {
        return prober;
    }
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../tests/fixtures/{name}.c"));
    let made = folder.join(format!("{name}.{}", std::process::id()));
    let compiled = Command::new("cc")
        .args(["-O1", "-Wall", "-Wextra", "-Werror", "-pthread", "-o"])
        .args([&made, &source])
        .output()
        .expect("a C compiler, which the build needs too");
    assert!(
        compiled.status.success(),
        "{}",
        String::from_utf8_lossy(&compiled.stderr)
    );
    fs::rename(made, &prober).unwrap();
    prober
}
