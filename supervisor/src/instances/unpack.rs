//! A tar archive of a stranger into a fresh folder: regular files and folders, nothing through a link, nothing outside,
//! bounded in size, number and depth.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Component, Path};

use tar::{Archive, EntryType};

/// Most that an archive may hold: bytes, entries, and folders in folders.
pub(super) const MOST_BYTES: u64 = 512 << 20;
const MOST_ENTRIES: usize = 20_000;
const DEEPEST: usize = 32;

/// What is left out: it is made anew from package.json, for this host's Node.js.
const LEFT: &str = "node_modules";

/// Unpacks `archive` into `to`, which exists and is empty; durable when it returns. How many files there were.
///
/// # Errors
/// The kernel's, or that the archive holds what it may not: `InvalidData`, with its reason. `to` is half filled then.
pub(super) fn unpack(archive: impl Read, to: &Path) -> io::Result<usize> {
    let mut files = 0;
    let mut left = MOST_BYTES;
    let mut archive = Archive::new(archive.take(MOST_BYTES + (MOST_ENTRIES as u64) * 4096));
    for (number, entry) in archive.entries()?.enumerate() {
        let mut entry = entry?;
        let path = entry.path()?.into_owned();
        let shown = path.display();
        if number >= MOST_ENTRIES {
            return Err(refused(format!("it holds more than {MOST_ENTRIES} entries")));
        }
        let mut parts = Vec::new();
        for part in path.components() {
            match part {
                Component::CurDir => {}
                Component::Normal(name) => parts.push(name),
                _ => return Err(refused(format!("`{shown}` leads out of it"))),
            }
        }
        if parts.len() > DEEPEST {
            return Err(refused(format!("`{shown}` lies too deep")));
        }
        let Some((name, folders)) = parts.split_last() else {
            continue;
        };
        if parts.first().is_some_and(|first| *first == LEFT) {
            continue;
        }
        let folder = to.join(folders.iter().collect::<std::path::PathBuf>());
        DirBuilder::new().recursive(true).mode(0o700).create(&folder)?;
        let target = folder.join(name);
        match entry.header().entry_type() {
            EntryType::Directory => DirBuilder::new().recursive(true).mode(0o700).create(&target)?,
            EntryType::Regular => {
                left = left
                    .checked_sub(entry.size())
                    .ok_or_else(|| refused(format!("it holds more than {} MiB", MOST_BYTES >> 20)))?;
                let mut file = OpenOptions::new()
                    .write(true)
                    .create_new(true)
                    .mode(0o600)
                    .open(&target)?;
                let size = entry.size();
                if io::copy(&mut entry, &mut file)? != size {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                file.sync_all()?;
                files += 1;
            }
            // Extended headers of some programs say nothing that is needed.
            EntryType::XGlobalHeader => {}
            _ => return Err(refused(format!("`{shown}` is neither a file nor a folder"))),
        }
    }
    sync(to)?;
    Ok(files)
}

fn refused(what: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

/// Makes the names in a folder durable, and those in the folders in it.
fn sync(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            sync(&entry.path())?;
        }
    }
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use tar::{Builder, Header};

    use super::*;

    fn archive(entries: &[(&str, EntryType)]) -> Vec<u8> {
        let mut builder = Builder::new(Vec::new());
        for (path, kind) in entries {
            let mut header = Header::new_gnu();
            header.set_entry_type(*kind);
            header.set_mode(0o644);
            let content: &[u8] = if *kind == EntryType::Regular { b"text" } else { b"" };
            header.set_size(content.len() as u64);
            // By hand: the library refuses hostile paths.
            header.as_old_mut().name[..path.len()].copy_from_slice(path.as_bytes());
            if kind.is_symlink() || kind.is_hard_link() {
                header.set_link_name("/etc/passwd").expect("a name");
            }
            header.set_cksum();
            builder.append(&header, content).expect("an entry");
        }
        builder.into_inner().expect("an archive")
    }

    #[test]
    fn what_may_not_be_in_it_is_named() {
        let deep = vec!["d"; DEEPEST + 1].join("/");
        for (path, kind, said) in [
            ("../up", EntryType::Regular, "leads out"),
            ("a/../../up", EntryType::Regular, "leads out"),
            ("/etc/cron.d/x", EntryType::Regular, "leads out"),
            ("link", EntryType::Symlink, "neither a file nor a folder"),
            ("link", EntryType::Link, "neither a file nor a folder"),
            ("device", EntryType::Block, "neither a file nor a folder"),
            ("pipe", EntryType::Fifo, "neither a file nor a folder"),
            (deep.as_str(), EntryType::Regular, "too deep"),
        ] {
            let folder = tempfile::tempdir().expect("a folder");
            let error = unpack(&archive(&[(path, kind)])[..], folder.path()).expect_err(path);
            assert!(error.to_string().contains(said), "{path}: {error}");
            assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        }
    }

    #[test]
    fn files_and_folders_arrive_and_modules_do_not() {
        let folder = tempfile::tempdir().expect("a folder");
        let bytes = archive(&[
            ("./flows.json", EntryType::Regular),
            ("lib/", EntryType::Directory),
            ("lib/flows/x.json", EntryType::Regular),
            ("node_modules/a/index.js", EntryType::Regular),
        ]);
        assert_eq!(unpack(&bytes[..], folder.path()).expect("unpacked"), 2);
        assert!(folder.path().join("lib/flows/x.json").is_file());
        assert!(!folder.path().join("node_modules").exists());
        let again = unpack(&bytes[..], folder.path()).expect_err("nothing is overwritten");
        assert_eq!(again.kind(), io::ErrorKind::AlreadyExists);
        let cut = unpack(&bytes[..700], tempfile::tempdir().expect("a folder").path());
        assert!(cut.is_err(), "a cut archive is none");
    }
}
