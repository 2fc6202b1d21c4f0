//! Builds the tree step by step, as npm does: shallow packages first, each with the peers it brings.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use npm::{Integrity, PackageName, Version};
use tokio::runtime::Handle;

use super::inside::{self, Locked, Opened};
use super::pick::{Taste, pick};
use super::place::{Placed, place};
use super::platform::Platform;
use super::source::{Lack, Source};
use super::spec::Spec;
use super::tree::{Ask, Candidate, Id, Need, Origin, Tree, Wish};
use super::wishes::{of_manifest, of_package};
use super::{Limits, order};
use crate::closure::{Gap, Why};
use crate::package::Package;

/// Most peers that bring peers.
const MAX_DEPTH: usize = 64;

/// How often a package may be looked at again.
const STEPS_PER_PACKAGE: usize = 10;
/// Most requests of all packages together. The largest closures in use have some 3,000.
const MAX_ASKS: usize = 50_000;

/// The builder. It waits for documents, so it runs where waiting is allowed.
pub(super) struct Builder<'s> {
    source: &'s Arc<Source>,
    handle: Handle,
    taste: Taste,
    platform: Platform,
    limits: Limits,
    /// Versions that a lock beside a folder wants, by name.
    pins: BTreeMap<PackageName, BTreeSet<Version>>,
    pub(super) tree: Tree,
    queue: Vec<Id>,
    seen: HashSet<Id>,
    /// What a package would look like with its peers, made for its requests.
    groups: HashMap<Id, Id>,
    candidates: HashMap<(PackageName, Version), Arc<Candidate>>,
    pub(super) gaps: BTreeSet<Gap>,
    /// Groups that newer ones have taken the place of; packages in them may still be placed.
    stale: Vec<Id>,
    /// Requests that nothing can answer.
    failed: Vec<Ask>,
    full: bool,
}

/// The top of every tree: the user directory.
pub(super) const TOP: Id = 0;

impl<'s> Builder<'s> {
    pub(super) fn new(
        source: &'s Arc<Source>,
        handle: Handle,
        taste: Taste,
        platform: Platform,
        limits: Limits,
        pins: BTreeMap<PackageName, BTreeSet<Version>>,
    ) -> Self {
        Self {
            source,
            handle,
            taste,
            platform,
            limits,
            pins,
            tree: Tree::default(),
            queue: Vec::new(),
            seen: HashSet::new(),
            groups: HashMap::new(),
            candidates: HashMap::new(),
            gaps: BTreeSet::new(),
            stale: Vec::new(),
            failed: Vec::new(),
            full: false,
        }
    }

    /// Builds the tree of a user directory that wants this one package, which may be here already.
    ///
    /// # Errors
    /// When an archive that must be opened cannot be had.
    pub(super) fn build(
        &mut self,
        name: &PackageName,
        wanted: &str,
        here: Option<Arc<Package>>,
    ) -> Result<(), Lack> {
        let spec = match &here {
            Some(package) => Spec::Exact(package.version.clone()),
            None => Spec::read(wanted),
        };
        if let Some(package) = here {
            let key = (package.name.clone(), package.version.clone());
            self.candidates.insert(key, Arc::new(of_package(&package)));
        }
        let top = Candidate {
            name: name.clone(),
            version: Version::from((0, 0, 0)),
            wishes: vec![Wish {
                name: name.to_string(),
                written: wanted.to_owned(),
                spec,
                need: Need::Must,
            }],
            bundled: BTreeSet::new(),
            opaque: false,
            origin: Origin::Nowhere,
            for_platform: true,
        };
        let top = self.tree.add("", Arc::new(top));
        self.queue.push(top);
        let mut steps = 0;
        while let Some(id) = self.next() {
            self.step(id)?;
            steps += 1;
            // Packages may push each other around; npm would do so for ever.
            if steps > self.limits.packages * STEPS_PER_PACKAGE {
                self.too_much("dependencies that never settle");
            }
            if self.full {
                break;
            }
        }
        self.drop_failed();
        Ok(())
    }

