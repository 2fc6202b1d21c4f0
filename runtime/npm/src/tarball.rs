//! A streaming walk of a package archive under limits: nothing is believed, nothing is kept in memory.
//!
//! An archive is refused for what is in it before a byte of the offending entry is handed on: links, devices,
//! paths that leave the package, names told twice, more bytes than allowed. A compression bomb stops at the
//! limit, not after it.

use std::collections::HashSet;
use std::io::{self, Read};

use flate2::read::GzDecoder;
use tar::{Archive, EntryType, PaxExtensions};
use thiserror::Error;

/// Bytes of headers and padding that come with each entry: a header block, up to one block of padding, and as
/// much again for an extended header.
const OVERHEAD_PER_ENTRY: u64 = 4 * 512;
/// Longest extended header that is read. Real ones hold one path.
const MAX_EXTENDED_HEADER: u64 = 64 * 1024;

/// How much an archive may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of all files together.
    pub unpacked: u64,
    /// Files.
    pub files: u64,
    /// Folders in a path, the file itself included.
    pub depth: usize,
    /// Bytes of one path, without the archive's own first folder.
    pub path: usize,
    /// Whether a path may be told twice. Some packers write a file twice, the same bytes under two spellings; npm
    /// keeps the last one. Whoever allows it looks at what comes the second time.
    pub repeats: bool,
}

impl Default for Limits {
    /// Room for the largest packages in use: a whole Node.js with its headers is 190 MB in 5,700 files.
    fn default() -> Self {
        Self {
            unpacked: 512 << 20,
            files: 50_000,
            depth: 64,
            path: 1024,
            repeats: false,
        }
    }
}

impl Limits {
    /// Exactly this much and no more, for an archive whose contents are known.
    #[must_use]
    pub fn exactly(unpacked: u64, files: u64) -> Self {
        Self {
            unpacked,
            files,
            ..Self::default()
        }
    }
}

/// One file of an archive. Folders are not told: they follow from the paths.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry<'a> {
    /// Relative path without the archive's own first folder: never absolute, never with `..`, `.` or an empty
    /// part.
    pub path: &'a str,
    /// Bytes.
    pub size: u64,
    /// Whether its owner may execute it.
    pub executable: bool,
}

/// What an archive held.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Bytes of all files together.
    pub unpacked: u64,
    /// Files.
    pub files: u64,
}

