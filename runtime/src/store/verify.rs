//! Comparing a stack with the list that was made when it was unpacked, and mending it in place.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs::{self, File, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use npm::Client;
use npm::tarball::Limits;

use crate::store::StackStore;
use crate::store::blob::{self, Cancel, Wanted, blocking};
use crate::store::error::StoreError;
use crate::store::fetch::{Staging, refused, remove_tree};
use crate::store::layout;
use crate::store::lock::{Arch, Artifact, StackLock};
use crate::store::manifest::{self, Line};
use crate::store::progress::Progress;
use crate::store::unpack::unpack;

/// What is wrong with a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Damage {
    /// It is not there.
    Missing,
    /// It holds something else.
    Changed,
    /// Others may do with it what they may not, or may not what they may.
    Mode,
    /// It does not belong there.
    Extra,
}

/// One file that is not as it was unpacked.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Change {
    /// Absolute path.
    pub path: PathBuf,
    /// What is wrong.
    pub damage: Damage,
}

impl Damage {
    /// One word for it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Changed => "changed",
            Self::Mode => "mode",
            Self::Extra => "extra",
        }
    }
}

impl StackStore {
    /// Reads every file of a ready stack and of its Node.js and names each that is not as it was unpacked. Takes
    /// about a second; blocks.
    ///
    /// # Errors
    /// When a folder cannot be read. A stack that is not there at all has no changes.
    pub fn verify(&self, lock: &StackLock, arch: Arch) -> Result<Vec<Change>, StoreError> {
        let mut changes = compare(&self.layout.stack(&lock.id(arch)))?;
        if let Some(node) = lock.node(arch) {
            changes.extend(compare(&self.layout.node(node))?);
        }
        Ok(changes)
    }

    /// Fetches the packages that the changes are in and puts their files back, each by a rename: programs that
    /// run from the stack meanwhile see the old file or the new one.
    ///
    /// # Errors
    /// As for fetching, and when a file cannot be replaced.
    pub async fn repair(
        &self,
        lock: &StackLock,
        arch: Arch,
        changes: &[Change],
        client: &Client,
        progress: &dyn Progress,
    ) -> Result<(), StoreError> {
        self.make_buckets()?;
        self.sweep()?;
        let stack = self.layout.stack(&lock.id(arch));
        let packages: Vec<(String, &Artifact)> = lock
            .packages(arch)
            .map(|package| (format!("node_modules/{}", package.path), &package.artifact))
            .collect();
        self.mend(&stack, &packages, changes, client, progress).await?;
        if let Some(node) = lock.node(arch) {
            let dir = self.layout.node(node);
            self.mend(
                &dir,
                &[(String::new(), &node.artifact)],
                changes,
                client,
                progress,
            )
            .await?;
        }
        // Last, because it is what says that this is a stack.
        let path = layout::lock_file(&stack);
        if changes.iter().any(|change| change.path == path) {
            replace(&path, lock.to_text().as_bytes())?;
        }
        Ok(())
    }

    /// Mends one published folder from the archives that go there, by their places.
    async fn mend(
        &self,
        dir: &Path,
        packages: &[(String, &Artifact)],
        changes: &[Change],
        client: &Client,
        progress: &dyn Progress,
    ) -> Result<(), StoreError> {
        let list = layout::manifest_file(dir);
        let relist = changes.iter().any(|change| change.path == list);
        let mut affected: BTreeMap<&str, &Artifact> = BTreeMap::new();
        for change in changes {
            let Ok(relative) = change.path.strip_prefix(dir) else {
                continue;
            };
            if change.damage == Damage::Extra {
                remove_tree(&change.path)?;
                continue;
            }
            // The innermost package that the path is in.
            let owner = packages
                .iter()
                .filter(|(place, _)| relative.starts_with(place))
                .max_by_key(|(place, _)| place.len());
            affected.extend(owner.map(|(place, artifact)| (place.as_str(), *artifact)));
        }
        if relist {
            affected = packages
                .iter()
                .map(|(place, artifact)| (place.as_str(), *artifact))
                .collect();
        }
        let mut lines = Vec::new();
        for (place, artifact) in affected {
            lines.extend(self.mend_package(dir, place, artifact, client, progress).await?);
        }
        if relist {
            let text_dir = self.layout.tmp();
            manifest::write(&text_dir, lines)?;
            let written = layout::manifest_file(&text_dir);
            let text = fs::read(&written).map_err(StoreError::io("read", &written))?;
            fs::remove_file(&written).map_err(StoreError::io("remove", &written))?;
            replace(&list, &text)?;
        }
        Ok(())
    }

