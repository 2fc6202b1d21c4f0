//! Judges npm packages: package bytes in, a report and a verdict out.
//!
//! A package is never judged alone but with all that it brings: its [closure](closure::Closure). What its code *says* is read by
//! `analysis`; what it *does* is seen by `exercise`, which loads it in a world where every door is a recording
//! (`guest`) inside an engine without any authority (`engine`). Both give facts; `judge` turns facts into reasons,
//! and `policy` turns reasons into a verdict. Only the last two hold opinions, and both are pure.
//!
//! This crate knows no instance, no user and no database; where reports are kept is the caller's choice.
//! Modules in order; each uses only those above it.
// One file maps compiled code; the reason stands there.
#![deny(unsafe_code)]

pub mod capability;

mod builtin;

pub mod package;

pub mod closure;

pub mod trace;

pub mod report;

pub mod resolve;

pub mod analysis;

pub mod rewrite;

pub mod world;

pub mod engine;

pub mod guest;

pub mod exercise;

pub mod worker;

pub mod policy;

pub mod judge;

pub mod vet;

pub mod sarif;

pub mod schema;

pub mod registry;

pub mod bundle;

pub mod catalogue;

pub mod bom;
