//! What an instance in a network of its own may reach, and which of its ports the host publishes.
//!
//! The words are those of a person's settings: `host:port`, `address/length:port` or `*:port`, each with `/udp` at
//! its end when it is not TCP. IPv4 only: there is no other protocol inside.

use std::fmt;
use std::net::Ipv4Addr;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// A network of its own: the two addresses of its cable, and what goes over it.
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
    /// What it may reach; everything else is refused.
    pub allow: Vec<Allow>,
    /// Which of its ports the host passes on.
    pub publish: Vec<Publish>,
}

/// A block of addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Range {
    first: Ipv4Addr,
    length: u8,
}

/// One destination that may be reached.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Allow {
    /// Where.
    pub target: Target,
    /// Port, never 0.
    pub port: u16,
    /// Over what.
    pub protocol: Protocol,
}

/// Where a destination is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// Everywhere but on the host, at its other instances and at addresses that are nobody's.
    Anywhere,
    /// At these addresses. A single one may be the host's own or another instance's.
    Range(Range),
    /// Where this name leads, in lower case; `*.` first stands for one or more labels.
    Name(String),
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
    /// The host's address; `0.0.0.0` is all of them.
    pub address: Ipv4Addr,
    /// The host's port.
    pub port: u16,
    /// The instance's.
    pub to: u16,
    /// Over what.
    pub protocol: Protocol,
}

/// A destination that cannot be understood.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("`{text}` is no destination: {why}")]
pub struct InvalidAllow {
    text: String,
    why: &'static str,
}

/// A block of addresses that cannot be understood.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("`{0}` is no block of addresses: use four numbers, / and a length up to 32, for example 10.0.0.0/8")]
pub struct InvalidRange(String);

impl Range {
    /// A block: the bits after the first `length` are cleared. None when there are fewer bits than that.
    #[must_use]
    pub fn new(address: Ipv4Addr, length: u8) -> Option<Self> {
        let mask = match length {
            0 => 0,
            1..=32 => u32::MAX << (32 - length),
            _ => return None,
        };
        Some(Self {
            first: Ipv4Addr::from_bits(address.to_bits() & mask),
            length,
        })
    }

    /// Whether it holds this address.
    #[must_use]
    pub fn contains(&self, address: Ipv4Addr) -> bool {
        Self::new(address, self.length) == Some(*self)
    }

    /// Its only address, when it has one.
    #[must_use]
    pub fn single(&self) -> Option<Ipv4Addr> {
        (self.length == 32).then_some(self.first)
    }

    /// The two addresses of cable `number`, the host's first; none behind the end of the block.
    #[must_use]
    pub fn pair(&self, number: u32) -> Option<(Ipv4Addr, Ipv4Addr)> {
        let host = self.first.to_bits().checked_add(number.checked_mul(2)?)?;
        let pair = (
            Ipv4Addr::from_bits(host),
            Ipv4Addr::from_bits(host.checked_add(1)?),
        );
        (self.contains(pair.0) && self.contains(pair.1)).then_some(pair)
    }
}

