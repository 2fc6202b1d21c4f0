//! A closure that was looked at before, once more: the same packages at the same places, whatever a registry would choose
//! today.

use std::collections::BTreeMap;
use std::sync::Arc;

use npm::{PackageName, Version};

use super::source::{Lack, Source};
use super::{ResolveError, Resolved, Resolver, Silent, inside};
use crate::closure::Closure;
use crate::package::Package;
use crate::report::{Facts, Member};

impl Resolver {
    /// The closure that `facts` are about, from the cache where it has the archives; nothing when it cannot be put
    /// together again from what registries have under those hashes.
    ///
    /// # Errors
    /// When a registry fails in a way that may pass.
    pub async fn again(&self, facts: &Facts) -> Result<Option<Resolved>, ResolveError> {
        let failed = |lack: Lack| ResolveError::Fetch {
            package: facts.spec(),
            source: Box::new(lack),
        };
        let root = facts.package.clone();
        let source = Arc::new(Source::new(
            (self.client.clone(), self.options.online),
            self.cache.clone(),
            self.options.limits,
            Box::new(move |name| *name == root),
            Arc::new(Silent),
        ));
        let mut places: BTreeMap<String, Arc<Package>> = BTreeMap::new();
        let mut listed = Vec::new();
        // By place, so that who carries others inside its archive comes before them.
        for member in &facts.packages {
            if places.contains_key(&member.place) {
                continue;
            }
            let Some((name, version)) = named(member) else {
                return Ok(None);
            };
            let package = match source.package(&name, &version, Some(&member.integrity)).await {
                Ok(package) => package,
                Err(lack) if lack.is_absence() => return Ok(None),
                Err(lack) => return Err(failed(lack)),
            };
            let opened = inside::open(&package);
            for (below, carried) in opened.carried {
                places.insert(format!("{}/{below}", member.place), carried);
            }
            places.insert(member.place.clone(), opened.own);
            listed.push((name, version));
        }
        let root = format!("node_modules/{}", facts.package);
        if !places.contains_key(&root) {
            return Ok(None);
        }
        let mut closure = Closure::at(root, places);
        closure.gaps.clone_from(&facts.gaps);
        if closure.digest() != facts.closure {
            return Ok(None);
        }
        let listings = self.listings(&source, listed).await;
        Ok(Some(Resolved { closure, listings }))
    }
}

fn named(member: &Member) -> Option<(PackageName, Version)> {
    let (name, version) = member.package.rsplit_once('@')?;
    Some((name.parse().ok()?, Version::parse(version).ok()?))
}