    fn next(&mut self) -> Option<Id> {
        loop {
            let turns = self.queue.iter().enumerate();
            let (at, _) = turns.min_by_key(|(_, id)| self.tree.turn(**id))?;
            let id = self.queue.swap_remove(at);
            if self.tree.top(id) == TOP && self.seen.insert(id) {
                return Some(id);
            }
        }
    }

    fn enqueue(&mut self, id: Id) {
        if !self.queue.contains(&id) {
            self.queue.push(id);
        }
    }

    fn step(&mut self, id: Id) -> Result<(), Lack> {
        if self.tree.node(id).link {
            return Ok(());
        }
        if self.tree.node(id).what.opaque && !self.tree.node(id).fixed {
            let locked = self.open(id)?;
            if locked {
                return Ok(());
            }
        }
        let mut tasks = Vec::new();
        for ask in self.problems(id) {
            if let Some(dep) = self.dep_for(ask) {
                tasks.push((ask, dep));
            }
        }
        tasks.sort_by_key(|(ask, _)| order::key(&self.tree.wish(*ask).name));
        for (ask, dep) in tasks {
            let placed = place(&mut self.tree, dep, ask);
            self.after(placed);
        }
        // What was tried out for this package is of no more use.
        self.stale.extend(self.groups.remove(&id));
        for group in std::mem::take(&mut self.stale) {
            self.tree.forget(group);
        }
        Ok(())
    }

    /// Requests without a good answer.
    fn problems(&self, id: Id) -> Vec<Ask> {
        let node = self.tree.node(id);
        self.tree
            .asks_of(id)
            .filter(|ask| !self.tree.is_settled(*ask))
            .filter(|ask| {
                let wish = self.tree.wish(*ask);
                if node.what.bundled.contains(&wish.name) && self.tree.to(*ask).is_some() {
                    return false;
                }
                match self.tree.to(*ask) {
                    None => wish.need != Need::PeerMay,
                    Some(to) => !(self.tree.is_valid(*ask) || self.tree.node(to).fixed && node.fixed),
                }
            })
            .collect()
    }

    fn dep_for(&mut self, ask: Ask) -> Option<Id> {
        let name = self.tree.wish(ask).name.clone();
        let group = self.group(ask.0, true);
        let ready = self
            .tree
            .asks(group, &name)
            .filter(|ask| self.tree.is_valid(*ask))
            .and_then(|ask| self.tree.to(ask))
            .filter(|dep| self.tree.satisfies(*dep, ask));
        if ready.is_some() {
            return ready;
        }
        if self.tree.wish(ask).need == Need::PeerMay {
            let from = self.tree.node(ask.0).parent.unwrap_or(ask.0);
            let there = self.tree.all(from).into_iter().skip(1);
            let mut fitting = there.filter(|id| !self.tree.node(*id).fixed && self.tree.satisfies(*id, ask));
            if let Some(id) = fitting.next() {
                let (name, what) = (name, self.tree.node(id).what.clone());
                let group = self.group(ask.0, false);
                let dep = self.tree.add(&name, what);
                self.tree.place(dep, group);
                return Some(dep);
            }
        }
        let group = if self.tree.is_peer(ask) {
            group
        } else {
            self.group(ask.0, false)
        };
        let mut required = HashSet::from([ask.0]);
        self.dep_in(ask, group, None, &mut required, 0)
    }

    /// A small tree of its own with the requests of a package, in which its dependencies are tried out.
    fn group(&mut self, of: Id, reuse: bool) -> Id {
        if reuse && let Some(group) = self.groups.get(&of) {
            return *group;
        }
        let what = self.tree.node(of).what.clone();
        let group = self.tree.add("", what);
        self.stale.extend(self.groups.insert(of, group));
        group
    }

