//! Packages that stand on this machine: an archive, or a folder as npm would pack it.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::{Pins, ResolveError, folder, inside};
use crate::package::Package;

/// A package in an archive of at most `limit` bytes.
pub(super) fn from_archive(path: &Path, limit: u64) -> Result<(Package, Pins), ResolveError> {
    let read = |source| ResolveError::Read {
        path: path.to_owned(),
        source,
    };
    let size = fs::metadata(path).map_err(read)?.len();
    let no = |reason: String| ResolveError::NoPackage {
        path: path.to_owned(),
        reason,
    };
    if size > limit {
        return Err(no(format!("it has {size} bytes, and {limit} are allowed")));
    }
    let bytes = fs::read(path).map_err(read)?;
    let package = Package::from_archive(&bytes).map_err(|error| no(chain(&error)))?;
    Ok((package, Pins::new()))
}

/// A folder, and the versions that its lock prefers.
pub(super) fn from_folder(path: PathBuf) -> Result<(Package, Pins), ResolveError> {
    let package = match folder::pack(&path) {
        Ok(package) => package,
        Err(folder::FolderError::Read { path, source }) => return Err(ResolveError::Read { path, source }),
        Err(error) => {
            return Err(ResolveError::NoPackage {
                path,
                reason: chain(&error),
            });
        }
    };
    let mut pins = Pins::new();
    // A lock that cannot be read prefers nothing.
    let lock = fs::read(path.join("package-lock.json")).unwrap_or_default();
    let lock: Value = serde_json::from_slice(&lock).unwrap_or_default();
    for locked in inside::read_lock(&lock).into_values() {
        pins.entry(locked.name).or_default().insert(locked.version);
    }
    Ok((package, pins))
}

/// An error with its causes, in one line.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
