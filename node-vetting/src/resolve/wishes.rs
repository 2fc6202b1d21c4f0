//! What a package wants, read from what the registry says of it or from the package itself.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use npm::{Manifest, PackageName, Version};

use super::spec::Spec;
use super::tree::{Candidate, Need, Origin, Wish};
use crate::package::Package;

/// Requests by name: what is said later counts.
#[derive(Default)]
struct Wishes(BTreeMap<String, Wish>);

impl Wishes {
    fn add(&mut self, name: &str, written: &str, need: Need) {
        let wish = Wish {
            name: name.to_owned(),
            written: written.to_owned(),
            spec: Spec::read(written),
            need,
        };
        self.0.insert(name.to_owned(), wish);
    }

    fn add_all(&mut self, list: &BTreeMap<String, String>, need: Need) {
        for (name, written) in list {
            self.add(name, written, need);
        }
    }
}

/// What a registry says of a version.
pub(super) fn of_manifest(
    name: &PackageName,
    version: &Version,
    manifest: &Manifest,
    for_platform: bool,
) -> Candidate {
    let mut wishes = Wishes::default();
    for (name, written) in &manifest.peer_dependencies {
        let may = manifest.peer_is_optional(name);
        wishes.add(name, written, if may { Need::PeerMay } else { Need::Peer });
    }
    wishes.add_all(&manifest.dependencies, Need::Must);
    wishes.add_all(&manifest.optional_dependencies, Need::May);
    let bundled: BTreeSet<String> = manifest.bundled().into_iter().map(str::to_owned).collect();
    Candidate {
        name: name.clone(),
        version: version.clone(),
        wishes: wishes.0.into_values().collect(),
        opaque: !bundled.is_empty() || manifest.has_shrinkwrap,
        bundled,
        origin: Origin::Registry(manifest.dist.integrity()),
        for_platform,
    }
}

/// What a package that is here says of itself.
pub(super) fn of_package(package: &Arc<Package>) -> Candidate {
    let texts = |key: &str| -> BTreeMap<String, String> {
        let object = package.manifest[key].as_object().into_iter().flatten();
        object
            .filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned())))
            .collect()
    };
    let mut wishes = Wishes::default();
    for (name, written) in texts("peerDependencies") {
        let may = package.manifest["peerDependenciesMeta"][&name]["optional"] == true;
        wishes.add(&name, &written, if may { Need::PeerMay } else { Need::Peer });
    }
    wishes.add_all(&texts("dependencies"), Need::Must);
    wishes.add_all(&texts("optionalDependencies"), Need::May);
    let carries = package.files().any(|(path, _)| path.starts_with("node_modules/"));
    Candidate {
        name: package.name.clone(),
        version: package.version.clone(),
        wishes: wishes.0.into_values().collect(),
        bundled: bundled(package),
        opaque: carries || package.file("npm-shrinkwrap.json").is_some(),
        origin: Origin::Here(package.clone()),
        for_platform: true,
    }
}

fn bundled(package: &Package) -> BTreeSet<String> {
    let said = [
        &package.manifest["bundleDependencies"],
        &package.manifest["bundledDependencies"],
    ];
    let all = package.manifest["dependencies"].as_object();
    match said.into_iter().find(|said| !said.is_null()) {
        Some(serde_json::Value::Array(names)) => names
            .iter()
            .filter_map(|name| name.as_str().map(str::to_owned))
            .collect(),
        Some(serde_json::Value::Bool(true)) => {
            all.into_iter().flatten().map(|(name, _)| name.clone()).collect()
        }
        _ => BTreeSet::new(),
    }
}
