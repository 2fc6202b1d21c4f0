//! A tree of packages in the making, with the questions that npm asks of it.
//!
//! Besides the tree itself the arena holds small trees of their own: what a package would look like with the
//! peers it wants beside it. They have no place yet, and most are forgotten.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use npm::{Integrity, PackageName, Version};

use super::order;
use super::spec::Spec;
use crate::package::Package;

/// A package in the arena.
pub(super) type Id = usize;

/// A request in the arena: who asks, and which of its requests it is.
pub(super) type Ask = (Id, usize);

/// How much a dependency is needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Need {
    /// It must be there.
    Must,
    /// It is used where it can be had.
    May,
    /// It must stand beside whoever asks.
    Peer,
    /// If it stands beside whoever asks, then in this version.
    PeerMay,
}

/// A dependency of a package, as it is written.
#[derive(Clone, Debug)]
pub(super) struct Wish {
    pub(super) name: String,
    pub(super) written: String,
    pub(super) spec: Spec,
    pub(super) need: Need,
}

/// One version of one package.
#[derive(Debug)]
pub(super) struct Candidate {
    /// What it is called where it comes from; an alias has another name in the tree.
    pub(super) name: PackageName,
    pub(super) version: Version,
    pub(super) wishes: Vec<Wish>,
    pub(super) bundled: BTreeSet<String>,
    /// Whether its archive must be opened before its dependencies are known.
    pub(super) opaque: bool,
    pub(super) origin: Origin,
    /// Whether it can be used on the machine in question.
    pub(super) for_platform: bool,
}

/// Where the bytes of a package come from.
#[derive(Clone, Debug)]
pub(super) enum Origin {
    /// Nothing: the user directory itself.
    Nowhere,
    /// A registry.
    Registry(Option<Integrity>),
    /// They are here: what was asked about, or what came inside another archive.
    Here(Arc<Package>),
}

impl Candidate {
    /// Whether both have the same bytes, as far as can be told.
    fn same(&self, other: &Self) -> bool {
        match (&self.origin, &other.origin) {
            (Origin::Registry(Some(mine)), Origin::Registry(Some(theirs))) => mine == theirs,
            (Origin::Here(mine), Origin::Here(theirs)) => Arc::ptr_eq(mine, theirs),
            _ => self.name == other.name && self.version == other.version,
        }
    }
}

/// A candidate at a place.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) name: String,
    pub(super) what: Arc<Candidate>,
    pub(super) parent: Option<Id>,
    pub(super) children: BTreeMap<String, Id>,
    /// Requests that are not looked at any more: their peers conflict, or there is nothing to be had.
    pub(super) settled: Vec<bool>,
    /// It came inside an archive: nobody may move or replace it.
    pub(super) fixed: bool,
    /// The same package stands further up; this is npm's link to it, which ends an endless nesting.
    pub(super) link: bool,
}

/// What is wrong with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    Missing,
    /// A peer stands inside whoever wants it beside itself.
    Inside,
    Invalid,
}

/// The arena.
#[derive(Debug, Default)]
pub(super) struct Tree {
    nodes: Vec<Node>,
    /// Who has a request by this name.
    askers: HashMap<String, Vec<Id>>,
}

impl Tree {
    pub(super) fn node(&self, id: Id) -> &Node {
        &self.nodes[id]
    }

    pub(super) fn node_mut(&mut self, id: Id) -> &mut Node {
        &mut self.nodes[id]
    }

    /// A node without a place.
    pub(super) fn add(&mut self, name: &str, what: Arc<Candidate>) -> Id {
        let id = self.nodes.len();
        for wish in &what.wishes {
            self.askers.entry(wish.name.clone()).or_default().push(id);
        }
        self.nodes.push(Node {
            name: name.to_owned(),
            settled: vec![false; what.wishes.len()],
            what,
            parent: None,
            children: BTreeMap::new(),
            fixed: false,
            link: false,
        });
        id
    }

    /// Puts a node below another one; what stood there by the same name loses its place.
    pub(super) fn place(&mut self, id: Id, parent: Id) {
        self.detach(id);
        let name = self.nodes[id].name.clone();
        if let Some(old) = self.nodes[parent].children.insert(name, id) {
            self.nodes[old].parent = None;
        }
        self.nodes[id].parent = Some(parent);
    }

    /// Puts a node in the place of another one, with everything that stands below that.
    pub(super) fn replace(&mut self, old: Id, new: Id) {
        let Some(parent) = self.nodes[old].parent else {
            return;
        };
        let children = std::mem::take(&mut self.nodes[old].children);
        for child in children.values() {
            self.nodes[*child].parent = Some(new);
        }
        self.nodes[new].children = children;
        self.place(new, parent);
    }

