//! Closures: a package with everything that npm would install for it, fetched, checked and laid out as npm would.
//!
//! Everything that registries and archives say is taken for hostile: sizes, numbers and depths are bounded, every
//! byte is compared with its hash, and whatever is not a registry's under a hash becomes a [gap](crate::closure::Gap)
//! and is never fetched. Nothing of a package touches a disk but its archive as it came.

mod again;
mod build;
mod cache;
mod folder;
mod inside;
mod layout;
mod listing;
mod local;
mod order;
mod pick;
mod place;
mod planted;
mod platform;
mod replace;
mod served;
mod signature;
mod source;
mod spec;
mod target;
mod tree;
mod wishes;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use futures_util::stream::{self, StreamExt};
use jiff::Timestamp;
use npm::{Client, PackageName, Version};
use tokio::runtime::Handle;

use crate::closure::{Closure, Why};
use crate::package::Package;

pub use cache::Cache;
pub use listing::{Listing, Previous};
pub use platform::Platform;
pub use signature::Signed;
pub use target::Target;

use build::Builder;
use layout::Layout;
use local::{from_archive, from_folder};
use pick::Taste;
use signature::Keys;
use source::{Lack, Source};
use tree::{Id, Origin};

/// Packages fetched at the same time; the downloads among them are bounded further down.
const AHEAD: usize = 32;

/// How much a closure may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Packages in the tree. The largest closures in use have some 800.
    pub packages: usize,
    /// Bytes of one archive.
    pub packed: u64,
    /// Bytes of all files of all packages: this is how much memory a closure takes.
    pub unpacked: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            packages: 2000,
            packed: 128 << 20,
            unpacked: 512 << 20,
        }
    }
}

/// For whom and under which conditions packages are chosen.
#[derive(Clone, Debug)]
pub struct Options {
    /// The Node.js that will run the code.
    pub node: Version,
    /// The npm that will install it.
    pub npm: Version,
    /// Only versions that were published by then; a version without a time counts as old.
    pub before: Option<Timestamp>,
    /// The machine that it will be installed on.
    pub platform: Platform,
    /// Whether optional packages for other machines are fetched as well.
    pub all_platforms: bool,
    /// Whether the whole metadata of every member is asked for, not only that of the package in question.
    pub full: bool,
    /// Whether registries may be asked; else the cache has to do.
    pub online: bool,
    /// How much a closure may be.
    pub limits: Limits,
}

/// Watches a resolution. Called from several threads, often: must not block.
pub trait Progress: Send + Sync {
    /// So many packages are in the tree so far.
    fn counted(&self, _packages: usize) {}
    /// Bytes of an archive came.
    fn received(&self, _package: &str, _bytes: u64) {}
    /// A package is here, from a registry or the cache.
    fn fetched(&self, _package: &str) {}
}

/// Watches nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Progress for Silent {}

/// A closure, and what registries say of its members by `name@version`.
#[derive(Clone, Debug)]
pub struct Resolved {
    /// The packages at their places.
    pub closure: Closure,
    /// What registries say. Members that came in a file or folder, or inside another archive, have no entry.
    pub listings: BTreeMap<String, Listing>,
}

