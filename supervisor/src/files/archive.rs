//! A folder as one file: tar or zip, made while it is sent.
//!
//! Only files and folders whose names can be named are in it, and nothing is followed. A file that changes meanwhile
//! keeps the size that it had when its turn came.

use std::fs::File;
use std::io::{self, BufWriter, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use bytes::Bytes;
use futures_util::Stream;
use nix::dir::Dir;
use nix::fcntl::OFlag;
use nix::sys::stat::{FileStat, fstat};
use serde::Deserialize;
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, mpsc};
use tokio_stream::wrappers::ReceiverStream;
use utoipa::ToSchema;
use zip::write::{SimpleFileOptions, StreamWriter, ZipWriter};

use super::path::OWN;
use super::tree::{Kind, beneath, duplicate, kind, named, reopen, size};
use super::{FileError, FilePath, Tree};

/// Folders inside each other.
const DEEPEST: usize = 64;

/// Entries of a zip: its index is written last, so it is kept until then.
const ZIP_ENTRIES: usize = 100_000;

/// Bytes of all paths of a zip.
const ZIP_PATHS: usize = 16 << 20;

/// Bytes that are sent at once.
const CHUNK: usize = 64 * 1024;

/// Pieces that wait for a slow client.
const WAITING: usize = 4;

/// How long a client may take nothing.
const SILENCE: Duration = Duration::from_secs(60);

/// Archives that are made at once: each has a thread for as long as its client takes.
static PLACES: Semaphore = Semaphore::const_new(16);

/// Kinds of archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// A tape archive, without compression.
    Tar,
    /// A zip file.
    Zip,
}

/// The archive of a folder, while it is made; an error ends it before its end.
///
/// # Errors
/// That it is no folder, or that too many are made already.
pub fn stream(
    tree: &Tree,
    path: &FilePath,
    format: Format,
) -> Result<impl Stream<Item = io::Result<Bytes>> + Send + use<>, FileError> {
    let folder = tree.folder(path)?;
    let place = PLACES.try_acquire().map_err(|_| FileError::Archives)?;
    let (sender, receiver) = mpsc::channel(WAITING);
    let failed = sender.clone();
    let handle = Handle::current();
    let is_root = path.is_root();
    tokio::task::spawn_blocking(move || {
        let pipe = Pipe {
            sender,
            handle: handle.clone(),
        };
        let out = BufWriter::with_capacity(CHUNK, pipe);
        if let Err(error) = write(folder, is_root, format, out) {
            // So that the client sees a broken transfer and not a short archive. It may be gone itself.
            let told = tokio::time::timeout(SILENCE, failed.send(Err(error)));
            let _ = handle.block_on(told);
        }
        drop(place);
    });
    Ok(ReceiverStream::new(receiver))
}

/// Writes the archive of a folder.
pub(super) fn write(folder: OwnedFd, is_root: bool, format: Format, out: impl Write) -> io::Result<()> {
    match format {
        Format::Tar => {
            let mut tar = Tar(tar::Builder::new(out));
            walk(folder, is_root, &mut tar)?;
            tar.0.into_inner()?.flush()
        }
        Format::Zip => {
            let mut zip = Zip {
                writer: ZipWriter::new_stream(out),
                entries: 0,
                paths: 0,
            };
            walk(folder, is_root, &mut zip)?;
            zip.writer.finish()?.into_inner().flush()
        }
    }
}

/// Where entries go.
trait Archive {
    fn folder(&mut self, path: &str, stat: &FileStat) -> io::Result<()>;
    fn file(&mut self, path: &str, stat: &FileStat, file: File) -> io::Result<()>;
}

/// One folder that is being gone through.
struct Level {
    folder: OwnedFd,
    entries: nix::dir::OwningIter,
    /// Length of the path before its entries.
    prefix: usize,
}

