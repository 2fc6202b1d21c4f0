//! The administrator's programs that set networks up: `ip` and `nft`.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Where programs of the administrator are; the keeper has no `PATH`.
const FOLDERS: [&str; 5] = ["/usr/sbin", "/sbin", "/usr/bin", "/bin", "/usr/local/sbin"];

/// Feeds `nft` one transaction.
///
/// # Errors
/// What it said.
pub(crate) fn nft(text: &str) -> io::Result<()> {
    run("nft", &["-f", "-"], text).map(drop)
}

/// Feeds `ip` a batch; it ends with the first line that fails.
///
/// # Errors
/// What it said.
pub(crate) fn ip(text: &str) -> io::Result<()> {
    run("ip", &["-batch", "-"], text).map(drop)
}

/// The administrator's program of this name.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    FOLDERS
        .iter()
        .map(|folder| Path::new(folder).join(program))
        .find(|path| path.is_file())
}

/// Runs one with an empty environment, and gives what it printed.
///
/// # Errors
/// What it said, when it failed.
pub(crate) fn run(program: &str, args: &[&str], input: &str) -> io::Result<String> {
    let path = find(program).ok_or(io::ErrorKind::NotFound)?;
    let mut child = Command::new(path)
        .args(args)
        .env_clear()
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let sent = child
        .stdin
        .take()
        .map_or(Ok(()), |mut to| to.write_all(input.as_bytes()));
    let output = child.wait_with_output()?;
    if output.status.success() {
        sent?;
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    // The first line says it; the others repeat the rule.
    let said = String::from_utf8_lossy(&output.stderr);
    let said = said.lines().next().unwrap_or_default().trim();
    Err(io::Error::other(format!(
        "{program} ended with {}: {said}",
        output.status
    )))
}
