//! The list of every file of a published folder, written beside them when they were unpacked.
//!
//! One line per file: SHA-256, mode, bytes, path. Text, because a person with `sha256sum` can check it too.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

use sha2::{Digest, Sha256};

use crate::store::error::StoreError;
use crate::store::layout;

/// One file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Line {
    /// Relative to the published folder.
    pub(crate) path: String,
    pub(crate) size: u64,
    pub(crate) executable: bool,
    pub(crate) sha256: String,
}

/// The mode of published files.
pub(crate) const fn mode(executable: bool) -> u32 {
    if executable { 0o755 } else { 0o644 }
}

/// Writes the list into a folder that is being made. Whoever publishes the folder syncs it.
pub(crate) fn write(dir: &Path, mut lines: Vec<Line>) -> Result<(), StoreError> {
    lines.sort();
    let mut text = String::new();
    for line in &lines {
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "{} {:o} {} {}",
            line.sha256,
            mode(line.executable),
            line.size,
            line.path
        );
    }
    let path = layout::manifest_file(dir);
    fs::write(&path, text).map_err(StoreError::io("write", &path))
}

/// Reads the list; none when it is missing or damaged.
pub(crate) fn read(dir: &Path) -> Option<Vec<Line>> {
    let text = fs::read_to_string(layout::manifest_file(dir)).ok()?;
    text.lines().map(parse).collect()
}

fn parse(line: &str) -> Option<Line> {
    let mut parts = line.splitn(4, ' ');
    let sha256 = parts.next().filter(|hash| hash.len() == 64)?.to_owned();
    let executable = match parts.next()? {
        "755" => true,
        "644" => false,
        _ => return None,
    };
    let size = parts.next()?.parse().ok()?;
    let path = parts.next().filter(|path| !path.is_empty())?.to_owned();
    Some(Line {
        path,
        size,
        executable,
        sha256,
    })
}

/// SHA-256 of a file, in hexadecimal.
pub(crate) fn hash(path: &Path) -> io::Result<String> {
    let mut file = File::open(path)?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 128 << 10];
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return Ok(hex(hash)),
            Ok(count) => hash.update(&buffer[..count]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// The finished hash in hexadecimal.
pub(crate) fn hex(hash: Sha256) -> String {
    hash.finalize().iter().fold(String::new(), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_come_back() {
        let dir = tempfile::tempdir().unwrap();
        let line = |path: &str, executable| Line {
            path: path.to_owned(),
            size: 12,
            executable,
            sha256: "0".repeat(64),
        };
        let lines = vec![line("b/with space", true), line("a", false)];
        write(dir.path(), lines.clone()).unwrap();
        let mut sorted = lines;
        sorted.sort();
        assert_eq!(read(dir.path()), Some(sorted));
        fs::write(layout::manifest_file(dir.path()), "nonsense\n").unwrap();
        assert_eq!(read(dir.path()), None);
    }
}