/// Why there is no closure.
#[derive(Debug, thiserror::Error)]
pub enum ResolveError {
    /// The file cannot be read.
    #[error("cannot read {path}")]
    Read {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The file or folder is no package.
    #[error("{path} is no package that can be vetted: {reason}")]
    NoPackage {
        /// The file or folder.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The registry has nothing that will do.
    #[error(
        "there is no {package}: check its name and version, and that the registry in npm's configuration has it"
    )]
    Nothing {
        /// What was asked for.
        package: String,
    },
    /// A registry failed in a way that may pass, so no answer can be relied on.
    #[error("cannot fetch all that {package} needs")]
    Fetch {
        /// What was asked for.
        package: String,
        /// What failed.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// Resolves closures. Cheap to clone.
#[derive(Clone)]
pub struct Resolver {
    client: Client,
    cache: Option<Cache>,
    options: Options,
}

/// What the tree says must be fetched for one place.
struct Wanted {
    place: String,
    id: Id,
}

impl Resolver {
    /// A resolver that asks these registries and keeps what it gets in this cache.
    #[must_use]
    pub fn new(client: Client, cache: Option<Cache>, options: Options) -> Self {
        Self {
            client,
            cache,
            options,
        }
    }

    /// The closure of a target.
    ///
    /// # Errors
    /// When the target itself cannot be had, or a registry fails in a way that may pass. Dependencies that are
    /// not to be had are gaps of the closure.
    pub async fn resolve(
        &self,
        target: &Target,
        progress: Arc<dyn Progress>,
    ) -> Result<Resolved, ResolveError> {
        let (name, wanted, here, pins) = self.entry(target).await?;
        let package = if wanted.is_empty() {
            name.to_string()
        } else {
            format!("{name}@{wanted}")
        };
        let fetch = |source: Lack| ResolveError::Fetch {
            package: package.clone(),
            source: Box::new(source),
        };
        let everybody = self.options.full || self.options.before.is_some();
        let first = name.clone();
        let source = Source::new(
            (self.client.clone(), self.options.online),
            self.cache.clone(),
            self.options.limits,
            Box::new(move |name| everybody || *name == first),
            progress,
        );
        let source = Arc::new(source.first(name.clone()));
        let mut layout = {
            let (source, options) = (source.clone(), self.options.clone());
            let (name, wanted) = (name.clone(), wanted.clone());
            let handle = Handle::current();
            let built = tokio::task::spawn_blocking(move || {
                let taste = Taste {
                    node: options.node,
                    npm: options.npm,
                    before: options.before,
                };
                let mut builder =
                    Builder::new(&source, handle, taste, options.platform, options.limits, pins);
                builder.build(&name, &wanted, here)?;
                Ok(Layout {
                    tree: builder.tree,
                    gaps: builder.gaps,
                })
            });
            built
                .await
                .map_err(io::Error::other)
                .map_err(|source| ResolveError::Fetch {
                    package: package.clone(),
                    source: Box::new(source),
                })?
        }
        .map_err(fetch)?;
        if let Some(lack) = source.failure() {
            return Err(fetch(lack));
        }
        layout.judge_platforms(self.options.all_platforms);
        let root = format!("node_modules/{name}");
        let places = self.fetch_all(&source, &mut layout, &root).await.map_err(fetch)?;
        let Some(places) = places.filter(|places| places.contains_key(&root)) else {
            return Err(ResolveError::Nothing { package });
        };
        let listed = layout.wanted().into_iter().filter_map(|Wanted { id, .. }| {
            let what = &layout.tree.node(id).what;
            let registry = matches!(what.origin, Origin::Registry(..));
            registry.then(|| (what.name.clone(), what.version.clone()))
        });
        let listings = self.listings(&source, listed.collect()).await;
        let mut closure = Closure::at(root, places);
        closure.gaps = layout.gaps.into_iter().collect();
        Ok(Resolved { closure, listings })
    }

    /// What is asked of npm: a name with what is wanted of it, the package where it is here, and preferred versions.
    async fn entry(&self, target: &Target) -> Result<Entry, ResolveError> {
        let (path, folder) = match target {
            Target::Registry { name, wanted } => {
                return Ok((name.clone(), wanted.clone(), None, BTreeMap::new()));
            }
            Target::Archive(path) => (path.clone(), false),
            Target::Folder(path) => (path.clone(), true),
        };
        let limit = self.options.limits.packed;
        let read = tokio::task::spawn_blocking(move || {
            if folder {
                from_folder(path)
            } else {
                from_archive(&path, limit)
            }
        });
        let (package, pins) = read.await.map_err(|error| ResolveError::NoPackage {
            path: PathBuf::new(),
            reason: error.to_string(),
        })??;
        let name = package.name.clone();
        Ok((name, package.version.to_string(), Some(Arc::new(package)), pins))
    }

    /// Fetches what is in the tree. Nothing when the package in question is not to be had.
    async fn fetch_all(
        &self,
        source: &Arc<Source>,
        layout: &mut Layout,
        root: &str,
    ) -> Result<Option<BTreeMap<String, Arc<Package>>>, Lack> {
        let wanted: Vec<Wanted> = layout.wanted();
        let fetched = stream::iter(wanted)
            .map(|Wanted { place, id }| {
                let (source, what) = (source.clone(), layout.tree.node(id).what.clone());
                async move {
                    let package = match &what.origin {
                        Origin::Here(package) => Ok(package.clone()),
                        _ => {
                            source
                                .package(&what.name, &what.version, build::integrity(&what))
                                .await
                        }
                    };
                    (place, id, package)
                }
            })
            .buffer_unordered(AHEAD)
            .collect::<Vec<_>>()
            .await;
        let mut places = BTreeMap::new();
        for (place, id, package) in fetched {
            let why = match package {
                Ok(package) => {
                    places.insert(place, package);
                    continue;
                }
                Err(lack @ Lack::Package { .. }) if place == root => return Err(lack),
                Err(lack) if lack.is_absence() && place == root => return Ok(None),
                Err(lack) if lack.is_absence() => Why::Missing,
                Err(Lack::TooMuch(_)) => Why::TooMuch,
                Err(Lack::Package { .. }) => Why::Unusable,
                Err(lack) => return Err(lack),
            };
            layout.note(id, why);
        }
        // What an archive carries stands where the archive puts it, whatever the metadata says.
        let own: Vec<(String, Arc<Package>)> = places
            .iter()
            .map(|(place, package)| (place.clone(), package.clone()))
            .collect();
        for (place, package) in own {
            if !package.files().any(|(path, _)| path.starts_with("node_modules/")) {
                continue;
            }
            let opened = inside::open(&package);
            places.insert(place.clone(), opened.own);
            for (below, carried) in opened.carried {
                places.insert(format!("{place}/{below}"), carried);
            }
        }
        Ok(Some(places))
    }

    async fn listings(
        &self,
        source: &Arc<Source>,
        all: Vec<(PackageName, Version)>,
    ) -> BTreeMap<String, Listing> {
        let keys = if self.options.online && !source.is_down() {
            // Keys are optional by design: without them signatures are not checked, which says so.
            let keys = self.client.signing_keys().await;
            keys.map(|bytes| Keys::read(&bytes)).unwrap_or_default()
        } else {
            Keys::default()
        };
        let mut listings = BTreeMap::new();
        for (name, version) in all {
            if let Some(packument) = source.packument(&name).await
                && let Some(listing) = Listing::of(&packument, &version, &keys)
            {
                listings.insert(format!("{name}@{version}"), listing);
            }
        }
        listings
    }
}

/// Name, what is wanted of it, the package where it is here, versions that a lock prefers.
type Entry = (PackageName, String, Option<Arc<Package>>, Pins);
type Pins = BTreeMap<PackageName, BTreeSet<Version>>;
