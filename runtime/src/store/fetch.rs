//! Making a stack ready: fetch, unpack, publish. The order of the steps is what makes it safe to be killed in.

use std::collections::BTreeMap;
use std::fs::{self, File, Permissions};
use std::future::Future;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream;
use nix::sys::statvfs::statvfs;
use npm::tarball::{Limits, TarballError};
use npm::{Client, Integrity};
use tokio::sync::watch;

use crate::error::or_absent;
use crate::store::blob::{self, Cancel, blocking};
use crate::store::error::StoreError;
use crate::store::layout::{self, Layout};
use crate::store::lease::{Attempt, Exclusive};
use crate::store::lock::{Arch, Artifact, ModulePath, NodeArtifact, StackLock};
use crate::store::manifest::{self, Line};
use crate::store::progress::{Plan, Progress};
use crate::store::unpack::unpack;
use crate::store::{Stack, StackStore};
use crate::units::Bytes;

/// Archives fetched at a time: enough to fill a fast link with small files, few enough for a registry's patience.
const PARALLEL: usize = 8;
/// How often work that somebody else does is looked at.
const POLL: Duration = Duration::from_millis(100);
/// Room that a file takes beyond its bytes, on average: half a block, and its share of folders.
const SLACK_PER_FILE: u64 = 3 << 10;

/// One archive and all places that its contents go to: `debug` alone is in several.
struct Job<'a> {
    artifact: &'a Artifact,
    places: Vec<&'a ModulePath>,
}

type Work<'a> = Pin<Box<dyn Future<Output = Result<Vec<Line>, StoreError>> + Send + 'a>>;

impl StackStore {
    /// The stack of this lock: opened if it is ready, otherwise fetched, verified and published.
    ///
    /// Dropping the future breaks the work off; what came stays for the next attempt, and a folder that was being
    /// made is removed. Several processes may ask for the same stack: one works, the others wait.
    ///
    /// # Errors
    /// As [`StoreError`] says. After a refusal or a full disk nothing of the attempt is left; after a failure of
    /// the network the archives that came stay for the next attempt.
    pub async fn ensure(
        &self,
        lock: &StackLock,
        arch: Arch,
        client: &Client,
        progress: &dyn Progress,
    ) -> Result<Stack, StoreError> {
        let node = lock.node(arch).ok_or_else(|| StoreError::NoNode {
            stack: lock.name().to_owned(),
            arch: arch.name(),
        })?;
        let id = lock.id(arch);
        let mut told = false;
        loop {
            if let Some(stack) = self.find(lock, arch)? {
                return Ok(stack);
            }
            self.make_buckets()?;
            self.sweep()?;
            let Some(staging) = Staging::claim(&self.layout.staging_stack(&id))? else {
                if !told {
                    progress.waiting();
                    told = true;
                }
                tokio::time::sleep(POLL).await;
                continue;
            };
            // Whoever had it may have published in between.
            if self.find(lock, arch)?.is_some() {
                continue;
            }
            let outcome = self.make(lock, arch, node, &staging, client, progress).await;
            if let Err(error) = outcome {
                drop(staging);
                return Err(self.after_failure(lock, arch, error));
            }
            self.forget_archives(lock, arch);
            progress.finished();
        }
    }

