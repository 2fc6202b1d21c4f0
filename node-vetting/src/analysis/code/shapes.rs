//! Texts that code puts together, as far as they can be known: `{home}/.ssh/id_rsa`, `https://x.example/{?}`.

use std::fmt::Write as _;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use oxc_ast::ast::{
    Argument, ArrayExpressionElement, BinaryExpression, BinaryOperator, CallExpression, Expression,
    TemplateLiteral, UnaryOperator,
};

use super::names::Names;

/// Longest text that is put together.
const MAX_TEXT: usize = 64 << 10;
/// What cannot be known.
const HOLE: &str = "{?}";

/// A text with holes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Shape {
    /// The text: what is known as it is; `{own}`, `{home}`, `{userdir}`, `{temp}` where a folder is named by where
    /// it is; `{?}` for what cannot be known.
    pub(crate) text: String,
    /// How many pieces it was put together from.
    pub(crate) pieces: usize,
    /// Whether nothing in it had to be guessed.
    whole: bool,
}

impl Shape {
    fn piece(text: &str) -> Self {
        Self {
            text: text.to_owned(),
            pieces: 1,
            whole: true,
        }
    }

    fn hole(text: &str) -> Self {
        Self {
            text: text.to_owned(),
            pieces: 1,
            whole: false,
        }
    }

    fn made(text: String) -> Self {
        Self {
            text,
            pieces: 2,
            whole: true,
        }
    }

    fn push(&mut self, other: &Self) {
        if self.text.len() + other.text.len() <= MAX_TEXT {
            self.text.push_str(&other.text);
        } else {
            self.whole = false;
        }
        self.pieces += other.pieces;
        self.whole &= other.whole;
    }

    /// The text, where all of it is known.
    pub(crate) fn constant(self) -> Option<String> {
        self.whole.then_some(self.text)
    }

    /// Whether anything of it is known.
    pub(crate) fn says_something(&self) -> bool {
        self.text != HOLE
    }
}

/// What is known of the text of an expression.
pub(crate) fn shape<'a>(names: &Names<'a, '_>, expression: &Expression<'a>) -> Shape {
    let known = known(names, expression).unwrap_or_else(|| Shape::hole(HOLE));
    // Copying long texts is work as well.
    match names.spend(known.text.len() / 32) {
        Some(()) => known,
        None => Shape::hole(HOLE),
    }
}

fn known<'a>(names: &Names<'a, '_>, expression: &Expression<'a>) -> Option<Shape> {
    names.step()?;
    match expression {
        Expression::StringLiteral(text) => Some(Shape::piece(text.value.as_str())),
        Expression::NumericLiteral(_) => {
            let value = number(names, expression)?;
            Some(Shape::piece(&value.to_string()))
        }
        Expression::TemplateLiteral(template) => Some(of_template(names, template)),
        Expression::BinaryExpression(sum) if sum.operator == BinaryOperator::Addition => {
            Some(of_sum(names, sum))
        }
        Expression::ParenthesizedExpression(inner) => known(names, &inner.expression),
        Expression::CallExpression(call) => of_call(names, call),
        Expression::NewExpression(new) if names.name(&new.callee).as_deref() == Some("URL") => {
            Some(shape(names, new.arguments.first()?.as_expression()?))
        }
        Expression::LogicalExpression(either) => known(names, &either.right)
            .or_else(|| known(names, &either.left))
            .map(|mut shape| {
                shape.whole = false;
                shape
            }),
        Expression::Identifier(one) => match one.name.as_str() {
            "__dirname" if names.symbol(one).is_none() => Some(Shape::hole("{own}")),
            "__filename" if names.symbol(one).is_none() => Some(Shape::hole("{own}/{?}")),
            _ => names.hop(|| known(names, names.only_value(one)?)),
        },
        Expression::StaticMemberExpression(_) | Expression::ComputedMemberExpression(_) => {
            match names.name(expression)?.as_str() {
                "RED.settings.userDir" => Some(Shape::hole("{userdir}")),
                "process.env.HOME" | "process.env.USERPROFILE" => Some(Shape::hole("{home}")),
                "process.env.TMPDIR" | "process.env.TEMP" | "process.env.TMP" => Some(Shape::hole("{temp}")),
                "path.sep" | "os.EOL" => Some(Shape::piece("/")),
                _ => None,
            }
        }
        _ => None,
    }
}

