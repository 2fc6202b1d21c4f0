//! What this kernel and this account offer: asked by trying, never by guessing from a version or a uid.
//!
//! [`Host::walls`] is the part that decides how an instance can be walled off, in two short-lived processes;
//! [`Host::look`] is everything that `redhold doctor` shows. What follows from the facts is decided by pure functions
//! of [`Host`].

mod limits;
mod machine;
mod network;
mod reasons;
mod role;
mod walls;

use std::path::Path;

use serde::{Deserialize, Serialize};

pub use self::role::run as role;

use crate::spec::Isolation;

/// What a feature is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Subject {
    /// What keeps an instance from seeing and touching the host.
    Walls,
    /// What keeps it from using up the host.
    Limits,
    /// What it can be connected to.
    Network,
    /// What Node.js itself needs.
    Programs,
    /// Disk, memory, clock.
    Machine,
}

/// Whether a feature is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// It works.
    Offered,
    /// It works in a lesser form.
    Partial,
    /// It does not work.
    Missing,
}

/// One thing that a machine offers or lacks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Feature {
    /// What it is about.
    pub subject: Subject,
    /// A short, stable name.
    pub name: String,
    /// Whether it is there.
    pub state: State,
    /// What was found, for a person.
    pub detail: String,
    /// What is lost without it; absent when nothing is.
    pub costs: Option<String>,
    /// The command that mends it, where one does.
    pub mend: Option<String>,
}

/// What a machine offers to one account.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Host {
    /// The kernel's release.
    pub kernel: String,
    /// The account that asked: what is offered depends on it.
    pub uid: u32,
    /// Every feature that was tried, grouped by subject.
    pub features: Vec<Feature>,
}

/// Features without which there is no root of an instance's own.
const NAMESPACES: [&str; 4] = ["user-namespaces", "namespaces", "private-root", "proc"];

impl Feature {
    fn offered(subject: Subject, name: &str, detail: impl Into<String>) -> Self {
        Self {
            subject,
            name: name.to_owned(),
            state: State::Offered,
            detail: detail.into(),
            costs: None,
            mend: None,
        }
    }

    fn missing(subject: Subject, name: &str, detail: impl Into<String>, costs: &str) -> Self {
        Self {
            state: State::Missing,
            costs: Some(costs.to_owned()),
            ..Self::offered(subject, name, detail)
        }
    }

    fn partial(subject: Subject, name: &str, detail: impl Into<String>, costs: &str) -> Self {
        Self {
            state: State::Partial,
            ..Self::missing(subject, name, detail, costs)
        }
    }

    fn mend(mut self, command: impl Into<String>) -> Self {
        self.mend = Some(command.into());
        self
    }
}

impl Host {
    /// Tries only what decides [`Host::isolation`]. `executable` is this program, which `redhold probe` starts
    /// again in its hidden role.
    #[must_use]
    pub fn walls(executable: &Path) -> Self {
        Self::of(walls::probe(executable))
    }

    /// Tries only what decides [`Host::own_networks`], and who may stand in its way.
    #[must_use]
    pub fn networks() -> Self {
        Self::of(network::probe())
    }

    /// Tries everything. `data_dir` is where stacks and instances are kept, or will be.
    #[must_use]
    pub fn look(executable: &Path, data_dir: &Path) -> Self {
        let mut features = walls::probe(executable);
        features.extend(walls::owners(executable, data_dir));
        features.extend(limits::probe(data_dir));
        features.extend(machine::probe(data_dir));
        features.extend(network::probe());
        features.sort_by_key(|feature| feature.subject);
        Self::of(features)
    }

    fn of(features: Vec<Feature>) -> Self {
        let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        Self {
            kernel: release.trim().to_owned(),
            uid: nix::unistd::geteuid().as_raw(),
            features,
        }
    }

    /// The strongest way to wall an instance off here.
    ///
    /// # Errors
    /// With the features that stand in the way when there is none.
    pub fn isolation(&self) -> Result<Isolation, Vec<&Feature>> {
        let lacking = self.lacking(&NAMESPACES);
        if lacking.is_empty() {
            Ok(Isolation::Namespaces)
        } else if self.offers("landlock") && self.offers("seccomp") {
            Ok(Isolation::Landlock)
        } else {
            Err(lacking
                .into_iter()
                .chain(self.lacking(&["landlock", "seccomp"]))
                .collect())
        }
    }

    /// Whether instances can have networks of their own here, once they have namespaces.
    ///
    /// # Errors
    /// With what stands in the way.
    pub fn own_networks(&self) -> Result<(), Vec<&Feature>> {
        let lacking = self.lacking(&network::NEEDED);
        if lacking.is_empty() { Ok(()) } else { Err(lacking) }
    }

    /// What keeps instances from running here at all; empty when they can.
    #[must_use]
    pub fn obstacles(&self) -> Vec<&Feature> {
        let mut obstacles = self.isolation().err().unwrap_or_default();
        obstacles.extend(self.lacking(&["c-library", "cxx-library", "disk"]));
        obstacles
    }

    /// What works in a lesser form or not at all, each to be named to whoever relies on it.
    pub fn lesser(&self) -> impl Iterator<Item = &Feature> {
        self.features
            .iter()
            .filter(|feature| feature.state != State::Offered)
    }

    /// Whether a feature was tried and is not missing.
    #[must_use]
    pub fn offers(&self, name: &str) -> bool {
        self.features
            .iter()
            .any(|feature| feature.name == name && feature.state != State::Missing)
    }

    fn lacking(&self, names: &[&str]) -> Vec<&Feature> {
        self.features
            .iter()
            .filter(|feature| feature.state == State::Missing && names.contains(&feature.name.as_str()))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(missing: &[&str]) -> Host {
        let all = [
            "user-namespaces",
            "namespaces",
            "private-root",
            "proc",
            "landlock",
            "seccomp",
            "disk",
        ];
        let features = all.iter().map(|name| match missing.contains(name) {
            true => Feature::missing(Subject::Walls, name, "", ""),
            false => Feature::offered(Subject::Walls, name, ""),
        });
        Host {
            features: features.collect(),
            ..Host::default()
        }
    }

    #[test]
    fn the_strongest_possible_isolation_is_chosen() {
        for (missing, isolation) in [
            (&[][..], Some(Isolation::Namespaces)),
            (&["landlock"], Some(Isolation::Namespaces)),
            (&["seccomp"], Some(Isolation::Namespaces)),
            (&["user-namespaces"], Some(Isolation::Landlock)),
            (&["proc"], Some(Isolation::Landlock)),
            (&["proc", "landlock"], None),
            (&["user-namespaces", "seccomp"], None),
        ] {
            assert_eq!(host(missing).isolation().ok(), isolation, "{missing:?}");
        }
    }

    #[test]
    fn obstacles_name_everything_that_stands_in_the_way() {
        let poor = host(&["proc", "landlock", "disk"]);
        let names: Vec<&str> = poor
            .obstacles()
            .iter()
            .map(|feature| feature.name.as_str())
            .collect();
        assert_eq!(names, ["proc", "landlock", "disk"]);
        assert!(host(&["landlock"]).obstacles().is_empty());
        assert_eq!(poor.lesser().count(), 3);
    }
}
