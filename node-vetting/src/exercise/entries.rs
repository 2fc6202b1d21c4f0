//! What of a package is run, and how: the files that Node-RED loads, all that others can import, programs, install scripts.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::closure::Closure;
use crate::package::Package;
use crate::world::USER_DIR;

/// Lifecycle scripts that run when a package is installed from a registry: `prepare` only runs for repositories and
/// folders, which npm is not let have.
const INSTALL: [&str; 3] = ["preinstall", "install", "postinstall"];

/// A file to load that Node-RED itself would not.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Entry {
    /// Its path in the guest's files.
    pub path: String,
    /// Loaded by `import`, or by `require`.
    pub import: bool,
}

/// A lifecycle script that is a JavaScript file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Install {
    /// `postinstall`.
    pub script: String,
    /// The file that it runs.
    pub path: String,
    /// What it is given.
    pub arguments: Vec<String>,
}

/// A file that registers node types.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeFile {
    /// What the package calls it.
    pub set: String,
    /// The file.
    pub path: String,
    /// The editor half beside it, when there is one.
    pub html: Option<String>,
}

/// All of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entries {
    /// Install scripts of the whole closure.
    pub installs: Vec<Install>,
    /// What can be imported, and programs.
    pub loads: Vec<Entry>,
    /// What Node-RED loads.
    pub nodes: Vec<NodeFile>,
    /// Plugins of Node-RED, which register themselves likewise.
    pub plugins: Vec<NodeFile>,
}

impl Entries {
    /// The entries of a closure: its own package's, and every install script in it.
    #[must_use]
    pub fn of(closure: &Closure) -> Self {
        let root = closure.root();
        let place = format!("{USER_DIR}/{}", closure.root_place());
        let mut entries = Self {
            nodes: node_files(root, &place, "nodes"),
            plugins: node_files(root, &place, "plugins"),
            loads: loads(root, &place),
            installs: Vec::new(),
        };
        for (place, package) in closure.places() {
            entries
                .installs
                .extend(installs(package, &format!("{USER_DIR}/{place}")));
        }
        let taken: BTreeSet<&String> = entries
            .nodes
            .iter()
            .chain(&entries.plugins)
            .map(|node| &node.path)
            .collect();
        entries
            .loads
            .retain(|entry| entry.import || !taken.contains(&entry.path));
        entries
    }
}

fn node_files(package: &Package, place: &str, kind: &str) -> Vec<NodeFile> {
    let list = package.manifest["node-red"][kind].as_object();
    list.into_iter()
        .flatten()
        .filter_map(|(set, file)| {
            let file = existing(package, file.as_str()?)?;
            let html = file
                .rsplit_once('.')
                .map(|(stem, _)| format!("{stem}.html"))
                .filter(|html| package.file(html).is_some());
            Some(NodeFile {
                set: set.clone(),
                path: format!("{place}/{file}"),
                html: html.map(|html| format!("{place}/{html}")),
            })
        })
        .collect()
}

/// Everything that `main`, `module`, `exports` and `bin` lead to.
fn loads(package: &Package, place: &str) -> Vec<Entry> {
    let mut found = BTreeSet::new();
    let mut add = |text: &str, import: bool| {
        if let Some(file) = existing(package, text) {
            let import = import || file.ends_with(".mjs");
            let runs = [".js", ".cjs", ".mjs"]
                .iter()
                .any(|extension| file.ends_with(extension))
                || !file.contains('.');
            if runs {
                found.insert(Entry {
                    path: format!("{place}/{file}"),
                    import,
                });
            }
        }
    };
    let manifest = &package.manifest;
    let module = manifest["type"] == "module";
    match manifest["main"].as_str() {
        Some(main) => add(main, module),
        None => add("index.js", module),
    }
    if let Some(esm) = manifest["module"].as_str() {
        add(esm, true);
    }
    targets(&manifest["exports"], false, &mut |text, import| {
        add(text, import || module);
    });
    match &manifest["bin"] {
        Value::String(file) => add(file, module),
        Value::Object(files) => files
            .values()
            .filter_map(Value::as_str)
            .for_each(|file| add(file, module)),
        _ => {}
    }
    found.into_iter().collect()
}

