//! What the files of a package say beside its code: scripts, native builds, commands, licences, dependencies.

use std::collections::BTreeSet;

use super::files::{self, plain};
use super::finding::{About, Step};
use super::lines::line_of;
use super::registry::texts;
use super::scripts::{INSTALL, steps};
use super::{flows, html, licence, lookalike, native};
use crate::package::Package;

/// Commands that everybody expects to be something else.
const WELL_KNOWN: [&str; 44] = [
    "node",
    "npm",
    "npx",
    "corepack",
    "yarn",
    "pnpm",
    "node-red",
    "node-red-admin",
    "node-red-pi",
    "sh",
    "bash",
    "zsh",
    "ls",
    "cat",
    "cp",
    "mv",
    "rm",
    "mkdir",
    "chmod",
    "chown",
    "sudo",
    "su",
    "ssh",
    "scp",
    "git",
    "curl",
    "wget",
    "tar",
    "gzip",
    "python",
    "python3",
    "make",
    "gcc",
    "cc",
    "ps",
    "kill",
    "env",
    "which",
    "docker",
    "systemctl",
    "openssl",
    "gpg",
    "vi",
    "nano",
];

/// A finding with its file and line.
pub(crate) type Placed = (String, u32, About);

/// What the manifest and the other files say.
pub(crate) fn findings(package: &Package) -> Vec<Placed> {
    let mut found = Vec::new();
    let text = package
        .file("package.json")
        .map_or("", |bytes| std::str::from_utf8(bytes).unwrap_or_default());
    let mut say = |needle: &str, about: About| {
        let line = line_of(text, &format!("\"{needle}\""));
        found.push(("package.json".to_owned(), line, about));
    };
    let manifest = &package.manifest;
    let scripts = texts(manifest, "scripts");
    for name in INSTALL {
        if let Some(command) = scripts.get(name) {
            say(
                name,
                About::InstallScript {
                    name: name.to_owned(),
                    command: command.clone(),
                    steps: steps(command, &scripts),
                    implicit: false,
                },
            );
        }
    }
    let builds = package.file("binding.gyp").is_some();
    if builds && !scripts.contains_key("install") && !scripts.contains_key("preinstall") {
        say(
            "name",
            About::InstallScript {
                name: "install".to_owned(),
                command: "node-gyp rebuild".to_owned(),
                steps: vec![Step::NativeBuild {
                    tool: "node-gyp".to_owned(),
                }],
                implicit: true,
            },
        );
    }
    for (name, file) in files::commands(manifest) {
        let shadows = WELL_KNOWN.contains(&name.as_str());
        say("bin", About::Command { name, file, shadows });
    }
    say("license", licence::of(manifest));
    let repository = manifest["repository"]
        .as_str()
        .or_else(|| manifest["repository"]["url"].as_str());
    if repository.is_none_or(|url| url.trim().is_empty()) {
        say("name", About::NoRepository);
    }
    if let Some(like) = lookalike::like(package.name.as_str()) {
        say("name", like);
    }
    let named = [
        texts(manifest, "dependencies"),
        texts(manifest, "optionalDependencies"),
    ];
    if named.iter().any(|list| list.contains_key(package.name.as_str())) {
        say("dependencies", About::SelfDependency);
    }
    for named in files::node_files(manifest) {
        if package.file(&named.path).is_none() {
            say(
                "node-red",
                About::MissingNodeFile {
                    name: named.name,
                    file: named.path,
                },
            );
        }
    }
    for (path, content) in package.files() {
        other_file(path, content, &mut found);
    }
    found
}

fn other_file(path: &str, content: &[u8], found: &mut Vec<Placed>) {
    if let Some(about) = native::executable(content) {
        found.push((path.to_owned(), 1, about));
    }
    let name = path.rsplit('/').next().unwrap_or(path);
    if name.ends_with(".gyp") || name.ends_with(".gypi") {
        let text = String::from_utf8_lossy(content);
        for (line, command) in gyp_commands(&text) {
            found.push((path.to_owned(), line, About::GypCommand { command }));
        }
    }
    if path.starts_with("examples/")
        && name.ends_with(".json")
        && let Some(about) = flows::example(content)
    {
        found.push((path.to_owned(), 1, about));
    }
    if (name.ends_with(".html") || name.ends_with(".htm"))
        && let Ok(text) = std::str::from_utf8(content)
    {
        for script in html::scripts(text) {
            let foreign = script.source.filter(|source| source.contains("//"));
            if let Some(url) = foreign {
                let line = text[..script.start].bytes().filter(|byte| *byte == b'\n').count() as u32 + 1;
                found.push((path.to_owned(), line, About::ExternalScript { url }));
            }
        }
    }
}

