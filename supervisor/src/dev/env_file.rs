//! Pure: `--env-file`. One `NAME=value` per line; empty lines and lines that begin with `#` are skipped; `export `
//! before the name is allowed. A value may stand in single quotes (taken as it is) or double quotes (`\n`, `\t`,
//! `\"`, `\\` are understood); without quotes it ends with the line. Nothing is expanded, nothing runs.
//!
//! Messages name file, line and variable, never a value: it may be a secret.

use std::path::Path;

use crate::problem::{Code, Problem};

/// The variables of a file's text, in their order; a later line wins.
pub(super) fn parse(file: &Path, text: &str) -> Result<Vec<(String, String)>, Problem> {
    let mut all: Vec<(String, String)> = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let at = |what: &str| {
            let message = format!("{}, line {}: {what}", file.display(), number + 1);
            Problem::new(Code::Usage, message).hint("write one NAME=value per line")
        };
        let line = line.strip_prefix("export ").unwrap_or(line);
        let Some((name, value)) = line.split_once('=') else {
            return Err(at("there is no `=`"));
        };
        let name = name.trim();
        if !is_name(name) {
            return Err(at("the part before `=` is not a variable's name"));
        }
        let value = unquote(value.trim()).map_err(|what| at(&format!("the value of {name} {what}")))?;
        match all.iter_mut().find(|(known, _)| known == name) {
            Some(known) => known.1 = value,
            None => all.push((name.to_owned(), value)),
        }
    }
    Ok(all)
}

fn is_name(name: &str) -> bool {
    let mut bytes = name.bytes();
    bytes.next().is_some_and(|c| c.is_ascii_alphabetic() || c == b'_')
        && bytes.all(|c| c.is_ascii_alphanumeric() || c == b'_')
}

fn unquote(value: &str) -> Result<String, &'static str> {
    const OPEN: &str = "begins with a quote that does not end";
    const AFTER: &str = "goes on after its closing quote";
    match value.chars().next() {
        Some('\'') => match value[1..].split_once('\'') {
            Some((inner, "")) => Ok(inner.to_owned()),
            Some(_) => Err(AFTER),
            None => Err(OPEN),
        },
        Some('"') => {
            let mut out = String::new();
            let mut rest = value[1..].chars();
            loop {
                match rest.next() {
                    None => return Err(OPEN),
                    Some('"') => break,
                    Some('\\') => match rest.next() {
                        Some('n') => out.push('\n'),
                        Some('t') => out.push('\t'),
                        Some(c @ ('"' | '\\' | '$')) => out.push(c),
                        Some(c) => out.extend(['\\', c]),
                        None => return Err(OPEN),
                    },
                    Some(c) => out.push(c),
                }
            }
            if rest.next().is_none() {
                Ok(out)
            } else {
                Err(AFTER)
            }
        }
        _ => Ok(value.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_form_of_a_line() {
        let text = "# note\n\nA=1\nexport B = two words \nC='$x \\n'\nD=\"a\\n\\\"b\\\"\"\nE=\nA=2\nF=a#b\n";
        let got = parse(Path::new("f"), text).expect("all good");
        let expected = [
            ("A", "2"),
            ("B", "two words"),
            ("C", "$x \\n"),
            ("D", "a\n\"b\""),
            ("E", ""),
            ("F", "a#b"),
        ];
        let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(got, expected);
    }

    #[test]
    fn mistakes_name_the_line_and_no_value() {
        for (line, said) in [
            ("hunter2", "f, line 2: there is no `=`"),
            (
                "1A=hunter2",
                "f, line 2: the part before `=` is not a variable's name",
            ),
            (
                "A='hunter2",
                "f, line 2: the value of A begins with a quote that does not end",
            ),
            (
                "A=\"hunter2\"x",
                "f, line 2: the value of A goes on after its closing quote",
            ),
        ] {
            let problem = parse(Path::new("f"), &format!("# one\n{line}")).expect_err(line);
            assert_eq!(problem.to_string(), said);
        }
    }
}
