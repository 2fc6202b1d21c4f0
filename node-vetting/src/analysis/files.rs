//! What is in a package: which files are code, which half they belong to, and which of them can be reached.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::code::How;
use super::finding::Half;
use crate::package::Package;

/// Code that can stand by itself: a file, or a script in a file of markup.
#[derive(Clone, Debug)]
pub(crate) struct Unit {
    /// Path in the package.
    pub(crate) path: String,
    /// The part of the file that is code.
    pub(crate) start: usize,
    pub(crate) end: usize,
    pub(crate) how: How,
}

/// A file that `node-red` in the manifest names.
#[derive(Clone, Debug)]
pub(crate) struct Named {
    pub(crate) name: String,
    pub(crate) path: String,
    pub(crate) plugin: bool,
}

/// Files that Node-RED loads.
pub(crate) fn node_files(manifest: &Value) -> Vec<Named> {
    let mut found = Vec::new();
    for (key, plugin) in [("nodes", false), ("plugins", true)] {
        for (name, path) in manifest["node-red"][key].as_object().into_iter().flatten() {
            if let Some(path) = path.as_str() {
                found.push(Named {
                    name: name.clone(),
                    path: plain(path),
                    plugin,
                });
            }
        }
    }
    found
}

/// A path of the manifest as files are named: no `./`, no `..`.
pub(crate) fn plain(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split(['/', '\\']) {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    parts.join("/")
}

/// The editor half of a file of nodes: the same name with another ending.
pub(crate) fn editor_of(path: &str) -> String {
    let stem = path.rsplit_once('.').filter(|(_, ending)| !ending.contains('/'));
    format!("{}.html", stem.map_or(path, |(stem, _)| stem))
}

/// The code of a package.
pub(crate) fn units(package: &Package) -> Vec<Unit> {
    let module = package.manifest["type"] == "module";
    let nodes = node_files(&package.manifest);
    let entries: BTreeSet<&str> = nodes.iter().map(|named| named.path.as_str()).collect();
    let editors: BTreeSet<String> = nodes.iter().map(|named| editor_of(&named.path)).collect();
    let bins = bin_files(&package.manifest);
    let mut units = Vec::new();
    for (path, content) in package.files() {
        let Ok(text) = std::str::from_utf8(content) else {
            // Node.js would read such a file as well, with marks in place of what is no text.
            if is_script(path) {
                units.push(unit(path, 0, content.len(), Half::Runtime, module, false));
            }
            continue;
        };
        let ending = path.rsplit('.').next().unwrap_or_default().to_ascii_lowercase();
        let half = if in_browser(path) {
            Half::Page
        } else {
            Half::Runtime
        };
        match ending.as_str() {
            "js" => units.push(unit(path, 0, text.len(), half, module, entries.contains(path))),
            "cjs" => units.push(unit(path, 0, text.len(), half, false, entries.contains(path))),
            "mjs" => units.push(unit(path, 0, text.len(), half, true, entries.contains(path))),
            "html" | "htm" => {
                let half = if editors.contains(path) {
                    Half::Editor
                } else {
                    Half::Page
                };
                for script in super::html::scripts(text) {
                    if script.source.is_none() && script.end > script.start {
                        units.push(unit(path, script.start, script.end, half, script.module, false));
                    }
                }
            }
            _ if entries.contains(path) || bins.contains(path) || is_shebang(text) => {
                let runs = !bins.contains(path) || is_shebang(text) || !text.starts_with("#!");
                if runs {
                    units.push(unit(
                        path,
                        0,
                        text.len(),
                        Half::Runtime,
                        module,
                        entries.contains(path),
                    ));
                }
            }
            _ => {}
        }
    }
    units
}

fn unit(path: &str, start: usize, end: usize, half: Half, module: bool, entry: bool) -> Unit {
    Unit {
        path: path.to_owned(),
        start,
        end,
        how: How { half, module, entry },
    }
}

fn is_script(path: &str) -> bool {
    [".js", ".cjs", ".mjs"]
        .iter()
        .any(|ending| path.ends_with(ending))
}

/// `#!/usr/bin/env node`.
fn is_shebang(text: &str) -> bool {
    text.starts_with("#!") && text.lines().next().is_some_and(|line| line.contains("node"))
}

/// Node-RED serves what lies in `resources` and `icons` to browsers.
fn in_browser(path: &str) -> bool {
    path.starts_with("resources/") || path.starts_with("icons/")
}

/// Files that become commands.
pub(crate) fn bin_files(manifest: &Value) -> BTreeSet<String> {
    commands(manifest).into_values().collect()
}

/// Commands with the files that they run.
pub(crate) fn commands(manifest: &Value) -> BTreeMap<String, String> {
    let base = manifest["name"].as_str().unwrap_or_default();
    let base = base.rsplit('/').next().unwrap_or(base);
    match &manifest["bin"] {
        Value::String(path) => BTreeMap::from([(base.to_owned(), plain(path))]),
        Value::Object(commands) => commands
            .iter()
            .filter_map(|(name, path)| Some((name.clone(), plain(path.as_str()?))))
            .collect(),
        _ => BTreeMap::new(),
    }
}

/// Paths that can be loaded first: entries of the manifest, files of nodes, commands, files that scripts run.
pub(crate) fn entries(package: &Package, scripts: &[String]) -> BTreeSet<String> {
    let manifest = &package.manifest;
    let mut wanted: Vec<String> = ["main", "module", "browser"]
        .iter()
        .filter_map(|key| manifest[*key].as_str().map(plain))
        .collect();
    exported(&manifest["exports"], &mut wanted, 0);
    wanted.extend(node_files(manifest).into_iter().map(|named| named.path));
    wanted.extend(bin_files(manifest));
    wanted.extend(scripts.iter().cloned());
    wanted.push("index".to_owned());
    wanted.iter().filter_map(|path| resolve(package, path)).collect()
}

fn exported(exports: &Value, wanted: &mut Vec<String>, depth: usize) {
    if depth > 16 || wanted.len() > 5000 {
        return;
    }
    match exports {
        Value::String(path) => wanted.push(plain(path)),
        Value::Array(list) => list.iter().for_each(|one| exported(one, wanted, depth + 1)),
        Value::Object(map) => map.values().for_each(|one| exported(one, wanted, depth + 1)),
        _ => {}
    }
}

/// The file that Node.js finds for a path in a package.
pub(crate) fn resolve(package: &Package, path: &str) -> Option<String> {
    let path = plain(path);
    let there = |path: &String| package.file(path).is_some();
    let endings = ["", ".js", ".json", ".cjs", ".mjs", ".node"];
    let direct = endings.iter().map(|ending| format!("{path}{ending}")).find(there);
    if direct.is_some() {
        return direct;
    }
    let folder = if path.is_empty() {
        String::new()
    } else {
        format!("{path}/")
    };
    let inner = package
        .file(&format!("{folder}package.json"))
        .and_then(|bytes| serde_json::from_slice::<Value>(bytes).ok())
        .and_then(|manifest| manifest["main"].as_str().map(plain))
        .filter(|_| !path.is_empty());
    if let Some(main) = inner {
        let main = format!("{folder}{main}");
        let found = endings.iter().map(|ending| format!("{main}{ending}")).find(there);
        if found.is_some() {
            return found;
        }
        return Some(format!("{main}/index.js")).filter(there);
    }
    ["index.js", "index.json", "index.cjs", "index.mjs"]
        .iter()
        .map(|index| format!("{folder}{index}"))
        .find(there)
}

/// The files that can be reached from the first ones by names that stand in the code.
pub(crate) fn reached(
    package: &Package,
    first: BTreeSet<String>,
    loads: &BTreeMap<String, BTreeSet<String>>,
) -> BTreeSet<String> {
    let mut reached = first;
    let mut queue: Vec<String> = reached.iter().cloned().collect();
    while let Some(path) = queue.pop() {
        let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
        for name in loads.get(&path).into_iter().flatten() {
            if !name.starts_with('.') && !name.starts_with('#') {
                continue;
            }
            let found = match name.strip_prefix('#') {
                Some(_) => imported(package, name),
                None => resolve(package, &format!("{folder}/{name}")),
            };
            if let Some(found) = found
                && reached.insert(found.clone())
            {
                queue.push(found);
            }
        }
    }
    reached
}

/// `#name` of `imports` in the manifest.
fn imported(package: &Package, name: &str) -> Option<String> {
    let mut wanted = Vec::new();
    exported(&package.manifest["imports"][name], &mut wanted, 0);
    wanted.iter().find_map(|path| resolve(package, path))
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use npm::{Algorithm, Hasher};

    fn package(files: &[(&str, &str)]) -> Package {
        let files = files
            .iter()
            .map(|(path, text)| ((*path).to_owned(), Bytes::from((*text).to_owned())));
        Package::from_files(files.collect(), Hasher::new(Algorithm::Sha512).finish()).expect("a package")
    }

    #[test]
    fn code_is_told_from_other_files() {
        let package = package(&[
            (
                "package.json",
                r#"{"name": "@s/a", "version": "1.0.0", "bin": "./run",
                    "node-red": {"nodes": {"a": "nodes/a.js"}}}"#,
            ),
            ("nodes/a.js", ""),
            (
                "nodes/a.html",
                "<script>x</script><script type='text/html'>y</script>",
            ),
            ("other.html", "<script>x</script>"),
            ("run", "#!/usr/bin/env node\n"),
            ("tool", "#!/bin/sh\n"),
            ("data.json", "{}"),
            ("types.d.ts", ""),
            ("resources/b.js", ""),
        ]);
        let found: Vec<String> = units(&package)
            .iter()
            .map(|unit| format!("{} {:?} {}", unit.path, unit.how.half, unit.how.entry))
            .collect();
        assert_eq!(
            found,
            [
                "nodes/a.html Editor false",
                "nodes/a.js Runtime true",
                "other.html Page false",
                "resources/b.js Page false",
                "run Runtime false",
            ]
        );
        assert_eq!(commands(&package.manifest)["a"], "run");
    }

    #[test]
    fn what_entries_load_is_reached() {
        let package = package(&[
            (
                "package.json",
                r#"{"name": "a", "version": "1.0.0", "main": "lib", "exports": {".": {"require": "./lib/index.js"}}}"#,
            ),
            ("lib/index.js", ""),
            ("lib/b.js", ""),
            ("lib/sub/index.js", ""),
            ("test/t.js", ""),
        ]);
        let first = entries(&package, &[]);
        assert_eq!(first, BTreeSet::from(["lib/index.js".to_owned()]));
        let loads = BTreeMap::from([
            (
                "lib/index.js".to_owned(),
                BTreeSet::from(["./b".to_owned(), "fs".to_owned()]),
            ),
            (
                "lib/b.js".to_owned(),
                BTreeSet::from(["./sub/".to_owned(), "../..".to_owned()]),
            ),
        ]);
        let reached = reached(&package, first, &loads);
        assert_eq!(
            reached.iter().map(String::as_str).collect::<Vec<_>>(),
            ["lib/b.js", "lib/index.js", "lib/sub/index.js"]
        );
    }
}
