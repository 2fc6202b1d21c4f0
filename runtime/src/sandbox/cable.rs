//! The cable between an instance's network namespace and the host: a pair of devices, an address on either end, and
//! the host's rules for what goes over it ([`super::rules`]).
//!
//! Made by the keeper while the first process waits, so that nothing of the instance ever runs without its rules, and
//! taken away by it; [`remove`] does the same for a keeper that was killed. The programs `ip` and `nft` do the work:
//! together some milliseconds at a start, and no netlink code of our own that could be wrong.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::net::{SocketAddrV4, UdpSocket};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use nix::sched::{CloneFlags, setns};
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recv, socket,
};

use super::rules;
use crate::error::{During, StepError};
use crate::spec::{InstanceSpec, Isolation, Network};
use crate::sys::network::{hold_port, loopback_up};
use crate::traffic::{Filtered, Protocol, Publish};

/// Where programs of the administrator are; the keeper has no `PATH`.
const FOLDERS: [&str; 5] = ["/usr/sbin", "/sbin", "/usr/bin", "/bin", "/usr/local/sbin"];

/// Serializes those who may find the table unused, and remove it, with those who are about to use it.
const LOCK: &str = "/run/redhold-network.lock";

/// Inside, the C library asks here; the keeper answers.
const NAMES: SocketAddrV4 = SocketAddrV4::new(std::net::Ipv4Addr::LOCALHOST, 53);

/// What the keeper holds of a cable.
#[derive(Debug)]
pub(crate) struct Cable {
    /// Questions for names arrive here, from inside.
    pub(crate) questions: UdpSocket,
    /// The kernel tells here of every change of the host's packet filter.
    changes: OwnedFd,
    /// Keep the host's programs from listening where a published port would take their connections away, and
    /// other instances from publishing the same.
    _ports: Vec<OwnedFd>,
}

/// Refuses, with what to do about it, before anything is made.
///
/// # Errors
/// When this host, or this way of walling off, has no filtered network.
pub(crate) fn check(spec: &InstanceSpec, privileged: bool) -> Result<(), StepError> {
    const STEP: &str = "give the instance a network of its own";
    let Network::Filtered(_) = spec.network else {
        return Ok(());
    };
    let refuse = |why: &str| Err(StepError::new(STEP, "", io::Error::other(why.to_owned())));
    if spec.isolation != Isolation::Namespaces {
        return refuse(
            "without namespaces there is no other network than the host's: set its mode to `host` or `none`",
        );
    }
    if !privileged {
        return refuse(
            "only root can connect it to the host's: set its mode to `host` or `none`, or run as root",
        );
    }
    for (program, package) in [("nft", "nftables"), ("ip", "iproute2")] {
        if find(program).is_none() {
            return refuse(&format!(
                "the program `{program}` is missing: install the package {package}"
            ));
        }
    }
    if !forwards() {
        // Not ours to switch on: the host would pass on packets between its other networks too.
        return refuse(
            "this host passes no packets on: set net.ipv4.ip_forward=1 in /etc/sysctl.d, and see to it that its \
             firewall forwards nothing else that it should not",
        );
    }
    Ok(())
}

/// Connects the network namespace of process `pid`. On failure nothing is left.
///
/// # Errors
/// The step that failed: `EPERM` without CAP_NET_ADMIN, a port that is in use, a number that another instance has.
pub(crate) fn connect(network: &Filtered, pid: i32) -> Result<Cable, StepError> {
    let ports = network.publish.iter().map(hold).collect::<Result<Vec<_>, _>>()?;
    // First, so that nothing that happens to the rules is missed.
    let changes = watch()?;
    {
        let _lock = lock()?;
        nft(&rules::install(network)).during("set the packet filter of the instance")?;
    }
    match plug(network, pid) {
        Ok(questions) => Ok(Cable {
            questions,
            changes,
            _ports: ports,
        }),
        Err(error) => {
            // Why it failed is what counts.
            let _ = remove(network);
            Err(error)
        }
    }
}

