//! The policy as it is written: every key checked, every mistake told with the key that it is in.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use npm::Integrity;
use serde::Deserialize;
use thiserror::Error;

use crate::policy::{Allowed, Budget, Day, Gate, Grant, Pattern, Policy, Script, Source, lines};
use crate::report::Verdict;
use crate::report::rules;

/// What is wrong with a policy file.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub struct Mistakes {
    what: String,
    /// Each with the key that it is in.
    pub all: Vec<Mistake>,
}

impl Mistakes {
    /// Mistakes of `what` in keys of its text.
    #[must_use]
    pub fn of(what: &str, text: &str, keys: impl IntoIterator<Item = (String, String)>) -> Self {
        let all = keys.into_iter().map(|(key, says)| Mistake {
            line: lines::line(text, &key),
            key,
            says,
        });
        Self {
            what: what.to_owned(),
            all: all.collect(),
        }
    }
}

/// One mistake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// The key: `grants[2].allow`.
    pub key: String,
    /// The line of the file, from 1, where the key stands there.
    pub line: Option<usize>,
    /// What is wrong with its value.
    pub says: String,
}

impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} cannot be used", self.what)?;
        for Mistake { key, line, says } in &self.all {
            f.write_str("\n  ")?;
            if let Some(line) = line {
                write!(f, "line {line}: ")?;
            }
            if !key.is_empty() {
                write!(f, "{key}: ")?;
            }
            f.write_str(says)?;
        }
        Ok(())
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    version: u32,
    extends: Option<Base>,
    default: Option<Verdict>,
    gate: Option<Gate>,
    delegate: Option<Delegate>,
    #[serde(default)]
    age: Age,
    #[serde(default)]
    closure: ClosureLimits,
    #[serde(default)]
    native: Native,
    #[serde(default)]
    scripts: Scripts,
    #[serde(default)]
    grants: Vec<WrittenGrant>,
    #[serde(default)]
    refuse: Refuse,
    #[serde(default)]
    rules: BTreeMap<String, Severity>,
    #[serde(default)]
    budget: WrittenBudget,
    #[serde(default)]
    mirror: BTreeMap<String, String>,
}

/// What a file adds to.
#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Base {
    Default,
    Nothing,
}

