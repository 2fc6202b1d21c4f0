//! Where Redhold keeps its own data on this machine: the one place that decides it, and how a file or a socket gets to
//! its place.

use std::ffi::OsString;
use std::fs::{self, File, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use runtime::error::or_absent;

use crate::problem::{Code, Problem};

/// The data directory: the flag, else `REDHOLD_DATA_DIR`, else `$XDG_DATA_HOME/redhold`, else
/// `~/.local/share/redhold`. It need not exist yet; the answer is absolute.
///
/// # Errors
/// When nothing names one (an account without a home), or a relative path cannot be made absolute.
pub fn data_dir(flag: Option<&Path>) -> Result<PathBuf, Problem> {
    let chosen = choose(flag, |name| std::env::var_os(name)).ok_or_else(|| {
        Problem::new(
            Code::Usage,
            "there is no place for Redhold's data: HOME is not set",
        )
        .hint("name one with --data-dir or REDHOLD_DATA_DIR")
    })?;
    std::path::absolute(&chosen).map_err(|error| {
        Problem::new(
            Code::Usage,
            format!("the data directory {} cannot be used", chosen.display()),
        )
        .because(error)
    })
}

/// The data directory that the flag or the environment names.
#[must_use]
pub fn named_data_dir(flag: Option<&Path>) -> Option<PathBuf> {
    let env = || {
        std::env::var_os("REDHOLD_DATA_DIR")
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    flag.map(Path::to_path_buf).or_else(env)
}

/// The data directory of a host: as [`data_dir`], but root's own is the system's.
///
/// # Errors
/// As [`data_dir`].
pub fn host_data_dir(flag: Option<&Path>) -> Result<PathBuf, Problem> {
    if named_data_dir(flag).is_none() && nix::unistd::geteuid().is_root() {
        return Ok(SYSTEM_DATA_DIR.into());
    }
    data_dir(flag)
}

/// The data directory of the host that a client means: the one that is named, else the system's where it has a host,
/// else the account's own.
///
/// # Errors
/// As [`data_dir`].
pub fn client_data_dir(flag: Option<&Path>) -> Result<PathBuf, Problem> {
    let system = Path::new(SYSTEM_DATA_DIR);
    if named_data_dir(flag).is_none() && api_socket(system).exists() {
        return Ok(system.to_owned());
    }
    host_data_dir(flag)
}

/// Longest path of a unix socket, in bytes (`unix(7)`).
pub const LONGEST_SOCKET: usize = 107;

/// Where root's host keeps its data, unless it is told otherwise.
pub const SYSTEM_DATA_DIR: &str = "/var/lib/redhold";

/// The local socket of the host with this data directory.
#[must_use]
pub fn api_socket(data_dir: &Path) -> PathBuf {
    data_dir.join("run/api.sock")
}

/// The program that runs, also after its file was replaced by a newer one.
pub const EXECUTABLE: &str = "/proc/self/exe";

/// Makes a listening unix socket at one stroke, in place of one that somebody left; `mode` says who may connect.
///
/// # Errors
/// The kernel's.
pub fn listen(path: &Path, mode: u32) -> io::Result<UnixListener> {
    let temporary = path.with_extension("new");
    or_absent(fs::remove_file(&temporary))?;
    let listener = UnixListener::bind(&temporary)?;
    fs::set_permissions(&temporary, Permissions::from_mode(mode))?;
    fs::rename(&temporary, path)?;
    Ok(listener)
}

/// Puts a file in place at one stroke, for this account alone: written beside it, made durable, renamed.
///
/// # Errors
/// The kernel's; the file is as it was then.
pub fn write_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = path.parent().unwrap_or_else(|| Path::new("."));
    let mut temporary = tempfile::Builder::new().prefix(".new-").tempfile_in(folder)?;
    temporary.write_all(bytes)?;
    temporary.as_file().sync_all()?;
    temporary.persist(path)?;
    File::open(folder)?.sync_all()
}

/// The rule itself, with the environment as a function. The XDG base directory specification says that a
/// relative `XDG_DATA_HOME` is to be ignored.
fn choose(flag: Option<&Path>, env: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    let named = |name: &str| env(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    flag.map(Path::to_path_buf)
        .or_else(|| named("REDHOLD_DATA_DIR"))
        .or_else(|| {
            named("XDG_DATA_HOME")
                .filter(|path| path.is_absolute())
                .map(|path| path.join("redhold"))
        })
        .or_else(|| named("HOME").map(|home| home.join(".local/share/redhold")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_word_wins() {
        type Case<'a> = (Option<&'a str>, &'a [(&'a str, &'a str)], Option<&'a str>);
        let table: [Case<'_>; 7] = [
            (Some("/flag"), &[("REDHOLD_DATA_DIR", "/env")], Some("/flag")),
            (
                None,
                &[("REDHOLD_DATA_DIR", "/env"), ("XDG_DATA_HOME", "/xdg")],
                Some("/env"),
            ),
            (
                None,
                &[("REDHOLD_DATA_DIR", ""), ("XDG_DATA_HOME", "/xdg")],
                Some("/xdg/redhold"),
            ),
            (
                None,
                &[("XDG_DATA_HOME", "rel"), ("HOME", "/h")],
                Some("/h/.local/share/redhold"),
            ),
            (None, &[("HOME", "/h")], Some("/h/.local/share/redhold")),
            (None, &[("HOME", "")], None),
            (None, &[], None),
        ];
        for (flag, env, expected) in table {
            let lookup = |name: &str| {
                env.iter()
                    .find(|(key, _)| *key == name)
                    .map(|(_, value)| OsString::from(value))
            };
            assert_eq!(
                choose(flag.map(Path::new), lookup).as_deref(),
                expected.map(Path::new),
                "{env:?}"
            );
        }
    }
}
