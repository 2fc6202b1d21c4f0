//! Pure: the host's packet filter for instances with a cable, as `nft` reads it.
//!
//! One table, `redhold`. Its fixed part looks a device's name up and jumps to the chains of its instance; it is
//! written anew with every start, in the same transaction, so that a newer version of this program mends an older
//! one's. Whatever comes from or goes to a device of ours without chains is dropped. No other table is touched, and
//! what another table drops stays dropped: a verdict of ours ends only our own chains.
//!
//! Per instance: `out_<n>` (through the host), `host_<n>` (to the host itself), `in_<n>` (from elsewhere) and the
//! set `names_<n>`, which the keeper fills with the addresses behind allowed names for as long as they are valid.

use std::fmt::Write;
use std::net::Ipv4Addr;

use crate::traffic::{Filtered, Protocol, Publish, Target};

/// The table.
const TABLE: &str = "inet redhold";

/// Nobody's: this host, this machine, addresses that only a link or a cloud's control plane has, groups, reserved.
pub(crate) const NOWHERE: [&str; 6] = [
    "0.0.0.0/8",
    "127.0.0.0/8",
    "169.254.0.0/16",
    "192.0.0.0/24",
    "224.0.0.0/4",
    "240.0.0.0/4",
];

/// More addresses than any honest list of names has; a name's owner may answer with others each time.
const MOST_NAMES: u32 = 4096;

/// What the table holds whoever is there. Chains are filled apart: see [`FIXED`].
const FRAME: &str = "\
add table inet redhold
add map inet redhold out { type ifname : verdict; }
add map inet redhold host { type ifname : verdict; }
add map inet redhold into { type ifname : verdict; }
add set inet redhold addresses { type ipv4_addr; }
add map inet redhold published { type ipv4_addr . inet_proto . inet_service : ipv4_addr . inet_service; }
add map inet redhold published_everywhere { type inet_proto . inet_service : ipv4_addr . inet_service; }
add chain inet redhold leave { type filter hook forward priority 0; policy accept; }
add chain inet redhold enter { type filter hook forward priority 1; policy accept; }
add chain inet redhold input { type filter hook input priority 0; policy accept; }
add chain inet redhold prerouting { type nat hook prerouting priority -100; policy accept; }
add chain inet redhold output { type nat hook output priority -100; policy accept; }
add chain inet redhold postrouting { type nat hook postrouting priority 100; policy accept; }
";

/// The rules of the frame. Leaving and entering are two chains, because an instance that names a neighbour leaves
/// its own cable and enters the other's: both must agree.
const FIXED: &str = "\
flush chain inet redhold leave
add rule inet redhold leave iifname vmap @out
add rule inet redhold leave iifname \"redhold*\" drop
flush chain inet redhold enter
add rule inet redhold enter oifname vmap @into
add rule inet redhold enter oifname \"redhold*\" drop
flush chain inet redhold input
add rule inet redhold input iifname vmap @host
add rule inet redhold input iifname \"redhold*\" drop
flush chain inet redhold prerouting
add rule inet redhold prerouting dnat ip to ip daddr . meta l4proto . th dport map @published
add rule inet redhold prerouting fib daddr type local dnat ip to meta l4proto . th dport map @published_everywhere
flush chain inet redhold output
add rule inet redhold output dnat ip to ip daddr . meta l4proto . th dport map @published
add rule inet redhold output fib daddr type local dnat ip to meta l4proto . th dport map @published_everywhere
flush chain inet redhold postrouting
add rule inet redhold postrouting ip saddr @addresses oifname != \"redhold*\" masquerade
add rule inet redhold postrouting ip saddr 127.0.0.0/8 oifname \"redhold*\" masquerade
";

/// Name of the host's end of the cable. At most 15 bytes (`IFNAMSIZ`), which eight hexadecimal digits just fill.
pub(crate) fn device(number: u32) -> String {
    format!("redhold{number:x}")
}

