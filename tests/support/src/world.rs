//! A host of its own for one test, with a world behind it: two network namespaces and the cable between them.

use std::io::Write;
use std::net::{Ipv4Addr, Ipv6Addr, TcpListener, UdpSocket};
use std::path::Path;
use std::process::Command;
use std::sync::mpsc;

use nix::sched::{CloneFlags, unshare};

use crate::skip::skipped;

/// The host's address.
pub const HOST: &str = "198.18.0.1";
/// The world's.
pub const WORLD: &str = "198.18.0.2";
/// The same of IPv6.
pub const HOST6: &str = "2001:db8::1";
/// The world's.
pub const WORLD6: &str = "2001:db8::2";
/// Where most names lead.
pub const BROKER: &str = "10.1.2.3";
/// The same of IPv6.
pub const BROKER6: &str = "2001:db8:1::3";
/// Addresses of the world that no path but an allowed one may lead to.
pub const METADATA: &str = "169.254.169.254";

/// Whether this machine can do it at all, and what a filtered network needs.
#[must_use]
pub fn able() -> bool {
    nix::unistd::geteuid().is_root() && ["nft", "ip"].iter().all(|program| runs(program))
}

fn runs(program: &str) -> bool {
    let folders = ["/usr/sbin", "/sbin", "/usr/bin", "/bin"];
    folders
        .iter()
        .any(|folder| Path::new(folder).join(program).is_file())
}

/// The same, and when it cannot, it is said.
#[must_use]
pub fn can(test: &str) -> bool {
    if !able() {
        skipped(test, "root, `nft` or `ip`");
    }
    able()
}

/// Runs lines of the shell; what they printed.
///
/// # Panics
/// When one fails.
pub fn sh(text: &str) -> String {
    let output = Command::new("sh").args(["-ec", text]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}: {said}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Whether this thread is on a host of its own.
///
/// # Panics
/// When the kernel does not say.
#[must_use]
pub fn is_inside() -> bool {
    let network = |place| std::fs::read_link(place).unwrap();
    network("/proc/thread-self/ns/net") != network("/proc/self/ns/net")
}

/// Puts the rest of this thread, and what it starts, on a host of its own before a world with servers. They answer
/// at 1000 and 1001 with their port, at 1000 also datagrams, and at 53 with addresses: a name that begins with `m` leads to
/// [`METADATA`], with `h` to the host, any other to [`BROKER`] and [`BROKER6`]. The host passes packets on.
///
/// # Panics
/// When it cannot be made.
pub fn world() {
    unshare(CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWNS).unwrap();
    sh(
        "mount --make-rprivate /; ip link set lo up; echo 1 > /proc/sys/net/ipv4/ip_forward
        echo 1 > /proc/sys/net/ipv6/conf/all/forwarding",
    );
    let (tell, told) = mpsc::channel();
    let (go, gone) = mpsc::channel::<()>();
    std::thread::spawn(move || {
        unshare(CloneFlags::CLONE_NEWNET).unwrap();
        tell.send(nix::unistd::gettid()).unwrap();
        gone.recv().unwrap();
        sh(&format!(
            "ip link set lo up; ip addr add {WORLD}/30 dev world; ip link set world up
            ip addr add {METADATA}/32 dev lo; ip addr add {BROKER}/32 dev lo; ip route add default via {HOST}
            ip addr add {WORLD6}/64 dev world nodad; ip addr add {BROKER6}/128 dev lo; ip route add default via {HOST6}"
        ));
        for port in [1000, 1001] {
            let listener = TcpListener::bind(("::", port)).unwrap();
            std::thread::spawn(move || {
                for stream in listener.incoming() {
                    let _ = stream.unwrap().write_all(format!("world {port}").as_bytes());
                }
            });
        }
        for (port, answer) in [(1000, None), (53, Some(()))] {
            let socket = UdpSocket::bind(("::", port)).unwrap();
            std::thread::spawn(move || {
                let mut buffer = [0; 512];
                while let Ok((count, from)) = socket.recv_from(&mut buffer) {
                    let text = match answer {
                        None => b"world".to_vec(),
                        Some(()) => names(&buffer[..count]),
                    };
                    let _ = socket.send_to(&text, from);
                }
            });
        }
        tell.send(nix::unistd::gettid()).unwrap();
    });
    let there = told.recv().unwrap();
    sh(&format!(
        "ip link add eth0 type veth peer name world netns {there}
        ip addr add {HOST}/30 dev eth0; ip link set eth0 up; ip route add default via {WORLD}
        ip addr add {HOST6}/64 dev eth0 nodad; ip route add default via {WORLD6}"
    ));
    go.send(()).unwrap();
    told.recv().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let resolver = folder.path().join("resolv.conf");
    std::fs::write(&resolver, format!("nameserver {WORLD}\n")).unwrap();
    // It may lead to a file below /run.
    sh(&format!(
        "real=$(readlink -m /etc/resolv.conf); mkdir -p $(dirname $real); [ -e $real ] || touch $real
        mount --bind {} /etc/resolv.conf",
        resolver.display()
    ));
}

/// `metadata.*` leads to the cloud's metadata, `host.*` to the host, everything else into the world; what asks for
/// anything but addresses is told a word.
fn names(question: &[u8]) -> Vec<u8> {
    let end = 12 + question[12..].iter().position(|byte| *byte == 0).unwrap() + 5;
    let kind = question[end - 3];
    let (four, six) = match question[13] {
        b'm' => (METADATA, "fd00:ec2::254"),
        b'h' => (HOST, HOST6),
        _ => (BROKER, BROKER6),
    };
    let data = match kind {
        1 => four.parse::<Ipv4Addr>().unwrap().octets().to_vec(),
        28 => six.parse::<Ipv6Addr>().unwrap().octets().to_vec(),
        _ => b"\x04told".to_vec(),
    };
    let mut answer = question[..end].to_vec();
    answer[2..12].copy_from_slice(&[0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0]);
    answer.extend([
        0xc0,
        0x0c,
        0,
        kind,
        0,
        1,
        0,
        0,
        0,
        5,
        0,
        u8::try_from(data.len()).unwrap(),
    ]);
    answer.extend(data);
    answer
}

/// Every packet filter and every device of ours on the host.
///
/// # Panics
/// When `nft` fails.
#[must_use]
pub fn left() -> String {
    sh("nft list ruleset; ip -o link | grep redhold || true")
}
