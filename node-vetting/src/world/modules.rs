//! Finds modules as Node.js does: folders of packages, `exports` and `imports` with conditions, `main`, indexes.

use std::cell::Cell;

use crate::builtin;
use crate::rewrite::is_module;
use crate::world::args::Fault;
use crate::world::files::{Files, Node, normal, parent};
use crate::world::ordered::Ordered;

/// Longest name that is looked up.
const LONGEST: usize = 4096;
/// Targets inside targets of `exports` and `imports`.
const DEEPEST: usize = 16;

/// How a file is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// A script with `require` and `module`.
    CommonJs,
    /// A module with `import` and `export`.
    Module,
    /// Data.
    Json,
    /// Machine code.
    Native,
    /// WebAssembly.
    Wasm,
    /// Comes with Node.js.
    Builtin,
}

impl Format {
    /// As the guest's loader calls it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::CommonJs => "commonjs",
            Self::Module => "module",
            Self::Json => "json",
            Self::Native => "native",
            Self::Wasm => "wasm",
            Self::Builtin => "builtin",
        }
    }
}

/// Where a name leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolved {
    /// The file, or the name of a builtin without `node:`.
    pub path: String,
    /// How it is run.
    pub format: Format,
}

/// Looks names up in a tree.
pub(super) struct Resolver<'a> {
    files: &'a Files,
    conditions: [&'static str; 4],
    /// Bytes of manifests that were read.
    parsed: Cell<u64>,
}

impl<'a> Resolver<'a> {
    /// For `import`, or for `require`.
    pub(super) const fn new(files: &'a Files, import: bool) -> Self {
        let style = if import { "import" } else { "require" };
        Self {
            files,
            conditions: ["node", style, "module-sync", "default"],
            parsed: Cell::new(0),
        }
    }

    /// Bytes of manifests that were read so far.
    pub(super) fn parsed(&self) -> u64 {
        self.parsed.get()
    }

    /// What a name means in a file.
    ///
    /// # Errors
    /// In the words of Node.js when it means nothing.
    pub(super) fn resolve(&self, from: &str, name: &str) -> Result<Resolved, Fault> {
        if name.len() > LONGEST {
            return Err(self.missing(from, "a name that is too long"));
        }
        if name.starts_with("node:") && builtin::named(name).is_none() {
            return Err(Fault::new(
                "ERR_UNKNOWN_BUILTIN_MODULE",
                format!("No such built-in module: {name}"),
            ));
        }
        if let Some(builtin) = builtin::named(name) {
            return Ok(Resolved {
                path: builtin.to_owned(),
                format: Format::Builtin,
            });
        }
        let folder = parent(from);
        let name = match name.strip_prefix("file://") {
            Some(path) => path,
            None => name,
        };
        let found = if name.starts_with('/') {
            self.file_or_folder(name)
        } else if name == "." || name == ".." || name.starts_with("./") || name.starts_with("../") {
            let path = normal(&format!("{folder}/{name}"));
            // A name that ends with a slash, or is only dots, means the folder even beside a file of its name.
            if name.ends_with('/') || name.ends_with('.') {
                self.folder(&path).or_else(|| self.file(&path))
            } else {
                self.file_or_folder(&path)
            }
        } else if name.starts_with('#') {
            self.import(folder, name)?
        } else {
            self.package(folder, name)?
        };
        let path = found.ok_or_else(|| self.missing(from, name))?;
        Ok(Resolved {
            format: format(self.files, &path),
            path,
        })
    }

    fn missing(&self, from: &str, name: &str) -> Fault {
        if self.conditions.contains(&"import") {
            let kind = if name.starts_with(['.', '/']) {
                "module"
            } else {
                "package"
            };
            return Fault::new(
                "ERR_MODULE_NOT_FOUND",
                format!("Cannot find {kind} '{name}' imported from {from}"),
            );
        }
        Fault::new(
            "MODULE_NOT_FOUND",
            format!("Cannot find module '{name}'\nRequire stack:\n- {from}"),
        )
    }

    fn is_file(&self, path: &str) -> Option<String> {
        match self.files.find(path) {
            Some((real, Node::File { .. })) => Some(real),
            _ => None,
        }
    }

    fn file(&self, path: &str) -> Option<String> {
        ["", ".js", ".json", ".node", ".mjs", ".cjs"]
            .iter()
            .find_map(|extension| self.is_file(&format!("{path}{extension}")))
    }

    fn file_or_folder(&self, path: &str) -> Option<String> {
        self.file(path).or_else(|| self.folder(path))
    }

    fn folder(&self, path: &str) -> Option<String> {
        let main = self.manifest(path).and_then(|manifest| {
            let main = manifest.get("main").text()?.to_owned();
            let target = normal(&format!("{path}/{main}"));
            self.file(&target)
                .or_else(|| self.file(&format!("{target}/index")))
        });
        main.or_else(|| self.file(&format!("{path}/index")))
    }

