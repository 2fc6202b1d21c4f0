//! A report as a person reads it in half a minute: what it is, what it does, what stands in the way, what to do.

use std::collections::BTreeMap;

use node_vetting::capability::Kind;
use node_vetting::policy::{Changed, Day, Decision, Judged};
use node_vetting::report::{Facts, Flaws, Report, Use, Verdict, rules};

use crate::cli::output::{Output, Style, harmless};

/// Scopes of one kind that are named before the rest is counted.
const NAMED: usize = 4;
/// Rules that are shown before the rest is counted, and reasons of each.
const GROUPS: usize = 6;
const ITEMS: usize = 3;
/// From how many virtual milliseconds on it says something when a thing happened.
const LONG: u64 = 3_600_000;

/// Prints a report with the decision about it. With `explain`, also what does not count and what is only said.
pub(super) fn report(report: &Report, decision: &Decision, explain: bool, output: &Output) {
    let facts = &report.facts;
    let verdict = verdict(decision.verdict);
    output.line(&format!(
        "{}  {}",
        output.paint(Style::Bold, &facts.spec()),
        output.paint(verdict.1, verdict.0)
    ));
    output.line(&harmless(&about(facts)));
    output.line("");
    for (title, does) in deeds(&facts.uses) {
        output.line(&format!("  {title:<11}{}", harmless(&does)));
    }
    let (counting, quiet): (Vec<&Judged>, Vec<&Judged>) = decision
        .reasons
        .iter()
        .partition(|judged| judged.counts_as > Verdict::Trusted);
    if !counting.is_empty() {
        output.line("");
        output.line(&match decision.verdict {
            Verdict::Refused => output.paint(Style::Red, "Why it is refused"),
            _ => output.paint(Style::Yellow, "What a person should look at"),
        });
        groups(&counting, explain, output);
    }
    if explain && !quiet.is_empty() {
        output.line("");
        output.line(&output.paint(Style::Bold, "What does not count"));
        groups(&quiet, explain, output);
    }
    output.line("");
    output.line(&output.paint(Style::Dim, &looked_at(facts)));
}

pub(super) const fn verdict(verdict: Verdict) -> (&'static str, Style) {
    match verdict {
        Verdict::Trusted => ("trusted", Style::Green),
        Verdict::Review => ("review", Style::Yellow),
        Verdict::Refused => ("refused", Style::Red),
    }
}

fn about(facts: &Facts) -> String {
    let mut parts = vec![facts.description.clone(), facts.licence.clone()];
    parts.extend(facts.published.map(|seconds| Day::of(seconds).to_string()));
    parts.push(match facts.packages.len() {
        1 => "no dependencies".to_owned(),
        count => format!("{count} packages"),
    });
    parts.push(match facts.node_types.as_slice() {
        [] => "no nodes".to_owned(),
        types => format!("nodes {}", shortened(types.iter().map(String::as_str))),
    });
    parts.retain(|part| !part.is_empty());
    parts.join(" \u{b7} ")
}

/// What it does to the world, in words of the world.
fn deeds(uses: &[Use]) -> Vec<(&'static str, String)> {
    let mut by_title: BTreeMap<usize, Vec<&str>> = BTreeMap::new();
    const TITLES: [(&str, &[Kind]); 9] = [
        (
            "network",
            &[Kind::NetConnect, Kind::NetUdp, Kind::NetUnix, Kind::NetMulticast],
        ),
        ("listens", &[Kind::NetListen]),
        ("reads", &[Kind::FsRead]),
        ("writes", &[Kind::FsWrite, Kind::FsDelete]),
        ("runs", &[Kind::ProcSpawn]),
        ("native", &[Kind::CodeNative]),
        ("variables", &[Kind::EnvRead]),
        ("routes", &[Kind::RedAdminRoute, Kind::RedHttpRoute]),
        ("editor", &[Kind::EdNetwork, Kind::EdExternalScript]),
    ];
    for one in uses.iter().filter(|one| one.seen) {
        let title = TITLES
            .iter()
            .position(|(_, kinds)| kinds.contains(&one.capability.kind));
        if let Some(title) = title {
            let scopes = by_title.entry(title).or_default();
            if !scopes.contains(&one.capability.scope.as_str()) {
                scopes.push(&one.capability.scope);
            }
        }
    }
    if by_title.is_empty() {
        return vec![("does", "nothing to the world that was seen".to_owned())];
    }
    by_title
        .into_iter()
        .map(|(title, scopes)| (TITLES[title].0, shortened(scopes)))
        .collect()
}