/// Commands that run when `binding.gyp` is read (`<!(…)`, `<!@(…)`) or built (`action`).
fn gyp_commands(text: &str) -> Vec<(u32, String)> {
    let mut found = Vec::new();
    for (number, line) in (1_u32..).zip(text.lines()) {
        // What stands behind a comment sign outside of texts is no part of it; inside of texts it is rare.
        let code = line.trim_start();
        if code.starts_with('#') {
            continue;
        }
        for opening in ["<!(", "<!@(", ">!(", ">!@(", "^!(", "^!@("] {
            for (at, _) in code.match_indices(opening) {
                let rest = &code[at + opening.len()..];
                let command = rest.rsplit_once(')').map_or(rest, |(command, _)| command);
                found.push((number, command.chars().take(300).collect()));
            }
        }
        if code.contains("'action'") || code.contains("\"action\"") {
            found.push((number, code.chars().take(300).collect()));
        }
    }
    found.truncate(200);
    found
}

/// Files that install scripts run with Node.js.
pub(crate) fn script_files(found: &[Placed]) -> Vec<String> {
    let steps = found.iter().filter_map(|(_, _, about)| match about {
        About::InstallScript { steps, .. } => Some(steps),
        _ => None,
    });
    steps
        .flatten()
        .filter_map(|step| match step {
            Step::Node { file, .. } => Some(plain(file)),
            _ => None,
        })
        .collect()
}

/// Names of packages that the manifest names, of whatever kind.
pub(crate) fn declared(package: &Package) -> BTreeSet<String> {
    let kinds = ["dependencies", "optionalDependencies", "peerDependencies"];
    kinds
        .iter()
        .flat_map(|kind| texts(&package.manifest, kind).into_keys())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use npm::{Algorithm, Hasher};
    use std::collections::BTreeMap;

    fn of(files: &[(&str, &str)]) -> Vec<String> {
        let files: BTreeMap<String, Bytes> = files
            .iter()
            .map(|(path, text)| ((*path).to_owned(), Bytes::from((*text).to_owned())))
            .collect();
        let package = Package::from_files(files, Hasher::new(Algorithm::Sha512).finish()).expect("a package");
        findings(&package)
            .into_iter()
            .map(|(file, line, about)| {
                let about = serde_json::to_value(about).expect("it is data");
                format!("{file}:{line} {}", about["kind"].as_str().unwrap_or_default())
            })
            .collect()
    }

    #[test]
    fn what_the_manifest_says() {
        let manifest = "{\n\"name\": \"thing-of-mine\",\n\"version\": \"1.0.0\",\n\"license\": \"MIT\",\n\"repository\": \"x/y\",\n\
            \"bin\": {\"npm\": \"./a.js\"},\n\"scripts\": {\n\"postinstall\": \"node a.js\"},\n\
            \"dependencies\": {\"thing-of-mine\": \"1\"},\n\"node-red\": {\"nodes\": {\"a\": \"gone.js\"}}}";
        assert_eq!(
            of(&[("package.json", manifest), ("a.js", "")]),
            [
                "package.json:8 install-script",
                "package.json:6 command",
                "package.json:4 licence",
                "package.json:9 self-dependency",
                "package.json:10 missing-node-file",
            ]
        );
    }

    #[test]
    fn a_native_build_runs_without_a_script() {
        let manifest =
            r#"{"name": "thing-of-mine", "version": "1.0.0", "license": "MIT", "repository": "x/y"}"#;
        let gyp = "{\n# '<!(no)'\n'targets': [{ 'include_dirs': [\"<!@(node -p \\\"require('node-addon-api').include\\\")\"] }]}";
        assert_eq!(
            of(&[("package.json", manifest), ("binding.gyp", gyp)]),
            [
                "package.json:1 install-script",
                "package.json:1 licence",
                "binding.gyp:3 gyp-command",
            ]
        );
    }

    #[test]
    fn other_files_are_looked_at() {
        let manifest =
            r#"{"name": "thing-of-mine", "version": "1.0.0", "license": "MIT", "repository": "x/y"}"#;
        assert_eq!(
            of(&[
                ("package.json", manifest),
                (
                    "a.html",
                    "\n<script src='//x.example/a.js'></script><script src='own.js'></script>"
                ),
                ("examples/a.json", r#"[{"type": "exec"}]"#),
                ("x.wasm", "\0asm"),
            ]),
            [
                "package.json:1 licence",
                "a.html:2 external-script",
                "examples/a.json:1 example-flow",
                "x.wasm:1 wasm",
            ]
        );
    }
}