    async fn make(
        &self,
        lock: &StackLock,
        arch: Arch,
        node: &NodeArtifact,
        staging: &Arc<Staging>,
        client: &Client,
        progress: &dyn Progress,
    ) -> Result<(), StoreError> {
        let target = self.layout.stack(&lock.id(arch));
        // The folder may be there and only its Node.js be gone.
        let jobs = if target.exists() {
            Vec::new()
        } else {
            jobs(lock, arch)
        };
        let node_here = self.layout.node(node).exists();
        self.check_space(lock, arch, node_here)?;
        let fetched = jobs.iter().map(|job| job.artifact.size).sum::<u64>();
        progress.started(&Plan {
            packages: jobs.len() + usize::from(!node_here),
            bytes: fetched + if node_here { 0 } else { node.artifact.size },
        });
        let (cancel, _) = watch::channel(false);
        let mut work: Vec<Work<'_>> = Vec::with_capacity(jobs.len() + 1);
        // The largest first, so that no long one is left for the end.
        if !node_here {
            work.push(Box::pin(self.ensure_node_or_cancel(
                node,
                client,
                progress,
                Cancel::by(&cancel),
            )));
        }
        for job in &jobs {
            work.push(Box::pin(self.place(
                job,
                staging,
                client,
                progress,
                Cancel::by(&cancel),
            )));
        }
        let mut running = stream::iter(work).buffer_unordered(PARALLEL);
        let mut lines = Vec::new();
        let mut failure = None;
        while let Some(outcome) = running.next().await {
            match outcome {
                Ok(more) => lines.extend(more),
                Err(error) => {
                    // The first failure is the cause; downloads stop, and what is being unpacked is awaited, so
                    // that nobody writes into a folder that is being removed.
                    failure.get_or_insert(error);
                    cancel.send_replace(true);
                }
            }
        }
        drop(running);
        if let Some(error) = failure {
            return Err(error);
        }
        if !jobs.is_empty() {
            let text = lock.to_text();
            let path = layout::lock_file(&staging.path);
            fs::write(&path, text).map_err(StoreError::io("write", &path))?;
            staging.publish(lines, &target).await?;
        }
        Ok(())
    }

    /// Fetches one archive and unpacks it to each of its places.
    async fn place(
        &self,
        job: &Job<'_>,
        staging: &Arc<Staging>,
        client: &Client,
        progress: &dyn Progress,
        cancel: Cancel,
    ) -> Result<Vec<Line>, StoreError> {
        let mut file = blob::fetch(&self.layout, client, &job.artifact.into(), progress, &cancel).await?;
        let limits = Limits::exactly(job.artifact.unpacked, job.artifact.files);
        let staging = Arc::clone(staging);
        let prefixes: Vec<String> = job
            .places
            .iter()
            .map(|path| format!("node_modules/{path}"))
            .collect();
        let lines = blocking(move || -> Result<Vec<Line>, TarballError> {
            let mut lines = Vec::new();
            for prefix in &prefixes {
                rewind(&mut file)?;
                lines.extend(unpack(&mut file, &limits, &staging.path, prefix, |_| true)?);
            }
            Ok(lines)
        })
        .await?
        .map_err(|source| refused(job.artifact, source))?;
        progress.unpacked(&job.artifact.label());
        Ok(lines)
    }

    /// The same as work of a stack; its files are listed in its own manifest.
    async fn ensure_node_or_cancel(
        &self,
        node: &NodeArtifact,
        client: &Client,
        progress: &dyn Progress,
        cancel: Cancel,
    ) -> Result<Vec<Line>, StoreError> {
        self.make_node(node, client, progress, cancel).await?;
        Ok(Vec::new())
    }

    /// The folder of a Node.js, fetched and published if need be.
    ///
    /// # Errors
    /// As for [`ensure`](Self::ensure).
    pub async fn ensure_node(
        &self,
        node: &NodeArtifact,
        client: &Client,
        progress: &dyn Progress,
    ) -> Result<PathBuf, StoreError> {
        self.make_buckets()?;
        self.make_node(node, client, progress, Cancel::never()).await?;
        blob::remove(&self.layout.blob(&node.artifact.integrity));
        Ok(self.layout.node(node))
    }

