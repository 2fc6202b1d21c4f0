//! Code that is made not to be read, and characters that are not seen.
//!
//! Every measure is of something that minifiers do not do: minified code is short, not hidden.

use std::collections::BTreeSet;

use oxc_ast::ast::{ArrayExpression, BinaryOperator, CallExpression, Expression, Statement};
use oxc_span::GetSpan;

use super::super::finding::About;
use super::Walk;

/// So many names like `_0x3fa2c1` are no accident.
const HEX_NAMES: usize = 12;
/// So many texts in one list make a table.
const TABLE: usize = 20;
/// So many character codes in one call hide a text.
const CHAR_CODES: usize = 12;
/// A text of this length in which most characters are escaped although they need not be.
const ESCAPED: usize = 12;
/// Variation selectors or tags in a row from which they carry data: an emoji has one or two.
const RUN: usize = 16;
/// Code in lines of this average length is written for machines.
const LONG_LINE: usize = 300;

/// What is counted over a whole file.
#[derive(Debug, Default)]
pub(super) struct Tally {
    hex_names: usize,
    names: usize,
    /// Lists of many texts.
    tables: Vec<(u32, usize)>,
    /// `list.push(list.shift())`.
    rotations: Vec<u32>,
    char_codes: Vec<(u32, usize)>,
    escaped: Vec<(u32, usize)>,
    xor_decoders: Vec<u32>,
    /// `"3|1|0|2".split("|")`.
    orders: Vec<u32>,
    flattened: Vec<u32>,
    /// Long texts; whether something decodes them is known at the end.
    pub(super) blobs: Vec<(u32, About)>,
}

impl Tally {
    pub(super) fn name(&mut self, name: &str) {
        self.names += 1;
        let digits = name.strip_prefix("_0x").or_else(|| name.strip_prefix("a0_0x"));
        let hex = digits
            .is_some_and(|digits| digits.len() >= 3 && digits.bytes().all(|byte| byte.is_ascii_hexdigit()));
        self.hex_names += usize::from(hex);
    }

    pub(super) fn escapes(&mut self, at: u32, raw: &str) {
        let escaped = raw.matches("\\x").count() + raw.matches("\\u00").count();
        // `\x41` takes four characters for one.
        if escaped >= ESCAPED && escaped * 6 >= raw.len() && needless(raw) * 2 >= escaped {
            self.escaped.push((at, escaped));
        }
    }

    pub(super) fn table(&mut self, at: u32, texts: usize) {
        if texts >= TABLE {
            self.tables.push((at, texts));
        }
    }

    pub(super) fn rotation(&mut self, call: &CallExpression<'_>) {
        let shifted = call.arguments.first().and_then(|one| one.as_expression());
        let Some(Expression::CallExpression(inner)) = shifted else {
            return;
        };
        let (Some(to), Some(from)) = (call.callee.get_member_expr(), inner.callee.get_member_expr()) else {
            return;
        };
        // Back into the same list; from one into another is how queues work.
        let same = matches!(
            (to.object(), from.object()),
            (Expression::Identifier(to), Expression::Identifier(from)) if to.name == from.name
        );
        if from.static_property_name() == Some("shift") && same {
            self.rotations.push(call.span.start);
        }
    }

    pub(super) fn char_codes(&mut self, call: &CallExpression<'_>) {
        let numbers = call
            .arguments
            .iter()
            .filter_map(|one| one.as_expression())
            .filter(|one| matches!(one, Expression::NumericLiteral(_)))
            .count();
        if numbers >= CHAR_CODES {
            self.char_codes.push((call.span.start, numbers));
        }
        let first = call.arguments.first().and_then(|one| one.as_expression());
        if first.is_some_and(|first| holds_xor(first, 6)) {
            self.xor_decoders.push(call.span.start);
        }
    }

