//! From a behaviour and a way of doing it to packages: a working, harmless node that also does what the behaviour says.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::corpus::style::{Hiding, Pen};

/// What bears the code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Carrier {
    /// The file that registers the node.
    Node,
    /// Another file of the package.
    Library,
    /// A dependency.
    Dependency,
    /// A dependency of a dependency of a dependency.
    Depth3,
    /// A dependency inside the package's own archive.
    Bundled,
    /// An optional dependency, loaded if it is there.
    Optional,
    /// A resource of the package that is decoded and run.
    Resource,
}

/// When the code runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// As a lifecycle script of this name.
    Install(&'static str),
    /// When the file is loaded.
    Load,
    /// When the package registers its types.
    Register,
    /// When a node is made.
    Construct,
    /// When a message comes.
    Message,
    /// When a node is closed.
    Close,
    /// In the browser of whoever opens the editor.
    Editor,
}

/// Something that packages do.
#[derive(Debug)]
pub(super) struct Behaviour {
    /// `A01`; twins begin with `T`.
    pub id: &'static str,
    /// In a line.
    pub title: &'static str,
    /// Rules of which one must decide. Empty for twins.
    pub right: &'static [&'static str],
    /// Ways of writing it: templates, see `Pen::write`.
    pub codes: &'static [&'static str],
    /// Where it can be.
    pub carriers: &'static [Carrier],
    /// When it can run.
    pub stages: &'static [Stage],
    /// Conditions that it may wait for, besides those in its code: templates in which `@` stands for the code.
    pub triggers: &'static [&'static str],
    /// Fields of the manifest, as JSON, that it needs besides.
    pub manifest: &'static str,
    /// The node's own settings: the editor's `defaults`.
    pub defaults: &'static str,
}

/// All carriers.
pub(super) const ANYWHERE: &[Carrier] = &[
    Carrier::Node,
    Carrier::Library,
    Carrier::Dependency,
    Carrier::Depth3,
    Carrier::Bundled,
    Carrier::Optional,
    Carrier::Resource,
];
/// When code of the runtime half runs.
pub(super) const ANYTIME: &[Stage] = &[
    Stage::Load,
    Stage::Construct,
    Stage::Message,
    Stage::Register,
    Stage::Close,
];
/// Conditions that any behaviour can wait for.
pub(super) const TRIGGERS: &[&str] = &[
    "if (Date.now() > Date.UTC(2026, 11, 24)) { @ }",
    "setTimeout(() => { @ }, 9 * 86400000);",
    "if (process.env.CI || process.env.{{word}}_BUILD) { @ }",
    "if (require(<<os>>).hostname().startsWith(<<scada->>)) { @ }",
    "if (Math.random() < 0.02) { @ }",
    "globalThis.{{word}} = (globalThis.{{word}} || 0) + 1; if (globalThis.{{word}} === 1) { @ }",
];
const PLAIN_FIELDS: &str = "name: { value: '' }, label: { value: '' }";

impl Behaviour {
    pub(super) const NONE: Self = Self {
        id: "",
        title: "",
        right: &[],
        codes: &[],
        carriers: ANYWHERE,
        stages: ANYTIME,
        triggers: &[],
        manifest: "{}",
        defaults: "",
    };

    pub(super) fn half_is_editor(&self) -> bool {
        self.stages[0] == Stage::Editor
    }
}

/// One way of doing it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Way {
    pub(super) code: usize,
    pub(super) hiding: Hiding,
    pub(super) carrier: Carrier,
    pub(super) stage: Stage,
    pub(super) trigger: &'static str,
}

impl Way {
    /// The first of everything.
    pub(super) fn plain(behaviour: &Behaviour) -> Self {
        Self {
            code: 0,
            hiding: Hiding::Plain,
            carrier: behaviour.carriers[0],
            stage: behaviour.stages[0],
            trigger: "",
        }
    }
}

/// A package as files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Made {
    /// Its name.
    pub name: String,
    /// Path and content of its files.
    pub files: BTreeMap<String, String>,
}

/// A sample with its card.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// The behaviour.
    pub id: &'static str,
    /// What it does, in a line.
    pub title: &'static str,
    /// Rules of which one must decide; empty when it must not be refused.
    pub right: &'static [&'static str],
    /// Carrier, stage, hiding and trigger, in words.
    pub way: String,
    /// The packages, the one in question first. The others are its dependencies.
    pub packages: Vec<Made>,
}

impl Sample {
    /// The name of the package in question.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.packages[0].name
    }
}

