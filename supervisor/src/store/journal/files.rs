//! Which files there are and what they are called: segments `j-<first change>`, checkpoints `c-<last change>`.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use crate::store::error::StoreError;

/// The journal's folder, looked at once.
#[derive(Debug, Default)]
pub(in crate::store) struct Files {
    /// By the first change in it, ascending.
    pub(in crate::store) segments: Vec<(u64, PathBuf)>,
    /// By the last change in it, ascending.
    pub(in crate::store) checkpoints: Vec<(u64, PathBuf)>,
}

impl Files {
    /// Lists the folder. What a write that was broken off left behind is removed; what was set aside is left alone.
    pub(in crate::store) fn list(folder: &Path) -> Result<Self, StoreError> {
        let mut files = Self::default();
        let entries = fs::read_dir(folder).map_err(StoreError::file("list", folder))?;
        for entry in entries {
            let path = entry.map_err(StoreError::file("list", folder))?.path();
            let Some(name) = path.file_name().and_then(|name| name.to_str()) else {
                continue;
            };
            if name.starts_with('.') {
                fs::remove_file(&path).map_err(StoreError::file("remove", &path))?;
            } else if let Some(first) = number(name, "j-") {
                files.segments.push((first, path));
            } else if let Some(last) = number(name, "c-") {
                files.checkpoints.push((last, path));
            }
        }
        files.segments.sort();
        files.checkpoints.sort();
        Ok(files)
    }
}

fn number(name: &str, kind: &str) -> Option<u64> {
    let digits = name.strip_prefix(kind)?;
    (digits.len() == 16).then(|| u64::from_str_radix(digits, 16).ok())?
}

/// Where the segment that begins with this change lies.
pub(super) fn segment(folder: &Path, first: u64) -> PathBuf {
    folder.join(format!("j-{first:016x}"))
}

/// Where the checkpoint after this change lies.
pub(super) fn checkpoint(folder: &Path, last: u64) -> PathBuf {
    folder.join(format!("c-{last:016x}"))
}

/// Keeps a damaged file for a person, under a name that nothing reads: `<name>.damaged`, or a numbered one.
pub(in crate::store) fn set_aside(path: &Path) -> Result<PathBuf, StoreError> {
    let mut number = 0;
    loop {
        let mut name = path.as_os_str().to_owned();
        name.push(if number == 0 {
            ".damaged".to_owned()
        } else {
            format!(".damaged.{number}")
        });
        let aside = PathBuf::from(name);
        if !aside.exists() {
            fs::rename(path, &aside).map_err(StoreError::file("set aside", path))?;
            return Ok(aside);
        }
        number += 1;
    }
}

/// Makes names in a folder survive a power cut.
pub(in crate::store) fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}