/// Everybody or nobody, or these.
#[derive(Deserialize)]
#[serde(untagged, expecting = "true, false, or a list of names")]
enum Delegate {
    All(bool),
    To(Vec<String>),
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Age {
    min_days: Option<u32>,
    exempt: Option<Vec<String>>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct ClosureLimits {
    sources: Option<Vec<String>>,
    max_packages: Option<usize>,
    max_unpacked_mb: Option<u64>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Native {
    default: Option<Verdict>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Scripts {
    #[serde(default)]
    approved: Vec<Approved>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Approved {
    package: String,
    integrity: String,
    command: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenGrant {
    to: Vec<String>,
    allow: Vec<String>,
    reason: String,
    expires: Option<Day>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Refuse {
    always: Option<Vec<String>>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Severity {
    Off,
    Review,
    Refused,
}

impl Severity {
    const fn verdict(self) -> Option<Verdict> {
        match self {
            Self::Off => None,
            Self::Review => Some(Verdict::Review),
            Self::Refused => Some(Verdict::Refused),
        }
    }
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenBudget {
    fuel: Option<u64>,
    memory_mb: Option<u64>,
    events: Option<usize>,
    seconds: Option<u32>,
}

/// Collects mistakes while values are read.
#[derive(Default)]
struct Reader(Vec<(String, String)>);

impl Reader {
    fn wrong(&mut self, key: impl Into<String>, says: impl fmt::Display) {
        self.0.push((key.into(), says.to_string()));
    }

    fn parsed<T: std::str::FromStr>(&mut self, key: &str, text: &str) -> Option<T>
    where
        T::Err: fmt::Display,
    {
        text.parse().map_err(|error| self.wrong(key, error)).ok()
    }

    fn rule(&mut self, key: &str, rule: &str) {
        if rules::find(rule).is_none() {
            self.wrong(
                key,
                format!("`{rule}` is no rule; `redhold policy rules` lists them"),
            );
        }
    }

    fn at_least_review(&mut self, key: &str, verdict: Verdict) -> Verdict {
        if verdict == Verdict::Trusted {
            self.wrong(
                key,
                "an open question cannot be trusted; write \"review\" or \"refused\"",
            );
        }
        verdict
    }

    fn grant(&mut self, key: &str, written: WrittenGrant) -> Grant {
        if written.reason.trim().is_empty() {
            self.wrong(format!("{key}.reason"), "it is empty; say why");
        }
        let allow_key = format!("{key}.allow");
        Grant {
            to: written.to.into_iter().map(Pattern::new).collect(),
            allow: written
                .allow
                .iter()
                .filter_map(|text| self.parsed::<Allowed>(&allow_key, text))
                .collect(),
            reason: written.reason,
            expires: written.expires,
        }
    }

    fn script(&mut self, key: &str, written: Approved) -> Option<Script> {
        let spec_key = format!("{key}.package");
        let Some((name, version)) = written
            .package
            .rsplit_once('@')
            .filter(|(name, _)| !name.is_empty())
        else {
            self.wrong(spec_key, format!("`{}` is no name@version", written.package));
            return None;
        };
        let name = self.parsed(&spec_key, name);
        let version = self.parsed(&spec_key, version);
        let integrity = self.parsed(&format!("{key}.integrity"), &written.integrity);
        Some(Script {
            package: name?,
            version: version?,
            integrity: integrity?,
            command: written.command,
        })
    }

    fn source(&mut self, text: &str) -> Option<Source> {
        match text {
            "url" => Some(Source::Url),
            "git" => Some(Source::Git),
            "file" => Some(Source::File),
            "registry" => None,
            other => {
                self.wrong(
                    "closure.sources",
                    format!("`{other}` is no source; there are registry, url, git and file"),
                );
                None
            }
        }
    }
}

/// The policy that grants nothing and limits nothing: what the built-in one is added to.
pub(super) fn nothing() -> Policy {
    Policy {
        default: Verdict::Review,
        gate: None,
        delegate: Vec::new(),
        min_days: 0,
        young: Vec::new(),
        sources: Vec::new(),
        max_packages: usize::MAX,
        max_unpacked: u64::MAX,
        native: Verdict::Review,
        scripts: Vec::new(),
        grants: Vec::new(),
        always: Vec::new(),
        rules: BTreeMap::new(),
        budget: Budget {
            fuel: u64::MAX,
            memory: 256 << 20,
            events: 50_000,
            seconds: 120,
        },
        mirror: BTreeMap::new(),
        said: BTreeSet::new(),
    }
}

/// A policy from a text, added to `base` unless the text extends nothing.
pub(super) fn parse(what: &str, text: &str, base: fn() -> Policy) -> Result<Policy, Mistakes> {
    let file: File = toml::from_str(text).map_err(|error| {
        // It names the line itself.
        let says = error.to_string().trim_end().to_owned();
        Mistakes::of(what, text, [(String::new(), says)])
    })?;
    let mut reader = Reader::default();
    if file.version != 1 {
        reader.wrong(
            "version",
            format!("{} is unknown; this version reads 1", file.version),
        );
    }
    let mut policy = match file.extends {
        Some(Base::Nothing) => nothing(),
        Some(Base::Default) | None => base(),
    };
    if let Some(default) = file.default {
        policy.default = reader.at_least_review("default", default);
    }
    if let Some(native) = file.native.default {
        policy.native = reader.at_least_review("native.default", native);
    }
    fill(&mut policy, &file);
    if let Some(sources) = &file.closure.sources {
        policy.sources = sources.iter().filter_map(|text| reader.source(text)).collect();
    }
    let grants = file.grants.into_iter().enumerate();
    policy
        .grants
        .extend(grants.map(|(at, grant)| reader.grant(&format!("grants[{at}]"), grant)));
    let scripts = file.scripts.approved.into_iter().enumerate();
    policy
        .scripts
        .extend(scripts.filter_map(|(at, script)| reader.script(&format!("scripts.approved[{at}]"), script)));
    for (at, rule) in file.refuse.always.into_iter().flatten().enumerate() {
        reader.rule(&format!("refuse.always[{at}]"), &rule);
        policy.always.push(rule);
    }
    for (rule, severity) in file.rules {
        reader.rule(&format!("rules.{rule:?}"), &rule);
        policy.rules.insert(rule, severity.verdict());
    }
    for (spec, integrity) in file.mirror {
        if let Some(integrity) = reader.parsed::<Integrity>(&format!("mirror.{spec:?}"), &integrity) {
            policy.mirror.insert(spec, integrity);
        }
    }
    if reader.0.is_empty() {
        Ok(policy)
    } else {
        Err(Mistakes::of(what, text, reader.0))
    }
}

/// What needs no check beyond its type.
fn fill(policy: &mut Policy, file: &File) {
    fn set<T>(said: &mut BTreeSet<&'static str>, key: &'static str, place: &mut T, value: Option<T>) {
        if let Some(value) = value {
            *place = value;
            said.insert(key);
        }
    }
    let said = &mut policy.said;
    said.extend(file.default.map(|_| "default"));
    said.extend(file.native.default.map(|_| "native.default"));
    set(said, "gate", &mut policy.gate, file.gate.map(Some));
    let delegate = file.delegate.as_ref().map(|delegate| match delegate {
        Delegate::All(true) => vec![Pattern::new("*")],
        Delegate::All(false) => Vec::new(),
        Delegate::To(names) => names.iter().map(Pattern::new).collect(),
    });
    set(said, "delegate", &mut policy.delegate, delegate);
    set(said, "age.min_days", &mut policy.min_days, file.age.min_days);
    let young = file.age.exempt.as_ref();
    let young = young.map(|names| names.iter().map(Pattern::new).collect());
    set(said, "age.exempt", &mut policy.young, young);
    let closure = &file.closure;
    set(
        said,
        "closure.max_packages",
        &mut policy.max_packages,
        closure.max_packages,
    );
    let unpacked = closure.max_unpacked_mb.map(|mb| mb << 20);
    set(
        said,
        "closure.max_unpacked_mb",
        &mut policy.max_unpacked,
        unpacked,
    );
    let budget = &file.budget;
    set(said, "budget.fuel", &mut policy.budget.fuel, budget.fuel);
    let memory = budget.memory_mb.map(|mb| mb << 20);
    set(said, "budget.memory_mb", &mut policy.budget.memory, memory);
    set(said, "budget.events", &mut policy.budget.events, budget.events);
    set(said, "budget.seconds", &mut policy.budget.seconds, budget.seconds);
}
