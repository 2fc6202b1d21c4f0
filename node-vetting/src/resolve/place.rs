//! Where npm puts a package: as far up as nothing speaks against it, peers together.

use std::collections::BTreeSet;

use super::replace::{prune, replace};
use super::tree::{Ask, Id, Tree};

/// Most peers that bring peers that bring peers. Real chains have four links.
const MAX_PEER_CHAIN: usize = 64;

/// What can be done with a package at a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Can {
    /// It can stand there; nothing of that name does.
    Put,
    /// What stands there will do.
    Keep,
    /// It can take the place of what stands there.
    Replace,
    /// It cannot stand there.
    Conflict,
}

/// The answer for one place.
#[derive(Clone, Copy, Debug)]
struct Answer {
    /// With all its peers.
    can: Can,
    /// Without looking at its peers.
    alone: Can,
    target: Id,
    context: Context,
}

/// What the answer for a package tells the questions about its peers.
#[derive(Clone, Copy, Debug)]
struct Context {
    /// The request that all this is about.
    entry: Ask,
    /// The deepest place for whoever wants the peer.
    deepest: Id,
}

/// A question.
struct Question<'t> {
    tree: &'t Tree,
    dep: Id,
    target: Id,
    ask: Ask,
    parent: Option<Context>,
}

impl Question<'_> {
    fn answer(&self, path: &[Id]) -> Answer {
        let name = &self.tree.wish(self.ask).name;
        let start = self.parent.map_or(self.ask.0, |parent| parent.deepest);
        let context = Context {
            entry: self.parent.map_or(self.ask, |parent| parent.entry),
            deepest: self.tree.deepest(start, name),
        };
        let alone = self.alone(context);
        let can = match alone {
            Can::Put | Can::Replace if !self.peers_fit(context, path) => Can::Conflict,
            other => other,
        };
        // What cannot replace the present one together with its peers may still be served by it.
        let kept = can == Can::Conflict && alone == Can::Replace && self.present_will_do();
        Answer {
            can: if kept { Can::Keep } else { can },
            alone: if kept { Can::Keep } else { alone },
            target: self.target,
            context,
        }
    }

    fn present(&self) -> Option<Id> {
        let name = &self.tree.wish(self.ask).name;
        self.tree.node(self.target).children.get(name).copied()
    }

    fn present_will_do(&self) -> bool {
        self.present()
            .is_some_and(|present| self.tree.satisfies(present, self.ask))
    }

    fn alone(&self, context: Context) -> Can {
        let (tree, name) = (self.tree, &self.tree.wish(self.ask).name);
        let wanted_here = tree.asks(self.target, name);
        if wanted_here.is_some_and(|ask| tree.is_peer(ask)) && !tree.is_top(self.target) {
            return Can::Conflict;
        }
        if let Some(present) = self.present() {
            return self.beside(present, context);
        }
        if wanted_here.is_some_and(|ask| ask != self.ask && !tree.satisfies(self.dep, ask)) {
            return Can::Conflict;
        }
        // Who stands below and finds another one further up now must be content with this one.
        let hidden = (self.target != context.entry.0)
            .then(|| tree.resolve(self.target, name))
            .flatten();
        let harmed = hidden.is_some_and(|hidden| {
            tree.asked_by(hidden).into_iter().any(|ask| {
                tree.is_below(ask.0, self.target) && tree.is_valid(ask) && !tree.satisfies(self.dep, ask)
            })
        });
        if harmed { Can::Conflict } else { Can::Put }
    }

    /// Something of that name stands there.
    fn beside(&self, present: Id, context: Context) -> Can {
        let (tree, ask) = (self.tree, self.ask);
        let serves = tree.satisfies(present, ask);
        if tree.matches(self.dep, present) && (serves || !tree.satisfies(self.dep, ask)) {
            return Can::Keep;
        }
        let newer = tree.node(self.dep).what.version >= tree.node(present).what.version;
        let replaceable = tree.can_replace(self.dep, present, &[]);
        if newer && replaceable {
            return Can::Replace;
        }
        if serves {
            return Can::Keep;
        }
        if tree.is_peer(ask) && !newer && replaceable {
            return Can::Replace;
        }
        if tree.node(present).fixed || self.target != context.deepest {
            return Can::Conflict;
        }
        // It must stand here; who wants the other one can have it further down.
        if !tree.is_peer(ask) && self.target == ask.0 {
            return Can::Replace;
        }
        if self.parent.is_none() && !tree.is_peer(ask) {
            return Can::Conflict;
        }
        if self.group_yields(present, context) {
            Can::Replace
        } else {
            Can::Conflict
        }
    }

    /// Whether every group of peers that the present one belongs to can be replaced or go deeper.
    fn group_yields(&self, present: Id, context: Context) -> bool {
        let tree = self.tree;
        let beside = |name: &str| {
            let parent = tree.node(self.dep).parent?;
            tree.node(parent).children.get(name).copied()
        };
        let names: Vec<String> = tree.node(self.dep).parent.map_or_else(Vec::new, |parent| {
            tree.node(parent).children.keys().cloned().collect()
        });
        tree.peer_entries(present).into_iter().all(|(entry, peers)| {
            if entry == self.ask || entry == context.entry {
                return true;
            }
            let Some(entered) = tree.to(entry) else {
                return true;
            };
            let stands_in = beside(&tree.node(entered).name);
            let replaced = match stands_in {
                Some(new) => tree.can_replace(new, entered, &names),
                None => self.clobbers(entered, beside),
            };
            replaced
                || peers.into_iter().all(|peer| {
                    let deepest = tree.deepest(entry.0, &tree.node(peer).name);
                    deepest != self.target && !tree.is_below(self.target, deepest)
                })
        })
    }

    /// Whether what the new peers bring satisfies all peers of the old group.
    fn clobbers(&self, entered: Id, beside: impl Fn(&str) -> Option<Id>) -> bool {
        let tree = self.tree;
        let mut walk = vec![entered];
        let mut at = 0;
        while at < walk.len() {
            for ask in tree.asks_of(walk[at]) {
                if !tree.is_peer(ask) || !tree.is_valid(ask) {
                    continue;
                }
                match beside(&tree.wish(ask).name) {
                    Some(new) if !tree.satisfies(new, ask) => return false,
                    Some(_) => {}
                    None => {
                        if let Some(to) = tree.to(ask)
                            && !walk.contains(&to)
                        {
                            walk.push(to);
                        }
                    }
                }
            }
            at += 1;
        }
        true
    }

    fn peers_fit(&self, context: Context, path: &[Id]) -> bool {
        if path.len() > MAX_PEER_CHAIN {
            return false;
        }
        let tree = self.tree;
        let mut path = path.to_vec();
        path.push(self.dep);
        tree.asks_of(self.dep)
            .filter(|ask| tree.is_peer(*ask))
            .filter_map(|ask| Some((ask, tree.to(ask)?)))
            .filter(|(_, peer)| !path.contains(peer))
            .all(|(ask, peer)| {
                let question = Question {
                    tree,
                    dep: peer,
                    target: tree.deepest(self.target, &tree.node(peer).name),
                    ask,
                    parent: Some(context),
                };
                question.answer(&path).can != Can::Conflict
            })
    }
}

