//! The cable between an instance's network namespace and the host: a pair of devices, an address on either end, and
//! the host's rules for what goes over it ([`super::rules`]).
//!
//! Made by the keeper while the first process waits, so that nothing of the instance ever runs without its rules, and
//! taken away by it; [`remove`] does the same for a keeper that was killed. The programs `ip` and `nft` do the work:
//! together some milliseconds at a start, and no netlink code of our own that could be wrong.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, UdpSocket};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use nix::sched::{CloneFlags, setns};
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recv, socket,
};

use super::tools::{find, ip, nft, run};
use super::{forwarding, rules};
use crate::error::{During, StepError};
use crate::spec::{InstanceSpec, Isolation, Network};
use crate::sys::network::{hold_port, loopback_up};
use crate::traffic::{Filtered, Protocol, Publish};

/// Serializes those who may find the table unused, and remove it, with those who are about to use it.
const LOCK: &str = "/run/redhold-network.lock";

/// The switches of IPv6, where the kernel has it.
pub(super) const IPV6: &str = "/proc/sys/net/ipv6";

/// Inside, the C library asks here; the keeper answers.
const NAMES: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::LOCALHOST, 53);

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
    let Network::Filtered(network) = &spec.network else {
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
    if let Some(lacks) = forwarding::lacks(network.v6.is_some()) {
        return refuse(&format!(
            "this host passes no packets on: set {lacks}=1 in /etc/sysctl.d, and see to it that its firewall \
             forwards nothing else that it should not"
        ));
    }
    let six = |publish: &&Publish| publish.address.is_some_and(|address| address.is_ipv6());
    if let (None, Some(publish)) = (network.v6, network.publish.iter().find(six)) {
        return refuse(&format!(
            "port {publish} is an IPv6 one, and there is only IPv4 inside: this host has no IPv6 for instances"
        ));
    }
    Ok(())
}

/// Connects the network namespace of process `pid`. On failure nothing is left.
///
/// # Errors
/// The step that failed: `EPERM` without CAP_NET_ADMIN, a port that is in use, a number that another instance has.
pub(crate) fn connect(network: &Filtered, pid: i32) -> Result<Cable, StepError> {
    let mut ports = Vec::new();
    for publish in &network.publish {
        for address in addresses(publish, network) {
            ports.push(hold(publish, address)?);
        }
    }
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
    // No IPv6 addresses but ours on either end. What the kernel would try out for a second (RFC 4862, 5.4) is ours alone.
    let (outer, inner) = match network.v6 {
        Some(ends) => (
            format!(
                "addr add {}/127 dev {device} nodad\naddr add {}/64 dev {device} nodad\n",
                ends.gateway,
                rules::GATEWAY_LINK6
            ),
            format!(
                "addr add {}/127 dev eth0 nodad\naddr add {}/64 dev eth0 nodad\n",
                ends.address,
                rules::LINK6
            ),
        ),
        None => Default::default(),
    };
    let way = network.v6.map_or_else(String::new, |ends| {
        format!("route add default via {}\n", ends.gateway)
    });
    // A kernel may have been started without IPv6 at all, and then knows nothing of this.
    let quiet = |device: &str| match Path::new(IPV6).exists() {
        true => format!("link set {device} addrgenmode none\n"),
        false => String::new(),
    };
    let (outer_quiet, inner_quiet) = (quiet(&device), quiet("eth0"));
    ip(&format!(
        "link add {device} type veth peer name eth0 netns {pid}\n\
         {outer_quiet}\
         addr add {gateway}/31 dev {device}\n\
         {outer}\
         link set {device} up\n"
    ))
    .during(STEP)?;
    if network.v6.is_some() {
        // The host learns no way from what is inside, whatever its devices do by default.
        let switch = format!("{IPV6}/conf/{device}/accept_ra");
        fs::write(&switch, "0").during_on("close the host to the instance's word", Path::new(&switch))?;
    }
    let loopback = rules::loopbacks(network).next().is_some();
    if loopback || !network.publish.is_empty() {
        // Lets the host's programs reach a published port at 127.0.0.1, and the instance what it named of that. From
        // inside nothing else comes by this: the host's chain of the instance accepts what was named, and answers.
        let switch = format!("/proc/sys/net/ipv4/conf/{device}/route_localnet");
        fs::write(&switch, "1").during_on("join the loopback of the host", Path::new(&switch))?;
    }
    inside(pid, || {
        loopback_up()?;
        // All ports are its own there, those of Modbus and of the web included.
        fs::write("/proc/sys/net/ipv4/ip_unprivileged_port_start", "0")?;
        ip(&format!(
            "{inner_quiet}\
             addr add {address}/31 dev eth0\n\
             {inner}\
             link set eth0 up\n\
             route add default via {gateway}\n\
             {way}"
        ))?;
        if loopback {
            fs::write("/proc/sys/net/ipv4/conf/eth0/route_localnet", "1")?;
            nft(&rules::inside(network))?;
        }
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

pub(super) fn lock() -> Result<Flock<File>, StepError> {
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

/// Where a published port is held on the host.
fn addresses(publish: &Publish, network: &Filtered) -> impl Iterator<Item = IpAddr> {
    let everywhere = [
        Some(Ipv4Addr::UNSPECIFIED.into()),
        network.v6.map(|_| Ipv6Addr::UNSPECIFIED.into()),
    ];
    let one = publish.address.map(|address| [Some(address), None]);
    one.unwrap_or(everywhere).into_iter().flatten()
}

fn hold(publish: &Publish, address: IpAddr) -> Result<OwnedFd, StepError> {
    let at = SocketAddr::new(address, publish.port);
    let kind = match publish.protocol {
        Protocol::Tcp => SockType::Stream,
        Protocol::Udp => SockType::Datagram,
    };
    hold_port(at, kind).map_err(|error| {
        let place = format!("{at}/{}", publish.protocol.as_str());
        StepError::new("publish the port of the instance", place, error)
    })
}
