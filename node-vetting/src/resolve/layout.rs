//! A closure as it will lie on the disk, before its packages are fetched.

use std::collections::BTreeSet;

use super::Wanted;
use super::build::{TOP, wanted_by};
use super::tree::{Id, Need, Tree};
use crate::closure::{Gap, Why};

/// A tree that is ready, and what is missing in it.
pub(super) struct Layout {
    pub(super) tree: Tree,
    pub(super) gaps: BTreeSet<Gap>,
}

impl Layout {
    pub(super) fn wanted(&self) -> Vec<Wanted> {
        let all = self.tree.all(TOP).into_iter().skip(1);
        all.map(|id| Wanted {
            place: self.tree.location(id),
            id,
        })
        .collect()
    }

    /// Notes that a package of the tree is a gap, for whoever needs it.
    pub(super) fn note(&mut self, id: Id, why: Why) {
        let what = self.tree.node(id).what.clone();
        let asks = self.tree.asked_by(id);
        let optional = !asks.is_empty()
            && asks
                .iter()
                .all(|ask| matches!(self.tree.wish(*ask).need, Need::May));
        let (wanted_by, wanted) = asks.first().map_or_else(
            || (String::new(), what.version.to_string()),
            |ask| {
                let from = &self.tree.node(ask.0).what;
                (wanted_by(from), self.tree.wish(*ask).written.clone())
            },
        );
        self.gaps.insert(Gap {
            wanted_by,
            name: what.name.to_string(),
            wanted,
            why,
            optional,
        });
    }

    /// Packages for other machines are told, and left out where npm would leave them out.
    pub(super) fn judge_platforms(&mut self, keep: bool) {
        let foreign: Vec<Id> = self
            .tree
            .all(TOP)
            .into_iter()
            .filter(|id| !self.tree.node(*id).what.for_platform)
            .collect();
        for id in foreign {
            self.note(id, Why::Platform);
            let asks = self.tree.asked_by(id);
            let optional = asks.iter().all(|ask| self.tree.wish(*ask).need == Need::May);
            if keep || !optional {
                continue;
            }
            for dep in self
                .tree
                .own_deps(&[id], |ask, to| to != id && self.tree.is_valid(ask))
            {
                self.tree.detach(dep);
            }
            self.tree.detach(id);
        }
    }
}