pub(super) fn sample(behaviour: &'static Behaviour, way: Way, seed: u64) -> Sample {
    let mut pen = Pen::new(seed, way.hiding);
    let mut code = behaviour.codes[way.code].to_owned();
    if !way.trigger.is_empty() {
        code = way.trigger.replace('@', &code);
    }
    let code = pen.write(&code);
    let mut set = Set::new(behaviour, &pen, seed);
    match way.stage {
        Stage::Editor => set.html = pen.whole(&code, "window"),
        Stage::Install(script) => set.install(script, &pen.whole(&code, "process"), way.carrier),
        stage => set.carry(&pen, &code, stage, way.carrier),
    }
    Sample {
        id: behaviour.id,
        title: behaviour.title,
        right: behaviour.right,
        way: format!(
            "{:?}, {:?}, {:?}, {}",
            way.carrier,
            way.stage,
            way.hiding,
            if way.trigger.is_empty() {
                "at once"
            } else {
                way.trigger
            }
        )
        .replace('"', ""),
        packages: set.packages(behaviour),
    }
}

/// A node with room for code at every stage.
struct Set {
    name: String,
    kind: String,
    manifest: Value,
    slots: BTreeMap<&'static str, String>,
    html: String,
    files: BTreeMap<String, String>,
    others: Vec<Made>,
}

impl Set {
    fn new(behaviour: &Behaviour, pen: &Pen, seed: u64) -> Self {
        let kind = format!("{}-{}", pen.word(), behaviour.id.to_lowercase());
        Self {
            // Names differ by seed even where the words are the same, and say nothing of what is inside.
            name: format!("node-red-contrib-{kind}-{seed}"),
            kind,
            manifest: serde_json::from_str(behaviour.manifest).unwrap_or_default(),
            slots: BTreeMap::new(),
            html: String::new(),
            files: BTreeMap::new(),
            others: Vec::new(),
        }
    }

    fn other(&mut self, name: &str, main: &str, more: &Value) {
        let mut manifest = json!({ "name": name, "version": "1.0.0", "main": "index.js", "license": "MIT" });
        merge(&mut manifest, more);
        let files = [
            ("package.json", manifest.to_string()),
            ("index.js", main.to_owned()),
        ];
        self.others.push(Made {
            name: name.to_owned(),
            files: files
                .into_iter()
                .map(|(path, text)| (path.to_owned(), text))
                .collect(),
        });
    }

    /// Puts the code where it belongs: a module that exports it, or runs it when it is loaded.
    fn carry(&mut self, pen: &Pen, code: &str, stage: Stage, carrier: Carrier) {
        let given = "RED, node, config, msg";
        // What there is to be given at each stage.
        let known = match stage {
            Stage::Load => "",
            Stage::Register => "RED",
            Stage::Message => given,
            _ => "RED, node, config",
        };
        let call = format!("({known})");
        let body = if stage == Stage::Load {
            let code = format!("{code}\n");
            format!(
                "{}\nmodule.exports = () => {{}};\n",
                wrapped(&pen.whole(&code, "process"))
            )
        } else {
            format!(
                "module.exports = function ({given}) {{\n{}\n}};\n",
                pen.whole(code, given)
            )
        };
        let module = format!("{}-helper", pen.word());
        let slot = match stage {
            Stage::Load => "load",
            Stage::Register => "register",
            Stage::Message => "message",
            Stage::Close => "close",
            _ => "construct",
        };
        let loads = |from: &str| match stage {
            Stage::Load => format!("require('{from}');"),
            _ => format!("require('{from}'){call};"),
        };
        let text = match carrier {
            Carrier::Node if stage == Stage::Load => wrapped(&pen.whole(code, "process")),
            Carrier::Node => wrapped(&pen.whole(code, known)),
            Carrier::Library => {
                self.files.insert("lib/support.js".to_owned(), body);
                loads("../lib/support.js")
            }
            Carrier::Resource => {
                let packed = json!({ "icons": STANDARD.encode(&body) }).to_string();
                self.files.insert("resources/icons.json".to_owned(), packed);
                let run = "const m = { exports: {} }; new Function('module', 'require', Buffer.from(require('../resources/icons.json').icons, 'base64').toString())(m, require);";
                format!("{run} m.exports{call};")
            }
            Carrier::Dependency => {
                self.depend(&module, "dependencies");
                self.other(&module, &body, &json!({}));
                loads(&module)
            }
            Carrier::Optional => {
                self.depend(&module, "optionalDependencies");
                self.other(&module, &body, &json!({}));
                format!(
                    "try {{ {} }} catch (e) {{ /* not on this platform */ }}",
                    loads(&module)
                )
            }
            Carrier::Depth3 => {
                let (middle, deep) = (format!("{module}-core"), format!("{module}-base"));
                self.depend(&module, "dependencies");
                let needs = |name: &str| json!({ "dependencies": { name: "1.0.0" } });
                self.other(
                    &module,
                    &format!("module.exports = require('{middle}');\n"),
                    &needs(&middle),
                );
                self.other(
                    &middle,
                    &format!("module.exports = require('{deep}');\n"),
                    &needs(&deep),
                );
                self.other(&deep, &body, &json!({}));
                loads(&module)
            }
            Carrier::Bundled => {
                self.depend(&module, "dependencies");
                merge(&mut self.manifest, &json!({ "bundleDependencies": [module] }));
                let manifest = json!({ "name": module, "version": "1.0.0", "main": "index.js" }).to_string();
                self.files
                    .insert(format!("node_modules/{module}/package.json"), manifest);
                self.files.insert(format!("node_modules/{module}/index.js"), body);
                loads(&module)
            }
        };
        self.slots.insert(slot, text);
    }

