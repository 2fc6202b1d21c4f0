//! `--from`: a Node-RED user directory that exists becomes a new project. The source is only read, and nothing of
//! it runs outside the sandbox.

mod copy;
mod settings;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde_json::Value;

pub(super) use self::settings::settings;

use crate::dev::files;
use crate::dev::folder::{self, Project};
use crate::dev::import::copy::{Copied, tree};
use crate::dev::launch::Launcher;
use crate::dev::screen::{Said, Screen};
use crate::dev::signals::Signals;
use crate::instances::carried::{self, Found};
use crate::problem::{Code, Problem};

/// Where npm and Node-RED keep what they remember; sessions are nobody else's, and projects are not carried.
const MEMORY: [&str; 5] = [
    ".config.json",
    ".config.nodes.json",
    ".config.runtime.json",
    ".config.users.json",
    ".npmrc",
];

/// Folders that go over whole.
const FOLDERS: [&str; 3] = ["lib", "context", "node_modules"];

/// A user directory to import.
#[derive(Debug)]
pub(super) struct Source(PathBuf);

/// What was done, for the person.
#[derive(Debug, Default)]
struct Account {
    brought: Vec<String>,
    left: Vec<String>,
    mind: Vec<String>,
}

impl Source {
    /// Looks whether there is something to import, and a place for it.
    pub(super) fn open(from: &Path, project: &Project) -> Result<Self, Problem> {
        let path = from
            .canonicalize()
            .map_err(|error| Problem::io(format!("cannot open {}", from.display()), error))
            .map_err(|problem| problem.or_hint("name the Node-RED user directory, most often ~/.node-red"))?;
        if !path.is_dir() {
            return Err(
                Problem::new(Code::Usage, format!("{} is not a folder", path.display()))
                    .hint("name the Node-RED user directory, most often ~/.node-red"),
            );
        }
        if path.starts_with(&project.path) || project.path.starts_with(&path) {
            let message = format!(
                "{} cannot be imported into {}",
                path.display(),
                project.path.display()
            );
            return Err(
                Problem::new(Code::Usage, message).hint("name another folder: redhold dev --from DIR NEW")
            );
        }
        if !project.fresh || project.path.join("package.json").exists() {
            let message = format!(
                "{} already holds a project, which is not overwritten",
                project.path.display()
            );
            return Err(Problem::new(Code::Usage, message)
                .hint("name a new folder: redhold dev --from DIR NEW; or leave --from out"));
        }
        Ok(Self(path))
    }

    /// Brings it over.
    pub(super) async fn bring(
        &self,
        project: &Project,
        launcher: &Launcher<'_>,
        signals: &mut Signals,
        screen: &dyn Screen,
    ) -> Result<(), Problem> {
        let found = settings::read(&self.0, launcher, signals).await?;
        let mut account = Account::default();
        let flows = self.flow_file(&found)?;
        if !self.0.join(&flows).exists() {
            let message = format!("{} holds no flows: {flows} is not there", self.0.display());
            return Err(Problem::new(Code::Usage, message)
                .hint("name the Node-RED user directory, most often ~/.node-red"));
        }
        folder::check_flows(&self.0.join(&flows))?;
        self.remember(project, &found, &mut account)?;
        let manifest = self.manifest(project, &mut account)?;
        self.folders(project, manifest.as_ref(), &mut account)?;
        self.credentials(project, &flows, &mut account)?;
        settings::keep(project, &found, &mut account.brought, &mut account.left)?;
        self.name_the_rest(&flows, &mut account)?;
        // The flows last: until they are there, the folder is no project, and the import can be done again.
        self.file(&flows, &project.path.join(&project.flow_file))?;
        account.brought.insert(0, "flows".to_owned());
        project.furnish("[]")?;
        account.tell(&self.0, screen);
        Ok(())
    }

    /// Its flow file's name. One outside the folder is not followed.
    fn flow_file(&self, found: &Found) -> Result<String, Problem> {
        match found.text("flowFile") {
            None => carried::flow_file(&self.0),
            Some(name) => match Path::new(name)
                .strip_prefix(&self.0)
                .unwrap_or_else(|_| Path::new(name))
            {
                inner if inner.is_absolute() || inner.starts_with("..") => {
                    let message = format!("the flow file {name} lies outside {}", self.0.display());
                    Err(Problem::new(Code::Usage, message).hint("copy it into that folder first"))
                }
                inner => Ok(inner.to_string_lossy().into_owned()),
            },
        }
    }

    /// What Node-RED remembers, with the key of the credentials where Node-RED looks for one without settings.
    fn remember(&self, project: &Project, found: &Found, account: &mut Account) -> Result<(), Problem> {
        for name in MEMORY {
            if self.file(name, &project.path.join(name))? && name == ".npmrc" {
                account.brought.push("npm's configuration (.npmrc)".to_owned());
            }
        }
        if let Some(secret) = found.text("credentialSecret") {
            let file = project.path.join(".config.runtime.json");
            let mut memory: Value = fs::read(&file)
                .ok()
                .and_then(|text| serde_json::from_slice(&text).ok())
                .filter(Value::is_object)
                .unwrap_or_else(|| Value::Object(serde_json::Map::new()));
            memory["_credentialSecret"] = Value::from(secret);
            files::write_private(&file, memory.to_string().as_bytes())
                .map_err(|error| Problem::io(format!("cannot write {}", file.display()), error))?;
        }
        Ok(())
    }

