//! Pure: what an instance may do, from what its packages were vetted for and what its operator allows beside that.
//!
//! Node-RED itself and Node.js need none of it: they start no program and make no raw socket to serve an editor and to
//! run flows. Exec nodes and function nodes do whatever a flow says, and whoever deploys flows would allow it to
//! themselves; so what they may start is the operator's to name.
//!
//! A package that was vetted for a shell, or for a program whose name its code computes, may start anything: that is
//! what the report says. Raw sockets need machine code, which JavaScript alone cannot bring.
//!
//! Hosts are another matter: that a report says `configured` or `computed` names none. Such code goes where a flow's
//! configuration sends it, and that is known: what the flows and their environment name counts as theirs, and nothing else.
//! Otherwise each package with a library for HTTP would be let through everywhere, and each flow with an MQTT broker
//! would be reported. Where a message brings an address along, an event asks, once a host. Whoever writes flows names
//! hosts, and code inside can write flows; vetting refuses packages that do.
//!
//! Environment and files are shared by everything in one process, and cannot be told apart from outside of it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use node_vetting::capability::{Capability, Kind};
use node_vetting::policy::Allowed;
use runtime::spec::{Programs, Watch};
use runtime::traffic::{Hosts, Target, named};

use super::model::{CapabilityMode, CapabilitySettings};

/// Who allowed what stands in no report.
const OPERATOR: &str = "settings";

/// Longest list of names that is spelled out for a person.
const SPELLED: usize = 12;

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
    /// Who makes raw sockets, or brings machine code, which can.
    raw: BTreeSet<String>,
    /// Hosts by name or address, and who may reach any.
    hosts: BTreeMap<String, BTreeSet<String>>,
    any_host: BTreeSet<String>,
}

/// Most hosts that are taken from an environment.
const MOST_OF_ENVIRONMENT: usize = 256;

/// What flows go by.
pub(super) struct Flows<'a> {
    /// Their environment.
    pub(super) env: &'a [(String, String)],
    /// Where they are kept.
    pub(super) files: Vec<PathBuf>,
}

impl Allowance {
    /// Of settings that were checked, and packages.
    pub(super) fn of(settings: &CapabilitySettings, packages: &[Vetted]) -> Self {
        let mut allowance = Self::default();
        for package in packages {
            for capability in &package.capabilities {
                let scope = &capability.scope;
                match capability.kind {
                    Kind::ProcSpawn => allowance.program(scope, &package.name),
                    Kind::CodeNative | Kind::NetRaw => allowance.raw(&package.name),
                    Kind::NetConnect | Kind::NetUdp | Kind::NetDns => allowance.host(scope, &package.name),
                    _ => {}
                }
            }
        }
        for text in &settings.allow {
            let (kind, scope) = parts(text);
            if kind == Kind::ProcSpawn.name() {
                allowance.program(scope, OPERATOR);
            } else if kind == Kind::CodeNative.name() || kind == Kind::NetRaw.name() {
                allowance.raw(OPERATOR);
            } else if kind == Kind::NetConnect.name() && matches!(scope, "" | "*") {
                allowance.any_host.insert(OPERATOR.to_owned());
            } else if kind == Kind::NetConnect.name() {
                allowance.host(scope, OPERATOR);
            }
        }
        allowance
    }

    /// A report's scope, or an operator's. A report names a host, or says how the code comes to one.
    fn host(&mut self, scope: &str, who: &str) {
        if scope.parse::<Target>().is_ok_and(|target| !is_word(&target)) {
            let host = scope.to_ascii_lowercase();
            self.hosts.entry(host).or_default().insert(who.to_owned());
        }
    }

    fn program(&mut self, scope: &str, who: &str) {
        let who = who.to_owned();
        match scope {
            "" | "*" | "shell" | "computed" => self.any_program.insert(who),
            name => self.programs.entry(name.to_owned()).or_default().insert(who),
        };
    }

    fn raw(&mut self, who: &str) {
        self.raw.insert(who.to_owned());
    }

    /// Where it has something to do; nothing where nobody wants to know, or it may go everywhere.
    pub(super) fn hosts(&self, mode: CapabilityMode, flows: Flows<'_>) -> Option<Hosts> {
        if mode == CapabilityMode::Off || !self.any_host.is_empty() {
            return None;
        }
        let of_env = flows.env.iter().flat_map(|(_, value)| named(value));
        let known = self.hosts.keys().filter_map(|host| host.parse().ok());
        Some(Hosts {
            enforce: mode == CapabilityMode::Enforce,
            allow: known.chain(of_env.take(MOST_OF_ENVIRONMENT)).collect(),
            named_in: flows.files,
            words: spelled(
                &self.hosts,
                "connects to ",
                "what its flows and their environment name",
            ),
        })
    }

