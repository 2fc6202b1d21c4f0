//! A verified archive into a folder tree.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, BufReader, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

use npm::tarball::{self, Limits, TarballError};
use sha2::{Digest, Sha256};

use crate::store::manifest::{self, Line};

/// Unpacks the files that `wanted` names below `root/prefix` and tells them, with paths relative to `root`.
///
/// The archive was compared with its hash before; the walk's own checks make sure that even a lock that was made
/// from a hostile archive cannot write elsewhere. `root` is a folder of ours alone, so nobody can put a link in
/// the way.
pub(crate) fn unpack(
    archive: &mut File,
    limits: &Limits,
    root: &Path,
    prefix: &str,
    wanted: impl Fn(&str) -> bool,
) -> Result<Vec<Line>, TarballError> {
    let mut lines = Vec::new();
    let mut buffer = vec![0; 64 << 10];
    let mut last_parent = None;
    tarball::walk(
        BufReader::with_capacity(64 << 10, archive),
        limits,
        |entry, body| {
            if !wanted(entry.path) {
                return Ok(());
            }
            let path = format!("{prefix}/{}", entry.path);
            let path = path.trim_start_matches('/');
            let target = root.join(path);
            if let Some(parent) = target.parent()
                && last_parent.as_deref() != Some(parent)
            {
                make_folders(root, parent)?;
                last_parent = Some(parent.to_path_buf());
            }
            let mode = manifest::mode(entry.executable);
            let mut file = OpenOptions::new()
                .write(true)
                .create_new(true)
                .mode(mode)
                .open(&target)?;
            // The mask of whoever started us took bits away.
            file.set_permissions(Permissions::from_mode(mode))?;
            let mut hash = Sha256::new();
            loop {
                match body.read(&mut buffer) {
                    Ok(0) => break,
                    Ok(count) => {
                        hash.update(&buffer[..count]);
                        file.write_all(&buffer[..count])?;
                    }
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) => return Err(error),
                }
            }
            lines.push(Line {
                path: path.to_owned(),
                size: entry.size,
                executable: entry.executable,
                sha256: manifest::hex(hash),
            });
            Ok(())
        },
    )?;
    Ok(lines)
}

/// Makes the folders between `root` and `parent`, each for everybody to read.
fn make_folders(root: &Path, parent: &Path) -> io::Result<()> {
    match fs::create_dir(parent) {
        Ok(()) => fs::set_permissions(parent, Permissions::from_mode(0o755)),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            // Never above the root: when that is gone, the work was broken off.
            let above = parent
                .parent()
                .filter(|above| above.starts_with(root) && *above != root);
            make_folders(root, above.ok_or(error)?)?;
            make_folders(root, parent)
        }
        Err(error) => Err(error),
    }
}
