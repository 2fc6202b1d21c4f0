//! What this host's instances are connected to when nobody says otherwise, and what stands in the way.

use runtime::sandbox::forwarding;
use runtime::sandbox::probe::{Host, State};
use runtime::spec::Isolation;
use runtime::traffic::Range;
use serde::Serialize;
use tracing::info;
use utoipa::ToSchema;

use super::model::NetworkMode;
use crate::config::{DefaultNetwork, NetworkConfig};
use crate::problem::{Code, Problem};

/// The networks of a host.
#[derive(Clone, Debug)]
pub struct Networks {
    /// Where isolated instances get their addresses from.
    pub(super) pool: Range,
    /// The same for IPv6, where the host has it.
    pub(super) pool6: Option<Range>,
    /// What they reach only by its very address.
    pub(super) deny: Vec<Range>,
    /// What instances have that name no mode.
    default: NetworkMode,
    /// Why that is less than it should be.
    why: Option<String>,
    /// Who drops what instances send, or what else is amiss.
    warning: Option<String>,
    forwards: bool,
}

/// The networks of a host as a person sees them.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct NetworksView {
    /// What instances have whose mode is `default`.
    default: NetworkMode,
    /// Why that is the host's own network, where this host has no other.
    lesser: Option<String>,
    /// What keeps isolated instances from the world.
    warning: Option<String>,
    /// Blocks of addresses that isolated instances reach only by naming the address.
    deny: Vec<String>,
}

impl Networks {
    /// Tries what this host can. Takes some milliseconds.
    #[must_use]
    pub fn look(config: &NetworkConfig, isolation: Isolation) -> Self {
        let host = Host::networks();
        let lacks = match isolation {
            Isolation::Landlock => Some("there are no namespaces here".to_owned()),
            Isolation::Namespaces => host.own_networks().err().map(|lacking| {
                let details: Vec<&str> = lacking.iter().map(|feature| feature.detail.as_str()).collect();
                details.join(", and ")
            }),
        };
        // Somebody else's switch, and not to be touched.
        let lacks = lacks.or_else(|| {
            let off = forwarding::lacks(false).filter(|_| !config.forwards)?;
            Some(format!("{off} is 0, and the configuration leaves it so"))
        });
        let firewall = host.features.iter().find(|feature| feature.name == "firewall");
        let warning = firewall
            .filter(|feature| feature.state == State::Partial)
            .map(|feature| {
                let mend = feature
                    .mend
                    .as_deref()
                    .map_or_else(String::new, |mend| format!(": {mend}"));
                let costs = feature.costs.as_deref().unwrap_or_default();
                format!("{}; {costs}{mend}", feature.detail)
            });
        let (default, why) = match (config.default, lacks) {
            (Some(DefaultNetwork::Isolated), _) => (NetworkMode::Isolated, None),
            (Some(DefaultNetwork::Host), _) => (NetworkMode::Host, None),
            (Some(DefaultNetwork::None), _) => (NetworkMode::None, None),
            (None, None) => (NetworkMode::Isolated, None),
            (None, Some(why)) => (NetworkMode::Host, Some(why)),
        };
        let six = forwarding::has_v6() && (config.forwards || forwarding::lacks(true).is_none());
        Self {
            pool: config.pool,
            pool6: six.then_some(config.pool6),
            deny: config.deny.clone(),
            warning: warning.filter(|_| default == NetworkMode::Isolated),
            default,
            why,
            forwards: config.forwards,
        }
    }

    /// What a mode comes to here, and why it is less than it should be.
    pub(super) fn mode(&self, mode: NetworkMode) -> (NetworkMode, Option<&str>) {
        match mode {
            NetworkMode::Default => (self.default, self.why.as_deref()),
            mode => (mode, None),
        }
    }

    /// What a person should know when the host starts.
    pub fn lesser(&self) -> impl Iterator<Item = String> {
        let why = self.why.as_ref().map(|why| {
            format!("instances have no networks of their own, but this host's, with its loopback, ports and neighbours: {why}")
        });
        why.into_iter().chain(self.warning.clone())
    }

    /// For a person.
    #[must_use]
    pub fn view(&self) -> NetworksView {
        NetworksView {
            default: self.default,
            lesser: self.why.clone(),
            warning: self.warning.clone(),
            deny: self.deny.iter().map(ToString::to_string).collect(),
        }
    }

    /// Has the host pass packets on, where it may and does not yet.
    pub(super) fn prepare(&self) -> Result<(), Problem> {
        if !self.forwards {
            // The keeper says what is missing.
            return Ok(());
        }
        let done = forwarding::ensure(self.pool6.is_some()).map_err(|error| {
            Problem::new(Code::Host, "cannot let this host pass packets on, which isolated networks need")
                .because(error)
                .hint("`redhold doctor` says what this machine lacks; with network.mode=host an instance needs none of it")
        })?;
        if !done.is_empty() {
            info!(
                "isolated networks need this host to pass packets on: set {}; the table `redhold-guard` of the packet \
                 filter drops what others begin through the devices that are there, as before",
                done.join(", ")
            );
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lesser_mode_is_named_and_a_chosen_one_is_kept() {
        let mut config = NetworkConfig {
            default: None,
            deny: Vec::new(),
            forwards: true,
            pool: "100.96.0.0/12".parse().expect("a block"),
            pool6: "fd00:1::/64".parse().expect("a block"),
        };
        let networks = Networks::look(&config, Isolation::Landlock);
        let (mode, why) = networks.mode(NetworkMode::Default);
        assert_eq!(
            (mode, why),
            (NetworkMode::Host, Some("there are no namespaces here"))
        );
        assert!(
            networks
                .lesser()
                .next()
                .is_some_and(|text| text.contains("no namespaces"))
        );
        // Who wants it isolated would rather not start.
        assert_eq!(
            networks.mode(NetworkMode::Isolated),
            (NetworkMode::Isolated, None)
        );
        config.default = Some(DefaultNetwork::Isolated);
        let networks = Networks::look(&config, Isolation::Landlock);
        assert_eq!(networks.mode(NetworkMode::Default), (NetworkMode::Isolated, None));
    }
}
