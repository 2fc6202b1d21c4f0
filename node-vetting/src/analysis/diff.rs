//! What a newer closure has that an older one had not: the strongest cheap signal that there is.

use std::collections::{BTreeMap, BTreeSet};

use npm::Version;
use serde::{Deserialize, Serialize};

use super::finding::{About, Finding, Findings};
use crate::capability::Capability;
use crate::trace::Site;

/// How far a version is from another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Step {
    /// The same version with other members.
    Same,
    /// A correction: nothing new is expected of it.
    Patch,
    /// New features.
    Minor,
    /// Anything.
    Major,
    /// An older one.
    Back,
    /// The package was not there before.
    New,
}

/// Something that is new.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Change {
    /// The package, `name@version`.
    pub package: String,
    /// How far its version is from the one before.
    pub step: Step,
    /// Where.
    pub site: Site,
    /// What is new.
    pub what: Changed,
}

/// Kinds of news.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Changed {
    /// It can do something that it could not.
    Capability {
        /// What.
        capability: Capability,
    },
    /// There is a finding of a kind that there was not: a host, a script, hidden code, a binary.
    Finding {
        /// What was found.
        about: About,
    },
    /// A package that was not part of the closure.
    Member,
}

/// What is new in `after`.
#[must_use]
pub fn changes(before: &Findings, after: &Findings) -> Vec<Change> {
    let (old, new) = (versions(before), versions(after));
    let could: BTreeSet<(&str, &Capability)> = before
        .sites
        .iter()
        .map(|said| (name(&said.package), &said.capability))
        .collect();
    let had: BTreeSet<(&str, String)> = before
        .findings
        .iter()
        .filter_map(|finding| Some((name(&finding.package), essence(finding)?)))
        .collect();
    let step = |package: &str| step(&old, package);
    let mut found = BTreeSet::new();
    let mut told = BTreeSet::new();
    for said in &after.sites {
        let key = (name(&said.package), &said.capability);
        if !could.contains(&key) && told.insert(key) {
            found.insert(Change {
                package: said.package.clone(),
                step: step(&said.package),
                site: said.site.clone(),
                what: Changed::Capability {
                    capability: said.capability.clone(),
                },
            });
        }
    }
    for finding in &after.findings {
        let Some(essence) = essence(finding) else { continue };
        if !had.contains(&(name(&finding.package), essence)) {
            found.insert(Change {
                package: finding.package.clone(),
                step: step(&finding.package),
                site: finding.site.clone(),
                what: Changed::Finding {
                    about: finding.about.clone(),
                },
            });
        }
    }
    for (package, site) in new.values().flatten() {
        if !old.contains_key(name(package)) {
            found.insert(Change {
                package: package.clone(),
                step: Step::New,
                site: site.clone(),
                what: Changed::Member,
            });
        }
    }
    found.into_iter().collect()
}

/// Members by name. Every member has at least a finding about its licence.
fn versions(findings: &Findings) -> BTreeMap<&str, Vec<(String, Site)>> {
    let mut versions: BTreeMap<&str, Vec<(String, Site)>> = BTreeMap::new();
    for finding in &findings.findings {
        if matches!(finding.about, About::Licence { .. }) {
            let list = versions.entry(name(&finding.package)).or_default();
            list.push((finding.package.clone(), finding.site.clone()));
        }
    }
    versions
}

/// The name of `name@version`.
fn name(package: &str) -> &str {
    package.rsplit_once('@').map_or(package, |(name, _)| name)
}

fn version(package: &str) -> Option<Version> {
    Version::parse(package.rsplit_once('@')?.1).ok()
}

/// The distance from the nearest version that was there before.
fn step(old: &BTreeMap<&str, Vec<(String, Site)>>, package: &str) -> Step {
    let Some(now) = version(package) else {
        return Step::New;
    };
    let before = old.get(name(package)).into_iter().flatten();
    before
        .filter_map(|(package, _)| version(package))
        .map(|then| match () {
            () if then == now => Step::Same,
            () if then > now => Step::Back,
            () if then.major != now.major => Step::Major,
            () if then.minor != now.minor => Step::Minor,
            () => Step::Patch,
        })
        .min()
        .unwrap_or(Step::New)
}

