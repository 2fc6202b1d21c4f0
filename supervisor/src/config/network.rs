//! Pure: what the table `[network]` says.

use runtime::traffic::Range;

use super::file::NetworkTable;

/// Addresses for isolated instances. Of the space that is set apart for use behind a translation of addresses
/// (RFC 6598), so that it hides no network of a company or a home, which are in 10/8, 172.16/12 and 192.168/16, as
/// Docker's and Kubernetes' are; a part of it that overlay networks, which count from 100.64.0.0 on, rarely fill. Two
/// pairs for each of a quarter of a million instances.
const POOL: &str = "100.96.0.0/12";
/// The same for IPv6: local addresses (RFC 4193) under a number that was drawn by lot, once for every host, because
/// they are never seen outside of it.
const POOL6: &str = "fd3e:9c57:a2b1::/64";

/// What the configuration says about instances' networks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NetworkConfig {
    /// What instances have that name no mode; without a word it is a network of their own where that is possible.
    pub default: Option<DefaultNetwork>,
    /// What isolated instances reach only by its very address.
    pub deny: Vec<Range>,
    /// Whether this host may switch on what passes packets on.
    pub forwards: bool,
    /// Where isolated instances get their addresses from.
    pub pool: Range,
    /// The same for IPv6.
    pub pool6: Range,
}

/// A kind of network that can be the default.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DefaultNetwork {
    /// One of their own.
    Isolated,
    /// The host's.
    Host,
    /// One of their own, from which nothing goes out.
    None,
}

/// Resolves the table. None when something is wrong with it, which is then said.
pub(super) fn resolve(table: &NetworkTable, wrong: &mut Vec<String>) -> Option<NetworkConfig> {
    let before = wrong.len();
    let default = match table.default.as_deref() {
        None => None,
        Some("isolated") => Some(DefaultNetwork::Isolated),
        Some("host") => Some(DefaultNetwork::Host),
        Some("none") => Some(DefaultNetwork::None),
        Some(other) => {
            wrong.push(format!(
                "network: `{other}` is no default; choose isolated, host or none"
            ));
            None
        }
    };
    let forwards = match table.forwarding.as_deref() {
        None | Some("on") => true,
        Some("leave") => false,
        Some(other) => {
            wrong.push(format!("network: `{other}` is no forwarding; choose on or leave"));
            false
        }
    };
    let mut range = |name: &str, text: &str, v6: Option<bool>| match text.parse::<Range>() {
        Ok(range) if v6.is_none_or(|v6| v6 == range.is_v6()) => Some(range),
        Ok(_) => {
            wrong.push(format!(
                "network: {name}: `{text}` is of the other kind of address"
            ));
            None
        }
        Err(error) => {
            wrong.push(format!("network: {name}: {error}"));
            None
        }
    };
    let pool = range("pool", table.pool.as_deref().unwrap_or(POOL), Some(false));
    let pool6 = range("pool6", table.pool6.as_deref().unwrap_or(POOL6), Some(true));
    let deny = table
        .deny
        .iter()
        .filter_map(|text| range("deny", text, None))
        .collect();
    let config = NetworkConfig {
        default,
        deny,
        forwards,
        pool: pool?,
        pool6: pool6?,
    };
    (wrong.len() == before).then_some(config)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_read_and_its_mistakes_are_told() {
        let read = |text: &str| {
            let mut wrong = Vec::new();
            let found = resolve(&toml::from_str(text).expect("TOML"), &mut wrong);
            (found, wrong)
        };
        let (config, wrong) = read("");
        let config = config.expect("defaults");
        assert_eq!((config.default, config.forwards, wrong.len()), (None, true, 0));
        let (config, _) = read("default = 'host'\nforwarding = 'leave'\ndeny = ['10.0.0.0/8', 'fd00::/8']");
        let config = config.expect("fits");
        assert_eq!(
            (config.default, config.forwards),
            (Some(DefaultNetwork::Host), false)
        );
        assert_eq!(config.deny.len(), 2);
        let (config, wrong) = read(
            "default = 'x'\nforwarding = 'off'\ndeny = ['a']\npool = '10.0.0.0/40'\npool6 = '10.0.0.0/8'",
        );
        assert_eq!(config, None);
        assert_eq!(wrong.len(), 5, "{wrong:?}");
    }
}