/// What came of placing one package.
#[derive(Debug)]
pub(super) struct Placed {
    /// The node in the tree.
    pub(super) id: Id,
    /// The request that it answers.
    pub(super) ask: Ask,
    /// Whose requests must be looked at again.
    pub(super) again: BTreeSet<Id>,
}

/// Puts a package and the peers it brings into the tree, and tells what was placed, in order.
pub(super) fn place(tree: &mut Tree, dep: Id, ask: Ask) -> Vec<Placed> {
    let mut placed = Vec::new();
    put(tree, dep, ask, None, ask.0, &mut placed, 0);
    placed
}

fn put(
    tree: &mut Tree,
    dep: Id,
    ask: Ask,
    parent: Option<Context>,
    from: Id,
    placed: &mut Vec<Placed>,
    chain: usize,
) {
    if chain > MAX_PEER_CHAIN || tree.to(ask).is_some() && tree.is_valid(ask) {
        return;
    }
    let name = tree.wish(ask).name.clone();
    let start = tree.deepest(from, &name);
    let Some(best) = search(tree, dep, ask, parent, start) else {
        tree.settle(ask);
        return;
    };
    let kind = if best.can == Can::Conflict {
        best.alone
    } else {
        best.can
    };
    if kind == Can::Keep {
        if tree.is_peer(ask) && !tree.is_valid(ask) {
            tree.settle(ask);
        }
        prune(tree, best.target, true);
        return;
    }
    let what = tree.node(dep).what.clone();
    let id = tree.add(&name, what);
    let endless = tree
        .ancestry(best.target)
        .find(|above| !tree.is_top(*above) && tree.matches(*above, dep));
    if endless.is_some() {
        tree.node_mut(id).link = true;
        tree.place(id, best.target);
        return;
    }
    let old = tree.node(best.target).children.get(&name).copied();
    let before = tree.to(ask);
    let again = match old {
        Some(old) => replace(tree, old, id, best.target),
        None => {
            tree.place(id, best.target);
            BTreeSet::new()
        }
    };
    if tree.is_peer(ask) && !tree.satisfies(id, ask) {
        tree.settle(ask);
    }
    if let Some(before) = before
        && before != id
        && tree.to(ask) == Some(before)
        && tree.is_valid(ask)
    {
        prune(tree, before, false);
    }
    let below: Vec<Id> = tree
        .all(best.target)
        .into_iter()
        .filter(|other| tree.node(*other).name == name && !tree.is_top(*other))
        .collect();
    for other in below {
        prune(tree, other, false);
    }
    placed.push(Placed { id, ask, again });
    let Some(group) = tree.node(dep).parent else {
        return;
    };
    for peer_ask in tree.asks_of(id) {
        if !tree.is_peer(peer_ask) || tree.is_valid(peer_ask) || tree.is_settled(peer_ask) {
            continue;
        }
        let wanted = tree.wish(peer_ask).name.clone();
        let Some(peer) = tree.node(group).children.get(&wanted).copied() else {
            continue;
        };
        if tree.satisfies(peer, peer_ask) {
            put(tree, peer, peer_ask, Some(best.context), start, placed, chain + 1);
        }
    }
}

/// The highest place where the package can stand; where its peers fit nowhere, the highest where it alone can.
fn search(tree: &Tree, dep: Id, ask: Ask, parent: Option<Context>, start: Id) -> Option<Answer> {
    let name = &tree.wish(ask).name;
    let (mut best, mut alone) = (None, None);
    for target in tree.ancestry(start) {
        let wanted_here = tree.asks(target, name);
        if !tree.is_top(target) && wanted_here.is_some_and(|ask| tree.is_peer(ask)) {
            continue;
        }
        let question = Question {
            tree,
            dep,
            target,
            ask,
            parent,
        };
        let answer = question.answer(&[]);
        if answer.alone != Can::Conflict {
            alone = Some(answer);
        }
        if answer.can == Can::Conflict {
            break;
        }
        best = Some(answer);
    }
    best.or(alone)
}
