//! What an instance sees of the host's system: the few libraries that Node.js and native addons link against, name
//! resolution, certificates and time zones; with host tools, all of `/usr`.

use std::path::{Path, PathBuf};

use runtime::spec::{Access, Mount};

use super::PrepareError;

#[cfg(target_arch = "x86_64")]
const LOADER: &str = "/lib64/ld-linux-x86-64.so.2";
#[cfg(target_arch = "x86_64")]
const TRIPLE: &str = "x86_64-linux-gnu";
#[cfg(target_arch = "aarch64")]
const LOADER: &str = "/lib/ld-linux-aarch64.so.1";
#[cfg(target_arch = "aarch64")]
const TRIPLE: &str = "aarch64-linux-gnu";

/// What the official Node.js executables name in their dynamic section.
const NEEDED: [&str; 4] = ["libc.so.6", "libm.so.6", "libstdc++.so.6", "libgcc_s.so.1"];

/// Stubs that glibc before 2.34 has as real libraries, name service modules, and what native addons commonly need.
const USEFUL: [&str; 8] = [
    "libpthread.so.0",
    "libdl.so.2",
    "librt.so.1",
    "libutil.so.1",
    "libresolv.so.2",
    "libnss_dns.so.2",
    "libnss_files.so.2",
    "libatomic.so.1",
];

/// Files and directories of the host's configuration that programs expect; none is needed.
const CONFIGURATION: [&str; 3] = ["/etc/localtime", "/etc/ssl/certs", "/usr/share/zoneinfo"];

/// What host tools add: alternatives are links from `/usr/bin` through `/etc`.
const TOOLS: [&str; 2] = ["/usr", "/etc/alternatives"];

/// Top-level names that are links into `/usr` on a merged system, and directories on an older one.
const MERGED: [&str; 5] = ["bin", "sbin", "lib", "lib32", "lib64"];

/// The mounts of the system part, before the instance's own.
pub(super) fn mounts(host_tools: bool) -> Result<Vec<Mount>, PrepareError> {
    let mut mounts = Vec::new();
    if host_tools {
        for path in TOOLS {
            mounts.extend(show(Path::new(path), Path::new(path)));
        }
        for name in MERGED {
            let path = Path::new("/").join(name);
            if !path.is_symlink() {
                mounts.extend(show(&path, &path));
            }
        }
    } else {
        mounts.extend(show(Path::new(LOADER), Path::new(LOADER)));
        for name in NEEDED {
            mounts.push(library(name).ok_or(PrepareError::Library(name))?);
        }
        mounts.extend(USEFUL.iter().filter_map(|name| library(name)));
    }
    for path in CONFIGURATION {
        let path = Path::new(path);
        if !(host_tools && path.starts_with("/usr")) {
            mounts.extend(show(path, path));
        }
    }
    Ok(mounts)
}

/// Links of the root directory.
pub(super) fn links(host_tools: bool) -> Vec<(PathBuf, String)> {
    if !host_tools {
        return Vec::new();
    }
    MERGED
        .iter()
        .filter_map(|name| {
            let path = Path::new("/").join(name);
            let target = std::fs::read_link(&path).ok()?;
            Some((path, target.into_os_string().into_string().ok()?))
        })
        .collect()
}

/// A library where the dynamic loader looks without a cache: under the *real* name of the system directory that
/// holds it, because `/lib64` may be a link, and a loader's built-in list has the real ones on every distribution.
fn library(name: &str) -> Option<Mount> {
    [
        format!("/lib/{TRIPLE}"),
        format!("/usr/lib/{TRIPLE}"),
        "/lib64".to_owned(),
        "/usr/lib64".to_owned(),
        "/lib".to_owned(),
        "/usr/lib".to_owned(),
    ]
    .iter()
    .filter_map(|directory| Path::new(directory).canonicalize().ok())
    .find_map(|directory| {
        let path = directory.join(name);
        show(&path, &path)
    })
}

/// A read-only mount of what `path` leads to, or nothing when the host has none.
fn show(path: &Path, target: &Path) -> Option<Mount> {
    let source = path.canonicalize().ok()?;
    Some(Mount {
        source,
        target: target.to_path_buf(),
        access: Access::ReadOnly,
        optional: true,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loader_and_the_c_library_are_shown_where_they_are_looked_for() {
        let mounts = mounts(false).expect("this machine runs a C program");
        assert!(mounts.iter().any(|mount| mount.target == Path::new(LOADER)));
        assert!(mounts.iter().any(|mount| mount.target.ends_with("libc.so.6")));
        assert!(
            mounts.iter().all(|mount| mount.access == Access::ReadOnly),
            "nothing of the host's system may be written"
        );
        assert!(links(false).is_empty());
    }

    #[test]
    fn tools_are_the_whole_of_usr() {
        let mounts = mounts(true).expect("nothing is required of a library then");
        assert!(mounts.iter().any(|mount| mount.target == Path::new("/usr")));
        assert!(mounts.iter().all(|mount| !mount.target.starts_with("/usr/lib")));
    }
}
