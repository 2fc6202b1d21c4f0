//! The registry that instances, devices and developers see: only what policy allows, under pinned hashes.
//!
//! Pure here: documents in, documents out. Who fetches, vets on demand and answers is the host.

mod filter;

pub use self::filter::{Listing, filtered};
