//! Programs of others, and what they say.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// Where a program is installed; `None` when it is not.
#[must_use]
pub fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|folder| folder.join(program))
        .find(|file| file.is_file())
}

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
