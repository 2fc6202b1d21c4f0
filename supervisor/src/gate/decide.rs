//! Pure: from a report and a decision to what a person is told, in npm's output, in the editor and in events.

use std::fmt;

use node_vetting::policy::Decision;
use node_vetting::report::{Report, Verdict, rules};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Longest account of a reason, in characters. Parts of it are the package's own words.
const LONGEST: usize = 400;

/// What became of a package, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Judgement {
    /// `name@version`.
    pub package: String,
    /// What it is by this host's policy.
    pub verdict: Verdict,
    /// What decided, where it is not trusted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<Said>,
}

/// The reason that decided.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Said {
    /// The rule.
    pub rule: String,
    /// By which package of the closure.
    pub by: String,
    /// What was seen, in a sentence.
    pub says: String,
    /// File and line.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at: Option<String>,
    /// What to do about it.
    pub next: String,
}

impl Judgement {
    /// What a decision comes to.
    #[must_use]
    pub fn of(report: &Report, decision: &Decision) -> Self {
        let reason = decision.decided_by().map(|judged| {
            let reason = &judged.reason;
            let site = reason.site.as_ref();
            Said {
                rule: reason.rule.clone(),
                by: reason.package.clone(),
                says: harmless(&reason.says),
                at: site.map(|site| harmless(&format!("{}:{}", site.file, site.line))),
                next: rules::find(&reason.rule).map_or_else(String::new, |rule| rule.next.to_owned()),
            }
        });
        Self {
            package: report.facts.spec(),
            verdict: decision.verdict,
            reason,
        }
    }
}

/// One line: what npm prints and the editor shows of a package that does not pass.
impl fmt::Display for Judgement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let package = &self.package;
        match self.verdict {
            Verdict::Trusted => return write!(f, "redhold: {package} is trusted"),
            Verdict::Review => write!(
                f,
                "redhold: {package} needs a person's review before it is installed"
            )?,
            Verdict::Refused => write!(f, "redhold: {package} is refused")?,
        }
        if let Some(reason) = &self.reason {
            write!(f, " by rule {}: {}", reason.rule, reason.says)?;
            match &reason.at {
                Some(at) => write!(f, " ({at})")?,
                None if reason.by != *package => write!(f, " ({})", reason.by)?,
                None => {}
            }
        }
        write!(
            f,
            " See `redhold vet {package} --explain`; whoever runs this host can let it through with `redhold waiver add` \
             or the policy."
        )
    }
}

/// Without what could move a terminal's cursor or fill a page.
fn harmless(text: &str) -> String {
    let clean = text.chars().map(|c| if c.is_control() { ' ' } else { c });
    clean.take(LONGEST).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_names_the_rule_the_place_and_what_to_do() {
        let judgement = Judgement {
            package: "bad@1.0.0".to_owned(),
            verdict: Verdict::Refused,
            reason: Some(Said {
                rule: "code.remote".to_owned(),
                by: "bad@1.0.0".to_owned(),
                says: harmless("It runs\u{1b}[2J what it fetched."),
                at: Some("node_modules/bad/x.js:3".to_owned()),
                next: String::new(),
            }),
        };
        let text = judgement.to_string();
        for part in [
            "bad@1.0.0 is refused",
            "code.remote",
            "x.js:3",
            "redhold vet",
            "waiver",
        ] {
            assert!(text.contains(part), "{text}");
        }
        assert!(!text.contains(['\u{1b}', '\n']), "{text}");
    }
}