/// Why an archive was refused.
#[derive(Debug, Error)]
pub enum TarballError {
    /// It is damaged, or not a gzip-compressed tar archive at all.
    #[error("it is damaged or not a package archive")]
    Damaged(#[source] io::Error),
    /// It ends in the middle.
    #[error("it ends in the middle")]
    Truncated,
    /// A path is absolute, leaves the package, or cannot be a path.
    #[error("it holds the path `{path}`, which {reason}")]
    BadPath {
        /// The path as written.
        path: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// It holds something that is neither a file nor a folder.
    #[error("it holds {kind} at `{path}`; packages may hold files and folders only")]
    BadKind {
        /// The path as written.
        path: String,
        /// What it is.
        kind: &'static str,
    },
    /// It holds more than it may.
    #[error("it unpacks to more than the {limit} {what} that are allowed")]
    TooMuch {
        /// Of what.
        what: &'static str,
        /// How many were allowed.
        limit: u64,
    },
    /// The taker of a file failed, for instance because the disk is full.
    #[error("cannot unpack `{path}`")]
    Sink {
        /// The file.
        path: String,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// Walks a gzip-compressed package archive and hands each file to `sink`. What the sink leaves unread is
/// skipped.
///
/// # Errors
/// When the archive is damaged or refused, or the sink fails; the files before that were handed on.
pub fn walk(
    packed: impl Read,
    limits: &Limits,
    mut sink: impl FnMut(Entry<'_>, &mut dyn Read) -> io::Result<()>,
) -> Result<Totals, TarballError> {
    // The whole stream, headers included, is bounded, so that neither folders nor extended headers can be a bomb.
    let stream_limit = limits
        .unpacked
        .saturating_add((limits.files.saturating_mul(2) + 1024).saturating_mul(OVERHEAD_PER_ENTRY));
    let mut archive = Archive::new(Bounded {
        inner: GzDecoder::new(packed),
        left: stream_limit,
    });
    let mut totals = Totals::default();
    let mut seen = HashSet::new();
    let mut told = Told::default();
    // Raw entries: the ready-made reading of extended headers keeps them in memory whatever their size.
    for entry in archive
        .entries()
        .map_err(|error| broken(error, limits))?
        .raw(true)
    {
        let mut entry = entry.map_err(|error| broken(error, limits))?;
        let kind = entry.header().entry_type();
        match kind {
            EntryType::GNULongName | EntryType::XHeader => {
                let mut text = Vec::new();
                let size = entry.size();
                if size > MAX_EXTENDED_HEADER {
                    return Err(TarballError::TooMuch {
                        what: "bytes of extended header",
                        limit: MAX_EXTENDED_HEADER,
                    });
                }
                entry
                    .read_to_end(&mut text)
                    .map_err(|error| broken(error, limits))?;
                if kind == EntryType::XHeader {
                    told.read_pax(&text)?;
                } else {
                    let end = text.iter().position(|byte| *byte == 0).unwrap_or(text.len());
                    told.path = Some(utf8(&text[..end])?.to_owned());
                }
                continue;
            }
            // Comments that `git archive` writes; nothing in them concerns a single file.
            EntryType::XGlobalHeader => continue,
            _ => {}
        }
        let header_path = entry.path_bytes();
        let told = std::mem::take(&mut told);
        if told.size.is_some_and(|size| size != entry.size()) {
            return Err(TarballError::Damaged(io::Error::other(
                "two sizes are told for one file",
            )));
        }
        let raw = match told.path {
            Some(path) => path,
            None => utf8(&header_path)?.to_owned(),
        };
        drop(header_path);
        let path = inner_path(&raw, limits)?;
        let kind = match kind {
            EntryType::Regular | EntryType::Continuous => None,
            EntryType::Directory => continue,
            EntryType::Symlink => Some("a symbolic link"),
            EntryType::Link => Some("a hard link"),
            EntryType::Char | EntryType::Block => Some("a device"),
            EntryType::Fifo => Some("a named pipe"),
            _ => Some("an unknown kind of entry"),
        };
        if let Some(kind) = kind {
            return Err(TarballError::BadKind { path: raw, kind });
        }
        let Some(path) = path else {
            return Err(bad_path(&raw, "is the package's own folder"));
        };
        // Old archivers mark a folder by a slash at the end of a file's name.
        if raw.ends_with('/') {
            continue;
        }
        let size = entry.size();
        totals.files += 1;
        totals.unpacked = totals.unpacked.saturating_add(size);
        if totals.files > limits.files {
            return Err(TarballError::TooMuch {
                what: "files",
                limit: limits.files,
            });
        }
        if totals.unpacked > limits.unpacked {
            return Err(TarballError::TooMuch {
                what: "bytes",
                limit: limits.unpacked,
            });
        }
        if !seen.insert(path.clone()) && !limits.repeats {
            return Err(bad_path(&raw, "is there twice"));
        }
        let executable = entry.header().mode().is_ok_and(|mode| mode & 0o100 != 0);
        let mut failed = None;
        let given = Entry {
            path: &path,
            size,
            executable,
        };
        let mut body = Watched {
            inner: &mut entry,
            left: size,
            failed: &mut failed,
        };
        let taken = sink(given, &mut body);
        let left = body.left;
        if let Some(error) = failed {
            return Err(broken(error, limits));
        }
        taken.map_err(|source| TarballError::Sink {
            path: path.clone(),
            source,
        })?;
        // The tar reader takes an early end of the stream for the end of the entry.
        if left > 0 {
            let skipped = io::copy(&mut entry, &mut io::sink()).map_err(|error| broken(error, limits))?;
            if skipped < left {
                return Err(TarballError::Truncated);
            }
        }
    }
    if totals.files == 0 {
        return Err(TarballError::Damaged(io::Error::other("it holds no file")));
    }
    // To the end, so that the compressed stream's own checksum is compared.
    let mut rest = archive.into_inner();
    io::copy(&mut rest, &mut io::sink()).map_err(|error| broken(error, limits))?;
    Ok(totals)
}

/// Turns a read error into the refusal it stands for.
fn broken(error: io::Error, limits: &Limits) -> TarballError {
    if error.get_ref().is_some_and(|inner| inner.is::<OverLimit>()) {
        return TarballError::TooMuch {
            what: "bytes",
            limit: limits.unpacked,
        };
    }
    match error.kind() {
        io::ErrorKind::UnexpectedEof => TarballError::Truncated,
        _ => TarballError::Damaged(error),
    }
}

fn utf8(bytes: &[u8]) -> Result<&str, TarballError> {
    std::str::from_utf8(bytes)
        .map_err(|_| bad_path(&String::from_utf8_lossy(bytes), "is not written in UTF-8"))
}

fn bad_path(path: &str, reason: &'static str) -> TarballError {
    TarballError::BadPath {
        path: path.chars().take(200).collect(),
        reason,
    }
}

/// What extended headers say of the entry after them.
#[derive(Default)]
struct Told {
    path: Option<String>,
    size: Option<u64>,
}

impl Told {
    /// Old archivers repeat the size here. Archivers that write another one mean a file beyond 8 GB, or mischief.
    fn read_pax(&mut self, text: &[u8]) -> Result<(), TarballError> {
        for extension in PaxExtensions::new(text) {
            let extension = extension.map_err(TarballError::Damaged)?;
            match extension.key_bytes() {
                b"path" => self.path = Some(utf8(extension.value_bytes())?.to_owned()),
                b"size" => {
                    let size = extension.value().ok().and_then(|size| size.parse().ok());
                    self.size = Some(size.unwrap_or(u64::MAX));
                }
                _ => {}
            }
        }
        Ok(())
    }
}

/// Checks a path and takes the archive's own first folder off; none when nothing is left.
fn inner_path(raw: &str, limits: &Limits) -> Result<Option<String>, TarballError> {
    let bad = |reason| Err(bad_path(raw, reason));
    if raw.starts_with('/') {
        return bad("is absolute");
    }
    if raw.contains('\0') {
        return bad("holds a zero byte");
    }
    let mut parts = Vec::new();
    for part in raw.split('/') {
        match part {
            "" | "." => {}
            ".." => return bad("leaves the package"),
            part if part.len() > 255 => return bad("has a part longer than 255 bytes"),
            part => parts.push(part),
        }
    }
    if parts.len() > limits.depth + 1 {
        return bad("is too deep");
    }
    let Some((_, rest)) = parts.split_first() else {
        return Ok(None);
    };
    if rest.is_empty() {
        return Ok(None);
    }
    let path = rest.join("/");
    if path.len() > limits.path {
        return bad("is too long");
    }
    Ok(Some(path))
}

/// Stops the stream at a limit.
struct Bounded<R> {
    inner: R,
    left: u64,
}

#[derive(Debug, Error)]
#[error("more than the limit")]
struct OverLimit;

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.left = self
            .left
            .checked_sub(count as u64)
            .ok_or_else(|| io::Error::other(OverLimit))?;
        Ok(count)
    }
}

/// Tells a failure of the archive from one of whoever takes the bytes, and an early end from a real one.
struct Watched<'a, R> {
    inner: &'a mut R,
    left: u64,
    failed: &'a mut Option<io::Error>,
}

impl<R: Read> Read for Watched<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let outcome = match self.inner.read(buffer) {
            Ok(0) if self.left > 0 && !buffer.is_empty() => Err(io::ErrorKind::UnexpectedEof.into()),
            other => other,
        };
        match outcome {
            Ok(count) => {
                self.left = self.left.saturating_sub(count as u64);
                Ok(count)
            }
            Err(error) => {
                let kind = error.kind();
                *self.failed = Some(error);
                Err(kind.into())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::GzEncoder;
    use tar::{Builder, Header};

    use super::*;

    /// An archive of entries (path, kind, contents), put together without the library's own checks.
    fn pack(entries: &[(&str, EntryType, &[u8])]) -> Vec<u8> {
        let mut builder = Builder::new(Vec::new());
        for (path, kind, contents) in entries {
            let mut header = Header::new_ustar();
            header.as_old_mut().name[..path.len()].copy_from_slice(path.as_bytes());
            header.set_entry_type(*kind);
            header.set_size(contents.len() as u64);
            header.set_mode(0o755);
            header.set_cksum();
            builder.append(&header, *contents).unwrap();
        }
        gzip(&builder.into_inner().unwrap())
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
        gzip.write_all(bytes).unwrap();
        gzip.finish().unwrap()
    }

    /// What a walk hands on.
    fn files(packed: &[u8], limits: &Limits) -> Result<Vec<(String, Vec<u8>)>, TarballError> {
        let mut files = Vec::new();
        walk(packed, limits, |entry, body| {
            let mut bytes = Vec::new();
            body.read_to_end(&mut bytes)?;
            files.push((entry.path.to_owned(), bytes));
            Ok(())
        })?;
        Ok(files)
    }

    fn refusal(entries: &[(&str, EntryType, &[u8])], limits: &Limits) -> String {
        files(&pack(entries), limits).unwrap_err().to_string()
    }

    const FILE: EntryType = EntryType::Regular;

    #[test]
    fn the_first_folder_is_taken_off_whatever_its_name() {
        let packed = pack(&[
            ("package/", EntryType::Directory, b""),
            ("package/a.js", FILE, b"a"),
            ("other/./b//c.js", FILE, b"c"),
            ("package/empty", FILE, b""),
        ]);
        let expected = [("a.js", &b"a"[..]), ("b/c.js", b"c"), ("empty", b"")];
        let expected = expected.map(|(path, bytes)| (path.to_owned(), bytes.to_vec()));
        assert_eq!(files(&packed, &Limits::default()).unwrap(), expected);
        let totals = walk(&packed[..], &Limits::default(), |_, _| Ok(())).unwrap();
        assert_eq!((totals.files, totals.unpacked), (3, 2));
    }

    #[test]
    fn long_paths_are_read_from_extended_headers() {
        let long = format!("package/{}/x", "d".repeat(200));
        let record = format!("path={long}\n");
        let length = record.len() + 4;
        let pax = format!("{length} {record}");
        let gnu = format!("{long}\0");
        for (kind, text) in [(EntryType::XHeader, &pax), (EntryType::GNULongName, &gnu)] {
            let packed = pack(&[
                ("h", kind, text.as_bytes()),
                ("package/short", FILE, b"x"),
                ("p/y", FILE, b""),
            ]);
            let paths: Vec<_> = files(&packed, &Limits::default()).unwrap();
            assert_eq!(paths[0].0, long.strip_prefix("package/").unwrap());
            assert_eq!(paths[1].0, "y");
        }
        // Extended headers are no way around the checks.
        let evil = "p/../../x\0";
        let said = refusal(
            &[("h", EntryType::GNULongName, evil.as_bytes()), ("p/x", FILE, b"")],
            &Limits::default(),
        );
        assert!(said.contains("leaves the package"), "{said}");
        let sizes = "12 size=999\n";
        let said = refusal(
            &[("h", EntryType::XHeader, sizes.as_bytes()), ("p/x", FILE, b"x")],
            &Limits::default(),
        );
        assert!(said.contains("damaged"), "{said}");
        let huge = vec![b'x'; 100_000];
        let said = refusal(
            &[("h", EntryType::GNULongName, &huge), ("p/x", FILE, b"")],
            &Limits::default(),
        );
        assert!(said.contains("extended header"), "{said}");
    }

    #[test]
    fn what_is_no_plain_file_below_the_package_is_refused() {
        for (path, kind, part) in [
            ("/package/x", FILE, "is absolute"),
            ("package/../x", FILE, "leaves the package"),
            ("..", FILE, "leaves the package"),
            ("package", FILE, "the package's own folder"),
            ("package/l", EntryType::Symlink, "a symbolic link"),
            ("package/l", EntryType::Link, "a hard link"),
            ("package/d", EntryType::Char, "a device"),
            ("package/d", EntryType::Block, "a device"),
            ("package/f", EntryType::Fifo, "a named pipe"),
            ("package/s", EntryType::GNUSparse, "unknown kind"),
        ] {
            let said = refusal(
                &[("package/ok", FILE, b""), (path, kind, b"")],
                &Limits::default(),
            );
            assert!(said.contains(part), "{path}: {said}");
        }
        let twice = refusal(&[("p/x", FILE, b"1"), ("q/x", FILE, b"2")], &Limits::default());
        assert!(twice.contains("is there twice"), "{twice}");
        let repeats = Limits {
            repeats: true,
            ..Limits::default()
        };
        let packed = pack(&[("p/./x", FILE, b"1"), ("p/x", FILE, b"1")]);
        assert_eq!(files(&packed, &repeats).unwrap().len(), 2);
        let latin = pack(&[("p/ok", FILE, b"")]);
        assert!(files(&latin, &Limits::default()).is_ok());
    }

    #[test]
    fn limits_hold() {
        let ten = [0u8; 10];
        let entries: &[(&str, EntryType, &[u8])] = &[("p/a/b/c", FILE, &ten), ("p/d", FILE, &ten)];
        assert!(files(&pack(entries), &Limits::exactly(20, 2)).is_ok());
        for (limits, part) in [
            (Limits::exactly(19, 2), "19 bytes"),
            (Limits::exactly(20, 1), "1 files"),
            (
                Limits {
                    depth: 2,
                    ..Limits::default()
                },
                "too deep",
            ),
            (
                Limits {
                    path: 3,
                    ..Limits::default()
                },
                "too long",
            ),
        ] {
            let said = refusal(entries, &limits);
            assert!(said.contains(part), "{said}");
        }
        // A bomb of folders has no files that could be counted.
        let mut folders = Vec::new();
        for _ in 0..20_000 {
            folders.push(("p/", EntryType::Directory, &b""[..]));
        }
        let said = refusal(&folders, &Limits::exactly(10, 1));
        assert!(said.contains("more than the 10 bytes"), "{said}");
    }

    #[test]
    fn damage_is_told_from_a_bad_end_and_from_a_bad_sink() {
        let whole = pack(&[("p/a", FILE, &[7; 5000]), ("p/b", FILE, &[8; 5000])]);
        for cut in [20, whole.len() / 2, whole.len() - 4] {
            let error = files(&whole[..cut], &Limits::default()).unwrap_err();
            assert!(matches!(error, TarballError::Truncated), "{cut}: {error:?}");
        }
        let mut flipped = whole.clone();
        let end = flipped.len() - 6;
        flipped[end] ^= 1;
        let error = files(&flipped, &Limits::default()).unwrap_err();
        assert!(matches!(error, TarballError::Damaged(_)), "{error:?}");
        assert!(matches!(
            files(b"not gzip at all", &Limits::default()),
            Err(TarballError::Damaged(_))
        ));
        let empty = files(&gzip(&[0; 1024]), &Limits::default());
        assert!(matches!(empty, Err(TarballError::Damaged(_))));
        let error = walk(&whole[..], &Limits::default(), |_, _| {
            Err(io::ErrorKind::StorageFull.into())
        });
        let Err(TarballError::Sink { path, source }) = error else {
            panic!("{error:?}");
        };
        assert_eq!((path.as_str(), source.kind()), ("a", io::ErrorKind::StorageFull));
        // A sink that does not look skips.
        let totals = walk(&whole[..], &Limits::default(), |_, _| Ok(())).unwrap();
        assert_eq!(totals.unpacked, 10_000);
    }
}
