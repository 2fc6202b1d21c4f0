//! The hidden role `redhold probe <what> [place]`: a process of its own that tries things which cannot be undone.
//!
//! It prints one line per step, `step<TAB>errno<TAB>words`; errno 0 is success. Single-threaded, as `unshare(2)`
//! demands for user namespaces.

use std::fs;
use std::io::{self, Write};
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};

use landlock::{ABI, Access, AccessFs, LandlockStatus, Ruleset, RulesetAttr};
use nix::errno::Errno;
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::unistd::{getegid, geteuid, getsid};
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, apply_filter};

use crate::sandbox::quota::project::TRIAL_WRITES;
use crate::sandbox::sources;
use crate::sandbox::worker;
use crate::sys::clone::SingleThread;

/// Namespaces beside the user's, with the step that names them.
pub(super) const NAMESPACES: [(&str, CloneFlags); 6] = [
    ("mount", CloneFlags::CLONE_NEWNS),
    ("ipc", CloneFlags::CLONE_NEWIPC),
    ("uts", CloneFlags::CLONE_NEWUTS),
    ("cgroup", CloneFlags::CLONE_NEWCGROUP),
    ("pid", CloneFlags::CLONE_NEWPID),
    ("net", CloneFlags::CLONE_NEWNET),
];

/// Runs the role.
#[must_use]
pub fn run(what: Option<&str>, place: Option<&Path>) -> ExitCode {
    match what {
        Some("walls") => walls(),
        Some("proc") => report("proc", new_proc().map(|()| String::new())),
        Some("filters") => {
            report("landlock", landlock());
            report("seccomp", seccomp());
        }
        Some("vet-worker") => vet_worker(),
        Some("overrun") => return overrun(),
        Some("owners") => {
            let Some(place) = place else {
                return ExitCode::FAILURE;
            };
            let tried = SingleThread::prove().and_then(|single| sources::try_translation(&single, place));
            report("owners", tried.map(|()| String::new()));
        }
        _ => return ExitCode::FAILURE,
    }
    ExitCode::SUCCESS
}

fn walls() {
    let user = user_namespace();
    let inside = user.is_ok();
    report("user", user.map(|()| String::new()));
    if !inside {
        return;
    }
    for (name, flag) in NAMESPACES {
        report(
            name,
            unshare(flag).map(|()| String::new()).map_err(io::Error::from),
        );
    }
    report("private-root", private_root().map(|()| String::new()));
    // The next child is the first process of the new pid namespace, the only one that may mount its /proc.
    let child = Command::new("/proc/self/exe")
        .args(["probe", "proc"])
        .stdin(Stdio::null())
        .status();
    if let Err(error) = child {
        report("proc", Err(error));
    }
}

/// What is left to a process that has closed itself in as a vetting worker does.
fn vet_worker() {
    let closed = worker::close_in(1 << 30).map_err(io::Error::other);
    let inside = closed.is_ok();
    report("close-in", closed.map(|()| String::new()));
    if !inside {
        return;
    }
    let done = |outcome: io::Result<()>| outcome.map(|()| String::new());
    report("read", done(fs::read("/etc/passwd").map(drop)));
    report("list", done(fs::read_dir("/").map(drop)));
    report("write", done(fs::write("/tmp/redhold-vet-worker", "")));
    report(
        "connect",
        done(std::net::TcpStream::connect(("127.0.0.1", 9)).map(drop)),
    );
    report(
        "listen",
        done(std::net::TcpListener::bind(("127.0.0.1", 0)).map(drop)),
    );
    report(
        "unix",
        done(std::os::unix::net::UnixDatagram::unbound().map(drop)),
    );
    report(
        "start",
        done(Command::new("/bin/true").stdin(Stdio::null()).status().map(drop)),
    );
    let parent = nix::unistd::getppid();
    report(
        "signal",
        done(nix::sys::signal::kill(parent, None).map_err(io::Error::from)),
    );
    report(
        "namespace",
        done(unshare(CloneFlags::CLONE_NEWUSER).map_err(io::Error::from)),
    );
    let thread = std::thread::spawn(|| vec![1_u8; 1 << 20].len());
    report(
        "thread",
        thread
            .join()
            .map(|_| String::new())
            .map_err(|_| io::Error::other("no thread")),
    );
    let most = std::panic::catch_unwind(|| {
        Vec::<u8>::with_capacity(1 << 20)
            .try_reserve_exact(2 << 30)
            .is_err()
    });
    report(
        "memory",
        most.map(|refused| refused.to_string())
            .map_err(|_| io::Error::other("a panic")),
    );
}

