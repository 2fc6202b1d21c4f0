//! Images of an instance's own: as large as said, full when full, found again, and gone without a trace.

use std::fs;
use std::io::{ErrorKind, Write};
use std::path::Path;

use runtime::sandbox::quota::image;
use runtime::units::Bytes;
use tempfile::TempDir;
use test_support::skip::skipped;

struct Trial {
    folder: TempDir,
}

impl Trial {
    /// An image that is mounted; nothing where this machine cannot.
    fn of(test: &str, limit: Bytes) -> Option<Self> {
        let folder = tempfile::tempdir().expect("a folder");
        let trial = Self { folder };
        fs::create_dir(trial.at()).expect("a folder");
        let made = image::make(&trial.file(), limit).and_then(|()| image::mount(&trial.file(), &trial.at()));
        if let Err(error) = made {
            let cause = std::error::Error::source(&error).map(ToString::to_string);
            skipped(test, &format!("images for disk space: {error}: {cause:?}"));
            return None;
        }
        Some(trial)
    }

    fn file(&self) -> std::path::PathBuf {
        self.folder.path().join("trial.img")
    }

    fn at(&self) -> std::path::PathBuf {
        self.folder.path().join("at")
    }

    fn devices(&self) -> usize {
        let name = self.file().display().to_string();
        let devices = fs::read_dir("/sys/block").expect("devices").flatten();
        devices
            .filter_map(|entry| fs::read_to_string(entry.path().join("loop/backing_file")).ok())
            .filter(|shown| shown.contains(&name))
            .count()
    }
}

impl Drop for Trial {
    fn drop(&mut self) {
        let _ = image::unmount(&self.at());
    }
}

fn write(path: &Path, length: usize) -> Result<(), ErrorKind> {
    let mut file = fs::File::create(path).map_err(|error| error.kind())?;
    let piece = vec![7; 1 << 20];
    for _ in 0..length >> 20 {
        file.write_all(&piece).map_err(|error| error.kind())?;
    }
    file.sync_all().map_err(|error| error.kind())
}

#[test]
fn an_image_has_the_room_that_was_asked_for() {
    for mib in [16, 20, 100, 120, 128, 300, 1024, 2000] {
        let limit = Bytes::mib(mib);
        let Some(trial) = Trial::of("an_image_has_the_room_that_was_asked_for", limit) else {
            return;
        };
        let room = image::usage(&trial.at()).expect("usage").limit.expect("a limit");
        assert!(room >= limit.0, "{mib} MiB: {room}");
        assert!(room <= limit.0 + limit.0 / 10 + (4 << 20), "{mib} MiB: {room}");
        // The length of the file tells for which limit it was made.
        let length = fs::metadata(trial.file()).expect("a file").len();
        assert_eq!(length, image::length(limit), "{mib} MiB");
    }
}

#[test]
fn a_full_image_is_found_again_and_leaves_nothing() {
    let test = "a_full_image_is_found_again_and_leaves_nothing";
    let Some(trial) = Trial::of(test, Bytes::mib(20)) else {
        return;
    };
    let (file, at) = (trial.file(), trial.at());
    assert_eq!(write(&at.join("big"), 40 << 20), Err(ErrorKind::StorageFull));
    assert!(image::usage(&at).expect("usage").percent >= 99);

    // Mounted twice it is mounted once; unmounted while in use, its device is taken again, never a second one.
    image::mount(&file, &at).expect("mounted");
    let open = fs::File::open(at.join("big")).expect("a file");
    assert_eq!(trial.devices(), 1);
    image::unmount(&at).expect("unmounted");
    assert!(!image::is_mounted(&at) && !at.join("big").exists());
    image::mount(&file, &at).expect("mounted");
    assert_eq!(trial.devices(), 1);
    drop(open);
    let kept = fs::metadata(at.join("big")).expect("a file").len();
    assert!(kept > 10 << 20, "{kept}");

    // Another image at the same place takes the place over.
    let other = trial.folder.path().join("other.img");
    image::make(&other, Bytes::mib(16)).expect("made");
    assert!(
        image::make(&other, Bytes::mib(16)).is_err(),
        "one that is there stays"
    );
    image::mount(&other, &at).expect("mounted");
    assert!(!at.join("big").exists());
    assert_eq!(trial.devices(), 0);
    image::unmount(&at).expect("unmounted");
    image::unmount(&at).expect("once more is nothing");
}

#[test]
fn an_image_grows_while_it_is_used_or_stays_as_it_was() {
    let test = "an_image_grows_while_it_is_used_or_stays_as_it_was";
    let Some(trial) = Trial::of(test, Bytes::mib(20)) else {
        return;
    };
    let (file, at) = (trial.file(), trial.at());
    write(&at.join("kept"), 5 << 20).expect("written");
    let before = image::usage(&at).expect("usage");
    match image::grow(&file, &at, Bytes::mib(60)) {
        Ok(()) => write(&at.join("big"), 40 << 20).expect("there is room"),
        // Some kernels refuse it, also to root: then everything is as it was, and the next start makes a larger one.
        Err(_) => {
            assert_eq!(image::usage(&at).expect("usage"), before);
            let length = fs::metadata(&file).expect("a file").len();
            assert_eq!(length, image::length(Bytes::mib(20)));
        }
    }

    // What a growth left half done is cut off when the image is mounted next.
    image::unmount(&at).expect("unmounted");
    let length = fs::metadata(&file).expect("a file").len();
    let open = fs::File::options().write(true).open(&file).expect("a file");
    open.set_len(length + (64 << 20)).expect("longer");
    image::mount(&file, &at).expect("mounted");
    assert_eq!(fs::metadata(&file).expect("a file").len(), length);
    assert_eq!(fs::metadata(at.join("kept")).expect("a file").len(), 5 << 20);
}
