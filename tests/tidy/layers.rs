//! Dependencies point one way: between crates as the design draws them, inside a crate down the list of modules.

use std::fs;

use crate::tree::{Source, assert_none, sources, top};

/// A crate's folder, and the crates of ours that it may use.
const CRATES: [(&str, &[&str]); 5] = [
    ("runtime/npm", &[]),
    ("runtime", &["npm"]),
    ("node-vetting", &["npm", "test-support"]),
    ("supervisor", &["npm", "runtime", "node-vetting", "test-support"]),
    ("tests/support", &[]),
];

const OURS: [&str; 5] = ["npm", "runtime", "node-vetting", "supervisor", "test-support"];

#[test]
fn a_module_uses_only_those_above_it() {
    let mut broken = Vec::new();
    // The test support is a box of tools, not a stack of layers.
    for (folder, _) in CRATES.iter().filter(|(folder, _)| *folder != "tests/support") {
        let src = format!("{folder}/src/");
        let files: Vec<Source> = sources(&[".rs"])
            .into_iter()
            .filter(|source| source.path.starts_with(&src))
            .collect();
        let lib = files
            .iter()
            .find(|source| source.path == format!("{src}lib.rs"))
            .expect("every crate has a lib.rs");
        let order: Vec<&str> = lib.code().filter_map(|(_, line)| declared_module(line)).collect();
        let rank = |name: &str| order.iter().position(|module| *module == name);
        for source in &files {
            let inside = &source.path[src.len()..];
            let module = inside.split('/').next().unwrap_or(inside).trim_end_matches(".rs");
            let Some(own) = rank(module) else { continue };
            for (line, text) in source.code() {
                for used in crate_paths(text) {
                    if rank(used).is_some_and(|rank| rank > own) {
                        broken.push(format!("{}:{line}: `{module}` uses `{used}`", source.path));
                    }
                }
            }
        }
    }
    assert_none("a module uses one that lib.rs lists below it", &broken);
}

#[test]
fn crates_depend_as_the_design_draws_them() {
    let mut broken = Vec::new();
    for (folder, allowed) in CRATES {
        let manifest =
            fs::read_to_string(top().join(folder).join("Cargo.toml")).expect("a crate has a manifest");
        for line in manifest.lines() {
            let name = line.split(['.', ' ', '=']).next().unwrap_or_default();
            if OURS.contains(&name)
                && !allowed.contains(&name)
                && line.contains('=')
                && !line.starts_with("name")
            {
                broken.push(format!("{folder}/Cargo.toml depends on {name}"));
            }
        }
    }
    assert_none("an arrow between crates that the design does not have", &broken);
}

/// `store` of `pub mod store;`, `pub(crate) mod store;` and the like.
fn declared_module(line: &str) -> Option<&str> {
    let name = line.trim().strip_suffix(';')?;
    let at = name.find("mod ")?;
    let before = name[..at].trim();
    (before.is_empty() || before.starts_with("pub")).then(|| &name[at + 4..])
}

/// The first segments after each `crate::` of a line, `crate::{a, b::c}` included.
fn crate_paths(line: &str) -> Vec<&str> {
    let mut found = Vec::new();
    for (at, _) in line.match_indices("crate::") {
        // `$crate::` of a macro and names that end so (`my_crate::`) are not paths of ours.
        if line[..at].ends_with(|c: char| c == '$' || c == '_' || c.is_alphanumeric()) {
            continue;
        }
        let rest = &line[at + "crate::".len()..];
        let list = rest.strip_prefix('{').unwrap_or(rest);
        let single = list.len() == rest.len();
        let mut depth = 0_usize;
        let mut start = 0;
        for (i, c) in list.char_indices().chain([(list.len(), ',')]) {
            match c {
                '{' => depth += 1,
                '}' if depth > 0 => depth -= 1,
                ',' | '}' if depth == 0 => {
                    found.push(first_segment(&list[start..i]));
                    start = i + 1;
                    if single || c == '}' {
                        break;
                    }
                }
                _ => {}
            }
        }
    }
    found
}

fn first_segment(path: &str) -> &str {
    let path = path.trim();
    let end = path
        .find(|c: char| !c.is_alphanumeric() && c != '_')
        .unwrap_or(path.len());
    &path[..end]
}

#[test]
fn paths_are_read_out_of_code() {
    for (line, expected) in [
        ("use crate::store::Stack;", &["store"][..]),
        ("use crate::{sys, units::Bytes};", &["sys", "units"]),
        ("let x = crate::spec::f(crate::units::g());", &["spec", "units"]),
        ("$crate::never", &[]),
        ("use crate::a::{b, c};", &["a"]),
    ] {
        assert_eq!(crate_paths(line), expected, "{line}");
    }
    assert_eq!(declared_module("pub(crate) mod sys;"), Some("sys"));
    assert_eq!(declared_module("mod tests {"), None);
}
