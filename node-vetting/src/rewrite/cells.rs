//! Cells of coverage: one for each function, branch, loop and case, from where it starts to where it ends.

use oxc_ast::ast::{
    ArrowFunctionExpression, CatchClause, ConditionalExpression, Expression, ForInStatement, ForOfStatement,
    ForStatement, Function, FunctionBody, IfStatement, LogicalExpression, Program, Statement, SwitchCase,
    WhileStatement,
};
use oxc_ast_visit::{Visit, walk};
use oxc_span::{GetSpan, SourceType, Span};
use oxc_syntax::scope::ScopeFlags;

use super::{Marks, with_program};

/// A part of a text that runs as a whole or not at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cell {
    /// Where it starts, in bytes.
    pub start: u32,
    /// Where it ends.
    pub end: u32,
    /// What it is told by: where a function starts with all that stands before its body, else where the cell does.
    pub told: u32,
    kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    /// Statements: the mark is one more in front of them.
    Statements,
    /// The same behind directives, of which the last may lack its semicolon.
    Directed,
    /// One statement without braces, which it needs to take a mark.
    Bare,
    /// An expression.
    Expression,
}

impl Cell {
    pub(super) fn mark(self, array: &str, at: usize, marks: &mut Marks) {
        match self.kind {
            Kind::Statements => marks.before(self.start, format!("{array}[{at}]=1;")),
            Kind::Directed => marks.before(self.start, format!(";{array}[{at}]=1;")),
            Kind::Bare => marks.around(self.start, self.end, format!("{{{array}[{at}]=1;"), "}"),
            Kind::Expression => marks.around(self.start, self.end, format!("({array}[{at}]=1,"), ")"),
        }
    }
}

/// The cells of a CommonJS text, in the order of its array; none when it cannot be read.
#[must_use]
pub fn cells(source: &str) -> Option<Vec<Cell>> {
    with_program(source, SourceType::cjs(), of)
}

pub(super) fn of(program: &Program<'_>) -> Vec<Cell> {
    let mut finder = Finder(Vec::new());
    finder.visit_program(program);
    finder.0
}

struct Finder(Vec<Cell>);

impl Finder {
    fn add(&mut self, start: u32, end: u32, kind: Kind) {
        self.0.push(Cell {
            start,
            end,
            told: start,
            kind,
        });
    }

    /// The body of a function that starts somewhere before it.
    fn body(&mut self, told: u32, body: &FunctionBody<'_>) {
        // Directives only count in front.
        let (start, kind) = match body.directives.last() {
            Some(last) => (last.span.end, Kind::Directed),
            None => (body.span.start + 1, Kind::Statements),
        };
        self.0.push(Cell {
            start,
            end: body.span.end,
            told,
            kind,
        });
    }

    fn expression(&mut self, expression: &Expression<'_>) {
        let span = expression.span();
        self.add(span.start, span.end, Kind::Expression);
    }

    /// A statement that may run or not.
    fn branch(&mut self, statement: &Statement<'_>) {
        let span = statement.span();
        match statement {
            Statement::BlockStatement(_) => self.block(span),
            // Hoisted out of where it stands in sloppy code; it has a cell of its own.
            Statement::FunctionDeclaration(_) => {}
            // `else if`: the inner one has its branches.
            Statement::IfStatement(_) => {}
            _ => self.add(span.start, span.end, Kind::Bare),
        }
    }

    /// What stands in braces.
    fn block(&mut self, span: Span) {
        self.add(span.start + 1, span.end, Kind::Statements);
    }
}

impl<'a> Visit<'a> for Finder {
    fn visit_function(&mut self, function: &Function<'a>, flags: ScopeFlags) {
        if let Some(body) = &function.body {
            self.body(function.span.start, body);
        }
        walk::walk_function(self, function, flags);
    }

    fn visit_arrow_function_expression(&mut self, function: &ArrowFunctionExpression<'a>) {
        let told = function.span.start;
        if let Some(body) = function.body.as_function_body() {
            self.body(told, body);
        } else if let Some(expression) = function.body.as_expression() {
            let span = expression.span();
            self.0.push(Cell {
                start: span.start,
                end: span.end,
                told,
                kind: Kind::Expression,
            });
        }
        walk::walk_arrow_function_expression(self, function);
    }

