//! Pure: what an instance may do, from what its packages were vetted for and what its operator allows beside that.
//!
//! Node-RED itself and Node.js need none of it: they start no program and make no raw socket to serve an editor and to
//! run flows. Exec nodes and function nodes do whatever a flow says, and whoever deploys flows would allow it to
//! themselves; so what they may start is the operator's to name.
//!
//! A package that was vetted for a shell, or for a program whose name its code computes, may start anything: that is
//! what the report says. Raw sockets need machine code, which JavaScript alone cannot bring. Where packages connect to is the matter of the
//! instance's network settings: most connect to whatever a flow's configuration names, so that nothing narrower
//! follows from their reports. Environment and files are shared by everything in one process, and cannot be told apart
//! from outside of it.

use std::collections::{BTreeMap, BTreeSet};

use node_vetting::capability::{Capability, Kind};
use node_vetting::policy::Allowed;
use runtime::spec::{Programs, Watch};

use super::model::{CapabilityMode, CapabilitySettings};

/// Who allowed what stands in no report.
const OPERATOR: &str = "settings";

/// Longest list of names that is spelled out for a person.
const SPELLED: usize = 12;

/// What is known of packages by their vetting.
pub trait Reports: std::fmt::Debug + Send + Sync {
    /// What a package, with everything it brings, was vetted for; nothing when it was not.
    fn capabilities(&self, name: &str, version: &str) -> Option<Vec<Capability>>;
}

/// Nothing was vetted.
#[derive(Clone, Copy, Debug, Default)]
pub struct Unvetted;

impl Reports for Unvetted {
    fn capabilities(&self, _: &str, _: &str) -> Option<Vec<Capability>> {
        None
    }
}

/// A package of an instance, and what it was vetted for.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Vetted {
    pub(super) name: String,
    pub(super) capabilities: Vec<Capability>,
}

/// What an instance may do, and who says so.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Allowance {
    /// Programs by name or path.
    programs: BTreeMap<String, BTreeSet<String>>,
    /// Who may start any program.
    any_program: BTreeSet<String>,
    /// Who brings machine code.
    native: BTreeSet<String>,
}

impl Allowance {
    /// Of settings that were checked, and packages.
    pub(super) fn of(settings: &CapabilitySettings, packages: &[Vetted]) -> Self {
        let mut allowance = Self::default();
        for package in packages {
            for capability in &package.capabilities {
                match capability.kind {
                    Kind::ProcSpawn => allowance.program(&capability.scope, &package.name),
                    Kind::CodeNative => allowance.native(&package.name),
                    _ => {}
                }
            }
        }
        for text in &settings.allow {
            let (kind, scope) = parts(text);
            if kind == Kind::ProcSpawn.name() {
                allowance.program(scope, OPERATOR);
            } else if kind == Kind::CodeNative.name() {
                allowance.native(OPERATOR);
            }
        }
        allowance
    }

    fn program(&mut self, scope: &str, who: &str) {
        let who = who.to_owned();
        match scope {
            "" | "*" | "shell" | "computed" => self.any_program.insert(who),
            name => self.programs.entry(name.to_owned()).or_default().insert(who),
        };
    }

    fn native(&mut self, who: &str) {
        self.native.insert(who.to_owned());
    }

    /// What is watched; nothing where nobody wants that, or everything is allowed.
    pub(super) fn watch(&self, mode: CapabilityMode) -> Option<Watch> {
        let any = !self.any_program.is_empty();
        let raw_sockets = !self.native.is_empty();
        if mode == CapabilityMode::Off || (any && raw_sockets) {
            return None;
        }
        Some(Watch {
            enforce: mode == CapabilityMode::Enforce,
            programs: if any {
                Programs::Any
            } else {
                Programs::Named(self.programs.keys().cloned().collect())
            },
            raw_sockets,
            words: self.words(),
        })
    }

    fn words(&self) -> String {
        let programs = if !self.any_program.is_empty() {
            format!("starts any program ({})", listed(&self.any_program))
        } else if self.programs.is_empty() {
            "starts no program".to_owned()
        } else {
            let mut named: Vec<String> = self
                .programs
                .iter()
                .take(SPELLED)
                .map(|(name, who)| format!("{name} ({})", listed(who)))
                .collect();
            if self.programs.len() > SPELLED {
                named.push(format!("{} more", self.programs.len() - SPELLED));
            }
            format!("starts {}", named.join(", "))
        };
        let sockets = if self.native.is_empty() {
            "makes no raw socket".to_owned()
        } else {
            format!("makes raw sockets ({})", listed(&self.native))
        };
        format!("{programs}, {sockets}")
    }
}

fn listed(who: &BTreeSet<String>) -> String {
    let mut names: Vec<&str> = who.iter().map(String::as_str).take(SPELLED).collect();
    if who.len() > SPELLED {
        names.push("and others");
    }
    names.join(", ")
}

