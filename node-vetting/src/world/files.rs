//! The guest's file system: in memory, of one user, with the closure in it and no way out.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;

use crate::world::args::Fault;

/// Most that a guest may write, in bytes.
const MOST_WRITTEN: usize = 64 << 20;
/// Most entries of the whole tree.
const MOST_ENTRIES: usize = 200_000;
/// Longest path, as on Linux.
const LONGEST: usize = 4096;
/// Links followed on the way to one file.
const MOST_LINKS: usize = 16;

/// One entry of the tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Node {
    Folder,
    File { content: Bytes, mode: u32 },
    Link(String),
}

/// The tree, by absolute path. Paths are normal: no `.`, no `..`, no slash at the end.
#[derive(Clone, Debug, Default)]
pub(super) struct Files {
    nodes: BTreeMap<String, Node>,
    /// Files that were there before any package came.
    before: BTreeSet<String>,
    written: usize,
}

/// An absolute path without `.`, `..` and doubled slashes.
pub(super) fn normal(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    format!("/{}", parts.join("/"))
}

/// The folder of a path.
pub(super) fn parent(path: &str) -> &str {
    match path.rfind('/') {
        Some(0) | None => "/",
        Some(at) => &path[..at],
    }
}

impl Files {
    /// Remembers the files that are there now as somebody else's.
    pub(super) fn remember(&mut self) {
        let files = self
            .nodes
            .iter()
            .filter(|(_, node)| !matches!(node, Node::Folder));
        self.before = files.map(|(path, _)| path.clone()).collect();
    }

    /// Whether a path is, or has below it, a file that was there before.
    pub(super) fn was_before(&self, path: &str) -> bool {
        self.before.contains(path) || {
            let below = format!("{}/", path.trim_end_matches('/'));
            let next = self.before.range(below.clone()..).next();
            next.is_some_and(|file| file.starts_with(&below))
        }
    }

    /// Puts a file in place while the world is made; its folders come with it.
    pub(super) fn place(&mut self, path: &str, content: impl Into<Bytes>, mode: u32) {
        self.place_folder(parent(path));
        self.nodes.insert(
            path.to_owned(),
            Node::File {
                content: content.into(),
                mode,
            },
        );
    }

    pub(super) fn place_folder(&mut self, path: &str) {
        let mut at = path;
        while at != "/" && !self.nodes.contains_key(at) {
            self.nodes.insert(at.to_owned(), Node::Folder);
            at = parent(at);
        }
    }

    /// What stands at a path, links followed; none where there is nothing.
    pub(super) fn find(&self, path: &str) -> Option<(String, &Node)> {
        let mut path = self.real(path)?;
        for _ in 0..MOST_LINKS {
            match self.at(&path)? {
                Node::Link(target) => path = self.real(&absolute(target, parent(&path)))?,
                node => return Some((path.clone(), node)),
            }
        }
        None
    }

    /// What stands at a path itself.
    pub(super) fn at(&self, path: &str) -> Option<&Node> {
        if path == "/" {
            return Some(&Node::Folder);
        }
        self.nodes.get(path)
    }

    /// The path with the links of its folders followed. Nearly no tree has any, so the common case is quick.
    fn real(&self, path: &str) -> Option<String> {
        if path.len() > LONGEST {
            return None;
        }
        let mut path = normal(path);
        if self.nodes.contains_key(&path) {
            return Some(path);
        }
        for _ in 0..MOST_LINKS {
            let Some((start, target)) = self.linked_folder(&path) else {
                return Some(path);
            };
            let rest = &path[start.len()..];
            path = normal(&format!("{}{rest}", absolute(&target, parent(&start))));
        }
        None
    }

    fn linked_folder(&self, path: &str) -> Option<(String, String)> {
        path.match_indices('/')
            .skip(1)
            .find_map(|(at, _)| match self.nodes.get(&path[..at]) {
                Some(Node::Link(target)) => Some((path[..at].to_owned(), target.clone())),
                _ => None,
            })
    }

    /// The content of a file.
    pub(super) fn read(&self, path: &str) -> Result<Bytes, Fault> {
        match self.find(path) {
            Some((_, Node::File { content, .. })) => Ok(content.clone()),
            Some(_) => Err(Fault::file("EISDIR", "read", path)),
            None => Err(Fault::file("ENOENT", "open", path)),
        }
    }

