//! What instances can be connected to: a network of their own is tried in an empty one, where it leaves no trace.

use std::fs::OpenOptions;
use std::io;
use std::path::Path;

use nix::sched::{CloneFlags, unshare};

use super::{Feature, Subject};
use crate::sandbox::forwarding::{self, GUARD};
use crate::sandbox::rules;
use crate::sandbox::tools::{find, ip, nft, run};
use crate::traffic::{Allow, Filtered, Range};

const NETWORK: Subject = Subject::Network;

/// The features without which no instance has a network of its own.
pub(super) const NEEDED: [&str; 2] = ["own-networks", "forwarding"];

const COSTS: &str = "instances share the host's network: they reach its loopback, its ports and each other's";

/// Everything.
pub(super) fn probe() -> Vec<Feature> {
    let mut features = needed();
    features.push(v6());
    features.extend(firewall());
    features.push(tunnel());
    features
}

/// What decides whether instances can have one.
pub(super) fn needed() -> Vec<Feature> {
    vec![own_networks(), forwarding()]
}

fn own_networks() -> Feature {
    let name = NEEDED[0];
    if !nix::unistd::geteuid().is_root() {
        return Feature::missing(NETWORK, name, "only root can connect one to the host's", COSTS)
            .mend("sudo redhold serve");
    }
    for (program, package) in [("nft", "nftables"), ("ip", "iproute2")] {
        if find(program).is_none() {
            return Feature::missing(
                NETWORK,
                name,
                format!("the program `{program}` is missing"),
                COSTS,
            )
            .mend(format!("sudo apt-get install {package}"));
        }
    }
    match trial() {
        Ok(()) => Feature::offered(
            NETWORK,
            name,
            "a trial held: a namespace, a cable, a packet filter",
        ),
        Err(error) => Feature::missing(NETWORK, name, format!("a trial failed: {error}"), COSTS),
    }
}

/// Makes a cable and the rules of an instance in a network namespace of a thread's own, which ends with it.
fn trial() -> io::Result<()> {
    let work = || {
        unshare(CloneFlags::CLONE_NEWNET)?;
        ip("link add redhold1 type veth peer name eth0\n")?;
        let pool: Range = "192.0.2.0/24".parse().map_err(io::Error::other)?;
        let (gateway, address) = pool.pair(1).ok_or(io::ErrorKind::InvalidInput)?;
        nft(&rules::install(&Filtered {
            number: 1,
            gateway,
            address,
            pool,
            v6: None,
            allow: vec![Allow::Outside],
            deny: Vec::new(),
            publish: Vec::new(),
            hosts: None,
        }))
    };
    let thread = std::thread::Builder::new().name("trial".to_owned()).spawn(work)?;
    thread
        .join()
        .unwrap_or_else(|_| Err(io::Error::other("it broke off")))
}

fn forwarding() -> Feature {
    let name = NEEDED[1];
    let guarded = run("nft", &["-t", "list", "table", "inet", "redhold-guard"], "").is_ok();
    match (forwarding::lacks(false), forwarding::switchable()) {
        (None, _) if guarded => Feature::offered(
            NETWORK,
            name,
            format!(
                "on since `redhold serve` switched it on for its instances; the table `{GUARD}` drops what others begin \
                 through the devices that were there, as before; who wants more sets net.ipv4.ip_forward=1 in \
                 /etc/sysctl.d and restarts the machine"
            ),
        ),
        (None, _) => Feature::offered(NETWORK, name, "this host passes packets on"),
        (Some(_), Ok(())) => Feature::offered(
            NETWORK,
            name,
            "off; `redhold serve` switches it on for the first instance that needs it, with a guard around \
             everything else ([network] forwarding = \"leave\" forbids that)",
        ),
        (Some(switch), Err(error)) => Feature::missing(
            NETWORK,
            name,
            format!("this host passes no packets on, and {switch} cannot be set from here: {error}"),
            COSTS,
        )
        .mend(format!("sudo sysctl -w {switch}=1")),
    }
}

fn v6() -> Feature {
    match forwarding::has_v6() {
        true => Feature::offered(
            NETWORK,
            "ipv6",
            "instances get IPv6 too, behind a translation of addresses",
        ),
        false => Feature::partial(
            NETWORK,
            "ipv6",
            "switched off on this host",
            "instances in networks of their own have IPv4 only",
        ),
    }
}

/// Who else judges what is passed on. What another chain drops stays dropped, whatever ours say.
fn firewall() -> Option<Feature> {
    let chains = run("nft", &["list", "chains"], "").unwrap_or_default();
    // Filters of the older kind are not among those.
    let legacy = run("iptables-legacy", &["-S", "FORWARD"], "").unwrap_or_default();
    let found = dropping(&chains).or_else(|| {
        legacy
            .contains("-P FORWARD DROP")
            .then(|| "the chain FORWARD of iptables-legacy".to_owned())
    })?;
    let rules = run("nft", &["list", "ruleset"], "").unwrap_or_default()
        + &run("iptables-legacy", &["-S"], "").unwrap_or_default();
    Some(judged(&found, &rules))
}

