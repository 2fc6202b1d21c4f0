//! What a host judges by: its policy, those of organizations and teams beside it, and its waivers.
//!
//! `vetting/policy.toml` is the host's, `vetting/organizations/NAME.toml` an organization's and
//! `vetting/organizations/NAME/TEAM.toml` a team's: one file a layer, so that each can be read, reviewed and owned by itself.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use node_vetting::policy::{
    Decision, Effective, Gate, Layers, Mistakes, Policy, Scene, Script, Waiver, decide,
};
use node_vetting::report::Report;
use sha2::{Digest, Sha256};

use super::Waivers;
use crate::clock;
use crate::ids::hexadecimal;
use crate::problem::{Code, Problem};
use crate::team::{self, Team};

/// The layer of the host itself.
const HOST: &str = "host";

/// Policies and waivers that count for something, read once.
#[derive(Clone, Debug)]
pub struct Rules {
    /// From the host's down to the team's, by name.
    levels: Vec<(String, Policy)>,
    waivers: Vec<Waiver>,
}

impl Rules {
    /// Those of a data directory for whoever belongs to no team; the policy in `named` instead of its own.
    ///
    /// # Errors
    /// When a file cannot be read, or has mistakes.
    pub fn of(data_dir: &Path, named: Option<&Path>) -> Result<Self, Problem> {
        let host = match named {
            Some(file) => Some(read_policy(file)?),
            None => read_if_there(&host_file(data_dir), Policy::parse)?,
        };
        let waivers = Waivers::of(data_dir).all()?;
        Ok(Self {
            levels: vec![(HOST.to_owned(), host.unwrap_or_default())],
            waivers,
        })
    }

    /// Those of a data directory for what belongs to a team.
    ///
    /// # Errors
    /// As [`Rules::of`].
    pub fn of_team(data_dir: &Path, team: Option<&Team>) -> Result<Self, Problem> {
        let mut rules = Self::of(data_dir, None)?;
        if let Some(team) = team {
            for (level, file) in narrower_files(data_dir, team) {
                if let Some(policy) = read_if_there(&file, Policy::parse_narrower)? {
                    rules.levels.push((level, policy));
                }
            }
        }
        Ok(rules)
    }

    /// The verdict on a report, with `more` waivers besides the host's.
    #[must_use]
    pub fn decide(&self, report: &Report, more: &[Waiver]) -> Decision {
        let waivers: Vec<(&str, &Waiver)> = self
            .waivers
            .iter()
            .chain(more)
            .map(|waiver| (HOST, waiver))
            .collect();
        decide(
            report,
            &Scene {
                now: clock::now_s(),
                policies: &self.layers(),
                waivers: &waivers,
            },
        )
    }

    /// What the gate lets through; `usual` where the host's policy does not say.
    #[must_use]
    pub fn gate(&self, usual: Gate) -> Gate {
        Layers::of(&self.layers()).gate(usual)
    }

    /// Whether any policy says what the gate lets through.
    #[must_use]
    pub fn name_a_gate(&self) -> bool {
        self.layers().iter().any(|(_, policy)| policy.gate.is_some())
    }

    /// Install scripts that may run.
    #[must_use]
    pub fn scripts(&self) -> Vec<Script> {
        let levels = self.layers();
        let permitting = Layers::of(&levels).permitting();
        permitting
            .flat_map(|(_, policy)| policy.scripts.iter().cloned())
            .collect()
    }

    /// The host's own policy.
    #[must_use]
    pub fn host(&self) -> &Policy {
        &self.levels[0].1
    }

    /// What the layers come to, with where each value comes from.
    #[must_use]
    pub fn effective(&self, usual: Gate) -> Effective {
        Layers::of(&self.layers()).effective(usual)
    }

    /// All waivers, also those that have ended.
    #[must_use]
    pub fn waivers(&self) -> &[Waiver] {
        &self.waivers
    }

    fn layers(&self) -> Vec<(&str, &Policy)> {
        let levels = self.levels.iter();
        levels.map(|(level, policy)| (level.as_str(), policy)).collect()
    }
}

/// A policy from a file.
///
/// # Errors
/// When it cannot be read, or has mistakes.
pub fn read_policy(file: &Path) -> Result<Policy, Problem> {
    read_if_there(file, Policy::parse)?.ok_or_else(|| {
        Problem::io(
            format!("cannot read {}", file.display()),
            io::ErrorKind::NotFound.into(),
        )
    })
}

