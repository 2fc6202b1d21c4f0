//! Pure: the host's packet filter for instances with a cable, as `nft` reads it.
//!
//! One table, `redhold`. Its fixed part looks a device's name up and jumps to the chains of its instance; it is
//! written anew with every start, in the same transaction, so that a newer version of this program mends an older
//! one's. Whatever comes from or goes to a device of ours without chains is dropped. No other table is touched, and
//! what another table drops stays dropped: a verdict of ours ends only our own chains.
//!
//! Per instance: `out_<n>` (through the host), `host_<n>` (to the host itself), `in_<n>` (from elsewhere) and the
//! sets `names_<n>` and `names6_<n>`, which the keeper fills with the addresses behind allowed names for as long as they
//! are valid. Where it is watched what it reaches, [`super::tried`] adds to that.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::net::{IpAddr, Ipv6Addr};

use super::tried;
use crate::traffic::{Allow, Filtered, Protocol, Publish, Range, Target};

/// The table.
pub(super) const TABLE: &str = "inet redhold";

/// Nobody's: this host, this machine, addresses that only a link or a cloud's control plane has, groups, reserved.
const NOWHERE: [&str; 6] = [
    "0.0.0.0/8",
    "127.0.0.0/8",
    "169.254.0.0/16",
    "192.0.0.0/24",
    "224.0.0.0/4",
    "240.0.0.0/4",
];

/// The same of IPv6: none and loopback, IPv4 in disguise, a translator's way to links of IPv4, links, sites as they once
/// were, groups, and where clouds keep what only the machine may ask (Amazon's, Google's).
const NOWHERE6: [&str; 8] = [
    "::/127",
    "::ffff:0:0/96",
    "64:ff9b::a9fe:0/112",
    "fe80::/10",
    "fec0::/10",
    "ff00::/8",
    "fd00:ec2::/32",
    "fd20:ce::254/128",
];

/// With what either end of a cable asks for the other's hardware address (RFC 4861) on behalf of an address that is not
/// its own: the host's, and the instance's.
pub(crate) const GATEWAY_LINK6: &str = "fe80::1";
/// See [`GATEWAY_LINK6`].
pub(crate) const LINK6: &str = "fe80::2";

/// More addresses than any honest list of names has; a name's owner may answer with others each time.
const MOST_NAMES: u32 = 4096;

/// What the table holds whoever is there. Chains are filled apart: see [`FIXED`].
const FRAME: &str = "\
add table inet redhold
add map inet redhold out { type ifname : verdict; }
add map inet redhold host { type ifname : verdict; }
add map inet redhold into { type ifname : verdict; }
add set inet redhold addresses { type ipv4_addr; }
add set inet redhold addresses6 { type ipv6_addr; }
add map inet redhold published { type ipv4_addr . inet_proto . inet_service : ipv4_addr . inet_service; }
add map inet redhold published_everywhere { type inet_proto . inet_service : ipv4_addr . inet_service; }
add map inet redhold published6 { type ipv6_addr . inet_proto . inet_service : ipv6_addr . inet_service; }
add map inet redhold published6_everywhere { type inet_proto . inet_service : ipv6_addr . inet_service; }
add map inet redhold loopback { type ifname . ipv4_addr . inet_proto . inet_service : ipv4_addr . inet_service; }
add chain inet redhold leave { type filter hook forward priority 0; policy accept; }
add chain inet redhold enter { type filter hook forward priority 1; policy accept; }
add chain inet redhold input { type filter hook input priority 0; policy accept; }
add chain inet redhold prerouting { type nat hook prerouting priority -100; policy accept; }
add chain inet redhold output { type nat hook output priority -100; policy accept; }
add chain inet redhold postrouting { type nat hook postrouting priority 100; policy accept; }
";

