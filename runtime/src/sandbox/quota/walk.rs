//! Measuring by looking at every file: what is left where the kernel does not count.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Files and folders that are looked at; what is more is not counted, and the answer says so.
const MOST: usize = 1_000_000;

/// Bytes that the files in these folders occupy on their disk, and whether that is all of them. Links are not
/// followed; a file with several names counts once. What goes while it is looked at counts as gone.
///
/// # Errors
/// When one of the folders themselves cannot be read.
pub fn measure(folders: &[PathBuf]) -> io::Result<(u64, bool)> {
    let mut used = 0_u64;
    let mut seen = HashSet::new();
    let mut left = MOST;
    let mut open: Vec<PathBuf> = Vec::new();
    for folder in folders {
        let there = fs::symlink_metadata(folder)?;
        if there.is_dir() {
            fs::read_dir(folder)?;
            open.push(folder.clone());
        }
    }
    while let Some(folder) = open.pop() {
        let Ok(entries) = fs::read_dir(&folder) else {
            continue;
        };
        for entry in entries.flatten() {
            if left == 0 {
                return Ok((used, false));
            }
            left -= 1;
            let Ok(metadata) = entry.metadata() else { continue };
            let twice = !metadata.is_dir() && metadata.nlink() > 1;
            if twice && !seen.insert((metadata.dev(), metadata.ino())) {
                continue;
            }
            used = used.saturating_add(metadata.blocks().saturating_mul(512));
            if metadata.is_dir() {
                open.push(entry.path());
            }
        }
    }
    Ok((used, true))
}

/// Calls `each` with everything below `folder`, contents before their folder and `folder` itself last.
pub(super) fn deepest_first(
    folder: &Path,
    each: &mut dyn FnMut(&Path, bool) -> io::Result<()>,
) -> io::Result<()> {
    let mut folders = vec![folder.to_owned()];
    let mut at = 0;
    while let Some(folder) = folders.get(at).cloned() {
        at += 1;
        for entry in fs::read_dir(&folder)? {
            let entry = entry?;
            let kind = entry.file_type()?;
            if kind.is_dir() {
                folders.push(entry.path());
            } else if kind.is_file() {
                each(&entry.path(), false)?;
            }
        }
    }
    for folder in folders.iter().rev() {
        each(folder, true)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn what_lies_there_is_counted_once_and_what_is_linked_is_not() {
        let (inside, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let one = inside.path().join("one");
        fs::write(&one, vec![1; 1 << 20]).unwrap();
        fs::hard_link(&one, inside.path().join("again")).unwrap();
        fs::write(outside.path().join("big"), vec![1; 4 << 20]).unwrap();
        symlink(outside.path(), inside.path().join("link")).unwrap();
        fs::create_dir(inside.path().join("deeper")).unwrap();
        fs::write(inside.path().join("deeper/two"), vec![1; 1 << 20]).unwrap();
        let (used, all) = measure(&[inside.path().to_owned()]).unwrap();
        assert!(all);
        assert!((2 << 20..3 << 20).contains(&used), "{used}");
        assert!(measure(&[inside.path().join("nowhere")]).is_err());
    }

    #[test]
    fn folders_come_after_what_they_hold() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("a/b")).unwrap();
        fs::write(folder.path().join("a/b/c"), "").unwrap();
        let mut order = Vec::new();
        deepest_first(folder.path(), &mut |path, _| {
            order.push(path.strip_prefix(folder.path()).unwrap().display().to_string());
            Ok(())
        })
        .unwrap();
        assert_eq!(order, ["a/b/c", "a/b", "a", ""]);
    }
}
