//! How vetting stands on a host, for whoever asks what is missing.

use std::path::Path;
use std::time::{Duration, SystemTime};

use node_vetting::policy::{self, Day, Waiver};
use serde::Serialize;

use super::NpmGate;
use crate::clock;
use crate::problem::Problem;
use crate::vetting::{Rules, check_all, feed, has_engine};

/// A feed of known flaws that is older says little.
const OLD: Duration = Duration::from_secs(7 * 24 * 3600);

/// Days before the end of a waiver from which on it is named.
const SOON: i64 = 14;

/// One line of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Condition {
    /// What it is about.
    pub name: &'static str,
    /// Whether all is well.
    pub well: bool,
    /// How it stands.
    pub detail: String,
    /// The command, or the words, that mend it.
    pub mend: Option<String>,
}

/// How vetting stands in a data directory. Reads files, and takes a moment.
#[must_use]
pub fn conditions(data_dir: &Path) -> Vec<Condition> {
    let rules = Rules::of(data_dir, None);
    let waivers = rules
        .as_ref()
        .map_or_else(|_| Vec::new(), |rules| rules.waivers().to_vec());
    let (reports, packages) = NpmGate::of(data_dir, policy::Gate::Enforce).kept();
    vec![
        gate(rules.as_ref().ok()),
        policies(data_dir, rules.as_ref().err()),
        engine(data_dir),
        flaws(feed(data_dir).map(|(_, changed)| changed), SystemTime::now()),
        Condition {
            name: "reports",
            well: true,
            detail: match reports {
                0 => "none are kept yet: an installation, or `redhold vet`, makes the first".to_owned(),
                _ => format!("{reports} are kept, on {packages} packages"),
            },
            mend: None,
        },
        ending(&waivers, Day::of(clock::now_s())),
    ]
}

fn gate(rules: Option<&Rules>) -> Condition {
    let said = rules.and_then(|rules| rules.host().gate);
    let (well, detail) = match said {
        Some(policy::Gate::Off) => (
            false,
            "off: packages are installed without being vetted".to_owned(),
        ),
        Some(policy::Gate::Warn) => (
            true,
            "warn: what needs a review is installed too, and told".to_owned(),
        ),
        Some(policy::Gate::Enforce) => (true, "enforce: what is trusted is installed".to_owned()),
        None => (
            true,
            "enforce for `redhold serve`, off for `redhold dev`: no policy says otherwise".to_owned(),
        ),
    };
    Condition {
        name: "gate",
        well,
        detail,
        mend: (!well).then(|| "write gate = \"enforce\" or \"warn\" into vetting/policy.toml".to_owned()),
    }
}

fn policies(data_dir: &Path, wrong: Option<&Problem>) -> Condition {
    let checked = check_all(data_dir);
    let problem = wrong
        .map(ToString::to_string)
        .or_else(|| checked.as_ref().err().map(ToString::to_string));
    let levels = checked.unwrap_or_default();
    Condition {
        name: "policies",
        well: problem.is_none(),
        mend: problem.is_some().then(|| "redhold policy check".to_owned()),
        detail: problem.unwrap_or_else(|| match levels.as_slice() {
            [] => "the built-in one".to_owned(),
            all => all
                .iter()
                .map(|(level, _)| level.as_str())
                .collect::<Vec<_>>()
                .join(", "),
        }),
    }
}

fn engine(data_dir: &Path) -> Condition {
    let (well, detail) = match has_engine(data_dir) {
        Ok(true) => (true, "it is here".to_owned()),
        Ok(false) => (
            true,
            "it is fetched from the registry when it is first needed, once".to_owned(),
        ),
        Err(problem) => (false, problem.to_string()),
    };
    Condition {
        name: "engine",
        well,
        detail,
        mend: None,
    }
}

/// Who is asked for known flaws, as far as this machine can say.
fn flaws(feed: Option<SystemTime>, now: SystemTime) -> Condition {
    let asked = "once a day of the registry, where it offers that";
    let (well, detail) = match feed {
        None => (
            true,
            format!("asked {asked}; there is no feed on the disk for where it does not"),
        ),
        Some(changed) => {
            let age = now.duration_since(changed).unwrap_or_default();
            let old = match age.as_secs() / (24 * 3600) {
                0 => "from today".to_owned(),
                1 => "a day old".to_owned(),
                days => format!("{days} days old"),
            };
            (
                age < OLD,
                format!("asked {asked}, else of the feed on the disk, which is {old}"),
            )
        }
    };
    Condition {
        name: "known flaws",
        well,
        detail,
        mend: (!well).then(|| {
            "replace vetting/advisories.zip by a newer one (osv.dev gives it as npm/all.zip)".to_owned()
        }),
    }
}

fn ending(waivers: &[Waiver], today: Day) -> Condition {
    let left = |waiver: &Waiver| today.days_until(waiver.until);
    let named = |waivers: Vec<&Waiver>| {
        let all = waivers
            .iter()
            .map(|waiver| format!("{}@{} on {}", waiver.package, waiver.version, waiver.until));
        all.collect::<Vec<_>>().join(", ")
    };
    let over: Vec<_> = waivers.iter().filter(|waiver| waiver.until < today).collect();
    let soon: Vec<_> = waivers
        .iter()
        .filter(|waiver| (0..=SOON).contains(&left(waiver)))
        .collect();
    let mut detail = match waivers.len() - over.len() {
        0 => "none counts".to_owned(),
        1 => "one counts".to_owned(),
        count => format!("{count} count"),
    };
    let well = soon.is_empty();
    if !well {
        detail.push_str(&format!("; about to end: {}", named(soon)));
    }
    if !over.is_empty() {
        detail.push_str(&format!("; over: {}", over.len()));
    }
    Condition {
        name: "waivers",
        well,
        detail,
        mend: (!well)
            .then(|| "look at the package again, and `redhold waiver add` with a later day".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_about_to_end_and_what_is_old_is_named() {
        let place = tempfile::tempdir().expect("a folder");
        let all = conditions(place.path());
        assert!(all.iter().all(|one| one.well && one.mend.is_none()), "{all:?}");

        let day = 86_400;
        let waiver = |number: u64, days: i64| Waiver {
            package: "pump".parse().expect("a name"),
            version: (1, 0, number).into(),
            integrity: None,
            rules: vec!["grant".to_owned()],
            who: "kim".to_owned(),
            why: "read it".to_owned(),
            until: Day::of((20_000 + days) * day),
        };
        let all = [waiver(0, -1), waiver(1, 14), waiver(2, 15)];
        let ends = ending(&all, Day::of(20_000 * day));
        assert_eq!(
            ends.detail,
            "2 count; about to end: pump@1.0.1 on 2024-10-18; over: 1"
        );
        assert!(!ends.well && ends.mend.is_some());
        assert!(ending(&all[2..], Day::of(20_000 * day)).well);

        let now = SystemTime::UNIX_EPOCH + 100 * OLD;
        let old = flaws(Some(now - OLD), now);
        assert!(!old.well && old.detail.contains("7 days old"), "{old:?}");
        assert!(flaws(Some(now + OLD), now).well, "a clock that was set back");
    }
}
