//! A host of its own for one test, with a world behind it: two network namespaces and the cable between them.

use std::io::Write;
use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::path::Path;
use std::process::Command;
use std::sync::mpsc;

use nix::sched::{CloneFlags, unshare};

use crate::skip::skipped;

/// The host's address.
pub const HOST: &str = "198.18.0.1";
/// The world's.
pub const WORLD: &str = "198.18.0.2";
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

/// Puts the rest of this thread, and what it starts, on a host of its own before a world with servers. They answer
/// at 1000 and 1001 with their port, at 1000 also datagrams, and at 53 with addresses: a name that begins with `m` leads to [`METADATA`], with `h` to the host, any other to 10.1.2.3.
///
/// # Panics
/// When it cannot be made.
pub fn world() {
    unshare(CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWNS).unwrap();
    sh("mount --make-rprivate /; ip link set lo up; echo 1 > /proc/sys/net/ipv4/ip_forward");
    let (tell, told) = mpsc::channel();
    let (go, gone) = mpsc::channel::<()>();
    std::thread::spawn(move || {
        unshare(CloneFlags::CLONE_NEWNET).unwrap();
        tell.send(nix::unistd::gettid()).unwrap();
        gone.recv().unwrap();
        sh(&format!(
            "ip link set lo up; ip addr add {WORLD}/30 dev world; ip link set world up
            ip addr add {METADATA}/32 dev lo; ip addr add 10.1.2.3/32 dev lo; ip route add default via {HOST}"
        ));
        for port in [1000, 1001] {
            let listener = TcpListener::bind(("0.0.0.0", port)).unwrap();
            std::thread::spawn(move || {
                for stream in listener.incoming() {
                    let _ = stream.unwrap().write_all(format!("world {port}").as_bytes());
                }
            });
        }
        for (port, answer) in [(1000, None), (53, Some(()))] {
            let socket = UdpSocket::bind(("0.0.0.0", port)).unwrap();
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
        ip addr add {HOST}/30 dev eth0; ip link set eth0 up; ip route add default via {WORLD}"
    ));
    go.send(()).unwrap();
    told.recv().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let resolver = folder.path().join("resolv.conf");
    std::fs::write(&resolver, format!("nameserver {WORLD}\n")).unwrap();
    sh(&format!("mount --bind {} /etc/resolv.conf", resolver.display()));
}

/// `metadata.*` leads to the cloud's metadata, `host.*` to the host, everything else into the world.
fn names(question: &[u8]) -> Vec<u8> {
    let end = 12 + question[12..].iter().position(|byte| *byte == 0).unwrap() + 5;
    let address: Ipv4Addr = match question[13] {
        b'm' => METADATA,
        b'h' => HOST,
        _ => "10.1.2.3",
    }
    .parse()
    .unwrap();
    let mut answer = question[..end].to_vec();
    answer[2..12].copy_from_slice(&[0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0]);
    answer.extend(b"\xc0\x0c\0\x01\0\x01\0\0\0\x05\0\x04");
    answer.extend(address.octets());
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