    /// The names in a folder.
    pub(super) fn list(&self, path: &str) -> Result<Vec<(String, &Node)>, Fault> {
        let (path, node) = self
            .find(path)
            .ok_or_else(|| Fault::file("ENOENT", "scandir", path))?;
        if !matches!(node, Node::Folder) {
            return Err(Fault::file("ENOTDIR", "scandir", &path));
        }
        let prefix = if path == "/" { path } else { format!("{path}/") };
        let mut names = Vec::new();
        let mut from = prefix.clone();
        // From child to child, without walking through what lies below each.
        while let Some((next, node)) = self.nodes.range(from.clone()..).next() {
            let Some(rest) = next.strip_prefix(&prefix) else {
                break;
            };
            let name = rest.split('/').next().unwrap_or_default();
            if name.len() == rest.len() {
                names.push((name.to_owned(), node));
                from = format!("{next}\0");
            } else {
                // What is below a child: behind everything that starts with its name and a slash.
                from = format!("{prefix}{name}0");
            }
        }
        Ok(names)
    }

    /// Writes a file, or appends to it.
    pub(super) fn write(&mut self, path: &str, bytes: &[u8], append: bool, mode: u32) -> Result<(), Fault> {
        let path = match self.find(path) {
            Some((_, Node::Folder)) => return Err(Fault::file("EISDIR", "open", path)),
            Some((real, _)) => real,
            None => self
                .real(path)
                .ok_or_else(|| Fault::file("ELOOP", "open", path))?,
        };
        if !matches!(self.find(parent(&path)), Some((_, Node::Folder))) {
            return Err(Fault::file("ENOENT", "open", &path));
        }
        self.written = self.written.saturating_add(bytes.len());
        if self.written > MOST_WRITTEN || self.nodes.len() >= MOST_ENTRIES {
            return Err(Fault::file("ENOSPC", "write", &path));
        }
        let before = match self.nodes.get(&path) {
            Some(Node::File { content, mode }) => Some((content.clone(), *mode)),
            _ => None,
        };
        let content = match &before {
            Some((content, _)) if append => [content, bytes].concat(),
            _ => bytes.to_vec(),
        };
        let mode = before.map_or(mode, |(_, mode)| mode);
        self.nodes.insert(
            path,
            Node::File {
                content: content.into(),
                mode,
            },
        );
        Ok(())
    }

    /// Makes a folder, with those above it when asked to.
    pub(super) fn make_folder(&mut self, path: &str, with_parents: bool) -> Result<(), Fault> {
        let path = self
            .real(path)
            .ok_or_else(|| Fault::file("ELOOP", "mkdir", path))?;
        match self.at(&path) {
            Some(Node::Folder) if with_parents => return Ok(()),
            Some(_) => return Err(Fault::file("EEXIST", "mkdir", &path)),
            None => {}
        }
        if self.nodes.len() >= MOST_ENTRIES {
            return Err(Fault::file("ENOSPC", "mkdir", &path));
        }
        match self.find(parent(&path)) {
            Some((_, Node::Folder)) => {}
            Some(_) => return Err(Fault::file("ENOTDIR", "mkdir", &path)),
            None if with_parents => self.make_folder(parent(&path), true)?,
            None => return Err(Fault::file("ENOENT", "mkdir", &path)),
        }
        self.nodes.insert(path, Node::Folder);
        Ok(())
    }

    /// Removes an entry; a folder only when it is empty or all below it may go too.
    pub(super) fn remove(&mut self, path: &str, all: bool) -> Result<(), Fault> {
        let path = self
            .real(path)
            .ok_or_else(|| Fault::file("ELOOP", "unlink", path))?;
        match self.at(&path) {
            None => return Err(Fault::file("ENOENT", "unlink", &path)),
            Some(Node::Folder) => {
                let below = self.below(&path);
                if !below.is_empty() && !all {
                    return Err(Fault::file("ENOTEMPTY", "rmdir", &path));
                }
                for inner in below {
                    self.nodes.remove(&inner);
                }
            }
            Some(_) => {}
        }
        self.nodes.remove(&path);
        Ok(())
    }