    async fn make_node(
        &self,
        node: &NodeArtifact,
        client: &Client,
        progress: &dyn Progress,
        cancel: Cancel,
    ) -> Result<(), StoreError> {
        let target = self.layout.node(node);
        let staging = loop {
            if target.exists() {
                return Ok(());
            }
            match Staging::claim(&self.layout.staging_node(node))? {
                Some(staging) if !target.exists() => break staging,
                Some(_) => {}
                None if cancel.is_cancelled() => return Err(StoreError::BrokenOff),
                None => tokio::time::sleep(POLL).await,
            }
        };
        let mut file = blob::fetch(&self.layout, client, &(&node.artifact).into(), progress, &cancel).await?;
        let limits = Limits::exactly(node.artifact.unpacked, node.artifact.files);
        // Headers and documents are more than a third of the archive, and nothing here compiles.
        let wanted = |path: &str| matches!(path, "bin/node" | "LICENSE");
        let held = Arc::clone(&staging);
        let lines = blocking(move || unpack(&mut file, &limits, &held.path, "", wanted))
            .await?
            .map_err(|source| refused(&node.artifact, source))?;
        if !lines
            .iter()
            .any(|line| line.path == "bin/node" && line.executable)
        {
            let missing = TarballError::Damaged(std::io::Error::other("it holds no executable bin/node"));
            return Err(refused(&node.artifact, missing));
        }
        staging.publish(lines, &target).await?;
        progress.unpacked(&node.artifact.label());
        Ok(())
    }

    /// Makes the folders that hold everything else.
    pub(crate) fn make_buckets(&self) -> Result<(), StoreError> {
        let layout = &self.layout;
        for dir in [layout.blobs(), layout.nodes(), layout.stacks(), layout.tmp()] {
            fs::create_dir_all(&dir).map_err(StoreError::io("make", &dir))?;
        }
        Ok(())
    }

    /// Removes what dead processes left half made. What is alive is held and stays. Fetching does it by itself.
    ///
    /// # Errors
    /// When something cannot be removed.
    pub fn sweep(&self) -> Result<(), StoreError> {
        let tmp = self.layout.tmp();
        for name in layout::names(&tmp)? {
            let path = tmp.join(name);
            if let Ok(Attempt::Held(_held)) = Exclusive::attempt(&path) {
                remove_tree(&path)?;
            }
        }
        Ok(())
    }

    /// Whether the disk has room for what is to come; asked beforehand because a full disk is everybody's trouble.
    fn check_space(&self, lock: &StackLock, arch: Arch, node_here: bool) -> Result<(), StoreError> {
        let needed = self.room_needed(lock, arch, node_here);
        let free = free_space(&self.layout)?;
        if free < needed {
            return Err(StoreError::Space {
                path: self.layout.root().to_path_buf(),
                needed,
                free,
            });
        }
        Ok(())
    }

    fn room_needed(&self, lock: &StackLock, arch: Arch, node_here: bool) -> Bytes {
        let packages: u64 = lock
            .packages(arch)
            .map(|package| package.artifact.unpacked + package.artifact.files * SLACK_PER_FILE)
            .sum();
        let archives: u64 = lock
            .artifacts(arch)
            .map(|artifact| {
                let here = fs::metadata(self.layout.blob(&artifact.integrity)).map_or(0, |blob| blob.len());
                artifact.size.saturating_sub(here)
            })
            .sum();
        let node = lock
            .node(arch)
            .filter(|_| !node_here)
            .map_or(0, |node| node.executable);
        Bytes(packages + archives + node)
    }

    /// Removes what was fetched of this lock's archives and is not unpacked yet.
    pub fn forget_archives(&self, lock: &StackLock, arch: Arch) {
        for artifact in lock.artifacts(arch) {
            let path = self.layout.blob(&artifact.integrity);
            // Somebody else may be fetching the same package for another stack.
            if let Ok(Attempt::Held(_held)) = Exclusive::attempt(&path) {
                blob::remove(&path);
            }
        }
    }

    /// Leaves behind only what the next attempt can use, and says what a full disk lacks.
    fn after_failure(&self, lock: &StackLock, arch: Arch, error: StoreError) -> StoreError {
        let full = error.out_of_space();
        let node_here = lock
            .node(arch)
            .is_some_and(|node| self.layout.node(node).exists());
        if !error.resumable() {
            self.forget_archives(lock, arch);
        }
        if full {
            return StoreError::Full {
                path: self.layout.root().to_path_buf(),
                needed: self.room_needed(lock, arch, node_here),
                free: free_space(&self.layout).unwrap_or(Bytes(0)),
            };
        }
        error
    }
}

