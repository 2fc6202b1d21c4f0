//! Programs of others, and what they say.

use std::path::Path;
use std::process::{Command, Output};

/// curl, a stranger to our code, which believes in this authority and no other.
#[must_use]
pub fn curl(authority: &Path) -> Command {
    let mut command = Command::new("curl");
    command
        .args(["--silent", "--show-error", "--noproxy", "*", "--cacert"])
        .arg(authority);
    command
}

/// All that a program said, its complaints last.
#[must_use]
pub fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}
