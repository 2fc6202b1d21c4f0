//! What expressions mean: which function of which module, under whatever name the code has put it.
//!
//! A meaning is written as a path: `child_process.exec`, `process.env.HOME`, `npm:axios.get`, `RED.httpAdmin.get`.
//! Values are followed through variables, destructuring, imports and the wrappers that compilers put around
//! modules; not through calls of the package's own functions and not from file to file.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, HashSet};

use oxc_ast::AstKind;
use oxc_ast::ast::{
    Argument, AssignmentTarget, BindingPattern, CallExpression, Expression, IdentifierReference,
    ImportDeclarationSpecifier, MemberExpression, ModuleExportName, PropertyKey,
};
use oxc_semantic::Semantic;
use oxc_syntax::node::NodeId;
use oxc_syntax::symbol::SymbolId;

use super::shapes;
use crate::builtin;

/// How many variables are followed before it is given up.
const MAX_HOPS: usize = 12;
/// Longest chain of variables that is followed for what they mean, where each is come to once.
const MAX_CHAIN: usize = 500;
/// How many values of one variable are looked at.
const MAX_VALUES: usize = 4;

/// Names of the object that all globals hang on.
const GLOBALS: [&str; 6] = ["global", "globalThis", "window", "self", "root", "GLOBAL"];

/// Steps that following the values of one file may take. Real files take some hundred thousand; a file that is
/// made to branch without end takes a second and is told.
const MAX_STEPS: u32 = 4_000_000;

/// One value that a variable may have: an expression and the property of it that is taken.
enum Value<'a> {
    Of(&'a Expression<'a>, Vec<String>),
    Named(String),
}

/// The meanings of one file.
pub(crate) struct Names<'a, 's> {
    semantic: &'s Semantic<'a>,
    values: HashMap<SymbolId, Vec<Value<'a>>>,
    known: RefCell<HashMap<SymbolId, Option<String>>>,
    /// Meanings of parts that were asked for before: long chains of calls and properties ask for each other.
    parts: RefCell<HashMap<NodeId, Option<String>>>,
    /// Variables that the question at hand has come to already: what else they may be is being found out, or was.
    visited: RefCell<HashSet<SymbolId>>,
    hops: Cell<usize>,
    steps: Cell<u32>,
}

/// The module of a specifier, as meanings write it. Files of the package itself have none.
pub(crate) fn module(specifier: &str) -> Option<String> {
    if let Some(builtin) = builtin::named(specifier) {
        // `path/posix` is `path`.
        let (top, rest) = builtin.split_once('/').unwrap_or((builtin, ""));
        let part = matches!(rest, "promises").then(|| format!("{top}.{rest}"));
        return Some(part.unwrap_or_else(|| top.to_owned()));
    }
    let bare = specifier.strip_prefix("node:").unwrap_or(specifier);
    if bare.is_empty() || bare.starts_with(['.', '/', '#']) {
        return None;
    }
    Some(format!("npm:{bare}"))
}

impl<'a, 's> Names<'a, 's> {
    /// Reads what the variables of a file may be. `entry` when Node-RED itself loads the file.
    pub(crate) fn of(semantic: &'s Semantic<'a>, entry: bool) -> Self {
        let mut names = Self {
            semantic,
            values: HashMap::new(),
            known: RefCell::default(),
            parts: RefCell::default(),
            visited: RefCell::default(),
            hops: Cell::new(0),
            steps: Cell::new(0),
        };
        for node in semantic.nodes().iter() {
            match node.kind() {
                AstKind::VariableDeclarator(declarator) => {
                    if let Some(init) = &declarator.init {
                        names.bind(&declarator.id, init, &[]);
                    }
                }
                AstKind::AssignmentExpression(assignment) => {
                    names.assign(&assignment.left, &assignment.right);
                    if entry {
                        names.exported(&assignment.left, &assignment.right);
                    }
                }
                AstKind::ImportDeclaration(import) => {
                    let Some(module) = module(import.source.value.as_str()) else {
                        continue;
                    };
                    for specifier in import.specifiers.iter().flatten() {
                        let (local, name) = match specifier {
                            ImportDeclarationSpecifier::ImportSpecifier(one) => {
                                (&one.local, Some(export_name(&one.imported)))
                            }
                            ImportDeclarationSpecifier::ImportDefaultSpecifier(one) => (&one.local, None),
                            ImportDeclarationSpecifier::ImportNamespaceSpecifier(one) => (&one.local, None),
                        };
                        let value = match name.as_deref() {
                            None | Some("default") => module.clone(),
                            Some(name) => member(&module, name),
                        };
                        names.add(local.symbol_id(), Value::Named(value));
                    }
                }
                AstKind::FormalParameter(parameter) => {
                    if let BindingPattern::BindingIdentifier(one) = &parameter.pattern
                        && matches!(one.name.as_str(), "require" | "RED")
                    {
                        names.add(one.symbol_id(), Value::Named(one.name.as_str().to_owned()));
                    }
                }
                AstKind::ExportDefaultDeclaration(export) if entry => {
                    if let oxc_ast::ast::ExportDefaultDeclarationKind::FunctionDeclaration(function) =
                        &export.declaration
                    {
                        names.runtime(&function.params);
                    } else if let Some(expression) = export.declaration.as_expression() {
                        names.runtime_of(expression);
                    }
                }
                _ => {}
            }
        }
        names
    }

