//! Judges npm packages: package bytes in, a report and a verdict out.
//!
//! This crate knows no instance, no user and no database; where reports are kept is the caller's choice.
//! It holds its place in the workspace and has nothing to offer yet.
#![forbid(unsafe_code)]
