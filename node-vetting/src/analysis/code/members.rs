//! What code reads, changes and hands on without calling it.

use oxc_ast::AstKind;
use oxc_ast::ast::{
    Argument, AssignmentExpression, AssignmentOperator, BindingPattern, Expression, IdentifierReference,
    MemberExpression, ObjectProperty, StaticMemberExpression, UnaryExpression, UnaryOperator,
    VariableDeclarator,
};
use oxc_span::GetSpan;
use oxc_syntax::node::NodeId;

use super::doors::{POWERFUL, door};
use super::names::{CORE, key_name};
use super::{Walk, shapes};
use crate::capability::{Capability, Kind};

/// Objects that all code shares.
const SHARED: [&str; 30] = [
    "Array",
    "Object",
    "String",
    "Number",
    "Boolean",
    "Function",
    "Symbol",
    "RegExp",
    "Date",
    "Promise",
    "Map",
    "Set",
    "WeakMap",
    "WeakSet",
    "Error",
    "JSON",
    "Math",
    "Reflect",
    "Proxy",
    "ArrayBuffer",
    "DataView",
    "Uint8Array",
    "Buffer",
    "EventEmitter",
    "fetch",
    "XMLHttpRequest",
    "WebSocket",
    "console",
    "Intl",
    "URL",
];
/// Globals of the browser whose replacement lets somebody see or change what others send.
const BROWSER: [&str; 9] = [
    "fetch",
    "XMLHttpRequest",
    "WebSocket",
    "EventSource",
    "localStorage",
    "sessionStorage",
    "navigator",
    "document",
    "history",
];

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

    fn is_written(&self, id: NodeId, start: u32) -> bool {
        match self.parent(id) {
            AstKind::AssignmentExpression(assignment) => {
                assignment.left.span().start == start && assignment.right.span().start != start
            }
            AstKind::UnaryExpression(unary) => unary.operator == UnaryOperator::Delete,
            AstKind::ComputedMemberExpression(member) if member.object.span().start == start => {
                self.is_written(member.node_id.get(), member.span.start)
            }
            AstKind::StaticMemberExpression(member) => {
                self.is_written(member.node_id.get(), member.span.start)
            }
            _ => false,
        }
    }

    pub(super) fn assigned(&mut self, id: NodeId, assignment: &AssignmentExpression<'a>) {
        if assignment.operator == AssignmentOperator::BitwiseXOR {
            self.tally
                .xor(assignment.span.start, [&assignment.right, &assignment.right]);
        }
        let Some(target) = assignment.left.as_member_expression() else {
            if let oxc_ast::ast::AssignmentTarget::AssignmentTargetIdentifier(one) = &assignment.left
                && self.names.symbol(one).is_none()
            {
                self.changed(id, assignment.span.start, one.name.as_str());
            }
            return;
        };
        let at = assignment.span.start;
        let name = match self.names.member_name(target) {
            Some(name) => name,
            // `module._extensions[x] = …`
            None => match self.names.name(target.object()) {
                Some(object) => format!("{object}.{{?}}"),
                None => return self.loose_target(id, at, target),
            },
        };
        if let Some(key) = name.strip_prefix("process.env.") {
            let insecure = key == "NODE_TLS_REJECT_UNAUTHORIZED";
            let key = if key == "{?}" { "computed" } else { key };
            self.site(id, at, Capability::new(Kind::EnvWrite, key), "process.env");
            if insecure {
                self.site(
                    id,
                    at,
                    Kind::NetTlsInsecure,
                    "process.env.NODE_TLS_REJECT_UNAUTHORIZED",
                );
            }
            return;
        }
        self.changed(id, at, &name);
    }

    /// `x.__proto__.y = …`, `x.prototype.y = …` of something that is not known.
    fn loose_target(&mut self, id: NodeId, at: u32, target: &MemberExpression<'a>) {
        let proto = target
            .object()
            .get_member_expr()
            .is_some_and(|inner| inner.static_property_name() == Some("__proto__"));
        let literal = target.object().get_member_expr().is_some_and(|inner| {
            matches!(
                inner.object(),
                Expression::ObjectExpression(_) | Expression::ArrayExpression(_)
            )
        });
        if proto && literal {
            self.site(
                id,
                at,
                Capability::new(Kind::RtPrototype, "Object.prototype"),
                "__proto__",
            );
        }
    }

    /// Something shared is given a new value.
    fn changed(&mut self, id: NodeId, at: u32, name: &str) {
        let (top, rest) = name.split_once('.').unwrap_or((name, ""));
        let hook = [
            "_load",
            "_resolveFilename",
            "_extensions",
            "_compile",
            "_findPath",
            "_nodeModulePaths",
            "prototype.require",
            "prototype._compile",
            "wrap",
        ];
        let module_part = rest.strip_prefix("Module.").unwrap_or(rest);
        if top == "module" && hook.iter().any(|hook| module_part.starts_with(hook))
            || name.starts_with("require.extensions")
        {
            return self.site(id, at, Capability::new(Kind::CodeModuleHook, name), name);
        }
        if name.starts_with("require.cache")
            || name.starts_with("module._cache")
            || name.starts_with("module.Module._cache")
        {
            return self.site(id, at, Kind::RtRequireCache, name);
        }
        if self.is_editor() {
            if BROWSER.contains(&top)
                && !matches!(name, "document.title" | "document.cookie" | "document.body.style")
                && !rest.starts_with("on")
                || SHARED.contains(&top) && (rest.is_empty() || rest.starts_with("prototype"))
            {
                self.site(id, at, Capability::new(Kind::EdGlobal, name), name);
            }
            return;
        }
        if rest.is_empty() {
            // A name that nobody declared becomes a global; only what was there before is worth telling.
            if SHARED.contains(&top) || CORE.contains(&top) && top == "process" {
                self.site(id, at, Capability::new(Kind::RtGlobal, name), name);
            }
            return;
        }
        if SHARED.contains(&top) {
            let kind = if rest.starts_with("prototype") {
                Kind::RtPrototype
            } else {
                Kind::RtGlobal
            };
            return self.site(id, at, Capability::new(kind, name), name);
        }
        let own_fields = [
            "exports", "exitCode", "title", "env", "umask", "domain", "browser", "paths", "parent",
            "children", "id", "filename",
        ];
        if CORE.contains(&top) && !own_fields.contains(&rest.split('.').next().unwrap_or(rest)) {
            self.site(id, at, Capability::new(Kind::RtCoreOverride, name), name);
        }
    }

    /// `Object.assign(fs, …)`, `Object.defineProperty(Array.prototype, …)`.
    pub(super) fn core_change(&mut self, id: NodeId, at: u32, name: &str, arguments: &[Argument<'a>]) {
        if !matches!(
            name,
            "Object.assign"
                | "Object.defineProperty"
                | "Object.defineProperties"
                | "Object.setPrototypeOf"
                | "Reflect.set"
                | "Reflect.defineProperty"
        ) {
            return;
        }
        let Some(target) = arguments
            .first()
            .and_then(Argument::as_expression)
            .and_then(|one| self.names.name(one))
        else {
            return;
        };
        let key = arguments.get(1).and_then(Argument::as_expression);
        let key = key.map_or_else(String::new, |one| shapes::shape(&self.names, one).text);
        if name == "Object.assign" || name == "Object.defineProperties" {
            if target.contains(".prototype") || CORE.contains(&target.as_str()) && target != "process" {
                self.changed(id, at, &format!("{target}.{{?}}"));
            }
        } else if target == "global" {
            self.changed(id, at, &key);
        } else {
            self.changed(id, at, &format!("{target}.{key}"));
        }
    }

    pub(super) fn deleted(&mut self, id: NodeId, unary: &UnaryExpression<'a>) {
        if unary.operator != UnaryOperator::Delete {
            return;
        }
        let Some(member) = unary.argument.get_member_expr() else {
            return;
        };
        let Some(object) = self.names.name(member.object()) else {
            return;
        };
        match object.as_str() {
            "process.env" => {
                let key = self.names.member_name(member);
                let key = key.and_then(|name| name.strip_prefix("process.env.").map(str::to_owned));
                let key = key.unwrap_or_else(|| "computed".to_owned());
                self.site(
                    id,
                    unary.span.start,
                    Capability::new(Kind::EnvWrite, key),
                    "process.env",
                );
            }
            "require.cache" | "module._cache" | "module.Module._cache" => {
                self.site(id, unary.span.start, Kind::RtRequireCache, object);
            }
            _ => {}
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
}
