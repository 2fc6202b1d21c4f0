//! From reasons to a verdict: pure, with the line of the policy or the waiver that changed each.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::cmp::Reverse;

use crate::capability::Kind;
use crate::policy::{Day, Layers, Policy, Waiver};
use crate::report::{Facts, Reason, Report, Verdict};

/// When, and under whose exceptions, a verdict is asked for.
#[derive(Clone, Debug)]
pub struct Scene<'a> {
    /// Seconds since 1970.
    pub now: i64,
    /// Policies from the host's down to the team's. The first may not be missing.
    pub policies: &'a [(&'a str, &'a Policy)],
    /// Waivers with the name of the policy level at which they were made.
    pub waivers: &'a [(&'a str, &'a Waiver)],
}

/// A verdict with all that led to it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Decision {
    /// The worst of what is left of the reasons.
    pub verdict: Verdict,
    /// The reasons, gravest first, each with what became of it.
    pub reasons: Vec<Judged>,
}

impl Decision {
    /// The reason that decided; none for a trusted package.
    #[must_use]
    pub fn decided_by(&self) -> Option<&Judged> {
        self.reasons
            .first()
            .filter(|judged| judged.counts_as > Verdict::Trusted)
    }
}

/// A reason, and what it counts as here.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Judged {
    /// The reason.
    #[serde(flatten)]
    pub reason: Reason,
    /// What it counts as: `trusted` when it does not count.
    pub counts_as: Verdict,
    /// What changed it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub changed: Option<Changed>,
}

/// Why a reason counts as something other than its rule asks for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "by", rename_all = "kebab-case")]
pub enum Changed {
    /// The policy of this level changes the rule.
    Policy {
        /// Which level.
        level: String,
    },
    /// A person has waived it.
    Waiver {
        /// At which level.
        level: String,
        /// Who.
        who: String,
        /// Why.
        why: String,
        /// Until when.
        #[schemars(with = "String")]
        until: Day,
    },
}

/// What a package may be, by what is known of it, the policies and the waivers. Equal inputs give equal decisions.
#[must_use]
pub fn decide(report: &Report, scene: &Scene<'_>) -> Decision {
    let today = Day::of(scene.now);
    let mut reasons: Vec<Judged> = report
        .reasons
        .iter()
        .cloned()
        .chain(asked_of_facts(&report.facts, scene, today))
        .map(|reason| weigh(reason, &report.facts, scene, today))
        .collect();
    reasons.sort_by_key(|reason| Reverse(reason.counts_as));
    Decision {
        verdict: reasons.first().map_or(Verdict::Trusted, |worst| worst.counts_as),
        reasons,
    }
}

/// What only a policy can ask, because it has the numbers and the grants.
fn asked_of_facts(facts: &Facts, scene: &Scene<'_>, today: Day) -> Vec<Reason> {
    let layers = Layers::of(scene.policies);
    let mut reasons = Vec::new();
    let (min_days, _) = layers.min_days();
    let young = facts.published.filter(|published| {
        let days = today.days_since(*published);
        days < min_days.into()
            && !layers.permitting().any(|(_, policy)| {
                policy
                    .young
                    .iter()
                    .any(|name| name.matches(facts.package.as_str()))
            })
    });
    if let Some(published) = young {
        reasons.push(Reason::about("age.young", &facts.spec()).says(format!(
            "It was published on {}; the policy asks for {} days.",
            Day::of(published),
            min_days
        )));
    }
    let (most, _) = layers.max_packages();
    if facts.packages.len() > most {
        reasons.push(Reason::about("closure.too-much", &facts.spec()).says(format!(
            "It brings {} packages; the policy allows {most}.",
            facts.packages.len()
        )));
    }
    let (room, _) = layers.max_unpacked();
    if facts.unpacked > room {
        reasons.push(Reason::about("closure.too-much", &facts.spec()).says(format!(
            "It unpacks to {} MB; the policy allows {}.",
            facts.unpacked >> 20,
            room >> 20
        )));
    }
    // What the code only says it could do is asked about by the rule on code that never ran, where it matters.
    let asked = facts
        .uses
        .iter()
        .filter(|one| one.seen && !has_rules(one.capability.kind));
    let ungranted = asked.filter(|one| {
        let names = [facts.package.as_str(), name_of(&one.package)];
        !layers.permitting().any(|(_, policy)| {
            policy.grants.iter().any(|grant| {
                names
                    .iter()
                    .any(|name| grant.covers(name, &one.capability, today))
            })
        })
    });
    reasons.extend(ungranted.map(|one| {
        let mut reason = Reason::about("grant", &one.package)
            .says(format!("It uses {}, which no policy grants.", one.capability));
        reason.site.clone_from(&one.site);
        reason
            .fact
            .insert("capability".to_owned(), json!(one.capability.to_string()));
        reason
    }));
    reasons
}

