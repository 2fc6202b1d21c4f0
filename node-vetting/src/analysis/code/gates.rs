//! Code that behaves differently from some day on, by chance, or on some machine. Innocent in most places.

use oxc_ast::ast::{Argument, BinaryExpression, BinaryOperator, Expression};

use super::super::finding::About;
use super::Walk;
use super::shapes::number;
use super::texts::shown;

/// Milliseconds of 2020-01-01: numbers above it are dates.
const RECENT: f64 = 1_577_836_800_000.0;
/// And of 2100-01-01.
const FAR: f64 = 4_102_444_800_000.0;

impl<'a> Walk<'a, '_> {
    pub(super) fn gate(&mut self, pair: &BinaryExpression<'a>) {
        if pair.operator.is_compare() || pair.operator.is_equality() {
            for (asked, with) in [(&pair.left, &pair.right), (&pair.right, &pair.left)] {
                if self.compare(pair, asked, with) {
                    return;
                }
            }
        }
        if pair.operator == BinaryOperator::BitwiseXOR {
            self.tally.xor(pair.span.start, [&pair.left, &pair.right]);
        }
    }

    fn compare(
        &mut self,
        pair: &BinaryExpression<'a>,
        asked: &Expression<'a>,
        with: &Expression<'a>,
    ) -> bool {
        let at = pair.span.start;
        if pair.operator.is_compare() && self.is_random(asked) && number(&self.names, with).is_some() {
            let with = number(&self.names, with).unwrap_or_default().to_string();
            self.about(at, About::ChanceGate { with });
            return true;
        }
        if self.is_now(asked)
            && let Some(date) = self.date(with)
        {
            self.about(at, About::DateGate { with: date });
            return true;
        }
        if self.is_year(asked)
            && let Some(year) = number(&self.names, with)
            && (2020.0..2100.0).contains(&year)
        {
            self.about(
                at,
                About::DateGate {
                    with: year.to_string(),
                },
            );
            return true;
        }
        if pair.operator.is_equality()
            && let Some(what) = self.machine(asked)
            && let Some(with) = self.names.constant(with)
        {
            self.about(
                at,
                About::HostGate {
                    what,
                    with: shown(&with),
                },
            );
            return true;
        }
        false
    }

    /// Asks about an expression, or the only value of the variable that it is. Variables that are made of themselves, as in
    /// `now = now.valueOf()`, are followed no further than others.
    fn following<T: Default>(
        &self,
        expression: &Expression<'a>,
        ask: impl FnOnce(&Expression<'a>) -> T,
    ) -> T {
        let value = match expression {
            Expression::Identifier(one) => self.names.only_value(one),
            _ => None,
        };
        match value {
            Some(value) => self.names.hop(|| Some(ask(value))).unwrap_or_default(),
            None => ask(expression),
        }
    }

    /// `Math.random()`, also multiplied.
    fn is_random(&self, expression: &Expression<'a>) -> bool {
        self.following(expression, |expression| match expression {
            Expression::CallExpression(call) => {
                self.names.name(&call.callee).as_deref() == Some("Math.random")
            }
            Expression::BinaryExpression(pair) => self.is_random(&pair.left) || self.is_random(&pair.right),
            _ => false,
        })
    }

    /// `Date.now()`, `new Date()`, `+new Date`, `new Date().getTime()`.
    fn is_now(&self, expression: &Expression<'a>) -> bool {
        self.following(expression, |expression| match expression {
            Expression::CallExpression(call) => {
                if self.names.name(&call.callee).as_deref() == Some("Date.now") {
                    return true;
                }
                let member = call.callee.get_member_expr();
                member.is_some_and(|member| {
                    matches!(member.static_property_name(), Some("getTime" | "valueOf"))
                        && self.is_now(member.object())
                })
            }
            Expression::NewExpression(new) => {
                new.arguments.is_empty() && self.names.name(&new.callee).as_deref() == Some("Date")
            }
            Expression::UnaryExpression(unary) => self.is_now(&unary.argument),
            _ => false,
        })
    }

    /// `new Date().getFullYear()`.
    fn is_year(&self, expression: &Expression<'a>) -> bool {
        self.following(expression, |expression| {
            let Expression::CallExpression(call) = expression else {
                return false;
            };
            call.callee.get_member_expr().is_some_and(|member| {
                matches!(
                    member.static_property_name(),
                    Some("getFullYear" | "getUTCFullYear")
                ) && self.is_now(member.object())
            })
        })
    }

    /// A date that stands in the code.
    fn date(&self, expression: &Expression<'a>) -> Option<String> {
        self.following(expression, |expression| {
            if let Some(value) = number(&self.names, expression) {
                return (RECENT..FAR).contains(&value).then(|| value.to_string());
            }
            let text = |arguments: &[Argument<'a>]| -> Option<String> {
                let all: Option<Vec<String>> = arguments
                    .iter()
                    .map(|one| self.names.constant(one.as_expression()?))
                    .collect();
                let all = all?;
                (!all.is_empty()).then(|| shown(&all.join("-")))
            };
            match expression {
                Expression::NewExpression(new) if self.names.name(&new.callee).as_deref() == Some("Date") => {
                    text(&new.arguments)
                }
                Expression::CallExpression(call) => match self.names.name(&call.callee).as_deref() {
                    Some("Date.parse" | "Date.UTC") => text(&call.arguments),
                    _ => {
                        let member = call.callee.get_member_expr()?;
                        matches!(member.static_property_name(), Some("getTime" | "valueOf"))
                            .then(|| self.date(member.object()))?
                    }
                },
                Expression::UnaryExpression(unary) => self.date(&unary.argument),
                _ => None,
            }
        })
    }

    /// The name of the machine or of whoever runs the code.
    fn machine(&self, expression: &Expression<'a>) -> Option<String> {
        self.following(expression, |expression| match expression {
            Expression::CallExpression(call) => {
                let name = self.names.name(&call.callee);
                match name.as_deref() {
                    Some("os.hostname") => Some("host name".to_owned()),
                    _ => {
                        // `os.hostname().toLowerCase()`.
                        let member = call.callee.get_member_expr()?;
                        let same = matches!(
                            member.static_property_name(),
                            Some("toLowerCase" | "toUpperCase" | "trim")
                        );
                        same.then(|| self.machine(member.object())).flatten()
                    }
                }
            }
            Expression::StaticMemberExpression(member) => {
                if let Expression::CallExpression(call) = &member.object
                    && self.names.name(&call.callee).as_deref() == Some("os.userInfo")
                {
                    return Some("user".to_owned());
                }
                match self.names.name(expression)?.as_str() {
                    "process.env.HOSTNAME" | "process.env.COMPUTERNAME" => Some("host name".to_owned()),
                    "process.env.USER" | "process.env.USERNAME" | "process.env.LOGNAME" => {
                        Some("user".to_owned())
                    }
                    _ => None,
                }
            }
            _ => None,
        })
    }
}