/// Kind and scope, as written.
fn parts(text: &str) -> (&str, &str) {
    let (kind, rest) = text.split_once('{').unwrap_or((text, ""));
    (kind, rest.strip_suffix('}').unwrap_or(rest))
}

/// What is wrong with a capability that an operator allows.
pub(super) fn wrong(text: &str) -> Option<String> {
    if let Err(why) = text.parse::<Allowed>() {
        return Some(why);
    }
    let (kind, scope) = parts(text);
    if kind == Kind::CodeNative.name() {
        return None;
    }
    if kind != Kind::ProcSpawn.name() {
        return Some(format!(
            "`{kind}` is not watched in instances; `proc.spawn` and `code.native` are, and `network.allow` says where connections go"
        ));
    }
    if scope.contains('*') && scope != "*" {
        return Some(
            "name one program, or all by `proc.spawn`: a pattern would name files that are not there yet"
                .to_owned(),
        );
    }
    (scope.contains('/') && !scope.starts_with('/'))
        .then(|| "a program is a file name or an absolute path".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vetted(name: &str, capabilities: &[(Kind, &str)]) -> Vetted {
        Vetted {
            name: name.to_owned(),
            capabilities: capabilities
                .iter()
                .map(|(kind, scope)| Capability::new(*kind, *scope))
                .collect(),
        }
    }

    fn watch(mode: CapabilityMode, allow: &[&str], packages: &[Vetted]) -> Option<Watch> {
        let settings = CapabilitySettings {
            mode,
            allow: allow.iter().map(|text| (*text).to_owned()).collect(),
        };
        Allowance::of(&settings, packages).watch(mode)
    }

    #[test]
    fn nothing_installed_allows_nothing() {
        let watch = watch(CapabilityMode::Enforce, &[], &[]).expect("it is watched");
        assert!(watch.enforce && !watch.raw_sockets);
        assert_eq!(watch.programs, Programs::Named(Vec::new()));
        assert_eq!(watch.words, "starts no program, makes no raw socket");
    }

    #[test]
    fn programs_come_from_reports_and_from_the_operator_with_who_says_so() {
        let packages = [
            vetted(
                "node-red-node-ping",
                &[(Kind::ProcSpawn, "ping"), (Kind::NetConnect, "configured")],
            ),
            vetted("probe", &[(Kind::ProcSpawn, "ping")]),
            vetted("serial", &[(Kind::CodeNative, "serialport.node")]),
        ];
        let allow = ["proc.spawn{/usr/bin/git}"];
        let watch = watch(CapabilityMode::Observe, &allow, &packages).expect("it is watched");
        assert!(!watch.enforce && watch.raw_sockets);
        assert_eq!(
            watch.programs,
            Programs::Named(vec!["/usr/bin/git".to_owned(), "ping".to_owned()])
        );
        assert_eq!(
            watch.words,
            "starts /usr/bin/git (settings), ping (node-red-node-ping, probe), makes raw sockets (serial)"
        );
    }

    #[test]
    fn who_may_start_a_shell_may_start_anything() {
        for scope in ["shell", "computed", "", "*"] {
            let packages = [vetted("tool", &[(Kind::ProcSpawn, scope)])];
            let watch = watch(CapabilityMode::Enforce, &[], &packages).expect("raw sockets are watched");
            assert_eq!(watch.programs, Programs::Any, "{scope}");
        }
        // And where all is allowed nobody is asked.
        assert_eq!(
            watch(CapabilityMode::Enforce, &["proc.spawn", "code.native"], &[]),
            None
        );
        assert_eq!(watch(CapabilityMode::Off, &[], &[]), None);
    }

    #[test]
    fn long_lists_are_cut_for_people_and_whole_for_the_kernel() {
        let names: Vec<String> = (0..40)
            .map(|number| format!("proc.spawn{{tool-{number}}}"))
            .collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let watch = watch(CapabilityMode::Enforce, &names, &[]).expect("it is watched");
        assert!(matches!(watch.programs, Programs::Named(all) if all.len() == 40));
        assert!(
            watch.words.contains("28 more") && watch.words.len() < 400,
            "{}",
            watch.words
        );
    }

    #[test]
    fn what_cannot_be_allowed_is_refused_with_a_reason() {
        for good in [
            "proc.spawn",
            "proc.spawn{*}",
            "proc.spawn{ping}",
            "proc.spawn{/opt/x}",
            "code.native",
        ] {
            assert_eq!(wrong(good), None, "{good}");
        }
        for (bad, part) in [
            ("proc.spwan", "proc.spawn"),
            ("proc.spawn{ping", "closing brace"),
            ("proc.spawn{p*}", "pattern"),
            ("proc.spawn{bin/x}", "absolute"),
            ("net.connect{x:1}", "network.allow"),
            ("", "no capability"),
        ] {
            assert!(
                wrong(bad).is_some_and(|why| why.contains(part)),
                "{bad}: {:?}",
                wrong(bad)
            );
        }
    }
}
