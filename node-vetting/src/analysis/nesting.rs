//! How deeply code is nested, told without recursion: a parser that descends must not be led too deep.
//!
//! The answer is an upper bound. Brackets nest, and so do operators, member accesses, calls and statements without
//! braces; all of them are counted until something ends the statement or the element of a list. Regular
//! expressions are told from divisions by what stands before them. Where that cannot be told for sure, the rest is
//! counted as if it were all nesting, so that no trick with quotes can hide depth: such a file is refused when
//! it could be too deep.

/// What stands before a token, as far as it matters.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Before {
    /// Nothing, or something after which a statement starts.
    Statement,
    /// An operator: an operand follows.
    Operator,
    /// An operand: an operator follows, or the statement is over.
    Operand,
    /// `if`, `while`, `for` or `with`: a parenthesis follows, and then a statement.
    Condition,
    /// Something that closed, and nothing can be said of a slash after it.
    Unclear,
}

/// What a brace, bracket or parenthesis is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Statements.
    Block,
    /// The body of an arrow function: no operator can follow it.
    Arrow,
    /// An object, a class or the body of a function that is part of an expression.
    Value,
    /// A block or a value.
    Unclear,
    /// `(` or `[`.
    Group,
    /// `(` after `if` and the like.
    Condition,
    /// `${` in a template.
    Template,
}

struct Level {
    kind: Kind,
    /// What may nest, since the statement or element began.
    chain: usize,
    /// The part of it that is statements around the present one.
    base: usize,
    /// The chain at the end of the last statement: `else` goes on from there.
    last: usize,
    /// A `function` or `class` whose body has not come yet, and what that will be.
    pending: Option<Kind>,
}

impl Level {
    const fn new(kind: Kind) -> Self {
        Self {
            kind,
            chain: 0,
            base: 0,
            last: 0,
            pending: None,
        }
    }

    fn end_statement(&mut self) {
        self.last = self.chain;
        self.chain = 0;
        self.base = 0;
    }
}

/// An upper bound of how deeply a parser would descend.
pub(crate) fn depth(source: &[u8]) -> usize {
    let mut scan = Scan {
        source,
        at: 0,
        levels: vec![Level::new(Kind::Block)],
        before: Before::Statement,
        dot: false,
        arrow: false,
        glue: false,
        outer: 0,
        most: 0,
    };
    match scan.run() {
        Ok(()) => scan.most,
        // From here on nothing is believed: everything that could nest is taken to nest.
        Err(Unsure) => scan.most + source[scan.at..].iter().filter(|byte| could_nest(**byte)).count(),
    }
}

/// It cannot be told whether a slash divides or starts a regular expression.
struct Unsure;

const fn could_nest(byte: u8) -> bool {
    matches!(
        byte,
        b'(' | b'['
            | b'{'
            | b'!'
            | b'~'
            | b'+'
            | b'-'
            | b'?'
            | b'='
            | b'.'
            | b':'
            | b'`'
            | b'*'
            | b'&'
            | b'|'
    )
}

struct Scan<'s> {
    source: &'s [u8],
    at: usize,
    levels: Vec<Level>,
    before: Before,
    /// The last token was a dot: a name follows, whatever it is.
    dot: bool,
    /// The last tokens were `=>`.
    arrow: bool,
    /// The last token was a word that may stand before an operand without an operator.
    glue: bool,
    /// Depth of all levels but the innermost.
    outer: usize,
    most: usize,
}

/// Words after which an operand or a statement follows.
const PREFIX: [&[u8]; 17] = [
    b"typeof",
    b"void",
    b"delete",
    b"new",
    b"return",
    b"throw",
    b"in",
    b"instanceof",
    b"do",
    b"extends",
    b"if",
    b"while",
    b"for",
    b"with",
    b"catch",
    b"switch",
    b"else",
];
/// Words that are operators in some places and names in others.
const EITHER: [&[u8]; 5] = [b"yield", b"await", b"of", b"let", b"async"];
/// Words that start a statement and cannot go on with an expression.
const STARTS: [&[u8]; 9] = [
    b"var",
    b"const",
    b"import",
    b"export",
    b"case",
    b"default",
    b"break",
    b"continue",
    b"debugger",
];