fn plug(network: &Filtered, pid: i32) -> Result<UdpSocket, StepError> {
    const STEP: &str = "connect the network of the instance";
    let device = rules::device(network.number);
    let (gateway, address) = (network.gateway, network.address);
    // No IPv6 address of its own on either end: there is no other traffic than IPv4.
    ip(&format!(
        "link add {device} type veth peer name eth0 netns {pid}\n\
         link set {device} addrgenmode none\n\
         addr add {gateway}/31 dev {device}\n\
         link set {device} up\n"
    ))
    .during(STEP)?;
    if !network.publish.is_empty() {
        // Lets the host's programs reach a published port at 127.0.0.1. From inside nothing comes by this: the
        // host's chain of the instance accepts answers only.
        let switch = format!("/proc/sys/net/ipv4/conf/{device}/route_localnet");
        fs::write(&switch, "1")
            .during_on("open the published ports to the host itself", Path::new(&switch))?;
    }
    inside(pid, || {
        loopback_up()?;
        // All ports are its own there, those of Modbus and of the web included.
        fs::write("/proc/sys/net/ipv4/ip_unprivileged_port_start", "0")?;
        ip(&format!(
            "link set eth0 addrgenmode none\n\
             addr add {address}/31 dev eth0\n\
             link set eth0 up\n\
             route add default via {gateway}\n"
        ))?;
        let questions = UdpSocket::bind(NAMES)?;
        questions.set_nonblocking(true)?;
        Ok(questions)
    })
    .during(STEP)
}

/// Listens to the kernel's word on the packet filter.
fn watch() -> Result<OwnedFd, StepError> {
    const STEP: &str = "watch the packet filter";
    let socket = socket(
        AddressFamily::Netlink,
        SockType::Raw,
        SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK,
        SockProtocol::NetlinkNetFilter,
    )
    .during(STEP)?;
    let group = 1 << (libc::NFNLGRP_NFTABLES - 1);
    bind(socket.as_raw_fd(), &NetlinkAddr::new(0, group)).during(STEP)?;
    Ok(socket)
}

impl Cable {
    /// What to poll for changes of the packet filter.
    pub(crate) fn changes(&self) -> BorrowedFd<'_> {
        self.changes.as_fd()
    }

    /// Whether a table was deleted since the last look: an administrator who loads the host's rules anew usually
    /// takes all tables away first, and ours with them.
    pub(crate) fn table_went(&self) -> bool {
        const DELETED: u16 = (libc::NFNL_SUBSYS_NFTABLES << 8 | libc::NFT_MSG_DELTABLE) as u16;
        let mut buffer = [0; 16 * 1024];
        let mut went = false;
        loop {
            match recv(self.changes.as_raw_fd(), &mut buffer, MsgFlags::MSG_TRUNC) {
                Ok(0) | Err(Errno::EAGAIN) => return went,
                Ok(count) => {
                    // What does not fit, and what was lost, may have been that.
                    went |= count > buffer.len() || kinds(&buffer[..count]).any(|kind| kind == DELETED);
                }
                Err(Errno::EINTR) => {}
                Err(_) => went = true,
            }
            // A host whose rules change without pause must not hold the keeper here.
            if went {
                return true;
            }
        }
    }
}

/// The kinds of the messages in a datagram (`netlink(7)`).
fn kinds(mut text: &[u8]) -> impl Iterator<Item = u16> + '_ {
    std::iter::from_fn(move || {
        let head = text.get(..16)?;
        let length = u32::from_ne_bytes([head[0], head[1], head[2], head[3]]) as usize;
        let kind = u16::from_ne_bytes([head[4], head[5]]);
        text = text.get(length.max(16).next_multiple_of(4)..).unwrap_or_default();
        Some(kind)
    })
}

