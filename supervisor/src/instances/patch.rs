//! Pure: changes to settings as JSON merge patches (RFC 7396), secrets sealed on the way in and left out on the way
//! out.
//!
//! A secret is `{"hidden": true, "value": "..."}` when it comes, `{"hidden": true, "sealed": "..."}` at rest, and
//! `{"hidden": true}` when it is shown. What was shown can be sent back: it changes nothing.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::secret::HostKey;

/// A JSON document as anybody may see it.
pub(super) fn shown(value: &impl Serialize) -> Value {
    // Settings are plain data with text keys.
    let mut value = serde_json::to_value(value).unwrap_or_default();
    hide(&mut value);
    value
}

fn hide(value: &mut Value) {
    match value {
        Value::Object(map) if is_hidden(map) => drop(map.remove("sealed")),
        Value::Object(map) => map.values_mut().for_each(hide),
        Value::Array(list) => list.iter_mut().for_each(hide),
        _ => {}
    }
}

fn is_hidden(map: &Map<String, Value>) -> bool {
    map.get("hidden") == Some(&Value::Bool(true))
}

/// `current` with the changes of `patch`, secrets sealed for `purpose`.
///
/// # Errors
/// In words: what does not fit, and where.
pub(super) fn apply<T: Serialize + DeserializeOwned>(
    current: &T,
    mut patch: Value,
    key: &HostKey,
    purpose: &str,
) -> Result<T, String> {
    if !patch.is_object() {
        return Err("changes are a JSON object".to_owned());
    }
    seal(&mut patch, key, purpose)?;
    let mut value = serde_json::to_value(current).map_err(|error| error.to_string())?;
    merge(&mut value, patch);
    serde_json::from_value(value).map_err(|error| error.to_string())
}

/// Seals what comes in clear, and drops what says nothing new.
fn seal(value: &mut Value, key: &HostKey, purpose: &str) -> Result<(), String> {
    let Value::Object(map) = value else {
        return Ok(());
    };
    if is_hidden(map) && map.contains_key("sealed") {
        return Err("a sealed value cannot be given; give it in clear as `value`".to_owned());
    }
    map.retain(|_, value| {
        let shown = |map: &Map<String, Value>| is_hidden(map) && map.len() == 1;
        !value.as_object().is_some_and(shown)
    });
    for value in map.values_mut() {
        let clear = value
            .as_object()
            .filter(|map| is_hidden(map))
            .and_then(|map| map.get("value")?.as_str());
        match clear {
            Some(text) => {
                let sealed = key.seal(purpose, text);
                *value = serde_json::json!({ "hidden": true, "sealed": sealed });
            }
            None => seal(value, key, purpose)?,
        }
    }
    Ok(())
}

fn merge(target: &mut Value, patch: Value) {
    let Value::Object(patch) = patch else {
        *target = patch;
        return;
    };
    // A secret is one value, not a document: it replaces what was there.
    if is_hidden(&patch) || !target.is_object() {
        *target = Value::Object(Map::new());
    }
    let Value::Object(map) = target else { return };
    for (name, value) in patch {
        if value.is_null() {
            map.remove(&name);
        } else {
            merge(map.entry(name).or_insert(Value::Null), value);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::model::{Settings, Variable};
    use super::*;

    fn key() -> HostKey {
        let folder = tempfile::tempdir().expect("a folder");
        HostKey::open(&folder.path().join("key")).expect("a key")
    }

    #[test]
    fn a_secret_goes_in_and_does_not_come_out() {
        let key = key();
        let patch = json!({ "env": {
            "PLAIN": "1",
            "SECRET": { "hidden": true, "value": "hunter2" },
        }});
        let settings = apply(&Settings::default(), patch, &key, "i").expect("fits");
        let Some(Variable::Hidden(hidden)) = settings.env.get("SECRET") else {
            panic!("{settings:?}");
        };
        assert_eq!(
            key.open_sealed("i", &hidden.sealed).expect("opens").reveal(),
            "hunter2"
        );
        let out = shown(&settings);
        assert_eq!(out["env"], json!({ "PLAIN": "1", "SECRET": { "hidden": true } }));
        assert!(!format!("{settings:?}").contains("hunter2"));

        // What was shown can be sent back.
        let same = apply(&settings, out, &key, "i").expect("fits");
        assert_eq!(same, settings);
        let other = json!({ "env": { "SECRET": { "hidden": true, "value": "other" }, "PLAIN": null } });
        let changed = apply(&settings, other, &key, "i").expect("fits");
        assert_eq!(changed.env.len(), 1);
        assert_ne!(changed.env.get("SECRET"), settings.env.get("SECRET"));
        let open = json!({ "env": { "SECRET": "open" } });
        let opened = apply(&settings, open, &key, "i").expect("fits");
        assert_eq!(
            opened.env.get("SECRET"),
            Some(&Variable::Plain("open".to_owned()))
        );
        let forged = json!({ "env": { "SECRET": { "hidden": true, "sealed": hidden.sealed } } });
        assert!(apply(&settings, forged, &key, "i").is_err());
        for unmarked in [
            json!({ "hidden": false }),
            json!({ "hidden": false, "sealed": hidden.sealed }),
        ] {
            let shown = json!({ "env": { "SECRET": unmarked } });
            assert!(apply(&settings, shown, &key, "i").is_err());
        }
    }

    #[test]
    fn what_does_not_fit_is_named() {
        for (patch, part) in [
            (json!({ "limits": { "memoryMib": "much" } }), "much"),
            (json!({ "limits": { "memory": 1 } }), "memory"),
            (json!([1]), "object"),
            (json!({ "env": { "A": 1 } }), "variant"),
        ] {
            let error = apply(&Settings::default(), patch, &key(), "i").expect_err(part);
            assert!(error.contains(part), "{error}");
        }
        let reset = apply(
            &Settings::default(),
            json!({ "limits": { "memoryMib": null } }),
            &key(),
            "i",
        );
        assert_eq!(
            reset.expect("fits").limits.memory_mib,
            512,
            "absent is the default"
        );
    }
}
