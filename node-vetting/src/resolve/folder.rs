//! A developer's own package, taken from a folder as `npm pack` would take it.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use ignore::gitignore::{Gitignore, GitignoreBuilder};
use npm::{Algorithm, Hasher};
use serde_json::Value;

use crate::package::{LIMITS, Package, PackageError};

/// Never packed, wherever it lies.
const NEVER: [&str; 16] = [
    ".git",
    ".svn",
    ".hg",
    "CVS",
    ".npmrc",
    ".npmignore",
    ".gitignore",
    ".DS_Store",
    ".lock-wscript",
    "npm-debug.log",
    "config.gypi",
    "package-lock.json",
    "yarn.lock",
    "pnpm-lock.yaml",
    "bun.lockb",
    ".wafpickle-N",
];
/// Always packed from the top, whatever the lists say, with any ending.
const ALWAYS: [&str; 4] = ["readme", "license", "licence", "copying"];

/// Why a folder is no package.
#[derive(Debug, thiserror::Error)]
pub(super) enum FolderError {
    /// It cannot be read.
    #[error("cannot read {path}")]
    Read {
        /// What.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It holds more than a package may.
    #[error("it holds more than the {0} that a package may have")]
    TooMuch(String),
    /// What is in it is no package.
    #[error(transparent)]
    Package(#[from] PackageError),
}

/// What decides about files.
struct Choice {
    top: PathBuf,
    /// The `files` list of the manifest, as patterns; nothing when there is none.
    listed: Option<Gitignore>,
    /// Files that the manifest names: its entry and its commands.
    named: Vec<String>,
}

/// Packs a folder.
///
/// # Errors
/// When it cannot be read, is too large, or holds no usable `package.json`.
pub(super) fn pack(top: &Path) -> Result<Package, FolderError> {
    let manifest = read(&top.join("package.json")).map_err(|error| match error {
        FolderError::Read { source, .. } if source.kind() == io::ErrorKind::NotFound => {
            PackageError::NoManifest.into()
        }
        other => other,
    })?;
    let parsed: Value = serde_json::from_slice(&manifest).unwrap_or_default();
    let choice = Choice {
        top: top.to_owned(),
        listed: listed(top, &parsed),
        named: named(&parsed),
    };
    let mut files = BTreeMap::new();
    let mut size = 0_u64;
    choice.walk("", &mut Vec::new(), &mut |path, content| {
        size += content.len() as u64;
        files.insert(path, content);
        if files.len() as u64 > LIMITS.files {
            return Err(FolderError::TooMuch(format!("{} files", LIMITS.files)));
        }
        if size > LIMITS.unpacked {
            return Err(FolderError::TooMuch(format!("{} bytes", LIMITS.unpacked)));
        }
        Ok(())
    })?;
    // There is no archive whose hash could be told; this names the same files by the same bytes.
    let mut hasher = Hasher::new(Algorithm::Sha512);
    for (path, content) in &files {
        hasher.update(format!("{path}\n{}\n", content.len()).as_bytes());
        hasher.update(content);
    }
    Ok(Package::from_files(files, hasher.finish())?)
}

fn listed(top: &Path, manifest: &Value) -> Option<Gitignore> {
    let patterns = manifest["files"].as_array()?;
    let mut builder = GitignoreBuilder::new(top);
    for pattern in patterns.iter().filter_map(Value::as_str) {
        let (not, pattern) = match pattern.strip_prefix('!') {
            Some(rest) => ("!", rest),
            None => ("", pattern),
        };
        let pattern = pattern.trim_start_matches("./").trim_start_matches('/');
        // Entries mean the file or everything below the folder; what is no pattern means nothing.
        let _ = builder.add_line(None, &format!("{not}/{}", pattern.trim_end_matches('/')));
    }
    builder.build().ok()
}

fn named(manifest: &Value) -> Vec<String> {
    let mut names: Vec<&str> = manifest["main"].as_str().into_iter().collect();
    match &manifest["bin"] {
        Value::String(path) => names.push(path),
        Value::Object(commands) => names.extend(commands.values().filter_map(Value::as_str)),
        _ => {}
    }
    let plain = |name: &str| name.trim_start_matches("./").trim_start_matches('/').to_owned();
    names.into_iter().map(plain).collect()
}

impl Choice {
    /// Goes through a folder in order; `rules` are the ignore files of the folders above, outermost first.
    fn walk(
        &self,
        below: &str,
        rules: &mut Vec<Gitignore>,
        take: &mut impl FnMut(String, Bytes) -> Result<(), FolderError>,
    ) -> Result<(), FolderError> {
        if below.split('/').count() > LIMITS.depth {
            return Err(FolderError::TooMuch(format!(
                "{} folders in a path",
                LIMITS.depth
            )));
        }
        let folder = self.top.join(below);
        let unreadable = |source| FolderError::Read {
            path: folder.clone(),
            source,
        };
        let own = ignored(&folder);
        let pushed = own.is_some();
        rules.extend(own);
        let mut entries = Vec::new();
        for entry in fs::read_dir(&folder).map_err(unreadable)? {
            let entry = entry.map_err(unreadable)?;
            let kind = entry.file_type().map_err(unreadable)?;
            // A name that is not UTF-8 could not be named in a report; npm's archives have none either.
            if let Ok(name) = entry.file_name().into_string() {
                entries.push((name, kind));
            }
        }
        entries.sort_by(|a, b| a.0.cmp(&b.0));
        for (name, kind) in entries {
            let path = if below.is_empty() {
                name.clone()
            } else {
                format!("{below}/{name}")
            };
            if name == "node_modules" || NEVER.contains(&name.as_str()) || name.ends_with(".orig") {
                continue;
            }
            if kind.is_dir() {
                if !self.is_excluded_folder(&path, rules) {
                    self.walk(&path, rules, take)?;
                }
            } else if kind.is_file() && self.is_packed(&path, rules) {
                // Links are left out: npm packs none, and they could lead anywhere.
                take(path.clone(), read(&self.top.join(&path))?.into())?;
            }
        }
        if pushed {
            rules.pop();
        }
        Ok(())
    }

    fn is_excluded_folder(&self, path: &str, rules: &[Gitignore]) -> bool {
        self.listed.is_none() && excluded(&self.top.join(path), true, rules)
    }

    fn is_packed(&self, path: &str, rules: &[Gitignore]) -> bool {
        if path == "package.json" || self.named.iter().any(|named| named == path) {
            return true;
        }
        let stem = path.split('.').next().unwrap_or(path).to_ascii_lowercase();
        if !path.contains('/') && ALWAYS.contains(&stem.as_str()) {
            return true;
        }
        match &self.listed {
            // The list decides over an ignore file at the top, not over those further down.
            Some(listed) => {
                let full = self.top.join(path);
                let deeper: Vec<Gitignore> = rules
                    .iter()
                    .filter(|rule| rule.path() != self.top)
                    .cloned()
                    .collect();
                listed.matched_path_or_any_parents(&full, false).is_ignore()
                    && !excluded(&full, false, &deeper)
            }
            None => !excluded(&self.top.join(path), false, rules),
        }
    }
}

/// The innermost ignore file that says something decides.
fn excluded(path: &Path, folder: bool, rules: &[Gitignore]) -> bool {
    for rule in rules.iter().rev() {
        let said = rule.matched(path, folder);
        if !said.is_none() {
            return said.is_ignore();
        }
    }
    false
}

/// `.npmignore`, else `.gitignore`.
fn ignored(folder: &Path) -> Option<Gitignore> {
    let file = [".npmignore", ".gitignore"]
        .map(|name| folder.join(name))
        .into_iter()
        .find(|path| path.is_file())?;
    let mut builder = GitignoreBuilder::new(folder);
    // Lines that are no pattern exclude nothing.
    let _ = builder.add(file);
    builder.build().ok()
}

fn read(path: &Path) -> Result<Vec<u8>, FolderError> {
    let unreadable = |source| FolderError::Read {
        path: path.to_owned(),
        source,
    };
    let file = fs::File::open(path).map_err(unreadable)?;
    let mut bytes = Vec::new();
    file.take(LIMITS.unpacked + 1)
        .read_to_end(&mut bytes)
        .map_err(unreadable)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packed(files: &[(&str, &str)]) -> Vec<String> {
        let folder = tempfile::tempdir().expect("a folder");
        for (path, content) in files {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().expect("a folder")).expect("it is made");
            fs::write(path, content).expect("it is written");
        }
        #[cfg(unix)]
        std::os::unix::fs::symlink("/etc/passwd", folder.path().join("link.js")).expect("a link");
        let package = pack(folder.path()).expect("it is packed");
        package.files().map(|(path, _)| path.to_owned()).collect()
    }

    const PLAIN: &str = r#"{"name": "a", "version": "1.0.0"}"#;

    #[test]
    fn everything_but_what_npm_leaves_out() {
        let found = packed(&[
            ("package.json", PLAIN),
            ("package-lock.json", "{}"),
            (".npmrc", "token"),
            (".git/config", ""),
            ("node_modules/x/index.js", ""),
            ("lib/node_modules/x/index.js", ""),
            ("lib/a.js", ""),
            (".gitignore", "*.log\n/build\n"),
            ("lib/x.log", ""),
            ("build/x.js", ""),
            ("lib/build/x.js", ""),
        ]);
        assert_eq!(found, ["lib/a.js", "lib/build/x.js", "package.json"]);
    }

    #[test]
    fn npms_own_ignore_file_comes_first() {
        let found = packed(&[
            ("package.json", PLAIN),
            (".gitignore", "dist\n"),
            (".npmignore", "src\n!src/keep.js\nREADME.md\n"),
            ("dist/a.js", ""),
            ("src/a.js", ""),
            ("README.md", ""),
        ]);
        assert_eq!(found, ["README.md", "dist/a.js", "package.json"]);
    }

    #[test]
    fn a_list_of_files_decides() {
        let found = packed(&[
            (
                "package.json",
                r#"{"name": "a", "version": "1.0.0", "main": "./start.js", "bin": {"a": "cli.js"},
                    "files": ["lib", "*.html", "!lib/test.js"]}"#,
            ),
            ("start.js", ""),
            ("cli.js", ""),
            ("other.js", ""),
            ("a.html", ""),
            ("deep/b.html", ""),
            ("lib/a.js", ""),
            ("lib/deep/a.js", ""),
            ("lib/test.js", ""),
            ("LICENSE", ""),
            ("lib/deep/.npmignore", "no.js"),
            ("lib/deep/no.js", ""),
        ]);
        assert_eq!(
            found,
            [
                "LICENSE",
                "a.html",
                "cli.js",
                "lib/a.js",
                "lib/deep/a.js",
                "package.json",
                "start.js"
            ]
        );
    }

    #[test]
    fn what_is_no_package_is_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        let refused = pack(folder.path()).expect_err("there is nothing");
        assert!(matches!(refused, FolderError::Package(PackageError::NoManifest)));
        fs::write(folder.path().join("package.json"), "{").expect("it is written");
        let refused = pack(folder.path()).expect_err("it is no JSON");
        assert!(matches!(
            refused,
            FolderError::Package(PackageError::BadManifest(_))
        ));
    }
}
