//! Pure: the part of the packet filter that says where an instance went although nothing it is for leads there.
//!
//! The kernel notes it itself, from packets: whatever a program does with its memory or its calls, and by whatever
//! call it sends, an address that got past the instance's device stands in a set, once per address and port with the
//! number of first packets. The keeper reads the set now and then and empties it ([`found`]), so that a connection waits
//! for nobody. What is refused is refused by the kernel alone.
//!
//! Per instance: the chain `tried_<n>` with the set that it fills, and the set `hosts_<n>`, the addresses behind names that
//! may be reached at any port; of each set one more for IPv6.

use std::fmt::Write;
use std::net::IpAddr;

use serde::Deserialize;

use super::rules::{TABLE, kind};
use crate::traffic::{Filtered, Protocol, Target};

/// Different places that are kept between two looks.
pub(crate) const MOST: usize = 512;

/// More addresses than any honest list of names has.
const MOST_HOSTS: u32 = 8192;

/// An address behind a name, or one that was named itself.
pub(crate) struct Host {
    pub(crate) address: IpAddr,
    /// For how long it is open; without that, until it is closed.
    pub(crate) seconds: Option<u32>,
}

/// Somewhere that the instance went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) address: IpAddr,
    pub(crate) protocol: Protocol,
    pub(crate) port: u16,
    /// How many packets began there: of a connection one, or more where nobody answers.
    pub(crate) packets: u64,
}

/// What a set's name says of the kind of address, that kind, and whether it is of IPv6.
const FAMILIES: [(&str, &str, bool); 2] = [("", "ipv4_addr", false), ("6", "ipv6_addr", true)];

fn sets(verb: &str, number: u32) -> String {
    let mut text = String::new();
    for (six, address, _) in FAMILIES {
        let _ = writeln!(
            text,
            "{verb} set {TABLE} tried{six}_{number} {{ type {address} . inet_proto . inet_service; size {MOST}; \
             flags dynamic,timeout; timeout 1h; }}\n\
             {verb} set {TABLE} hosts{six}_{number} {{ type {address}; size {MOST_HOSTS}; flags timeout; }}"
        );
    }
    text
}

/// Chain and sets of an instance.
pub(super) fn install(number: u32) -> String {
    let mut text = sets("create", number);
    let _ = writeln!(text, "create chain {TABLE} tried_{number}");
    for (six, _, v6) in FAMILIES {
        let ip = kind(v6);
        // Nothing else has ports; and what the kernel itself sends (RFC 4861, RFC 3376) is nobody's attempt.
        let _ = writeln!(
            text,
            "add rule {TABLE} tried_{number} meta l4proto {{ tcp, udp }} update @tried{six}_{number} \
             {{ {ip} daddr . meta l4proto . th dport counter }}"
        );
    }
    text
}

/// The same taken away, once no rule names them; what is gone already is added first.
pub(super) fn remove(number: u32) -> String {
    let mut text = sets("add", number);
    let chain = format!("chain {TABLE} tried_{number}");
    let _ = writeln!(text, "add {chain}\nflush {chain}\ndelete {chain}");
    for (six, _, _) in FAMILIES {
        let _ = writeln!(
            text,
            "delete set {TABLE} tried{six}_{number}\ndelete set {TABLE} hosts{six}_{number}"
        );
    }
    text
}

/// What a network that leads everywhere accepts where the rest is refused.
pub(super) fn accepted(network: &Filtered) -> Vec<String> {
    let n = network.number;
    let Some(hosts) = network.narrowed() else {
        return Vec::new();
    };
    let blocks = hosts.allow.iter().filter_map(|target| match target {
        Target::Range(range) if !range.is_loopback() => {
            Some(format!("{} daddr {range} accept", kind(range.is_v6())))
        }
        _ => None,
    });
    let sets = FAMILIES.map(|(six, _, v6)| format!("{} daddr @hosts{six}_{n} accept", kind(v6)));
    blocks.chain(sets).collect()
}

