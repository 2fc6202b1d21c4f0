//! The schema of what `redhold vet --json` prints, made from the types themselves.

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde_json::Value;

use crate::policy::Decision;
use crate::report::Report;

/// One package of the list.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "only its shape counts")]
struct Judged {
    /// What is known of it.
    report: Report,
    /// What that means here.
    decision: Decision,
}

/// JSON Schema, draft 2020-12.
#[must_use]
pub fn schema() -> Value {
    let generator = SchemaSettings::draft2020_12().into_generator();
    let mut schema = generator.into_root_schema_for::<Vec<Judged>>();
    schema.insert("title".to_owned(), "What redhold vet says of packages".into());
    schema.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capability::Kind;

    #[test]
    fn every_word_of_a_report_is_in_it() {
        let schema = schema();
        let kinds = schema["$defs"]["Kind"].to_string();
        for kind in Kind::ALL {
            assert!(kinds.contains(&format!("\"{}\"", kind.name())), "{}", kind.name());
        }
        let report = &schema["$defs"]["Report"]["properties"];
        for name in ["format", "package", "integrity", "closure", "uses", "reasons"] {
            assert!(report[name].is_object(), "{name}");
        }
    }
}