fn walk(folder: OwnedFd, is_root: bool, archive: &mut impl Archive) -> io::Result<()> {
    let level = |folder: OwnedFd, prefix| -> io::Result<Level> {
        let entries = Dir::from_fd(duplicate(&folder)?)?.into_iter();
        Ok(Level {
            folder,
            entries,
            prefix,
        })
    };
    let mut path = String::new();
    let mut levels = vec![level(folder, 0)?];
    loop {
        let depth = levels.len();
        let Some(now) = levels.last_mut() else {
            return Ok(());
        };
        path.truncate(now.prefix);
        let Some(found) = now.entries.next() else {
            levels.pop();
            continue;
        };
        let found = found?;
        let Some(name) = named(found.file_name().to_bytes()) else {
            continue;
        };
        if is_root && depth == 1 && name == OWN {
            continue;
        }
        let Ok(place) = beneath(now.folder.as_fd(), name, OFlag::O_PATH) else {
            continue;
        };
        let stat = fstat(&place)?;
        path.push_str(name);
        match kind(&stat) {
            Kind::Other => {}
            Kind::File => archive.file(&path, &stat, reopen(&place, false)?)?,
            Kind::Folder if depth >= DEEPEST => {
                return Err(io::Error::other("folders lie more than 64 deep in each other"));
            }
            Kind::Folder => {
                path.push('/');
                archive.folder(&path, &stat)?;
                // The folder that was looked at, whatever has its name by now.
                let next = level(duplicate(&place)?, path.len())?;
                levels.push(next);
            }
        }
    }
}

/// Exactly as many bytes as were announced: cut off, or filled up with zeros.
struct Exact {
    file: File,
    left: u64,
}

impl Read for Exact {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        if most == 0 {
            return Ok(0);
        }
        let mut count = self.file.read(&mut buffer[..most])?;
        if count == 0 {
            buffer[..most].fill(0);
            count = most;
        }
        self.left -= count as u64;
        Ok(count)
    }
}

struct Tar<W: Write>(tar::Builder<W>);

impl<W: Write> Tar<W> {
    fn add(&mut self, path: &str, stat: &FileStat, kind: tar::EntryType, data: Exact) -> io::Result<()> {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(kind);
        header.set_size(data.left);
        header.set_mode(if kind == tar::EntryType::Directory {
            0o755
        } else {
            0o644
        });
        header.set_mtime(u64::try_from(stat.st_mtime).unwrap_or(0));
        self.0.append_data(&mut header, path, data)
    }
}

impl<W: Write> Archive for Tar<W> {
    fn folder(&mut self, path: &str, stat: &FileStat) -> io::Result<()> {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(tar::EntryType::Directory);
        header.set_size(0);
        header.set_mode(0o755);
        header.set_mtime(u64::try_from(stat.st_mtime).unwrap_or(0));
        self.0.append_data(&mut header, path, io::empty())
    }

    fn file(&mut self, path: &str, stat: &FileStat, file: File) -> io::Result<()> {
        let left = size(stat);
        self.add(path, stat, tar::EntryType::Regular, Exact { file, left })
    }
}

struct Zip<W: Write> {
    writer: ZipWriter<StreamWriter<W>>,
    entries: usize,
    paths: usize,
}

impl<W: Write> Zip<W> {
    fn count(&mut self, path: &str) -> io::Result<()> {
        self.entries += 1;
        self.paths += path.len();
        if self.entries > ZIP_ENTRIES || self.paths > ZIP_PATHS {
            return Err(io::Error::other("too many entries for a zip: take tar"));
        }
        Ok(())
    }
}

impl<W: Write> Archive for Zip<W> {
    fn folder(&mut self, path: &str, stat: &FileStat) -> io::Result<()> {
        self.count(path)?;
        Ok(self.writer.add_directory(path, options(stat))?)
    }

    fn file(&mut self, path: &str, stat: &FileStat, file: File) -> io::Result<()> {
        self.count(path)?;
        let left = size(stat);
        self.writer
            .start_file(path, options(stat).large_file(left >= u64::from(u32::MAX)))?;
        io::copy(&mut Exact { file, left }, &mut self.writer)?;
        Ok(())
    }
}

fn options(stat: &FileStat) -> SimpleFileOptions {
    let options = SimpleFileOptions::default().compression_method(zip::CompressionMethod::Deflated);
    let modified = jiff::Timestamp::from_second(stat.st_mtime)
        .map(|time| time.to_zoned(jiff::tz::TimeZone::UTC).datetime());
    // A zip knows the years from 1980 to 2107.
    let modified = modified.ok().and_then(|time| {
        let part = |number: i8| u8::try_from(number).unwrap_or(0);
        zip::DateTime::from_date_and_time(
            u16::try_from(time.year()).ok()?,
            part(time.month()),
            part(time.day()),
            part(time.hour()),
            part(time.minute()),
            part(time.second()),
        )
        .ok()
    });
    options.last_modified_time(modified.unwrap_or_default())
}