/// Sets the rules of an instance again when somebody took them away. Whether they were gone.
///
/// # Errors
/// When they are gone and cannot be set.
pub(crate) fn restore(network: &Filtered) -> Result<bool, StepError> {
    const STEP: &str = "set the packet filter of the instance again";
    let _lock = lock()?;
    let listed = run("nft", &["-t", "list", "tables", "inet"], "").during(STEP)?;
    if listed.lines().any(|line| line.trim() == "table inet redhold") {
        let listed = run("nft", &["-t", "list", "table", "inet", "redhold"], "").during(STEP)?;
        if rules::has(&listed, network.number) {
            return Ok(false);
        }
    }
    nft(&rules::install(network)).during(STEP)?;
    Ok(true)
}

/// Does something in the network namespace of a process, and comes back.
fn inside<T>(pid: i32, work: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    let own = File::open("/proc/thread-self/ns/net")?;
    let there = File::open(format!("/proc/{pid}/ns/net"))?;
    setns(there, CloneFlags::CLONE_NEWNET)?;
    let outcome = work();
    // A keeper that stayed there would listen for nobody and clean up nothing.
    setns(own, CloneFlags::CLONE_NEWNET)?;
    outcome
}

/// Takes devices and rules away, and the table with the last of them.
///
/// # Errors
/// When a program refuses; what is gone already is no error.
pub(crate) fn remove(network: &Filtered) -> Result<(), StepError> {
    const STEP: &str = "remove the network of the instance";
    let device = rules::device(network.number);
    let _lock = lock()?;
    if linked(&device) {
        match ip(&format!("link del {device}\n")) {
            // The kernel takes it away by itself some time after the last process inside has ended.
            Err(error) if linked(&device) => return Err(error).during(STEP),
            _ => {}
        }
    }
    nft(&rules::remove(network)).during(STEP)?;
    let listed = run("nft", &["-t", "list", "table", "inet", "redhold"], "").during(STEP)?;
    if !rules::is_used(&listed) {
        nft(&rules::remove_table()).during(STEP)?;
    }
    Ok(())
}

/// Whether the device is there. `/sys` may be another network namespace's.
fn linked(device: &str) -> bool {
    Path::new("/proc/sys/net/ipv4/conf").join(device).exists()
}

fn lock() -> Result<Flock<File>, StepError> {
    const STEP: &str = "take the lock of the packet filter";
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .custom_flags(libc::O_NOFOLLOW)
        .open(LOCK)
        .during_on(STEP, Path::new(LOCK))?;
    Flock::lock(file, FlockArg::LockExclusive)
        .map_err(|(_, error)| error)
        .during_on(STEP, Path::new(LOCK))
}

fn hold(publish: &Publish) -> Result<OwnedFd, StepError> {
    let at = SocketAddrV4::new(publish.address, publish.port);
    let held = match publish.protocol {
        Protocol::Tcp => hold_port(at),
        Protocol::Udp => UdpSocket::bind(at).map(OwnedFd::from),
    };
    held.map_err(|error| {
        let place = format!("{at}/{}", publish.protocol.as_str());
        StepError::new("publish the port of the instance", place, error)
    })
}

/// Feeds `nft` one transaction.
///
/// # Errors
/// What it said.
pub(crate) fn nft(text: &str) -> io::Result<()> {
    run("nft", &["-f", "-"], text).map(drop)
}

fn ip(text: &str) -> io::Result<()> {
    run("ip", &["-batch", "-"], text).map(drop)
}

/// Whether this host passes packets on at all.
pub(crate) fn forwards() -> bool {
    fs::read_to_string("/proc/sys/net/ipv4/ip_forward").is_ok_and(|text| text.trim() == "1")
}

/// The administrator's program of this name.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    FOLDERS
        .iter()
        .map(|folder| Path::new(folder).join(program))
        .find(|path| path.is_file())
}

fn run(program: &str, args: &[&str], input: &str) -> io::Result<String> {
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
