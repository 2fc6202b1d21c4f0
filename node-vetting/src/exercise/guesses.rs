//! Texts that code compares things with. Code that asks who the machine is and then waits for one name is given that name
//! in a run of its own.
//!
//! Read from the text of the files that asked; what is compared while they run is watched besides.
//! Patterns are only taken when they are literal enough that one matching text says what they are about.

use oxc_ast::ast::{Argument, BinaryExpression, CallExpression, Expression, RegExpLiteral, SwitchCase};
use oxc_ast_visit::{Visit, walk};
use oxc_span::SourceType;

use crate::rewrite::with_program;

/// Methods by which a text is compared with another.
const COMPARING: [&str; 6] = [
    "includes",
    "startsWith",
    "endsWith",
    "indexOf",
    "localeCompare",
    "search",
];
/// Letters that a guess must have: less is punctuation, or a type's name.
const SHORTEST: usize = 3;
/// What `typeof`, platforms and encodings are compared with.
const COMMON: [&str; 27] = [
    "string",
    "object",
    "function",
    "number",
    "boolean",
    "undefined",
    "symbol",
    "bigint",
    "linux",
    "win32",
    "darwin",
    "freebsd",
    "aix",
    "sunos",
    "android",
    "x64",
    "arm64",
    "arm",
    "ia32",
    "utf8",
    "utf-8",
    "hex",
    "base64",
    "default",
    "production",
    "development",
    "test",
];

/// The texts that a file compares something with, each once, in order.
pub(super) fn guesses(source: &str) -> Vec<String> {
    let found = with_program(source, SourceType::cjs(), |program| {
        let mut finder = Finder(Vec::new());
        finder.visit_program(program);
        finder.0
    });
    found.unwrap_or_default()
}

/// Whether a text can be the name of something.
pub(super) fn says_something(text: &str) -> bool {
    let letters = text.chars().filter(|c| c.is_alphanumeric()).count();
    letters >= SHORTEST && text.len() <= 64 && !COMMON.contains(&text)
}

struct Finder(Vec<String>);

impl Finder {
    fn add(&mut self, text: &str) {
        let known = self.0.iter().any(|guess| guess == text);
        if says_something(text) && !known {
            self.0.push(text.to_owned());
        }
    }

    fn text(&mut self, expression: &Expression<'_>) {
        if let Expression::StringLiteral(literal) = expression {
            self.add(&literal.value);
        }
    }

    fn pattern(&mut self, literal: &RegExpLiteral<'_>) {
        if let Some(text) = sample(&literal.regex.pattern.text) {
            self.add(&text);
        }
    }
}

impl<'a> Visit<'a> for Finder {
    fn visit_binary_expression(&mut self, expression: &BinaryExpression<'a>) {
        if expression.operator.is_equality() {
            self.text(&expression.left);
            self.text(&expression.right);
        }
        walk::walk_binary_expression(self, expression);
    }

    fn visit_switch_case(&mut self, case: &SwitchCase<'a>) {
        if let Some(test) = &case.test {
            self.text(test);
        }
        walk::walk_switch_case(self, case);
    }

    fn visit_call_expression(&mut self, call: &CallExpression<'a>) {
        if let Some(member) = call.callee.as_member_expression()
            && let Some(method) = member.static_property_name()
        {
            match (method, member.object()) {
                ("test" | "exec", Expression::RegExpLiteral(literal)) => self.pattern(literal),
                ("match" | "search", _) => {
                    if let Some(Argument::RegExpLiteral(literal)) = call.arguments.first() {
                        self.pattern(literal);
                    }
                }
                // A list that is searched for what was asked: each of it is a guess.
                ("includes" | "indexOf", Expression::ArrayExpression(list)) => {
                    for element in list.elements.iter().filter_map(|element| element.as_expression()) {
                        self.text(element);
                    }
                }
                _ => {}
            }
            if COMPARING.contains(&method)
                && let Some(first) = call.arguments.first().and_then(Argument::as_expression)
            {
                self.text(first);
            }
        }
        walk::walk_call_expression(self, call);
    }
}

/// A text that a simple pattern matches: literal characters, classes, groups of which the first choice is taken. None for
/// patterns with anything else, or with fewer literal letters than say something.
pub(super) fn sample(pattern: &str) -> Option<String> {
    let mut text = String::new();
    let mut literal = 0;
    let mut rest = pattern.chars().peekable();
    let mut depth = 0_u32;
    // While a choice other than the first is skipped: the depth at which it began.
    let mut skips: Option<u32> = None;
    while let Some(c) = rest.next() {
        let piece = match c {
            '^' | '$' => continue,
            '(' => {
                depth += 1;
                if rest.peek() == Some(&'?') {
                    rest.next();
                    // Only groups that merely group.
                    if rest.next() != Some(':') {
                        return None;
                    }
                }
                continue;
            }
            ')' => {
                if skips == Some(depth) {
                    skips = None;
                }
                depth = depth.checked_sub(1)?;
                continue;
            }
            '|' => {
                if skips.is_none() {
                    skips = Some(depth);
                }
                if depth == 0 {
                    break;
                }
                continue;
            }
            '[' => {
                let class: Vec<char> = rest.by_ref().take_while(|c| *c != ']').collect();
                match class.first()? {
                    '^' | '\\' => 'x',
                    first => *first,
                }
            }
            '.' => 'x',
            '\\' => match rest.next()? {
                'd' => '1',
                'w' => 'x',
                's' => ' ',
                'b' => continue,
                c if c.is_alphanumeric() => return None,
                c => c,
            },
            '+' => continue,
            '*' | '?' => {
                // What may be missing may also be there once.
                continue;
            }
            '{' => {
                rest.by_ref().take_while(|c| *c != '}').count();
                continue;
            }
            c => {
                literal += usize::from(c.is_alphanumeric());
                c
            }
        };
        if skips.is_none() {
            text.push(piece);
        }
    }
    (literal >= SHORTEST).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_things_are_compared_with() {
        let found = guesses(
            "if (os.hostname() === 'scada-01' || 'eng' == x) {}
             switch (user) { case 'svc-build': break; default: }
             if (['alpha1', 'beta22'].includes(os.hostname())) {}
             if (/^plant-(north|south)\\d+$/i.test(h)) {}
             if (h.startsWith('hmi_')) {}
             if (typeof x === 'function' || p === 'win32' || s === ',') {}",
        );
        assert_eq!(
            found,
            [
                "scada-01",
                "eng",
                "svc-build",
                "alpha1",
                "beta22",
                "plant-north1",
                "hmi_"
            ]
        );
    }

    #[test]
    fn patterns_that_say_nothing_are_left_out() {
        for pattern in ["^[a-z]+$", "\\d{4}", "^(?=.*x)abc", "(.)\\1abc"] {
            assert_eq!(sample(pattern), None, "{pattern}");
        }
        assert_eq!(sample("^ci-[0-9]+\\.example$").as_deref(), Some("ci-0.example"));
    }
}
