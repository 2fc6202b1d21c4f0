//! Comparisons that tell what is compared: the other side of one with a name that the guest was given is the name that code
//! waits for.
//!
//! `c(2, value, 'a', 'b')` gives the value and tells of what it is compared with; where neither side is written down,
//! `c(0, 7, left) === c(1, 7, right)` does. The order in which things are evaluated stays as it is.

use oxc_ast::ast::{
    Argument, ArrayExpressionElement, BinaryExpression, CallExpression, ChainExpression, Expression, Program,
    StringLiteral, SwitchStatement, UnaryOperator,
};
use oxc_ast_visit::{Visit, walk};
use oxc_span::{GetSpan, Span};

use super::Marks;

/// Methods of texts, lists and sets by which something is looked for in them.
const LOOKING: [&str; 8] = [
    "includes",
    "startsWith",
    "endsWith",
    "indexOf",
    "localeCompare",
    "has",
    "match",
    "search",
];
/// Longest text that is handed over as it is written.
const LONGEST: usize = 100;
/// Most texts that one value is compared with.
const MOST: usize = 32;

/// Marks the comparisons of a program: `name` is the function that is told.
pub(super) fn mark(program: &Program<'_>, source: &str, name: &str, marks: &mut Marks) {
    let mut finder = Finder {
        source,
        name,
        marks,
        chained: false,
    };
    finder.visit_program(program);
}

struct Finder<'s, 'm> {
    source: &'s str,
    name: &'s str,
    marks: &'m mut Marks,
    /// Whether a part may be left out by `?.`, so that wrapping it would change what is left out.
    chained: bool,
}