/// The rules of the frame. Leaving and entering are two chains, because an instance that names a neighbour leaves
/// its own cable and enters the other's: both must agree. The loopback address of IPv6 is left alone: nothing that
/// comes from it may cross a device (there is no `route_localnet` of IPv6), so that a client would wait in vain.
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
add rule inet redhold prerouting dnat ip to iifname . ip daddr . meta l4proto . th dport map @loopback
add rule inet redhold prerouting dnat ip to ip daddr . meta l4proto . th dport map @published
add rule inet redhold prerouting meta nfproto ipv4 fib daddr type local dnat ip to meta l4proto . th dport map @published_everywhere
add rule inet redhold prerouting dnat ip6 to ip6 daddr . meta l4proto . th dport map @published6
add rule inet redhold prerouting meta nfproto ipv6 fib daddr type local dnat ip6 to meta l4proto . th dport map @published6_everywhere
flush chain inet redhold output
add rule inet redhold output ip6 daddr ::1 accept
add rule inet redhold output dnat ip to ip daddr . meta l4proto . th dport map @published
add rule inet redhold output meta nfproto ipv4 fib daddr type local dnat ip to meta l4proto . th dport map @published_everywhere
add rule inet redhold output dnat ip6 to ip6 daddr . meta l4proto . th dport map @published6
add rule inet redhold output meta nfproto ipv6 fib daddr type local dnat ip6 to meta l4proto . th dport map @published6_everywhere
flush chain inet redhold postrouting
add rule inet redhold postrouting ip saddr @addresses oifname != \"redhold*\" masquerade
add rule inet redhold postrouting ip saddr 127.0.0.0/8 oifname \"redhold*\" masquerade
add rule inet redhold postrouting ip6 saddr @addresses6 oifname != \"redhold*\" masquerade
";

/// Name of the host's end of the cable. At most 15 bytes (`IFNAMSIZ`), which eight hexadecimal digits just fill.
pub(crate) fn device(number: u32) -> String {
    format!("redhold{number:x}")
}

/// Everything of one instance, in one transaction that fails when another one has its number or a port of it.
pub(crate) fn install(network: &Filtered) -> String {
    let n = network.number;
    let mut text = Text::beginning(&[FRAME, FIXED]);
    for (set, kind) in names_sets(n) {
        text.line(format!("create set {TABLE} {set} {}", names_set(kind)));
    }
    for chain in ["out", "host", "in"] {
        text.line(format!("create chain {TABLE} {chain}_{n}"));
    }
    if network.hosts.is_some() {
        text.0.push_str(&tried::install(n));
    }
    for chain in ["out", "host"] {
        begin(network, chain, &mut text);
        if chain == "out" {
            open_outside(network, &mut text);
        } else if network.v6.is_some() {
            // How either end finds the other (RFC 4861), which no connection's state tells.
            text.line(format!(
                "add rule {TABLE} host_{n} icmpv6 type {{ nd-neighbor-solicit, nd-neighbor-advert }} accept"
            ));
        }
        if network.hosts.is_some() {
            text.line(format!("add rule {TABLE} {chain}_{n} jump tried_{n}"));
        }
        if chain == "out" && network.is_open() && network.narrowed().is_none() {
            text.line(format!("add rule {TABLE} out_{n} accept"));
        }
        // Told at once rather than after a time-out.
        text.line(format!(
            "add rule {TABLE} {chain}_{n} meta l4proto tcp reject with tcp reset"
        ));
        text.line(format!("add rule {TABLE} {chain}_{n} reject"));
    }
    let mut rule = |rule: String| text.line(format!("add rule {TABLE} in_{n} {rule}"));
    if network.v6.is_none() {
        rule("meta nfproto != ipv4 drop".to_owned());
    }
    rule("ct state established,related accept".to_owned());
    for publish in &network.publish {
        let (protocol, to) = (publish.protocol.as_str(), publish.to);
        rule(format!("ct status dnat {protocol} dport {to} accept"));
    }
    rule("drop".to_owned());
    for element in network.publish.iter().flat_map(|one| published(one, network)) {
        text.line(format!("create element {TABLE} {element}"));
    }
    for element in loopback_elements(network) {
        text.line(format!("create element {TABLE} {element}"));
    }
    for element in own(network) {
        text.line(format!("add element {TABLE} {element}"));
    }
    for (map, chain) in MAPS {
        text.line(element("create", network.number, map, chain));
    }
    text.0
}

