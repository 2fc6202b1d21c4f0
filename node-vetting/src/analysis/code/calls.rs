//! Calls: what a function that is called could do, and to what.

use oxc_ast::ast::{Argument, CallExpression, Expression, NewExpression, ObjectPropertyKind};
use oxc_syntax::node::NodeId;

use super::super::finding::About;
use super::doors::{Scope, door};
use super::shapes::{number, shape};
use super::{Walk, names, paths};
use crate::capability::{Capability, Kind};

/// A timer this long sleeps, in milliseconds.
const LONG: f64 = 24.0 * 60.0 * 60.0 * 1000.0;

impl<'a> Walk<'a, '_> {
    pub(super) fn call(&mut self, id: NodeId, call: &CallExpression<'a>) {
        let at = call.span.start;
        let name = self.names.name(&call.callee);
        if let Some(name) = name.as_deref() {
            self.called(id, at, name, &call.arguments);
        }
        if name.as_deref() == Some("require")
            && let Some(module) = self.names.name_of_call(call)
        {
            self.handed_on(id, at, &module);
        }
        self.method(id, call, name.as_deref());
    }

    fn called(&mut self, id: NodeId, at: u32, name: &str, arguments: &[Argument<'a>]) {
        let first = arguments.first().and_then(Argument::as_expression);
        match name {
            "require" | "module.require" | "process.mainModule.require" => {
                if let Some(first) = first {
                    self.load(id, at, first, "require");
                }
                return;
            }
            "process.binding" => {
                let what = first.and_then(|one| self.names.constant(one)).unwrap_or_default();
                let capability = door(&format!("process.binding({what})")).map_or_else(
                    || Capability::new(Kind::CodeNative, what),
                    |(kind, _)| Capability::new(kind, "computed"),
                );
                return self.site(id, at, capability, name);
            }
            "setTimeout" | "setInterval" | "setImmediate" => return self.timer(id, at, name, arguments),
            "RED.nodes.registerType" => {
                if let Some(kind) = first.and_then(|one| self.names.constant(one)) {
                    self.found.types.push(kind);
                }
                return;
            }
            _ => {}
        }
        if let Some((routes, method)) = name.strip_prefix("RED.").and_then(|rest| rest.split_once('.'))
            && matches!(routes, "httpAdmin" | "httpNode")
            && matches!(
                method,
                "get" | "post" | "put" | "delete" | "patch" | "all" | "use" | "options" | "head"
            )
        {
            return self.route(id, at, routes, method, arguments);
        }
        if self.is_editor() && self.editor_call(id, at, name, arguments) {
            return;
        }
        // `exec.call(null, …)`, `exec.apply(…)`.
        let plain = name
            .strip_suffix(".call")
            .or_else(|| name.strip_suffix(".apply"))
            .unwrap_or(name);
        let Some((kind, scope)) = door(plain) else {
            return self.core_change(id, at, name, arguments);
        };
        if plain != name {
            let scope = if scope == Scope::None { "" } else { "computed" };
            return self.site(id, at, Capability::new(kind, scope), name);
        }
        if kind == Kind::FsExecutable && !self.sets_executable(arguments) {
            return self.site(
                id,
                at,
                Capability::new(Kind::FsWrite, self.scope(scope, arguments)),
                name,
            );
        }
        let scope = self.scope(scope, arguments);
        if kind == Kind::CodeEval && scope == "literal" && self.asks_for_global(first) {
            return;
        }
        let opened = name.ends_with(".open") || name.ends_with(".openSync");
        if opened && kind == Kind::FsRead && self.opens_for_writing(arguments) {
            return self.site(id, at, Capability::new(Kind::FsWrite, scope), name);
        }
        self.site(id, at, Capability::new(kind, scope), name);
    }

    pub(super) fn constructed(&mut self, id: NodeId, new: &NewExpression<'a>) {
        if let Some(name) = self.names.name(&new.callee) {
            self.called(id, new.span.start, &name, &new.arguments);
        } else if self.is_constructor_of_functions(&new.callee) {
            self.site(
                id,
                new.span.start,
                Capability::new(Kind::CodeEval, "computed"),
                "constructor",
            );
        }
    }

    /// `Function("return this")()` is how old code finds the global object.
    fn asks_for_global(&self, code: Option<&Expression<'a>>) -> bool {
        let code = code.and_then(|one| self.names.constant(one));
        code.is_some_and(|code| matches!(code.trim().trim_end_matches(';'), "return this" | "this"))
    }

    fn sets_executable(&self, arguments: &[Argument<'a>]) -> bool {
        let Some(mode) = arguments.get(1).and_then(Argument::as_expression) else {
            return true;
        };
        match (number(&self.names, mode), self.names.constant(mode)) {
            (Some(mode), _) => mode as u32 & 0o111 != 0,
            (None, Some(text)) => u32::from_str_radix(&text, 8).map_or(true, |mode| mode & 0o111 != 0),
            _ => true,
        }
    }

    fn opens_for_writing(&self, arguments: &[Argument<'a>]) -> bool {
        let flags = arguments.get(1).and_then(Argument::as_expression);
        let flags = flags.and_then(|one| self.names.constant(one)).unwrap_or_default();
        flags.starts_with(['w', 'a']) || flags.contains('+')
    }

    /// Methods of things that are not known by name.
    fn method(&mut self, id: NodeId, call: &CallExpression<'a>, name: Option<&str>) {
        let at = call.span.start;
        if self.is_constructor_of_functions(&call.callee) {
            return self.site(id, at, Capability::new(Kind::CodeEval, "computed"), "constructor");
        }
        let Some(member) = call.callee.get_member_expr() else {
            return;
        };
        // `require("child_process")[name](…)`: which function cannot be told.
        if name.is_none()
            && let Some(object) = self.names.name(member.object())
        {
            self.unnamed(id, at, &object);
        }
        match member.static_property_name() {
            Some("addMembership") => {
                let group = self.scope(Scope::Text(0), &call.arguments);
                self.site(
                    id,
                    at,
                    Capability::new(Kind::NetMulticast, group),
                    "addMembership",
                );
            }
            Some("_compile") if name.is_none() => {
                self.site(id, at, Capability::new(Kind::CodeEval, "computed"), "_compile");
            }
            _ => {}
        }
    }

    fn unnamed(&mut self, id: NodeId, at: u32, object: &str) {
        let kind = match object {
            "child_process" => Kind::ProcSpawn,
            "vm" => Kind::CodeVm,
            "module" | "require" => Kind::CodeDynamicRequire,
            "process" => Kind::CodeNative,
            _ => return,
        };
        self.site(id, at, Capability::new(kind, "computed"), format!("{object}[…]"));
    }

    /// `anything.constructor.constructor("code")`, and the constructor of a function.
    fn is_constructor_of_functions(&self, callee: &Expression<'a>) -> bool {
        let Some(member) = callee.get_member_expr() else {
            return false;
        };
        if member.static_property_name() != Some("constructor") {
            return false;
        }
        match member.object() {
            Expression::FunctionExpression(_) | Expression::ArrowFunctionExpression(_) => true,
            inner => inner
                .get_member_expr()
                .is_some_and(|inner| inner.static_property_name() == Some("constructor")),
        }
    }

    /// A module is loaded.
    pub(super) fn load(&mut self, id: NodeId, at: u32, what: &Expression<'a>, by: &str) {
        let known = shape(&self.names, what);
        if let Some(name) = known.clone().constant() {
            let whole = matches!(
                what,
                Expression::StringLiteral(_) | Expression::TemplateLiteral(_) | Expression::Identifier(_)
            );
            if known.pieces > 1 && !whole && names::module(&name).is_some() {
                self.about(at, About::SplitName { module: name.clone() });
            }
            return self.loads(at, &name);
        }
        // What lies beside the code, or below it, is vetted with it.
        let inside = ["{own}", "./", "../"]
            .iter()
            .any(|start| known.text.starts_with(start));
        let scope = if inside { "own" } else { "computed" };
        self.site(id, at, Capability::new(Kind::CodeDynamicRequire, scope), by);
    }

    pub(super) fn loads(&mut self, at: u32, name: &str) {
        self.found.loads.push((at, name.to_owned()));
    }

    fn timer(&mut self, id: NodeId, at: u32, name: &str, arguments: &[Argument<'a>]) {
        let Some(what) = arguments.first().and_then(Argument::as_expression) else {
            return;
        };
        let text = match what {
            Expression::StringLiteral(_) => Some("literal"),
            Expression::TemplateLiteral(_) | Expression::BinaryExpression(_) => Some("computed"),
            _ => None,
        };
        if let Some(scope) = text {
            self.site(id, at, Capability::new(Kind::CodeEval, scope), name);
        }
        let delay = arguments.get(1).and_then(Argument::as_expression);
        if let Some(delay) = delay.and_then(|one| number(&self.names, one))
            && delay >= LONG
        {
            let days = format!("{:.1} days", delay / LONG);
            self.site(id, at, Capability::new(Kind::TimeLong, days), name);
        }
    }

    fn route(&mut self, id: NodeId, at: u32, routes: &str, method: &str, arguments: &[Argument<'a>]) {
        let path = arguments.first().and_then(Argument::as_expression);
        let path = path.map_or_else(String::new, |one| shape(&self.names, one).text);
        let via = format!("RED.{routes}.{method}");
        if routes == "httpNode" {
            let scope = format!("{method} {path}");
            return self.site(id, at, Capability::new(Kind::RedHttpRoute, scope), via);
        }
        let asks = arguments
            .iter()
            .filter_map(Argument::as_expression)
            .any(|one| self.asks_permission(one));
        let scope = format!(
            "{method} {path} {}",
            if asks {
                "with permission"
            } else {
                "without permission"
            }
        );
        self.site(id, at, Capability::new(Kind::RedAdminRoute, scope), via);
    }

    fn asks_permission(&self, handler: &Expression<'a>) -> bool {
        match handler {
            Expression::CallExpression(call) => {
                self.names.name(&call.callee).as_deref() == Some("RED.auth.needsPermission")
            }
            Expression::Identifier(one) => {
                let value = self.names.only_value(one);
                value.is_some_and(|value| {
                    matches!(value, Expression::CallExpression(_)) && self.asks_permission(value)
                })
            }
            _ => false,
        }
    }

    /// Calls of the editor half; true when nothing else is to be said of it.
    fn editor_call(&mut self, id: NodeId, at: u32, name: &str, arguments: &[Argument<'a>]) -> bool {
        let address = arguments.first().and_then(Argument::as_expression);
        let address = address.map(|one| shape(&self.names, one));
        let foreign = address.as_ref().and_then(|shape| {
            let absolute = shape.text.contains("://") || shape.text.starts_with("//");
            absolute
                .then(|| paths::host(shape.text.trim_start_matches('/')))
                .flatten()
        });
        let unknown = address.as_ref().is_some_and(|shape| !shape.says_something());
        let (kind, scope) = match name {
            "$.getScript" | "jQuery.getScript" | "importScripts" => (
                Kind::EdExternalScript,
                foreign.unwrap_or_else(|| "computed".to_owned()),
            ),
            "document.write" | "document.writeln" => (Kind::EdHtmlInjection, String::new()),
            "navigator.sendBeacon" | "WebSocket" | "EventSource" | "XMLHttpRequest" if foreign.is_none() => {
                (Kind::EdNetwork, "computed".to_owned())
            }
            "fetch" if foreign.is_none() && unknown => (Kind::EdNetwork, "computed".to_owned()),
            "fetch" if foreign.is_none() => return true,
            "navigator.sendBeacon"
            | "WebSocket"
            | "EventSource"
            | "fetch"
            | "$.get"
            | "$.post"
            | "$.ajax"
            | "$.getJSON"
            | "jQuery.get"
            | "jQuery.post"
            | "jQuery.ajax"
            | "jQuery.getJSON" => match foreign {
                Some(host) => (Kind::EdNetwork, host),
                None => return true,
            },
            _ => return false,
        };
        self.site(id, at, Capability::new(kind, scope), name);
        true
    }

    /// The scope of a call, as its door says.
    pub(super) fn scope(&self, scope: Scope, arguments: &[Argument<'a>]) -> String {
        let argument = |at: usize| arguments.get(at).and_then(Argument::as_expression);
        match scope {
            Scope::None => String::new(),
            Scope::Is(what) => what.to_owned(),
            Scope::Host(at) => {
                // `connect(port, host)`.
                let port = argument(at).is_some_and(|one| number(&self.names, one).is_some());
                let host = argument(if port { at + 1 } else { at });
                host.map_or_else(|| "computed".to_owned(), |one| self.named_host(one))
            }
            Scope::Path(at) => {
                let path = argument(at).map(|one| shape(&self.names, one).text);
                path.map_or("computed", |path| paths::class(&path)).to_owned()
            }
            Scope::Program | Scope::Line => {
                let Some(first) = argument(0) else {
                    return "computed".to_owned();
                };
                let text = shape(&self.names, first).text;
                if scope == Scope::Program && !text.contains("{?}") {
                    return text.rsplit(['/', '\\']).next().unwrap_or(&text).to_owned();
                }
                paths::program(&text)
            }
            Scope::Code => {
                let known = argument(0).and_then(|one| self.names.constant(one));
                if known.is_some() { "literal" } else { "computed" }.to_owned()
            }
            Scope::Text(at) => argument(at)
                .and_then(|one| self.names.constant(one))
                .unwrap_or_else(|| "computed".to_owned()),
        }
    }

    /// The host that an address, or an object with options, names.
    fn named_host(&self, argument: &Expression<'a>) -> String {
        let computed = || "computed".to_owned();
        let object = match argument {
            Expression::ObjectExpression(object) => Some(object),
            Expression::Identifier(one) => match self.names.only_value(one) {
                Some(Expression::ObjectExpression(object)) => Some(object),
                _ => None,
            },
            _ => None,
        };
        let Some(object) = object else {
            return paths::host(&shape(&self.names, argument).text).unwrap_or_else(computed);
        };
        for key in ["hostname", "host", "url", "uri", "baseURL", "path"] {
            for property in &object.properties {
                let ObjectPropertyKind::ObjectProperty(property) = property else {
                    continue;
                };
                if property.key.static_name().as_deref() == Some(key) {
                    let text = shape(&self.names, &property.value).text;
                    return paths::host(&text)
                        .filter(|_| key != "path")
                        .unwrap_or_else(computed);
                }
            }
        }
        computed()
    }
}
