//! The few files of `/etc` that the C library asks for, written rather than shown from the host.
//!
//! Certificates, time zone data and tools are mounts of the spec; what stands here is about the identity inside, so
//! the sandbox owns it. A spec that mounts one of these paths itself wins.

use std::fs;
use std::path::PathBuf;

use super::idmap::INSIDE;
use crate::spec::{InstanceSpec, Network};

/// Larger hosts files exist only by accident; the root has a megabyte.
const LARGEST_COPY: usize = 64 * 1024;

/// Every file with its text.
pub(crate) fn all(spec: &InstanceSpec) -> Vec<(PathBuf, String)> {
    let home = spec
        .program
        .env
        .iter()
        .find(|(key, _)| key == "HOME")
        .map_or_else(
            || spec.program.directory.display().to_string(),
            |(_, value)| value.clone(),
        );
    let hostname = &spec.hostname;
    let mut files = vec![
        (
            "passwd",
            format!("node:x:{INSIDE}:{INSIDE}::{home}:/bin/sh\nnobody:x:65534:65534::/:/bin/false\n"),
        ),
        ("group", format!("node:x:{INSIDE}:\nnogroup:x:65534:\n")),
        ("hostname", format!("{hostname}\n")),
        ("hosts", hosts(spec)),
        (
            "nsswitch.conf",
            "passwd: files\ngroup: files\nhosts: files dns\n".to_owned(),
        ),
    ];
    match &spec.network {
        Network::Host | Network::Lesser(_) => {}
        // No resolver is reachable: an empty list makes the C library give up at once instead of asking 127.0.0.1.
        Network::Loopback => files.push(("resolv.conf", "options timeout:1 attempts:1\n".to_owned())),
        // The keeper answers there, and knows the host's own file of names too.
        Network::Filtered(network) => {
            let mut text = "nameserver 127.0.0.1\n".to_owned();
            // What a machine is called in short, where names are not counted one by one.
            if network.is_open() {
                let host = fs::read_to_string("/etc/resolv.conf").unwrap_or_default();
                text.extend(search(&host));
            }
            files.push(("resolv.conf", text));
        }
    }
    files
        .into_iter()
        .map(|(name, text)| (PathBuf::from("/etc").join(name), text))
        .collect()
}

/// The lines of a resolver's configuration that say what a short name is the beginning of.
fn search(text: &str) -> impl Iterator<Item = String> {
    text.lines()
        .filter(|line| line.starts_with("search ") || line.starts_with("domain "))
        .take(1)
        .map(|line| format!("{line}\n"))
}

/// The host's names are worth knowing where its network is reachable.
fn hosts(spec: &InstanceSpec) -> String {
    let own = format!(
        "127.0.0.1 localhost\n::1 localhost\n127.0.1.1 {}\n",
        spec.hostname
    );
    match spec.network {
        Network::Loopback | Network::Filtered(_) => own,
        Network::Host | Network::Lesser(_) => match fs::read_to_string("/etc/hosts") {
            Ok(text) if text.len() <= LARGEST_COPY => own + &text,
            _ => own,
        },
    }
}
