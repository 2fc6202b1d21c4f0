//! What an instance in a network of its own may reach, and which of its ports the host publishes.
//!
//! The words are those of a person's settings: `*` for everything outside the host, `host:port`,
//! `address/length:port` or `*:port`, each of the last with `/udp` at its end when it is not TCP.

mod allow;
mod hosts;
mod named;
mod range;

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde::{Deserialize, Serialize};

pub use self::allow::{Allow, InvalidAllow, Target};
pub use self::hosts::Hosts;
pub use self::named::{Named, named};
pub use self::range::{InvalidRange, Range};

/// A network of its own: the addresses of its cable, and what goes over it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Filtered {
    /// Tells its devices and rules from those of the host's other instances.
    pub number: u32,
    /// The host's end of the cable.
    pub gateway: Ipv4Addr,
    /// The instance's end.
    pub address: Ipv4Addr,
    /// Where all instances of the host live: out of reach for each other.
    pub pool: Range,
    /// The same once more for IPv6; without it there is only IPv4 inside.
    #[serde(default)]
    pub v6: Option<Ends6>,
    /// What it may reach; everything else is refused.
    pub allow: Vec<Allow>,
    /// What only the very address in `allow` leads to.
    #[serde(default)]
    pub deny: Vec<Range>,
    /// Which of its ports the host passes on.
    pub publish: Vec<Publish>,
    /// Where outside it has something to do, where that is watched; what `allow` names is among it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hosts: Option<Box<Hosts>>,
}

/// The IPv6 addresses of a cable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ends6 {
    /// The host's end.
    pub gateway: Ipv6Addr,
    /// The instance's end.
    pub address: Ipv6Addr,
    /// Where all instances of the host live.
    pub pool: Range,
}

/// What carries a port's traffic.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// Connections.
    #[default]
    Tcp,
    /// Datagrams.
    Udp,
}

/// A port of the host that leads into the instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Publish {
    /// The host's address; `0.0.0.0` and `::` are all of theirs, and without one it is all of both.
    pub address: Option<IpAddr>,
    /// The host's port.
    pub port: u16,
    /// The instance's.
    pub to: u16,
    /// Over what.
    pub protocol: Protocol,
}

impl Filtered {
    /// Whether everything outside the host may be reached.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.allow.contains(&Allow::Outside)
    }

    /// Where in the world it has something to do, when the rest is refused although `allow` leads everywhere.
    #[must_use]
    pub fn narrowed(&self) -> Option<&Hosts> {
        self.hosts
            .as_deref()
            .filter(|hosts| hosts.enforce && self.is_open())
    }
}

impl Protocol {
    /// As rules and settings write it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        }
    }
}

impl Publish {
    /// Whether two of them want the same port of the host.
    #[must_use]
    pub fn meets(&self, other: &Self) -> bool {
        let shared = |one: IpAddr, two: IpAddr| {
            one == two || one.is_ipv4() == two.is_ipv4() && (one.is_unspecified() || two.is_unspecified())
        };
        (self.port, self.protocol) == (other.port, other.protocol)
            && match (self.address, other.address) {
                (Some(one), Some(two)) => shared(one, two),
                _ => true,
            }
    }
}

impl fmt::Display for Filtered {
    /// For a person: where it is, and what goes in and out.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a namespace of its own at {}", self.address)?;
        match self.v6 {
            Some(ends) => write!(f, " and {}", ends.address)?,
            None => f.write_str(", IPv4 only")?,
        }
        let named = list(self.allow.iter().filter(|allow| **allow != Allow::Outside));
        match (self.is_open(), named.as_str()) {
            (true, "") => f.write_str("; out: everything but this host and its instances")?,
            (true, named) => write!(
                f,
                "; out: everything but this host and its instances, and {named}"
            )?,
            (false, "") => f.write_str("; out: nothing")?,
            (false, named) => write!(f, "; out: {named}")?,
        }
        if !self.deny.is_empty() {
            write!(f, "; not by any block or name: {}", list(self.deny.iter()))?;
        }
        if let Some(hosts) = &self.hosts {
            let rest = match (self.is_open(), hosts.enforce) {
                (true, true) => "anything else is refused and recorded",
                (true, false) => "anything else is let through and recorded",
                (false, _) => "what is refused is recorded",
            };
            match self.is_open() {
                true => write!(f, "; of that: {}, {rest}", hosts.words)?,
                false => write!(f, "; {rest}")?,
            }
        }
        match list(self.publish.iter()).as_str() {
            "" => f.write_str("; in: only through the front"),
            published => write!(f, "; in: {published}"),
        }
    }
}

impl fmt::Display for Publish {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.address {
            Some(address) if address.is_ipv6() => write!(f, "[{address}]:")?,
            Some(address) => write!(f, "{address}:")?,
            None => {}
        }
        write!(f, "{}/{} to {}", self.port, self.protocol.as_str(), self.to)
    }
}

/// The first of many, with how many there are more.
fn list(all: impl Iterator<Item: fmt::Display>) -> String {
    const SHOWN: usize = 8;
    let all: Vec<String> = all.map(|one| one.to_string()).collect();
    match all.len() {
        0..=SHOWN => all.join(", "),
        count => format!("{} and {} more", all[..SHOWN].join(", "), count - SHOWN),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn publish(address: &str, port: u16) -> Publish {
        Publish {
            address: address.parse().ok(),
            port,
            to: 1,
            protocol: Protocol::Tcp,
        }
    }

    #[test]
    fn a_port_of_an_address_has_one_owner() {
        for (one, two, meet) in [
            ("*", "127.0.0.1", true),
            ("*", "::1", true),
            ("0.0.0.0", "127.0.0.1", true),
            ("0.0.0.0", "::", false),
            ("0.0.0.0", "::1", false),
            ("::", "::1", true),
            ("10.0.0.1", "10.0.0.1", true),
            ("10.0.0.1", "10.0.0.2", false),
        ] {
            assert_eq!(publish(one, 1).meets(&publish(two, 1)), meet, "{one} {two}");
            assert_eq!(publish(two, 1).meets(&publish(one, 1)), meet, "{two} {one}");
            assert!(!publish(one, 1).meets(&publish(two, 2)));
        }
    }

    #[test]
    fn a_person_reads_what_goes_in_and_out() {
        let pool: Range = "100.96.0.0/12".parse().expect("a block");
        let (gateway, address) = pool.pair(1).expect("a cable");
        let mut network = Filtered {
            number: 1,
            gateway,
            address,
            pool,
            v6: None,
            allow: vec![Allow::Outside],
            deny: Vec::new(),
            publish: Vec::new(),
            hosts: None,
        };
        assert_eq!(
            network.to_string(),
            "a namespace of its own at 100.96.0.3, IPv4 only; out: everything but this host and its instances; \
             in: only through the front"
        );
        network.allow = vec!["10.0.0.5:502".parse().expect("a destination")];
        network.publish = vec![publish("*", 1502), publish("::1", 7)];
        let text = network.to_string();
        assert!(
            text.ends_with("; out: 10.0.0.5:502; in: 1502/tcp to 1, [::1]:7/tcp to 1"),
            "{text}"
        );
        network.allow.push(Allow::Outside);
        assert!(network.to_string().contains("its instances, and 10.0.0.5:502;"));
        network.allow.clear();
        network.deny = vec![pool];
        let text = network.to_string();
        assert!(
            text.contains("; out: nothing; not by any block or name: 100.96.0.0/12;"),
            "{text}"
        );
    }
}
