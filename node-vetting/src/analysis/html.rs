//! Scripts inside markup. Node-RED sends the markup of every node to the browser of whoever opens the editor.

use memchr::memmem;

/// Most scripts that one file may have.
const MAX_SCRIPTS: usize = 500;

/// A script in a file of markup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Script {
    /// Offset of its text.
    pub(crate) start: usize,
    /// And of the end of it.
    pub(crate) end: usize,
    /// Where it is loaded from, when it is not written here.
    pub(crate) source: Option<String>,
    /// Whether it says that it is a module.
    pub(crate) module: bool,
}

/// The scripts of a file that browsers would run, in order; templates and data are left out.
pub(crate) fn scripts(markup: &str) -> Vec<Script> {
    let lower = markup.to_ascii_lowercase();
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(next) = memmem::find(&lower.as_bytes()[at..], b"<") {
        let tag = at + next;
        if lower[tag..].starts_with("<!--") {
            let end = memmem::find(&lower.as_bytes()[tag..], b"-->");
            let Some(end) = end else { break };
            at = tag + end + 3;
            continue;
        }
        if !lower[tag..].starts_with("<script") {
            at = tag + 1;
            continue;
        }
        let Some(open) = tag_end(markup, tag) else { break };
        let attributes = &markup[tag + "<script".len()..open];
        let close =
            memmem::find(&lower.as_bytes()[open..], b"</script").map_or(markup.len(), |end| open + end);
        let kind = attribute(attributes, "type")
            .unwrap_or_default()
            .to_ascii_lowercase();
        let runs = matches!(
            kind.trim(),
            "" | "module"
                | "text/javascript"
                | "application/javascript"
                | "text/ecmascript"
                | "application/ecmascript"
                | "text/jscript"
        );
        if runs && found.len() < MAX_SCRIPTS {
            found.push(Script {
                start: (open + 1).min(close),
                end: close,
                source: attribute(attributes, "src"),
                module: kind.trim() == "module",
            });
        }
        at = close.max(tag + 1);
    }
    found
}

/// Where a tag ends, quotes observed.
fn tag_end(markup: &str, tag: usize) -> Option<usize> {
    let mut quote = None;
    for (at, byte) in markup.bytes().enumerate().skip(tag) {
        match (quote, byte) {
            (None, b'>') => return Some(at),
            (None, b'"' | b'\'') => quote = Some(byte),
            (Some(open), byte) if open == byte => quote = None,
            _ => {}
        }
    }
    None
}

fn attribute(attributes: &str, name: &str) -> Option<String> {
    let lower = attributes.to_ascii_lowercase();
    let mut from = 0;
    loop {
        let at = from + lower[from..].find(name)?;
        from = at + name.len();
        let before = lower[..at].chars().next_back();
        let rest = attributes[from..].trim_start();
        if before.is_some_and(|c| !c.is_whitespace() && c != '/' && c != '"' && c != '\'')
            || !rest.starts_with('=')
        {
            continue;
        }
        let value = rest[1..].trim_start();
        let quoted = value.chars().next().filter(|c| matches!(c, '"' | '\''));
        let text = match quoted {
            Some(quote) => value[1..].split(quote).next()?,
            None => value.split(|c: char| c.is_whitespace() || c == '>').next()?,
        };
        return Some(text.trim().to_owned());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_browsers_run_is_found() {
        let markup = "<!-- <script>no()</script> -->\n\
            <script type=\"text/html\" data-template-name=\"a\"><script>no()</script>\n\
            <script type=\"text/x-red\">no()</script>\n\
            <SCRIPT type='text/javascript'>one()</SCRIPT>\n\
            <script>two(\"</div>\")</script>\n\
            <script src=https://x.example/a.js></script>\n\
            <script data-src='no' type=module src = \"b>c.js\">three()";
        let found = scripts(markup);
        let texts: Vec<&str> = found
            .iter()
            .map(|script| &markup[script.start..script.end])
            .collect();
        assert_eq!(texts, ["one()", "two(\"</div>\")", "", "three()"]);
        assert_eq!(found[2].source.as_deref(), Some("https://x.example/a.js"));
        assert_eq!(found[3].source.as_deref(), Some("b>c.js"));
        assert!(found[3].module && !found[0].module);
    }

    #[test]
    fn broken_markup_ends() {
        for markup in [
            "<script",
            "<script>",
            "<",
            "<!--",
            "<script src='",
            "</script>",
            "<script type=>x",
        ] {
            scripts(markup);
        }
    }
}