/// Everything of one instance, in one transaction that fails when another one has its number or a port of it.
pub(crate) fn install(network: &Filtered) -> String {
    let n = network.number;
    let mut text = format!("{FRAME}{FIXED}");
    let mut line = |line: String| {
        text.push_str(&line);
        text.push('\n');
    };
    line(format!(
        "create set {TABLE} names_{n} {{ type ipv4_addr . inet_proto . inet_service; flags timeout; size {MOST_NAMES}; }}"
    ));
    for chain in ["out", "host", "in"] {
        line(format!("create chain {TABLE} {chain}_{n}"));
    }
    let own = network.address;
    for chain in ["out", "host"] {
        let mut rule = |rule: String| line(format!("add rule {TABLE} {chain}_{n} {rule}"));
        rule("meta nfproto != ipv4 drop".to_owned());
        rule(format!("ip saddr != {own} drop"));
        rule("ct state established,related accept".to_owned());
        // Only by its very address: a wider block that happens to hold the host's opens nothing there. What was
        // named is what the instance asked for, before a published port turned it into a neighbour's.
        for (address, port, protocol) in singles(network) {
            let protocol = protocol.as_str();
            rule(format!(
                "meta l4proto {protocol} ct original ip daddr {address} ct original proto-dst {port} accept"
            ));
        }
        if chain == "out" {
            rule(format!(
                "ip daddr {{ {}, {} }} reject",
                network.pool,
                NOWHERE.join(", ")
            ));
            for allow in &network.allow {
                let (protocol, port) = (allow.protocol.as_str(), allow.port);
                match &allow.target {
                    Target::Anywhere => rule(format!("{protocol} dport {port} accept")),
                    Target::Range(range) if range.single().is_none() => {
                        rule(format!("ip daddr {range} {protocol} dport {port} accept"));
                    }
                    // The one stands above, the other in the set.
                    Target::Range(_) | Target::Name(_) => {}
                }
            }
            rule(format!("ip daddr . meta l4proto . th dport @names_{n} accept"));
        }
        // Told at once rather than after a time-out.
        rule("meta l4proto tcp reject with tcp reset".to_owned());
        rule("reject".to_owned());
    }
    let mut rule = |rule: String| line(format!("add rule {TABLE} in_{n} {rule}"));
    rule("meta nfproto != ipv4 drop".to_owned());
    rule("ct state established,related accept".to_owned());
    for publish in &network.publish {
        let (protocol, to) = (publish.protocol.as_str(), publish.to);
        rule(format!("ct status dnat {protocol} dport {to} accept"));
    }
    rule("drop".to_owned());
    for publish in &network.publish {
        let (key, value) = published(publish, own);
        line(format!("create element {TABLE} {key} : {value} }}"));
    }
    line(format!("add element {TABLE} addresses {{ {own} }}"));
    for (map, chain) in MAPS {
        line(element("create", network.number, map, chain));
    }
    text
}

const MAPS: [(&str, &str); 3] = [("out", "out"), ("host", "host"), ("into", "in")];

fn element(verb: &str, number: u32, map: &str, chain: &str) -> String {
    let device = device(number);
    format!("{verb} element {TABLE} {map} {{ \"{device}\" : jump {chain}_{number} }}")
}

/// Everything of one instance taken away; whatever is gone already is added first, so that nothing fails for it.
pub(crate) fn remove(network: &Filtered) -> String {
    let n = network.number;
    let mut text = FRAME.to_owned();
    let mut line = |line: String| {
        text.push_str(&line);
        text.push('\n');
    };
    for chain in ["out", "host", "in"] {
        line(format!("add chain {TABLE} {chain}_{n}"));
    }
    line(format!(
        "add set {TABLE} names_{n} {{ type ipv4_addr . inet_proto . inet_service; flags timeout; size {MOST_NAMES}; }}"
    ));
    for (map, chain) in MAPS {
        line(element("add", n, map, chain));
        line(element("delete", n, map, chain));
    }
    for publish in &network.publish {
        let (key, value) = published(publish, network.address);
        line(format!("add element {TABLE} {key} : {value} }}"));
        line(format!("delete element {TABLE} {key} : {value} }}"));
    }
    let own = network.address;
    for verb in ["add", "delete"] {
        line(format!("{verb} element {TABLE} addresses {{ {own} }}"));
    }
    for chain in ["out", "host", "in"] {
        line(format!("flush chain {TABLE} {chain}_{n}"));
        line(format!("delete chain {TABLE} {chain}_{n}"));
    }
    line(format!("delete set {TABLE} names_{n}"));
    text
}