    /// `bytes[i] ^ key[i % key.length]`: a key that repeats. A fixed period is how protocols mask their frames.
    pub(super) fn xor(&mut self, at: u32, sides: [&Expression<'_>; 2]) {
        if sides.into_iter().any(repeats) {
            self.xor_decoders.push(at);
        }
    }

    pub(super) fn split(&mut self, call: &CallExpression<'_>) {
        let Some(member) = call.callee.get_member_expr() else {
            return;
        };
        let Expression::StringLiteral(text) = member.object() else {
            return;
        };
        let parts: Vec<&str> = text.value.as_str().split('|').collect();
        let numbers = parts.len() >= 4
            && parts
                .iter()
                .all(|part| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit()));
        if numbers {
            self.orders.push(call.span.start);
        }
    }

    pub(super) fn flattened_loop(&mut self, test: &Expression<'_>, body: &Statement<'_>) {
        let endless = match test {
            Expression::BooleanLiteral(value) => value.value,
            Expression::UnaryExpression(_) => true,
            _ => false,
        };
        let switches = match body {
            Statement::BlockStatement(block) => {
                matches!(block.body.first(), Some(Statement::SwitchStatement(_)))
            }
            Statement::SwitchStatement(_) => true,
            _ => false,
        };
        if endless && switches {
            self.flattened.push(test.span().start);
        }
    }
}

/// Escapes of characters that could stand there as they are.
fn needless(raw: &str) -> usize {
    let plain = |digits: &str| u8::from_str_radix(digits, 16).is_ok_and(|byte| (0x20..0x7f).contains(&byte));
    let hex = raw
        .match_indices("\\x")
        .filter(|(at, _)| raw.get(at + 2..at + 4).is_some_and(plain));
    let unicode = raw
        .match_indices("\\u00")
        .filter(|(at, _)| raw.get(at + 4..at + 6).is_some_and(plain));
    hex.count() + unicode.count()
}

/// Whether an exclusive or of two things that vary is part of the expression.
fn holds_xor(expression: &Expression<'_>, depth: usize) -> bool {
    if depth == 0 {
        return false;
    }
    match expression {
        Expression::BinaryExpression(pair) => {
            let varies = |one: &Expression<'_>| !matches!(one, Expression::NumericLiteral(_));
            pair.operator == BinaryOperator::BitwiseXOR
                && (varies(&pair.left) || varies(&pair.right))
                && (is_byte_of_text(&pair.left) || is_byte_of_text(&pair.right))
                || holds_xor(&pair.left, depth - 1)
                || holds_xor(&pair.right, depth - 1)
        }
        _ => false,
    }
}

/// `key[i % key.length]`, `key.charCodeAt(i % n)`.
fn repeats(expression: &Expression<'_>) -> bool {
    let index = match expression {
        Expression::ComputedMemberExpression(member) => &member.expression,
        Expression::CallExpression(call) if is_byte_of_text(expression) => {
            match call.arguments.first().and_then(|one| one.as_expression()) {
                Some(index) => index,
                None => return false,
            }
        }
        _ => return false,
    };
    matches!(index, Expression::BinaryExpression(rest)
        if rest.operator == BinaryOperator::Remainder && !matches!(rest.right, Expression::NumericLiteral(_)))
}

/// `text.charCodeAt(i)`, `bytes[i]`, `key[i % key.length]`.
fn is_byte_of_text(expression: &Expression<'_>) -> bool {
    match expression {
        Expression::CallExpression(call) => {
            let method = call
                .callee
                .get_member_expr()
                .and_then(|member| member.static_property_name());
            matches!(method, Some("charCodeAt" | "codePointAt"))
        }
        Expression::ComputedMemberExpression(_) => true,
        _ => false,
    }
}

