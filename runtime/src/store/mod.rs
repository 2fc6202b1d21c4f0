//! Stacks on disk: fetched once, verified, shared read-only by every instance.
//!
//! ```text
//! blobs-v1/<sha512>                archives that are coming; gone when what they hold is published
//! node-v1/<digest>/bin/node        one executable inode per Node.js version on the host
//! stacks-v1/<id>/node_modules      Node-RED and all it needs, beside its lock and a manifest of every file
//! cache-v1/<id>                    what Node.js compiled, kept by whoever runs it
//! tmp-v1/...                       being made, or being removed
//! ```
//!
//! Nothing needs repair after a crash. A folder under `node-v1` or `stacks-v1` is whole, because it came there by
//! one rename after everything in it was on disk. A blob is a prefix of what it should be, and is hashed again
//! before it is used. Whatever lies in `tmp-v1` belongs to whoever holds its `flock`, and to nobody when no one
//! does; the next run removes it. In use is likewise what somebody holds a shared `flock` on: the kernel forgets
//! it with its holder, whichever way that one ends (`flock(2)`).
//!
//! Nothing here spawns tasks that outlive their caller. Hashing and unpacking run on the blocking threads of the
//! caller's tokio runtime and are awaited.

mod blob;
mod builtin;
mod error;
mod fetch;
mod layout;
mod lease;
mod lock;
mod manifest;
mod measure;
mod progress;
mod prune;
mod unpack;
mod verify;

use std::path::{Path, PathBuf};

pub use error::StoreError;
pub use lease::Lease;
pub use lock::{Arch, Artifact, LockError, LockedPackage, ModulePath, NodeArtifact, StackLock};
pub use measure::Measured;
pub use progress::{Plan, Progress, Silent};
pub use prune::{Pruned, Scope};
pub use verify::{Change, Damage};

use crate::store::layout::Layout;

/// The folder that holds all stacks of this host.
#[derive(Clone, Debug)]
pub struct StackStore {
    layout: Layout,
}

/// A stack that is ready and stays so while this value lives: nobody removes it meanwhile.
#[derive(Debug)]
pub struct Stack {
    /// Names it and what is in it: the lock's name and a digest of its contents.
    pub id: String,
    /// The executable, the same inode for every stack with this Node.js.
    pub node: PathBuf,
    /// The folder that holds `bin/node`.
    pub node_dir: PathBuf,
    /// The `node_modules` folder with Node-RED.
    pub modules: PathBuf,
    /// The stack's own folder, on which its lease is held.
    pub dir: PathBuf,
    /// Exact version of Node.js.
    pub node_version: String,
    /// Exact version of Node-RED.
    pub node_red_version: String,
    /// Exact version of the npm that is in it.
    pub npm_version: String,
    /// Where whoever runs the stack may keep what Node.js compiled. Need not exist.
    pub cache_dir: PathBuf,
    _leases: [Lease; 2],
}

/// How much of a stack is here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// All of it.
    Ready,
    /// A fetch was broken off, or is under way.
    Partial,
    /// Nothing.
    Absent,
}

/// A stack that lies in the store.
#[derive(Clone, Debug)]
pub struct Stored {
    /// As [`Stack::id`].
    pub id: String,
    /// Its lock.
    pub lock: StackLock,
    /// For which machines.
    pub arch: Arch,
    /// Whether anybody uses it now.
    pub in_use: bool,
}

impl Stack {
    /// The folders whose leases keep the stack: a process that outlives this value takes its own, as the keeper of
    /// an instance does with [`InstanceSpec::holds`](crate::spec::InstanceSpec::holds).
    #[must_use]
    pub fn directories(&self) -> [&Path; 2] {
        [&self.dir, &self.node_dir]
    }
}

impl StackStore {
    /// The store in this data directory. Nothing is made until something is fetched.
    #[must_use]
    pub fn open(data_dir: &Path) -> Self {
        Self {
            layout: Layout::new(data_dir),
        }
    }

    /// The stack of this lock, if it is ready. No network, a handful of system calls.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn find(&self, lock: &StackLock, arch: Arch) -> Result<Option<Stack>, StoreError> {
        let Some(node) = lock.node(arch) else {
            return Ok(None);
        };
        let id = lock.id(arch);
        let dir = self.layout.stack(&id);
        let node_dir = self.layout.node(node);
        let lease = |dir: &Path| Lease::shared(dir).map_err(StoreError::io("open", dir));
        let (Some(stack_lease), Some(node_lease)) = (lease(&dir)?, lease(&node_dir)?) else {
            return Ok(None);
        };
        Ok(Some(Stack {
            node: node_dir.join("bin/node"),
            node_dir,
            modules: dir.join("node_modules"),
            dir,
            node_version: node.artifact.version.to_string(),
            node_red_version: lock.node_red().to_string(),
            npm_version: lock.npm().to_string(),
            cache_dir: self.layout.cache(&id),
            id,
            _leases: [stack_lease, node_lease],
        }))
    }

    /// How much of this lock's stack is here.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn state(&self, lock: &StackLock, arch: Arch) -> Result<State, StoreError> {
        if self.find(lock, arch)?.is_some() {
            return Ok(State::Ready);
        }
        let id = lock.id(arch);
        let blobs = lock
            .artifacts(arch)
            .any(|artifact| self.layout.blob(&artifact.integrity).exists());
        let begun = blobs || self.layout.staging_stack(&id).exists() || self.layout.stack(&id).exists();
        Ok(if begun { State::Partial } else { State::Absent })
    }

    /// Every stack that is ready, by id. What cannot be read as a stack is left out.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn list(&self) -> Result<Vec<Stored>, StoreError> {
        let mut all = Vec::new();
        for id in layout::names(&self.layout.stacks())? {
            let dir = self.layout.stack(&id);
            let Ok(text) = std::fs::read_to_string(layout::lock_file(&dir)) else {
                continue;
            };
            let Ok(lock) = StackLock::parse(&text) else {
                continue;
            };
            let Some(arch) = Arch::ALL.into_iter().find(|arch| lock.id(*arch) == id) else {
                continue;
            };
            let in_use = lease::in_use(&dir).map_err(StoreError::io("look at", &dir))?;
            all.push(Stored {
                id,
                lock,
                arch,
                in_use,
            });
        }
        Ok(all)
    }
}
