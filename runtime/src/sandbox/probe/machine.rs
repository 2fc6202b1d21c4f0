//! What Node.js and its data need of the machine: libraries, disk, swap, clock.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime};

use nix::sys::statvfs::{FsFlags, statvfs};

use super::limits::existing;
use super::{Feature, Subject};
use crate::units::Bytes;

/// A stack with its archives, an instance's modules, and room to replace each of them.
const DISK_WANTED: Bytes = Bytes::mib(1024);
/// Below this not even the first stack fits.
const DISK_NEEDED: Bytes = Bytes::mib(400);
/// What the Node.js binaries of the registry are linked against.
const GLIBC_NEEDED: (u32, u32) = (2, 28);
const LIBSTDCXX_NEEDED: &[u8] = b"GLIBCXX_3.4.21";
/// 2025-01-01: no clock of a machine that can check today's certificates is before it.
const OLDEST_NOW: Duration = Duration::from_secs(1_735_689_600);

pub(super) fn probe(data_dir: &Path) -> Vec<Feature> {
    vec![
        c_library(),
        cxx_library(),
        disk(data_dir),
        swap(),
        clock(),
        idle_loop(),
    ]
}

/// Whether the kernel shows in which call a process sleeps, tried on a child that waits for its input.
fn idle_loop() -> Feature {
    let name = "idle-loop";
    let shown = Command::new("/bin/sh")
        .args(["-c", "read line"])
        .stdin(Stdio::piped())
        .spawn()
        .and_then(|mut child| {
            let shown = fs::read_to_string(format!("/proc/{}/syscall", child.id()));
            // The end of its input ends it.
            drop(child.stdin.take());
            child.wait()?;
            shown
        });
    match shown {
        Ok(_) => Feature::offered(
            Subject::Machine,
            name,
            "the kernel shows when an event loop is idle",
        ),
        Err(error) => {
            let feature = Feature::partial(
                Subject::Machine,
                name,
                format!("the kernel does not show when an event loop is idle (/proc/[pid]/syscall: {error})"),
                "each instance is asked every second whether its loop turns, for a second of processor time per hour",
            );
            match fs::read_to_string("/proc/sys/kernel/yama/ptrace_scope") {
                Ok(scope) if scope.trim() == "3" => feature
                    .mend("set kernel.yama.ptrace_scope to 1 in /etc/sysctl.d and start the machine anew"),
                _ => feature,
            }
        }
    }
}

/// The loader that the binaries name, asked for its version (`ld.so(8)`; glibc 2.33 and later answer).
fn c_library() -> Feature {
    let name = "c-library";
    let costs = "Node.js does not start";
    let loaders = ["/lib64/ld-linux-x86-64.so.2", "/lib/ld-linux-aarch64.so.1"];
    let Some(loader) = loaders.iter().find(|loader| Path::new(loader).exists()) else {
        let feature = Feature::missing(
            Subject::Programs,
            name,
            "no glibc: its loader is not there",
            costs,
        );
        return match Path::new("/etc/alpine-release").exists() {
            true => feature.mend("sudo apk add gcompat libstdc++"),
            false => feature,
        };
    };
    let answer = Command::new(loader)
        .arg("--version")
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()
        .map(|output| String::from_utf8_lossy(&output.stdout).into_owned())
        .unwrap_or_default();
    match glibc_version(&answer) {
        Some((major, minor)) if (major, minor) >= GLIBC_NEEDED => {
            Feature::offered(Subject::Programs, name, format!("glibc {major}.{minor}"))
        }
        Some((major, minor)) => Feature::missing(
            Subject::Programs,
            name,
            format!("glibc {major}.{minor} is too old: 2.28 is the least"),
            costs,
        ),
        // Before 2.33 the loader knows no such option, but that it runs says enough.
        None => Feature::offered(Subject::Programs, name, "glibc of unknown version"),
    }
}