/// What of a finding is compared; nothing for those that change with every version.
fn essence(finding: &Finding) -> Option<String> {
    match &finding.about {
        About::Host { host, .. } => Some(format!("host {host}")),
        About::Address { address, .. } => Some(format!("address {address}")),
        About::Mentions { list, entry, .. } => Some(format!("mentions {list} {entry}")),
        About::InstallScript { name, command, .. } => Some(format!("script {name} {command}")),
        About::GypCommand { command } => Some(format!("gyp {command}")),
        About::Obfuscated { how, .. } => Some(format!("obfuscated {how}")),
        About::HiddenCharacters { what, .. } => Some(format!("hidden {what}")),
        About::Blob { content, decoder, .. } => Some(format!("blob {content} {decoder}")),
        About::DateGate { .. } => Some("date".to_owned()),
        About::ChanceGate { .. } => Some("chance".to_owned()),
        About::HostGate { what, .. } => Some(format!("host gate {what}")),
        About::NativeFile { os, cpu, .. } => Some(format!("native {os} {cpu}")),
        About::Wasm { imports, .. } => Some(format!("wasm {imports:?}")),
        About::Command { name, .. } => Some(format!("command {name}")),
        About::Phantom { dependency, .. } => Some(format!("phantom {dependency}")),
        About::Undeclared { dependency } => Some(format!("undeclared {dependency}")),
        About::ExternalScript { url } => Some(format!("external {url}")),
        About::Licence { expression, .. } => Some(format!("licence {expression}")),
        About::Unparsable { .. } => Some("unparsable".to_owned()),
        About::SplitName { module } => Some(format!("split {module}")),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::finding::{Half, Said};
    use crate::capability::Kind;

    fn site() -> Site {
        Site {
            file: "node_modules/a/package.json".to_owned(),
            line: 1,
        }
    }

    fn findings(package: &str, abouts: Vec<About>, capabilities: &[(Kind, &str)]) -> Findings {
        let mut all = vec![About::Licence {
            expression: "MIT".to_owned(),
            class: "permissive".to_owned(),
        }];
        all.extend(abouts);
        Findings {
            findings: all
                .into_iter()
                .map(|about| Finding {
                    package: package.to_owned(),
                    site: site(),
                    reached: true,
                    about,
                })
                .collect(),
            sites: capabilities
                .iter()
                .map(|(kind, scope)| Said {
                    package: package.to_owned(),
                    site: site(),
                    capability: Capability::new(*kind, *scope),
                    via: String::new(),
                    offset: 0,
                    function: 0,
                    half: Half::Runtime,
                    reached: true,
                })
                .collect(),
            ..Findings::default()
        }
    }

    fn host(host: &str) -> About {
        About::Host {
            host: host.to_owned(),
            url: String::new(),
            listed: None,
            half: Half::Runtime,
        }
    }

    #[test]
    fn only_what_is_new_is_told() {
        let before = findings("@s/a@1.0.0", vec![host("old.example")], &[(Kind::FsRead, "own")]);
        let after = findings(
            "@s/a@1.0.1",
            vec![host("old.example"), host("new.example")],
            &[
                (Kind::FsRead, "own"),
                (Kind::ProcSpawn, "shell"),
                (Kind::ProcSpawn, "shell"),
            ],
        );
        let news = changes(&before, &after);
        assert_eq!(news.len(), 2, "{news:?}");
        assert!(news.iter().all(|change| change.step == Step::Patch));
        assert_eq!(changes(&after, &after), []);
        let other = findings("b@2.0.0", Vec::new(), &[]);
        let member = changes(&before, &other);
        assert!(matches!(
            member[..],
            [
                Change { step: Step::New, .. },
                Change {
                    what: Changed::Member,
                    ..
                }
            ] | [
                Change {
                    what: Changed::Member,
                    ..
                },
                _
            ]
        ));
    }

    #[test]
    fn distances() {
        let old = findings("a@1.2.3", Vec::new(), &[]);
        let old = versions(&old);
        for (package, expected) in [
            ("a@1.2.3", Step::Same),
            ("a@1.2.4", Step::Patch),
            ("a@1.3.0", Step::Minor),
            ("a@2.0.0", Step::Major),
            ("a@1.0.0", Step::Back),
            ("b@1.0.0", Step::New),
        ] {
            assert_eq!(step(&old, package), expected, "{package}");
        }
    }
}