    /// Makes the package that answers a request, in a group, with its peers.
    fn dep_in(
        &mut self,
        ask: Ask,
        group: Id,
        second: Option<Ask>,
        required: &mut HashSet<Id>,
        depth: usize,
    ) -> Option<Id> {
        let name = self.tree.wish(ask).name.clone();
        let first = self.candidate(ask).map(|what| {
            let id = self.tree.add(&name, what);
            self.tree.place(id, group);
            id
        });
        // Both who asks here and who asks as a peer may be content with what the second asks for.
        let other = second
            .filter(|second| !self.tree.is_valid(*second))
            .and_then(|second| self.candidate(second))
            .map(|what| {
                let id = self.tree.add(&name, what);
                self.tree.place(id, group);
                id
            });
        let node = match other {
            Some(other) if self.tree.satisfies(other, ask) => other,
            _ => first?,
        };
        self.tree.place(node, group);
        let needs = |ask: Ask| required.contains(&ask.0) && self.tree.wish(ask).need != Need::PeerMay;
        if needs(ask) || second.is_some_and(needs) {
            required.insert(node);
        }
        if depth < MAX_DEPTH {
            self.peers_of(node, group, required, depth);
        }
        Some(node)
    }

    /// Brings the peers of a package into its group.
    fn peers_of(&mut self, node: Id, group: Id, required: &mut HashSet<Id>, depth: usize) {
        let mut peers: Vec<Ask> = self
            .tree
            .asks_of(node)
            .filter(|ask| self.tree.is_peer(*ask))
            .collect();
        peers.sort_by_key(|ask| order::key(&self.tree.wish(*ask).name));
        for ask in peers {
            if self.tree.node(node).parent.is_none() {
                break;
            }
            let present = self.tree.to(ask);
            if present.is_some() && self.tree.is_valid(ask) {
                continue;
            }
            let Some(present) = present else {
                let own = self.tree.asks(group, &self.tree.wish(ask).name.clone());
                match own {
                    None => {
                        self.dep_in(ask, group, None, required, depth + 1);
                    }
                    Some(own) => {
                        self.dep_in(own, group, Some(ask), required, depth + 1);
                        if !self.tree.is_valid(ask) {
                            self.tree.settle(ask);
                        }
                    }
                }
                continue;
            };
            // Something stands there already: it may be replaced where everybody else is content too.
            let Some(what) = self.candidate(ask) else { continue };
            let name = self.tree.wish(ask).name.clone();
            let tried = self.tree.add(&name, what);
            if self.tree.can_replace(tried, present, &[]) {
                self.dep_in(ask, group, None, required, depth + 1);
            }
            self.tree.forget(tried);
        }
    }

    /// The version that answers a request; where there is none, the gap is noted.
    fn candidate(&mut self, ask: Ask) -> Option<Arc<Candidate>> {
        let wish = self.tree.wish(ask).clone();
        let (name, spec) = match &wish.spec {
            Spec::Elsewhere(why) => return self.give_up(ask, &wish, *why),
            Spec::Alias(name, spec) => (name.clone(), (**spec).clone()),
            spec => match wish.name.parse::<PackageName>() {
                Ok(name) => (name, spec.clone()),
                Err(_) => return self.give_up(ask, &wish, Why::Unknown),
            },
        };
        if let Some(ready) = self.ready(&name, &spec) {
            return Some(ready);
        }
        let Some(packument) = self.handle.block_on(self.source.packument(&name)) else {
            return self.give_up(ask, &wish, Why::Unknown);
        };
        let pinned = self.pins.get(&name).and_then(|pinned| {
            let fitting = pinned.iter().rev().find(|version| spec.accepts(version))?;
            Some((fitting.clone(), packument.exact(fitting).ok()?))
        });
        let Some((version, manifest)) = pinned.or_else(|| pick(&packument, &spec, &self.taste)) else {
            return self.give_up(ask, &wish, Why::Missing);
        };
        let key = (name, version);
        if let Some(known) = self.candidates.get(&key) {
            return Some(known.clone());
        }
        let for_platform = self.platform.suits(manifest);
        let what = Arc::new(of_manifest(&key.0, &key.1, manifest, for_platform));
        self.candidates.insert(key, what.clone());
        if self
            .candidates
            .values()
            .map(|what| what.wishes.len())
            .sum::<usize>()
            > MAX_ASKS
        {
            self.too_much(&format!("more than {MAX_ASKS} dependencies"));
        }
        Some(what)
    }

