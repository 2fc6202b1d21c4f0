//! Destinations: the entries of a list of what an instance may reach.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::{Protocol, Range};

/// One destination, or a kind of them, that may be reached.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Allow {
    /// Everything but the host, its other instances and addresses that are nobody's, whatever the protocol: `*`.
    Outside,
    /// One port.
    Port {
        /// Where.
        target: Target,
        /// Never 0.
        port: u16,
        /// Over what.
        protocol: Protocol,
    },
}

/// Where a destination is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Target {
    /// Everywhere but on the host, at its other instances and at addresses that are nobody's.
    Anywhere,
    /// At these addresses. A single one may be the host's own or another instance's; 127.0.0.1 is the host's too.
    Range(Range),
    /// Where this name leads, in lower case; `*.` first stands for one or more labels.
    Name(String),
}

/// A destination that cannot be understood.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("`{text}` is no destination: {why}")]
pub struct InvalidAllow {
    text: String,
    why: &'static str,
}

impl Allow {
    /// Whether a name leads here; `name` in lower case and without a dot at its end.
    #[must_use]
    pub fn covers(&self, name: &str) -> bool {
        match self {
            Self::Outside => true,
            Self::Port { target, .. } => target.covers(name),
        }
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

impl FromStr for Allow {
    type Err = InvalidAllow;

    fn from_str(text: &str) -> Result<Self, InvalidAllow> {
        let invalid = |why| InvalidAllow {
            text: text.to_owned(),
            why,
        };
        if text == "*" {
            return Ok(Self::Outside);
        }
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
        Ok(Self::Port {
            target: target(place).map_err(invalid)?,
            port,
            protocol,
        })
    }
}

/// There is no way from a device to the loopback address of IPv6.
const LOOPBACK: &str = "of the host's loopback only 127.0.0.1 can be reached";

fn target(place: &str) -> Result<Target, &'static str> {
    let range = |text: &str, v6| text.parse::<Range>().ok().filter(|range| range.is_v6() == v6);
    if place == "*" {
        Ok(Target::Anywhere)
    } else if place.eq_ignore_ascii_case("localhost") {
        Ok(Target::Range(Range::LOOPBACK))
    } else if let Some(text) = place.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        if text == "::1" {
            return Err(LOOPBACK);
        }
        let range =
            range(text, true).ok_or("in brackets stands an IPv6 address, with / and a length for more")?;
        Ok(Target::Range(range))
    } else if place.contains(':') {
        Err("an IPv6 address stands in brackets, as in `[2001:db8::1]:502`")
    } else if place.chars().all(|c| c.is_ascii_digit() || c == '.' || c == '/') {
        let range = range(place, false).ok_or("an address is four numbers, with / and a length for more")?;
        if range.is_loopback() && range != Range::LOOPBACK {
            return Err(LOOPBACK);
        }
        Ok(Target::Range(range))
    } else {
        let name = name(place).ok_or("a name has letters, digits, - and dots, and may begin with `*.`")?;
        Ok(Target::Name(name))
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

impl fmt::Display for Allow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self::Port {
            target,
            port,
            protocol,
        } = self
        else {
            return f.write_str("*");
        };
        write!(f, "{target}:{port}")?;
        match protocol {
            Protocol::Tcp => Ok(()),
            Protocol::Udp => f.write_str("/udp"),
        }
    }
}

impl FromStr for Target {
    type Err = InvalidAllow;

    /// As before the port of a destination; addresses of IPv6 need no brackets here.
    fn from_str(text: &str) -> Result<Self, InvalidAllow> {
        let bare = text.parse::<Range>().ok().filter(Range::is_v6);
        bare.map_or_else(|| target(text), |range| Ok(Self::Range(range)))
            .map_err(|why| InvalidAllow {
                text: text.to_owned(),
                why,
            })
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Anywhere => f.write_str("*"),
            Self::Range(range) if range.is_v6() => write!(f, "[{range}]"),
            Self::Range(range) => range.fmt(f),
            Self::Name(name) => f.write_str(name),
        }
    }
}

impl TryFrom<String> for Target {
    type Error = InvalidAllow;

    fn try_from(text: String) -> Result<Self, InvalidAllow> {
        text.parse()
    }
}

impl From<Target> for String {
    fn from(target: Target) -> Self {
        target.to_string()
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
            "*",
            "broker.example.com:1883",
            "*.example.com:443",
            "10.0.0.0/8:502",
            "192.0.2.7:161/udp",
            "[2001:db8::/32]:443",
            "[2001:db8::1]:161/udp",
            "*:443",
        ] {
            assert_eq!(
                text.parse::<Allow>().map(|allow| allow.to_string()),
                Ok(text.to_owned())
            );
        }
        let allow: Allow = "10.1.2.3/8:1/tcp".parse().expect("a destination");
        assert_eq!(allow.to_string(), "10.0.0.0/8:1");
        let allow: Allow = "LocalHost:1883".parse().expect("a destination");
        assert_eq!(allow.to_string(), "127.0.0.1:1883");
        for text in [
            "",
            "**",
            "host",
            "host:",
            "host:0",
            "host:65536",
            ":1",
            "1.2.3:1",
            "10.0.0.0/33:1",
            "::1:80",
            "[10.0.0.1]:80",
            "[2001:db8::/129]:1",
            "[]:1",
            "[::1]:1883",
            "127.0.0.53:53",
            "127.0.0.0/8:1",
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
        let allow = |text: &str| text.parse::<Allow>().expect("a destination");
        assert!(allow("*.example.com:1").covers("a.b.example.com"));
        for other in [
            "example.com",
            ".example.com",
            "badexample.com",
            "a.example.com.evil",
        ] {
            assert!(!allow("*.example.com:1").covers(other), "{other}");
        }
        assert!(allow("EXAMPLE.com:1").covers("example.com"));
        assert!(!allow("10.0.0.1:1").covers("10.0.0.1"));
    }
}