/// Opens addresses. Deleted in between, because adding what is there leaves its time as it was.
pub(crate) fn open(number: u32, hosts: &[Host]) -> String {
    let mut text = String::new();
    for Host { address, seconds } in hosts {
        let time = seconds.map_or_else(String::new, |seconds| format!(" timeout {seconds}s"));
        text.push_str(&close(number, *address));
        let _ = writeln!(
            text,
            "add element {} {{ {address}{time} }}",
            set(number, *address)
        );
    }
    text
}

/// Closes an address, whether it is open or not.
pub(crate) fn close(number: u32, address: IpAddr) -> String {
    let set = set(number, address);
    format!("add element {set} {{ {address} }}\ndelete element {set} {{ {address} }}\n")
}

fn set(number: u32, address: IpAddr) -> String {
    let six = if address.is_ipv6() { "6" } else { "" };
    format!("{TABLE} hosts{six}_{number}")
}

/// Sets of what was tried. Each is asked for by itself: of several in one run `nft` 1.0.6 finds only the last.
pub(crate) fn noted(network: &Filtered) -> impl Iterator<Item = String> {
    let n = network.number;
    let all = [(true, "tried"), (network.v6.is_some(), "tried6")];
    let there = all.into_iter().filter(|(there, _)| *there);
    there.map(move |(_, set)| format!("set {TABLE} {set}_{n}"))
}

/// What stands in a set, as `nft -j` lists it.
pub(crate) fn found(listed: &str) -> Vec<Place> {
    let document = serde_json::from_str::<Listed>(listed).ok();
    let objects = document.into_iter().flat_map(|one| one.nftables);
    let elements = objects.filter_map(|one| one.set).flat_map(|set| set.elem);
    elements.filter_map(|one| place(&one.elem)).collect()
}

fn place(element: &Inner) -> Option<Place> {
    let (address, protocol, port) = &element.val.concat;
    let protocol = match protocol.as_str() {
        "tcp" => Protocol::Tcp,
        "udp" => Protocol::Udp,
        _ => return None,
    };
    Some(Place {
        address: address.parse().ok()?,
        protocol,
        port: *port,
        packets: element.counter.as_ref().map_or(1, |counter| counter.packets),
    })
}

#[derive(Deserialize)]
struct Listed {
    nftables: Vec<Object>,
}

#[derive(Deserialize)]
struct Object {
    set: Option<Set>,
}

#[derive(Deserialize)]
struct Set {
    #[serde(default)]
    elem: Vec<Element>,
}

#[derive(Deserialize)]
struct Element {
    elem: Inner,
}

#[derive(Deserialize)]
struct Inner {
    val: Concat,
    counter: Option<Counter>,
}

#[derive(Deserialize)]
struct Concat {
    concat: (String, String, u16),
}

#[derive(Deserialize)]
struct Counter {
    packets: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_kernel_noted_is_read() {
        let listed = r#"{"nftables": [{"metainfo": {"version": "1.0.6"}}, {"set": {"family": "inet", "name": "tried_1", "elem": [
            {"elem": {"val": {"concat": ["127.0.0.7", "udp", 53]}, "expires": 599, "counter": {"packets": 3, "bytes": 29}}},
            {"elem": {"val": {"concat": ["2001:db8::1", "tcp", 443]}, "expires": 1}}]}}]}"#;
        let all: Vec<_> = found(listed)
            .iter()
            .map(|one| (one.address.to_string(), one.port, one.packets))
            .collect();
        assert_eq!(
            all,
            [
                ("127.0.0.7".to_owned(), 53, 3),
                ("2001:db8::1".to_owned(), 443, 1)
            ]
        );
        for none in ["nonsense", "{}", r#"{"nftables": [{"set": {"name": "empty"}}]}"#] {
            assert_eq!(found(none), []);
        }
    }
}