impl Target {
    /// Whether a name leads here; `name` in lower case and without a dot at its end.
    #[must_use]
    pub fn covers(&self, name: &str) -> bool {
        match self {
            Self::Anywhere => true,
            Self::Range(_) => false,
            Self::Name(own) => match own.strip_prefix('*') {
                Some(end) => name.len() > end.len() && name.ends_with(end),
                None => name == own,
            },
        }
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

impl FromStr for Range {
    type Err = InvalidRange;

    fn from_str(text: &str) -> Result<Self, InvalidRange> {
        let invalid = || InvalidRange(text.to_owned());
        let (address, length) = text.split_once('/').unwrap_or((text, "32"));
        let length = length.parse().map_err(|_| invalid())?;
        let address = address.parse().map_err(|_| invalid())?;
        Self::new(address, length).ok_or_else(invalid)
    }
}

impl FromStr for Allow {
    type Err = InvalidAllow;

    fn from_str(text: &str) -> Result<Self, InvalidAllow> {
        let invalid = |why| InvalidAllow {
            text: text.to_owned(),
            why,
        };
        let (rest, protocol) = match text.strip_suffix("/udp") {
            Some(rest) => (rest, Protocol::Udp),
            None => (text.strip_suffix("/tcp").unwrap_or(text), Protocol::Tcp),
        };
        let (place, port) = rest
            .rsplit_once(':')
            .ok_or_else(|| invalid("a port is missing, as in `broker.example.com:1883`"))?;
        let port = port
            .parse()
            .ok()
            .filter(|port| *port > 0)
            .ok_or_else(|| invalid("a port is a number from 1 to 65535"))?;
        let numbers = |c: char| c.is_ascii_digit() || c == '.' || c == '/';
        let target =
            if place == "*" {
                Target::Anywhere
            } else if place.chars().all(numbers) {
                let range = place.parse();
                Target::Range(
                    range.map_err(|_| invalid("an address is four numbers, with / and a length for more"))?,
                )
            } else if place.contains(':') {
                return Err(invalid("there is only IPv4 inside"));
            } else {
                Target::Name(name(place).ok_or_else(|| {
                    invalid("a name has letters, digits, - and dots, and may begin with `*.`")
                })?)
            };
        Ok(Self {
            target,
            port,
            protocol,
        })
    }
}

/// A host's name as it is compared, when it is one.
fn name(text: &str) -> Option<String> {
    let own = text.to_ascii_lowercase();
    let labels = own.strip_prefix("*.").unwrap_or(&own);
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label
                .bytes()
                .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-' || c == b'_')
    };
    (own.len() <= 253 && labels.split('.').all(label)).then_some(own)
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.single() {
            Some(address) => address.fmt(f),
            None => write!(f, "{}/{}", self.first, self.length),
        }
    }
}

impl fmt::Display for Allow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.target {
            Target::Anywhere => f.write_str("*")?,
            Target::Range(range) => range.fmt(f)?,
            Target::Name(name) => f.write_str(name)?,
        }
        write!(f, ":{}", self.port)?;
        match self.protocol {
            Protocol::Tcp => Ok(()),
            Protocol::Udp => f.write_str("/udp"),
        }
    }
}

impl TryFrom<String> for Range {
    type Error = InvalidRange;

    fn try_from(text: String) -> Result<Self, InvalidRange> {
        text.parse()
    }
}

impl From<Range> for String {
    fn from(range: Range) -> Self {
        range.to_string()
    }
}

impl TryFrom<String> for Allow {
    type Error = InvalidAllow;

    fn try_from(text: String) -> Result<Self, InvalidAllow> {
        text.parse()
    }
}

impl From<Allow> for String {
    fn from(allow: Allow) -> Self {
        allow.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn destinations_are_read_as_they_are_written() {
        for text in [
            "broker.example.com:1883",
            "*.example.com:443",
            "10.0.0.0/8:502",
            "192.0.2.7:161/udp",
            "*:443",
        ] {
            assert_eq!(
                text.parse::<Allow>().map(|allow| allow.to_string()),
                Ok(text.to_owned())
            );
        }
        let allow: Allow = "10.1.2.3/8:1/tcp".parse().expect("a destination");
        assert_eq!(allow.to_string(), "10.0.0.0/8:1");
        for text in [
            "",
            "*",
            "host",
            "host:",
            "host:0",
            "host:65536",
            ":1",
            "1.2.3:1",
            "10.0.0.0/33:1",
            "[::1]:80",
            "a b:1",
            "a..b:1",
            "x*.a:1",
            "a;drop:1",
            "*.:1",
        ] {
            assert!(text.parse::<Allow>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_star_stands_for_labels_and_not_for_parts_of_one() {
        let target = |text: &str| text.parse::<Allow>().expect("a destination").target;
        assert!(target("*.example.com:1").covers("a.b.example.com"));
        for other in [
            "example.com",
            ".example.com",
            "badexample.com",
            "a.example.com.evil",
        ] {
            assert!(!target("*.example.com:1").covers(other), "{other}");
        }
        assert!(target("EXAMPLE.com:1").covers("example.com"));
        assert!(!target("10.0.0.1:1").covers("10.0.0.1"));
    }

    #[test]
    fn cables_do_not_overlap_and_end_with_their_block() {
        let pool: Range = "100.96.0.0/29".parse().expect("a block");
        let pairs: Vec<_> = (0..).map_while(|number| pool.pair(number)).collect();
        assert_eq!(pairs.len(), 4);
        assert_eq!(
            pairs[3],
            (Ipv4Addr::new(100, 96, 0, 6), Ipv4Addr::new(100, 96, 0, 7))
        );
        assert_eq!(pool.pair(u32::MAX), None);
    }
}