    /// What is here already and can only be meant itself: the package that was handed in.
    fn ready(&self, name: &PackageName, spec: &Spec) -> Option<Arc<Candidate>> {
        let Spec::Exact(version) = spec else { return None };
        let known = self.candidates.get(&(name.clone(), version.clone()))?;
        Some(known.clone())
    }

    fn give_up(&mut self, ask: Ask, wish: &Wish, why: Why) -> Option<Arc<Candidate>> {
        let from = &self.tree.node(ask.0).what;
        self.gaps.insert(Gap {
            wanted_by: wanted_by(from),
            name: wish.name.clone(),
            wanted: wish.written.clone(),
            why,
            optional: matches!(wish.need, Need::May | Need::PeerMay),
        });
        self.tree.settle(ask);
        self.failed.push(ask);
        // A group has the same requests as the package that it was made for.
        let asking: Vec<Id> = self
            .groups
            .iter()
            .filter(|(_, group)| **group == ask.0)
            .map(|(id, _)| *id)
            .collect();
        for id in asking {
            self.tree.settle((id, ask.1));
            self.failed.push((id, ask.1));
        }
        None
    }

    /// Looks at what was placed: it has requests itself, and others may have lost their answer.
    fn after(&mut self, placed: Vec<Placed>) {
        for Placed { id, ask, again } in placed {
            if self.tree.top(id) != TOP {
                continue;
            }
            for other in self.tree.asked_by(id) {
                if other == ask || self.tree.is_settled(other) || self.tree.is_valid(other) {
                    continue;
                }
                self.seen.remove(&other.0);
                self.enqueue(other.0);
            }
            self.enqueue(id);
            for id in again {
                self.seen.remove(&id);
                self.enqueue(id);
            }
            self.prefetch(id);
        }
        let count = self.tree.all(TOP).len() - 1;
        self.source.progress.counted(count);
        if count > self.limits.packages {
            self.too_much(&format!("more than {} packages", self.limits.packages));
        }
    }

    fn too_much(&mut self, what: &str) {
        let top = &self.tree.node(TOP).what;
        self.gaps.insert(Gap {
            wanted_by: String::new(),
            name: top.name.to_string(),
            wanted: what.to_owned(),
            why: Why::TooMuch,
            optional: false,
        });
        self.full = true;
    }

    fn prefetch(&self, id: Id) {
        for ask in self.problems(id) {
            let wish = self.tree.wish(ask);
            let name = match &wish.spec {
                Spec::Elsewhere(_) => continue,
                Spec::Alias(name, _) => name.clone(),
                _ => match wish.name.parse() {
                    Ok(name) => name,
                    Err(_) => continue,
                },
            };
            let source = self.source.clone();
            self.handle.spawn(async move { source.packument(&name).await });
        }
        if let Origin::Registry(Some(integrity)) = &self.tree.node(id).what.origin {
            let (what, integrity) = (self.tree.node(id).what.clone(), integrity.clone());
            let source = self.source.clone();
            // Whoever needs the package finds it, or meets the same failure.
            self.handle.spawn(async move {
                source
                    .package(&what.name, &what.version, Some(&integrity))
                    .await
                    .is_ok()
            });
        }
    }

