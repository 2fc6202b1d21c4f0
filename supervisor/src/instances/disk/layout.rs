//! Where `data/` and `files/` of an instance lie: in its folder, or in an image of its own.
//!
//! With an image, both are links into the place where it is mounted: unmounted they lead nowhere, so that nothing is
//! ever written beside it. An image is made under another name, filled, and renamed; from then on it is what counts,
//! and what remains of before is tidied up by [`find`], whenever that is called next.

use std::fs::{self, DirBuilder, File, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt, chown, symlink};
use std::path::Path;
use std::process::{Command, Stdio};

use runtime::error::or_absent;
use runtime::sandbox::quota::{image, measure};
use runtime::spec::Owner;
use runtime::units::Bytes;

use crate::instances::place::Place;
use crate::problem::{Code, Problem};
use crate::removal;

/// The folders that an instance may write.
const FOLDERS: [&str; 2] = ["data", "files"];

/// Finds what there is again: mounts the image, when there is one, and finishes or takes back what was cut off.
///
/// # Errors
/// When the image cannot be mounted.
pub(super) fn find(place: &Place) -> Result<(), Problem> {
    forget_new(place).map_err(|error| cannot("tidy up", place, error))?;
    if !place.image().exists() {
        return Ok(());
    }
    let failed = |error: runtime::error::StepError| {
        Problem::new(
            Code::Failed,
            format!("the disk of {} is not there", place.root().display()),
        )
        .because(error)
        .hint("nothing was lost by this; `dmesg` may say more, and a start of the instance tries again")
    };
    folder(&place.disk(), 0o711).map_err(|error| cannot("make a place to mount in", place, error))?;
    image::mount(&place.image(), &place.disk()).map_err(failed)?;
    link(place).map_err(|error| cannot("lead to the image of", place, error))
}

/// Takes an image that was never finished away.
fn forget_new(place: &Place) -> io::Result<()> {
    if place.new_disk().exists() {
        image::unmount(&place.new_disk()).map_err(io::Error::other)?;
        fs::remove_dir(place.new_disk())?;
    }
    or_absent(fs::remove_file(place.new_image()))
}

/// Lets the folders lead into the image. What is still there of before was copied into it before it got its name.
fn link(place: &Place) -> io::Result<()> {
    for name in FOLDERS {
        let (path, old) = (place.root().join(name), place.root().join(format!(".old-{name}")));
        match fs::symlink_metadata(&path) {
            Ok(there) if there.is_symlink() => {}
            Ok(_) => {
                fs::rename(&path, &old)?;
                symlink(Path::new("disk").join(name), &path)?;
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                symlink(Path::new("disk").join(name), &path)?;
            }
            Err(error) => return Err(error),
        }
        if old.exists() {
            File::open(place.root())?.sync_all()?;
            removal::remove_all(&old)?;
        }
    }
    File::open(place.root())?.sync_all()
}

/// Moves everything into a new image with room for `limit`, from wherever it is now. Nothing of the instance may run.
///
/// # Errors
/// Why that is impossible; everything is where it was then.
pub(super) fn remake(place: &Place, limit: Bytes, owner: Owner) -> Result<(), Problem> {
    let sources: Vec<_> = FOLDERS
        .iter()
        .map(|name| place.root().join(name))
        .filter(|source| source.exists())
        .collect();
    let there: Vec<_> = sources
        .iter()
        .filter_map(|path| fs::canonicalize(path).ok())
        .collect();
    let (used, _) = measure(&there).map_err(|error| cannot("measure", place, error))?;
    if used > limit.0 {
        let message = format!("it holds {}, and may hold {limit}", Bytes(used));
        return Err(Problem::new(Code::Usage, message).hint("raise its limit, or delete some of its files"));
    }
    let made = fill(place, limit, owner);
    if made.is_err() {
        // What stays is found, and goes, the next time.
        let _ = forget_new(place);
    }
    made?;
    let named = image::unmount(&place.disk())
        .map_err(io::Error::other)
        .and_then(|()| fs::rename(place.new_image(), place.image()))
        .and_then(|()| sync_parent(place.root()));
    // Mounted again also when that failed: whichever image has the name.
    find(place)?;
    named.map_err(|error| cannot("put an image in place for", place, error))
}

/// Makes the new image and copies into it; unmounted again, it is all on the disk.
fn fill(place: &Place, limit: Bytes, owner: Owner) -> Result<(), Problem> {
    let step = |error: runtime::error::StepError| {
        Problem::new(Code::Host, format!("no image for {}", place.root().display())).because(error)
    };
    let failed = |error| cannot("fill an image for", place, error);
    forget_new(place).map_err(failed)?;
    image::make(&place.new_image(), limit).map_err(step)?;
    let at = place.new_disk();
    folder(&at, 0o700).map_err(failed)?;
    image::mount(&place.new_image(), &at).map_err(step)?;
    fs::set_permissions(&at, Permissions::from_mode(0o711)).map_err(failed)?;
    for name in FOLDERS {
        let (source, target) = (place.root().join(name), at.join(name));
        folder(&target, 0o700).map_err(failed)?;
        if source.exists() {
            copy(&source, &target).map_err(failed)?;
        }
        if let Owner::Own { uid, gid } = owner {
            chown(&target, Some(uid), Some(gid)).map_err(failed)?;
        }
    }
    let all = File::open(&at).map_err(failed)?;
    nix::unistd::syncfs(&all).map_err(|error| failed(error.into()))?;
    drop(all);
    image::unmount(&at).map_err(step)?;
    fs::remove_dir(&at).map_err(failed)
}

/// Copies what is in a folder, with owners, times, links and everything else.
pub(in crate::instances) fn copy(from: &Path, to: &Path) -> io::Result<()> {
    let copied = Command::new("cp")
        .args(["-a", "--"])
        .arg(from.join("."))
        .arg(to)
        .env_clear()
        .env("PATH", "/usr/bin:/bin:/usr/sbin:/sbin")
        .stdin(Stdio::null())
        .output()?;
    if copied.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&copied.stderr);
    let said = said.lines().next().unwrap_or("no reason given").to_owned();
    Err(io::Error::other(said))
}

fn folder(path: &Path, mode: u32) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(mode).create(path)
}

fn sync_parent(path: &Path) -> io::Result<()> {
    File::open(path.parent().unwrap_or(path))?.sync_all()
}

fn cannot(what: &str, place: &Place, error: io::Error) -> Problem {
    Problem::io(format!("cannot {what} {}", place.root().display()), error)
}