/// Every policy of a data directory, by the name of its layer, with its file.
///
/// # Errors
/// With all mistakes of all files, each with its line: also with what a narrower policy says and may not.
pub fn check_all(data_dir: &Path) -> Result<Vec<(String, PathBuf)>, Problem> {
    let mut wrong = Vec::new();
    let mut good = Vec::new();
    let own = host_file(data_dir);
    let host = read_if_there(&own, Policy::parse).unwrap_or_else(|problem| {
        wrong.push(problem.to_string());
        None
    });
    if own.exists() {
        good.push((HOST.to_owned(), own));
    }
    let host = host.unwrap_or_default();
    for (level, file) in narrower(data_dir)? {
        match check_narrower(data_dir, &host, &level, &file) {
            Ok(()) => good.push((level, file)),
            Err(problem) => wrong.push(problem.to_string()),
        }
    }
    if wrong.is_empty() {
        return Ok(good);
    }
    Err(Problem::new(Code::Usage, wrong.join("\n")))
}

fn check_narrower(data_dir: &Path, host: &Policy, level: &str, file: &Path) -> Result<(), Problem> {
    let Some(policy) = read_if_there(file, Policy::parse_narrower)? else {
        return Ok(());
    };
    let organization = match level.parse::<Team>() {
        Ok(team) => {
            let above = organization_file(data_dir, team.organization());
            let above = read_if_there(&above, Policy::parse_narrower).ok().flatten();
            above.map(|above| (team.organization().to_owned(), above))
        }
        Err(_) => None,
    };
    let mut levels = vec![(HOST, host)];
    if let Some((name, above)) = &organization {
        levels.push((name, above));
    }
    levels.push((level, &policy));
    let lax = Layers::of(&levels).too_lax(level);
    if lax.is_empty() {
        return Ok(());
    }
    let says = format!(
        "does not hold: only stricter does, unless the host's policy names `{level}` under `delegate`"
    );
    let text = fs::read_to_string(file).unwrap_or_default();
    let keys = lax.into_iter().map(|key| (key, says.clone()));
    let mistakes = Mistakes::of(&file.display().to_string(), &text, keys);
    Err(Problem::new(Code::Usage, mistakes.to_string()))
}

/// Every policy that there is, by the name of its layer: its file, whatever is in it.
///
/// # Errors
/// When a folder cannot be read, or a file in it has no name of a policy.
pub fn policies(data_dir: &Path) -> Result<Vec<(String, PathBuf)>, Problem> {
    let own = host_file(data_dir);
    let mut all = Vec::new();
    if own.exists() {
        all.push((HOST.to_owned(), own));
    }
    all.extend(narrower(data_dir)?);
    Ok(all)
}

/// Names everything that verdicts for a team are made by: another text for another content of any of the files.
#[must_use]
pub fn stamp(data_dir: &Path, team: Option<&Team>) -> String {
    let mut hasher = Sha256::new();
    let mut add = |file: &Path| {
        // One that cannot be read is told where it is used.
        let text = fs::read(file).unwrap_or_default();
        hasher.update((text.len() as u64).to_be_bytes());
        hasher.update(text);
    };
    add(&host_file(data_dir));
    for (_, file) in team.into_iter().flat_map(|team| narrower_files(data_dir, team)) {
        add(&file);
    }
    add(Waivers::of(data_dir).file());
    hexadecimal(&hasher.finalize())
}

fn host_file(data_dir: &Path) -> PathBuf {
    data_dir.join("vetting/policy.toml")
}

fn organizations(data_dir: &Path) -> PathBuf {
    data_dir.join("vetting/organizations")
}

fn organization_file(data_dir: &Path, name: &str) -> PathBuf {
    organizations(data_dir).join(format!("{name}.toml"))
}

/// The layers of a team below the host's, with their files.
fn narrower_files(data_dir: &Path, team: &Team) -> [(String, PathBuf); 2] {
    let organization = team.organization();
    let of_team = organizations(data_dir)
        .join(organization)
        .join(format!("{}.toml", team.name()));
    [
        (organization.to_owned(), organization_file(data_dir, organization)),
        (team.to_string(), of_team),
    ]
}

/// Every layer below the host's that has a file, organizations before their teams.
fn narrower(data_dir: &Path) -> Result<Vec<(String, PathBuf)>, Problem> {
    let mut all = Vec::new();
    for (name, file) in named_files(&organizations(data_dir))? {
        all.push((name, file));
    }
    let folders = entries(&organizations(data_dir))?.into_iter();
    for folder in folders.filter(|path| path.is_dir()) {
        let organization = file_name(&folder);
        for (team, file) in named_files(&folder)? {
            all.push((format!("{organization}/{team}"), file));
        }
    }
    all.sort();
    Ok(all)
}