    /// Moves an entry with all below it.
    pub(super) fn rename(&mut self, from: &str, to: &str) -> Result<(), Fault> {
        let fault = |code| Fault::file(code, "rename", from);
        let from = self.real(from).ok_or_else(|| fault("ELOOP"))?;
        let to = self.real(to).ok_or_else(|| fault("ELOOP"))?;
        if from == to {
            return Ok(());
        }
        if to.starts_with(&format!("{from}/")) {
            return Err(fault("EINVAL"));
        }
        if !matches!(self.find(parent(&to)), Some((_, Node::Folder))) {
            return Err(fault("ENOENT"));
        }
        let node = self.nodes.remove(&from).ok_or_else(|| fault("ENOENT"))?;
        for inner in self.below(&from) {
            if let Some(node) = self.nodes.remove(&inner) {
                self.nodes.insert(format!("{to}{}", &inner[from.len()..]), node);
            }
        }
        self.nodes.insert(to, node);
        Ok(())
    }

    pub(super) fn set_mode(&mut self, path: &str, mode: u32) -> Result<(), Fault> {
        let real = self.find(path).map(|(real, _)| real);
        match real.and_then(|real| self.nodes.get_mut(&real)) {
            Some(Node::File { mode: old, .. }) => {
                *old = mode & 0o7777;
                Ok(())
            }
            Some(_) => Ok(()),
            None => Err(Fault::file("ENOENT", "chmod", path)),
        }
    }

    /// Makes a symbolic link.
    pub(super) fn link(&mut self, target: &str, path: &str) -> Result<(), Fault> {
        let path = self
            .real(path)
            .ok_or_else(|| Fault::file("ELOOP", "symlink", path))?;
        if self.at(&path).is_some() {
            return Err(Fault::file("EEXIST", "symlink", &path));
        }
        if !matches!(self.find(parent(&path)), Some((_, Node::Folder))) || self.nodes.len() >= MOST_ENTRIES {
            return Err(Fault::file("ENOENT", "symlink", &path));
        }
        self.nodes.insert(path, Node::Link(target.to_owned()));
        Ok(())
    }

    fn below(&self, path: &str) -> Vec<String> {
        let prefix = format!("{path}/");
        self.nodes
            .range(prefix.clone()..)
            .take_while(|(inner, _)| inner.starts_with(&prefix))
            .map(|(inner, _)| inner.clone())
            .collect()
    }
}

fn absolute(target: &str, folder: &str) -> String {
    if target.starts_with('/') {
        target.to_owned()
    } else {
        format!("{folder}/{target}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files() -> Files {
        let mut files = Files::default();
        files.place("/data/node_modules/a/package.json", "{}", 0o644);
        files.place("/data/node_modules/a/lib/b.js", "b", 0o644);
        files.place("/data/node_modules/a.b/c.js", "c", 0o644);
        files
    }

    fn names(files: &Files, path: &str) -> Vec<String> {
        let listed = files.list(path).expect("it is listed");
        listed.into_iter().map(|(name, _)| name).collect()
    }

    #[test]
    fn folders_list_their_children_only() {
        let files = files();
        assert_eq!(names(&files, "/data/node_modules"), ["a", "a.b"]);
        assert_eq!(names(&files, "/data/node_modules/a"), ["lib", "package.json"]);
        assert_eq!(names(&files, "/"), ["data"]);
        assert_eq!(
            files.list("/nowhere").map(|_| ()).map_err(|fault| fault.code),
            Err("ENOENT")
        );
    }

    #[test]
    fn paths_stay_inside() {
        assert_eq!(normal("/data/../../etc/./passwd/"), "/etc/passwd");
        assert_eq!(normal("../x"), "/x");
    }

    #[test]
    fn written_renamed_and_removed() {
        let mut files = files();
        files.write("/data/x", b"1", false, 0o600).expect("written");
        files.write("/data/x", b"2", true, 0o600).expect("appended");
        assert_eq!(files.read("/data/x").expect("read"), "12");
        files
            .rename("/data/node_modules/a", "/data/moved")
            .expect("moved");
        assert_eq!(files.read("/data/moved/lib/b.js").expect("read"), "b");
        assert_eq!(
            files.remove("/data/moved", false).map_err(|fault| fault.code),
            Err("ENOTEMPTY")
        );
        files.remove("/data/moved", true).expect("removed");
        assert!(files.find("/data/moved/lib/b.js").is_none());
        assert!(files.find("/data/node_modules/a.b/c.js").is_some());
    }

    #[test]
    fn links_are_followed_and_loops_end() {
        let mut files = files();
        files.link("node_modules/a", "/data/to-a").expect("linked");
        assert_eq!(files.read("/data/to-a/lib/b.js").expect("read"), "b");
        files.link("/data/loop", "/data/loop").expect("linked");
        assert!(files.find("/data/loop/x").is_none());
    }
}