/// The files that a map of exports leads to, whatever the conditions: each is somebody's entry.
fn targets(exports: &Value, import: bool, add: &mut dyn FnMut(&str, bool)) {
    match exports {
        Value::String(text) if !text.contains('*') => add(text, import),
        Value::Array(list) => list.iter().for_each(|target| targets(target, import, add)),
        Value::Object(map) => {
            for (condition, target) in map {
                if condition != "types" {
                    targets(target, import || condition == "import", add);
                }
            }
        }
        _ => {}
    }
}

/// Scripts of the form `node file.js`; all others the static half judges.
fn installs(package: &Package, place: &str) -> Vec<Install> {
    let mut found = Vec::new();
    for script in INSTALL {
        let Some(command) = package.manifest["scripts"][script].as_str() else {
            continue;
        };
        for part in command.split(['&', '|', ';']).map(str::trim) {
            let mut words = part.split_whitespace();
            if words.next() != Some("node") {
                continue;
            }
            let Some(file) = words.next().and_then(|word| existing(package, word)) else {
                continue;
            };
            found.push(Install {
                script: script.to_owned(),
                path: format!("{place}/{file}"),
                arguments: words.map(str::to_owned).collect(),
            });
        }
    }
    found
}

/// The file that a path of a manifest means; none when there is none.
fn existing(package: &Package, text: &str) -> Option<String> {
    let bare = text.trim_start_matches("./").trim_end_matches('/');
    let candidates = [
        bare.to_owned(),
        format!("{bare}.js"),
        format!("{bare}/index.js"),
        format!("{bare}.cjs"),
        format!("{bare}.mjs"),
    ];
    candidates.into_iter().find(|file| package.file(file).is_some())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use bytes::Bytes;
    use npm::{Algorithm, Hasher};

    use super::*;

    fn entries(manifest: &str, files: &[&str]) -> Entries {
        let mut all: BTreeMap<String, Bytes> = files
            .iter()
            .map(|path| ((*path).to_owned(), Bytes::new()))
            .collect();
        all.insert("package.json".to_owned(), manifest.to_owned().into());
        let package = Package::from_files(all, Hasher::new(Algorithm::Sha512).finish()).expect("a package");
        Entries::of(&Closure::new(package, BTreeMap::new()))
    }

    fn paths(entries: &[Entry]) -> Vec<(&str, bool)> {
        let prefix = "/data/node_modules/x/";
        entries
            .iter()
            .map(|entry| {
                (
                    entry.path.strip_prefix(prefix).unwrap_or(&entry.path),
                    entry.import,
                )
            })
            .collect()
    }

    #[test]
    fn every_way_in_is_found() {
        let found = entries(
            r#"{"name":"x","version":"1.0.0","main":"lib","module":"esm/a.js","bin":{"x":"cli"},
                "exports":{".":{"import":"./esm/b.mjs","require":"./lib/c.js","types":"./t.d.ts"},"./p/*":"./p/*.js"},
                "scripts":{"postinstall":"node ./install.js --quiet || exit 0","install":"node-gyp rebuild"},
                "node-red":{"nodes":{"one":"nodes/one.js","gone":"nodes/gone.js"}}}"#,
            &[
                "lib/index.js",
                "esm/a.js",
                "esm/b.mjs",
                "lib/c.js",
                "cli",
                "install.js",
                "nodes/one.js",
                "nodes/one.html",
            ],
        );
        assert_eq!(
            paths(&found.loads),
            [
                ("cli", false),
                ("esm/a.js", true),
                ("esm/b.mjs", true),
                ("lib/c.js", false),
                ("lib/index.js", false)
            ]
        );
        assert_eq!(found.installs.len(), 1);
        assert_eq!(found.installs[0].arguments, ["--quiet"]);
        let [node] = &found.nodes[..] else {
            panic!("{:?}", found.nodes)
        };
        assert_eq!(node.html.as_deref(), Some("/data/node_modules/x/nodes/one.html"));
    }

    #[test]
    fn a_file_of_nodes_is_not_loaded_twice() {
        let found = entries(
            r#"{"name":"x","version":"1.0.0","main":"one.js","node-red":{"nodes":{"one":"one.js"}}}"#,
            &["one.js"],
        );
        assert!(found.loads.is_empty(), "{:?}", found.loads);
    }
}
