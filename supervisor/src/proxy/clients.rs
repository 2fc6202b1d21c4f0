//! How many connections each client has open, so that one cannot take all that the front has.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ipnet::IpNet;
use tracing::warn;

/// Bits of an IPv6 address by which clients are told apart: whoever has one address there has all that share these.
const SITE: u32 = 64;

/// All clients with connections.
#[derive(Debug)]
pub(super) struct Clients {
    /// Connections that one may have at once.
    most: usize,
    /// Those that speak for many.
    proxies: Vec<IpNet>,
    open: Mutex<HashMap<IpAddr, Open>>,
}

#[derive(Debug, Default)]
struct Open {
    connections: usize,
    /// The log has it already that it wants more than it may have.
    told: bool,
}

/// A connection among those of its client, for as long as it is kept.
#[derive(Debug)]
pub(super) struct Seat {
    clients: Arc<Clients>,
    /// None for a client that is not counted.
    client: Option<IpAddr>,
}

impl Clients {
    pub(super) fn new(most: usize, proxies: Vec<IpNet>) -> Self {
        Self {
            most,
            proxies,
            open: Mutex::default(),
        }
    }

    /// One more connection from this address, which is no mapped one; none when it has all that it may have.
    pub(super) fn admit(self: &Arc<Self>, address: IpAddr) -> Option<Seat> {
        let counted = !self.proxies.iter().any(|proxy| proxy.contains(&address));
        let client = counted.then(|| site(address));
        if let Some(client) = client {
            let mut all = self.open();
            let open = all.entry(client).or_default();
            if open.connections >= self.most {
                if !std::mem::replace(&mut open.told, true) {
                    let most = self.most;
                    warn!(%client, "has {most} connections open; further ones are refused, as `connections-per-client` says");
                }
                return None;
            }
            open.connections += 1;
        }
        let clients = self.clone();
        Some(Seat { clients, client })
    }

    fn open(&self) -> MutexGuard<'_, HashMap<IpAddr, Open>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let Some(client) = self.client else { return };
        let mut all = self.clients.open();
        if let Some(open) = all.get_mut(&client) {
            open.connections -= 1;
            if open.connections == 0 {
                all.remove(&client);
            }
        }
    }
}

fn site(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(address) => {
            let kept = u128::MAX << (Ipv6Addr::BITS - SITE);
            IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & kept))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_has_its_bound_and_a_proxy_none() {
        let proxies = ["10.1.0.0/16", "fd00::7/128"].map(|text| text.parse().expect("a network"));
        let clients = Arc::new(Clients::new(2, proxies.into()));
        let admit = |text: &str| clients.admit(text.parse().expect("an address"));
        let first = admit("192.0.2.1").expect("the first");
        let second = admit("192.0.2.1").expect("the second");
        assert!(admit("192.0.2.1").is_none());
        let other = admit("192.0.2.2");
        assert!(other.is_some(), "another client");
        drop(first);
        let third = admit("192.0.2.1").expect("there is room again");
        assert!(admit("192.0.2.1").is_none());
        let site: Vec<_> = (1..=3).map(|host| admit(&format!("2001:db8::{host}"))).collect();
        let admitted = site.iter().flatten().count();
        assert_eq!(admitted, 2, "addresses of one site");
        assert!(admit("2001:db8:0:1::1").is_some(), "another site");
        for proxy in ["10.1.2.3", "fd00::7"] {
            let many: Vec<_> = (0..5).map(|_| admit(proxy)).collect();
            assert!(many.iter().all(Option::is_some), "{proxy}");
        }
        drop((second, third, other, site));
        assert!(clients.open().is_empty(), "nothing stays of those who left");
    }
}