/// Hands bytes from a blocking thread to the client, as fast as the client takes them.
struct Pipe {
    sender: mpsc::Sender<io::Result<Bytes>>,
    handle: Handle,
}

impl Write for Pipe {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = bytes.len().min(CHUNK);
        let piece = Bytes::copy_from_slice(&bytes[..count]);
        let sent = tokio::time::timeout(SILENCE, self.sender.send(Ok(piece)));
        match self.handle.block_on(sent) {
            Ok(Ok(())) => Ok(count),
            _ => Err(io::ErrorKind::BrokenPipe.into()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Cursor;
    use std::os::unix::fs::symlink;
    use std::path::Path;

    use nix::sys::stat::Mode;
    use nix::unistd::mkfifo;

    use super::super::tests::{path, put, storage};
    use super::*;

    #[test]
    fn a_file_that_shrinks_keeps_its_announced_size() {
        let folder = tempfile::tempdir().expect("a folder");
        fs::write(folder.path().join("a"), "12345").expect("a file");
        for (left, text) in [(3, "123"), (5, "12345"), (8, "12345\0\0\0")] {
            let file = File::open(folder.path().join("a")).expect("a file");
            let mut read = String::new();
            Exact { file, left }.read_to_string(&mut read).expect("text");
            assert_eq!(read, text);
        }
    }

    fn archived(folder: &Path, format: Format) -> Vec<u8> {
        let mut bytes = Vec::new();
        let folder = File::open(folder).expect("a folder");
        write(folder.into(), true, format, &mut bytes).expect("an archive");
        bytes
    }

    #[test]
    fn archives_hold_files_and_folders_and_nothing_else() {
        let (folder, tree) = storage();
        let files = folder.path().join("files");
        let long = "n".repeat(200);
        tree.make_folder(&path("a/empty")).expect("made");
        put(&tree, "a/\u{e9}.txt", b"text").expect("in place");
        put(&tree, &format!("a/{long}"), &[7; 100_000]).expect("in place");
        symlink("../outside", files.join("out")).expect("a link");
        symlink("/etc/passwd", files.join("a/passwd")).expect("a link");
        mkfifo(&files.join("pipe"), Mode::S_IRWXU).expect("a pipe");
        File::create(files.join("bad\nname")).expect("a file");
        tree.upload(&path("half"), None).expect("begun");

        let bytes = archived(&files, Format::Tar);
        let mut tar = tar::Archive::new(Cursor::new(&bytes));
        let mut found: Vec<(String, u64)> = tar
            .entries()
            .expect("entries")
            .map(|entry| {
                let entry = entry.expect("an entry");
                let path = entry.path().expect("a path").to_string_lossy().into_owned();
                (path.trim_end_matches('/').to_owned(), entry.size())
            })
            .collect();
        found.sort();
        let expected = vec![
            ("a".to_owned(), 0),
            ("a/empty".to_owned(), 0),
            (format!("a/{long}"), 100_000),
            ("a/\u{e9}.txt".to_owned(), 4),
        ];
        assert_eq!(found, expected);

        let bytes = archived(&files, Format::Zip);
        let mut zip = zip::ZipArchive::new(Cursor::new(&bytes)).expect("a zip");
        let mut found: Vec<(String, u64)> = (0..zip.len())
            .map(|number| {
                let entry = zip.by_index(number).expect("an entry");
                (entry.name().trim_end_matches('/').to_owned(), entry.size())
            })
            .collect();
        found.sort();
        assert_eq!(found, expected);
        let mut text = String::new();
        zip.by_name("a/\u{e9}.txt")
            .expect("an entry")
            .read_to_string(&mut text)
            .expect("text");
        assert_eq!(text, "text");

        let mut deep = files.join("deep");
        for _ in 0..100 {
            deep.push("d");
        }
        fs::create_dir_all(deep).expect("folders");
        let root = File::open(&files).expect("a folder");
        assert!(write(root.into(), true, Format::Tar, Vec::new()).is_err());
    }
}