    fn manifest(&self, folder: &str) -> Option<Ordered> {
        let text = self.files.read(&format!("{folder}/package.json")).ok()?;
        let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&text);
        self.parsed.set(self.parsed.get() + text.len() as u64);
        serde_json::from_slice(text).ok()
    }

    /// A name of a package with an optional path in it.
    fn package(&self, folder: &str, name: &str) -> Result<Option<String>, Fault> {
        let (package, inner) = split(name);
        if let Some((own, manifest)) = self.scope(folder)
            && manifest.get("name").text() == Some(package)
            && *manifest.get("exports") != Ordered::Null
        {
            return self
                .exported(&own, manifest.get("exports"), inner, name)
                .map(Some);
        }
        let mut at = folder;
        loop {
            if !at.ends_with("/node_modules") {
                let place = normal(&format!("{at}/node_modules/{package}"));
                if let Some((place, Node::Folder)) = self.files.find(&place) {
                    let manifest = self.manifest(&place).unwrap_or(Ordered::Null);
                    if *manifest.get("exports") != Ordered::Null {
                        return self
                            .exported(&place, manifest.get("exports"), inner, name)
                            .map(Some);
                    }
                    let found = if inner == "." {
                        self.folder(&place)
                    } else {
                        self.file_or_folder(&normal(&format!("{place}/{inner}")))
                    };
                    if found.is_some() {
                        return Ok(found);
                    }
                }
            }
            if at == "/" {
                return Ok(None);
            }
            at = parent(at);
        }
    }

    /// The nearest folder with a manifest.
    fn scope(&self, folder: &str) -> Option<(String, Ordered)> {
        let mut at = folder;
        loop {
            if let Some(manifest) = self.manifest(at) {
                return Some((at.to_owned(), manifest));
            }
            if at == "/" || at.ends_with("/node_modules") {
                return None;
            }
            at = parent(at);
        }
    }

    fn exported(&self, place: &str, exports: &Ordered, inner: &str, name: &str) -> Result<String, Fault> {
        let subpaths = exports
            .entries()
            .filter(|map| map.iter().any(|(key, _)| key.starts_with('.')));
        let target = match subpaths {
            Some(map) => select(map, inner),
            None if inner == "." => Some((exports, "")),
            None => None,
        };
        target
            .and_then(|(target, star)| self.target(place, target, star, 0))
            .ok_or_else(|| {
                Fault::new(
                    "ERR_PACKAGE_PATH_NOT_EXPORTED",
                    format!("Package subpath '{inner}' is not defined by \"exports\" in {place}/package.json ('{name}')"),
                )
            })
    }

    fn import(&self, folder: &str, name: &str) -> Result<Option<String>, Fault> {
        let undefined = || {
            Fault::new(
                "ERR_PACKAGE_IMPORT_NOT_DEFINED",
                format!("Package import specifier \"{name}\" is not defined"),
            )
        };
        let (place, manifest) = self.scope(folder).ok_or_else(undefined)?;
        let map = manifest.get("imports").entries().ok_or_else(undefined)?;
        let (target, star) = select(map, name).ok_or_else(undefined)?;
        self.target(&place, target, star, 0)
            .map(Some)
            .ok_or_else(undefined)
    }

    /// Follows a target to a file: text, a choice by conditions, or a list of which the first that leads somewhere counts.
    fn target(&self, place: &str, target: &Ordered, star: &str, depth: usize) -> Option<String> {
        if depth > DEEPEST {
            return None;
        }
        match target {
            Ordered::Text(text) => {
                let text = text.replace('*', star);
                if text.starts_with("./") {
                    let path = normal(&format!("{place}/{text}"));
                    return path
                        .starts_with(&format!("{place}/"))
                        .then(|| self.is_file(&path))
                        .flatten();
                }
                self.resolve(&format!("{place}/package.json"), &text)
                    .ok()
                    .map(|resolved| resolved.path)
            }
            Ordered::List(list) => list
                .iter()
                .find_map(|target| self.target(place, target, star, depth + 1)),
            Ordered::Map(map) => map
                .iter()
                .filter(|(condition, _)| self.conditions.contains(&condition.as_str()))
                .find_map(|(_, target)| self.target(place, target, star, depth + 1)),
            _ => None,
        }
    }
}

/// How a file is run.
pub(super) fn format(files: &Files, path: &str) -> Format {
    match path.rsplit_once('.').map(|(_, extension)| extension) {
        Some("mjs") => Format::Module,
        Some("json") => Format::Json,
        Some("node") => Format::Native,
        Some("wasm") => Format::Wasm,
        Some("js") => {
            let scope = Resolver::new(files, true).scope(parent(path));
            let said = scope
                .as_ref()
                .and_then(|(_, manifest)| manifest.get("type").text());
            match said {
                Some("module") => Format::Module,
                Some("commonjs") => Format::CommonJs,
                _ if files.read(path).is_ok_and(|source| is_module(&source)) => Format::Module,
                _ => Format::CommonJs,
            }
        }
        _ => Format::CommonJs,
    }
}

