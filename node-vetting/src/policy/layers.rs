//! Policies in layers: the host's, its organization's, its team's. A narrower one is stricter, or the host names it among
//! those that may be otherwise.

use std::cmp::Reverse;
use std::fmt::Debug;

use serde::Serialize;

use crate::policy::{Gate, Pattern, Policy};
use crate::report::{Verdict, rules};

/// Policies from the host's down to the team's, by name. There is always the first.
#[derive(Clone, Copy, Debug)]
pub struct Layers<'a>(&'a [(&'a str, &'a Policy)]);

/// What holds, and by which layer.
pub(super) type Held<'a, T> = (T, &'a str);

/// A line of an effective policy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Setting {
    /// The key, as in a file.
    pub key: String,
    /// Its value, for a person.
    pub value: String,
    /// The layer that it comes from; `built-in` where no file says it.
    pub from: String,
}

/// What the layers come to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Effective {
    /// What holds.
    pub settings: Vec<Setting>,
    /// What a narrower layer says and may not: it does not hold.
    pub ignored: Vec<Setting>,
}

/// Where what no file says comes from.
const BUILT_IN: &str = "built-in";

impl<'a> Layers<'a> {
    /// These, the host's first.
    ///
    /// # Panics
    /// When there is none.
    #[must_use]
    pub fn of(policies: &'a [(&'a str, &'a Policy)]) -> Self {
        assert!(!policies.is_empty(), "a host has a policy");
        Self(policies)
    }

