//! npm's formats and registries: names, versions, integrity, package archives and the registry client.
//!
//! This crate knows no process, no instance and no policy: whether a package *may* be used is decided elsewhere.
//! Modules in order; each uses only those above it.
#![forbid(unsafe_code)]

mod name;
pub use name::{NameError, PackageName};

mod integrity;
pub use integrity::{Algorithm, Hasher, Integrity, IntegrityError, Mismatch};

mod packument;
pub use packument::{Dist, Manifest, Packument, PackumentError};

pub mod tarball;

mod config;
pub use config::{Addresses, Config, ConfigError, Places};

mod error;
pub use error::{FetchError, shown};

mod retry;
pub use retry::Retry;

mod client;
pub use client::{Client, Download};

pub use node_semver::{Range, Version};
