//! What a host judges by: its policy and its waivers.

use std::fs;
use std::path::Path;

use node_vetting::policy::{Decision, Policy, Scene, Waiver, decide};
use node_vetting::report::Report;

use super::Waivers;
use crate::clock;
use crate::problem::{Code, Problem};

/// Policy and waivers of a host, read once.
#[derive(Clone, Debug)]
pub struct Rules {
    /// The policy.
    pub policy: Policy,
    waivers: Vec<Waiver>,
}

impl Rules {
    /// Those of a data directory; the policy in `named` instead of its own.
    ///
    /// # Errors
    /// When a file cannot be read, or has mistakes.
    pub fn of(data_dir: &Path, named: Option<&Path>) -> Result<Self, Problem> {
        let own = data_dir.join("vetting/policy.toml");
        let policy = match named {
            Some(file) => read_policy(file)?,
            None if own.exists() => read_policy(&own)?,
            None => Policy::default(),
        };
        let waivers = Waivers::of(data_dir).all()?;
        Ok(Self { policy, waivers })
    }

    /// The verdict on a report, with `more` waivers besides the host's.
    #[must_use]
    pub fn decide(&self, report: &Report, more: &[Waiver]) -> Decision {
        let waivers: Vec<(&str, &Waiver)> = self
            .waivers
            .iter()
            .chain(more)
            .map(|waiver| ("host", waiver))
            .collect();
        decide(
            report,
            &Scene {
                now: clock::now_s(),
                policies: &[("host", &self.policy)],
                waivers: &waivers,
            },
        )
    }
}

/// A policy from a file.
///
/// # Errors
/// When it cannot be read, or has mistakes.
pub fn read_policy(file: &Path) -> Result<Policy, Problem> {
    let text = fs::read_to_string(file)
        .map_err(|error| Problem::io(format!("cannot read {}", file.display()), error))?;
    Policy::parse(&file.display().to_string(), &text)
        .map_err(|mistakes| Problem::new(Code::Usage, mistakes.to_string()))
}