    async fn mend_package(
        &self,
        dir: &Path,
        place: &str,
        artifact: &Artifact,
        client: &Client,
        progress: &dyn Progress,
    ) -> Result<Vec<Line>, StoreError> {
        let mut file = blob::fetch(
            &self.layout,
            client,
            &Wanted::from(artifact),
            progress,
            &Cancel::never(),
        )
        .await?;
        let staging = self
            .layout
            .tmp()
            .join(format!("mend-{}", artifact.integrity.hex()));
        let Some(staging) = Staging::claim(&staging)? else {
            return Err(StoreError::io("lock", &staging)(
                io::ErrorKind::ResourceBusy.into(),
            ));
        };
        let limits = Limits::exactly(artifact.unpacked, artifact.files);
        let (held, place) = (Arc::clone(&staging), place.to_owned());
        let wanted_all = !place.is_empty();
        let lines = blocking(move || {
            unpack(&mut file, &limits, &held.path, &place, |path| {
                wanted_all || matches!(path, "bin/node" | "LICENSE")
            })
        })
        .await?
        .map_err(|source| refused(artifact, source))?;
        for line in &lines {
            let target = dir.join(&line.path);
            if damage(&target, line)?.is_none() {
                continue;
            }
            let from = staging.path.join(&line.path);
            File::open(&from)
                .and_then(|file| file.sync_all())
                .map_err(StoreError::io("write", &from))?;
            if let Some(parent) = target.parent() {
                make_way(dir, parent)?;
            }
            if fs::symlink_metadata(&target).is_ok_and(|found| found.is_dir()) {
                remove_tree(&target)?;
            }
            fs::rename(&from, &target).map_err(StoreError::io("replace", &target))?;
        }
        blob::remove(&self.layout.blob(&artifact.integrity));
        progress.unpacked(&artifact.label());
        Ok(lines)
    }
}

/// Makes the folders down to `parent`; a file or link in the way of one goes.
fn make_way(root: &Path, parent: &Path) -> Result<(), StoreError> {
    let mut path = root.to_path_buf();
    for part in parent.strip_prefix(root).into_iter().flat_map(Path::components) {
        path.push(part);
        if fs::symlink_metadata(&path).is_ok_and(|found| found.is_dir()) {
            continue;
        }
        remove_tree(&path)?;
        fs::create_dir(&path).map_err(StoreError::io("make", &path))?;
        fs::set_permissions(&path, Permissions::from_mode(0o755)).map_err(StoreError::io("make", &path))?;
    }
    Ok(())
}

/// Replaces a file's contents: written beside it, synced, renamed.
fn replace(path: &Path, text: &[u8]) -> Result<(), StoreError> {
    let new = path.with_extension("new");
    let write = || -> io::Result<()> {
        fs::write(&new, text)?;
        File::open(&new)?.sync_all()?;
        fs::rename(&new, path)?;
        path.parent()
            .map_or(Ok(()), |parent| File::open(parent)?.sync_all())
    };
    write().map_err(StoreError::io("replace", path))
}

/// Compares one published folder with its list.
fn compare(dir: &Path) -> Result<Vec<Change>, StoreError> {
    if !dir.exists() {
        return Ok(Vec::new());
    }
    let mut changes = Vec::new();
    let mut change = |path: PathBuf, damage| changes.push(Change { path, damage });
    let Some(lines) = manifest::read(dir) else {
        change(layout::manifest_file(dir), Damage::Missing);
        return Ok(changes);
    };
    let mut expected: HashMap<PathBuf, &Line> = HashMap::new();
    let mut folders = BTreeSet::new();
    for line in &lines {
        let path = dir.join(&line.path);
        folders.extend(path.ancestors().skip(1).map(Path::to_path_buf));
        if let Some(damage) = damage(&path, line)? {
            change(path.clone(), damage);
        }
        expected.insert(path, line);
    }
    let lock = layout::lock_file(dir);
    // A Node.js has no lock beside it.
    if dir.join("node_modules").exists()
        && fs::read_to_string(&lock).map_or(true, |text| StackLock::parse(&text).is_err())
    {
        change(lock.clone(), Damage::Changed);
    }
    let known = [lock, layout::manifest_file(dir)];
    let mut open = vec![dir.to_path_buf()];
    while let Some(folder) = open.pop() {
        for name in fs::read_dir(&folder).map_err(StoreError::io("read", &folder))? {
            let entry = name.map_err(StoreError::io("read", &folder))?;
            let path = entry.path();
            let kind = entry.file_type().map_err(StoreError::io("look at", &path))?;
            if kind.is_dir() && folders.contains(&path) {
                open.push(path);
            } else if !expected.contains_key(&path) && !known.contains(&path) {
                change(path, Damage::Extra);
            }
        }
    }
    changes.sort();
    Ok(changes)
}

/// What is wrong with one file.
fn damage(path: &Path, line: &Line) -> Result<Option<Damage>, StoreError> {
    let found = match fs::symlink_metadata(path) {
        Ok(found) => found,
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
            ) =>
        {
            return Ok(Some(Damage::Missing));
        }
        Err(error) => return Err(StoreError::io("look at", path)(error)),
    };
    if !found.is_file() || found.len() != line.size {
        return Ok(Some(Damage::Changed));
    }
    if manifest::hash(path).map_err(StoreError::io("read", path))? != line.sha256 {
        return Ok(Some(Damage::Changed));
    }
    Ok((found.permissions().mode() & 0o7777 != manifest::mode(line.executable)).then_some(Damage::Mode))
}
