//! Blocks of addresses, of either protocol.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// A block of addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Range {
    first: IpAddr,
    length: u8,
}

/// A block of addresses that cannot be understood.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error(
    "`{0}` is no block of addresses: write an address, / and a length, for example 10.0.0.0/8 or 2001:db8::/32"
)]
pub struct InvalidRange(String);

impl Range {
    /// The loopback address, of IPv4, alone.
    pub const LOOPBACK: Self = Self {
        first: IpAddr::V4(Ipv4Addr::LOCALHOST),
        length: 32,
    };

    /// A block: the bits after the first `length` are cleared. None when there are fewer bits than that.
    #[must_use]
    pub fn new(address: IpAddr, length: u8) -> Option<Self> {
        let cleared = u32::from(bits(address).checked_sub(length)?);
        let first = match address {
            IpAddr::V4(address) => {
                let mask = u32::MAX.checked_shl(cleared).unwrap_or(0);
                Ipv4Addr::from_bits(address.to_bits() & mask).into()
            }
            IpAddr::V6(address) => {
                let mask = u128::MAX.checked_shl(cleared).unwrap_or(0);
                Ipv6Addr::from_bits(address.to_bits() & mask).into()
            }
        };
        Some(Self { first, length })
    }

    /// Whether it holds this address.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        Self::new(address, self.length) == Some(*self)
    }

    /// Its only address, when it has one.
    #[must_use]
    pub fn single(&self) -> Option<IpAddr> {
        (self.length == bits(self.first)).then_some(self.first)
    }

    /// Whether all of it is loopback.
    #[must_use]
    pub const fn is_loopback(&self) -> bool {
        self.first.is_loopback() && self.length >= 8
    }

    /// Whether its addresses are IPv6.
    #[must_use]
    pub const fn is_v6(&self) -> bool {
        self.first.is_ipv6()
    }

    /// The two IPv4 addresses of cable `number`, the host's first; none behind the end of the block.
    #[must_use]
    pub fn pair(&self, number: u32) -> Option<(Ipv4Addr, Ipv4Addr)> {
        let IpAddr::V4(first) = self.first else {
            return None;
        };
        let host = first.to_bits().checked_add(number.checked_mul(2)?)?;
        let pair = (
            Ipv4Addr::from_bits(host),
            Ipv4Addr::from_bits(host.checked_add(1)?),
        );
        (self.contains(pair.0.into()) && self.contains(pair.1.into())).then_some(pair)
    }

    /// The same for IPv6.
    #[must_use]
    pub fn pair6(&self, number: u32) -> Option<(Ipv6Addr, Ipv6Addr)> {
        let IpAddr::V6(first) = self.first else {
            return None;
        };
        let host = first.to_bits().checked_add(u128::from(number) * 2)?;
        let pair = (
            Ipv6Addr::from_bits(host),
            Ipv6Addr::from_bits(host.checked_add(1)?),
        );
        (self.contains(pair.0.into()) && self.contains(pair.1.into())).then_some(pair)
    }
}

/// Bits of an address.
const fn bits(address: IpAddr) -> u8 {
    match address {
        IpAddr::V4(_) => 32,
        IpAddr::V6(_) => 128,
    }
}

impl FromStr for Range {
    type Err = InvalidRange;

    fn from_str(text: &str) -> Result<Self, InvalidRange> {
        let read = || {
            let (address, length) = match text.split_once('/') {
                Some((address, length)) => (address.parse().ok()?, Some(length.parse().ok()?)),
                None => (text.parse().ok()?, None),
            };
            Self::new(address, length.unwrap_or(bits(address)))
        };
        read().ok_or_else(|| InvalidRange(text.to_owned()))
    }
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.single() {
            Some(address) => address.fmt(f),
            None => write!(f, "{}/{}", self.first, self.length),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cables_do_not_overlap_and_end_with_their_block() {
        let pool: Range = "100.96.0.0/29".parse().expect("a block");
        let pairs: Vec<_> = (0..).map_while(|number| pool.pair(number)).collect();
        assert_eq!(pairs.len(), 4);
        assert_eq!(
            pairs[3],
            (Ipv4Addr::new(100, 96, 0, 6), Ipv4Addr::new(100, 96, 0, 7))
        );
        assert_eq!((pool.pair(u32::MAX), pool.pair6(0)), (None, None));
        let pool: Range = "fd00:1::7/125".parse().expect("a block");
        let pairs: Vec<_> = (0..).map_while(|number| pool.pair6(number)).collect();
        assert_eq!(pairs.len(), 4);
        assert_eq!(pairs[3].1.to_string(), "fd00:1::7");
    }

    #[test]
    fn blocks_hold_what_begins_as_they_do() {
        for (block, inside, outside) in [
            ("10.0.0.0/8", "10.255.0.1", "11.0.0.1"),
            ("0.0.0.0/0", "1.2.3.4", "::1"),
            ("2001:db8::/32", "2001:db8:1::", "2001:db9::"),
            ("::/0", "::1", "0.0.0.0"),
        ] {
            let block: Range = block.parse().expect("a block");
            assert!(block.contains(inside.parse().expect("an address")), "{block}");
            assert!(!block.contains(outside.parse().expect("an address")), "{block}");
        }
        for text in [
            "",
            "10.0.0.0/33",
            "::/129",
            "10/8",
            "10.0.0.0/",
            "a/1",
            "1.2.3.4/-1",
        ] {
            assert!(text.parse::<Range>().is_err(), "{text}");
        }
    }
}
