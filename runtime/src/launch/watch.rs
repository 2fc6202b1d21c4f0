//! Calls of the program about which the keeper is asked (`policies/watched.json`): judged, answered, recorded.
//!
//! What the caller wrote into its memory (the path of a program) it can change between our look and the kernel's, so
//! a path never decides alone that something is let through where it would otherwise be refused: with
//! [`Watch::enforce`] Landlock lets only the named files execute ([`crate::sandbox::landlock`]), whatever was read here.
//! Refusing by a path is safe: who lies is refused. Everything that is judged by numbers cannot be changed.
//!
//! While a call waits its caller sleeps. So a flood costs the keeper no more than a bounded share of its time: beyond
//! some hundred calls in a tenth of a second the rest waits. When the keeper is gone, these calls fail with `ENOSYS`.

use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::attempts::{LONGEST, Tried, file_name};
use crate::record::Attempted;
use crate::spec::{Programs, Watch};
use crate::sys::notify::{self, Notice};

/// Calls that are answered within a window, and how long that is: five milliseconds of work at most.
const PER_WINDOW: u32 = 200;
const WINDOW: Duration = Duration::from_millis(100);

/// Longest path that is read; the kernel takes no longer ones.
const PATH_MAX: usize = 4096;
/// The path is empty and the descriptor is the program (`execveat(2)`).
const EMPTY_PATH: u64 = libc::AT_EMPTY_PATH as u64;

/// See the module.
pub(crate) struct Watcher {
    listener: Option<OwnedFd>,
    allowed: Watch,
    window: (Instant, u32),
    /// The last execution that was let through, by thread and file name: one that looks for a program along `PATH` is one
    /// attempt.
    searching: Option<(u32, String)>,
}

impl Watcher {
    pub(crate) fn new(listener: OwnedFd, allowed: Watch) -> Self {
        Self {
            listener: Some(listener),
            allowed,
            window: (Instant::now(), 0),
            searching: None,
        }
    }

    /// What to poll, unless everybody waits.
    pub(crate) fn source(&self) -> Option<BorrowedFd<'_>> {
        let listener = self.listener.as_ref().map(AsFd::as_fd);
        listener.filter(|_| self.window.1 < PER_WINDOW)
    }

    /// When those who wait are heard again.
    pub(crate) fn pause(&self) -> Option<Instant> {
        let waiting = self.listener.is_some() && self.window.1 >= PER_WINDOW;
        waiting.then(|| self.window.0 + WINDOW)
    }

    /// Ends a pause that is over.
    pub(crate) fn resume(&mut self) {
        if self.pause().is_some_and(|end| end <= Instant::now()) {
            self.window = (Instant::now(), 0);
        }
    }

    /// Answers one call; what was tried by it that is not allowed.
    pub(crate) fn serve(&mut self) -> Option<Tried> {
        if self.window.0.elapsed() >= WINDOW {
            self.window = (Instant::now(), 0);
        }
        self.window.1 += 1;
        let listener = self.listener.as_ref()?.as_fd();
        if !has_call(listener) {
            // Everybody who could ask has ended; to wait for a call would take for ever.
            self.listener = None;
            return None;
        }
        // Its caller may just have died.
        let notice = notify::receive(listener).ok()?;
        let Call {
            what,
            name,
            allowed,
            hard,
        } = judge(&notice, &self.allowed);
        if !notify::still_waits(listener, notice.id) {
            // What was read may have been somebody else's.
            return None;
        }
        let refused = !allowed && (self.allowed.enforce || hard);
        // The caller may be dead by now; it tried all the same.
        let _ = notify::respond(listener, notice.id, refused.then_some(libc::EPERM));
        if allowed {
            return None;
        }
        if what == Attempted::Execute && !refused {
            let search = (notice.thread, file_name(&name).to_owned());
            if self.searching.as_ref() == Some(&search) {
                return None;
            }
            self.searching = Some(search);
        }
        Some(Tried {
            what,
            name,
            times: 1,
            refused,
        })
    }
}

/// Lets the first call go on, when there is one: the program's own execution, before anything of it ran.
///
/// # Errors
/// The kernel's.
pub(crate) fn let_begin(listener: BorrowedFd<'_>) -> io::Result<()> {
    if !has_call(listener) {
        return Ok(());
    }
    let notice = notify::receive(listener)?;
    notify::respond(listener, notice.id, None)
}

/// Whether a call waits, of a listener that has something to say.
fn has_call(listener: BorrowedFd<'_>) -> bool {
    let mut polled = [PollFd::new(listener, PollFlags::POLLIN)];
    let asked = poll(&mut polled, PollTimeout::ZERO).is_ok();
    asked
        && polled[0]
            .revents()
            .is_some_and(|events| events.contains(PollFlags::POLLIN))
}

/// A call, judged.
struct Call {
    what: Attempted,
    name: String,
    allowed: bool,
    /// It is allowed to nobody, whatever is enforced.
    hard: bool,
}

fn judge(notice: &Notice, allowed: &Watch) -> Call {
    let [first, second, third, _, fifth, _] = notice.arguments;
    let path = match notice.call {
        // The kernel takes the lower half of each.
        libc::SYS_socket => return socket(first as u32, second as u32, third as u32, allowed),
        libc::SYS_execveat => match path_at(notice.thread, second) {
            path if path.is_empty() && fifth & EMPTY_PATH != 0 => link_of(notice.thread, first),
            path => path,
        },
        _ => path_at(notice.thread, first),
    };
    Call {
        what: Attempted::Execute,
        allowed: may_execute(&allowed.programs, &path),
        name: path,
        hard: false,
    }
}

