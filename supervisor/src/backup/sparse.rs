//! Files with holes: what is stored of a file is what takes up room on the disk, whatever size it claims to have.
//!
//! As GNU tar does it ("PAX Format, Version 1.0"): records in front of the entry say that it is one, and its content
//! begins with a map, numbers in decimal with a line each, filled up with zeros to a whole block of 512 bytes.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt;

use nix::errno::Errno;
use nix::unistd::{Whence, lseek};
use tar::Entry;

const BLOCK: usize = 512;

/// Parts of one file, 16 bytes of memory each. What has more is a file made to be a burden.
const MOST: usize = 1 << 22;

const MAJOR: &str = "GNU.sparse.major";
const SIZE: &str = "GNU.sparse.realsize";

/// A part of a file that is not a hole: offset and length.
pub(super) type Part = (u64, u64);

/// The parts of a file of this size that are no holes; `None` when it has none, or its file system cannot tell.
///
/// # Errors
/// The kernel's, and when it has too many.
pub(super) fn parts(file: &File, size: u64) -> io::Result<Option<Vec<Part>>> {
    let mut parts = Vec::new();
    let mut at = 0;
    while at < size {
        let begin = match next(file, at, Whence::SeekData) {
            Ok(begin) => begin,
            Err(Errno::ENXIO) => break,
            Err(Errno::EINVAL | Errno::EOPNOTSUPP) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        if begin >= size {
            break;
        }
        let end = match next(file, begin, Whence::SeekHole) {
            Ok(end) => end.min(size),
            // It was cut short meanwhile.
            Err(Errno::ENXIO) => size,
            Err(error) => return Err(error.into()),
        };
        parts.push((begin, end - begin));
        if parts.len() > MOST {
            return Err(io::Error::new(
                io::ErrorKind::FileTooLarge,
                format!("it has more than {MOST} holes"),
            ));
        }
        at = end.max(begin + 1);
    }
    Ok((parts != [(0, size)] && size > 0).then_some(parts))
}

fn next(file: &File, from: u64, whence: Whence) -> nix::Result<u64> {
    let from = i64::try_from(from).map_err(|_| Errno::EOVERFLOW)?;
    lseek(file, from, whence).map(|at| u64::try_from(at).unwrap_or(0))
}

/// The records in front of an entry.
pub(super) fn records(name: &[u8], size: u64) -> [(&'static str, Vec<u8>); 4] {
    [
        (MAJOR, b"1".to_vec()),
        ("GNU.sparse.minor", b"0".to_vec()),
        ("GNU.sparse.name", name.to_vec()),
        (SIZE, size.to_string().into_bytes()),
    ]
}

/// The map at the beginning of the content.
pub(super) fn map(parts: &[Part]) -> Vec<u8> {
    let mut text = format!("{}\n", parts.len());
    for (offset, length) in parts {
        text.push_str(&format!("{offset}\n{length}\n"));
    }
    let mut bytes = text.into_bytes();
    bytes.resize(bytes.len().next_multiple_of(BLOCK), 0);
    bytes
}

/// Bytes of all parts.
pub(super) fn stored(parts: &[Part]) -> u64 {
    parts.iter().map(|(_, length)| length).sum()
}

/// Reads the parts one after the other, as many bytes as the map says: what was cut off meanwhile is zeros.
pub(super) struct Parts<'a> {
    file: &'a File,
    parts: std::slice::Iter<'a, Part>,
    /// Where it is, and what is left of this part.
    now: Part,
}

impl<'a> Parts<'a> {
    pub(super) fn of(file: &'a File, parts: &'a [Part]) -> Self {
        Self {
            file,
            parts: parts.iter(),
            now: (0, 0),
        }
    }
}

impl Read for Parts<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.now.1 == 0 {
            let Some(part) = self.parts.next() else {
                return Ok(0);
            };
            self.now = *part;
        }
        let room = buffer
            .len()
            .min(usize::try_from(self.now.1).unwrap_or(usize::MAX));
        let buffer = &mut buffer[..room];
        let mut count = self.file.read_at(buffer, self.now.0)?;
        if count == 0 && room > 0 {
            buffer.fill(0);
            count = room;
        }
        self.now = (self.now.0 + count as u64, self.now.1 - count as u64);
        Ok(count)
    }
}

/// The size that an entry's file has with its holes; `None` when it has none.
///
/// # Errors
/// When the records make no sense.
pub(super) fn real_size<R: Read>(entry: &mut Entry<'_, R>) -> io::Result<Option<u64>> {
    let Some(records) = entry.pax_extensions()? else {
        return Ok(None);
    };
    let (mut is_sparse, mut size) = (false, None);
    for record in records {
        let record = record?;
        match (record.key(), record.value()) {
            (Ok(MAJOR), Ok("1")) => is_sparse = true,
            (Ok(SIZE), Ok(text)) => size = text.parse().ok(),
            _ => {}
        }
    }
    match (is_sparse, size) {
        (false, _) => Ok(None),
        (true, Some(size)) => Ok(Some(size)),
        (true, None) => Err(nonsense()),
    }
}

