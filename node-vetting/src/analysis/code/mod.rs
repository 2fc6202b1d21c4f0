//! One file of code: parsed once, then asked what it could do, what it hides and what it mentions.

mod calls;
mod doors;
mod gates;
mod members;
pub(crate) mod names;
mod paths;
mod shapes;
mod texts;
mod tricks;
mod writes;

use std::collections::BTreeSet;

use oxc_allocator::Allocator;
use oxc_ast::AstKind;
use oxc_parser::{ParseOptions, Parser};
use oxc_semantic::{Semantic, SemanticBuilder};
use oxc_span::{GetSpan, SourceType};
use oxc_syntax::node::NodeId;

use super::finding::{About, Half};
use super::nesting;
use crate::capability::Capability;
use names::Names;

/// Deepest nesting that is parsed. The deepest of 25,000 real files has 1,500.
pub(crate) const MAX_DEPTH: usize = 5000;
/// Longest source that is read, in bytes. What is made of one takes some hundred times as much memory; the largest files in use,
/// whole compilers, have nine megabytes.
pub(crate) const MAX_SOURCE: usize = 10 << 20;
/// Most sites, and most other findings, that one file may have; a flood of them is cut, and told.
const MAX_FOUND: usize = 5000;

/// How a file is to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct How {
    /// Which half it belongs to.
    pub(crate) half: Half,
    /// Whether it is a module with `import`, where its name or its package says so.
    pub(crate) module: bool,
    /// Whether Node-RED itself loads it.
    pub(crate) entry: bool,
}

/// Something that a file could do.
#[derive(Clone, Debug)]
pub(crate) struct Site {
    pub(crate) offset: u32,
    pub(crate) function: u32,
    pub(crate) capability: Capability,
    pub(crate) via: String,
}

/// What was found in one file, by offsets.
#[derive(Clone, Debug, Default)]
pub(crate) struct Found {
    pub(crate) sites: Vec<Site>,
    pub(crate) abouts: Vec<(u32, About)>,
    /// Modules that it loads by names that stand in it.
    pub(crate) loads: Vec<(u32, String)>,
    /// Texts that look like names of modules: who is named there may be loaded by somebody else.
    pub(crate) named: BTreeSet<String>,
    /// Node types that it registers.
    pub(crate) types: Vec<String>,
}

impl Found {
    fn unparsable(why: impl Into<String>) -> Self {
        let why = why.into();
        Self {
            abouts: vec![(0, About::Unparsable { why })],
            ..Self::default()
        }
    }
}

/// Reads a file. Runs where the stack is large enough for [`MAX_DEPTH`].
pub(crate) fn read(source: &str, how: How) -> Found {
    if source.len() > MAX_SOURCE {
        return Found::unparsable(format!("it has more than {} MB", MAX_SOURCE >> 20));
    }
    let depth = nesting::depth(source.as_bytes());
    if depth > MAX_DEPTH {
        return Found::unparsable(format!("it is nested more than {MAX_DEPTH} deep"));
    }
    let mut why = String::new();
    // What Node.js would take a file for depends on more than its name, so the other reading is tried as well.
    for module in [how.module, !how.module] {
        let allocator = Allocator::default();
        let kind = if module {
            SourceType::mjs()
        } else {
            SourceType::cjs()
        };
        let options = ParseOptions {
            allow_return_outside_function: true,
            preserve_parens: false,
            ..ParseOptions::default()
        };
        let parsed = Parser::new(&allocator, source, kind)
            .with_options(options)
            .parse();
        if !parsed.panicked && parsed.diagnostics.is_empty() {
            let semantic = SemanticBuilder::new()
                .with_build_nodes(true)
                .build(&parsed.program)
                .semantic;
            return Walk::over(&semantic, source, how);
        }
        if why.is_empty() {
            why = parsed
                .diagnostics
                .iter()
                .next()
                .map_or_else(String::new, |one| one.message.to_string());
        }
    }
    Found::unparsable(why)
}

