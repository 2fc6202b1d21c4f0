//! A host from a backup: into an empty data directory, checked to the last byte, put in place at one stroke.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, BufReader, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt, lchown, symlink};
use std::path::{Component, Path, PathBuf};

use sha2::{Digest, Sha256};
use tar::{Archive, Entry, EntryType};

use super::{FORMAT, MANIFEST, Manifest, STORE, sparse};
use crate::ids;
use crate::problem::{Code, Problem};
use crate::store::{Store, import};

/// What was brought back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restored {
    /// Records of the store.
    pub records: u64,
    /// Files, folders and links.
    pub entries: u64,
    /// When the backup was taken, in milliseconds since 1970.
    pub created_ms: u64,
}

/// Brings a backup back into `data_dir`, which must not exist or be empty.
///
/// # Errors
/// [`Code::Usage`] when the folder is not empty or the file is no whole backup: the folder is as it was then.
pub async fn restore(from: &Path, data_dir: &Path) -> Result<Restored, Problem> {
    let empty = match fs::read_dir(data_dir) {
        Ok(mut entries) => entries.next().is_none(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => true,
        Err(error) => {
            return Err(Problem::io(
                format!("cannot look into {}", data_dir.display()),
                error,
            ));
        }
    };
    if !empty {
        let message = format!("{} is not empty", data_dir.display());
        return Err(Problem::new(Code::Usage, message)
            .hint("restore into a new folder, compare, and move it into place"));
    }
    let parent = data_dir.parent().unwrap_or_else(|| Path::new("."));
    let cannot = |error| Problem::io(format!("cannot make {}", data_dir.display()), error);
    fs::create_dir_all(parent).map_err(cannot)?;
    let fresh = tempfile::Builder::new()
        .prefix(".restore-")
        .tempdir_in(parent)
        .map_err(cannot)?;
    let unpacked = {
        let (from, to) = (from.to_owned(), fresh.path().to_owned());
        tokio::task::spawn_blocking(move || unpack(&from, &to)).await
    };
    let (manifest, entries) =
        unpacked.map_err(|error| Problem::new(Code::Failed, "the restore broke off").because(error))??;
    let lines = fresh.path().join(STORE);
    let records = fill_store(&lines, &fresh.path().join("store")).await?;
    fs::remove_file(&lines).map_err(cannot)?;
    File::open(fresh.path())
        .and_then(|folder| folder.sync_all())
        .map_err(cannot)?;
    fs::set_permissions(fresh.path(), fs::Permissions::from_mode(0o711)).map_err(cannot)?;
    let _ = fs::remove_dir(data_dir);
    fs::rename(fresh.path(), data_dir).map_err(cannot)?;
    File::open(parent)
        .and_then(|folder| folder.sync_all())
        .map_err(cannot)?;
    // It has another name now; there is nothing left to remove.
    let _ = fresh.keep();
    Ok(Restored {
        records,
        entries,
        created_ms: manifest.created_ms,
    })
}

async fn fill_store(lines: &Path, folder: &Path) -> Result<u64, Problem> {
    let bad = |error: crate::store::DumpError| {
        Problem::new(Code::Usage, "the store in the backup cannot be read").because(error)
    };
    DirBuilder::new()
        .mode(0o700)
        .create(folder)
        .map_err(|error| Problem::io("cannot make the store", error))?;
    let (store, _) = Store::open(folder)
        .map_err(|error| Problem::new(Code::Failed, "cannot make the store").because(error))?;
    let file =
        File::open(lines).map_err(|error| Problem::io("cannot read the store in the backup", error))?;
    import(&store, &mut BufReader::new(file)).await.map_err(bad)
}

/// Unpacks and checks everything.
fn unpack(from: &Path, to: &Path) -> Result<(Manifest, u64), Problem> {
    let file =
        File::open(from).map_err(|error| Problem::io(format!("cannot read {}", from.display()), error))?;
    let outcome = entries(BufReader::new(file), to);
    outcome
        .map_err(|error| match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::PermissionDenied => {
                Problem::io(format!("cannot unpack into {}", to.display()), error)
            }
            _ => not_whole(from).because(error),
        })?
        .ok_or_else(|| not_whole(from))
}

fn not_whole(from: &Path) -> Problem {
    Problem::new(Code::Usage, format!("{} is no whole backup", from.display()))
        .hint("it may have been cut short or damaged: take another one")
}

/// `None` when the archive is not what its manifest says, or has none.
fn entries(from: impl Read, to: &Path) -> io::Result<Option<(Manifest, u64)>> {
    let mut unpacking = Unpacking {
        to,
        root: nix::unistd::geteuid().is_root(),
        digest: Sha256::new(),
        entries: 0,
        links: Vec::new(),
        folders: Vec::new(),
    };
    for entry in Archive::new(from).entries()? {
        let mut entry = entry?;
        let path = entry.path()?.into_owned();
        if path == Path::new(MANIFEST) {
            let manifest: Manifest = serde_json::from_reader(&mut entry)?;
            return unpacking.end(manifest);
        }
        unpacking.one(&path, &mut entry)?;
    }
    Ok(None)
}

/// An archive on its way to the disk.
struct Unpacking<'a> {
    to: &'a Path,
    root: bool,
    digest: Sha256,
    entries: u64,
    /// Made last: nothing is ever written through one.
    links: Vec<(PathBuf, PathBuf, u32, u32)>,
    folders: Vec<PathBuf>,
}