/// Writes the content of an entry into a new file of this size, holes left out.
///
/// # Errors
/// When the content does not fit its map; the disk's.
pub(super) fn unpack(mut content: impl Read, to: &mut File, size: u64) -> io::Result<()> {
    let mut end = 0;
    for (offset, length) in read_map(&mut content)? {
        let fits = offset >= end && offset.checked_add(length).is_some_and(|end| end <= size);
        if !fits {
            return Err(nonsense());
        }
        to.seek(SeekFrom::Start(offset))?;
        if io::copy(&mut content.by_ref().take(length), to)? != length {
            return Err(nonsense());
        }
        end = offset + length;
    }
    if content.read(&mut [0])? != 0 {
        return Err(nonsense());
    }
    to.set_len(size)
}

fn read_map(from: &mut impl Read) -> io::Result<Vec<Part>> {
    let mut block = [0; BLOCK];
    let mut numbers = Vec::new();
    let mut number: Option<u64> = None;
    let mut wanted = 1;
    while numbers.len() < wanted {
        from.read_exact(&mut block)?;
        for byte in block {
            match byte {
                b'0'..=b'9' => {
                    let digit = u64::from(byte - b'0');
                    let longer = number
                        .unwrap_or(0)
                        .checked_mul(10)
                        .and_then(|n| n.checked_add(digit));
                    number = Some(longer.ok_or_else(nonsense)?);
                }
                b'\n' => numbers.push(number.take().ok_or_else(nonsense)?),
                _ => return Err(nonsense()),
            }
            if numbers.len() == 1 && wanted == 1 {
                let parts = usize::try_from(numbers[0]).ok().filter(|parts| *parts <= MOST);
                wanted += 2 * parts.ok_or_else(nonsense)?;
            }
            // The rest of the block is filled up.
            if numbers.len() == wanted {
                break;
            }
        }
    }
    Ok(numbers[1..]
        .chunks_exact(2)
        .map(|part| (part[0], part[1]))
        .collect())
}

fn nonsense() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "a file with holes is damaged")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(parts: &[(u64, &[u8])], size: u64) -> File {
        let file = tempfile::tempfile().expect("a file");
        for (at, bytes) in parts {
            file.write_all_at(bytes, *at).expect("written");
        }
        file.set_len(size).expect("a size");
        file
    }

    fn there_and_back(file: &File, size: u64) -> File {
        let found = parts(file, size).expect("a map").expect("holes");
        let content = map(&found);
        assert_eq!(content.len() % BLOCK, 0);
        let mut back = tempfile::tempfile().expect("a file");
        unpack(content.chain(Parts::of(file, &found)), &mut back, size).expect("unpacked");
        assert_eq!(back.metadata().expect("a file").len(), size);
        assert_eq!(parts(&back, size).expect("a map"), Some(found));
        back
    }

    #[test]
    fn holes_come_back_as_holes() {
        let tib = 1 << 40;
        let block = [7; 4096];
        let file = with(&[(0, &block), (1 << 30, b"middle"), (tib - 4096, &block)], tib);
        let back = there_and_back(&file, tib);
        let mut read = [0; 6];
        back.read_exact_at(&mut read, 1 << 30).expect("read");
        assert_eq!(&read, b"middle");
        back.read_exact_at(&mut read, tib - 6).expect("read");
        assert_eq!(read, [7; 6]);
        // Nothing but a hole, one at the end, and more parts than a block of the map holds.
        there_and_back(&with(&[], 10 << 20), 10 << 20);
        there_and_back(&with(&[(0, &block)], 1 << 30), 1 << 30);
        let many: Vec<(u64, &[u8])> = (0..400).map(|number| (number << 20, &block[..])).collect();
        there_and_back(&with(&many, 400 << 20), 400 << 20);
        assert_eq!(parts(&with(&[(0, &block)], 4096), 4096).expect("a map"), None);
        assert_eq!(parts(&with(&[], 0), 0).expect("a map"), None);
    }

    #[test]
    fn a_map_that_makes_no_sense_is_refused() {
        let block = |text: &str| {
            let mut bytes = text.as_bytes().to_vec();
            bytes.resize(BLOCK, 0);
            bytes
        };
        for (text, size) in [
            ("", 10),
            ("x", 10),
            ("\n", 10),
            ("99999999999999999999999\n", 10),
            ("4194305\n", 10),
            ("1\n5\n", 10),
            ("1\n5\n6\n", 10),
            ("1\n18446744073709551615\n6\n", 10),
            ("2\n5\n1\n2\n1\n", 10),
            ("1\n0\n4\n", 10),
        ] {
            let mut to = tempfile::tempfile().expect("a file");
            unpack(&block(text)[..], &mut to, size).expect_err(text);
        }
    }
}