    fn add(&mut self, symbol: SymbolId, value: Value<'a>) {
        let values = self.values.entry(symbol).or_default();
        if values.len() < MAX_VALUES {
            values.push(value);
        }
    }

    /// `module.exports = function (RED) {}`: the first parameter is Node-RED, whatever it is called.
    fn exported(&mut self, target: &AssignmentTarget<'a>, value: &'a Expression<'a>) {
        let Some(target) = target.as_simple_assignment_target() else {
            return;
        };
        let exports = target
            .as_member_expression()
            .is_some_and(|member| member.is_specific_member_access("module", "exports"));
        if exports {
            self.runtime_of(value);
        }
    }

    fn runtime_of(&mut self, value: &'a Expression<'a>) {
        match value.without_parentheses() {
            Expression::FunctionExpression(function) => self.runtime(&function.params),
            Expression::ArrowFunctionExpression(function) => self.runtime(&function.params),
            _ => {}
        }
    }

    fn runtime(&mut self, parameters: &oxc_ast::ast::FormalParameters<'a>) {
        if let Some(first) = parameters.items.first()
            && let BindingPattern::BindingIdentifier(one) = &first.pattern
        {
            self.add(one.symbol_id(), Value::Named("RED".to_owned()));
        }
    }

    fn bind(&mut self, pattern: &BindingPattern<'a>, init: &'a Expression<'a>, path: &[String]) {
        if path.len() > MAX_HOPS {
            return;
        }
        match pattern {
            BindingPattern::BindingIdentifier(one) => {
                self.add(one.symbol_id(), Value::Of(init, path.to_vec()));
            }
            BindingPattern::ObjectPattern(object) => {
                for property in &object.properties {
                    if let Some(name) = property.key.static_name() {
                        let mut path = path.to_vec();
                        path.push(name.into_owned());
                        self.bind(&property.value, init, &path);
                    }
                }
            }
            BindingPattern::AssignmentPattern(with_default) => self.bind(&with_default.left, init, path),
            BindingPattern::ArrayPattern(_) => {}
        }
    }

    fn assign(&mut self, target: &AssignmentTarget<'a>, value: &'a Expression<'a>) {
        match target {
            AssignmentTarget::AssignmentTargetIdentifier(one) => {
                if let Some(symbol) = self.symbol(one) {
                    self.add(symbol, Value::Of(value, Vec::new()));
                }
            }
            AssignmentTarget::ObjectAssignmentTarget(object) => {
                for property in &object.properties {
                    if let oxc_ast::ast::AssignmentTargetProperty::AssignmentTargetPropertyIdentifier(one) =
                        property
                        && let Some(symbol) = self.symbol(&one.binding)
                    {
                        let name = one.binding.name.as_str().to_owned();
                        self.add(symbol, Value::Of(value, vec![name]));
                    }
                }
            }
            _ => {}
        }
    }

    /// The variable that a name stands for; none for globals.
    pub(crate) fn symbol(&self, name: &IdentifierReference<'a>) -> Option<SymbolId> {
        let reference = name.reference_id.get()?;
        self.semantic.scoping().get_reference(reference).symbol_id()
    }

    /// The only value that a variable is ever given, when it is never given another one.
    pub(crate) fn only_value(&self, name: &IdentifierReference<'a>) -> Option<&'a Expression<'a>> {
        match self.values.get(&self.symbol(name)?)?.as_slice() {
            [Value::Of(expression, path)] if path.is_empty() => Some(expression),
            _ => None,
        }
    }

