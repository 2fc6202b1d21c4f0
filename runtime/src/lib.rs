//! Mechanism: start, find again, measure and stop one sandboxed process; keep stacks on disk.
//!
//! This crate knows no user, no database and no restart policy; it never spawns a task and never decides whether
//! an instance *should* run. Linux only. Unsafe code lives in `sys` and nowhere else.
//!
//! Modules in order; each uses only those above it.
#![deny(unsafe_code)]

#[expect(unsafe_code, reason = "the one folder that talks to the kernel directly")]
pub(crate) mod sys;

pub mod beneath;

pub mod units;

pub mod traffic;

pub mod spec;

pub mod record;

pub mod error;

pub mod handover;

pub mod store;

pub mod sandbox;

pub mod launch;

pub mod process;
