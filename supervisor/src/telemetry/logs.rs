//! Pages of an instance's log: from a cursor on, the newest, or what matches.
//!
//! The keeper writes `file` and moves it to `file.1` and on; a cursor is an inode and an offset, so it holds across
//! that move.

use std::collections::VecDeque;
use std::fmt;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use super::line::{Level, Line, Parser};

/// Rotated files that are looked for.
const FILES: u32 = 100;

/// A place in a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cursor {
    inode: u64,
    offset: u64,
}

/// A text that is no cursor.
#[derive(Debug, thiserror::Error)]
#[error("this is no cursor of a log; take the one that the last page gave")]
pub struct InvalidCursor;

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}-{:x}", self.inode, self.offset)
    }
}

impl FromStr for Cursor {
    type Err = InvalidCursor;

    fn from_str(text: &str) -> Result<Self, InvalidCursor> {
        let (inode, offset) = text.split_once('-').ok_or(InvalidCursor)?;
        let number = |digits: &str| u64::from_str_radix(digits, 16).map_err(|_| InvalidCursor);
        Ok(Self {
            inode: number(inode)?,
            offset: number(offset)?,
        })
    }
}

/// What is looked for.
#[derive(Clone, Debug)]
pub struct Query {
    /// Only what comes after this place; without it, the newest lines.
    pub after: Option<Cursor>,
    /// Lines at most.
    pub limit: usize,
    /// Least grave level.
    pub level: Level,
    /// A text that must be in the line, in any case of letters.
    pub text: Option<String>,
    /// Not before this time, in milliseconds since 1970.
    pub since_ms: Option<u64>,
    /// Before this time, in milliseconds since 1970.
    pub until_ms: Option<u64>,
}

impl Default for Query {
    fn default() -> Self {
        Self {
            after: None,
            limit: 100,
            level: Level::Trace,
            text: None,
            since_ms: None,
            until_ms: None,
        }
    }
}

/// Lines, and where to go on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// Oldest first.
    pub lines: Vec<Line>,
    /// After the last one that was looked at.
    pub next: Option<Cursor>,
}

/// Reads a page. The log of an instance that never ran is empty.
///
/// # Errors
/// When a file is there and cannot be read.
pub fn page(log: &Path, query: &Query) -> io::Result<Page> {
    let files = files(log)?;
    let known = query
        .after
        .and_then(|after| files.iter().position(|(_, inode)| *inode == after.inode));
    let mut lines = VecDeque::new();
    let mut next = query.after;
    let text = query.text.as_ref().map(|text| text.to_lowercase());
    let mut parser = Parser::default();
    let mut time = 0;
    for (path, inode) in &files[known.unwrap_or(0)..] {
        let mut file = BufReader::new(File::open(path)?);
        let mut offset = query
            .after
            .filter(|after| after.inode == *inode)
            .map_or(0, |after| after.offset);
        file.seek(SeekFrom::Start(offset))?;
        let mut raw = Vec::new();
        loop {
            raw.clear();
            let count = file.read_until(b'\n', &mut raw)?;
            // The last line may be on its way.
            if raw.pop() != Some(b'\n') {
                break;
            }
            offset += count as u64;
            for line in parser.line(&String::from_utf8_lossy(&raw)) {
                time = line.time_ms.unwrap_or(time);
                let matches = line.level >= query.level
                    && query.since_ms.is_none_or(|since| time >= since)
                    && query.until_ms.is_none_or(|until| time < until)
                    && text
                        .as_ref()
                        .is_none_or(|text| line.text.to_lowercase().contains(text));
                if matches {
                    lines.push_back(line);
                }
            }
            next = Some(Cursor {
                inode: *inode,
                offset,
            });
            if lines.len() >= query.limit {
                if query.after.is_some() {
                    return Ok(Page {
                        lines: lines.into(),
                        next,
                    });
                }
                while lines.len() > query.limit {
                    lines.pop_front();
                }
            }
        }
    }
    Ok(Page {
        lines: lines.into(),
        next,
    })
}

/// The last lines, as texts.
///
/// # Errors
/// As [`page`].
pub fn tail(log: &Path, limit: usize) -> io::Result<Vec<String>> {
    let query = Query {
        limit,
        ..Query::default()
    };
    Ok(page(log, &query)?
        .lines
        .into_iter()
        .map(|line| line.text)
        .collect())
}

/// The files that there are, oldest first, with their inodes.
fn files(log: &Path) -> io::Result<Vec<(PathBuf, u64)>> {
    let rotated = (1..FILES).map(|number| {
        let mut name = log.as_os_str().to_owned();
        name.push(format!(".{number}"));
        PathBuf::from(name)
    });
    let mut files = Vec::new();
    for path in std::iter::once(log.to_owned()).chain(rotated) {
        match fs::metadata(&path) {
            Ok(about) => files.push((path, about.ino())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => break,
            Err(error) => return Err(error),
        }
    }
    files.reverse();
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_holds_while_files_move() {
        let folder = tempfile::tempdir().expect("a folder");
        let log = folder.path().join("log");
        assert_eq!(
            page(&log, &Query::default()).expect("nothing yet"),
            Page::default()
        );
        fs::write(&log, "1 o one\n2 e two\n3 o three\n4 o half").expect("a log");
        let newest = Query {
            limit: 2,
            ..Query::default()
        };
        let first = page(&log, &newest).expect("a page");
        let texts = |page: &Page| {
            page.lines
                .iter()
                .map(|line| line.text.clone())
                .collect::<Vec<_>>()
        };
        assert_eq!(texts(&first), ["two", "three"]);
        fs::rename(&log, folder.path().join("log.1")).expect("moved");
        fs::write(
            folder.path().join("log.1"),
            "1 o one\n2 e two\n3 o three\n4 o half a line\n",
        )
        .expect("the rest");
        fs::write(&log, "5 o Five\n6 o six\n").expect("a new one");
        let mut query = Query {
            after: first.next,
            limit: 2,
            ..Query::default()
        };
        let second = page(&log, &query).expect("a page");
        assert_eq!(texts(&second), ["half a line", "Five"]);
        query.after = second.next;
        let third = page(&log, &query).expect("a page");
        assert_eq!(texts(&third), ["six"]);
        query.after = third
            .next
            .map(|cursor| cursor.to_string().parse().expect("a cursor"));
        assert_eq!(texts(&page(&log, &query).expect("a page")), [""; 0]);

        let search = |query: Query| texts(&page(&log, &query).expect("a page"));
        let five = Some("fIVE".to_owned());
        assert_eq!(
            search(Query {
                text: five,
                ..Query::default()
            }),
            ["Five"]
        );
        assert_eq!(
            search(Query {
                level: Level::Warn,
                ..Query::default()
            }),
            ["two"]
        );
        assert_eq!(
            search(Query {
                since_ms: Some(2),
                until_ms: Some(4),
                ..Query::default()
            }),
            ["two", "three"]
        );
        assert!("zz".parse::<Cursor>().is_err());
    }
}
