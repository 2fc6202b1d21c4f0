//! Every path of the store. A change of a bucket's format is a new bucket: old binaries are unharmed.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use npm::Integrity;

use crate::store::error::StoreError;
use crate::store::lock::NodeArtifact;

#[derive(Clone, Debug)]
pub(crate) struct Layout {
    root: PathBuf,
}

impl Layout {
    pub(crate) fn new(root: &Path) -> Self {
        Self {
            root: root.to_path_buf(),
        }
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    pub(crate) fn blobs(&self) -> PathBuf {
        self.root.join("blobs-v1")
    }

    pub(crate) fn blob(&self, integrity: &Integrity) -> PathBuf {
        self.blobs().join(integrity.hex())
    }

    pub(crate) fn nodes(&self) -> PathBuf {
        self.root.join("node-v1")
    }

    pub(crate) fn node(&self, node: &NodeArtifact) -> PathBuf {
        self.nodes().join(node.digest())
    }

    pub(crate) fn stacks(&self) -> PathBuf {
        self.root.join("stacks-v1")
    }

    pub(crate) fn stack(&self, id: &str) -> PathBuf {
        self.stacks().join(id)
    }

    pub(crate) fn caches(&self) -> PathBuf {
        self.root.join("cache-v1")
    }

    pub(crate) fn cache(&self, id: &str) -> PathBuf {
        self.caches().join(id)
    }

    pub(crate) fn tmp(&self) -> PathBuf {
        self.root.join("tmp-v1")
    }

    /// Where a stack is made. One place per stack, so that its `flock` is what keeps two fetches apart.
    pub(crate) fn staging_stack(&self, id: &str) -> PathBuf {
        self.tmp().join(format!("stack-{id}"))
    }

    /// Where a Node.js is made.
    pub(crate) fn staging_node(&self, node: &NodeArtifact) -> PathBuf {
        self.tmp().join(format!("node-{}", node.digest()))
    }
}

/// The lock beside the stack that was made from it.
pub(crate) fn lock_file(dir: &Path) -> PathBuf {
    dir.join("lock.json")
}

/// The list of every file, beside them.
pub(crate) fn manifest_file(dir: &Path) -> PathBuf {
    dir.join("manifest")
}

/// Names in a folder, sorted; none when there is no folder. Names that are not text are not ours.
pub(crate) fn names(dir: &Path) -> Result<Vec<String>, StoreError> {
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(StoreError::io("read", dir)(error)),
    };
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry.map_err(StoreError::io("read", dir))?;
        names.extend(entry.file_name().into_string());
    }
    names.sort();
    Ok(names)
}