pub(super) fn of_template<'a>(names: &Names<'a, '_>, template: &TemplateLiteral<'a>) -> Shape {
    let mut all = Shape::piece("");
    all.pieces = 0;
    for (at, quasi) in template.quasis.iter().enumerate() {
        let cooked = quasi.value.cooked.as_ref().map_or("", |text| text.as_str());
        all.push(&Shape::piece(cooked));
        if let Some(inner) = template.expressions.get(at) {
            all.push(&shape(names, inner));
        }
    }
    all
}

/// Long sums lean to the left, so they are walked and not descended into.
pub(super) fn of_sum<'a>(names: &Names<'a, '_>, sum: &BinaryExpression<'a>) -> Shape {
    let mut parts = vec![&sum.right];
    let mut left = &sum.left;
    while let Expression::BinaryExpression(inner) = left
        && inner.operator == BinaryOperator::Addition
    {
        parts.push(&inner.right);
        left = &inner.left;
    }
    parts.push(left);
    let mut all = Shape::piece("");
    all.pieces = 0;
    for part in parts.into_iter().rev() {
        all.push(&shape(names, part));
    }
    all
}

fn arguments<'a>(names: &Names<'a, '_>, list: &[Argument<'a>]) -> Vec<Shape> {
    list.iter()
        .map(|argument| {
            argument
                .as_expression()
                .map_or_else(|| Shape::hole(HOLE), |one| shape(names, one))
        })
        .collect()
}

pub(super) fn of_call<'a>(names: &Names<'a, '_>, call: &CallExpression<'a>) -> Option<Shape> {
    if let Some(name) = names.name(&call.callee) {
        match name.as_str() {
            "path.join" | "path.resolve" | "path.posix.join" | "path.normalize" => {
                return Some(of_path(names, &call.arguments));
            }
            "os.homedir" => return Some(Shape::hole("{home}")),
            "os.tmpdir" => return Some(Shape::hole("{temp}")),
            "String.fromCharCode" => return of_codes(names, &call.arguments).map(Shape::made),
            "atob" => return decode("base64", &names.constant(first(call)?)?).map(Shape::made),
            "decodeURIComponent" | "unescape" => {
                return percent(&names.constant(first(call)?)?).map(Shape::made);
            }
            "String" => return known(names, first(call)?),
            _ => {}
        }
    }
    let member = call.callee.get_member_expr()?;
    let method = member.static_property_name()?;
    match method {
        "concat" => {
            let mut all = known(names, member.object())?;
            for part in arguments(names, &call.arguments) {
                all.push(&part);
            }
            Some(all)
        }
        "join" => {
            let with = first(call).map_or_else(|| Some(",".to_owned()), |one| names.constant(one))?;
            let parts = list(names, member.object())?;
            Some(Shape::made(parts.join(&with)))
        }
        "toString" => of_buffer(names, member.object(), call),
        "toLowerCase" | "trim" | "toUpperCase" => known(names, member.object()),
        _ => None,
    }
}

fn first<'a, 'e>(call: &'e CallExpression<'a>) -> Option<&'e Expression<'a>> {
    call.arguments.first()?.as_expression()
}

/// Texts of an array, or of what splitting, reversing and mapping makes of one.
fn list<'a>(names: &Names<'a, '_>, expression: &Expression<'a>) -> Option<Vec<String>> {
    match expression {
        Expression::ArrayExpression(array) => array
            .elements
            .iter()
            .map(|element| match element {
                ArrayExpressionElement::SpreadElement(_) | ArrayExpressionElement::Elision(_) => None,
                other => names.constant(other.as_expression()?),
            })
            .collect(),
        Expression::Identifier(one) => names.hop(|| list(names, names.only_value(one)?)),
        Expression::CallExpression(call) => {
            let member = call.callee.get_member_expr()?;
            match member.static_property_name()? {
                "reverse" => {
                    let mut parts = list(names, member.object())?;
                    parts.reverse();
                    Some(parts)
                }
                "split" => {
                    let text = names.constant(member.object())?;
                    let by = names.constant(first(call)?)?;
                    Some(if by.is_empty() {
                        text.chars().map(String::from).collect()
                    } else {
                        text.split(by.as_str()).map(str::to_owned).collect()
                    })
                }
                _ => None,
            }
        }
        _ => None,
    }
}

