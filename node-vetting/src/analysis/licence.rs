//! Licences: what a package says it may be used for.

use serde_json::Value;

use super::finding::About;

/// What the manifest says of the licence.
pub(crate) fn of(manifest: &Value) -> About {
    let said = match &manifest["license"] {
        Value::String(text) => Some(text.clone()),
        // Forms of old: an object, or a list of objects.
        Value::Object(object) => object.get("type").and_then(Value::as_str).map(str::to_owned),
        _ => None,
    };
    let said = said.or_else(|| {
        let list = manifest["licenses"].as_array()?;
        let names: Vec<&str> = list
            .iter()
            .filter_map(|one| one.as_str().or_else(|| one["type"].as_str()))
            .collect();
        (!names.is_empty()).then(|| names.join(" OR "))
    });
    let expression = said.unwrap_or_default();
    About::Licence {
        class: class(&expression).to_owned(),
        expression,
    }
}

fn class(expression: &str) -> &'static str {
    let upper = expression.trim().to_ascii_uppercase();
    match upper.as_str() {
        "" => return "missing",
        "UNLICENSED" => return "unlicensed",
        _ if upper.starts_with("SEE LICEN") => return "in-file",
        _ => {}
    }
    let Ok(parsed) = spdx::Expression::parse_mode(expression.trim(), spdx::ParseMode::LAX) else {
        return "unknown";
    };
    let copyleft =
        |requirement: &spdx::LicenseReq| requirement.license.id().is_some_and(spdx::LicenseId::is_copyleft);
    let free = |requirement: &spdx::LicenseReq| {
        requirement
            .license
            .id()
            .is_some_and(|id| id.is_osi_approved() || id.is_fsf_free_libre())
    };
    // Whoever may choose chooses the permissive one.
    if parsed.evaluate(|requirement| free(requirement) && !copyleft(requirement)) {
        return "permissive";
    }
    if parsed.evaluate(|requirement| copyleft(requirement) || free(requirement)) {
        return "copyleft";
    }
    "other"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn licences_have_classes() {
        for (expression, expected) in [
            ("MIT", "permissive"),
            ("(MIT OR GPL-3.0-only)", "permissive"),
            ("MIT AND GPL-3.0-or-later", "copyleft"),
            ("GPL-3.0", "copyleft"),
            ("BUSL-1.1", "other"),
            ("UNLICENSED", "unlicensed"),
            ("SEE LICENSE IN LICENSE.md", "in-file"),
            ("my own", "unknown"),
            ("", "missing"),
        ] {
            assert_eq!(class(expression), expected, "{expression}");
        }
    }

    #[test]
    fn old_forms_are_read() {
        for (manifest, expected) in [
            (serde_json::json!({ "license": { "type": "MIT" } }), "MIT"),
            (
                serde_json::json!({ "licenses": [{ "type": "MIT" }, "ISC"] }),
                "MIT OR ISC",
            ),
            (serde_json::json!({ "license": 7 }), ""),
        ] {
            let About::Licence { expression, .. } = of(&manifest) else {
                panic!("it is about a licence");
            };
            assert_eq!(expression, expected);
        }
    }
}
