//! The loopback device of a new network namespace, and ports that are taken without anybody listening.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, OwnedFd};

use nix::sys::socket::{
    AddressFamily, SockFlag, SockType, SockaddrStorage, bind, setsockopt, socket, sockopt,
};

use super::answer;

/// Switches `lo` on; it gets 127.0.0.1 and ::1 by itself (`netdevice(7)`).
///
/// # Errors
/// The kernel's: `EPERM` without CAP_NET_ADMIN over the network namespace.
pub(crate) fn loopback_up() -> io::Result<()> {
    let socket: OwnedFd = socket(
        AddressFamily::Inet,
        SockType::Datagram,
        SockFlag::SOCK_CLOEXEC,
        None,
    )?;
    let mut name = [0; libc::IFNAMSIZ];
    for (to, from) in name.iter_mut().zip(b"lo") {
        *to = libc::c_char::from_ne_bytes([*from]);
    }
    let mut request = libc::ifreq {
        ifr_name: name,
        ifr_ifru: libc::__c_anonymous_ifr_ifru {
            ifru_flags: (libc::IFF_UP | libc::IFF_RUNNING) as libc::c_short,
        },
    };
    // SAFETY: the kernel reads `request`, which is alive and of the type this call wants.
    let value = unsafe {
        libc::ioctl(
            socket.as_raw_fd(),
            libc::SIOCSIFFLAGS,
            std::ptr::from_mut(&mut request),
        )
    };
    answer(libc::c_long::from(value)).map(drop)
}

/// Takes a port without listening on it, so that nobody else can. One of IPv6 is of IPv6 only.
///
/// # Errors
/// The kernel's: `EADDRINUSE` when somebody has it, `EADDRNOTAVAIL` when the address is not this host's.
pub(crate) fn hold_port(at: SocketAddr, kind: SockType) -> io::Result<OwnedFd> {
    let family = match at {
        SocketAddr::V4(_) => AddressFamily::Inet,
        SocketAddr::V6(_) => AddressFamily::Inet6,
    };
    let socket = socket(family, kind, SockFlag::SOCK_CLOEXEC, None)?;
    if at.is_ipv6() {
        setsockopt(&socket, sockopt::Ipv6V6Only, &true)?;
    }
    // Without SO_REUSEADDR: a bind of somebody else's must fail, whatever that one asked for.
    bind(socket.as_raw_fd(), &SockaddrStorage::from(at))?;
    Ok(socket)
}