/// Whether rules speak of a kind wherever it is seen, so that a grant that is missing would say it twice.
const fn has_rules(kind: Kind) -> bool {
    matches!(
        kind,
        Kind::CodeNative
            | Kind::CodeModuleHook
            | Kind::CodeInstallScript
            | Kind::RtPrototype
            | Kind::RtCoreOverride
            | Kind::RtGlobal
            | Kind::RtRequireCache
            | Kind::RedAdminRoute
            | Kind::RedFlowsWrite
            | Kind::RedHooks
            | Kind::RedLogHandler
            | Kind::RedShadowCoreType
            | Kind::RedStorage
            | Kind::EdNetwork
            | Kind::EdExternalScript
            | Kind::EdToken
            | Kind::EdGlobal
    )
}

fn name_of(spec: &str) -> &str {
    spec.rfind('@')
        .filter(|at| *at > 0)
        .map_or(spec, |at| &spec[..at])
}

fn weigh(reason: Reason, facts: &Facts, scene: &Scene<'_>, today: Day) -> Judged {
    let (mut counts_as, changed) = Layers::of(scene.policies).rule(&reason.rule, reason.severity);
    let mut changed = changed.map(|level| Changed::Policy {
        level: level.to_owned(),
    });
    if let Some(level) = named_script(&reason, facts, scene) {
        counts_as = Verdict::Trusted;
        changed = Some(Changed::Policy { level });
    }
    if let Some((level, waiver)) = waived(&reason, facts, scene, today) {
        counts_as = Verdict::Trusted;
        changed = Some(Changed::Waiver {
            level: (*level).to_owned(),
            who: waiver.who.clone(),
            why: waiver.why.clone(),
            until: waiver.until,
        });
    }
    Judged {
        reason,
        counts_as,
        changed,
    }
}

/// The policy that names exactly this install script of exactly these bytes, so that it may run.
fn named_script(reason: &Reason, facts: &Facts, scene: &Scene<'_>) -> Option<String> {
    if reason.rule != "install.script" {
        return None;
    }
    let command = reason.fact.get("command")?.as_str()?;
    let member = facts
        .packages
        .iter()
        .find(|member| member.package == reason.package)?;
    let names = |policy: &Policy| {
        policy.scripts.iter().any(|script| {
            format!("{}@{}", script.package, script.version) == reason.package
                && script.integrity == member.integrity
                && script.command == command
        })
    };
    Layers::of(scene.policies)
        .permitting()
        .find(|(_, policy)| names(policy))
        .map(|(level, _)| level.to_owned())
}

/// The waiver that counts, if one does. What is always refused is waived by the host's operator only, for exact bytes.
fn waived<'a>(
    reason: &Reason,
    facts: &Facts,
    scene: &Scene<'a>,
    today: Day,
) -> Option<&'a (&'a str, &'a Waiver)> {
    let (host, layers) = (scene.policies[0].0, Layers::of(scene.policies));
    let always = scene
        .policies
        .iter()
        .any(|(_, policy)| policy.always.contains(&reason.rule));
    scene.waivers.iter().find(|(level, waiver)| {
        waiver.counts(&facts.package, &facts.version, &facts.integrity, today)
            && waiver.names(reason)
            && (*level == host || (layers.may_relax(level) && !always))
            && (!always || waiver.integrity.is_some())
    })
}