impl<'a> Walk<'a, '_> {
    pub(super) fn array(&mut self, array: &ArrayExpression<'a>) {
        let texts = array
            .elements
            .iter()
            .filter(|element| matches!(element.as_expression(), Some(Expression::StringLiteral(_))))
            .count();
        self.tally.table(array.span.start, texts);
    }

    /// What can be seen without a parser.
    pub(super) fn look_at_source(&mut self, source: &str) {
        self.hidden_characters(source);
        if source.contains("eval(function(p,a,c,k,e,") {
            let at = source.find("eval(function(p,a,c,k,e,").unwrap_or_default();
            self.obfuscated(at as u32, "packer", 1);
        }
        let brackets = source
            .bytes()
            .filter(|byte| matches!(byte, b'[' | b']' | b'(' | b')' | b'!' | b'+'))
            .count();
        if source.len() > 400 && brackets * 10 > source.len() * 8 {
            self.obfuscated(0, "bracket-code", brackets * 100 / source.len());
        }
        let lines = source
            .lines()
            .filter(|line| !line.trim().is_empty())
            .count()
            .max(1);
        if source.len() > 2000 && source.len() / lines > LONG_LINE {
            self.about(0, About::Minified);
        }
    }

    fn hidden_characters(&mut self, source: &str) {
        if source.is_ascii() {
            return;
        }
        let kind = |c: char| match c {
            '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => Some("direction"),
            '\u{200b}'..='\u{200f}' | '\u{2060}'..='\u{2064}' | '\u{180e}' | '\u{feff}' => Some("zero-width"),
            '\u{fe00}'..='\u{fe0f}' | '\u{e0100}'..='\u{e01ef}' => Some("selector"),
            '\u{e0000}'..='\u{e007f}' => Some("tag"),
            '\u{115f}' | '\u{1160}' | '\u{3164}' | '\u{ffa0}' => Some("filler"),
            _ => None,
        };
        for what in ["direction", "zero-width", "selector", "tag", "filler"] {
            let (mut count, mut longest, mut run, mut first) = (0, 0, 0, None);
            for (at, c) in source.char_indices() {
                if at > 0 && kind(c) == Some(what) {
                    count += 1;
                    run += 1;
                    longest = longest.max(run);
                    first = first.or(Some(at));
                } else {
                    run = 0;
                }
            }
            // A few are parts of emoji, of tables of characters, or of text in other scripts.
            let told = match what {
                "direction" | "filler" => count > 0,
                _ => longest >= RUN,
            };
            if told {
                self.about(
                    first.unwrap_or_default() as u32,
                    About::HiddenCharacters {
                        what: what.to_owned(),
                        count,
                        longest,
                    },
                );
            }
        }
    }

    fn obfuscated(&mut self, at: u32, how: &str, measure: usize) {
        self.about(
            at,
            About::Obfuscated {
                how: how.to_owned(),
                measure,
            },
        );
    }

    pub(super) fn sum_up(&mut self) {
        let mut tally = std::mem::take(&mut self.tally);
        if tally.hex_names >= HEX_NAMES && tally.hex_names * 5 >= tally.names {
            self.obfuscated(0, "hex-identifiers", tally.hex_names);
        }
        if let (Some(at), Some((_, texts))) = (
            tally.rotations.first(),
            tally.tables.iter().max_by_key(|(_, texts)| *texts),
        ) {
            self.obfuscated(*at, "string-rotator", *texts);
        }
        if let Some((at, _)) = tally.char_codes.first() {
            let all = tally.char_codes.iter().map(|(_, count)| count).sum();
            self.obfuscated(*at, "charcode-table", all);
        }
        if let Some((at, _)) = tally.escaped.first() {
            let all = tally.escaped.iter().map(|(_, count)| count).sum();
            self.obfuscated(*at, "hex-escapes", all);
        }
        let decoders: BTreeSet<u32> = tally.xor_decoders.drain(..).collect();
        if let Some(at) = decoders.first() {
            self.obfuscated(*at, "xor-decoder", decoders.len());
        }
        if let (Some(at), false) = (tally.flattened.first(), tally.orders.is_empty()) {
            self.obfuscated(*at, "flattened", tally.flattened.len());
        }
        let decodes = self.decodes || !decoders.is_empty();
        for (at, mut about) in tally.blobs {
            if let About::Blob { decoder, .. } = &mut about {
                *decoder = decodes;
            }
            self.about(at, about);
        }
    }
}
