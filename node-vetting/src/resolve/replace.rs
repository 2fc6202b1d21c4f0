//! One package in the place of another, and what only the other one needed gone.

use std::collections::BTreeSet;

use super::tree::{Id, Tree};

/// Puts the new one in the place of the old one and removes what only the old one needed. Tells whose requests
/// lost their answer.
pub(super) fn replace(tree: &mut Tree, old: Id, new: Id, target: Id) -> BTreeSet<Id> {
    let mut only_old = BTreeSet::new();
    for ask in tree.asks_of(old) {
        let name = &tree.wish(ask).name;
        if tree.asks(new, name).is_none()
            && let Some(to) = tree.to(ask)
        {
            only_old.extend(tree.own_deps(&[to], |_, other| other != to));
        }
    }
    let mut groups = BTreeSet::new();
    for ask in tree.asked_by(old) {
        if tree.satisfies(new, ask)
            || !tree.is_peer(ask)
            || tree.node(ask.0).parent != Some(target)
            || tree.is_settled(ask)
        {
            continue;
        }
        for (entry, _) in tree.peer_entries(ask.0) {
            let Some(entered) = tree.to(entry) else { continue };
            let deepest = tree.deepest(entered, &tree.node(entered).name);
            if deepest != target && !tree.is_top(entry.0) {
                groups.extend(tree.own_deps(&[entered], |ask, to| to != entered && !tree.is_settled(ask)));
            } else {
                tree.settle(ask);
            }
        }
    }
    tree.replace(old, new);
    let mut useless: Vec<Id> = tree
        .asks_of(new)
        .filter(|ask| !tree.is_valid(*ask))
        .filter_map(|ask| tree.to(ask))
        .collect();
    for dep in only_old {
        useless.extend(tree.own_deps(&[dep], |ask, to| to != dep && tree.is_valid(ask)));
    }
    let useless = tree.own_deps(&useless, |ask, to| {
        ask.0 != new && to != new && tree.is_valid(ask)
    });
    for dep in useless {
        tree.detach(dep);
    }
    let mut again = BTreeSet::new();
    for dep in groups {
        again.extend(tree.asked_by(dep).into_iter().map(|ask| ask.0));
        tree.detach(dep);
    }
    again
}

/// Removes what stands further up as well, with all that only it needs.
pub(super) fn prune(tree: &mut Tree, id: Id, below: bool) {
    if tree.can_dedupe(id) {
        for dep in tree.own_deps(&[id], |ask, to| to != id && tree.is_valid(ask)) {
            tree.detach(dep);
        }
    } else if below {
        let children: Vec<Id> = tree.node(id).children.values().copied().collect();
        for child in children {
            prune(tree, child, true);
        }
    }
}