/// Lines for `nft`.
struct Text(String);

impl Text {
    fn beginning(parts: &[&str]) -> Self {
        Self(parts.concat())
    }

    fn line(&mut self, line: impl AsRef<str>) {
        self.0.push_str(line.as_ref());
        self.0.push('\n');
    }
}

/// What holds for everything that comes from inside: whose it is, what was begun already, and what was named.
fn begin(network: &Filtered, chain: &str, text: &mut Text) {
    let n = network.number;
    let mut rule = |rule: String| text.line(format!("add rule {TABLE} {chain}_{n} {rule}"));
    rule(format!("ip saddr != {} drop", network.address));
    match network.v6 {
        Some(ends) if chain == "host" => {
            rule(format!("ip6 saddr != {{ {}, {LINK6} }} drop", ends.address));
        }
        Some(ends) => rule(format!("ip6 saddr != {} drop", ends.address)),
        None => rule("meta nfproto != ipv4 drop".to_owned()),
    }
    rule("ct state established,related accept".to_owned());
    // Only by its very address: a wider block that happens to hold the host's opens nothing there. What was
    // named is what the instance asked for, before a published port turned it into a neighbour's.
    for (address, port, protocol) in singles(network) {
        let (protocol, ip) = (protocol.as_str(), family(address));
        // Where the way to the host's loopback begins.
        let address = match address.is_loopback() {
            true => network.gateway.into(),
            false => address,
        };
        rule(format!(
            "meta l4proto {protocol} ct original {ip} daddr {address} ct original proto-dst {port} accept"
        ));
    }
}

/// What an instance reaches through the host.
fn open_outside(network: &Filtered, text: &mut Text) {
    let n = network.number;
    let mut rule = |rule: String| text.line(format!("add rule {TABLE} out_{n} {rule}"));
    // One rule for each block: those of a person may overlap.
    let mut closed = vec![
        format!("ip daddr {}", network.pool),
        format!("ip daddr {{ {} }}", NOWHERE.join(", ")),
    ];
    if let Some(ends) = network.v6 {
        closed.push(format!("ip6 daddr {}", ends.pool));
        closed.push(format!("ip6 daddr {{ {} }}", NOWHERE6.join(", ")));
    }
    closed.extend(
        network
            .deny
            .iter()
            .map(|range| format!("{} daddr {range}", kind(range.is_v6()))),
    );
    for block in closed {
        // A rule of its own: one that cannot record, because there is no room, does nothing else either.
        if network.hosts.is_some() {
            rule(format!("{block} jump tried_{n}"));
        }
        rule(format!("{block} reject"));
    }
    for allow in &network.allow {
        let Allow::Port {
            target,
            port,
            protocol,
        } = allow
        else {
            // Last of all, for what is named is not to be recorded.
            continue;
        };
        let protocol = protocol.as_str();
        match target {
            Target::Anywhere => rule(format!("{protocol} dport {port} accept")),
            Target::Range(range) if range.single().is_none() => {
                let ip = kind(range.is_v6());
                rule(format!("{ip} daddr {range} {protocol} dport {port} accept"));
            }
            // The one stands above, the other in the set.
            Target::Range(_) | Target::Name(_) => {}
        }
    }
    for ((set, _), ip) in names_sets(n).into_iter().zip(["ip", "ip6"]) {
        rule(format!("{ip} daddr . meta l4proto . th dport @{set} accept"));
    }
    for accepted in tried::accepted(network) {
        rule(accepted);
    }
}