/// One job per archive.
fn jobs(lock: &StackLock, arch: Arch) -> Vec<Job<'_>> {
    let mut jobs: BTreeMap<&Integrity, Job<'_>> = BTreeMap::new();
    for package in lock.packages(arch) {
        jobs.entry(&package.artifact.integrity)
            .or_insert_with(|| Job {
                artifact: &package.artifact,
                places: Vec::new(),
            })
            .places
            .push(&package.path);
    }
    let mut jobs: Vec<_> = jobs.into_values().collect();
    jobs.sort_by_key(|job| std::cmp::Reverse(job.artifact.size));
    jobs
}

pub(crate) fn refused(artifact: &Artifact, source: TarballError) -> StoreError {
    StoreError::Refused {
        package: artifact.label(),
        source,
    }
}

pub(crate) fn rewind(file: &mut File) -> Result<(), TarballError> {
    std::io::Seek::rewind(file).map_err(TarballError::Damaged)
}

/// Space that this account may use.
fn free_space(layout: &Layout) -> Result<Bytes, StoreError> {
    let found = statvfs(layout.root())
        .map_err(|errno| StoreError::io("look at the free space of", layout.root())(errno.into()))?;
    Ok(Bytes(
        found.blocks_available().saturating_mul(found.fragment_size()),
    ))
}

/// Removes a folder with all that is in it, or a file.
pub(crate) fn remove_tree(path: &Path) -> Result<(), StoreError> {
    let outcome = match fs::symlink_metadata(path) {
        Ok(found) if found.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(error) => Err(error),
    };
    or_absent(outcome).map_err(StoreError::io("remove", path))
}

/// A folder that is being made, held alone. Removed when dropped before it was published.
///
/// Shared with every thread that works in it, because such a thread outlives a future that is dropped: the folder
/// goes when the last of them is done, never from under one that is about to publish it.
pub(crate) struct Staging {
    pub(crate) path: PathBuf,
    hold: Exclusive,
}

impl Staging {
    /// Takes the place, emptied; none when somebody else works there.
    pub(crate) fn claim(path: &Path) -> Result<Option<Arc<Self>>, StoreError> {
        loop {
            match fs::create_dir(path) {
                Ok(()) => {}
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(StoreError::io("make", path)(error)),
            }
            match Exclusive::attempt(path).map_err(StoreError::io("lock", path))? {
                Attempt::Held(hold) => {
                    let staging = Self {
                        path: path.to_path_buf(),
                        hold,
                    };
                    for name in layout::names(path)? {
                        remove_tree(&path.join(name))?;
                    }
                    fs::set_permissions(path, Permissions::from_mode(0o755))
                        .map_err(StoreError::io("open", path))?;
                    return Ok(Some(Arc::new(staging)));
                }
                Attempt::Busy => return Ok(None),
                // Swept away in between.
                Attempt::Absent => {}
            }
        }
    }

    /// Everything to the disk, then one rename. A crash before it leaves no stack, a crash after it a whole one.
    pub(crate) async fn publish(self: &Arc<Self>, lines: Vec<Line>, target: &Path) -> Result<(), StoreError> {
        let (staging, to) = (Arc::clone(self), target.to_path_buf());
        blocking(move || {
            let from = &staging.path;
            manifest::write(from, lines)?;
            // One call for the whole filesystem instead of thousands for the files (`syncfs(2)`).
            let dir = File::open(from).map_err(StoreError::io("open", from))?;
            nix::unistd::syncfs(&dir).map_err(|errno| StoreError::io("write", from)(errno.into()))?;
            fs::rename(from, &to).map_err(StoreError::io("publish", &to))?;
            let parent = to.parent().unwrap_or(&to);
            File::open(parent)
                .and_then(|dir| dir.sync_all())
                .map_err(StoreError::io("write", parent))
        })
        .await?
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        // After publishing the path is free, and may be somebody else's. What cannot be removed now, the next run
        // sweeps.
        if self.hold.is_at(&self.path).unwrap_or(false) {
            let _ = remove_tree(&self.path);
        }
    }
}