    fn host(self) -> &'a Policy {
        self.0[0].1
    }

    /// Whether a layer may be less strict than those above it.
    #[must_use]
    pub fn may_relax(self, level: &str) -> bool {
        let mut named = self.host().delegate.iter();
        level == self.0[0].0 || named.any(|name| name.matches(level))
    }

    /// Layers whose permissions count.
    pub fn permitting(self) -> impl Iterator<Item = (&'a str, &'a Policy)> {
        let all = self.0.iter().copied();
        all.filter(move |(level, _)| self.may_relax(level))
    }

    /// A value of which the larger is the stricter.
    fn strictest<T: Ord + Copy>(self, key: &str, value: impl Fn(&Policy) -> T) -> Held<'a, T> {
        let (level, host) = self.0[0];
        let mut held = (value(host), level);
        for (level, policy) in self.0[1..].iter().copied() {
            let own = value(policy);
            if policy.said.contains(key) && (own > held.0 || self.may_relax(level)) {
                held = (own, level);
            }
        }
        held
    }

    pub(super) fn default(self) -> Held<'a, Verdict> {
        self.strictest("default", |policy| policy.default)
    }

    pub(super) fn native(self) -> Held<'a, Verdict> {
        self.strictest("native.default", |policy| policy.native)
    }

    pub(super) fn min_days(self) -> Held<'a, u32> {
        self.strictest("age.min_days", |policy| policy.min_days)
    }

    pub(super) fn max_packages(self) -> Held<'a, usize> {
        let (most, level) = self.strictest("closure.max_packages", |policy| Reverse(policy.max_packages));
        (most.0, level)
    }

    pub(super) fn max_unpacked(self) -> Held<'a, u64> {
        let (most, level) = self.strictest("closure.max_unpacked_mb", |policy| Reverse(policy.max_unpacked));
        (most.0, level)
    }

    /// What the gate lets through; `usual` where the host's policy does not say.
    #[must_use]
    pub fn gate(self, usual: Gate) -> Gate {
        let mode = |policy: &Policy| Reverse(policy.gate.unwrap_or(usual));
        self.strictest("gate", mode).0.0
    }

    /// What a rule counts as, which asks for `severity` by itself, and the layer that changed it.
    pub(super) fn rule(self, rule: &str, severity: Verdict) -> (Verdict, Option<&'a str>) {
        let (host, _) = self.0[0];
        let (mut counts_as, level) = match rule {
            "grant" => self.default(),
            "native.code" => self.native(),
            _ => (severity, host),
        };
        let mut changed = Some(level).filter(|level| *level != host);
        for (level, policy) in self.0.iter().copied() {
            let Some(own) = policy.rules.get(rule) else {
                continue;
            };
            let own = own.unwrap_or(Verdict::Trusted);
            if own != counts_as && (own > counts_as || self.may_relax(level)) {
                counts_as = own;
                changed = Some(level);
            }
        }
        (counts_as, changed)
    }

    /// What the layers come to, line by line; `usual` is the gate's mode where none says.
    #[must_use]
    pub fn effective(self, usual: Gate) -> Effective {
        let mut effective = Effective::default();
        self.values(usual, &mut effective);
        self.lists(&mut effective);
        for (level, _) in self.0[1..].iter().copied() {
            let keys = self.too_lax(level).into_iter();
            effective.ignored.extend(keys.map(|key| Setting {
                key,
                value: format!("the host's policy does not name `{level}` under `delegate`"),
                from: level.to_owned(),
            }));
        }
        effective
    }

    fn values(self, usual: Gate, effective: &mut Effective) {
        let mut put = |key: &'static str, value: &dyn Debug, level: &str| {
            let host = level == self.0[0].0;
            let said = !host || self.host().said.contains(key);
            effective.settings.push(Setting {
                key: key.to_owned(),
                value: format!("{value:?}"),
                from: if said { level } else { BUILT_IN }.to_owned(),
            });
        };
        let host = self.0[0].0;
        let (gate, level) = self.strictest("gate", |policy| Reverse(policy.gate.unwrap_or(usual)));
        put("gate", &gate.0.name(), level);
        let words = |names: &[Pattern]| names.iter().map(ToString::to_string).collect::<Vec<_>>();
        put("delegate", &words(&self.host().delegate), host);
        let (default, level) = self.default();
        put("default", &default.name(), level);
        let (native, level) = self.native();
        put("native.default", &native.name(), level);
        let (days, level) = self.min_days();
        put("age.min_days", &days, level);
        for (level, policy) in self.permitting().filter(|(_, policy)| !policy.young.is_empty()) {
            put("age.exempt", &words(&policy.young), level);
        }
        let (most, level) = self.max_packages();
        put("closure.max_packages", &most, level);
        let (most, level) = self.max_unpacked();
        put("closure.max_unpacked_mb", &(most >> 20), level);
        let budget = self.host().budget;
        put("budget.fuel", &budget.fuel, host);
        put("budget.memory_mb", &(budget.memory >> 20), host);
        put("budget.events", &budget.events, host);
        put("budget.seconds", &budget.seconds, host);
    }

    fn lists(self, effective: &mut Effective) {
        let built_in = Policy::default();
        let mut put = |key: String, value: String, level: &str| {
            let from = level.to_owned();
            effective.settings.push(Setting { key, value, from });
        };
        let mut rules: Vec<&String> = self
            .0
            .iter()
            .flat_map(|(_, policy)| policy.rules.keys())
            .collect();
        rules.sort();
        rules.dedup();
        for rule in rules {
            let own = usual(rule);
            if let (counts_as, Some(level)) = self.rule(rule, own) {
                let word = match counts_as {
                    Verdict::Trusted => "off",
                    verdict => verdict.name(),
                };
                put(format!("rules.{rule:?}"), format!("{word:?}"), level);
            }
        }
        for (level, policy) in self.0.iter().copied() {
            for rule in &policy.always {
                let from = if built_in.always.contains(rule) {
                    BUILT_IN
                } else {
                    level
                };
                put("refuse.always".to_owned(), format!("{rule:?}"), from);
            }
        }
        for (level, policy) in self.permitting() {
            for grant in &policy.grants {
                let from = if built_in.grants.contains(grant) {
                    BUILT_IN
                } else {
                    level
                };
                put("grants".to_owned(), grant.to_string(), from);
            }
            for script in &policy.scripts {
                let value = format!("{}@{} {:?}", script.package, script.version, script.command);
                put("scripts.approved".to_owned(), value, level);
            }
        }
    }

    /// Keys of one of the layers that do not hold, because they would relax what a wider one asks for.
    #[must_use]
    pub fn too_lax(self, level: &str) -> Vec<String> {
        let Some(at) = (1..self.0.len()).find(|at| self.0[*at].0 == level) else {
            return Vec::new();
        };
        let (above, policy) = (Self(&self.0[..at]), self.0[at].1);
        let mut keys = Vec::new();
        if policy.said.contains("delegate") {
            keys.push("delegate".to_owned());
        }
        if self.may_relax(level) {
            return keys;
        }
        // Where the host's policy names no mode, the strictest may be usual.
        let gate = policy.gate > Some(above.gate(Gate::Enforce));
        let relaxed = [
            ("default", policy.default < above.default().0),
            ("native.default", policy.native < above.native().0),
            ("age.min_days", policy.min_days < above.min_days().0),
            ("age.exempt", !policy.young.is_empty()),
            (
                "closure.max_packages",
                policy.max_packages > above.max_packages().0,
            ),
            (
                "closure.max_unpacked_mb",
                policy.max_unpacked > above.max_unpacked().0,
            ),
            ("gate", gate),
        ];
        let values = relaxed
            .iter()
            .filter(|(key, lax)| *lax && policy.said.contains(key));
        keys.extend(values.map(|(key, _)| (*key).to_owned()));
        for (rule, severity) in &policy.rules {
            let (counts_as, _) = above.rule(rule, usual(rule));
            if severity.unwrap_or(Verdict::Trusted) < counts_as {
                keys.push(format!("rules.{rule:?}"));
            }
        }
        keys.extend((0..policy.grants.len()).map(|at| format!("grants[{at}]")));
        keys.extend((0..policy.scripts.len()).map(|at| format!("scripts.approved[{at}]")));
        keys
    }
}

/// What a rule asks for by itself.
fn usual(rule: &str) -> Verdict {
    rules::find(rule).map_or(Verdict::Review, |rule| rule.severity)
}
