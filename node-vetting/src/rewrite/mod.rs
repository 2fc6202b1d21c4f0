//! Rewrites source text before it runs, without moving a line: so that direct calls of `eval` tell what they evaluate,
//! so that the name otherwise means the guest's telling one, and, where coverage is asked for, so that every function
//! and branch tells that it ran, and every comparison what is compared.
//!
//! `eval(text)` runs in the scope around it, so it cannot be wrapped by a function; its argument can. A branch is marked
//! by an assignment to its cell of an array. The names of that function and array come from a hash of the text, so that
//! no text can hold them.

mod cells;
mod compared;
mod esm;

use std::thread;

use oxc_allocator::Allocator;
use oxc_ast::ast::{CallExpression, Expression, IdentifierReference, ObjectProperty, Program};
use oxc_ast_visit::{Visit, walk};
use oxc_parser::{ParseOptions, Parser};
use oxc_span::{GetSpan, SourceType};
use sha2::{Digest, Sha256};

use crate::analysis::{MAX_DEPTH, MAX_SOURCE, STACK, nesting};
use crate::closure::hex;

pub use cells::{Cell, cells};
pub use esm::{exports, is_module};

/// Source text, rewritten.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rewritten {
    /// The text to run.
    pub text: Vec<u8>,
    /// Where the functions and branches start that its cells stand for, as [`Cell::told`].
    pub cells: Vec<u32>,
}

/// Names that a text cannot hold by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Names {
    /// The function that is told what is evaluated.
    pub seen: String,
    /// The array of cells.
    pub ran: String,
    /// The function that is told what is compared.
    pub compared: String,
}

impl Names {
    /// The names for a text.
    #[must_use]
    pub fn of(source: &[u8]) -> Self {
        let tail = hex(&Sha256::digest(source)[..8]);
        Self {
            seen: format!("$s{tail}"),
            ran: format!("$r{tail}"),
            compared: format!("$c{tail}"),
        }
    }
}

/// Rewrites a CommonJS text; none when there is nothing to rewrite, or the text cannot be read.
#[must_use]
pub fn rewrite(source: &[u8], names: &Names, coverage: bool, comparisons: bool) -> Option<Rewritten> {
    // Parsing costs more than everything else here, and few files have the word.
    if !coverage && !comparisons && memchr::memmem::find(source, b"eval").is_none() {
        return None;
    }
    let text = std::str::from_utf8(source).ok()?;
    with_program(text, SourceType::cjs(), |program| {
        let mut evals = Evals::default();
        evals.visit_program(program);
        let mut marks = Marks::default();
        for (start, end) in evals.arguments {
            marks.around(start, end, format!("{}(", names.seen), ")");
        }
        for start in evals.others {
            marks.before(start, "globalThis.".to_owned());
        }
        for end in evals.shorthands {
            marks.before(end, ": globalThis.eval".to_owned());
        }
        let mut starts = Vec::new();
        if coverage {
            for (cell, at) in cells::of(program).iter().zip(0_usize..) {
                starts.push(cell.told);
                cell.mark(&names.ran, at, &mut marks);
            }
        }
        if comparisons {
            compared::mark(program, text, &names.compared, &mut marks);
        }
        (!marks.0.is_empty()).then(|| Rewritten {
            text: marks.into(source),
            cells: starts,
        })
    })?
}

/// Levels that any stack has room for, even below a guest that has used most of it.
const SHALLOW: usize = 50;