/// Uid 0 inside, because a change of program image would drop the capabilities of any other.
fn user_namespace() -> io::Result<()> {
    let (uid, gid) = (geteuid(), getegid());
    unshare(CloneFlags::CLONE_NEWUSER)?;
    // Without this an unprivileged process may not map its group (user_namespaces(7)).
    fs::write("/proc/self/setgroups", "deny")?;
    fs::write("/proc/self/uid_map", format!("0 {uid} 1"))?;
    fs::write("/proc/self/gid_map", format!("0 {gid} 1"))
}

fn private_root() -> io::Result<()> {
    const NOTHING: Option<&str> = None;
    mount(
        NOTHING,
        "/",
        NOTHING,
        MsFlags::MS_REC | MsFlags::MS_PRIVATE,
        NOTHING,
    )?;
    let place = ["/tmp", "/mnt", "/run", "/var"]
        .into_iter()
        .find(|place| Path::new(place).is_dir())
        .unwrap_or("/");
    mount(Some("none"), place, Some("tmpfs"), MsFlags::empty(), NOTHING)?;
    Ok(())
}

fn new_proc() -> io::Result<()> {
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    mount(Some("proc"), "/proc", Some("proc"), flags, None::<&str>)?;
    Ok(())
}

/// Locks itself in for good; the words are the kernel's ABI number.
fn landlock() -> io::Result<String> {
    let other = |error: landlock::RulesetError| io::Error::other(error);
    let status = Ruleset::default()
        .handle_access(AccessFs::from_all(ABI::V1))
        .and_then(Ruleset::create)
        .and_then(landlock::RulesetCreated::restrict_self)
        .map_err(other)?;
    match status.landlock {
        LandlockStatus::Available {
            effective_abi,
            kernel_abi,
        } => Ok(kernel_abi.unwrap_or(effective_abi as i32).to_string()),
        LandlockStatus::NotEnabled => Err(Errno::EOPNOTSUPP.into()),
        LandlockStatus::NotImplemented => Err(Errno::ENOSYS.into()),
    }
}

/// Forbids a call that nobody needs here, then makes it.
fn seccomp() -> io::Result<String> {
    let arch = std::env::consts::ARCH;
    let filter = SeccompFilter::new(
        [(libc::SYS_getsid, Vec::new())].into(),
        SeccompAction::Allow,
        SeccompAction::Errno(Errno::EXFULL as u32),
        arch.try_into().map_err(|_| io::Error::from(Errno::ENOSYS))?,
    );
    let program: BpfProgram = filter
        .and_then(SeccompFilter::try_into)
        .map_err(io::Error::other)?;
    apply_filter(&program).map_err(io::Error::other)?;
    match getsid(None) {
        Err(Errno::EXFULL) => Ok(arch.to_owned()),
        _ => Err(io::Error::other("a filter was accepted and does nothing")),
    }
}

/// Writes into its standard output until a quota stops it; fails when none does.
fn overrun() -> ExitCode {
    let piece = vec![1_u8; 64 << 10];
    let mut left = TRIAL_WRITES.0;
    while let Some(rest) = left.checked_sub(piece.len() as u64) {
        left = rest;
        match io::stdout().write_all(&piece).and_then(|()| io::stdout().flush()) {
            Ok(()) => {}
            Err(error) if error.raw_os_error() == Some(libc::EDQUOT) => return ExitCode::SUCCESS,
            Err(_) => break,
        }
    }
    ExitCode::FAILURE
}

fn report(step: &str, outcome: io::Result<String>) {
    let (errno, words) = match outcome {
        Ok(words) => (0, words),
        Err(error) => (error.raw_os_error().unwrap_or(-1), error.to_string()),
    };
    // Who started us reads what there is; without a reader nobody wants to know.
    let _ = writeln!(io::stdout(), "{step}\t{errno}\t{words}");
}