impl Unpacking<'_> {
    fn one<R: Read>(&mut self, path: &Path, entry: &mut Entry<'_, R>) -> io::Result<()> {
        if !path.components().all(|part| matches!(part, Component::Normal(_))) {
            return Err(io::Error::other(format!(
                "{} leads out of the backup",
                path.display()
            )));
        }
        self.entries += 1;
        self.digest.update(path.as_os_str().as_bytes());
        self.digest.update([0]);
        let target = self.to.join(path);
        let header = entry.header();
        let (uid, gid) = (owner(header.uid()?)?, owner(header.gid()?)?);
        let mode = header.mode()? & 0o7777;
        if let Some(parent) = target.parent()
            && !parent.is_dir()
        {
            // Only our own: what instances have comes with entries of its own.
            DirBuilder::new().recursive(true).mode(0o711).create(parent)?;
            self.folders.push(parent.to_owned());
        }
        match header.entry_type() {
            EntryType::Directory => {
                DirBuilder::new().recursive(true).mode(mode).create(&target)?;
                self.folders.push(target.clone());
            }
            EntryType::Symlink => {
                let text = entry
                    .link_name()?
                    .ok_or_else(|| io::Error::other("a link without a text"))?
                    .into_owned();
                self.digest.update(text.as_os_str().as_bytes());
                self.links.push((target, text, uid, gid));
                return Ok(());
            }
            EntryType::Regular => self.file(&target, mode, entry)?,
            _ => {
                let message = format!("{} is of a kind that no backup has", path.display());
                return Err(io::Error::other(message));
            }
        }
        if self.root {
            lchown(&target, Some(uid), Some(gid))?;
        }
        // The mode of what was just made is what the umask left of it.
        fs::set_permissions(&target, fs::Permissions::from_mode(mode))
    }

    fn file<R: Read>(&mut self, target: &Path, mode: u32, entry: &mut Entry<'_, R>) -> io::Result<()> {
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(mode)
            .open(target)?;
        let real_size = sparse::real_size(entry)?;
        let mut content = Hashed {
            from: entry,
            digest: &mut self.digest,
        };
        match real_size {
            Some(size) => sparse::unpack(content, &mut file, size)?,
            None => drop(io::copy(&mut content, &mut file)?),
        }
        file.sync_all()
    }

    fn end(self, manifest: Manifest) -> io::Result<Option<(Manifest, u64)>> {
        let whole = (1..=FORMAT).contains(&manifest.format)
            && manifest.entries == self.entries
            && manifest.digest == ids::hexadecimal(&self.digest.finalize());
        if !whole {
            return Ok(None);
        }
        for (path, text, uid, gid) in self.links {
            symlink(text, &path)?;
            if self.root {
                lchown(&path, Some(uid), Some(gid))?;
            }
        }
        for folder in self.folders {
            File::open(folder)?.sync_all()?;
        }
        Ok(Some((manifest, self.entries)))
    }
}

fn owner(number: u64) -> io::Result<u32> {
    u32::try_from(number).map_err(io::Error::other)
}

struct Hashed<'a, R> {
    from: R,
    digest: &'a mut Sha256,
}

impl<R: Read> Read for Hashed<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.from.read(buffer)?;
        self.digest.update(&buffer[..count]);
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{FileExt, MetadataExt};

    use super::*;
    use crate::backup::take;

    #[test]
    fn files_with_holes_take_up_what_they_have() {
        let place = tempfile::tempdir().expect("a folder");
        let data_dir = place.path().join("host");
        let data = data_dir.join("instances/a/data");
        fs::create_dir_all(&data).expect("folders");
        let size = 1 << 40;
        // Its name does not fit the header, which puts another entry in between.
        let long = "h".repeat(180);
        for name in ["huge", &long] {
            let file = File::create(data.join(name)).expect("a file");
            file.set_len(size).expect("a size");
            file.write_all_at(b"end", size - 3).expect("written");
        }
        fs::write(data.join("plain"), "plain").expect("a file");
        let mut archive = Vec::new();
        take(&data_dir, (0, b""), &["a".to_owned()], &mut archive).expect("taken");
        assert!(archive.len() < 100_000, "{} bytes", archive.len());
        let file = place.path().join("backup.tar");
        fs::write(&file, archive).expect("a file");
        let back = place.path().join("back");
        unpack(&file, &back).expect("a whole backup");
        for name in ["huge", &long] {
            let file = File::open(back.join("instances/a/data").join(name)).expect("a file");
            let about = file.metadata().expect("a file");
            assert_eq!(about.len(), size);
            assert!(about.blocks() < 100, "{} blocks", about.blocks());
            let mut end = [0; 3];
            file.read_exact_at(&mut end, size - 3).expect("read");
            assert_eq!(&end, b"end");
        }
        assert_eq!(
            fs::read(back.join("instances/a/data/plain")).expect("a file"),
            b"plain"
        );
    }

    #[test]
    fn links_come_back_with_the_text_that_they_had() {
        let place = tempfile::tempdir().expect("a folder");
        let data_dir = place.path().join("host");
        let data = data_dir.join("instances/a/data");
        fs::create_dir_all(&data).expect("folders");
        let long = format!("{}/./b", "a".repeat(150));
        let texts = ["a/./b//c/", "/", "..", "./x", &long];
        for (number, text) in texts.iter().enumerate() {
            symlink(text, data.join(number.to_string())).expect("a link");
        }
        let mut archive = Vec::new();
        take(&data_dir, (0, b""), &["a".to_owned()], &mut archive).expect("taken");
        let file = place.path().join("backup.tar");
        fs::write(&file, archive).expect("a file");
        let back = place.path().join("back");
        unpack(&file, &back).expect("a whole backup");
        for (number, text) in texts.iter().enumerate() {
            let path = back.join("instances/a/data").join(number.to_string());
            let found = fs::read_link(path).expect("a link");
            // Equal as paths; the short ones to the letter.
            assert_eq!(found, Path::new(text));
            assert!(text.len() > 100 || found.as_os_str() == *text);
        }
    }
}
