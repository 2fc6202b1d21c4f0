//! What a registry says of a package, held against the package itself and against the version below it.

use std::collections::BTreeMap;

use serde_json::Value;

use super::finding::About;
use super::scripts::INSTALL;
use crate::package::Package;
use crate::resolve::{Listing, Signed};

/// What follows from a listing.
pub(crate) fn findings(package: &Package, listing: &Listing) -> Vec<About> {
    let mut found = Vec::new();
    if let Some(why) = &listing.deprecated {
        found.push(About::Deprecated {
            why: why.chars().take(300).collect(),
        });
    }
    if let Some(at) = &listing.published {
        found.push(About::Published {
            at: at.clone(),
            first: listing.first_published.clone().unwrap_or_else(|| at.clone()),
            same_day: listing.same_day,
        });
    }
    if listing.weak_hash {
        found.push(About::WeakHash);
    }
    match listing.signature {
        Signed::No => found.push(About::Unsigned { wrong: false }),
        Signed::Wrong => found.push(About::Unsigned { wrong: true }),
        Signed::Yes | Signed::Unchecked => {}
    }
    if let Some(previous) = &listing.previous {
        let since = previous.version.clone();
        if let (Some(from), Some(to)) = (&previous.publisher, &listing.publisher)
            && from.name != to.name
        {
            found.push(About::PublisherChanged {
                from: from.name.clone(),
                to: to.name.clone(),
                since: since.clone(),
            });
        }
        if previous.provenance && listing.provenance.is_none() {
            found.push(About::ProvenanceLost { since: since.clone() });
        }
        if listing.has_install_script && !previous.has_install_script {
            found.push(About::ScriptAppeared { since });
        }
    }
    found.extend(mismatches(package, listing));
    found
}

/// Where the registry and the archive differ. Tools read one, and npm installs by the other.
fn mismatches(package: &Package, listing: &Listing) -> Vec<About> {
    let mut found = Vec::new();
    let mut differ = |field: String, registry: String, archive: String| {
        if found.len() < 50 {
            found.push(About::Mismatch {
                field,
                registry,
                archive,
            });
        }
    };
    let mut own = texts(&package.manifest, "dependencies");
    own.extend(texts(&package.manifest, "optionalDependencies"));
    let names: std::collections::BTreeSet<&String> = own.keys().chain(listing.dependencies.keys()).collect();
    for name in names {
        let (registry, archive) = (listing.dependencies.get(name), own.get(name));
        if registry != archive {
            let said = |text: Option<&String>| text.cloned().unwrap_or_default();
            differ(format!("dependencies.{name}"), said(registry), said(archive));
        }
    }
    let scripts = texts(&package.manifest, "scripts");
    if let Some(told) = &listing.scripts {
        for name in INSTALL {
            let (registry, archive) = (told.get(name), scripts.get(name));
            // The registry's tools write down the build that npm adds by itself.
            let implied = name == "install" && archive.is_none() && package.file("binding.gyp").is_some();
            if registry != archive && !implied {
                let said = |text: Option<&String>| text.cloned().unwrap_or_default();
                differ(format!("scripts.{name}"), said(registry), said(archive));
            }
        }
    }
    found
}

/// The name and version that were asked for, held against what the package says.
pub(crate) fn identity(package: &Package, name: &str) -> Option<About> {
    (package.name.as_str() != name).then(|| About::Mismatch {
        field: "name".to_owned(),
        registry: name.to_owned(),
        archive: package.name.to_string(),
    })
}

pub(crate) fn texts(manifest: &Value, key: &str) -> BTreeMap<String, String> {
    let object = manifest[key].as_object().into_iter().flatten();
    object
        .filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned())))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resolve::Previous;
    use npm::{Algorithm, Hasher, Person};

    fn package(manifest: &str) -> Package {
        let files = BTreeMap::from([("package.json".to_owned(), bytes::Bytes::from(manifest.to_owned()))]);
        Package::from_files(files, Hasher::new(Algorithm::Sha512).finish()).expect("a package")
    }

    #[test]
    fn what_differs_is_told() {
        let package = package(
            r#"{"name": "a", "version": "1.0.0", "dependencies": {"x": "1", "y": "2"},
                "optionalDependencies": {"o": "1"}, "scripts": {"postinstall": "node x.js", "test": "t"}}"#,
        );
        let listing = Listing {
            dependencies: [("x", "1"), ("o", "1"), ("z", "3")]
                .map(|(name, range)| (name.to_owned(), range.to_owned()))
                .into(),
            scripts: Some(BTreeMap::new()),
            ..Listing::default()
        };
        let fields: Vec<String> = findings(&package, &listing)
            .into_iter()
            .map(|about| match about {
                About::Mismatch { field, .. } => field,
                other => format!("{other:?}"),
            })
            .collect();
        assert_eq!(
            fields,
            ["dependencies.y", "dependencies.z", "scripts.postinstall"]
        );
    }

    #[test]
    fn changes_since_the_version_below_are_told() {
        let by = |name: &str| {
            Some(Person {
                name: name.to_owned(),
                email: String::new(),
            })
        };
        let listing = Listing {
            publisher: by("new"),
            has_install_script: true,
            previous: Some(Previous {
                version: "0.9.0".to_owned(),
                publisher: by("old"),
                provenance: true,
                ..Previous::default()
            }),
            ..Listing::default()
        };
        let found = findings(&package(r#"{"name": "a", "version": "1.0.0"}"#), &listing);
        assert!(matches!(
            found[..],
            [
                About::PublisherChanged { .. },
                About::ProvenanceLost { .. },
                About::ScriptAppeared { .. }
            ]
        ));
    }
}