impl<'s> Finder<'s, '_> {
    fn text(&self, span: Span) -> &'s str {
        &self.source[span.start as usize..span.end as usize]
    }

    /// A literal as it is written, where it can stand on a line.
    fn written(&self, literal: &StringLiteral<'_>) -> Option<&'s str> {
        let text = self.text(literal.span);
        (text.len() <= LONGEST && !text.contains('\n')).then_some(text)
    }

    fn with(&mut self, value: Span, others: &[&str]) {
        if !others.is_empty() {
            let open = format!("{}(2,", self.name);
            let close = format!(",{})", others.join(","));
            self.marks.around(value.start, value.end, open, &close);
        }
    }

    fn pair(&mut self, left: Span, right: Span) {
        for (side, span) in [(0, left), (1, right)] {
            let open = format!("{}({side},{},", self.name, left.start);
            self.marks.around(span.start, span.end, open, ")");
        }
    }

    fn compare(&mut self, left: &Expression<'_>, right: &Expression<'_>) {
        let (one, other) = (left.span(), right.span());
        match (left, right) {
            (Expression::StringLiteral(_), Expression::StringLiteral(_)) => {}
            (Expression::StringLiteral(literal), value) | (value, Expression::StringLiteral(literal)) => {
                if may_be_text(value)
                    && let Some(text) = self.written(literal)
                {
                    self.with(value.span(), &[text]);
                }
            }
            _ if may_be_text(left) && may_be_text(right) => self.pair(one, other),
            _ => {}
        }
    }

    fn looked_for(&mut self, object: &Expression<'_>, method: &str, argument: &Argument<'_>) {
        if let (Expression::RegExpLiteral(pattern), "test" | "exec") = (object, method) {
            if !argument.is_spread() {
                self.with(argument.span(), &[self.text(pattern.span)]);
            }
            return;
        }
        if !LOOKING.contains(&method) || matches!(object, Expression::Super(_)) {
            return;
        }
        match argument {
            Argument::RegExpLiteral(pattern) => self.with(object.span(), &[self.text(pattern.span)]),
            Argument::StringLiteral(literal) => {
                if let Some(text) = self.written(literal) {
                    self.with(object.span(), &[text]);
                }
            }
            _ if argument.is_spread() => {}
            _ => {
                let value = argument.as_expression().is_some_and(may_be_text);
                match self.literals(object) {
                    Some(texts) if value => self.with(argument.span(), &texts),
                    None if value && may_be_text(object) => self.pair(object.span(), argument.span()),
                    _ => {}
                }
            }
        }
    }

    /// The texts of a list that holds nothing else.
    fn literals(&self, list: &Expression<'_>) -> Option<Vec<&'s str>> {
        let Expression::ArrayExpression(list) = list else {
            return None;
        };
        let texts = list.elements.iter().take(MOST).map(|element| match element {
            ArrayExpressionElement::StringLiteral(literal) => self.written(literal),
            _ => None,
        });
        texts.collect()
    }
}

/// Whether an expression can come to a text at all.
fn may_be_text(expression: &Expression<'_>) -> bool {
    match expression {
        Expression::UnaryExpression(unary) => !matches!(
            unary.operator,
            UnaryOperator::Typeof
                | UnaryOperator::Void
                | UnaryOperator::LogicalNot
                | UnaryOperator::UnaryNegation
        ),
        Expression::Identifier(name) => name.name != "undefined" && name.name != "NaN",
        _ => {
            !expression.is_literal()
                && !expression.is_function()
                && !matches!(expression, Expression::ThisExpression(_))
        }
    }
}

impl<'a> Visit<'a> for Finder<'_, '_> {
    fn visit_binary_expression(&mut self, expression: &BinaryExpression<'a>) {
        if expression.operator.is_equality() {
            self.compare(&expression.left, &expression.right);
        }
        walk::walk_binary_expression(self, expression);
    }

    fn visit_switch_statement(&mut self, statement: &SwitchStatement<'a>) {
        let tests = statement.cases.iter().filter_map(|case| case.test.as_ref());
        let texts: Vec<&str> = tests
            .filter_map(|test| match test {
                Expression::StringLiteral(literal) => self.written(literal),
                _ => None,
            })
            .take(MOST)
            .collect();
        if may_be_text(&statement.discriminant) {
            self.with(statement.discriminant.span(), &texts);
        }
        walk::walk_switch_statement(self, statement);
    }

    fn visit_chain_expression(&mut self, chain: &ChainExpression<'a>) {
        let before = std::mem::replace(&mut self.chained, true);
        walk::walk_chain_expression(self, chain);
        self.chained = before;
    }

    fn visit_call_expression(&mut self, call: &CallExpression<'a>) {
        if !self.chained
            && let Some(member) = call.callee.as_member_expression()
            && let Some(method) = member.static_property_name()
            && let Some(argument) = call.arguments.first()
        {
            self.looked_for(member.object(), method, argument);
        }
        walk::walk_call_expression(self, call);
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Names, rewrite};

    fn check(source: &str, expected: &str) {
        let names = Names {
            seen: "S".to_owned(),
            ran: "R".to_owned(),
            compared: "C".to_owned(),
        };
        let done = rewrite(source.as_bytes(), &names, true, true).map(|done| done.text);
        let text = done.map_or_else(
            || source.to_owned(),
            |text| String::from_utf8(text).expect("text"),
        );
        assert_eq!(text, expected);
    }

    #[test]
    fn what_is_compared_is_told() {
        check("a.b === 'x'", "C(2,a.b,'x') === 'x'");
        check("'x' != a + b", "'x' != C(2,a + b,'x')");
        check("f() == g", "C(0,0,f()) == C(1,0,g)");
        check(
            "switch (a) { case 'x': case b: case \"y\": }",
            "switch (C(2,a,'x',\"y\")) { case 'x': case b: case \"y\": }",
        );
        check("a.includes('x')", "C(2,a,'x').includes('x')");
        check("['x', 'z'].includes(a)", "['x', 'z'].includes(C(2,a,'x','z'))");
        check("['x', y].includes(a)", "C(0,0,['x', y]).includes(C(1,0,a))");
        check("list.has(a)", "C(0,0,list).has(C(1,0,a))");
        check("/^x+$/.test(a)", "/^x+$/.test(C(2,a,/^x+$/))");
        check("a.match(/x/)", "C(2,a,/x/).match(/x/)");
    }

    #[test]
    fn what_cannot_be_a_name_is_left() {
        for source in [
            "typeof a === 'x'",
            "a === 1",
            "a === null",
            "a === undefined",
            "'a' === 'b'",
            "a?.b.includes('x')",
            "!a === b",
        ] {
            check(source, source);
        }
    }
}