const MAPS: [(&str, &str); 3] = [("out", "out"), ("host", "host"), ("into", "in")];

fn element(verb: &str, number: u32, map: &str, chain: &str) -> String {
    let device = device(number);
    format!("{verb} element {TABLE} {map} {{ \"{device}\" : jump {chain}_{number} }}")
}

/// The sets of addresses behind allowed names, with the kind of address.
fn names_sets(number: u32) -> [(String, &'static str); 2] {
    [
        (format!("names_{number}"), "ipv4_addr"),
        (format!("names6_{number}"), "ipv6_addr"),
    ]
}

fn names_set(kind: &str) -> String {
    format!("{{ type {kind} . inet_proto . inet_service; flags timeout; size {MOST_NAMES}; }}")
}

/// Everything of one instance taken away; whatever is gone already is added first, so that nothing fails for it.
pub(crate) fn remove(network: &Filtered) -> String {
    let n = network.number;
    let mut text = Text::beginning(&[FRAME]);
    for chain in ["out", "host", "in"] {
        text.line(format!("add chain {TABLE} {chain}_{n}"));
    }
    for (set, kind) in names_sets(n) {
        text.line(format!("add set {TABLE} {set} {}", names_set(kind)));
    }
    for (map, chain) in MAPS {
        text.line(element("add", n, map, chain));
        text.line(element("delete", n, map, chain));
    }
    let published = network.publish.iter().flat_map(|one| published(one, network));
    for element in published.chain(loopback_elements(network)).chain(own(network)) {
        text.line(format!("add element {TABLE} {element}"));
        text.line(format!("delete element {TABLE} {element}"));
    }
    for chain in ["out", "host", "in"] {
        text.line(format!("flush chain {TABLE} {chain}_{n}"));
        text.line(format!("delete chain {TABLE} {chain}_{n}"));
    }
    text.0.push_str(&tried::remove(n));
    for (set, _) in names_sets(n) {
        text.line(format!("delete set {TABLE} {set}"));
    }
    text.0
}

/// Opens addresses behind a name for some seconds. Deleted in between, because adding what is there leaves its time
/// as it was.
pub(crate) fn open(number: u32, doors: &[(IpAddr, Protocol, u16)], seconds: u32) -> String {
    let mut text = String::new();
    for (address, protocol, port) in doors {
        let set = match address {
            IpAddr::V4(_) => "names",
            IpAddr::V6(_) => "names6",
        };
        let door = format!(
            "{TABLE} {set}_{number} {{ {address} . {} . {port}",
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

/// Whether no block and no name leads there: it is nobody's, another instance's, or closed by the host.
pub(crate) fn is_closed(network: &Filtered, address: IpAddr) -> bool {
    let pool6 = network.v6.map(|ends| ends.pool);
    let nowhere = NOWHERE.iter().chain(&NOWHERE6);
    let nowhere: Vec<Range> = nowhere.filter_map(|range| range.parse().ok()).collect();
    let mut closed = nowhere
        .iter()
        .chain(&network.deny)
        .chain([&network.pool])
        .chain(&pool6);
    closed.any(|range| range.contains(address))
}

/// The list's single addresses.
fn singles(network: &Filtered) -> impl Iterator<Item = (IpAddr, u16, Protocol)> {
    network.allow.iter().filter_map(|allow| match allow {
        Allow::Port {
            target: Target::Range(range),
            port,
            protocol,
        } => Some((range.single()?, *port, *protocol)),
        _ => None,
    })
}

/// What of the host's loopback was named.
pub(crate) fn loopbacks(network: &Filtered) -> impl Iterator<Item = (u16, Protocol)> {
    singles(network)
        .filter(|(address, ..)| address.is_loopback())
        .map(|(_, port, protocol)| (port, protocol))
}

/// The elements by which the host's end of the cable leads on to the host's loopback.
fn loopback_elements(network: &Filtered) -> impl Iterator<Item = String> {
    let (device, gateway) = (device(network.number), network.gateway);
    let ports: BTreeSet<_> = loopbacks(network).collect();
    ports.into_iter().map(move |(port, protocol)| {
        let protocol = protocol.as_str();
        format!("loopback {{ \"{device}\" . {gateway} . {protocol} . {port} : 127.0.0.1 . {port} }}")
    })
}

/// The packet filter inside: by it the named ports of the instance's own loopback lead to the host's end of the cable.
pub(crate) fn inside(network: &Filtered) -> String {
    let mut text = "\
        add table ip redhold\n\
        add chain ip redhold output { type nat hook output priority -100; policy accept; }\n\
        add chain ip redhold postrouting { type nat hook postrouting priority 100; policy accept; }\n\
        add rule ip redhold postrouting ip saddr 127.0.0.0/8 oifname \"eth0\" masquerade\n"
        .to_owned();
    for (port, protocol) in loopbacks(network) {
        let (protocol, gateway) = (protocol.as_str(), network.gateway);
        let _ = writeln!(
            text,
            "add rule ip redhold output ip daddr 127.0.0.1 {protocol} dport {port} dnat to {gateway}:{port}"
        );
    }
    text
}

const fn family(address: IpAddr) -> &'static str {
    kind(address.is_ipv6())
}

pub(super) const fn kind(v6: bool) -> &'static str {
    if v6 { "ip6" } else { "ip" }
}

/// The elements of its own addresses.
fn own(network: &Filtered) -> impl Iterator<Item = String> {
    let v6 = network
        .v6
        .map(|ends| format!("addresses6 {{ {} }}", ends.address));
    std::iter::once(format!("addresses {{ {} }}", network.address)).chain(v6)
}

/// The elements of a published port.
fn published(publish: &Publish, network: &Filtered) -> impl Iterator<Item = String> {
    let (protocol, port, to) = (publish.protocol.as_str(), publish.port, publish.to);
    let address = publish.address;
    let of = |v6: bool| address.is_none_or(|address| address.is_ipv6() == v6);
    let key = address
        .filter(|address| !address.is_unspecified())
        .map(|address| format!("{address} . "));
    let map = if key.is_some() { "" } else { "_everywhere" };
    let key = key.unwrap_or_default();
    let element =
        |six: &str, own: IpAddr| format!("published{six}{map} {{ {key}{protocol} . {port} : {own} . {to} }}");
    let four = of(false).then(|| element("", network.address.into()));
    let inside: Option<Ipv6Addr> = network.v6.filter(|_| of(true)).map(|ends| ends.address);
    let six = inside.map(|own| element("6", own.into()));
    four.into_iter().chain(six)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::traffic::Hosts;

    fn network() -> Filtered {
        let pool: Range = "100.96.0.0/12".parse().expect("a block");
        let (gateway, address) = pool.pair(10).expect("a cable");
        let pool6: Range = "fd00:1::/64".parse().expect("a block");
        let ends = pool6.pair6(10).expect("a cable");
        let allow = [
            "10.0.0.0/8:502",
            "192.0.2.7:161/udp",
            "localhost:1884",
            "[2001:db8::7]:161/udp",
            "[2001:db8::/32]:502",
            "*:443",
            "broker.example.com:1883",
        ];
        Filtered {
            number: 10,
            gateway,
            address,
            pool,
            v6: Some(crate::traffic::Ends6 {
                gateway: ends.0,
                address: ends.1,
                pool: pool6,
            }),
            deny: vec!["10.9.0.0/16".parse().expect("a block")],
            allow: allow.map(|text| text.parse().expect("a destination")).to_vec(),
            publish: vec![Publish {
                address: None,
                port: 1883,
                to: 1884,
                protocol: Protocol::Tcp,
            }],
            hosts: Some(Box::new(Hosts {
                enforce: false,
                allow: vec!["192.0.2.0/24".parse().expect("a block")],
                named_in: Vec::new(),
                words: String::new(),
            })),
        }
    }

    #[test]
    fn what_is_nobody_s_is_refused_before_any_block_is_allowed() {
        let text = install(&network());
        let at = |part: &str| text.find(part).unwrap_or_else(|| panic!("no `{part}` in {text}"));
        let refused = [
            "out_10 ip daddr 100.96.0.0/12 reject",
            "out_10 ip daddr { 0.0.0.0/8, ",
            "out_10 ip daddr 10.9.0.0/16 reject",
            "out_10 ip6 daddr fd00:1::/64 reject",
            "out_10 ip6 daddr { ::/127, ",
        ];
        let (first, last) = (
            refused.iter().map(|part| at(part)).min(),
            refused.iter().map(|part| at(part)).max(),
        );
        for single in ["ip daddr 192.0.2.7", "ip6 daddr 2001:db8::7"] {
            assert!(Some(at(&format!("out_10 meta l4proto udp ct original {single}"))) < first);
        }
        for wide in [
            "out_10 ip daddr 10.0.0.0/8 tcp dport 502 accept",
            "out_10 ip6 daddr 2001:db8::/32 tcp dport 502 accept",
            "out_10 tcp dport 443 accept",
            "@names_10 accept",
            "@names6_10 accept",
        ] {
            assert!(last < Some(at(wide)), "{wide}");
        }
        assert!(!text.contains("out_10 accept"));
        // The host itself is reached by nothing but a single address; neighbours on a link find each other.
        let host: Vec<&str> = text
            .lines()
            .filter(|line| line.contains("host_10 ") && line.ends_with("accept"))
            .collect();
        assert_eq!(host.len(), 5, "{host:?}");
    }

    #[test]
    fn everything_outside_comes_after_what_is_closed() {
        let mut network = network();
        network.allow = vec![Allow::Outside];
        let text = install(&network);
        let at = |part: &str| text.find(part).unwrap_or_else(|| panic!("no `{part}` in {text}"));
        assert!(at("out_10 ip6 daddr { ::/127, ") < at("out_10 ip daddr 10.9.0.0/16 reject"));
        assert!(at("out_10 ip daddr 10.9.0.0/16 reject") < at("out_10 accept"));
        assert!(!text.contains("host_10 accept"));
        // Recorded before it is let through, and what is closed before it is refused.
        assert!(at("out_10 jump tried_10") < at("out_10 accept"));
        assert!(at("ip daddr 10.9.0.0/16 jump tried_10") < at("ip daddr 10.9.0.0/16 reject"));
        network.hosts.as_mut().expect("hosts").enforce = true;
        let text = install(&network);
        assert!(!text.contains("out_10 accept"));
        assert!(text.contains("out_10 ip daddr 192.0.2.0/24 accept"), "{text}");
        network.hosts = None;
        let text = install(&network);
        assert!(!text.contains("tried") && text.contains("out_10 accept"));
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
        assert!(removed.contains("delete element inet redhold addresses6 { fd00:1::15 }"));
        assert_eq!(device(u32::MAX).len(), 15);
    }

    #[test]
    fn no_name_leads_to_the_machine_or_to_a_clouds_metadata() {
        for address in [
            "127.0.0.1",
            "169.254.169.254",
            "0.0.0.0",
            "192.0.0.192",
            "255.255.255.255",
            "::1",
            "::ffff:127.0.0.1",
            "fe80::1",
            "fd00:ec2::254",
            "100.96.0.5",
            "10.9.0.1",
            "fd00:1::9",
            "64:ff9b::169.254.169.254",
        ] {
            assert!(
                is_closed(&network(), address.parse().expect("an address")),
                "{address}"
            );
        }
        for address in ["10.0.0.1", "2001:db8::1", "fd00:2::1"] {
            assert!(
                !is_closed(&network(), address.parse().expect("an address")),
                "{address}"
            );
        }
    }
}