/// Parses a text; none when it cannot be read, or is nested so deep that nothing else reads it either.
pub(crate) fn with_program<T: Send>(
    text: &str,
    kind: SourceType,
    work: impl FnOnce(&Program<'_>) -> T + Send,
) -> Option<T> {
    let depth = nesting::depth(text.as_bytes());
    if depth > MAX_DEPTH || text.len() > MAX_SOURCE {
        return None;
    }
    if depth <= SHALLOW {
        return parsed(text, kind, work);
    }
    thread::scope(|scope| {
        let parsing = thread::Builder::new().stack_size(STACK);
        let parsing = parsing.spawn_scoped(scope, || parsed(text, kind, work)).ok()?;
        parsing.join().ok()?
    })
}

fn parsed<T>(text: &str, kind: SourceType, work: impl FnOnce(&Program<'_>) -> T) -> Option<T> {
    let allocator = Allocator::default();
    let parsed = Parser::new(&allocator, text, kind)
        .with_options(ParseOptions {
            allow_return_outside_function: true,
            ..ParseOptions::default()
        })
        .parse();
    (!parsed.panicked).then(|| work(&parsed.program))
}

/// Places of `eval`: the name means the engine's own function in a module, so that direct calls work.
#[derive(Default)]
struct Evals {
    /// First arguments of direct calls.
    arguments: Vec<(u32, u32)>,
    /// The name where it is no direct call: whoever holds the engine's own function evaluates unseen.
    others: Vec<u32>,
    /// Ends of the name where it stands for a property and its value.
    shorthands: Vec<u32>,
}

impl<'a> Visit<'a> for Evals {
    fn visit_call_expression(&mut self, call: &CallExpression<'a>) {
        if let Expression::Identifier(name) = &call.callee
            && name.name == "eval"
            && !call.optional
            && let Some(argument) = call.arguments.first()
            && !argument.is_spread()
        {
            let span = argument.span();
            self.arguments.push((span.start, span.end));
            self.visit_arguments(&call.arguments);
        } else {
            walk::walk_call_expression(self, call);
        }
    }

    fn visit_identifier_reference(&mut self, name: &IdentifierReference<'a>) {
        if name.name == "eval" {
            self.others.push(name.span.start);
        }
    }

    fn visit_object_property(&mut self, property: &ObjectProperty<'a>) {
        // `{ eval }` is key and value in one.
        if property.shorthand {
            if property.key.is_specific_static_name("eval") {
                self.shorthands.push(property.span.end);
            }
            return;
        }
        walk::walk_object_property(self, property);
    }
}

/// Texts to put in between. At the same place, what ends stands before what begins; of what begins the outer is first,
/// of what ends the inner.
#[derive(Default)]
struct Marks(Vec<(u32, bool, u32, String)>);

impl Marks {
    fn before(&mut self, at: u32, text: String) {
        // Longer things begin first; what has no end is innermost.
        self.0.push((at, true, 0, text));
    }

    fn around(&mut self, start: u32, end: u32, open: String, close: &str) {
        let length = end - start;
        self.0.push((start, true, u32::MAX - length, open));
        self.0.push((end, false, length, close.to_owned()));
    }

    /// The text with the marks in it.
    fn into(mut self, source: &[u8]) -> Vec<u8> {
        self.0.sort_by_key(|(at, begins, rank, _)| (*at, *begins, *rank));
        let mut text = Vec::with_capacity(source.len() + self.0.len() * 24);
        let mut from = 0;
        for (at, _, _, mark) in self.0 {
            text.extend_from_slice(&source[from..at as usize]);
            text.extend_from_slice(mark.as_bytes());
            from = at as usize;
        }
        text.extend_from_slice(&source[from..]);
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(source: &str, expected: Option<&str>) {
        let names = Names {
            seen: "S".to_owned(),
            ran: "R".to_owned(),
            compared: "C".to_owned(),
        };
        let told = rewrite(source.as_bytes(), &names, false, false)
            .map(|done| String::from_utf8(done.text).expect("text"));
        assert_eq!(told.as_deref(), expected);
    }

    #[test]
    fn evals_are_told() {
        check("var a = 1;", None);
        check(
            "(0, eval)('x'); window.eval(y); evaluate(1);",
            Some("(0, globalThis.eval)('x'); window.eval(y); evaluate(1);"),
        );
        check(
            "f = eval; ({ eval })",
            Some("f = globalThis.eval; ({ eval: globalThis.eval })"),
        );
        check("eval?.(a)", Some("globalThis.eval?.(a)"));
        check("return eval( x,\n y)", Some("return eval( S(x),\n y)"));
        check("eval(eval(a))", Some("eval(S(eval(S(a))))"));
        check("eval(...a)", Some("globalThis.eval(...a)"));
        check("eval(", None);
    }

    #[test]
    fn names_stand_in_no_text() {
        let one = Names::of(b"one");
        assert_ne!(one, Names::of(one.seen.as_bytes()));
    }
}
