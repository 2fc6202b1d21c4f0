//! A package with all that it brings, laid out as npm would lay it out. Verdicts are about closures.

use std::collections::BTreeMap;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::package::Package;

/// What is judged: packages at their places below a user directory. The first place is that of the package in question.
#[derive(Clone, Debug)]
pub struct Closure {
    root: String,
    places: BTreeMap<String, Arc<Package>>,
    /// What keeps it from being complete or pinned.
    pub gaps: Vec<Gap>,
}

/// A dependency that is not what a registry gives under a pinned hash.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub struct Gap {
    /// Who wants it: `name@version`.
    pub wanted_by: String,
    /// Its name.
    pub name: String,
    /// What was asked for, as written.
    pub wanted: String,
    /// Why it is a gap.
    pub why: Why,
    /// Whether who wants it does without it.
    pub optional: bool,
}

/// Kinds of gaps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Why {
    /// An address: its content is mutable and no registry has seen it.
    Url,
    /// A git repository.
    Git,
    /// A folder or file of the host that installs.
    File,
    /// The registry has no version that will do.
    Missing,
    /// There is no such package, or its name is none.
    Unknown,
    /// Optional, for other machines than this one; not installed here.
    Platform,
    /// Its archive is damaged, or holds what no package may hold.
    Unusable,
    /// The closure breaks a limit of size or number.
    TooMuch,
}

impl Closure {
    /// A closure of one package and what stands at the given places: `node_modules/a/node_modules/b`.
    #[must_use]
    pub fn new(root: Package, others: BTreeMap<String, Arc<Package>>) -> Self {
        let place = format!("node_modules/{}", root.name);
        let mut places = others;
        places.insert(place.clone(), Arc::new(root));
        Self::at(place, places)
    }

    /// A closure of what stands at the given places; the package in question stands at one of them, under the name
    /// by which it was asked for.
    ///
    /// # Panics
    /// When nothing stands at that place.
    #[must_use]
    pub fn at(root: String, places: BTreeMap<String, Arc<Package>>) -> Self {
        assert!(places.contains_key(&root), "{root} is empty");
        Self {
            root,
            places,
            gaps: Vec::new(),
        }
    }

    /// The package in question.
    #[must_use]
    pub fn root(&self) -> &Arc<Package> {
        &self.places[&self.root]
    }

    /// Where the package in question lies.
    #[must_use]
    pub fn root_place(&self) -> &str {
        &self.root
    }

    /// All packages by place, sorted.
    pub fn places(&self) -> impl Iterator<Item = (&str, &Arc<Package>)> {
        self.places
            .iter()
            .map(|(place, package)| (place.as_str(), package))
    }

    /// The package that a path below the user directory belongs to, with the path inside it.
    #[must_use]
    pub fn owner<'a>(&self, path: &'a str) -> Option<(&Arc<Package>, &'a str)> {
        let mut end = path.len();
        while let Some(slash) = path[..end].rfind('/') {
            if let Some(package) = self.places.get(&path[..slash]) {
                return Some((package, &path[slash + 1..]));
            }
            end = slash;
        }
        None
    }

    /// Names the closure by content: the same for the same bytes at the same places, and for nothing else.
    #[must_use]
    pub fn digest(&self) -> String {
        let mut hasher = Sha256::new();
        for (place, package) in &self.places {
            hasher.update(format!("{place}\n{}\n{}\n", package.spec(), package.integrity));
        }
        for gap in &self.gaps {
            hasher.update(format!("{gap:?}\n"));
        }
        hex(&hasher.finalize())
    }
}

/// Lower-case hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
