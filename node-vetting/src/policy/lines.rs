//! Where a key stands in a text of TOML, for whoever has to mend it.

use toml::de::{DeTable, DeValue};

/// The line, from 1, on which the value of a key such as `grants[2].allow` or `rules."editor.token"` begins, or that of the
/// nearest part of it that is there.
pub(super) fn line(text: &str, key: &str) -> Option<usize> {
    let document = DeTable::parse(text).ok()?;
    let mut parts = parts(key).into_iter();
    let mut found = document.get_ref().get(parts.next()?.as_str())?;
    for part in parts {
        let next = match found.get_ref() {
            DeValue::Table(table) => table.get(part.as_str()),
            DeValue::Array(list) => part.parse::<usize>().ok().and_then(|at| list.get(at)),
            _ => None,
        };
        let Some(next) = next else { break };
        found = next;
    }
    let before = text.get(..found.span().start)?;
    Some(before.matches('\n').count() + 1)
}

/// The steps of a key; quotes hold together what has dots in it.
fn parts(key: &str) -> Vec<String> {
    let mut all = vec![String::new()];
    let mut quoted = false;
    for c in key.chars() {
        match c {
            '"' => quoted = !quoted,
            '.' | '[' if !quoted => all.push(String::new()),
            ']' if !quoted => {}
            c => all.last_mut().expect("there is one").push(c),
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_found() {
        let text = "version = 1\n[age]\nmin_days = 3\n\n[[grants]]\nto = []\n[[grants]]\nto = [\"a\"]\n\
                    allow = [\n  \"net\",\n  \"env\",\n]\n[rules]\n\"editor.token\" = \"off\"\n";
        for (key, expected) in [
            ("version", Some(1)),
            ("age.min_days", Some(3)),
            ("age.exempt", Some(2)),
            ("grants[1].allow", Some(9)),
            ("grants[1].allow[1]", Some(11)),
            ("rules.\"editor.token\"", Some(14)),
            ("nothing", None),
            ("", None),
        ] {
            assert_eq!(line(text, key), expected, "{key}");
        }
        assert_eq!(line("not = [toml", "not"), None);
    }
}
