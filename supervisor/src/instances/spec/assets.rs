//! The files that an instance loads at its start, carried in the binary and written into its run directory.

use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::Path;

use serde_json::Value;

use super::PrepareError;

/// The flow of a fresh project: an HTTP endpoint, an inject and a debug node, and what to try.
pub const WELCOME_FLOW: &str = include_str!("../../../assets/node-red/welcome.json");

const FILES: [(&str, &str); 19] = [
    ("main.cjs", include_str!("../../../assets/node-red/main.cjs")),
    (
        "channel.cjs",
        include_str!("../../../assets/node-red/channel.cjs"),
    ),
    ("check.cjs", include_str!("../../../assets/node-red/check.cjs")),
    (
        "figures.cjs",
        include_str!("../../../assets/node-red/figures.cjs"),
    ),
    ("gate.cjs", include_str!("../../../assets/node-red/gate.cjs")),
    ("got.cjs", include_str!("../../../assets/node-red/got.cjs")),
    ("lazy.cjs", include_str!("../../../assets/node-red/lazy.cjs")),
    ("levers.cjs", include_str!("../../../assets/node-red/levers.cjs")),
    ("log.cjs", include_str!("../../../assets/node-red/log.cjs")),
    ("memory.cjs", include_str!("../../../assets/node-red/memory.cjs")),
    (
        "palette.cjs",
        include_str!("../../../assets/node-red/palette.cjs"),
    ),
    (
        "secrets.cjs",
        include_str!("../../../assets/node-red/secrets.cjs"),
    ),
    (
        "settings.cjs",
        include_str!("../../../assets/node-red/settings.cjs"),
    ),
    ("spawns.cjs", include_str!("../../../assets/node-red/spawns.cjs")),
    ("stack.cjs", include_str!("../../../assets/node-red/stack.cjs")),
    ("state.cjs", include_str!("../../../assets/node-red/state.cjs")),
    ("warm.cjs", include_str!("../../../assets/node-red/warm.cjs")),
    (
        "passwd",
        "redhold:x:1000:1000:Redhold instance:/data:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n",
    ),
    ("group", "redhold:x:1000:\nnogroup:x:65534:\n"),
];

/// Writes all of them into `directory`, which is made. They are read by the instance's own uid, so everyone may
/// read them; the run directory around them is closed.
pub(super) fn write(directory: &Path, settings: &Value, ca: Option<&Path>) -> Result<(), PrepareError> {
    let failed = |path: &Path| {
        let path = path.to_path_buf();
        move |source| PrepareError::Write { path, source }
    };
    DirBuilder::new()
        .recursive(true)
        .mode(0o755)
        .create(directory)
        .map_err(failed(directory))?;
    let document = settings.to_string();
    let certificates = match ca {
        Some(path) => Some(fs::read_to_string(path).map_err(failed(path))?),
        None => None,
    };
    let files = FILES
        .into_iter()
        .chain([("settings.json", document.as_str())])
        .chain(certificates.as_deref().map(|text| ("ca.pem", text)));
    for (name, text) in files {
        let path = directory.join(name);
        replace(&path, text).map_err(failed(&path))?;
    }
    fs::set_permissions(directory, Permissions::from_mode(0o755)).map_err(failed(directory))
}

/// A file that says the same already is left alone: an instance that is taken over may be reading it. These files
/// are made anew for each run, so they need not outlive a crash of the machine.
fn replace(path: &Path, text: &str) -> io::Result<()> {
    if fs::read(path).is_ok_and(|found| found == text.as_bytes()) {
        return Ok(());
    }
    let new = path.with_extension("new");
    fs::write(&new, text)?;
    fs::set_permissions(&new, Permissions::from_mode(0o644))?;
    fs::rename(&new, path)
}
