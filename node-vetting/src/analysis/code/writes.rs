//! What code changes that is not its own: what all code shares, and other code's modules.

use oxc_ast::AstKind;
use oxc_ast::ast::{
    Argument, AssignmentExpression, AssignmentOperator, Expression, MemberExpression, UnaryExpression,
    UnaryOperator,
};
use oxc_span::GetSpan;
use oxc_syntax::node::NodeId;

use super::{Walk, shapes};
use crate::builtin;
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
    pub(super) fn is_written(&self, id: NodeId, start: u32) -> bool {
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
            if SHARED.contains(&top) || builtin::is(top) && top == "process" {
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
        if builtin::is(top) && !own_fields.contains(&rest.split('.').next().unwrap_or(rest)) {
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
            if target.contains(".prototype") || builtin::is(&target) && target != "process" {
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
}
