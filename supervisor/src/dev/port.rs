//! The front's port: taken, or who has it.

use std::fs;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, TcpListener};
use std::path::Path;

use crate::problem::{Code, Problem};

/// Node-RED's own.
const DEFAULT: u16 = 1880;

/// How many ports after a busy default one are tried.
const TRIED: u16 = 50;

/// Listening sockets on one port of the loopback addresses.
#[derive(Debug)]
pub(super) struct Taken {
    pub(super) listeners: Vec<TcpListener>,
    pub(super) port: u16,
    /// Who holds the default port, when another was taken for that.
    pub(super) instead: Option<String>,
}

/// Takes the wanted port, or else the default one or the next that is free. 0 lets the kernel choose.
pub(super) fn take(wanted: Option<u16>) -> Result<Taken, Problem> {
    let first = wanted.unwrap_or(DEFAULT);
    let last = if wanted.is_some() { first } else { first + TRIED };
    for port in first..=last {
        match bind(port) {
            Ok((listeners, port)) => {
                let instead = (port != first && first != 0).then(|| holder(first));
                return Ok(Taken {
                    listeners,
                    port,
                    instead,
                });
            }
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {}
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                let message = format!("port {port} needs privileges that you do not have");
                return Err(Problem::new(Code::Usage, message).hint("choose a port above 1023"));
            }
            Err(error) => {
                return Err(Problem::new(Code::Host, format!("cannot listen on port {port}")).because(error));
            }
        }
    }
    let message = format!("port {first} is in use by {}", holder(first));
    let problem = Problem::new(Code::Busy, message);
    Err(problem.hint("stop it, or choose another port with --port"))
}

/// Listens on both loopback addresses; `localhost` may mean either, so a port that a stranger holds on one of them
/// is no good. A machine without IPv6 has only one.
fn bind(port: u16) -> io::Result<(Vec<TcpListener>, u16)> {
    let four = TcpListener::bind((Ipv4Addr::LOCALHOST, port))?;
    let port = four.local_addr()?.port();
    match TcpListener::bind((Ipv6Addr::LOCALHOST, port)) {
        Ok(six) => Ok((vec![four, six], port)),
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => Err(error),
        Err(_) => Ok((vec![four], port)),
    }
}

/// Who listens on a port, in words.
fn holder(port: u16) -> String {
    let proc = Path::new("/proc");
    let inodes: Vec<String> = ["net/tcp", "net/tcp6"]
        .iter()
        .filter_map(|table| fs::read_to_string(proc.join(table)).ok())
        .flat_map(|table| listening(&table, port))
        .collect();
    process_with(proc, &inodes).unwrap_or_else(|| "a process of another user".to_owned())
}

/// The socket inodes that listen on a port, from a table of `/proc/net` (`proc(5)`).
fn listening(table: &str, port: u16) -> Vec<String> {
    const LISTEN: &str = "0A";
    let rows = table
        .lines()
        .skip(1)
        .map(|row| row.split_whitespace().collect::<Vec<_>>());
    rows.filter(|fields| {
        let local = fields.get(1).and_then(|address| address.rsplit_once(':'));
        let on_port = local.is_some_and(|(_, hex)| u16::from_str_radix(hex, 16) == Ok(port));
        on_port && fields.get(3) == Some(&LISTEN)
    })
    .filter_map(|fields| fields.get(9).map(|&inode| inode.to_owned()))
    .collect()
}

/// The first process that has one of the sockets open, as far as this user may look.
fn process_with(proc: &Path, inodes: &[String]) -> Option<String> {
    let wanted: Vec<String> = inodes.iter().map(|inode| format!("socket:[{inode}]")).collect();
    for process in fs::read_dir(proc).ok()?.flatten() {
        let name = process.file_name();
        let Some(pid) = name
            .to_str()
            .filter(|name| name.bytes().all(|c| c.is_ascii_digit()))
        else {
            continue;
        };
        let Ok(open) = fs::read_dir(process.path().join("fd")) else {
            continue;
        };
        let holds = open
            .flatten()
            .filter_map(|entry| fs::read_link(entry.path()).ok())
            .any(|target| wanted.iter().any(|socket| target.as_os_str() == socket.as_str()));
        if holds {
            let what = fs::read_to_string(process.path().join("comm")).unwrap_or_default();
            return Some(format!("{} (process {pid})", what.trim_end()));
        }
    }
    None
}

/// The address that a person opens.
pub(super) fn url(port: u16) -> String {
    format!("http://localhost:{port}/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_busy_port_has_a_holder() {
        let mine = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let port = mine.local_addr().expect("its address").port();
        let refused = take(Some(port)).expect_err("it is busy");
        assert_eq!(refused.code(), Code::Busy);
        let me = format!("(process {})", std::process::id());
        assert!(refused.to_string().contains(&me), "{refused}");
    }

    #[test]
    fn only_listeners_count() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n\
             0: 0100007F:0758 00000000:0000 0A 00000000:00000000 00:00000000 00000000  0  0 111 1\n\
             1: 0100007F:0758 0100007F:9999 01 00000000:00000000 00:00000000 00000000  0  0 222 1\n\
             2: 0100007F:0759 00000000:0000 0A 00000000:00000000 00:00000000 00000000  0  0 333 1\n";
        assert_eq!(listening(table, 1880), ["111"]);
    }
}