/// The firewall that drops, as a feature; `rules` is everything that it is made of.
fn judged(found: &str, rules: &str) -> Feature {
    const NAME: &str = "firewall";
    let accepted = rules
        .lines()
        .any(|line| line.contains("redhold") && !line.contains("redhold-guard") && is_theirs(line));
    if accepted {
        return Feature::offered(
            NETWORK,
            NAME,
            format!("{found} drops what is passed on, and knows of instances"),
        );
    }
    let costs = "instances in networks of their own reach nothing, and their published ports are not reached";
    let feature = Feature::partial(NETWORK, NAME, format!("{found} drops what is passed on"), costs);
    match () {
        () if rules.contains("DOCKER-USER") => feature.mend(
            "sudo iptables -I DOCKER-USER -i redhold+ -j ACCEPT && sudo iptables -I DOCKER-USER -o redhold+ -j ACCEPT",
        ),
        () if rules.contains("ufw-before-forward") => feature.mend(
            "sudo ufw route allow in on redhold+ && sudo ufw route allow out on redhold+",
        ),
        () if rules.contains("table inet firewalld") => feature.mend(
            "sudo firewall-cmd --permanent --zone=trusted --add-interface=redhold+ && sudo firewall-cmd --reload",
        ),
        () => feature,
    }
}

/// Whether a rule that names our devices is another firewall's: ours jump to chains, theirs accept.
fn is_theirs(line: &str) -> bool {
    (line.contains("accept") || line.contains("ACCEPT") || line.contains("goto") || line.contains("jump"))
        && !line.contains("vmap")
        && !line.contains("jump out_")
        && !line.contains("jump host_")
        && !line.contains("jump in_")
}

/// The first chain of somebody else's, in a list of all, that drops what no rule of it accepts.
fn dropping(chains: &str) -> Option<String> {
    let mut table = "";
    let mut chain = "";
    for line in chains.lines().map(str::trim) {
        if let Some(rest) = line.strip_prefix("table ") {
            table = rest.trim_end_matches(" {");
        } else if let Some(rest) = line.strip_prefix("chain ") {
            chain = rest.trim_end_matches(" {");
        } else if line.contains("hook forward") {
            // That one accepts by its policy, and refuses with its last rule.
            if line.contains("policy drop") || table == "inet firewalld" {
                return Some(format!("the chain {chain} of the table {table}"));
            }
        }
    }
    None
}

fn tunnel() -> Feature {
    match OpenOptions::new()
        .read(true)
        .write(true)
        .open(Path::new("/dev/net/tun"))
    {
        Ok(_) => Feature::offered(NETWORK, "tunnel-device", "/dev/net/tun"),
        Err(error) => Feature::missing(
            NETWORK,
            "tunnel-device",
            format!("/dev/net/tun: {error}"),
            "an isolated network without root has no way out",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sandbox::probe::State;

    const CHAINS: &str = "table inet redhold {\n\tchain leave {\n\t\ttype filter hook forward priority filter; policy accept;\n\t}\n}\n";

    fn filter(policy: &str) -> String {
        format!(
            "{CHAINS}table ip filter {{\n\tchain FORWARD {{\n\t\ttype filter hook forward priority filter; policy {policy};\n\t}}\n}}\n"
        )
    }

    #[test]
    fn a_firewall_that_drops_is_named_with_what_mends_it() {
        assert_eq!(dropping(&filter("accept")), None);
        let found = dropping(&filter("drop")).expect("a chain");
        assert_eq!(found, "the chain FORWARD of the table ip filter");
        for (rules, word) in [
            ("chain DOCKER-USER {", "DOCKER-USER"),
            ("chain ufw-before-forward {", "ufw route"),
            ("table inet firewalld {", "firewall-cmd"),
        ] {
            // Our own rules are no sign that it knows us.
            let own = "iifname \"redhold*\" drop\n elements = { \"redhold3\" : jump out_3 }\n table inet redhold-guard {";
            let feature = judged(&found, &format!("{rules}\n{own}\n"));
            assert_eq!(feature.state, State::Partial);
            assert!(feature.mend.expect("a command").contains(word), "{rules}");
            let known = format!("{rules}\n iifname \"redhold*\" counter packets 0 bytes 0 accept\n{own}\n");
            assert_eq!(judged(&found, &known).state, State::Offered);
        }
        let other = judged(&found, "");
        assert_eq!((other.state, other.mend), (State::Partial, None));
    }
}
