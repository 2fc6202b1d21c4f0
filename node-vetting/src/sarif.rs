//! A decision in SARIF 2.1.0 (OASIS), which code hosts and editors show beside the code.

use serde_json::{Value, json};

use crate::policy::{Changed, Decision, Judged};
use crate::report::{Report, Verdict, rules};

/// The document for one package. Reasons that do not count are in it as suppressed results, with who waived them.
#[must_use]
pub fn sarif(report: &Report, decision: &Decision) -> Value {
    let rules: Vec<Value> = rules::RULES
        .iter()
        .map(|rule| {
            json!({
                "id": rule.id,
                "shortDescription": { "text": rule.finds },
                "help": { "text": rule.next },
                "defaultConfiguration": { "level": level(rule.severity) },
            })
        })
        .collect();
    let results: Vec<Value> = decision.reasons.iter().map(result).collect();
    json!({
        "$schema": "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": {
                "name": "redhold vet",
                "version": report.facts.tools.redhold,
                "rules": rules,
            }},
            "properties": {
                "package": report.facts.spec(),
                "integrity": report.facts.integrity.to_string(),
                "closure": report.facts.closure,
                "verdict": decision.verdict,
            },
            "results": results,
        }],
    })
}

const fn level(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Trusted => "note",
        Verdict::Review => "warning",
        Verdict::Refused => "error",
    }
}

fn result(judged: &Judged) -> Value {
    let reason = &judged.reason;
    let severity = match judged.counts_as {
        Verdict::Trusted => reason.severity,
        counts => counts,
    };
    let mut result = json!({
        "ruleId": reason.rule,
        "ruleIndex": rules::RULES.iter().position(|rule| rule.id == reason.rule),
        "level": level(severity),
        "message": { "text": format!("{}: {}", reason.package, reason.says) },
        "properties": { "package": reason.package, "run": reason.run, "fact": reason.fact },
    });
    if let Some(site) = &reason.site {
        result["locations"] = json!([{ "physicalLocation": {
            "artifactLocation": { "uri": site.file },
            // The format wants lines from 1; an unknown line is left out.
            "region": (site.line > 0).then(|| json!({ "startLine": site.line })),
        }}]);
        if site.line == 0
            && let Some(place) = result["locations"][0]["physicalLocation"].as_object_mut()
        {
            place.remove("region");
        }
    }
    if judged.counts_as == Verdict::Trusted {
        let why = match &judged.changed {
            Some(Changed::Waiver { who, why, until, .. }) => format!("{who}, until {until}: {why}"),
            Some(Changed::Policy { level }) => format!("switched off by the policy of {level}"),
            None => "the policy does not count it".to_owned(),
        };
        result["suppressions"] = json!([{ "kind": "external", "justification": why }]);
    }
    result
}