    /// Follows one more variable, unless that was done too often.
    pub(crate) fn hop<T>(&self, follow: impl FnOnce() -> Option<T>) -> Option<T> {
        self.hop_within(MAX_HOPS, follow)
    }

    fn hop_within<T>(&self, most: usize, follow: impl FnOnce() -> Option<T>) -> Option<T> {
        if self.hops.get() >= most {
            return None;
        }
        self.hops.set(self.hops.get() + 1);
        let found = follow();
        self.hops.set(self.hops.get() - 1);
        if self.hops.get() == 0 {
            self.visited.borrow_mut().clear();
        }
        found
    }

    /// Takes one step; nothing when too many were taken.
    pub(crate) fn step(&self) -> Option<()> {
        self.spend(1)
    }

    /// Takes so many steps; nothing when too many were taken.
    pub(crate) fn spend(&self, steps: usize) -> Option<()> {
        let taken = self.steps.get();
        (taken < MAX_STEPS).then(|| self.steps.set(taken.saturating_add(steps as u32)))
    }

    /// Whether following values was given up.
    pub(crate) fn gave_up(&self) -> bool {
        self.steps.get() >= MAX_STEPS
    }

    /// What an expression means, where that can be told.
    pub(crate) fn name(&self, expression: &Expression<'a>) -> Option<String> {
        self.step()?;
        let node = match expression {
            Expression::StaticMemberExpression(one) => one.node_id.get(),
            Expression::ComputedMemberExpression(one) => one.node_id.get(),
            Expression::CallExpression(one) => one.node_id.get(),
            _ => return self.meaning(expression),
        };
        if let Some(known) = self.parts.borrow().get(&node) {
            return known.clone();
        }
        let found = self.meaning(expression);
        // What was given up because of too many hops may be found from elsewhere.
        if found.is_some() || self.hops.get() == 0 {
            self.parts.borrow_mut().insert(node, found.clone());
        }
        found
    }

    fn meaning(&self, expression: &Expression<'a>) -> Option<String> {
        match expression {
            Expression::Identifier(one) => self.identifier(one),
            Expression::StaticMemberExpression(_)
            | Expression::ComputedMemberExpression(_)
            | Expression::PrivateFieldExpression(_) => self.member_name(expression.as_member_expression()?),
            Expression::ChainExpression(chain) => match &chain.expression {
                oxc_ast::ast::ChainElement::CallExpression(call) => self.call(call),
                other => self.member_name(other.member_expression()?),
            },
            Expression::CallExpression(call) => self.call(call),
            Expression::ImportExpression(import) => module(&self.constant(&import.source)?),
            Expression::AwaitExpression(awaited) => self.name(&awaited.argument),
            Expression::ParenthesizedExpression(inner) => self.name(&inner.expression),
            Expression::SequenceExpression(sequence) => self.name(sequence.expressions.last()?),
            Expression::AssignmentExpression(assignment) => self.name(&assignment.right),
            Expression::LogicalExpression(either) => {
                self.name(&either.left).or_else(|| self.name(&either.right))
            }
            Expression::ConditionalExpression(either) => self
                .name(&either.consequent)
                .or_else(|| self.name(&either.alternate)),
            Expression::NewExpression(new) => {
                let class = self.name(&new.callee)?;
                matches!(class.as_str(), "net.Socket" | "Proxy")
                    .then_some(())
                    .and_then(|()| {
                        if class == "Proxy" {
                            self.argument(&new.arguments, 0)
                        } else {
                            Some(class)
                        }
                    })
            }
            _ => None,
        }
    }

