//! The file storage of an instance, from outside: listed, read, written and served by the host.
//!
//! What lies there is hostile. An instance can put links, pipes and names of any kind into its folder, and move them
//! while the host looks. So every path is walked by the kernel beneath the folder, without any link; only regular
//! files and folders are opened; and a thing that was looked at is the thing that is used, by its descriptor.
//! Everything in [`Tree`] blocks: call it where that is allowed.

mod archive;
mod error;
mod path;
mod remove;
mod reply;
#[cfg(test)]
mod tests;
mod tree;
mod upload;

pub use self::archive::{Format, stream as archive_stream};
pub use self::error::FileError;
pub use self::path::FilePath;
pub use self::remove::sweep;
pub use self::reply::{Reply, body};
pub use self::tree::{Entry, Kind, Opened, Page, Tree};
pub use self::upload::{Received, Upload, sha256};
