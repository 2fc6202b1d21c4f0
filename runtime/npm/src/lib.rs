//! npm's formats and registries: names, versions, integrity, package archives and the registry client.
//!
//! This crate knows no process, no instance and no policy: whether a package *may* be used is decided elsewhere.
//! Modules in order; each uses only those above it.
#![forbid(unsafe_code)]
