//! npm's formats and registries: names, versions, integrity, package archives and the registry client.
//!
//! This crate knows no process, no instance and no policy: whether a package *may* be used is decided elsewhere.
//! Modules in order; each uses only those above it.
#![forbid(unsafe_code)]

mod name;
pub use name::{NameError, PackageName};

mod integrity;
pub use integrity::{Algorithm, Hasher, Integrity, IntegrityError, Mismatch};

mod lenient;

mod packument;
pub use packument::{Attestations, Dist, Manifest, Packument, PackumentError, Person, Provenance, Signature};

pub mod tarball;

mod config;
pub use config::{Addresses, Config, ConfigError, Places};

mod overlay;
pub use overlay::install_options;

mod error;
pub use error::{FetchError, shown};

mod retry;
pub use retry::Retry;

mod client;
pub use client::{Client, Download, Form};

pub use node_semver::{Range, Version};