    fn visit_if_statement(&mut self, statement: &IfStatement<'a>) {
        self.branch(&statement.consequent);
        if let Some(alternate) = &statement.alternate {
            self.branch(alternate);
        }
        walk::walk_if_statement(self, statement);
    }

    fn visit_conditional_expression(&mut self, expression: &ConditionalExpression<'a>) {
        self.expression(&expression.consequent);
        self.expression(&expression.alternate);
        walk::walk_conditional_expression(self, expression);
    }

    fn visit_logical_expression(&mut self, expression: &LogicalExpression<'a>) {
        self.expression(&expression.right);
        walk::walk_logical_expression(self, expression);
    }

    fn visit_switch_case(&mut self, case: &SwitchCase<'a>) {
        if let (Some(first), Some(last)) = (case.consequent.first(), case.consequent.last()) {
            self.add(first.span().start, last.span().end, Kind::Statements);
        }
        walk::walk_switch_case(self, case);
    }

    fn visit_catch_clause(&mut self, clause: &CatchClause<'a>) {
        self.block(clause.body.span);
        walk::walk_catch_clause(self, clause);
    }

    fn visit_while_statement(&mut self, statement: &WhileStatement<'a>) {
        self.branch(&statement.body);
        walk::walk_while_statement(self, statement);
    }

    fn visit_for_statement(&mut self, statement: &ForStatement<'a>) {
        self.branch(&statement.body);
        walk::walk_for_statement(self, statement);
    }

    fn visit_for_in_statement(&mut self, statement: &ForInStatement<'a>) {
        self.branch(&statement.body);
        walk::walk_for_in_statement(self, statement);
    }

    fn visit_for_of_statement(&mut self, statement: &ForOfStatement<'a>) {
        self.branch(&statement.body);
        walk::walk_for_of_statement(self, statement);
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Names, rewrite};
    use super::*;

    fn check(source: &str, expected: &str) {
        let names = Names {
            seen: "S".to_owned(),
            ran: "R".to_owned(),
            compared: "C".to_owned(),
        };
        let done = rewrite(source.as_bytes(), &names, true, false).expect("it has cells");
        assert_eq!(String::from_utf8(done.text).expect("text"), expected);
        assert_eq!(done.cells.len(), cells(source).expect("it is read").len());
    }

    #[test]
    fn functions_are_told_by_their_own_start() {
        let source =
            "x(); async function f(a = () => 1) { y }; const g = async (b) => b; class A { m() { z } }";
        let found = cells(source).expect("it is read");
        let told: Vec<&str> = found
            .iter()
            .map(|cell| &source[cell.told as usize..][..6])
            .collect();
        assert_eq!(told, ["async ", "() => ", "async ", "() { z"]);
    }

    #[test]
    fn functions_and_branches_are_marked() {
        check(
            "function f(){'use strict';a}",
            "function f(){'use strict';;R[0]=1;a}",
        );
        check("x=()=>a?b:c", "x=()=>(R[0]=1,a?(R[1]=1,b):(R[2]=1,c))");
        check("x=()=>({a})", "x=()=>(R[0]=1,({a}))");
        check(
            "if(a)b;else if(c){d}else e",
            "if(a){R[0]=1;b;}else if(c){R[1]=1;d}else {R[2]=1;e}",
        );
        check("a||b&&c", "a||(R[0]=1,b&&(R[1]=1,c))");
        check("for(;;)x", "for(;;){R[0]=1;x}");
        check(
            "switch(a){case 1:b;break;default:}",
            "switch(a){case 1:R[0]=1;b;break;default:}",
        );
        check("try{a}catch{b}", "try{a}catch{R[0]=1;b}");
        check("a&&eval(b)", "a&&(R[0]=1,eval(S(b)))");
        check("class A{m(){x}static{y}}", "class A{m(){R[0]=1;x}static{y}}");
    }
}
