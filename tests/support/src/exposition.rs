//! Figures in the text format of Prometheus, read as strictly as its own tools read them: the grammar of the format
//! (version 0.0.4), and the rules for names that `promtool check metrics` holds against.

use std::collections::{BTreeMap, BTreeSet};

/// One value, by the name of its family and its labels.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// Name of the family.
    pub name: String,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Value.
    pub value: f64,
}

/// Units that have a base unit instead, and kinds that a name must not repeat.
const NOT_IN_NAMES: [&str; 18] = [
    "ms",
    "us",
    "ns",
    "milliseconds",
    "microseconds",
    "minutes",
    "hours",
    "kib",
    "mib",
    "kilobytes",
    "megabytes",
    "percent",
    "percentage",
    "gauge",
    "counter",
    "summary",
    "histogram",
    "metric",
];

/// Labels that a server sets by itself when it collects.
const TAKEN: [&str; 4] = ["instance", "job", "le", "quantile"];

/// All samples.
///
/// # Errors
/// In words: everything that is wrong.
pub fn read(text: &str) -> Result<Vec<Sample>, String> {
    let mut wrong = Vec::new();
    let mut samples = Vec::new();
    let mut families = BTreeSet::new();
    let mut family: Option<(String, &str)> = None;
    let mut helped: Option<String> = None;
    if !text.ends_with('\n') {
        wrong.push("the last line has no end".to_owned());
    }
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, help) = rest.split_once(' ').unwrap_or((rest, ""));
            if help.trim().is_empty() {
                wrong.push(format!("{name} has no help"));
            }
            helped = Some(name.to_owned());
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap_or((rest, ""));
            if helped.take().as_deref() != Some(name) {
                wrong.push(format!("{name} has no help before its type"));
            }
            if !families.insert(name.to_owned()) {
                wrong.push(format!("{name} comes twice"));
            }
            wrong.extend(name_of(name, kind));
            family = Some((name.to_owned(), kind));
        } else {
            match sample(line) {
                None => wrong.push(format!("not a sample: `{line}`")),
                Some(sample) => {
                    let known = family.as_ref().is_some_and(|(name, _)| *name == sample.name);
                    if !known {
                        wrong.push(format!("`{line}` is not below its own type"));
                    }
                    for label in sample
                        .labels
                        .keys()
                        .filter(|label| TAKEN.contains(&label.as_str()))
                    {
                        wrong.push(format!(
                            "{} has the label `{label}`, which servers set",
                            sample.name
                        ));
                    }
                    if matches!(family, Some((_, "counter"))) && (sample.value < 0.0 || sample.value.is_nan())
                    {
                        wrong.push(format!("`{line}`: a counter below zero"));
                    }
                    let same = |other: &Sample| other.name == sample.name && other.labels == sample.labels;
                    if samples.iter().any(same) {
                        wrong.push(format!("`{line}` comes twice"));
                    }
                    samples.push(sample);
                }
            }
        }
    }
    if wrong.is_empty() {
        Ok(samples)
    } else {
        Err(wrong.join("\n"))
    }
}

/// What is wrong with a family's name.
fn name_of(name: &str, kind: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    let letter = |c: char| c.is_ascii_lowercase() || c == '_';
    if !name.starts_with(letter) || !name.chars().all(|c| letter(c) || c.is_ascii_digit()) {
        wrong.push(format!("{name} is no name in small letters"));
    }
    match (kind, name.ends_with("_total")) {
        ("counter", true) | ("gauge", false) => {}
        ("counter", false) => wrong.push(format!("{name} is a counter without `_total`")),
        ("gauge", true) => wrong.push(format!("{name} is no counter, but has `_total`")),
        (kind, _) => wrong.push(format!("{name} is of the unknown kind `{kind}`")),
    }
    for word in name.split('_').filter(|word| NOT_IN_NAMES.contains(word)) {
        wrong.push(format!("{name} says `{word}`"));
    }
    wrong
}

/// `name{label="value",...} number`, without a time: nothing here has one.
fn sample(line: &str) -> Option<Sample> {
    let end = line.find(['{', ' '])?;
    let (name, mut rest) = line.split_at(end);
    let mut labels = BTreeMap::new();
    if let Some(inside) = rest.strip_prefix('{') {
        rest = inside;
        loop {
            let (label, after) = rest.split_once("=\"")?;
            let letter = |c: char| c.is_ascii_alphabetic() || c == '_';
            if !label.starts_with(letter) || !label.chars().all(|c| letter(c) || c.is_ascii_digit()) {
                return None;
            }
            let (value, after) = quoted(after)?;
            if labels.insert(label.to_owned(), value).is_some() {
                return None;
            }
            match after.strip_prefix(',') {
                Some(more) => rest = more,
                None => {
                    rest = after.strip_prefix('}')?;
                    break;
                }
            }
        }
    }
    let value = rest.strip_prefix(' ')?;
    let known = !value.contains(char::is_whitespace);
    Some(Sample {
        name: name.to_owned(),
        labels,
        value: value.parse().ok().filter(|_| known)?,
    })
}

/// A value up to its quotation mark, and what follows.
fn quoted(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Some((value, &text[at + 1..])),
            '\\' => value.push(match chars.next()?.1 {
                'n' => '\n',
                same @ ('\\' | '"') => same,
                _ => return None,
            }),
            c => value.push(c),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_servers_would_refuse_is_refused() {
        let good = "# HELP a_total A.\n# TYPE a_total counter\na_total{x=\"1\\\"\\\\\\n,}\",y=\"\"} 0.5\na_total 3\n";
        let samples = read(good).expect("right");
        assert_eq!(samples.len(), 2);
        assert_eq!(samples[0].labels["x"], "1\"\\\n,}");
        for (wrong, part) in [
            ("# HELP a A.\n# TYPE a counter\na 1\n", "without `_total`"),
            (
                "# HELP a_total A.\n# TYPE a_total gauge\na_total 1\n",
                "no counter",
            ),
            ("# TYPE a gauge\na 1\n", "no help"),
            ("# HELP a A.\n# TYPE a gauge\nb 1\n", "own type"),
            ("# HELP a A.\n# TYPE a gauge\na 1\na 2\n", "twice"),
            ("# HELP a A.\n# TYPE a gauge\na one\n", "not a sample"),
            ("# HELP a A.\n# TYPE a gauge\na{x=1} 1\n", "not a sample"),
            ("# HELP a A.\n# TYPE a gauge\na{x=\"1} 1\n", "not a sample"),
            ("# HELP a_ms A.\n# TYPE a_ms gauge\na_ms 1\n", "`ms`"),
            ("# HELP a A.\n# TYPE a gauge\na{job=\"x\"} 1\n", "`job`"),
            ("# HELP a A.\n# TYPE a gauge\na 1", "no end"),
        ] {
            let error = read(wrong).expect_err(part);
            assert!(error.contains(part), "{error}");
        }
    }
}