    /// Opens an archive that carries packages or a lock. Tells whether a lock has said all.
    fn open(&mut self, id: Id) -> Result<bool, Lack> {
        let package = match &self.tree.node(id).what.origin {
            Origin::Nowhere => return Ok(false),
            Origin::Here(package) => package.clone(),
            Origin::Registry(integrity) => {
                let what = self.tree.node(id).what.clone();
                let fetched = self.source.package(&what.name, &what.version, integrity.as_ref());
                self.handle.block_on(fetched)?
            }
        };
        let Opened { carried, locked, .. } = inside::open(&package);
        for (place, locked) in &locked {
            if !carried.contains_key(place) {
                self.put_locked(id, place, locked);
            }
        }
        for (place, package) in &carried {
            let what = of_package(package);
            self.put_fixed(id, place, Arc::new(what));
        }
        Ok(!locked.is_empty())
    }

    fn put_locked(&mut self, below: Id, place: &str, locked: &Locked) {
        let packument = self.handle.block_on(self.source.packument(&locked.name));
        let manifest = packument
            .as_ref()
            .and_then(|packument| packument.exact(&locked.version).ok());
        let Some(manifest) = manifest else {
            let from = wanted_by(&self.tree.node(below).what);
            self.gaps.insert(Gap {
                wanted_by: from,
                name: locked.name.to_string(),
                wanted: locked.version.to_string(),
                why: Why::Missing,
                optional: false,
            });
            return;
        };
        let integrity = locked.integrity.clone().or_else(|| manifest.dist.integrity());
        let what = Candidate {
            name: locked.name.clone(),
            version: locked.version.clone(),
            wishes: Vec::new(),
            bundled: BTreeSet::new(),
            opaque: false,
            origin: Origin::Registry(integrity),
            for_platform: self.platform.suits(manifest),
        };
        self.put_fixed(below, place, Arc::new(what));
    }

    /// Puts a package at a place below another one, where nobody may move it.
    fn put_fixed(&mut self, below: Id, place: &str, what: Arc<Candidate>) {
        let mut parent = below;
        let mut names = place["node_modules/".len()..].split("/node_modules/").peekable();
        while let Some(name) = names.next() {
            if names.peek().is_none() {
                let id = self.tree.add(name, what);
                self.tree.node_mut(id).fixed = true;
                self.tree.place(id, parent);
                self.enqueue(id);
                return;
            }
            let Some(next) = self.tree.node(parent).children.get(name) else {
                return;
            };
            parent = *next;
        }
    }

    /// An optional dependency that cannot be complete is not installed at all.
    fn drop_failed(&mut self) {
        let failed = std::mem::take(&mut self.failed);
        for ask in failed {
            if self.tree.wish(ask).need != Need::Must || self.tree.top(ask.0) != TOP {
                continue;
            }
            let mut id = ask.0;
            loop {
                let askers = self.tree.asked_by(id);
                if askers.is_empty() {
                    break;
                }
                if askers.iter().all(|ask| self.tree.wish(*ask).need == Need::May) {
                    for dep in self
                        .tree
                        .own_deps(&[id], |ask, to| to != id && self.tree.is_valid(ask))
                    {
                        self.tree.detach(dep);
                    }
                    break;
                }
                let mut musts = askers
                    .iter()
                    .filter(|ask| self.tree.wish(**ask).need == Need::Must);
                match (musts.next(), musts.next()) {
                    (Some(only), None) if askers.len() == 1 && only.0 != TOP => id = only.0,
                    _ => break,
                }
            }
        }
    }
}

/// `name@version`, or nothing for the user directory.
pub(super) fn wanted_by(what: &Candidate) -> String {
    match what.origin {
        Origin::Nowhere => String::new(),
        _ => format!("{}@{}", what.name, what.version),
    }
}

/// Hashes that a registry gives for what was placed.
pub(super) fn integrity(what: &Candidate) -> Option<&Integrity> {
    match &what.origin {
        Origin::Registry(integrity) => integrity.as_ref(),
        _ => None,
    }
}