impl Scan<'_> {
    fn peek(&self, ahead: usize) -> u8 {
        self.source.get(self.at + ahead).copied().unwrap_or(0)
    }

    /// The next byte that is no blank.
    fn next(&self) -> u8 {
        let mut rest = self.source[self.at..].iter();
        rest.find(|byte| !byte.is_ascii_whitespace())
            .copied()
            .unwrap_or(0)
    }

    fn level(&mut self) -> &mut Level {
        let last = self.levels.len() - 1;
        &mut self.levels[last]
    }

    fn deepen(&mut self) {
        self.level().chain += 1;
        let now = self.outer + self.levels.len() + self.level().chain;
        self.most = self.most.max(now);
    }

    fn run(&mut self) -> Result<(), Unsure> {
        if self.source.starts_with(b"#!") {
            self.skip_line();
        }
        while self.at < self.source.len() {
            let byte = self.source[self.at];
            if matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c) {
                self.at += 1;
                continue;
            }
            if byte == b'/' {
                self.slash()?;
                continue;
            }
            let (dot, arrow, glue) = (self.dot, self.arrow, self.glue);
            (self.dot, self.arrow, self.glue) = (false, false, false);
            match byte {
                b'"' | b'\'' => {
                    self.operand(glue);
                    self.string(byte);
                }
                b'`' => {
                    self.deepen();
                    self.at += 1;
                    self.template();
                }
                b'(' | b'[' | b'{' => self.open(byte, arrow, glue),
                b')' | b']' | b'}' => self.close(byte),
                b';' => {
                    self.level().end_statement();
                    self.before = Before::Statement;
                    self.at += 1;
                }
                b',' => {
                    let level = self.level();
                    level.chain = level.base;
                    self.before = Before::Operator;
                    self.at += 1;
                }
                b'a'..=b'z' | b'A'..=b'Z' | b'_' | b'$' | b'#' | b'@' | b'\\' | 0x80.. => {
                    self.word(dot, glue)?;
                }
                b'0'..=b'9' => {
                    self.operand(glue);
                    while self.peek(0).is_ascii_alphanumeric() || matches!(self.peek(0), b'.' | b'_') {
                        self.at += 1;
                    }
                }
                _ => self.operator(byte)?,
            }
        }
        Ok(())
    }

    fn operator(&mut self, byte: u8) -> Result<(), Unsure> {
        let rest = &self.source[self.at..];
        // In scripts these begin comments, the second one only at the start of a line; in modules they do not.
        if rest.starts_with(b"<!--") || rest.starts_with(b"-->") && self.starts_line() {
            return Err(Unsure);
        }
        self.deepen();
        match byte {
            // `x++` leaves an operand, `++x` waits for one.
            b'+' | b'-' if self.peek(1) == byte => {
                self.at += 2;
                return Ok(());
            }
            b'.' if rest.starts_with(b"...") => self.at += 2,
            b'.' => self.dot = true,
            b'=' if self.peek(1) == b'>' => {
                self.at += 1;
                self.arrow = true;
            }
            b':' if self.before == Before::Operand => {
                let level = self.level();
                if matches!(level.kind, Kind::Block | Kind::Arrow) {
                    level.base = level.chain;
                }
                self.at += 1;
                self.before = Before::Operator;
                // After a label comes a statement, after `? x :` an operand.
                self.glue = true;
                return Ok(());
            }
            _ => {}
        }
        self.at += 1;
        self.before = Before::Operator;
        Ok(())
    }

    /// Whether nothing but blanks and a comment stands before on the line.
    fn starts_line(&self) -> bool {
        let before = self.source[..self.at].iter().rev();
        let last = before.copied().find(|byte| !matches!(byte, b' ' | b'\t'));
        matches!(last, None | Some(b'\n' | b'\r' | b'/' | 0x80..))
    }

    /// An operand begins. After another one the statement was over: a semicolon was left out.
    fn operand(&mut self, glue: bool) {
        if matches!(self.before, Before::Operand | Before::Unclear) && !glue {
            self.level().end_statement();
        }
        self.before = Before::Operand;
    }

    fn skip_line(&mut self) {
        while self.at < self.source.len() && !matches!(self.source[self.at], b'\n' | b'\r') {
            self.at += 1;
        }
    }

    fn string(&mut self, quote: u8) {
        self.at += 1;
        while self.at < self.source.len() {
            match self.source[self.at] {
                b'\\' => self.at += 2,
                b'\n' => return,
                byte => {
                    self.at += 1;
                    if byte == quote {
                        return;
                    }
                }
            }
        }
    }

    /// The text of a template, up to its end or to what is put into it.
    fn template(&mut self) {
        while self.at < self.source.len() {
            match self.source[self.at] {
                b'\\' => self.at += 2,
                b'`' => {
                    self.at += 1;
                    self.before = Before::Operand;
                    return;
                }
                b'$' if self.peek(1) == b'{' => {
                    self.at += 2;
                    self.push(Kind::Template);
                    self.before = Before::Operator;
                    return;
                }
                _ => self.at += 1,
            }
        }
    }

    /// A comment, a division or a regular expression.
    fn slash(&mut self) -> Result<(), Unsure> {
        match self.peek(1) {
            b'/' => self.skip_line(),
            b'*' => {
                let rest = &self.source[self.at + 2..];
                let end = memchr::memmem::find(rest, b"*/").map_or(rest.len(), |end| end + 2);
                self.at += 2 + end;
            }
            _ if self.before == Before::Unclear || self.dot => return Err(Unsure),
            _ if self.before == Before::Operand && !self.glue => {
                self.deepen();
                self.before = Before::Operator;
                self.at += 1;
            }
            // After a word that may be a name.
            _ if self.before == Before::Operand => return Err(Unsure),
            _ => {
                let start = self.at;
                self.before = Before::Operand;
                self.glue = false;
                self.arrow = false;
                if !self.regular_expression() {
                    self.at = start;
                    return Err(Unsure);
                }
            }
        }
        Ok(())
    }

    /// Skips a regular expression; false when it has no end on its line.
    fn regular_expression(&mut self) -> bool {
        self.at += 1;
        let mut class = false;
        while self.at < self.source.len() {
            match self.source[self.at] {
                b'\\' => self.at += 1,
                b'[' => class = true,
                b']' => class = false,
                b'/' if !class => {
                    self.at += 1;
                    while self.peek(0).is_ascii_alphabetic() {
                        self.at += 1;
                    }
                    return true;
                }
                b'\n' => return false,
                _ => {}
            }
            self.at += 1;
        }
        false
    }

    fn push(&mut self, kind: Kind) {
        self.deepen();
        self.outer += self.level().chain;
        self.levels.push(Level::new(kind));
    }

    fn open(&mut self, byte: u8, arrow: bool, glue: bool) {
        let kind = match byte {
            b'{' => self.brace(arrow, glue),
            b'(' if self.before == Before::Condition => Kind::Condition,
            _ => Kind::Group,
        };
        self.push(kind);
        self.before = match kind {
            Kind::Block | Kind::Arrow => Before::Statement,
            _ => Before::Operator,
        };
        self.at += 1;
    }

    fn brace(&mut self, arrow: bool, glue: bool) -> Kind {
        if let Some(pending) = self.level().pending.take() {
            return pending;
        }
        match self.before {
            _ if arrow => Kind::Arrow,
            _ if glue => Kind::Unclear,
            Before::Operator => Kind::Value,
            Before::Unclear => Kind::Unclear,
            Before::Statement | Before::Condition | Before::Operand => Kind::Block,
        }
    }

    fn close(&mut self, byte: u8) {
        self.at += 1;
        let mut kind = Kind::Block;
        if self.levels.len() > 1 {
            kind = self.levels.pop().map_or(Kind::Block, |level| level.kind);
            self.outer -= self.level().chain;
        }
        self.before = match kind {
            Kind::Template if byte == b'}' => return self.template(),
            Kind::Condition => {
                let level = self.level();
                level.base = level.chain;
                Before::Statement
            }
            // Nothing that goes on can follow a block: the statement is over.
            Kind::Block => {
                self.level().end_statement();
                Before::Statement
            }
            Kind::Arrow => Before::Statement,
            Kind::Unclear => Before::Unclear,
            Kind::Value | Kind::Group | Kind::Template => Before::Operand,
        };
    }

    fn word(&mut self, dot: bool, glue: bool) -> Result<(), Unsure> {
        let start = self.at;
        while self.at < self.source.len()
            && (self.source[self.at].is_ascii_alphanumeric()
                || matches!(self.source[self.at], b'_' | b'$' | b'#' | b'@' | b'\\' | 0x80..))
        {
            self.at += 1;
            // `\u{41}` in a name.
            if self.source[..self.at].ends_with(b"\\u") && self.peek(0) == b'{' {
                let rest = &self.source[self.at..];
                self.at += memchr::memchr(b'}', rest).map_or(rest.len(), |end| end + 1);
            }
        }
        let word = &self.source[start..self.at];
        // A name in disguise is no keyword to us; it may be one to others.
        if word.contains(&b'\\') && self.next() == b'/' {
            return Err(Unsure);
        }
        // A property by the name of a keyword is none.
        if dot
            || word.len() < 2
            || self.next() == b':' && self.before == Before::Operator && word != b"default"
        {
            self.operand(glue);
        } else if STARTS.contains(&word) {
            self.start(word, glue);
        } else if word == b"function" || word == b"class" {
            let body = match self.before {
                _ if glue => Kind::Unclear,
                Before::Operator => Kind::Value,
                Before::Unclear => Kind::Unclear,
                _ => Kind::Block,
            };
            self.operand(glue);
            self.deepen();
            self.level().pending = Some(body);
            self.glue = true;
        } else if PREFIX.contains(&word) {
            self.prefix(word, glue);
        } else if EITHER.contains(&word) {
            // `for await (`, and `async` before a function, change nothing of what stands before them.
            if self.before != Before::Condition {
                self.operand(glue);
            }
            self.deepen();
            self.glue = true;
        } else {
            self.operand(glue);
        }
        Ok(())
    }

    fn start(&mut self, word: &[u8], glue: bool) {
        if word == b"import" && matches!(self.next(), b'(' | b'.') {
            return self.operand(glue);
        }
        self.level().end_statement();
        self.before = match word {
            b"export" | b"break" | b"continue" | b"debugger" => Before::Statement,
            _ => Before::Operator,
        };
        // A function after `export default` is a statement, and other things there are not.
        self.glue = word == b"default";
    }

    fn prefix(&mut self, word: &[u8], glue: bool) {
        match word {
            b"else" => {
                let level = self.level();
                level.chain = level.last;
            }
            b"in" | b"instanceof" | b"extends" => {}
            _ if matches!(self.before, Before::Operand | Before::Unclear) && !glue => {
                self.level().end_statement();
            }
            _ => {}
        }
        self.deepen();
        self.before = match word {
            b"if" | b"while" | b"for" | b"with" => Before::Condition,
            b"else" | b"do" => {
                let level = self.level();
                level.base = level.chain;
                Before::Statement
            }
            b"catch" | b"switch" => Before::Operand,
            _ => Before::Operator,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(source: &str) -> usize {
        depth(source.as_bytes())
    }

    #[test]
    fn what_nests_is_counted() {
        for (unit, end) in [
            ("[", ""),
            ("(", ""),
            ("{", ""),
            ("!", "x"),
            ("typeof ", "x"),
            ("await ", "x"),
            ("await typeof ", "x"),
            ("a=>", "x"),
            ("async a=>", "x"),
            ("a?b:", "x"),
            ("a=>{}\n?b:", "x"),
            ("a+", "x"),
            ("a.", "b"),
            ("a().b", "()"),
            ("if(a)", "x"),
            ("if(a)x;else ", "x"),
            ("if(a){}else ", "x"),
            ("for(;;)", "x"),
            ("for await(a of b)", "x"),
            ("a:", "x"),
            ("`${", ""),
            ("`b`", ""),
            ("function f(){", ""),
            ("x={a(){", ""),
            ("new ", "x"),
            ("/[/]/,[", ""),
            ("/* [ */ [ // [\n", ""),
            ("'[' + [", ""),
            ("if (a) /[/]/.b(); else ", "x"),
            ("if(a)b,c?d:", "x"),
            ("x = 1 / [", ""),
            ("x. if (a) / [", ""),
            ("a?function f(){}:", "x"),
        ] {
            let source = format!("{}{end}", unit.repeat(1000));
            assert!(of(&source) >= 1000, "{unit}: {}", of(&source));
        }
    }

    #[test]
    fn what_does_not_nest_is_not() {
        for unit in [
            "a();",
            "a()\n",
            "x = 1\n",
            "var a = require('b')\n",
            "if(a){b()}else{c()}",
            "if (a) b(); else c();",
            "function f(a, b) { return a / b }\n",
            "x = function () { return /[(]/ }\n",
            "class A { m() { return 1 } n() {} }\n",
            "[1, 2, {a: 1}],",
            "case 1: break;",
            "let a = `x${b}y`\n",
            "const f = (a) => { b() }\n",
            "import a from 'b'\n",
            "export default class {}\n",
            "if (a) { x() } /re[/]/.test(b);",
            "// it's\n",
            "/* don't */",
            "try { a() } catch (e) { b() } finally { c() }\n",
            "do { a() } while (b)\n",
            "switch (a) { case 1: b(); break; default: c() }\n",
            "async function f() { await a; }\n",
            "while (a-->0) b();",
            "x = {\\u00EE: 1, \\u{EE}: 2};",
        ] {
            let source = unit.repeat(1000);
            assert!(of(&source) < 50, "{unit}: {}", of(&source));
        }
    }

    /// Where a slash could mean both, nothing can be hidden behind it.
    #[test]
    fn nothing_hides_behind_a_slash() {
        let deep = "[".repeat(1000);
        for before in [
            "a:{}",
            "x=()=>{}\n",
            "export default function(){}",
            "function*f(){yield {}",
            "x=async function(){}",
            "break\n{}",
            "let ",
            "yield\n",
            "x = y ? {} : {}",
        ] {
            for trick in [
                format!("/`/;{deep}"),
                format!("/{deep}/ 1"),
                format!("/\"/;{deep}"),
            ] {
                let source = format!("{before}{trick}");
                assert!(of(&source) >= 1000, "{source:.40}: {}", of(&source));
            }
        }
    }
}
