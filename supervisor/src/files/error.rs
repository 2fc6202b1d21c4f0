//! Why something about a file did not come about.

use std::io;

use nix::errno::Errno;
use thiserror::Error;

use crate::problem::{Code, Problem};

/// See the module. Each names the path inside the storage that it is about.
#[derive(Debug, Error)]
pub enum FileError {
    /// A path that is not allowed, and why.
    #[error("`{0}` is no path in a file storage: {1}")]
    Path(String, &'static str),
    /// Nothing is there.
    #[error("there is nothing at `{0}`")]
    Missing(String),
    /// Neither a file nor a folder, or a link on the way to it.
    #[error(
        "`{0}` is, or leads through, something that is neither a file nor a folder: links are not followed"
    )]
    Kind(String),
    /// A folder where a file is needed.
    #[error("`{0}` is a folder")]
    Folder(String),
    /// A file where a folder is needed.
    #[error("`{0}` is not a folder")]
    NotFolder(String),
    /// Something is there already.
    #[error("`{0}` exists already")]
    Exists(String),
    /// A folder that is to be empty is not.
    #[error("the folder `{0}` is not empty")]
    NotEmpty(String),
    /// Somebody else uploads to it.
    #[error("somebody else is uploading `{0}`")]
    Busy(String),
    /// As many archives are being made as this host makes at once.
    #[error("this host makes no more archives at once")]
    Archives,
    /// An upload is to go on behind what has come.
    #[error("the upload of `{path}` goes on at byte {have}")]
    Offset {
        /// The file that it becomes.
        path: String,
        /// Bytes that are there.
        have: u64,
    },
    /// More than the host goes through.
    #[error("`{0}` holds more than this host goes through at once")]
    TooMany(String),
    /// What the kernel refused.
    #[error("cannot {what} `{path}`")]
    Io {
        /// What was tried.
        what: &'static str,
        /// On what.
        path: String,
        /// The refusal.
        source: io::Error,
    },
}

impl FileError {
    /// What the kernel refused, in the words that fit.
    pub(super) fn of(what: &'static str, path: &str, error: impl Into<io::Error>) -> Self {
        let source = error.into();
        let path = path.to_owned();
        match source.raw_os_error().map(Errno::from_raw) {
            Some(Errno::ENOENT) => Self::Missing(path),
            // A link on the way, or a way out of the folder.
            Some(Errno::ELOOP | Errno::EXDEV) => Self::Kind(path),
            Some(Errno::ENOTDIR) => Self::NotFolder(path),
            Some(Errno::EISDIR) => Self::Folder(path),
            Some(Errno::EEXIST) => Self::Exists(path),
            Some(Errno::ENOTEMPTY) => Self::NotEmpty(path),
            _ => Self::Io { what, path, source },
        }
    }
}

impl From<FileError> for Problem {
    fn from(error: FileError) -> Self {
        let code = match &error {
            FileError::Path(..) => Code::Usage,
            FileError::Missing(_) => Code::Missing,
            FileError::Kind(_)
            | FileError::Folder(_)
            | FileError::NotFolder(_)
            | FileError::Exists(_)
            | FileError::NotEmpty(_)
            | FileError::Offset { .. } => Code::Conflict,
            FileError::Busy(_) | FileError::Archives => Code::Busy,
            FileError::TooMany(_) => Code::Failed,
            FileError::Io { .. } => {
                let message = error.to_string();
                let FileError::Io { source, .. } = error else {
                    return Self::new(Code::Failed, message);
                };
                if source.raw_os_error() == Some(nix::libc::ENOSYS) {
                    return Self::new(Code::Host, message).hint("the file storage needs Linux 5.6 or newer");
                }
                return Self::io(message, source);
            }
        };
        let hint = match &error {
            FileError::Path(..) => "names have 1 to 255 bytes, and no control characters, `.` or `..`",
            FileError::Missing(_) => "`redhold files ls NAME:` shows what is there",
            FileError::Kind(_) => "give the path of a file or folder itself",
            FileError::Folder(_) => "list it, or get it as an archive with `redhold files get -r`",
            FileError::NotFolder(_) => "look at it with `redhold files ls`",
            FileError::Exists(_) => "remove it first, or choose another name",
            FileError::NotEmpty(_) => "remove it with everything in it: `redhold files rm -r`",
            FileError::Busy(_) | FileError::Archives => "try again when that is done",
            FileError::Offset { .. } => "send what is missing, or the whole file without Content-Range",
            FileError::TooMany(_) => "take a folder of it at a time",
            FileError::Io { .. } => return Self::new(code, error.to_string()),
        };
        Self::new(code, error.to_string()).hint(hint)
    }
}
