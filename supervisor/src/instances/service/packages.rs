//! How what an instance has installed is judged at present, as people and programs see it.

use std::time::UNIX_EPOCH;

use node_vetting::policy::Gate;
use serde::Serialize;
use utoipa::ToSchema;

use super::Instances;
use super::verdicts::{Found, due, found};
use crate::gate::{Due, Judgement, Said};
use crate::instances::Shared;
use crate::instances::model::Instance;
use crate::problem::Problem;
use crate::vetting::Rules;

/// A package that an instance has installed, by the policy and the waivers as they are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PackageView {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// `trusted`, `review` or `refused`; `null` where it was not vetted here.
    pub verdict: Option<&'static str>,
    /// Whether the gate would let it through if it were installed now.
    pub passes: bool,
    /// What decided, where it is not trusted.
    pub reason: Option<Said>,
    /// When it was vetted, or known flaws of it were last asked for, in milliseconds since 1970.
    pub vetted_ms: Option<u64>,
    /// Whether it is about to be looked at again: its report is from another engine, or known flaws are to be asked for.
    pub due: bool,
    /// What to do about it, where there is something.
    pub next: Option<String>,
}

impl Instances {
    /// What an instance has installed beside its stack. Reads files: call it where waiting is allowed.
    ///
    /// # Errors
    /// When there is no such instance, or a policy or the waivers cannot be used.
    pub fn packages(&self, name: &str) -> Result<Vec<PackageView>, Problem> {
        let instance = self.record(name)?.record;
        let rules = self.shared.gate.rules(instance.team.as_ref())?;
        let all = found(&self.shared, &instance.id).into_iter();
        all.map(|found| view(&self.shared, &instance, &rules, &found))
            .collect()
    }
}

fn view(shared: &Shared, instance: &Instance, rules: &Rules, found: &Found) -> Result<PackageView, Problem> {
    let mode = rules.gate(shared.gate.usual());
    let due = mode != Gate::Off && due(shared, found)? != Due::Nothing;
    let judgement = found.kept.as_ref().map(|kept| {
        let report = &kept.report;
        Judgement::of(report, &rules.decide(report, &[]))
    });
    let vetted = found
        .kept
        .as_ref()
        .and_then(|kept| kept.at.duration_since(UNIX_EPOCH).ok());
    let verdict = judgement.as_ref().map(|judgement| judgement.verdict);
    let reason = judgement.and_then(|judgement| judgement.reason);
    let next = match (&reason, verdict) {
        (Some(reason), _) => Some(reason.next.clone()),
        (None, Some(_)) => None,
        (None, None) if mode == Gate::Off => {
            Some("nothing is vetted: the policy has gate = \"off\"".to_owned())
        }
        (None, None) => Some(format!(
            "it was not vetted on this host yet: it will be, in its turn, or at once with `redhold vet {}@{}`; `redhold \
             events {}` tells what comes of it",
            found.name, found.version, instance.name
        )),
    };
    Ok(PackageView {
        name: found.name.to_string(),
        version: found.version.to_string(),
        verdict: verdict.map(|verdict| verdict.name()),
        passes: verdict.map_or(mode == Gate::Off, |verdict| mode.lets(verdict)),
        reason,
        vetted_ms: vetted.map(|since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX)),
        due,
        next,
    })
}