    fn argument(&self, arguments: &[Argument<'a>], at: usize) -> Option<String> {
        self.name(arguments.get(at)?.as_expression()?)
    }

    fn identifier(&self, one: &IdentifierReference<'a>) -> Option<String> {
        let Some(symbol) = self.symbol(one) else {
            let name = one.name.as_str();
            return Some(if GLOBALS.contains(&name) { "global" } else { name }.to_owned());
        };
        if let Some(known) = self.known.borrow().get(&symbol) {
            return known.clone();
        }
        let values = self.values.get(&symbol)?;
        // Variables that are made of each other, as in a loop, lead back here. Nothing is missed: the first meaning that
        // can be reached is looked for, and whatever leads on from here was or is being looked at.
        if !self.visited.borrow_mut().insert(symbol) {
            return None;
        }
        let found = self.hop_within(MAX_CHAIN, || {
            values.iter().find_map(|value| match value {
                Value::Named(name) => Some(name.clone()),
                Value::Of(expression, path) => {
                    let name = self.name(expression)?;
                    Some(path.iter().fold(name, |name, part| member(&name, part)))
                }
            })
        });
        // That nothing was found may be because of where the question began.
        if found.is_some() || self.hops.get() == 0 {
            self.known.borrow_mut().insert(symbol, found.clone());
        }
        found
    }

    /// What a property means.
    pub(crate) fn member_name(&self, expression: &MemberExpression<'a>) -> Option<String> {
        let property = match expression {
            MemberExpression::StaticMemberExpression(one) => one.property.name.as_str().to_owned(),
            MemberExpression::ComputedMemberExpression(one) => self.constant(&one.expression)?,
            MemberExpression::PrivateFieldExpression(_) => return None,
        };
        let object = self.name(expression.object())?;
        if object.len() > 200 {
            return None;
        }
        Some(member(&object, &property))
    }

    fn call(&self, call: &CallExpression<'a>) -> Option<String> {
        let callee = self.name(&call.callee);
        match callee.as_deref() {
            Some(
                "require"
                | "module.require"
                | "process.mainModule.require"
                | "process.binding"
                | "process.getBuiltinModule",
            ) => {
                let first = call.arguments.first()?.as_expression()?;
                let name = self.constant(first)?;
                if callee.as_deref() == Some("process.binding") {
                    return Some(format!("process.binding({name})"));
                }
                module(&name)
            }
            Some("module.createRequire" | "module.Module.createRequire") => Some("require".to_owned()),
            // Another form of the same function.
            Some(
                "util.promisify" | "util.callbackify" | "util.deprecate" | "Object.create" | "Object.assign",
            ) => self.argument(&call.arguments, 0),
            Some("Object.getPrototypeOf") => {
                let function = call.arguments.first()?.as_expression()?;
                let function = matches!(
                    function,
                    Expression::FunctionExpression(_) | Expression::ArrowFunctionExpression(_)
                );
                function.then(|| "Function.prototype".to_owned())
            }
            Some(name) if name.ends_with(".bind") => Some(name[..name.len() - ".bind".len()].to_owned()),
            // `__importStar(require("fs"))`, `_interopRequireDefault(require("fs"))`, `__toESM(require("fs"))`.
            _ => {
                let wrapper = match &call.callee {
                    Expression::Identifier(one) => one.name.as_str(),
                    other => other.get_member_expr()?.static_property_name()?,
                };
                let wraps = ["import", "interop", "_toESM", "_export"]
                    .iter()
                    .any(|part| wrapper.contains(part));
                wraps.then(|| self.argument(&call.arguments, 0)).flatten()
            }
        }
    }

    /// What a variable means, where that can be told.
    pub(crate) fn known_name(&self, one: &IdentifierReference<'a>) -> Option<String> {
        self.step()?;
        self.identifier(one)
    }

    /// What a call gives, where that can be told.
    pub(crate) fn name_of_call(&self, call: &CallExpression<'a>) -> Option<String> {
        self.step()?;
        self.call(call)
    }

    /// The text that an expression always has, where that can be told.
    pub(crate) fn constant(&self, expression: &Expression<'a>) -> Option<String> {
        shapes::shape(self, expression).constant()
    }
}

/// A property of something, as meanings write it.
pub(crate) fn member(object: &str, property: &str) -> String {
    match (object, property) {
        // What compilers make of `import x from "y"`.
        (_, "default") if !object.starts_with("RED") => object.to_owned(),
        ("global", name) if GLOBALS.contains(&name) => "global".to_owned(),
        ("global", name) => name.to_owned(),
        (function, "call" | "apply") => format!("{function}.{property}"),
        ("Function.prototype", "constructor") => "Function".to_owned(),
        _ => format!("{object}.{property}"),
    }
}

fn export_name(name: &ModuleExportName<'_>) -> String {
    name.name().as_str().to_owned()
}

/// The name of a key that stands in the code.
pub(crate) fn key_name(key: &PropertyKey<'_>) -> Option<String> {
    key.static_name().map(std::borrow::Cow::into_owned)
}
