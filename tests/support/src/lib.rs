//! Drives the built binary from outside, for the tests and the benches.
//!
//! Depends on none of our crates, so that a test sees only what a user sees.

pub mod skip;

pub mod eventually;

pub mod program;

pub mod guest;

pub mod client;

pub mod websocket;

pub mod browser;

pub mod data;

pub mod exposition;

pub mod dev;

pub mod host;

pub mod acme;

pub mod bench;

pub mod package;

pub mod corpus;

pub mod registry;

pub mod receiver;

pub mod world;

/// Path of the freshly built `redhold`; expands in the caller, because Cargo tells only the package that owns
/// the binary.
#[macro_export]
macro_rules! redhold {
    () => {
        std::path::Path::new(env!("CARGO_BIN_EXE_redhold"))
    };
}