/// `Buffer.from("…", "base64").toString()`.
fn of_buffer<'a>(names: &Names<'a, '_>, object: &Expression<'a>, call: &CallExpression<'a>) -> Option<Shape> {
    let Expression::CallExpression(made) = object else {
        return None;
    };
    if !matches!(
        names.name(&made.callee)?.as_str(),
        "Buffer.from" | "buffer.Buffer.from"
    ) {
        return None;
    }
    let into = call
        .arguments
        .first()
        .and_then(|one| names.constant(one.as_expression()?));
    if !matches!(
        into.as_deref(),
        None | Some("utf8" | "utf-8" | "ascii" | "latin1" | "binary")
    ) {
        return None;
    }
    let text = match first(made)? {
        Expression::ArrayExpression(_) => {
            let bytes = list(names, first(made)?)?;
            let bytes: Option<Vec<u8>> = bytes.iter().map(|byte| byte.parse().ok()).collect();
            String::from_utf8(bytes?).ok()?
        }
        other => {
            let encoding = made
                .arguments
                .get(1)
                .and_then(|one| names.constant(one.as_expression()?));
            decode(encoding.as_deref().unwrap_or("utf8"), &names.constant(other)?)?
        }
    };
    Some(Shape::made(text))
}

fn of_codes<'a>(names: &Names<'a, '_>, codes: &[Argument<'a>]) -> Option<String> {
    codes
        .iter()
        .map(|code| char::from_u32(number(names, code.as_expression()?)? as u32))
        .collect()
}

fn of_path<'a>(names: &Names<'a, '_>, parts: &[Argument<'a>]) -> Shape {
    let mut all = Shape::piece("");
    all.pieces = 0;
    for part in arguments(names, parts) {
        if !all.text.is_empty() && !all.text.ends_with('/') && !part.text.starts_with('/') {
            all.push(&Shape::piece("/"));
        }
        all.push(&part);
    }
    all
}

/// The number that an expression always has.
pub(crate) fn number<'a>(names: &Names<'a, '_>, expression: &Expression<'a>) -> Option<f64> {
    match expression {
        Expression::NumericLiteral(number) => Some(number.value),
        Expression::ParenthesizedExpression(inner) => number(names, &inner.expression),
        Expression::UnaryExpression(unary) if unary.operator == UnaryOperator::UnaryNegation => {
            number(names, &unary.argument).map(|value| -value)
        }
        Expression::BinaryExpression(pair) => {
            let (left, right) = (number(names, &pair.left)?, number(names, &pair.right)?);
            match pair.operator {
                BinaryOperator::Addition => Some(left + right),
                BinaryOperator::Subtraction => Some(left - right),
                BinaryOperator::Multiplication => Some(left * right),
                BinaryOperator::Division => Some(left / right),
                _ => None,
            }
        }
        Expression::Identifier(one) => names.hop(|| number(names, names.only_value(one)?)),
        _ => None,
    }
}

/// Text out of its usual encodings; nothing when it is no text then.
pub(crate) fn decode(encoding: &str, text: &str) -> Option<String> {
    if text.len() > MAX_TEXT {
        return None;
    }
    match encoding {
        "base64" | "base64url" => {
            let plain = text.replace('-', "+").replace('_', "/");
            let bytes = STANDARD
                .decode(&plain)
                .or_else(|_| STANDARD_NO_PAD.decode(plain.trim_end_matches('=')))
                .ok()?;
            String::from_utf8(bytes).ok()
        }
        "hex" => {
            let digits = text.as_bytes();
            if !digits.len().is_multiple_of(2) {
                return None;
            }
            let bytes: Option<Vec<u8>> = digits
                .chunks(2)
                .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok())
                .collect();
            String::from_utf8(bytes?).ok()
        }
        "utf8" | "utf-8" | "ascii" | "latin1" | "binary" => Some(text.to_owned()),
        _ => None,
    }
}

fn percent(text: &str) -> Option<String> {
    let mut hex = String::new();
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'%' => {
                hex.push(char::from(bytes.next()?));
                hex.push(char::from(bytes.next()?));
            }
            // Writing to a string cannot fail.
            other => {
                let _ = write!(hex, "{other:02x}");
            }
        }
    }
    decode("hex", &hex)
}