/// What is asked of every part of a file.
pub(super) struct Walk<'a, 's> {
    semantic: &'s Semantic<'a>,
    names: Names<'a, 's>,
    how: How,
    found: Found,
    /// Whether something in the file decodes texts.
    decodes: bool,
    tally: tricks::Tally,
}

impl<'a, 's> Walk<'a, 's> {
    fn over(semantic: &'s Semantic<'a>, source: &str, how: How) -> Found {
        let mut walk = Self {
            semantic,
            names: Names::of(semantic, how.entry),
            how,
            found: Found::default(),
            decodes: false,
            tally: tricks::Tally::default(),
        };
        walk.look_at_source(source);
        for node in semantic.nodes().iter() {
            walk.look_at(node.id(), node.kind());
        }
        walk.sum_up();
        if walk.names.gave_up() {
            walk.about(
                0,
                About::Unparsable {
                    why: "its values are too much to follow".to_owned(),
                },
            );
        }
        walk.found
    }

    fn look_at(&mut self, id: NodeId, kind: AstKind<'a>) {
        match kind {
            AstKind::CallExpression(call) => {
                self.call(id, call);
                self.decoder(call);
            }
            AstKind::NewExpression(new) => self.constructed(id, new),
            AstKind::ImportExpression(import) => {
                self.load(id, import.span.start, &import.source, "import");
            }
            AstKind::ImportDeclaration(import) => self.loads(import.span.start, import.source.value.as_str()),
            AstKind::ExportFromDeclaration(export) => {
                self.loads(export.span.start, export.source.value.as_str());
            }
            AstKind::ExportAllDeclaration(export) => {
                self.loads(export.span.start, export.source.value.as_str());
            }
            AstKind::StaticMemberExpression(member) => self.static_member(id, member),
            AstKind::ComputedMemberExpression(member) => self.computed_member(id, member),
            AstKind::IdentifierReference(one) => self.identifier(id, one),
            AstKind::VariableDeclarator(declarator) => self.destructured(declarator),
            AstKind::AssignmentExpression(assignment) => self.assigned(id, assignment),
            AstKind::UnaryExpression(unary) => self.deleted(id, unary),
            AstKind::ObjectProperty(property) => self.property(id, property),
            AstKind::StringLiteral(text) => {
                self.text(id, text.span.start, text.value.as_str(), text.raw.as_deref());
            }
            AstKind::TemplateLiteral(template) => self.template(id, template),
            AstKind::BinaryExpression(pair) => {
                self.gate(pair);
                self.sum(id, pair);
            }
            AstKind::BindingIdentifier(name) => self.tally.name(name.name.as_str()),
            AstKind::ArrayExpression(array) => self.array(array),
            AstKind::WhileStatement(repeat) => self.tally.flattened_loop(&repeat.test, &repeat.body),
            _ => {}
        }
    }

    fn site(&mut self, id: NodeId, offset: u32, capability: impl Into<Capability>, via: impl Into<String>) {
        if self.found.sites.len() >= MAX_FOUND {
            return;
        }
        let function = self
            .semantic
            .nodes()
            .ancestors(id)
            .find(|node| {
                matches!(
                    node.kind(),
                    AstKind::Function(_) | AstKind::ArrowFunctionExpression(_)
                )
            })
            .map_or(0, |node| node.kind().span().start);
        self.found.sites.push(Site {
            offset,
            function,
            capability: capability.into(),
            via: via.into(),
        });
    }

    fn about(&mut self, offset: u32, about: About) {
        if self.found.abouts.len() < MAX_FOUND {
            self.found.abouts.push((offset, about));
        }
    }

    /// What stands directly around a part, parentheses taken away.
    fn parent(&self, id: NodeId) -> AstKind<'a> {
        self.semantic.nodes().parent_kind(id)
    }

    fn parents(&self, id: NodeId) -> impl Iterator<Item = AstKind<'a>> + '_ {
        self.semantic.nodes().ancestors(id).map(|node| node.kind())
    }

    fn is_editor(&self) -> bool {
        self.how.half != Half::Runtime
    }
}
