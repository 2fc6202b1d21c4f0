//! What goes over the pipe between a worker and its parent. Either side bounds what it takes from the other.
//!
//! A frame is its length in four bytes, the lowest first, and so many bytes of JSON. A request is a frame that lists
//! the files of the closure and says what to do with them, followed by their contents one after the other; an answer is
//! one frame.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::sync::Arc;

use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::closure::{Closure, Gap};
use crate::package::{Package, PackageError};

/// Longest list of files.
const MOST_LISTED: u32 = 64 << 20;
/// Most bytes of a whole closure.
const MOST_CONTENT: u64 = 1 << 30;
/// Longest answer.
pub(super) const MOST_ANSWERED: u32 = 256 << 20;

/// What is wrong with what came.
#[derive(Debug, Error)]
pub enum WireError {
    /// The pipe fails, or ends too early.
    #[error("the pipe between the vetting worker and its parent: {0}")]
    Pipe(#[from] io::Error),
    /// A frame is longer than it may be.
    #[error("{what} has {got} bytes, more than {most}")]
    TooLong {
        /// What.
        what: &'static str,
        /// Its length.
        got: u64,
        /// The limit.
        most: u64,
    },
    /// A frame is not what it should be.
    #[error("{what} is not as expected: {source}")]
    Malformed {
        /// What.
        what: &'static str,
        /// Why.
        source: serde_json::Error,
    },
    /// A package in the closure is none.
    #[error("a package of the closure: {0}")]
    Package(#[from] PackageError),
    /// The list is inconsistent.
    #[error("the closure has no root at {0}")]
    NoRoot(String),
}

#[derive(Serialize, Deserialize)]
struct Request<E> {
    root: String,
    packages: Vec<Listed>,
    gaps: Vec<Gap>,
    errand: E,
}

#[derive(Serialize, Deserialize)]
struct Listed {
    place: String,
    integrity: String,
    /// Paths with lengths.
    files: Vec<(String, u64)>,
}

/// Writes a request.
///
/// # Errors
/// When the other side is gone.
pub(super) fn write_request(
    to: &mut impl Write,
    closure: &Closure,
    errand: &impl Serialize,
) -> Result<(), WireError> {
    let request = Request {
        root: closure.root_place().to_owned(),
        packages: closure
            .places()
            .map(|(place, package)| Listed {
                place: place.to_owned(),
                integrity: package.integrity.to_string(),
                files: package
                    .files()
                    .map(|(path, content)| (path.to_owned(), content.len() as u64))
                    .collect(),
            })
            .collect(),
        gaps: closure.gaps.clone(),
        errand,
    };
    write_frame(to, &request, "the list of files", MOST_LISTED)?;
    for (_, package) in closure.places() {
        for (_, content) in package.files() {
            to.write_all(content)?;
        }
    }
    to.flush()?;
    Ok(())
}

/// Reads a request.
///
/// # Errors
/// When it is damaged or larger than it may be.
pub(super) fn read_request<E: DeserializeOwned>(from: &mut impl Read) -> Result<(Closure, E), WireError> {
    let request: Request<E> = read_frame(from, "the list of files", MOST_LISTED)?;
    let total = request
        .packages
        .iter()
        .flat_map(|package| &package.files)
        .fold(0_u64, |sum, (_, length)| sum.saturating_add(*length));
    if total > MOST_CONTENT {
        return Err(WireError::TooLong {
            what: "the closure",
            got: total,
            most: MOST_CONTENT,
        });
    }
    let mut places = BTreeMap::new();
    for listed in request.packages {
        let mut files = BTreeMap::new();
        for (path, length) in listed.files {
            let mut content = Vec::new();
            from.take(length).read_to_end(&mut content)?;
            if content.len() as u64 != length {
                return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
            }
            files.insert(path, Bytes::from(content));
        }
        let integrity = listed
            .integrity
            .parse()
            .map_err(|_| WireError::NoRoot(listed.place.clone()))?;
        places.insert(listed.place, Arc::new(Package::from_files(files, integrity)?));
    }
    let root = places
        .remove(&request.root)
        .ok_or_else(|| WireError::NoRoot(request.root.clone()))?;
    let mut closure = Closure::new(Arc::unwrap_or_clone(root), places);
    closure.gaps = request.gaps;
    Ok((closure, request.errand))
}

pub(super) fn write_frame(
    to: &mut impl Write,
    value: &impl Serialize,
    what: &'static str,
    most: u32,
) -> Result<(), WireError> {
    let malformed = |source| WireError::Malformed { what, source };
    let text = serde_json::to_vec(value).map_err(malformed)?;
    let length = u32::try_from(text.len())
        .ok()
        .filter(|length| *length <= most)
        .ok_or_else(|| WireError::TooLong {
            what,
            got: text.len() as u64,
            most: most.into(),
        })?;
    to.write_all(&length.to_le_bytes())?;
    to.write_all(&text)?;
    to.flush()?;
    Ok(())
}

pub(super) fn read_frame<T: DeserializeOwned>(
    from: &mut impl Read,
    what: &'static str,
    most: u32,
) -> Result<T, WireError> {
    let mut length = [0; 4];
    from.read_exact(&mut length)?;
    let length = u32::from_le_bytes(length);
    if length > most {
        return Err(WireError::TooLong {
            what,
            got: length.into(),
            most: most.into(),
        });
    }
    // Memory is taken as bytes come, not as they are announced.
    let mut text = Vec::new();
    from.take(length.into()).read_to_end(&mut text)?;
    if text.len() as u64 != u64::from(length) {
        return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
    }
    serde_json::from_slice(&text).map_err(|source| WireError::Malformed { what, source })
}

#[cfg(test)]
mod tests {
    use npm::{Algorithm, Hasher};

    use super::*;

    fn closure() -> Closure {
        let package = |name: &str| {
            let manifest = format!("{{\"name\":\"{name}\",\"version\":\"1.2.3\"}}");
            let files = [
                ("package.json", Bytes::from(manifest)),
                ("a.js", Bytes::from_static(b"\0\xff")),
            ];
            let files = files
                .into_iter()
                .map(|(path, content)| (path.to_owned(), content))
                .collect();
            Package::from_files(files, Hasher::new(Algorithm::Sha512).finish()).expect("a package")
        };
        let others = [("node_modules/b".to_owned(), Arc::new(package("b")))].into();
        Closure::new(package("a"), others)
    }

    #[test]
    fn a_closure_arrives_as_it_left() {
        let mut bytes = Vec::new();
        write_request(&mut bytes, &closure(), &"errand").expect("written");
        let (arrived, errand): (_, String) = read_request(&mut bytes.as_slice()).expect("read");
        assert_eq!(arrived.digest(), closure().digest());
        assert_eq!(arrived.root().file("a.js"), closure().root().file("a.js"));
        assert_eq!(errand, "errand");
    }

    #[test]
    fn what_is_cut_or_too_long_is_refused() {
        let mut bytes = Vec::new();
        write_request(&mut bytes, &closure(), &"errand").expect("written");
        for cut in [0, 3, 4, 50, bytes.len() - 1] {
            assert!(read_request::<String>(&mut &bytes[..cut]).is_err(), "{cut}");
        }
        let huge = [0xff, 0xff, 0xff, 0xff, b'{'];
        assert!(matches!(
            read_request::<String>(&mut huge.as_slice()),
            Err(WireError::TooLong { .. })
        ));
        let list = r#"{"root":"r","packages":[{"place":"r","integrity":"","files":[["a",99999999999999]]}],"gaps":[],
            "errand":"errand"}"#;
        let mut bytes = (list.len() as u32).to_le_bytes().to_vec();
        bytes.extend_from_slice(list.as_bytes());
        assert!(matches!(
            read_request::<String>(&mut bytes.as_slice()),
            Err(WireError::TooLong {
                what: "the closure",
                ..
            })
        ));
    }
}
