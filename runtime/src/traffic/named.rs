//! Pure: the hosts that a text names, whatever it is written in: configuration in JSON, addresses in code, lists.
//!
//! A host is a name or an address that stands where one is written: behind `//` or `@`, at the beginning of a text in
//! quotes, or in a list in one. `a.b.c` in the middle of code is an expression and none; words without a dot are left out,
//! for every text is full of them. A name whose beginning is filled in later (`${place}.example.com`,
//! `{{place}}.example.com`) stands for all names with its end.
//!
//! Read byte by byte with a bounded memory: the text is a stranger's, and may have any size.

use super::Target;

/// Longest host (RFC 1035, 2.3.4).
const LONGEST: usize = 253;

/// Reads a text in pieces and gives each host that it names.
#[derive(Debug, Default)]
pub struct Named {
    word: Vec<u8>,
    /// What stood before the word, the nearest first.
    before: [u8; 2],
    last: [u8; 2],
    /// The word is longer than any host.
    long: bool,
}

/// The hosts that a whole text names, in its order; one may come twice.
#[must_use]
pub fn named(text: &str) -> Vec<Target> {
    let mut found = Vec::new();
    // A text alone is one in quotes.
    let mut reader = Named::default();
    for piece in ["\"", text, "\""] {
        reader.read(piece.as_bytes(), |target| found.push(target));
    }
    found
}

impl Named {
    /// Takes the next piece; `tell` hears of each host.
    pub fn read(&mut self, piece: &[u8], mut tell: impl FnMut(Target)) {
        for byte in piece {
            self.take(*byte, &mut tell);
        }
    }

    fn take(&mut self, byte: u8, tell: &mut impl FnMut(Target)) {
        // Colons belong to addresses of IPv6, which stand in brackets or in quotes.
        let in_word = byte.is_ascii_alphanumeric()
            || matches!(byte, b'.' | b'-' | b'_')
            || byte == b':' && self.may_be_v6();
        if in_word {
            if self.word.is_empty() && !self.long {
                self.before = self.last;
            }
            if self.word.len() < LONGEST {
                self.word.push(byte);
            } else {
                self.long = true;
            }
        } else if !self.word.is_empty() {
            if !self.long
                && let Some(target) = self.host(byte)
            {
                tell(target);
            }
            self.word.clear();
            self.long = false;
        }
        self.last = [byte, self.last[0]];
    }

    /// Whether what was read so far can be the beginning of an address with colons.
    fn may_be_v6(&self) -> bool {
        let begins = if self.word.is_empty() {
            self.last[0]
        } else {
            self.before[0]
        };
        let digits = self
            .word
            .iter()
            .all(|c| c.is_ascii_hexdigit() || matches!(c, b':' | b'.'));
        // `10.0.0.1:502`, `localhost:1883` and a word of few letters before a port are none.
        let v4 = self.word.contains(&b'.') && !self.word.contains(&b':');
        digits && !v4 && matches!(begins, b'[' | b'"' | b'\'' | b'`')
    }

    fn host(&self, after: u8) -> Option<Target> {
        let text = std::str::from_utf8(&self.word).ok()?;
        let quote = |byte: u8| matches!(byte, b'"' | b'\'' | b'`');
        let ends = quote(after)
            || after.is_ascii_whitespace()
            || matches!(after, b'/' | b':' | b',' | b';' | b'?' | b'#' | b'\\' | b']');
        if !ends {
            return None;
        }
        // What is filled in, then `.example.com`.
        if let (b'}', Some(end)) = (self.before[0], text.strip_prefix('.')) {
            let wide = end.contains('.').then(|| format!("*.{end}"));
            return wide.and_then(|name| name.parse().ok());
        }
        let address = self.before == *b"//" || matches!(self.before[0], b'@' | b'[');
        // A text that goes on behind a space is a sentence, or code.
        let whole = quote(self.before[0]) && !after.is_ascii_whitespace();
        let listed =
            matches!(self.before[0], b',' | b';' | b' ') && (after == b':' || after == b',' || quote(after));
        if !(address || whole || listed) {
            return None;
        }
        // An address of IPv6 may have had its port's colon taken for one of its own.
        let text = text.trim_end_matches([':', '.']);
        text.contains(['.', ':']).then(|| text.parse().ok())?
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Vec<String> {
        let mut all: Vec<String> = named(text).iter().map(ToString::to_string).collect();
        all.dedup();
        all
    }

    #[test]
    fn hosts_of_flows_are_found_where_flows_have_them() {
        for (text, hosts) in [
            (
                r#"{"broker":"mqtt.example.org","port":"1883"}"#,
                &["mqtt.example.org"][..],
            ),
            (
                r#"{"url":"https://user:word@api.example.org:8443/x?y=z"}"#,
                &["api.example.org"],
            ),
            (r#"{"host":"10.0.0.7:502"}"#, &["10.0.0.7"]),
            (r#"{"host":"2001:db8::7"}"#, &["[2001:db8::7]"]),
            (r#"{"url":"http://[2001:db8::7]:80/"}"#, &["[2001:db8::7]"]),
            (
                r#"{"brokers":"a.example:9092,b.example:9092"}"#,
                &["a.example", "b.example"],
            ),
            (
                r#"{"func":"msg.url = \"https://api.example.org/\" + msg.id;\nreturn msg"}"#,
                &["api.example.org"],
            ),
            (
                r#"{"func":"x(msg.payload.a, msg.id)\nconst h = 'h.example'"}"#,
                &["h.example"],
            ),
            (r#"{"url":"https://{{place}}.example.org/"}"#, &["*.example.org"]),
            (r#"{"url":"https://${place}.example.org/"}"#, &["*.example.org"]),
            (r#"{"url":"opc.tcp://Plant.example:4840"}"#, &["plant.example"]),
        ] {
            let all = found(text);
            for host in hosts {
                assert!(all.iter().any(|one| one == host), "{host} of {text}: {all:?}");
            }
            for no in ["msg.id", "msg.payload.a", "msg.url"] {
                assert!(!all.iter().any(|one| one == no), "{no} of {text}: {all:?}");
            }
        }
        assert_eq!(found("https://a.example/"), ["a.example"]);
        assert_eq!(found("10.0.0.1"), ["10.0.0.1"]);
        assert_eq!(found("inject 4.1.15 localhost"), [""; 0]);
    }

    #[test]
    fn a_filled_in_name_never_stands_for_a_whole_ending() {
        for text in [
            "https://{{host}}.com/",
            "https://${x}.y",
            "{{x}}.",
            "*.com",
            "https://*/",
        ] {
            let wide = named(text)
                .into_iter()
                .any(|target| target.covers("a.com") || target.covers("b.y"));
            assert!(!wide, "{text}: {:?}", found(text));
        }
    }

    #[test]
    fn no_text_and_no_cut_of_it_does_harm() {
        let text = format!(
            "\"{}\" //{}.example.org/ \"::::\" [::1] \u{e4}",
            "x".repeat(10_000),
            "y.".repeat(200)
        );
        for size in [1, 2, 3, 7] {
            let mut reader = Named::default();
            let mut count = 0;
            for piece in text.as_bytes().chunks(size) {
                reader.read(piece, |target| {
                    assert!(target.to_string().len() <= LONGEST + 2);
                    count += 1;
                });
            }
            assert!(reader.word.capacity() <= 2 * LONGEST && count < 10, "{count}");
        }
    }
}
