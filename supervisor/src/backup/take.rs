//! Taking a backup, as a stream.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use tar::{Builder, EntryType, Header};
use tracing::warn;

use super::walk::{Found, Kind, walk};
use super::{FORMAT, MANIFEST, Manifest, STORE, sparse};
use crate::instances::place::Place;
use crate::{clock, ids};

/// Writes a backup of the host in `data_dir` to `to`. `store` is the store's export, after change `sequence`;
/// `instances` are the identifiers of all that are in it.
///
/// # Errors
/// The kernel's: on reading, or because nobody takes any more.
pub fn take(
    data_dir: &Path,
    (sequence, store): (u64, &[u8]),
    instances: &[String],
    to: &mut dyn Write,
) -> io::Result<()> {
    let mut archive = Archive {
        builder: Builder::new(to),
        entries: 0,
        digest: Sha256::new(),
    };
    archive.bytes(STORE, store)?;
    let keys = data_dir.join("keys");
    walk(&keys, &mut |found| archive.found(Path::new("keys"), found))?;
    for id in instances {
        // Under their usual names, wherever they lie here.
        let there = Place::of(data_dir, id);
        for (part, folder) in [("data", there.data()), ("files", there.files())] {
            let place = Path::new("instances").join(id).join(part);
            walk(&folder, &mut |found| archive.found(&place, found))?;
        }
    }
    let Archive {
        mut builder,
        entries,
        digest,
    } = archive;
    let manifest = Manifest {
        format: FORMAT,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        created_ms: clock::now_ms(),
        sequence,
        entries,
        digest: ids::hexadecimal(&digest.finalize()),
    };
    let text = serde_json::to_vec_pretty(&manifest)?;
    builder.append_data(
        &mut header(EntryType::Regular, text.len() as u64, 0o600),
        MANIFEST,
        &text[..],
    )?;
    builder.into_inner()?.flush()
}

struct Archive<'a> {
    builder: Builder<&'a mut dyn Write>,
    entries: u64,
    digest: Sha256,
}

impl Archive<'_> {
    fn bytes(&mut self, name: &str, bytes: &[u8]) -> io::Result<()> {
        self.noted(Path::new(name), bytes);
        let mut header = header(EntryType::Regular, bytes.len() as u64, 0o600);
        self.builder.append_data(&mut header, name, bytes)
    }

    fn noted(&mut self, path: &Path, content: &[u8]) {
        self.entries += 1;
        self.digest.update(path.as_os_str().as_bytes());
        self.digest.update([0]);
        self.digest.update(content);
    }

    fn found(&mut self, place: &Path, found: Found) -> io::Result<()> {
        let path: PathBuf = place.join(&found.path);
        let about = &found.about;
        let size = u64::try_from(about.st_size).unwrap_or(0);
        let (kind, size) = match &found.kind {
            Kind::Folder => (EntryType::Directory, 0),
            Kind::File(_) => (EntryType::Regular, size),
            Kind::Link(_) => (EntryType::Symlink, 0),
        };
        let mut header = header(kind, size, about.st_mode & 0o7777);
        header.set_uid(about.st_uid.into());
        header.set_gid(about.st_gid.into());
        header.set_mtime(u64::try_from(about.st_mtime).unwrap_or(0));
        match found.kind {
            Kind::Folder => {
                self.noted(&path, b"");
                self.builder.append_data(&mut header, &path, io::empty())
            }
            Kind::Link(text) => {
                let bytes = text.as_os_str().as_bytes();
                // `append_link` writes `a/./b` as `a/b`, which is another text than the one that is accounted for.
                if header.set_link_name_literal(bytes).is_ok() {
                    self.noted(&path, bytes);
                    return self.builder.append_data(&mut header, &path, io::empty());
                }
                let text: PathBuf = text.components().collect();
                self.noted(&path, text.as_os_str().as_bytes());
                self.builder.append_link(&mut header, &path, &text)
            }
            Kind::File(file) => {
                // Blocks of 512 bytes, whatever those of the file system are.
                let has_holes = u64::try_from(about.st_blocks).unwrap_or(0) * 512 < size;
                let parts = match has_holes.then(|| sparse::parts(&file, size)).transpose() {
                    Err(error) if error.kind() == io::ErrorKind::FileTooLarge => {
                        // One instance must not keep all others out of the backup.
                        warn!(%error, "left out of the backup: {}", path.display());
                        return Ok(());
                    }
                    parts => parts?.flatten(),
                };
                self.noted(&path, b"");
                if let Some(parts) = parts {
                    return self.sparse(header, &path, (&file, size, &parts));
                }
                let content = Exactly {
                    from: file,
                    left: size,
                    digest: &mut self.digest,
                };
                self.builder.append_data(&mut header, &path, content)
            }
        }
    }
}

impl Archive<'_> {
    fn sparse(
        &mut self,
        mut header: Header,
        path: &Path,
        (file, size, parts): (&File, u64, &[sparse::Part]),
    ) -> io::Result<()> {
        let records = sparse::records(path.as_os_str().as_bytes(), size);
        let records = records.iter().map(|(key, value)| (*key, value.as_slice()));
        self.builder.append_pax_extensions(records)?;
        let map = sparse::map(parts);
        let left = map.len() as u64 + sparse::stored(parts);
        header.set_size(left);
        let content = Exactly {
            from: map.chain(sparse::Parts::of(file, parts)),
            left,
            digest: &mut self.digest,
        };
        self.builder.append_data(&mut header, path, content)
    }
}

/// As many bytes as the header says: a file that grows is cut, one that shrinks is filled with zeros.
struct Exactly<'a, R> {
    from: R,
    left: u64,
    digest: &'a mut Sha256,
}

impl<R: Read> Read for Exactly<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let room = buffer.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
        let buffer = &mut buffer[..room];
        let mut count = self.from.read(buffer)?;
        if count == 0 && room > 0 {
            buffer.fill(0);
            count = room;
        }
        self.left -= count as u64;
        self.digest.update(&buffer[..count]);
        Ok(count)
    }
}

fn header(kind: EntryType, size: u64, mode: u32) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_size(size);
    header.set_mode(mode);
    for set in [Header::set_uid, Header::set_gid, Header::set_mtime] {
        set(&mut header, 0);
    }
    header
}
