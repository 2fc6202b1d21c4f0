//! The rules of this repository, and the shrinking lists of exceptions.
//!
//! A rule that is worth stating is a test that names the file and line that broke it.

mod code;
mod docs;
mod layers;
mod sizes;
mod tree;
