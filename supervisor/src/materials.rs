//! What an instance is made of: its stack, pinned by Redhold, and what npm says it has installed besides.

use std::collections::BTreeSet;
use std::io::Read;

use node_vetting::bom::{Component, Subject, installed};
use runtime::store::{Arch, Artifact, StackLock};
use sha2::{Digest, Sha256};
use uuid::Builder;

use crate::files::{FileError, FilePath, Tree};
use crate::instances::place::Place;
use crate::problem::{Code, Problem};

/// Largest list of npm's that is read, in bytes. A thousand packages need half a megabyte.
const LARGEST: u64 = 32 << 20;

/// npm's own list of what it installed, below the user directory.
const INSTALLED: &str = "node_modules/.package-lock.json";

/// Everything in an instance, in order of name and version.
///
/// # Errors
/// When npm's list cannot be read, or is larger than any real one.
pub fn components(place: &Place, stack: &StackLock, arch: Arch) -> Result<Vec<Component>, Problem> {
    let mut all: Vec<Component> = stack.artifacts(arch).map(of_stack).collect();
    all.extend(packages(place)?);
    all.sort_by(|a, b| (&a.name, &a.version).cmp(&(&b.name, &b.version)));
    all.dedup_by(|later, earlier| later.spec() == earlier.spec());
    Ok(all)
}

/// Whose materials they are. Equal materials of one instance have an equal number, at whatever time they are asked for.
#[must_use]
pub fn subject(id: &str, name: &str, made_at: String, components: &[Component]) -> Subject {
    let mut hasher = Sha256::new();
    hasher.update(id);
    for one in components {
        hasher.update(format!("\n{} {:?}", one.spec(), one.integrity));
    }
    let mut number = [0; 16];
    number.copy_from_slice(&hasher.finalize()[..16]);
    let needed: BTreeSet<&str> = components
        .iter()
        .flat_map(|one| &one.needs)
        .map(String::as_str)
        .collect();
    let tops = components
        .iter()
        .map(Component::spec)
        .filter(|spec| !needed.contains(spec.as_str()));
    Subject {
        name: name.to_owned(),
        serial: Builder::from_custom_bytes(number).into_uuid().to_string(),
        made_at,
        needs: tops.collect(),
    }
}

fn of_stack(artifact: &Artifact) -> Component {
    Component {
        name: artifact.name.clone(),
        version: artifact.version.clone(),
        integrity: Some(artifact.integrity.clone()),
        licence: None,
        needs: Vec::new(),
        verdict: None,
    }
}

/// What npm says; nothing where it has installed nothing yet.
fn packages(place: &Place) -> Result<Vec<Component>, Problem> {
    let cannot = |error: FileError| {
        Problem::new(Code::Failed, "the list of installed packages cannot be read").because(error)
    };
    let path = FilePath::parse(INSTALLED).map_err(cannot)?;
    let opened = match Tree::open(&place.data()).and_then(|tree| tree.read(&path)) {
        Ok(opened) => opened,
        Err(FileError::Missing(_)) => return Ok(Vec::new()),
        Err(error) => return Err(cannot(error)),
    };
    let no = |reason: String| {
        Problem::new(
            Code::Failed,
            format!("{INSTALLED} of this instance cannot be used: {reason}"),
        )
        .hint("npm writes it anew with the next package that is installed or removed")
    };
    let mut bytes = Vec::new();
    opened
        .file
        .take(LARGEST + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| no(error.to_string()))?;
    if bytes.len() as u64 > LARGEST {
        return Err(no(format!("it has more than {} MB", LARGEST >> 20)));
    }
    let lock = serde_json::from_slice(&bytes).map_err(|error| no(error.to_string()))?;
    Ok(installed(&lock))
}