/// Opens addresses behind a name for some seconds. Deleted in between, because adding what is there leaves its time
/// as it was.
pub(crate) fn open(number: u32, doors: &[(Ipv4Addr, Protocol, u16)], seconds: u32) -> String {
    let mut text = String::new();
    for (address, protocol, port) in doors {
        let door = format!(
            "{TABLE} names_{number} {{ {address} . {} . {port}",
            protocol.as_str()
        );
        let _ = writeln!(text, "add element {door} }}");
        let _ = writeln!(text, "delete element {door} }}");
        let _ = writeln!(text, "add element {door} timeout {seconds}s }}");
    }
    text
}

/// Takes the whole table away.
pub(crate) fn remove_table() -> String {
    format!("add table {TABLE}\ndelete table {TABLE}\n")
}

/// Whether the table, as `nft` lists it, still belongs to somebody.
pub(crate) fn is_used(listed: &str) -> bool {
    listed
        .lines()
        .any(|line| line.trim_start().starts_with("chain out_"))
}

/// Whether the table, as `nft` lists it, has the chains of an instance.
pub(crate) fn has(listed: &str, number: u32) -> bool {
    let chain = format!("chain out_{number} {{");
    listed.lines().any(|line| line.trim() == chain)
}

/// The list's single addresses.
fn singles(network: &Filtered) -> impl Iterator<Item = (Ipv4Addr, u16, Protocol)> {
    network.allow.iter().filter_map(|allow| match allow.target {
        Target::Range(range) => Some((range.single()?, allow.port, allow.protocol)),
        Target::Anywhere | Target::Name(_) => None,
    })
}

/// Map and opened key, and the value, of a published port.
fn published(publish: &Publish, own: Ipv4Addr) -> (String, String) {
    let (protocol, port) = (publish.protocol.as_str(), publish.port);
    let key = if publish.address.is_unspecified() {
        format!("published_everywhere {{ {protocol} . {port}")
    } else {
        format!("published {{ {} . {protocol} . {port}", publish.address)
    };
    (key, format!("{own} . {}", publish.to))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network() -> Filtered {
        let pool: crate::traffic::Range = "100.96.0.0/12".parse().expect("a block");
        let (gateway, address) = pool.pair(10).expect("a cable");
        let allow = [
            "10.0.0.0/8:502",
            "192.0.2.7:161/udp",
            "*:443",
            "broker.example.com:1883",
        ];
        Filtered {
            number: 10,
            gateway,
            address,
            pool,
            allow: allow.map(|text| text.parse().expect("a destination")).to_vec(),
            publish: vec![Publish {
                address: Ipv4Addr::UNSPECIFIED,
                port: 1883,
                to: 1884,
                protocol: Protocol::Tcp,
            }],
        }
    }

    #[test]
    fn what_is_nobody_s_is_refused_before_any_block_is_allowed() {
        let text = install(&network());
        let at = |part: &str| text.find(part).unwrap_or_else(|| panic!("no `{part}` in {text}"));
        let refused = at("out_10 ip daddr { 100.96.0.0/12, ");
        assert!(at("out_10 meta l4proto udp ct original ip daddr 192.0.2.7") < refused);
        assert!(refused < at("out_10 ip daddr 10.0.0.0/8 tcp dport 502 accept"));
        assert!(refused < at("out_10 tcp dport 443 accept"));
        assert!(refused < at("@names_10 accept"));
        // The host itself is reached by nothing but a single address.
        let host: Vec<&str> = text
            .lines()
            .filter(|line| line.contains("host_10 ") && line.ends_with("accept"))
            .collect();
        assert_eq!(host.len(), 2, "{host:?}");
    }

    #[test]
    fn all_that_is_installed_is_removed() {
        let (installed, removed) = (install(&network()), remove(&network()));
        for line in installed.lines().filter(|line| line.starts_with("create ")) {
            let what: Vec<&str> = line.split(' ').skip(1).take(4).collect();
            let gone = format!("delete {}", what.join(" "));
            assert!(removed.contains(&gone), "{gone} in {removed}");
        }
        assert!(removed.contains("delete element inet redhold addresses { 100.96.0.21 }"));
        assert_eq!(device(u32::MAX).len(), 15);
    }
}
