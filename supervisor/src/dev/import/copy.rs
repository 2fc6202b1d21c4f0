//! Copying a folder of files: regular files, folders, and links that stay inside.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Component, Path};

use crate::dev::files;

/// What was copied.
#[derive(Debug, Default)]
pub(super) struct Copied {
    pub(super) files: u64,
    /// Links that lead out, and what is no file.
    pub(super) skipped: u64,
    /// Packages with native code.
    pub(super) native: BTreeSet<String>,
}

/// Copies the tree under `from`; `root` is the folder that links may not leave.
pub(super) fn tree(from: &Path, to: &Path, root: &Path, copied: &mut Copied) -> io::Result<()> {
    fs::create_dir_all(to)?;
    give(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        let kind = entry.file_type()?;
        if kind.is_dir() {
            tree(&source, &target, root, copied)?;
        } else if kind.is_file() {
            fs::copy(&source, &target)?;
            give(&target)?;
            copied.files += 1;
            if source.extension().is_some_and(|extension| extension == "node") {
                copied.native.extend(package(&source, root));
            }
        } else if kind.is_symlink() {
            let link = fs::read_link(&source)?;
            if stays_inside(&link, &source, root) {
                let _ = fs::remove_file(&target);
                symlink(link, &target)?;
            } else {
                copied.skipped += 1;
            }
        } else {
            copied.skipped += 1;
        }
    }
    Ok(())
}

fn give(path: &Path) -> io::Result<()> {
    files::give_to_owner_of(path.parent().unwrap_or(path), path)
}

/// Whether a relative link, taken by its text alone, ends under `root`.
fn stays_inside(link: &Path, at: &Path, root: &Path) -> bool {
    let Ok(place) = at.strip_prefix(root) else {
        return false;
    };
    let mut depth = place.components().count().saturating_sub(1);
    for component in link.components() {
        match component {
            Component::Normal(_) => depth += 1,
            Component::CurDir => {}
            Component::ParentDir if depth > 0 => depth -= 1,
            _ => return false,
        }
    }
    true
}

/// The package that a file under `node_modules` belongs to.
fn package(file: &Path, modules: &Path) -> Option<String> {
    let mut parts = file.strip_prefix(modules).ok()?.components();
    let first = parts.next()?.as_os_str().to_string_lossy().into_owned();
    if first.starts_with('@') {
        let second = parts.next()?.as_os_str().to_string_lossy().into_owned();
        return Some(format!("{first}/{second}"));
    }
    Some(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_that_lead_out_stay_behind() {
        for (link, at, inside) in [
            ("../a/cli.js", "/r/.bin/a", true),
            ("../../etc/passwd", "/r/.bin/a", false),
            ("/etc/passwd", "/r/a", false),
            ("x/../../y", "/r/a", false),
            ("x/../y", "/r/a", true),
        ] {
            assert_eq!(
                stays_inside(Path::new(link), Path::new(at), Path::new("/r")),
                inside,
                "{link}"
            );
        }
    }

    #[test]
    fn native_code_is_named_by_its_package() {
        let root = Path::new("/r");
        assert_eq!(
            package(Path::new("/r/a/build/x.node"), root).as_deref(),
            Some("a")
        );
        assert_eq!(
            package(Path::new("/r/@s/a/x.node"), root).as_deref(),
            Some("@s/a")
        );
    }
}