/// The package and the path in it that a name has.
fn split(name: &str) -> (&str, &str) {
    let slash = name
        .match_indices('/')
        .nth(usize::from(name.starts_with('@')))
        .map(|(at, _)| at);
    match slash {
        Some(at) => (&name[..at], &name[at + 1..]),
        None => (name, "."),
    }
}

/// The entry of a map for a key: the exact one, else the pattern with the longest beginning; with what the star is.
fn select<'v, 'k>(map: &'v [(String, Ordered)], key: &'k str) -> Option<(&'v Ordered, &'k str)> {
    let dotted = |pattern: &str| pattern.strip_prefix("./").unwrap_or(pattern).to_owned();
    if let Some((_, target)) = map
        .iter()
        .find(|(pattern, _)| dotted(pattern) == key && !pattern.contains('*'))
    {
        return Some((target, ""));
    }
    map.iter()
        .filter_map(|(pattern, target)| {
            let pattern = dotted(pattern);
            let (before, after) = match pattern.split_once('*') {
                Some(parts) => parts,
                None if pattern.ends_with('/') => (pattern.as_str(), ""),
                None => return None,
            };
            let star = key.strip_prefix(before)?.strip_suffix(after)?;
            (!star.is_empty()).then_some((before.len(), target, star))
        })
        .max_by_key(|(length, _, _)| *length)
        .map(|(_, target, star)| (target, star))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree() -> Files {
        let mut files = Files::default();
        let mut place = |path: &str, text: &str| {
            files.place(&format!("/data/node_modules/{path}"), text.to_owned(), 0o644);
        };
        place(
            "a/package.json",
            r##"{"name":"a","main":"lib","imports":{"#inner":"./lib/inner.js"}}"##,
        );
        place("a/lib/index.js", "");
        place("a/lib/inner.js", "");
        place("a/node_modules/b/package.json", r#"{"name":"b"}"#);
        place("a/node_modules/b/index.json", "");
        place(
            "e/package.json",
            r#"{"name":"e","type":"module","exports":{".":{"require":"./c.cjs","import":"./m.js"},"./p/*":"./q/*.js","./x":null}}"#,
        );
        place("e/c.cjs", "");
        place("e/m.js", "");
        place("e/q/z.js", "");
        place("@s/t/package.json", r#"{"name":"@s/t","exports":"./only.js"}"#);
        place("@s/t/only.js", "");
        files
    }

    fn check(from: &str, name: &str, import: bool, expected: Result<&str, &str>) {
        let files = tree();
        let found = Resolver::new(&files, import).resolve(&format!("/data/node_modules/{from}"), name);
        let found = found.map(|resolved| resolved.path);
        let found = found
            .as_deref()
            .map(|path| path.strip_prefix("/data/node_modules/").unwrap_or(path))
            .map_err(|fault| fault.code);
        assert_eq!(found, expected, "{name} in {from}");
    }

    #[test]
    fn as_node_finds_them() {
        check("a/lib/index.js", "fs", false, Ok("fs"));
        check("a/lib/index.js", "node:fs/promises", false, Ok("fs/promises"));
        check("a/lib/index.js", "node:test", false, Ok("test"));
        check("a/lib/index.js", "test", false, Err("MODULE_NOT_FOUND"));
        check("a/lib/index.js", "./inner", false, Ok("a/lib/inner.js"));
        check("a/lib/index.js", "..", false, Ok("a/lib/index.js"));
        check("a/lib/index.js", "b", false, Ok("a/node_modules/b/index.json"));
        check("e/m.js", "node:nothing", false, Err("ERR_UNKNOWN_BUILTIN_MODULE"));
        check("e/m.js", "b", true, Err("ERR_MODULE_NOT_FOUND"));
        check("e/m.js", "b", false, Err("MODULE_NOT_FOUND"));
        check("a/lib/index.js", "#inner", false, Ok("a/lib/inner.js"));
        check(
            "a/lib/index.js",
            "#outer",
            false,
            Err("ERR_PACKAGE_IMPORT_NOT_DEFINED"),
        );
        check("a/lib/index.js", "e", false, Ok("e/c.cjs"));
        check("a/lib/index.js", "e", true, Ok("e/m.js"));
        check("a/lib/index.js", "e/p/z", true, Ok("e/q/z.js"));
        check(
            "a/lib/index.js",
            "e/x",
            true,
            Err("ERR_PACKAGE_PATH_NOT_EXPORTED"),
        );
        check(
            "a/lib/index.js",
            "e/c.cjs",
            true,
            Err("ERR_PACKAGE_PATH_NOT_EXPORTED"),
        );
        check("a/lib/index.js", "@s/t", true, Ok("@s/t/only.js"));
        check("e/m.js", "e/p/z", false, Ok("e/q/z.js"));
    }

    #[test]
    fn formats() {
        let files = tree();
        let format = |path: &str| format(&files, &format!("/data/node_modules/{path}"));
        assert_eq!(format("a/lib/index.js"), Format::CommonJs);
        assert_eq!(format("e/m.js"), Format::Module);
        assert_eq!(format("e/c.cjs"), Format::CommonJs);
        assert_eq!(format("a/node_modules/b/index.json"), Format::Json);
    }
}