    fn manifest(&self, project: &Project, account: &mut Account) -> Result<Option<Value>, Problem> {
        let file = self.0.join("package.json");
        let Ok(text) = fs::read(&file) else {
            return Ok(None);
        };
        let Ok(manifest) = serde_json::from_slice::<Value>(&text) else {
            account
                .left
                .push("package.json, which is not valid JSON".to_owned());
            return Ok(None);
        };
        self.file("package.json", &project.path.join("package.json"))?;
        self.file("package-lock.json", &project.path.join("package-lock.json"))?;
        let count = manifest["dependencies"]
            .as_object()
            .map_or(0, |modules| modules.len() as u64);
        if count > 0 {
            account.brought.push(counted(count, "module"));
        }
        Ok(Some(manifest))
    }

    fn folders(
        &self,
        project: &Project,
        manifest: Option<&Value>,
        account: &mut Account,
    ) -> Result<(), Problem> {
        for name in FOLDERS {
            let from = self.0.join(name);
            if !from.is_dir() || (name == "node_modules" && manifest.is_none()) {
                continue;
            }
            let mut copied = Copied::default();
            tree(&from, &project.path.join(name), &from, &mut copied)
                .map_err(|error| Problem::io(format!("cannot copy {}", from.display()), error))?;
            match name {
                "lib" if copied.files > 0 => account.brought.push("library".to_owned()),
                "context" if copied.files > 0 => account.brought.push("stored context".to_owned()),
                _ => {}
            }
            if copied.skipped > 0 {
                let what = counted(copied.skipped, "link or special file");
                let said = format!("{what} in {name} that would lead elsewhere");
                account.left.push(said);
            }
            if !copied.native.is_empty() {
                account.mind.push(format!(
                    "{} holds native code, built for the Node.js it ran on: if it does not load, remove it in the \
                     palette and install it again",
                    copied.native.iter().cloned().collect::<Vec<_>>().join(", ")
                ));
            }
        }
        Ok(())
    }

    fn credentials(&self, project: &Project, flows: &str, account: &mut Account) -> Result<(), Problem> {
        let of = |file: &str| {
            let stem = file.strip_suffix(".json").unwrap_or(file);
            format!("{stem}_cred.json")
        };
        if self.file(&of(flows), &project.path.join(of(&project.flow_file)))? {
            account.brought.push("credentials with their key".to_owned());
        }
        Ok(())
    }

    /// Names what lies there and was not brought.
    fn name_the_rest(&self, flows: &str, account: &mut Account) -> Result<(), Problem> {
        let entries = fs::read_dir(&self.0)
            .map_err(|error| Problem::io(format!("cannot read {}", self.0.display()), error))?;
        let mut rest: Vec<String> = entries
            .flatten()
            .filter_map(|entry| entry.file_name().into_string().ok())
            .filter(|name| {
                !name.starts_with('.')
                    && !FOLDERS.contains(&name.as_str())
                    && !["package.json", "package-lock.json", "settings.js"].contains(&name.as_str())
                    && !name.ends_with(".backup")
                    && !name.starts_with(flows.trim_end_matches(".json"))
            })
            .collect();
        rest.sort();
        if !rest.is_empty() {
            account.left.push(format!("other files: {}", rest.join(", ")));
        }
        Ok(())
    }

    /// Copies one file, if it is there; never through a link.
    fn file(&self, name: &str, to: &Path) -> Result<bool, Problem> {
        let from = self.0.join(name);
        match fs::symlink_metadata(&from) {
            Ok(about) if about.is_file() => {}
            Ok(_) => return Ok(false),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(Problem::io(format!("cannot read {}", from.display()), error)),
        }
        let text =
            fs::read(&from).map_err(|error| Problem::io(format!("cannot read {}", from.display()), error))?;
        // Credentials, their key and registry tokens are for their owner alone.
        let private = name.starts_with(".config") || name.ends_with("_cred.json") || name == ".npmrc";
        let written = if private {
            files::write_private(to, &text)
        } else {
            files::write(to, &text)
        };
        written.map_err(|error| Problem::io(format!("cannot write {}", to.display()), error))?;
        Ok(true)
    }
}

/// `1 module`, `2 modules`.
fn counted(count: u64, what: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {what}{plural}")
}

impl Account {
    fn tell(&self, from: &Path, screen: &dyn Screen) {
        screen.show(Said::Note(&format!(
            "imported from {}: {}",
            from.display(),
            self.brought.join(", ")
        )));
        for left in &self.left {
            screen.show(Said::Note(&format!("  left out: {left}")));
        }
        for mind in &self.mind {
            screen.show(Said::Warning(mind));
        }
    }
}