    /// Takes a node out of its place, with everything below it.
    pub(super) fn detach(&mut self, id: Id) {
        if let Some(parent) = self.nodes[id].parent.take() {
            let name = self.nodes[id].name.clone();
            if self.nodes[parent].children.get(&name) == Some(&id) {
                self.nodes[parent].children.remove(&name);
            }
        }
    }

    /// Forgets a tree without a place: its requests are asked no more.
    pub(super) fn forget(&mut self, top: Id) {
        let mut all = vec![top];
        let mut at = 0;
        while at < all.len() {
            all.extend(self.nodes[all[at]].children.values());
            at += 1;
        }
        let gone: BTreeSet<Id> = all.into_iter().collect();
        for id in &gone {
            for wish in &self.nodes[*id].what.clone().wishes {
                if let Some(list) = self.askers.get_mut(&wish.name) {
                    list.retain(|asker| !gone.contains(asker));
                }
            }
        }
    }

    /// The node and everything above it, nearest first.
    pub(super) fn ancestry(&self, id: Id) -> impl Iterator<Item = Id> + '_ {
        std::iter::successors(Some(id), |id| self.nodes[*id].parent)
    }

    /// The top of the tree that the node is in.
    pub(super) fn top(&self, id: Id) -> Id {
        self.ancestry(id).last().unwrap_or(id)
    }

    pub(super) fn is_top(&self, id: Id) -> bool {
        self.nodes[id].parent.is_none()
    }

    /// Whether one is the other, or stands below it.
    pub(super) fn is_below(&self, id: Id, above: Id) -> bool {
        self.ancestry(id).any(|ancestor| ancestor == above)
    }

    /// Everything in the tree below `top`, `top` first.
    pub(super) fn all(&self, top: Id) -> Vec<Id> {
        let mut all = vec![top];
        let mut at = 0;
        while at < all.len() {
            all.extend(self.nodes[all[at]].children.values());
            at += 1;
        }
        all
    }

    /// Path below the user directory.
    pub(super) fn location(&self, id: Id) -> String {
        let mut parts: Vec<&str> = self
            .ancestry(id)
            .filter(|id| !self.is_top(*id))
            .map(|id| self.nodes[id].name.as_str())
            .collect();
        parts.reverse();
        let mut text = String::new();
        for part in parts {
            if !text.is_empty() {
                text.push('/');
            }
            text.push_str("node_modules/");
            text.push_str(part);
        }
        text
    }

    /// The order in which nodes are worked on: shallow ones first.
    pub(super) fn turn(&self, id: Id) -> (usize, (Vec<u8>, String)) {
        (self.ancestry(id).count(), order::key(&self.location(id)))
    }

    /// What Node.js would find by this name from there.
    pub(super) fn resolve(&self, from: Id, name: &str) -> Option<Id> {
        self.ancestry(from)
            .find_map(|id| self.nodes[id].children.get(name).copied())
    }

    pub(super) fn wish(&self, (from, at): Ask) -> &Wish {
        &self.nodes[from].what.wishes[at]
    }

    /// The request by this name, where there is one.
    pub(super) fn asks(&self, from: Id, name: &str) -> Option<Ask> {
        let wishes = &self.nodes[from].what.wishes;
        wishes
            .iter()
            .position(|wish| wish.name == name)
            .map(|at| (from, at))
    }

    pub(super) fn asks_of(&self, from: Id) -> impl Iterator<Item = Ask> + use<> {
        (0..self.nodes[from].what.wishes.len()).map(move |at| (from, at))
    }

    pub(super) fn is_peer(&self, ask: Ask) -> bool {
        matches!(self.wish(ask).need, Need::Peer | Need::PeerMay)
    }

    pub(super) fn to(&self, ask: Ask) -> Option<Id> {
        self.resolve(ask.0, &self.wish(ask).name)
    }

    pub(super) fn is_settled(&self, ask: Ask) -> bool {
        self.nodes[ask.0].settled[ask.1]
    }

    pub(super) fn settle(&mut self, ask: Ask) {
        self.nodes[ask.0].settled[ask.1] = true;
    }

    /// Whether the node is what is asked for.
    pub(super) fn satisfies(&self, id: Id, ask: Ask) -> bool {
        let (node, wish) = (&self.nodes[id], self.wish(ask));
        node.name == wish.name && wish.spec.accepts(&node.what.version)
    }

    pub(super) fn fault(&self, ask: Ask) -> Option<Fault> {
        let wish = self.wish(ask);
        let Some(to) = self.to(ask) else {
            return matches!(wish.need, Need::Must | Need::Peer).then_some(Fault::Missing);
        };
        if self.is_peer(ask) && self.nodes[to].parent == Some(ask.0) && !self.is_top(ask.0) {
            return Some(Fault::Inside);
        }
        (!self.satisfies(to, ask)).then_some(Fault::Invalid)
    }

    pub(super) fn is_valid(&self, ask: Ask) -> bool {
        self.fault(ask).is_none()
    }

    /// Requests that the node is the answer to, good or bad.
    pub(super) fn asked_by(&self, id: Id) -> Vec<Ask> {
        let name = &self.nodes[id].name;
        let Some(askers) = self.askers.get(name) else {
            return Vec::new();
        };
        askers
            .iter()
            .filter(|asker| self.resolve(**asker, name) == Some(id))
            .filter_map(|asker| self.asks(*asker, name))
            .collect()
    }

    /// Whether both are the same package under the same name.
    pub(super) fn matches(&self, one: Id, other: Id) -> bool {
        let (one, other) = (&self.nodes[one], &self.nodes[other]);
        one.name == other.name && one.what.same(&other.what)
    }

    /// The nodes with all that they need, as far as nothing outside needs it too.
    pub(super) fn own_deps(&self, of: &[Id], follows: impl Fn(Ask, Id) -> bool) -> BTreeSet<Id> {
        let mut order = of.to_vec();
        let mut set: BTreeSet<Id> = of.iter().copied().collect();
        let mut at = 0;
        while at < order.len() {
            for ask in self.asks_of(order[at]) {
                if let Some(to) = self.to(ask)
                    && follows(ask, to)
                    && set.insert(to)
                {
                    order.push(to);
                }
            }
            at += 1;
        }
        loop {
            let wanted_outside = |id: &Id| {
                self.asked_by(*id)
                    .iter()
                    .any(|ask| !set.contains(&ask.0) && follows(*ask, *id))
            };
            let Some(kept) = set.iter().copied().find(wanted_outside) else {
                return set;
            };
            set.remove(&kept);
        }
    }

    /// Whether one may stand where the other stands, for everybody who needs that one. Peers by the given names
    /// are replaced together with it, so they have no say.
    pub(super) fn can_replace(&self, new: Id, old: Id, peers: &[String]) -> bool {
        if self.nodes[new].name != self.nodes[old].name
            || self.nodes[new].what.name != self.nodes[old].what.name
            || self.nodes[old].fixed
        {
            return false;
        }
        let own = self.own_deps(&[old], |ask, to| to != old && self.is_valid(ask));
        self.asked_by(old).into_iter().all(|ask| {
            let together = !self.is_top(old)
                && self.nodes[ask.0].parent == self.nodes[old].parent
                && self.is_peer(ask)
                && peers.contains(&self.nodes[ask.0].name);
            together || own.contains(&ask.0) || self.satisfies(new, ask)
        })
    }

    /// Whether whoever needs the node would be as well served by what stands further up.
    pub(super) fn can_dedupe(&self, id: Id) -> bool {
        let node = &self.nodes[id];
        let Some(above) = node.parent.and_then(|parent| self.nodes[parent].parent) else {
            return false;
        };
        if node.fixed {
            return false;
        }
        if self.asked_by(id).is_empty() {
            return true;
        }
        let Some(other) = self.resolve(above, &node.name) else {
            return false;
        };
        self.matches(other, id)
            || self.can_replace(other, id, &[]) && self.nodes[other].what.version >= node.what.version
    }

    /// The deepest place for a package by this name: above everybody who wants it beside itself.
    pub(super) fn deepest(&self, start: Id, name: &str) -> Id {
        let mut last = start;
        for target in self.ancestry(start) {
            last = target;
            if self.asks(target, name).is_none_or(|ask| !self.is_peer(ask)) {
                break;
            }
        }
        last
    }

    /// The requests that brought a group of peers with the node into the tree, each with the peers it brought.
    pub(super) fn peer_entries(&self, node: Id) -> Vec<(Ask, Vec<Id>)> {
        let mut union = vec![node];
        let mut at = 0;
        while at < union.len() {
            let mut next = self.peers_of(union[at]);
            let wanted_by = self.asked_by(union[at]).into_iter();
            next.extend(
                wanted_by
                    .filter(|ask| self.is_peer(*ask) && self.is_valid(*ask))
                    .map(|ask| ask.0),
            );
            for id in next {
                if !union.contains(&id) {
                    union.push(id);
                }
            }
            at += 1;
        }
        let mut entries = Vec::new();
        for peer in union {
            for ask in self.asked_by(peer) {
                if !self.is_valid(ask) || self.is_peer(ask) && !self.is_top(ask.0) {
                    continue;
                }
                let mut brought = vec![peer];
                let mut at = 0;
                while at < brought.len() {
                    for id in self.peers_of(brought[at]) {
                        if !brought.contains(&id) {
                            brought.push(id);
                        }
                    }
                    at += 1;
                }
                if brought.contains(&node) {
                    entries.push((ask, brought));
                }
            }
        }
        entries
    }

    fn peers_of(&self, id: Id) -> Vec<Id> {
        self.asks_of(id)
            .filter(|ask| self.is_peer(*ask) && self.is_valid(*ask))
            .filter_map(|ask| self.to(ask))
            .collect()
    }
}
