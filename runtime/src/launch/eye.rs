//! Whether an event loop waits for events, as the kernel shows it: asking the program itself would wake it for nothing.
//!
//! `/proc/[pid]/syscall` (`proc(5)`) names the system call in which a thread sleeps, with its arguments. A loop that has
//! nothing to do sleeps in `epoll_wait(2)`, on the set that also holds the program's channel to its keeper. That set is
//! what counts: `child_process.spawnSync` runs a loop of its own on the same thread, and it is held up meanwhile.
//!
//! The files are opened once, so that a later process of the same number is never taken for this one. A keeper may read
//! them because it made the user namespace of its instance (`user_namespaces(7)`) or is of the same user; a kernel that
//! is told to keep it from everybody (Yama's `ptrace_scope` 3, or a security module) makes it blind.

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::os::unix::fs::FileExt;
use std::time::Duration;

/// The program's end of its channel, by its number inside (`program::arrange`).
const CHANNEL: &str = "4";

/// The calls in which a loop waits. Newer architectures have only some of them.
#[cfg(target_arch = "x86_64")]
const WAITS: [libc::c_long; 3] = [
    libc::SYS_epoll_wait,
    libc::SYS_epoll_pwait,
    libc::SYS_epoll_pwait2,
];
#[cfg(not(target_arch = "x86_64"))]
const WAITS: [libc::c_long; 2] = [libc::SYS_epoll_pwait, libc::SYS_epoll_pwait2];

/// The main thread of a program.
pub(super) struct Eye {
    pid: i32,
    syscall: File,
    stat: File,
    /// Not on every kernel.
    schedstat: Option<File>,
    /// The set that is known to hold the channel.
    set: Option<u64>,
}

impl Eye {
    /// # Errors
    /// When the process is gone, or the kernel does not show what it waits for.
    pub(super) fn on(pid: i32) -> io::Result<Self> {
        let open = |name: &str| File::open(format!("/proc/{pid}/task/{pid}/{name}"));
        let eye = Self {
            pid,
            syscall: open("syscall")?,
            stat: open("stat")?,
            schedstat: open("schedstat").ok(),
            set: None,
        };
        // Who may know is decided at the first reading, not at opening.
        read(&eye.syscall, &mut [0; 256])?;
        Ok(eye)
    }

    /// Whether the loop waits for its events now. An error is no proof that it does.
    pub(super) fn waits(&mut self) -> bool {
        let mut buffer = [0; 256];
        let Some(set) = read(&self.syscall, &mut buffer).ok().and_then(waited_on) else {
            return false;
        };
        if self.set != Some(set) {
            if !self.holds_the_channel(set) {
                return false;
            }
            self.set = Some(set);
        }
        // A thread that was stopped (SIGSTOP, a debugger) stands in the same call and will not leave it.
        read(&self.stat, &mut buffer).ok().and_then(state) == Some('S')
    }

    /// Processor time that the thread has used, where the kernel says.
    pub(super) fn ran(&self) -> Option<Duration> {
        let mut buffer = [0; 256];
        let text = read(self.schedstat.as_ref()?, &mut buffer).ok()?;
        text.split(' ').next()?.parse().ok().map(Duration::from_nanos)
    }

    /// A line per descriptor; read piece by piece, for a program may have any number of them.
    fn holds_the_channel(&self, set: u64) -> bool {
        let Ok(file) = File::open(format!("/proc/{}/fdinfo/{set}", self.pid)) else {
            return false;
        };
        let mut lines = BufReader::new(file).lines().map_while(Result::ok);
        lines.any(|line| {
            let mut words = line.split_ascii_whitespace();
            words.next() == Some("tfd:") && words.next() == Some(CHANNEL)
        })
    }
}

fn read<'buffer>(file: &File, buffer: &'buffer mut [u8]) -> io::Result<&'buffer str> {
    let count = file.read_at(buffer, 0)?;
    std::str::from_utf8(&buffer[..count]).map_err(io::Error::other)
}

/// The epoll descriptor, of a thread that sleeps in a wait for events.
fn waited_on(syscall: &str) -> Option<u64> {
    let mut words = syscall.split(' ');
    let number: libc::c_long = words.next()?.parse().ok()?;
    let set = u64::from_str_radix(words.next()?.strip_prefix("0x")?, 16).ok()?;
    WAITS.contains(&number).then_some(set)
}

fn state(stat: &str) -> Option<char> {
    let (_, rest) = stat.rsplit_once(") ")?;
    rest.chars().next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_wait_for_events_names_a_set() {
        let wait = WAITS[0];
        let line =
            |number: libc::c_long| format!("{number} 0xd 0x7ffc 0x400 0xffffffff 0x0 0x8 0x7ffd 0x7f14");
        assert_eq!(waited_on(&line(wait)), Some(13));
        for other in [
            "running\n".to_owned(),
            "-1 0x7ffc 0x7f14\n".to_owned(),
            line(libc::SYS_futex),
            format!("{wait}"),
            String::new(),
        ] {
            assert_eq!(waited_on(&other), None, "{other}");
        }
        assert_eq!(state("7 (evil) R) T 1 2"), Some('T'));
    }

    #[test]
    fn a_thread_that_sleeps_elsewhere_does_not_wait_for_events() -> io::Result<()> {
        let child = std::process::Command::new("sleep").arg("20").spawn()?;
        let pid = i32::try_from(child.id()).map_err(io::Error::other)?;
        let eye = Eye::on(pid);
        let waits = eye.map(|mut eye| (eye.waits(), eye.ran()));
        let mut child = child;
        child.kill()?;
        child.wait()?;
        assert!(!waits?.0);
        Ok(())
    }
}