/// Files of a folder whose name is a name with `.toml`.
///
/// # Errors
/// When one is called otherwise: nobody would ever read it.
fn named_files(folder: &Path) -> Result<Vec<(String, PathBuf)>, Problem> {
    let files = entries(folder)?.into_iter().filter(|path| !path.is_dir());
    files
        .map(|file| {
            let name = file_name(&file);
            let name = name.strip_suffix(".toml").filter(|name| team::is_name(name));
            name.map(|name| (name.to_owned(), file.clone())).ok_or_else(|| {
                Problem::new(
                    Code::Usage,
                    format!("{} is no policy of an organization or a team", file.display()),
                )
                .hint("call it NAME.toml, with a name of a-z, 0-9 and -; or move it away")
            })
        })
        .collect()
}

fn file_name(path: &Path) -> String {
    path.file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned()
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>, Problem> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(Problem::io(format!("cannot read {}", folder.display()), error)),
    };
    Ok(entries.flatten().map(|entry| entry.path()).collect())
}

/// A policy, where there is such a file.
fn read_if_there(
    file: &Path,
    parse: impl Fn(&str, &str) -> Result<Policy, Mistakes>,
) -> Result<Option<Policy>, Problem> {
    let text = match fs::read_to_string(file) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Problem::io(format!("cannot read {}", file.display()), error)),
    };
    parse(&file.display().to_string(), &text)
        .map(Some)
        .map_err(|mistakes| Problem::new(Code::Usage, mistakes.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(files: &[(&str, &str)]) -> tempfile::TempDir {
        let place = tempfile::tempdir().expect("a folder");
        for (name, text) in files {
            let file = place.path().join("vetting").join(name);
            fs::create_dir_all(file.parent().expect("a folder")).expect("a folder");
            fs::write(file, format!("version = 1\n{text}")).expect("a file");
        }
        place
    }

    #[test]
    fn a_team_has_the_policies_of_its_organization_and_its_own() {
        let place = place(&[
            ("policy.toml", "gate = \"warn\""),
            ("organizations/acme.toml", "[age]\nmin_days = 14"),
            ("organizations/acme/line-3.toml", "gate = \"enforce\""),
        ]);
        let mode = |team: Option<&str>| {
            let team = team.map(|team| team.parse::<Team>().expect("a team"));
            let rules = Rules::of_team(place.path(), team.as_ref()).expect("rules");
            (rules.gate(Gate::Off), rules.levels.len())
        };
        assert_eq!(mode(None), (Gate::Warn, 1));
        assert_eq!(mode(Some("acme/line-4")), (Gate::Warn, 2));
        assert_eq!(mode(Some("acme/line-3")), (Gate::Enforce, 3));
        let levels = check_all(place.path()).expect("all are good");
        let names: Vec<_> = levels.iter().map(|(level, _)| level.as_str()).collect();
        assert_eq!(names, ["host", "acme", "acme/line-3"]);

        let team = "acme/line-3".parse().expect("a team");
        let before = stamp(place.path(), Some(&team));
        let other = stamp(place.path(), None);
        fs::write(
            place.path().join("vetting/organizations/acme/line-3.toml"),
            "version = 1",
        )
        .expect("a file");
        assert_ne!(stamp(place.path(), Some(&team)), before);
        assert_eq!(stamp(place.path(), None), other);
    }

    #[test]
    fn a_check_names_every_file_with_its_lines() {
        let place = place(&[
            ("policy.toml", "[age]\nmin_days = 5\nmax = 1"),
            ("organizations/acme.toml", "\n[age]\nmin_days = 2"),
            ("organizations/acme/line-3.toml", "default = \"trusted\""),
        ]);
        let problem = check_all(place.path()).expect_err("mistakes").to_string();
        for part in [
            "policy.toml cannot be used",
            "unknown field `max`",
            "acme.toml cannot be used\n  line 4: age.min_days: does not hold",
            "line-3.toml cannot be used\n  line 2: default: an open question",
        ] {
            assert!(problem.contains(part), "{part} in {problem}");
        }
        fs::write(place.path().join("vetting/organizations/Acme.toml"), "").expect("a file");
        let problem = check_all(place.path()).expect_err("a name").to_string();
        assert!(problem.contains("Acme.toml is no policy"), "{problem}");
    }
}