fn shortened<'a>(words: impl IntoIterator<Item = &'a str>) -> String {
    let words: Vec<&str> = words.into_iter().filter(|word| !word.is_empty()).collect();
    match words.len() {
        0 => "yes".to_owned(),
        count if count > NAMED => format!("{} and {} more", words[..NAMED].join(", "), count - NAMED),
        _ => words.join(", "),
    }
}

/// Reasons by rule, in the order in which rules first come up: what a rule is about is said once.
fn groups(reasons: &[&Judged], explain: bool, output: &Output) {
    let mut groups: Vec<Vec<&Judged>> = Vec::new();
    for &judged in reasons {
        let alike = |group: &&mut Vec<&Judged>| {
            group[0].reason.rule == judged.reason.rule && group[0].counts_as == judged.counts_as
        };
        match groups.iter_mut().find(alike) {
            Some(group) => group.push(judged),
            None => groups.push(vec![judged]),
        }
    }
    let most = |most, all| if explain { all } else { usize::min(most, all) };
    let shown = most(GROUPS, groups.len());
    for group in &groups[..shown] {
        let first = group[0];
        let next = match (&first.changed, rules::find(&first.reason.rule)) {
            (None, Some(rule)) => rule.next,
            _ => "",
        };
        let style = verdict(first.counts_as).1;
        output.line(&format!(
            "  {}  {}",
            output.paint(style, &first.reason.rule),
            output.paint(Style::Cyan, next)
        ));
        let items = most(ITEMS, group.len());
        group[..items].iter().for_each(|judged| reason(judged, output));
        if items < group.len() {
            output.line(&format!("    and {} more like it", group.len() - items));
        }
    }
    if shown < groups.len() {
        output.line(&format!(
            "  and {} more rules: --explain shows everything",
            groups.len() - shown
        ));
    }
}

fn reason(judged: &Judged, output: &Output) {
    let reason = &judged.reason;
    output.line(&format!("    {}", harmless(&reason.says)));
    let mut place = reason.site.as_ref().map_or_else(
        || reason.package.clone(),
        |site| match site.line {
            0 => site.file.clone(),
            line => format!("{}:{line}", site.file),
        },
    );
    // What happens under the usual conditions at once needs no telling when.
    if let Some(run) = &reason.run
        && (run != "base" || reason.at >= Some(LONG))
    {
        place = format!("{place}, in run {run} after {}", lasted(reason.at.unwrap_or(0)));
    }
    output.line(&output.paint(Style::Dim, &format!("      {}", harmless(&place))));
    match &judged.changed {
        Some(Changed::Waiver { who, why, until, .. }) => {
            output.line(&format!(
                "      waived by {} until {until}: {}",
                harmless(who),
                harmless(why)
            ));
        }
        Some(Changed::Policy { level }) => output.line(&format!("      changed by the policy of {level}")),
        None => {}
    }
}

/// Virtual milliseconds in the largest unit that says something.
fn lasted(millis: u64) -> String {
    match millis {
        0..1000 => format!("{millis} ms"),
        1000..60_000 => format!("{} s", millis / 1000),
        60_000..3_600_000 => format!("{} min", millis / 60_000),
        3_600_000..86_400_000 => format!("{} h", millis / 3_600_000),
        _ => format!("{} days", millis / 86_400_000),
    }
}

fn looked_at(facts: &Facts) -> String {
    let ran = facts.coverage.map_or_else(String::new, |percent| {
        format!(", {percent} % of its functions ran")
    });
    let asked = match facts.tools.flaws {
        Flaws::Registry | Flaws::Feed => "",
        Flaws::Nobody => "; known vulnerabilities were not looked up",
    };
    let short = facts.closure.get(..16).unwrap_or(&facts.closure);
    format!(
        "looked at in {} runs{ran}{asked}; closure {short}",
        facts.runs.len()
    )
}
