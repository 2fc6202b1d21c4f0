//! The hidden roles between the host and the program: keeper outside the sandbox, init as its first process.
//!
//! Single-threaded, synchronous and small; their private memory is a benchmark. `process::spawn` executes this
//! binary as `keeper`; the keeper leaves its starter behind at once ([`mod@keeper`]), builds the sandbox ([`start`]),
//! and from then on reads what the instance writes, so that it never waits, answers on a control socket, and
//! records the end. Init ([`init`]) is a fork of the keeper, never a fresh execution: no file of the host is open
//! in it, and nothing inside may look into it. The child that becomes the program is a fork of init ([`program`]).
//!
//! If the keeper is killed the instance lives on, unread: its log and its exit code are lost, and whoever adopts it
//! is told. If init ends, everything inside ends with it.

mod attempts;
mod clients;
mod clock;
mod dns;
mod effort;
mod exit;
mod eye;
mod guest;
mod holder;
mod hosts;
mod init;
mod keeper;
mod lines;
mod log;
mod message;
mod names;
mod program;
mod pulse;
mod resolver;
mod start;
mod watch;

pub(crate) use clients::{open_directory, socket_path};
pub(crate) use clock::{boot_id, process};
pub(crate) use message::{Answer, hand_over, read_answer};

use std::process::ExitCode;

pub use holder::{HOLDER, holder};

/// The argument by which the binary takes on this role.
pub const KEEPER: &str = "keeper";

/// Runs the keeper: returns at once in the process that was started, and in its child when the instance has ended.
#[must_use]
pub fn keeper() -> ExitCode {
    keeper::run()
}
