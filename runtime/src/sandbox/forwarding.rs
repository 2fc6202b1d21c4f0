//! The host's switches for passing packets on, without which no cable leads anywhere.
//!
//! They are the whole host's. Who switches them on makes it a router between all of its networks, which a machine that
//! stands between an office and a plant must not become by the way. So a guard comes first: a table of its own, in
//! which every device that was there drops what others begin through it, as before. Devices that come later belong to
//! whoever makes them (containers, virtual machines). A host that passed packets on already gets no guard.
//!
//! IPv6 hosts learn their ways from routers, and stop listening once they are routers themselves, unless `accept_ra`
//! is 2 (Documentation/networking/ip-sysctl.rst); the kernel forgets what it had learnt, too, so that comes before.

use std::fs::{self, OpenOptions};
use std::io;
use std::path::Path;

use super::cable::{IPV6, lock};
use super::tools::nft;
use crate::error::{During, StepError};

/// The guard's table.
pub(crate) const GUARD: &str = "inet redhold-guard";

/// A switch: its file, its name, and the protocol as the packet filter names it.
struct Switch {
    file: &'static str,
    name: &'static str,
    family: &'static str,
}

const SWITCHES: [Switch; 2] = [
    Switch {
        file: "/proc/sys/net/ipv4/ip_forward",
        name: "net.ipv4.ip_forward",
        family: "ipv4",
    },
    Switch {
        file: "/proc/sys/net/ipv6/conf/all/forwarding",
        name: "net.ipv6.conf.all.forwarding",
        family: "ipv6",
    },
];

impl Switch {
    fn is_on(&self) -> bool {
        // 2 forwards too (`ip-sysctl`, IPv6).
        fs::read_to_string(self.file).is_ok_and(|text| text.trim() != "0")
    }
}

/// The switches that instances need.
fn needed(v6: bool) -> impl Iterator<Item = &'static Switch> {
    SWITCHES.iter().take(if v6 { 2 } else { 1 })
}

/// The name of a switch that instances need and that is off.
#[must_use]
pub fn lacks(v6: bool) -> Option<&'static str> {
    needed(v6)
        .find(|switch| !switch.is_on())
        .map(|switch| switch.name)
}

/// Whether devices of this host can have IPv6 addresses.
#[must_use]
pub fn has_v6() -> bool {
    let off = |place: &str| {
        let text = fs::read_to_string(format!("{IPV6}/conf/{place}/disable_ipv6"));
        text.is_ok_and(|text| text.trim() == "0")
    };
    off("all") && off("default")
}

/// Whether this account could switch it on: the kernel asks for CAP_NET_ADMIN, and containers often cover the files.
///
/// # Errors
/// Why not.
pub(crate) fn switchable() -> io::Result<()> {
    let file = Path::new(SWITCHES[0].file);
    OpenOptions::new().write(true).open(file).map(drop)
}

/// Switches on what instances need and is off. Gives the names of what was changed, for whoever runs this host.
///
/// # Errors
/// The step that failed; what was done before it stays, and harms nothing.
pub fn ensure(v6: bool) -> Result<Vec<String>, StepError> {
    const STEP: &str = "let the host pass packets on";
    if lacks(v6).is_none() {
        return Ok(Vec::new());
    }
    let _lock = lock()?;
    let off: Vec<&Switch> = needed(v6).filter(|switch| !switch.is_on()).collect();
    let devices = devices().during_on("list the devices of the host", Path::new(DEVICES))?;
    let families: Vec<&str> = off.iter().map(|switch| switch.family).collect();
    nft(&guard(&devices, &families)).during("guard the host against passing on what is not its own")?;
    let mut done = Vec::new();
    for switch in off {
        if switch.family == "ipv6" {
            done.extend(keep_listening(&devices)?);
        }
        fs::write(switch.file, "1").during_on(STEP, Path::new(switch.file))?;
        done.push(format!("{}=1", switch.name));
    }
    Ok(done)
}

/// Has devices that listen to routers go on.
fn keep_listening(devices: &[String]) -> Result<Vec<String>, StepError> {
    let mut done = Vec::new();
    for device in devices.iter().map(String::as_str).chain(["default"]) {
        let file = format!("{IPV6}/conf/{device}/accept_ra");
        // What is gone, or 0 or 2 already, stays so.
        if fs::read_to_string(&file).is_ok_and(|text| text.trim() == "1") {
            fs::write(&file, "2").during_on("keep the host listening to its routers", Path::new(&file))?;
            done.push(format!("net.ipv6.conf.{device}.accept_ra=2"));
        }
    }
    Ok(done)
}

/// Of this thread's network, unlike `/sys`, which may show another's.
const DEVICES: &str = "/proc/sys/net/ipv4/conf";

fn devices() -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(DEVICES)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        let ours = name.starts_with("redhold");
        if !ours && !["all", "default", "lo"].contains(&name.as_str()) {
            names.push(name);
        }
    }
    Ok(names)
}

/// The guard as `nft` reads it. What is published to a container (a translated address) and answers go on.
fn guard(devices: &[String], families: &[&str]) -> String {
    let mut text = format!(
        "add table {GUARD}\n\
         add set {GUARD} guarded {{ type nf_proto . ifname; }}\n\
         add chain {GUARD} forward {{ type filter hook forward priority -1; policy accept; }}\n\
         flush chain {GUARD} forward\n\
         add rule {GUARD} forward ct status dnat accept\n\
         add rule {GUARD} forward ct state established,related accept\n\
         add rule {GUARD} forward meta nfproto . iifname @guarded oifname != \"redhold*\" drop\n"
    );
    for device in devices.iter().filter(|device| !device.contains(['"', '\\'])) {
        for family in families {
            text += &format!("add element {GUARD} guarded {{ {family} . \"{device}\" }}\n");
        }
    }
    text
}