    /// What is watched; nothing where nobody wants that, or everything is allowed.
    pub(super) fn watch(&self, mode: CapabilityMode) -> Option<Watch> {
        let any = !self.any_program.is_empty();
        let raw_sockets = !self.raw.is_empty();
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
            spelled(&self.programs, "starts ", "")
        };
        let sockets = if self.raw.is_empty() {
            "makes no raw socket".to_owned()
        } else {
            format!("makes raw sockets ({})", listed(&self.raw))
        };
        format!("{programs}, {sockets}")
    }
}

/// The first of what is allowed, with who says so, and something beside it.
fn spelled(all: &BTreeMap<String, BTreeSet<String>>, verb: &str, beside: &str) -> String {
    let mut named: Vec<String> = all
        .iter()
        .take(SPELLED)
        .map(|(name, who)| format!("{name} ({})", listed(who)))
        .collect();
    if all.len() > SPELLED {
        named.push(format!("{} more", all.len() - SPELLED));
    }
    if !beside.is_empty() {
        named.push(beside.to_owned());
    }
    format!("{verb}{}", named.join(", "))
}

/// `configured`, `computed` and the like.
fn is_word(target: &Target) -> bool {
    match target {
        Target::Name(name) => !name.contains('.'),
        Target::Anywhere => true,
        Target::Range(_) => false,
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
    if [Kind::CodeNative, Kind::NetRaw]
        .iter()
        .any(|known| known.name() == kind)
    {
        return None;
    }
    if kind == Kind::NetConnect.name() {
        return wrong_host(scope);
    }
    if [Kind::NetUdp, Kind::NetDns]
        .iter()
        .any(|known| known.name() == kind)
    {
        return Some(
            "`net.connect` with the host allows all of it: names, connections and datagrams".to_owned(),
        );
    }
    if kind != Kind::ProcSpawn.name() {
        return Some(format!(
            "`{kind}` is not watched in instances; `proc.spawn`, `net.connect`, `net.raw` and `code.native` are"
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

/// What is wrong with a host that an operator allows.
fn wrong_host(scope: &str) -> Option<String> {
    if matches!(scope, "" | "*") {
        return None;
    }
    match scope.parse::<Target>() {
        Ok(target) if is_word(&target) => Some(
            "name a host as flows do, `broker.example.com`, `*.example.com`, `10.0.0.7` or `10.0.0.0/8`; names \
             without a dot are let through in any case"
                .to_owned(),
        ),
        Ok(_) => None,
        Err(error) => Some(format!("{error}; every port of it is meant, so none is named")),
    }
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
    fn hosts_are_those_of_reports_flows_and_the_operator_and_no_words() {
        let packages = [
            vetted(
                "node-red-contrib-weather",
                &[
                    (Kind::NetConnect, "api.Weather.example"),
                    (Kind::NetConnect, "configured"),
                    (Kind::NetConnect, "computed"),
                    (Kind::NetUdp, "192.0.2.7"),
                    (Kind::NetDns, ""),
                ],
            ),
            vetted("raw", &[(Kind::NetRaw, "")]),
        ];
        let settings = |allow: &[&str]| CapabilitySettings {
            mode: CapabilityMode::Enforce,
            allow: allow.iter().map(|text| (*text).to_owned()).collect(),
        };
        let env = [(
            "BROKER".to_owned(),
            "mqtts://me:word@broker.example:8883".to_owned(),
        )];
        let hosts = |allow: &[&str], mode| {
            let files = vec!["/data/flows.json".into()];
            Allowance::of(&settings(allow), &packages).hosts(mode, Flows { env: &env, files })
        };
        let found = hosts(&["net.connect{*.cdn.example}"], CapabilityMode::Enforce).expect("hosts");
        let all: Vec<String> = found.allow.iter().map(ToString::to_string).collect();
        assert_eq!(
            all,
            [
                "*.cdn.example",
                "192.0.2.7",
                "api.weather.example",
                "broker.example"
            ]
        );
        assert!(found.enforce && found.named_in.len() == 1);
        assert_eq!(
            found.words,
            "connects to *.cdn.example (settings), 192.0.2.7 (node-red-contrib-weather), api.weather.example \
             (node-red-contrib-weather), what its flows and their environment name"
        );
        assert_eq!(hosts(&["net.connect"], CapabilityMode::Enforce), None);
        assert_eq!(hosts(&[], CapabilityMode::Off), None);
        assert!(watch(CapabilityMode::Observe, &[], &packages).is_some_and(|watch| watch.raw_sockets));
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
            "net.raw",
            "net.connect",
            "net.connect{*}",
            "net.connect{*.example.com}",
            "net.connect{10.0.0.0/8}",
            "net.connect{2001:db8::7}",
        ] {
            assert_eq!(wrong(good), None, "{good}");
        }
        for (bad, part) in [
            ("proc.spwan", "proc.spawn"),
            ("proc.spawn{ping", "closing brace"),
            ("proc.spawn{p*}", "pattern"),
            ("proc.spawn{bin/x}", "absolute"),
            ("net.connect{x.example:1}", "every port"),
            ("net.connect{computed}", "name a host"),
            ("net.udp{x.example}", "net.connect"),
            ("fs.write", "net.connect"),
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
