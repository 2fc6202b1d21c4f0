//! The holder: the one process of the unit in whose control group instances live.
//!
//! systemd keeps a unit, and the group that it hands over with `Delegate=yes`, only for as long as there is a process of
//! the unit's own. This is that process: it moves out of the way, hands the controllers down, and sleeps. It starts
//! nothing and knows no instance; its end is the unit's end, and with it that of every instance.

use std::process::ExitCode;

use nix::sys::signal::{SigSet, Signal};

use crate::sandbox::cgroup::{self, CgroupError};

/// The argument by which the binary takes on this role.
pub const HOLDER: &str = "holder";

/// The leaf in which it sits.
const LEAF: &str = "holder";

/// Prepares the group, calls `ready`, and returns when SIGTERM or SIGINT tells it to end. `say` gets words for a person.
#[must_use]
pub fn holder(say: impl Fn(&str), ready: impl FnOnce()) -> ExitCode {
    let mut ends = SigSet::empty();
    ends.add(Signal::SIGTERM);
    ends.add(Signal::SIGINT);
    // Before anything else, so that no end is lost on the way.
    if let Err(error) = ends.thread_block() {
        say(&format!("cannot wait for signals: {error}"));
        return ExitCode::FAILURE;
    }
    match cgroup::hold(LEAF) {
        Ok(Some(group)) => say(&format!("instances live in {}", group.display())),
        // Without v2 there is nothing to hold; the unit must run all the same, because the supervisor's asks for it.
        Ok(None) => say("no control groups of version 2 here: instances live in their starter's groups"),
        Err(error) => {
            say(&in_words(&error));
            return ExitCode::FAILURE;
        }
    }
    ready();
    match ends.wait() {
        Ok(_) => ExitCode::SUCCESS,
        Err(error) => {
            say(&format!("cannot wait for signals: {error}"));
            ExitCode::FAILURE
        }
    }
}

fn in_words(error: &CgroupError) -> String {
    match std::error::Error::source(error) {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}
