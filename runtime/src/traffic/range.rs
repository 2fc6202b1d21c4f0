//! Blocks of addresses, of either protocol.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use ipnet::{IpNet, Ipv4Net};
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// A block of addresses; one alone is written without its length.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Range(IpNet);

/// A block of addresses that cannot be understood.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error(
    "`{0}` is no block of addresses: write an address, / and a length, for example 10.0.0.0/8 or 2001:db8::/32"
)]
pub struct InvalidRange(String);

impl Range {
    /// The loopback address, of IPv4, alone.
    pub const LOOPBACK: Self = Self(IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::LOCALHOST, 32)));

    /// Whether it holds this address.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        self.0.contains(&address)
    }

    /// Its only address, when it has one.
    #[must_use]
    pub fn single(&self) -> Option<IpAddr> {
        (self.0.prefix_len() == self.0.max_prefix_len()).then_some(self.0.addr())
    }

    /// Whether all of it is loopback.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        self.0.addr().is_loopback() && self.0.prefix_len() >= 8
    }

    /// Whether its addresses are IPv6.
    #[must_use]
    pub const fn is_v6(&self) -> bool {
        matches!(self.0, IpNet::V6(_))
    }

    /// The two IPv4 addresses of cable `number`, the host's first; none behind the end of the block.
    #[must_use]
    pub fn pair(&self, number: u32) -> Option<(Ipv4Addr, Ipv4Addr)> {
        let IpAddr::V4(first) = self.0.addr() else {
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
        let IpAddr::V6(first) = self.0.addr() else {
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

impl FromStr for Range {
    type Err = InvalidRange;

    /// Bits after the length are cleared.
    fn from_str(text: &str) -> Result<Self, InvalidRange> {
        let block = text.parse::<IpNet>();
        let block = block.or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
        let block = block.map_err(|_| InvalidRange(text.to_owned()))?;
        Ok(Self(block.trunc()))
    }
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.single() {
            Some(address) => address.fmt(f),
            None => self.0.fmt(f),
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