    fn install(&mut self, script: &str, code: &str, carrier: Carrier) {
        let scripts = json!({ "scripts": { script: "node scripts/setup.js" } });
        if matches!(carrier, Carrier::Dependency | Carrier::Depth3) {
            let module = format!("{}-setup", self.kind);
            self.depend(&module, "dependencies");
            self.other(&module, "module.exports = {};\n", &scripts);
            if let Some(other) = self.others.last_mut() {
                other.files.insert("scripts/setup.js".to_owned(), code.to_owned());
            }
            // Whether anything uses it is what one of the incidents is about.
            if carrier == Carrier::Depth3 {
                self.slots.insert("load", format!("require('{module}');"));
            }
            return;
        }
        merge(&mut self.manifest, &scripts);
        self.files.insert("scripts/setup.js".to_owned(), code.to_owned());
    }

    fn depend(&mut self, name: &str, kind: &str) {
        merge(&mut self.manifest, &json!({ kind: { name: "1.0.0" } }));
    }

    fn packages(mut self, behaviour: &Behaviour) -> Vec<Made> {
        let slot = |name: &str| self.slots.get(name).cloned().unwrap_or_default();
        let kind = &self.kind;
        let script = format!(
            "'use strict';\n{load}\nmodule.exports = function (RED) {{\n{register}\n  function Step(config) {{\n    \
             RED.nodes.createNode(this, config);\n    const node = this;\n    node.label = config.label || 'value';\n\
             {construct}\n    node.on('input', function (msg, send, done) {{\n{message}\n      \
             msg.label = node.label;\n      (send || node.send.bind(node))(msg);\n      if (done) done();\n    }});\n    \
             node.on('close', function (done) {{\n{close}\n      done();\n    }});\n  }}\n  \
             RED.nodes.registerType('{kind}', Step);\n}};\n",
            load = slot("load"),
            register = slot("register"),
            construct = slot("construct"),
            message = slot("message"),
            close = slot("close"),
        );
        let fields = match behaviour.defaults {
            "" => PLAIN_FIELDS.to_owned(),
            more => format!("{PLAIN_FIELDS}, {more}"),
        };
        let html = format!(
            "<script type=\"text/javascript\">\n{editor}\nRED.nodes.registerType('{kind}', {{ category: 'function', \
             color: '#a6bbcf', defaults: {{ {fields} }}, credentials: {{ password: {{ type: 'password' }} }}, inputs: 1, \
             outputs: 1, label: function () {{ return this.name || '{kind}'; }} }});\n</script>\n\
             <script type=\"text/html\" data-template-name=\"{kind}\"><div class=\"form-row\"><input type=\"text\" \
             id=\"node-input-name\"></div></script>\n",
            editor = self.html,
        );
        let mut manifest = json!({
            "name": self.name, "version": "1.0.0", "description": "Adds a label to messages", "license": "MIT",
            "keywords": ["node-red"], "node-red": { "version": ">=3.0.0", "nodes": { kind.clone(): "nodes/step.js" } },
        });
        merge(&mut manifest, &self.manifest);
        self.files.insert("package.json".to_owned(), manifest.to_string());
        self.files.insert("nodes/step.js".to_owned(), script);
        self.files.insert("nodes/step.html".to_owned(), html);
        let mut packages = vec![Made {
            name: self.name,
            files: self.files,
        }];
        packages.extend(self.others);
        packages
    }
}

fn wrapped(code: &str) -> String {
    format!("(function () {{\n{code}\n}})();")
}

/// Puts the fields of one object into another, objects in it likewise.
fn merge(into: &mut Value, from: &Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            for (key, value) in from {
                merge(into.entry(key.clone()).or_insert(Value::Null), value);
            }
        }
        (into, from) => *into = from.clone(),
    }
}
