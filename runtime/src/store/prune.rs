//! Removing what nobody uses. What is decided and what is done are apart: a dry run is the same decision.

use std::collections::HashSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::store::StackStore;
use crate::store::error::StoreError;
use crate::store::fetch::remove_tree;
use crate::store::layout;
use crate::store::lease::{Attempt, Exclusive};
use crate::units::Bytes;

/// What may go.
#[derive(Clone, Debug, Default)]
pub struct Scope {
    /// Ids of stacks that stay, used or not.
    pub keep: HashSet<String>,
    /// Only tell.
    pub dry_run: bool,
}

/// What went, or would go.
#[derive(Clone, Debug)]
pub struct Pruned {
    /// What it is: `stack`, `node`, `archive`, `cache`, `remains`.
    pub kind: &'static str,
    /// Its name in its folder.
    pub name: String,
    /// Space on the disk.
    pub size: Bytes,
}

impl StackStore {
    /// Removes stacks that nobody holds and that are not to be kept, then what only they needed: their Node.js
    /// and caches, archives of fetches that were broken off, and what dead processes left.
    ///
    /// # Errors
    /// When something cannot be read or removed; what went before that is gone.
    pub fn prune(&self, scope: &Scope) -> Result<Vec<Pruned>, StoreError> {
        let mut gone = Vec::new();
        let tmp = self.layout.tmp();
        let mut remove = |kind, name: &str, path: &Path| -> Result<bool, StoreError> {
            let removed = remove_unheld(&tmp, path, scope.dry_run)?;
            if let Some(size) = removed {
                gone.push(Pruned {
                    kind,
                    name: name.to_owned(),
                    size,
                });
            }
            Ok(removed.is_some())
        };
        let mut nodes_needed = HashSet::new();
        let mut stacks_left = HashSet::new();
        let known = self.list()?;
        for id in layout::names(&self.layout.stacks())? {
            let stays = scope.keep.contains(&id) || !remove("stack", &id, &self.layout.stack(&id))?;
            if stays {
                if let Some(stored) = known.iter().find(|stored| stored.id == id) {
                    nodes_needed.extend(stored.lock.node(stored.arch).map(|node| node.digest()));
                }
                stacks_left.insert(id);
            }
        }
        for (kind, bucket, needed) in [
            ("node", self.layout.nodes(), &nodes_needed),
            ("cache", self.layout.caches(), &stacks_left),
            ("archive", self.layout.blobs(), &HashSet::new()),
            ("remains", tmp.clone(), &HashSet::new()),
        ] {
            for name in layout::names(&bucket)? {
                if !needed.contains(&name) {
                    remove(kind, &name, &bucket.join(&name))?;
                }
            }
        }
        Ok(gone)
    }
}

/// Removes a folder or file that nobody holds, and tells its size; none when somebody holds it.
///
/// It is moved out of its bucket first, so that nobody ever opens a stack with half its files.
fn remove_unheld(tmp: &Path, path: &Path, dry_run: bool) -> Result<Option<Bytes>, StoreError> {
    let Attempt::Held(_hold) = Exclusive::attempt(path).map_err(StoreError::io("lock", path))? else {
        return Ok(None);
    };
    let size = size_on_disk(path)?;
    if !dry_run {
        fs::create_dir_all(tmp).map_err(StoreError::io("make", tmp))?;
        let name = path.file_name().unwrap_or_default();
        let grave = tmp.join(format!("gone-{}-{}", std::process::id(), name.to_string_lossy()));
        fs::rename(path, &grave).map_err(StoreError::io("remove", path))?;
        remove_tree(&grave)?;
    }
    Ok(Some(size))
}

/// Blocks that a tree takes. `st_blocks` counts units of 512 bytes (`stat(2)`).
pub(crate) fn size_on_disk(path: &Path) -> Result<Bytes, StoreError> {
    let mut total = 0;
    let mut open: Vec<PathBuf> = vec![path.to_path_buf()];
    while let Some(path) = open.pop() {
        let found = fs::symlink_metadata(&path).map_err(StoreError::io("look at", &path))?;
        total += found.blocks() * 512;
        if found.is_dir() {
            for entry in fs::read_dir(&path).map_err(StoreError::io("read", &path))? {
                open.push(entry.map_err(StoreError::io("read", &path))?.path());
            }
        }
    }
    Ok(Bytes(total))
}
