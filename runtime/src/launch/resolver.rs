//! The host's resolver configuration for an instance on the host's network.
//!
//! A machine that changes networks replaces `/etc/resolv.conf`, or the file that it links to, by a rename, and a mount
//! of the old file would show the old network's servers for ever. So the instance is shown a copy that stays the same
//! file, and the keeper writes into it what the host says now. The C library looks at the file's times before each
//! question (`resolv_conf.c` of glibc 2.26 and newer).

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::{FileExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};

use crate::error::or_absent;

/// Where the C library, and everybody else, looks.
pub(crate) const HOST: &str = "/etc/resolv.conf";

/// Nobody has more servers than fit into this.
const LARGEST: u64 = 64 * 1024;

/// The domains that a configuration has put behind short names (`resolv.conf(5)`), in lower case.
pub(crate) fn search(text: &str) -> Vec<String> {
    let lines = text.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        matches!(words.next(), Some("search" | "domain")).then_some(words)
    });
    lines
        .flatten()
        .map(|domain| domain.trim_end_matches('.').to_ascii_lowercase())
        .filter(|domain| !domain.is_empty())
        .collect()
}

/// The copy, and what tells that it is out of date.
pub(crate) struct Resolver {
    host: PathBuf,
    copy: File,
    text: Vec<u8>,
    /// None where this user's watchers are used up (`fs.inotify.max_user_instances`, often 128): then the instance
    /// keeps what it began with.
    changes: Option<Inotify>,
}

impl Resolver {
    /// Copies `host` to `path`, which is made anew, and watches.
    ///
    /// # Errors
    /// When the copy cannot be made.
    pub(crate) fn new(host: &Path, path: &Path) -> io::Result<Self> {
        or_absent(fs::remove_file(path))?;
        let copy = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o644)
            .open(path)?;
        // The keeper's mask would leave it to the keeper's user alone.
        copy.set_permissions(Permissions::from_mode(0o644))?;
        let changes = Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK).ok();
        let mut resolver = Self {
            host: host.to_owned(),
            copy,
            text: Vec::new(),
            changes,
        };
        resolver.refresh();
        Ok(resolver)
    }

    /// What to poll.
    pub(crate) fn source(&self) -> Option<BorrowedFd<'_>> {
        self.changes.as_ref().map(AsFd::as_fd)
    }

    /// Takes in what the host says now. What cannot be read is taken for a moment between two files.
    pub(crate) fn refresh(&mut self) {
        if let Some(changes) = &self.changes {
            while changes.read_events().is_ok_and(|events| !events.is_empty()) {}
            // Watched first: what changes after this look is told again.
            self.watch(changes);
        }
        let mut text = Vec::new();
        let read = File::open(&self.host).and_then(|file| file.take(LARGEST).read_to_end(&mut text));
        if read.is_err() || text == self.text {
            return;
        }
        // Written before it is cut, so that no reader ever finds it empty.
        if self.copy.write_all_at(&text, 0).is_ok() && self.copy.set_len(text.len() as u64).is_ok() {
            self.text = text;
        }
    }

    /// Watches the folders of the name and of the file that it leads to, which may be another one by now.
    fn watch(&self, changes: &Inotify) {
        let real = self.host.canonicalize().ok();
        for path in [Some(&self.host), real.as_ref()].into_iter().flatten() {
            let Some(folder) = path.parent() else { continue };
            let what = AddWatchFlags::IN_CLOSE_WRITE
                | AddWatchFlags::IN_MOVED_TO
                | AddWatchFlags::IN_CREATE
                | AddWatchFlags::IN_ONLYDIR;
            // A folder that is watched already stays so; one that cannot be watched changes nothing for the instance
            // but that it keeps what it has.
            let _ = changes.add_watch(folder, what);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

    use super::*;

    /// Waits for the kernel's word, as the keeper does.
    fn told(resolver: &mut Resolver) {
        let mut polled = [PollFd::new(
            resolver.source().expect("a watcher"),
            PollFlags::POLLIN,
        )];
        assert_eq!(poll(&mut polled, PollTimeout::from(5000_u16)), Ok(1));
        resolver.refresh();
    }

    #[test]
    fn the_copy_follows_whatever_becomes_of_the_original() -> io::Result<()> {
        let dir = tempfile::tempdir()?;
        let path = |name: &str| dir.path().join(name);
        for folder in ["etc", "run", "other"] {
            fs::create_dir(path(folder))?;
        }
        let (host, copy) = (path("etc/resolv.conf"), path("copy"));
        fs::write(path("run/stub.conf"), "nameserver 192.0.2.1\n")?;
        symlink("../run/stub.conf", &host)?;
        let mut resolver = Resolver::new(&host, &copy)?;
        // What the instance holds open.
        let shown = File::open(&copy)?;
        let expect = |text: &str| {
            let mut found = String::new();
            let mut again = &shown;
            io::Seek::rewind(&mut again)?;
            again.read_to_string(&mut found)?;
            assert_eq!(found, text);
            io::Result::Ok(())
        };
        expect("nameserver 192.0.2.1\n")?;

        fs::write(path("run/new"), "nameserver 192.0.2.2\noptions edns0\n")?;
        fs::rename(path("run/new"), path("run/stub.conf"))?;
        told(&mut resolver);
        expect("nameserver 192.0.2.2\noptions edns0\n")?;

        fs::write(path("run/stub.conf"), "nameserver 192.0.2.3\n")?;
        told(&mut resolver);
        expect("nameserver 192.0.2.3\n")?;

        // Another program takes over, with a file elsewhere, and goes on from there.
        fs::write(path("other/resolv.conf"), "nameserver 192.0.2.4\n")?;
        fs::remove_file(&host)?;
        resolver.refresh();
        expect("nameserver 192.0.2.3\n")?;
        symlink("../other/resolv.conf", &host)?;
        told(&mut resolver);
        expect("nameserver 192.0.2.4\n")?;
        fs::write(path("other/resolv.conf"), "")?;
        told(&mut resolver);
        expect("")?;
        Ok(())
    }

    #[test]
    fn a_host_without_one_may_get_one() -> io::Result<()> {
        let dir = tempfile::tempdir()?;
        let (host, copy) = (dir.path().join("resolv.conf"), dir.path().join("copy"));
        let mut resolver = Resolver::new(&host, &copy)?;
        assert_eq!(fs::read(&copy)?, b"");
        fs::write(&host, "nameserver 192.0.2.1\n")?;
        told(&mut resolver);
        assert_eq!(fs::read(&copy)?, b"nameserver 192.0.2.1\n");
        Ok(())
    }
}