/// `... stable release version 2.36.`
fn glibc_version(answer: &str) -> Option<(u32, u32)> {
    let (_, rest) = answer.lines().next()?.rsplit_once("version ")?;
    let (major, minor) = rest.trim_end_matches('.').split_once('.')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

fn cxx_library() -> Feature {
    let name = "cxx-library";
    let costs = "Node.js does not start";
    let find = |library: &str| {
        library_folders()
            .into_iter()
            .map(|folder| folder.join(library))
            .find(|path| path.exists())
    };
    match (find("libstdc++.so.6"), find("libgcc_s.so.1")) {
        (Some(path), Some(_)) => match fs::read(&path) {
            Ok(bytes) if contains(&bytes, LIBSTDCXX_NEEDED) => {
                Feature::offered(Subject::Programs, name, path.display().to_string())
            }
            Ok(_) => Feature::missing(
                Subject::Programs,
                name,
                format!("{} is too old: GCC 5.1's is the least", path.display()),
                costs,
            ),
            Err(error) => Feature::missing(
                Subject::Programs,
                name,
                format!("{}: {error}", path.display()),
                costs,
            ),
        },
        _ => {
            let feature = Feature::missing(
                Subject::Programs,
                name,
                "libstdc++.so.6 or libgcc_s.so.1 is not there",
                costs,
            );
            let managers = [
                ("/usr/bin/apt-get", "sudo apt-get install libstdc++6"),
                ("/usr/bin/dnf", "sudo dnf install libstdc++"),
                ("/usr/bin/zypper", "sudo zypper install libstdc++6"),
                ("/usr/bin/pacman", "sudo pacman -S gcc-libs"),
                ("/sbin/apk", "sudo apk add libstdc++"),
            ];
            match managers.iter().find(|(program, _)| Path::new(program).exists()) {
                Some((_, command)) => feature.mend(*command),
                None => feature,
            }
        }
    }
}

/// Where the loader looks: the usual places, and what `/etc/ld.so.conf.d` adds.
fn library_folders() -> Vec<PathBuf> {
    let triplet = format!("{}-linux-gnu", std::env::consts::ARCH);
    let mut folders: Vec<PathBuf> = ["/usr/lib", "/lib", "/usr/local/lib"]
        .iter()
        .flat_map(|folder| [Path::new(folder).join(&triplet), PathBuf::from(folder)])
        .chain(["/usr/lib64", "/lib64"].map(PathBuf::from))
        .collect();
    let configured = fs::read_dir("/etc/ld.so.conf.d").into_iter().flatten().flatten();
    for file in configured {
        let text = fs::read_to_string(file.path()).unwrap_or_default();
        folders.extend(
            text.lines()
                .filter(|line| line.starts_with('/'))
                .map(PathBuf::from),
        );
    }
    folders
}

fn contains(bytes: &[u8], wanted: &[u8]) -> bool {
    bytes.windows(wanted.len()).any(|window| window == wanted)
}

fn disk(data_dir: &Path) -> Feature {
    let name = "disk";
    let folder = existing(data_dir);
    let shown = folder.display();
    let stat = match statvfs(folder) {
        Ok(stat) => stat,
        Err(errno) => {
            return Feature::missing(
                Subject::Machine,
                name,
                format!("{shown}: {errno}"),
                "nothing can be kept",
            );
        }
    };
    let free = Bytes(stat.blocks_available() as u64 * stat.fragment_size() as u64);
    if stat.flags().contains(FsFlags::ST_NOEXEC) {
        return Feature::missing(
            Subject::Machine,
            name,
            format!("{shown} is mounted noexec"),
            "Node.js cannot be executed from there",
        )
        .mend("export REDHOLD_DATA_DIR=/another/folder");
    }
    if let Err(error) = tempfile::tempfile_in(folder) {
        return Feature::missing(
            Subject::Machine,
            name,
            format!("{shown}: {error}"),
            "nothing can be kept",
        )
        .mend("export REDHOLD_DATA_DIR=/another/folder");
    }
    let detail = format!("{free} free in {shown}");
    match free {
        free if free < DISK_NEEDED => Feature::missing(
            Subject::Machine,
            name,
            detail,
            "the first stack does not fit: it takes 400 MiB",
        ),
        free if free < DISK_WANTED => {
            Feature::partial(Subject::Machine, name, detail, "a second stack may not fit")
        }
        _ => Feature::offered(Subject::Machine, name, detail),
    }
}

/// `/proc/swaps` has one line of headings, then one per area.
fn swap() -> Feature {
    let costs = "idle instances keep their memory; fewer fit on this machine";
    let Ok(text) = fs::read_to_string("/proc/swaps") else {
        return Feature::missing(Subject::Machine, "swap", "this kernel has no swap", costs);
    };
    let areas: Vec<&str> = text
        .lines()
        .skip(1)
        .filter_map(|line| line.split_whitespace().next())
        .collect();
    if areas.is_empty() {
        return Feature::missing(Subject::Machine, "swap", "neither swap nor zram", costs).mend(
            "sudo fallocate -l 1G /swapfile && sudo chmod 600 /swapfile && sudo mkswap /swapfile && \
             sudo swapon /swapfile && echo '/swapfile none swap sw 0 0' | sudo tee -a /etc/fstab",
        );
    }
    Feature::offered(Subject::Machine, "swap", areas.join(", "))
}

fn clock() -> Feature {
    let now = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    if now < OLDEST_NOW {
        return Feature::missing(
            Subject::Machine,
            "clock",
            "the clock stands before 2025",
            "certificates of registries look as if they were not valid yet: nothing can be fetched",
        )
        .mend("sudo timedatectl set-ntp true");
    }
    match fs::read_to_string("/proc/sys/kernel/random/boot_id") {
        Ok(_) => Feature::offered(Subject::Machine, "clock", "set; boots are told apart"),
        Err(error) => Feature::missing(
            Subject::Machine,
            "clock",
            format!("/proc/sys/kernel/random/boot_id: {error}"),
            "after a reboot an old record could be taken for a running instance",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loader_s_answer_is_read() {
        assert_eq!(
            glibc_version("ld.so (Debian GLIBC 2.36-9+deb12u10) stable release version 2.36.\nCopyright"),
            Some((2, 36))
        );
        assert_eq!(
            glibc_version("ld.so (GNU libc) development release version 2.42."),
            Some((2, 42))
        );
        assert_eq!(glibc_version(""), None);
        assert_eq!(glibc_version("--version: cannot open shared object file"), None);
    }
}
