//! What npm says it has installed: `node_modules/.package-lock.json`.
//!
//! npm writes that file after every change ([its documentation](https://docs.npmjs.com/cli/configuring-npm/package-lock-json)
//! names it the hidden lockfile). It lies where flows and nodes may write: what it says is a claim, and is bounded.

use std::collections::BTreeMap;

use npm::{PackageName, Version};
use serde_json::Value;

use super::Component;

/// Most packages that are read.
const MOST: usize = 20_000;

/// The packages of a lock by their places, each once, in order of name and version. What is no package is left out.
#[must_use]
pub fn installed(lock: &Value) -> Vec<Component> {
    let places: BTreeMap<&str, &Value> = lock["packages"]
        .as_object()
        .into_iter()
        .flatten()
        .filter(|(place, entry)| place.contains("node_modules/") && entry["link"] != Value::Bool(true))
        .map(|(place, entry)| (place.as_str(), entry))
        .take(MOST)
        .collect();
    let mut found: BTreeMap<String, Component> = BTreeMap::new();
    for (place, entry) in &places {
        let Some((name, version)) = what(place, entry) else {
            continue;
        };
        let one = Component {
            integrity: entry["integrity"].as_str().and_then(|text| text.parse().ok()),
            licence: entry["license"].as_str().map(ToOwned::to_owned),
            needs: needs(&places, place, entry),
            verdict: None,
            name,
            version,
        };
        found.entry(one.spec()).or_insert(one);
    }
    found.into_values().collect()
}

fn what(place: &str, entry: &Value) -> Option<(PackageName, Version)> {
    let base = place.rsplit_once("node_modules/").map_or(place, |(_, name)| name);
    let name = entry["name"].as_str().unwrap_or(base).parse().ok()?;
    Some((name, Version::parse(entry["version"].as_str()?).ok()?))
}

/// What stands where Node.js would find each of its dependencies: beside it or further up.
fn needs(places: &BTreeMap<&str, &Value>, place: &str, entry: &Value) -> Vec<String> {
    let wanted = ["dependencies", "optionalDependencies", "peerDependencies"]
        .into_iter()
        .filter_map(|kind| entry[kind].as_object())
        .flatten()
        .map(|(name, _)| name);
    let mut specs: Vec<String> = wanted
        .filter_map(|name| {
            let mut from = Some(place);
            while let Some(folder) = from {
                let beside = match folder {
                    "" => format!("node_modules/{name}"),
                    folder => format!("{folder}/node_modules/{name}"),
                };
                if let Some((name, version)) = places
                    .get_key_value(beside.as_str())
                    .and_then(|(place, entry)| what(place, entry))
                {
                    return Some(format!("{name}@{version}"));
                }
                from = above(folder);
            }
            None
        })
        .collect();
    specs.sort_unstable();
    specs.dedup();
    specs
}

/// The package, or the top, that a place lies in.
fn above(place: &str) -> Option<&str> {
    if place.is_empty() {
        return None;
    }
    let (folder, _) = place.rsplit_once("node_modules/")?;
    Some(folder.trim_end_matches('/'))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn needs_are_found_as_node_finds_them() {
        let lock = json!({ "packages": {
            "": { "name": "project" },
            "node_modules/a": { "version": "1.0.0", "dependencies": { "b": "^1", "c": "*", "gone": "1" }, "license": "MIT" },
            "node_modules/a/node_modules/b": { "version": "1.5.0" },
            "node_modules/b": { "version": "2.0.0" },
            "node_modules/@s/c": { "name": "c", "version": "3.0.0" },
            "node_modules/c": { "version": "3.1.0", "peerDependencies": { "b": "2" } },
            "node_modules/linked": { "link": true, "resolved": "../x" },
            "node_modules/odd": { "version": 7 },
        } });
        let found = installed(&lock);
        let specs: Vec<String> = found.iter().map(Component::spec).collect();
        assert_eq!(specs, ["a@1.0.0", "b@1.5.0", "b@2.0.0", "c@3.0.0", "c@3.1.0"]);
        assert_eq!(found[0].needs, ["b@1.5.0", "c@3.1.0"]);
        assert_eq!(found[4].needs, ["b@2.0.0"]);
        assert_eq!(found[0].licence.as_deref(), Some("MIT"));
    }

    #[test]
    fn a_lock_that_is_none_has_nothing() {
        for lock in [
            json!(null),
            json!([]),
            json!({ "packages": [1] }),
            json!({ "packages": { "x": 1 } }),
        ] {
            assert!(installed(&lock).is_empty());
        }
    }
}