/// A socket: a raw one of an internet protocol that is there for everybody, or one of those that `policies/node.json` refuses
/// to all. What is not known to be the first is the second.
fn socket(family: u32, kind: u32, number: u32, allowed: &Watch) -> Call {
    const TYPE: u32 = 15;
    let raw = kind & TYPE == libc::SOCK_RAW as u32;
    let usual = match family.cast_signed() {
        libc::AF_INET => matches!(number, 0 | 1 | 6 | 17),
        libc::AF_INET6 => matches!(number, 0 | 6 | 17 | 58),
        _ => false,
    };
    if raw && usual {
        return Call {
            what: Attempted::RawSocket,
            name: protocol(number).to_owned(),
            allowed: allowed.raw_sockets,
            hard: false,
        };
    }
    Call {
        what: Attempted::Socket,
        name: kind_of(family, kind & TYPE, number),
        allowed: false,
        hard: true,
    }
}

/// A socket that nobody gets, by its usual name where that is known.
fn kind_of(family: u32, kind: u32, number: u32) -> String {
    match family.cast_signed() {
        libc::AF_INET | libc::AF_INET6 => format!("internet, type {kind}, protocol {number}"),
        libc::AF_NETLINK => format!("netlink, protocol {number}"),
        libc::AF_PACKET => "packet".to_owned(),
        libc::AF_ALG => "alg".to_owned(),
        libc::AF_VSOCK => "vsock".to_owned(),
        libc::AF_BLUETOOTH => "bluetooth".to_owned(),
        libc::AF_CAN => "can".to_owned(),
        other => format!("number {other}"),
    }
}

fn may_execute(programs: &Programs, path: &str) -> bool {
    match programs {
        Programs::Any => true,
        Programs::Named(names) => names
            .iter()
            .any(|name| name == path || (!name.contains('/') && name == file_name(path))),
    }
}

/// The protocol of an internet socket, by its usual name.
const fn protocol(number: u32) -> &'static str {
    match number {
        1 => "icmp",
        58 => "icmp6",
        6 => "tcp",
        17 => "udp",
        _ => "raw",
    }
}

/// A text in the memory of a thread that waits for us.
fn path_at(thread: u32, address: u64) -> String {
    let mut buffer = [0; PATH_MAX];
    let read = File::open(format!("/proc/{thread}/mem")).map(|memory| fill(&memory, address, &mut buffer));
    let Ok(count) = read else {
        return "a program whose path cannot be read".to_owned();
    };
    let text = buffer[..count]
        .split(|byte| *byte == 0)
        .next()
        .unwrap_or_default();
    // A longer path is no file's that anybody would allow.
    String::from_utf8_lossy(&text[..text.len().min(PATH_MAX)]).into_owned()
}

/// Reads page by page: the next one may not be there.
fn fill(memory: &File, address: u64, buffer: &mut [u8]) -> usize {
    const PAGE: u64 = 4096;
    let mut done = 0;
    while done < buffer.len() {
        let at = address.wrapping_add(done as u64);
        let rest = usize::try_from(PAGE - at % PAGE)
            .unwrap_or(1)
            .min(buffer.len() - done);
        match memory.read_at(&mut buffer[done..done + rest], at) {
            Ok(count @ 1..) if !buffer[done..done + count].contains(&0) => done += count,
            Ok(count) => return done + count,
            Err(_) => return done,
        }
    }
    done
}

/// What a descriptor of the thread stands for, as the kernel names it.
fn link_of(thread: u32, descriptor: u64) -> String {
    let number = descriptor as u32;
    fs::read_link(format!("/proc/{thread}/fd/{number}")).map_or_else(
        |_| "a program without a path".to_owned(),
        |path| path.to_string_lossy().chars().take(LONGEST).collect(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_named_by_file_or_path() {
        let named = Programs::Named(vec!["ping".to_owned(), "/opt/tool".to_owned()]);
        for (path, may) in [
            ("/usr/bin/ping", true),
            ("ping", true),
            ("/usr/bin/ping6", false),
            ("/opt/tool", true),
            ("/data/tool", false),
            ("tool", false),
            ("", false),
        ] {
            assert_eq!(may_execute(&named, path), may, "{path}");
        }
        assert!(may_execute(&Programs::Any, "/x"));
        assert!(!may_execute(&Programs::Named(Vec::new()), ""));
    }

    #[test]
    fn only_raw_sockets_of_usual_protocols_can_be_allowed() {
        let watch = Watch {
            enforce: false,
            programs: Programs::Any,
            raw_sockets: true,
            words: String::new(),
        };
        for (family, kind, number, hard, name) in [
            (2, 3, 1, false, "icmp"),
            (10, 3 | 0o2_000_000, 58, false, "icmp6"),
            (2, 3, 255, true, "internet, type 3, protocol 255"),
            (2, 1, 132, true, "internet, type 1, protocol 132"),
            (2, 5, 0, true, "internet, type 5, protocol 0"),
            (17, 3, 768, true, "packet"),
            (38, 5, 0, true, "alg"),
            (16, 3, 9, true, "netlink, protocol 9"),
            (44, 1, 0, true, "number 44"),
            (u32::MAX, 3, 0, true, "number -1"),
        ] {
            let call = socket(family, kind, number, &watch);
            assert_eq!((call.hard, call.allowed, call.name.as_str()), (hard, !hard, name));
        }
    }

    #[test]
    fn texts_are_read_to_their_end_and_no_further() {
        let own = std::process::id();
        let text = b"/usr/bin/ping\0not this\0";
        assert_eq!(path_at(own, text.as_ptr() as u64), "/usr/bin/ping");
        assert_eq!(path_at(own, 0), "");
        let long = vec![b'x'; 3 * PATH_MAX];
        assert_eq!(path_at(own, long.as_ptr() as u64).len(), PATH_MAX);
    }
}
