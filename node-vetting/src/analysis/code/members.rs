//! What code reads, changes and hands on without calling it.

use oxc_ast::AstKind;
use oxc_ast::ast::{
    Argument, BindingPattern, Expression, IdentifierReference, ObjectProperty, StaticMemberExpression,
    UnaryOperator, VariableDeclarator,
};
use oxc_span::GetSpan;
use oxc_syntax::node::NodeId;

use super::Walk;
use super::doors::{POWERFUL, door};
use super::names::key_name;
use crate::capability::{Capability, Kind};

impl<'a> Walk<'a, '_> {
    /// A property is named: read, handed on, or called; calls are looked at elsewhere.
    pub(super) fn static_member(&mut self, id: NodeId, member: &StaticMemberExpression<'a>) {
        if let Some(object) = self.names.name(&member.object) {
            let name = super::names::member(&object, member.property.name.as_str());
            self.member(id, member.span.start, name);
        }
    }

    fn member(&mut self, id: NodeId, start: u32, name: String) {
        if let Some(key) = name.strip_prefix("process.env.") {
            if !key.contains('.') && !self.is_written(id, start) {
                self.site(id, start, Capability::new(Kind::EnvRead, key), "process.env");
            }
            return;
        }
        if let Some(key) = name.strip_prefix("RED.settings.")
            && !key.contains('.')
            && !matches!(key, "get" | "set" | "has")
            && !self.is_editor()
            && !self.is_written(id, start)
        {
            return self.site(id, start, Capability::new(Kind::RedSettings, key), "RED.settings");
        }
        match name.as_str() {
            "process.env" => self.environment(id, start),
            "require.cache" | "module._cache" | "module.Module._cache" if self.is_written(id, start) => {
                self.site(id, start, Kind::RtRequireCache, name);
            }
            _ => self.handed_on(id, start, &name),
        }
    }

    /// `object[expression]`.
    pub(super) fn computed_member(
        &mut self,
        id: NodeId,
        member: &oxc_ast::ast::ComputedMemberExpression<'a>,
    ) {
        let start = member.span.start;
        let key = self.names.constant(&member.expression);
        let Some(object) = self.names.name(&member.object) else {
            return;
        };
        match key {
            Some(key) => {
                let name = super::names::member(&object, &key);
                self.member(id, start, name);
            }
            None if object == "process.env" && !self.is_written(id, start) => {
                self.site(
                    id,
                    start,
                    Capability::new(Kind::EnvRead, "computed"),
                    "process.env[…]",
                );
            }
            None => {}
        }
    }

    /// The environment as a whole.
    fn environment(&mut self, id: NodeId, start: u32) {
        let handed = match self.parent(id) {
            AstKind::SpreadElement(_) => !self.is_environment_of_child(id),
            AstKind::CallExpression(call) => {
                self.is_argument(&call.arguments, start) && !self.is_environment_of_child(id)
            }
            AstKind::ForInStatement(_) => true,
            AstKind::ReturnStatement(_) | AstKind::NewExpression(_) => true,
            AstKind::AssignmentExpression(assignment) => {
                assignment.right.span().start == start
                    && !matches!(
                        assignment.left,
                        oxc_ast::ast::AssignmentTarget::AssignmentTargetIdentifier(_)
                    )
            }
            AstKind::ObjectProperty(property) => key_name(&property.key).as_deref() != Some("env"),
            _ => false,
        };
        if handed {
            self.site(id, start, Kind::EnvEnumerate, "process.env");
        }
    }

    /// `env: { ...process.env }` and `env: Object.assign({}, process.env)` give a child what it would have anyway.
    fn is_environment_of_child(&self, id: NodeId) -> bool {
        self.parents(id).take(5).any(|kind| match kind {
            AstKind::ObjectProperty(property) => key_name(&property.key).as_deref() == Some("env"),
            AstKind::VariableDeclarator(declarator) => {
                matches!(&declarator.id, BindingPattern::BindingIdentifier(one) if one.name.as_str().to_ascii_lowercase().ends_with("env"))
            }
            _ => false,
        })
    }

    /// A function or module with power that is handed to somebody instead of being called.
    pub(super) fn handed_on(&mut self, id: NodeId, start: u32, name: &str) {
        if self.is_called(id, start) {
            return;
        }
        let given = match self.parent(id) {
            AstKind::CallExpression(call) => {
                self.is_argument(&call.arguments, start) && self.names.name_of_call(call).is_none()
            }
            AstKind::AssignmentExpression(assignment) => {
                assignment.right.span().start == start
                    && !matches!(
                        assignment.left,
                        oxc_ast::ast::AssignmentTarget::AssignmentTargetIdentifier(_)
                    )
            }
            AstKind::ReturnStatement(_) | AstKind::ArrayExpression(_) | AstKind::ObjectProperty(_) => true,
            _ => false,
        };
        if !given {
            return;
        }
        if let Some((_, kind)) = POWERFUL.iter().find(|(module, _)| *module == name) {
            return self.site(id, start, Capability::new(*kind, "computed"), name);
        }
        if let Some((kind, _)) = door(name)
            && matches!(kind, Kind::ProcSpawn | Kind::CodeEval | Kind::CodeVm)
        {
            self.site(id, start, Capability::new(kind, "computed"), name);
        }
    }

    pub(super) fn identifier(&mut self, id: NodeId, one: &IdentifierReference<'a>) {
        if self.names.symbol(one).is_some() {
            // A variable that stands for something; what it is was looked at where it was given.
            let Some(name) = self.names.known_name(one) else {
                return;
            };
            if name == "process.env" {
                self.environment(id, one.span.start);
            } else {
                self.handed_on(id, one.span.start, &name);
            }
            return;
        }
        match one.name.as_str() {
            "eval" | "Function" => self.handed_on(id, one.span.start, one.name.as_str()),
            _ => {}
        }
    }

    /// `const { HOME } = process.env` reads a key; `const { exec } = …` is followed by name.
    pub(super) fn destructured(&mut self, declarator: &VariableDeclarator<'a>) {
        let (BindingPattern::ObjectPattern(object), Some(init)) = (&declarator.id, &declarator.init) else {
            return;
        };
        let Some(name) = self.names.name(init) else { return };
        let prefix = match name.as_str() {
            "process.env" => Kind::EnvRead,
            "RED.settings" => Kind::RedSettings,
            "process" => {
                return;
            }
            _ => return,
        };
        let node = declarator.node_id.get();
        for property in &object.properties {
            if let Some(key) = key_name(&property.key) {
                self.site(
                    node,
                    property.span.start,
                    Capability::new(prefix, key),
                    name.clone(),
                );
            }
        }
        if object.rest.is_some() && prefix == Kind::EnvRead {
            self.site(node, declarator.span.start, Kind::EnvEnumerate, name);
        }
    }

    pub(super) fn property(&mut self, id: NodeId, property: &ObjectProperty<'a>) {
        let off = matches!(&property.value, Expression::BooleanLiteral(value) if !value.value)
            || matches!(&property.value, Expression::UnaryExpression(not)
                if not.operator == UnaryOperator::LogicalNot && matches!(not.argument, Expression::NumericLiteral(ref one) if one.value == 1.0));
        if off && key_name(&property.key).as_deref() == Some("rejectUnauthorized") {
            self.site(
                id,
                property.span.start,
                Kind::NetTlsInsecure,
                "rejectUnauthorized",
            );
        }
    }

    /// Whether the part is what is called.
    pub(super) fn is_called(&self, id: NodeId, start: u32) -> bool {
        match self.parent(id) {
            AstKind::CallExpression(call) => {
                call.callee.span().start == start && !self.is_argument(&call.arguments, start)
            }
            AstKind::NewExpression(new) => !self.is_argument(&new.arguments, start),
            _ => false,
        }
    }

    pub(super) fn is_argument(&self, arguments: &[Argument<'a>], start: u32) -> bool {
        arguments.iter().any(|argument| argument.span().start == start)
    }
}
