//! The storage against everything that an instance can do to it.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, chown, symlink};
use std::os::unix::net::UnixListener;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use nix::fcntl::{AT_FDCWD, RenameFlags, renameat2};
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use tempfile::TempDir;
use test_support::skip::skipped;

use super::{FileError, FilePath, Kind, Tree};

/// A storage, and beside it what no path of it may reach.
pub(super) fn storage() -> (TempDir, Tree) {
    let folder = tempfile::tempdir().expect("a folder");
    fs::create_dir(folder.path().join("files")).expect("a storage");
    fs::create_dir(folder.path().join("outside")).expect("a folder");
    fs::write(folder.path().join("outside/secret"), "secret").expect("a secret");
    let tree = Tree::open(&folder.path().join("files")).expect("a tree");
    (folder, tree)
}

pub(super) fn path(text: &str) -> FilePath {
    FilePath::parse(text).expect("a path")
}

pub(super) fn put(tree: &Tree, to: &str, bytes: &[u8]) -> Result<(), FileError> {
    let mut upload = tree.upload(&path(to), None)?;
    upload.add(bytes)?;
    tree.finish(upload)
}

fn content(tree: &Tree, of: &str) -> Result<String, FileError> {
    let mut text = String::new();
    tree.read(&path(of))?
        .file
        .read_to_string(&mut text)
        .expect("text");
    Ok(text)
}

#[test]
fn nothing_leads_out_and_nothing_odd_is_opened() {
    let (folder, tree) = storage();
    let files = folder.path().join("files");
    fs::create_dir(files.join("in")).expect("a folder");
    for (name, to) in [
        ("link", "../outside/secret"),
        ("absolute", "/etc/passwd"),
        ("magic", "/proc/self/environ"),
        ("inside", "in"),
        ("folder", "../outside"),
        ("in/up", ".."),
    ] {
        symlink(to, files.join(name)).expect("a link");
    }
    mkfifo(&files.join("pipe"), Mode::S_IRWXU).expect("a pipe");
    let _socket = UnixListener::bind(files.join("socket")).expect("a socket");
    for name in [
        "link",
        "absolute",
        "magic",
        "inside",
        "folder",
        "folder/secret",
        "in/up/in",
        "pipe",
        "socket",
    ] {
        let refused = |done: Result<(), FileError>| {
            assert!(matches!(done, Err(FileError::Kind(_))), "{name}: {done:?}");
        };
        refused(tree.read(&path(name)).map(drop));
        refused(put(&tree, name, b"x"));
        refused(tree.rename(&path(name), &path("in/new")));
        if !["pipe", "socket"].contains(&name) {
            refused(tree.list(&path(name), None, 10).map(drop));
            refused(tree.make_folder(&path(&format!("{name}/new"))));
            refused(put(&tree, &format!("{name}/new"), b"x"));
            refused(tree.remove(&path(&format!("{name}/secret")), true));
        }
    }
    // What is removed is the link.
    for name in ["link", "folder", "pipe", "socket"] {
        assert_eq!(tree.stat(&path(name)).expect("it is there").kind, Kind::Other);
        tree.remove(&path(name), true).expect("removed");
    }
    tree.remove(&path("in"), true).expect("removed");
    let outside = fs::read_dir(folder.path().join("outside")).expect("a folder");
    assert_eq!(outside.count(), 1, "nothing came or went outside");
    assert_eq!(
        fs::read_to_string(folder.path().join("outside/secret")).expect("the secret"),
        "secret"
    );
}

#[test]
fn a_link_that_is_swapped_in_wins_no_race() {
    let (folder, tree) = storage();
    let files = folder.path().join("files");
    fs::create_dir(files.join("a")).expect("a folder");
    fs::write(files.join("a/secret"), "public").expect("a file");
    symlink("../outside", files.join("b")).expect("a link");
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                renameat2(
                    AT_FDCWD,
                    &files.join("a"),
                    AT_FDCWD,
                    &files.join("b"),
                    RenameFlags::RENAME_EXCHANGE,
                )
                .expect("swapped");
            }
        });
        let (mut read, mut refused) = (0, 0);
        for number in 0..20_000 {
            match content(&tree, "a/secret") {
                Ok(text) => {
                    assert_eq!(text, "public");
                    read += 1;
                }
                Err(_) => refused += 1,
            }
            if number % 100 == 0 {
                // Either lands inside or nowhere.
                let _ = put(&tree, "a/new", b"x");
                let _ = tree.make_folder(&path("a/folder"));
                let _ = tree.remove(&path("a/new"), true);
                let _ = tree.remove(&path("a/folder"), true);
            }
        }
        done.store(true, Ordering::Relaxed);
        assert!(
            read > 0 && refused > 0,
            "the race was none: {read} read, {refused} refused"
        );
    });
    let outside: Vec<_> = fs::read_dir(folder.path().join("outside"))
        .expect("a folder")
        .collect();
    assert_eq!(outside.len(), 1, "{outside:?}");
}

#[test]
fn ten_thousand_entries_come_in_pages_and_go_at_one_stroke() {
    let (folder, tree) = storage();
    let many = folder.path().join("files/many");
    fs::create_dir(&many).expect("a folder");
    for number in 0..10_000 {
        File::create(many.join(format!("{number:05}"))).expect("a file");
    }
    for odd in [
        &b"line\nbreak"[..],
        b"\xff\xfe",
        b"bell\x07",
        "\u{9b}2J".as_bytes(),
    ] {
        File::create(many.join(OsStr::from_bytes(odd))).expect("a file");
    }
    for name in ["\u{e4}\u{1f600}", " space ", "a:b", ".redhold"] {
        File::create(many.join(name)).expect("a file");
    }
    symlink("/etc/shadow", many.join("z-link")).expect("a link");
    let mut names = Vec::new();
    let mut after: Option<String> = None;
    loop {
        let page = tree.list(&path("many"), after.as_deref(), 999).expect("a page");
        assert_eq!(page.unnamed, 4);
        assert!(page.entries.len() <= 999);
        names.extend(page.entries);
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(names.len(), 10_005);
    assert!(names.windows(2).all(|pair| pair[0].name < pair[1].name));
    let kind = |name: &str| {
        names
            .iter()
            .find(|entry| entry.name == name)
            .map(|entry| entry.kind)
    };
    assert_eq!(kind("z-link"), Some(Kind::Other));
    assert_eq!(kind("\u{e4}\u{1f600}"), Some(Kind::File));

    // Folders deeper than are entered at once, and a way out at the bottom.
    let mut deep = many.clone();
    for _ in 0..200 {
        deep.push("d");
    }
    fs::create_dir_all(&deep).expect("folders");
    symlink(folder.path().join("outside"), deep.join("out")).expect("a link");
    assert!(matches!(
        tree.remove(&path("many"), false),
        Err(FileError::NotEmpty(_))
    ));
    tree.remove(&path("many"), true).expect("removed");
    assert!(!many.exists());
    let left = fs::read_dir(folder.path().join("files/.redhold")).expect("the host's folder");
    assert_eq!(left.count(), 0, "everything was taken away");
    assert!(folder.path().join("outside/secret").exists());
    assert_eq!(
        tree.list(&FilePath::root(), None, 10).expect("a list").entries,
        []
    );
}

#[test]
fn an_upload_goes_on_where_it_was_cut() {
    let (folder, tree) = storage();
    let file = path("a.bin");
    fs::write(folder.path().join("files/a.bin"), "old").expect("a file");
    assert_eq!(tree.uploaded(&file).expect("a state"), None);
    let mut upload = tree.upload(&file, None).expect("begun");
    upload.add(b"01234").expect("written");
    assert!(
        matches!(tree.upload(&file, None), Err(FileError::Busy(_))),
        "one at a time"
    );
    drop(upload);
    assert_eq!(tree.uploaded(&file).expect("a state"), Some(5));
    assert_eq!(content(&tree, "a.bin").expect("a file"), "old");
    assert!(matches!(
        tree.upload(&file, Some(6)),
        Err(FileError::Offset { have: 5, .. })
    ));
    let mut upload = tree.upload(&file, Some(4)).expect("it goes on");
    upload.add(b"456").expect("written");
    tree.finish(upload).expect("in place");
    assert_eq!(content(&tree, "a.bin").expect("a file"), "0123456");
    assert_eq!(tree.uploaded(&file).expect("a state"), None);

    // Begun anew nothing of the earlier one is left, and a forgotten one is gone.
    tree.upload(&file, None)
        .and_then(|mut upload| upload.add(b"long long"))
        .expect("begun");
    put(&tree, "a.bin", b"new").expect("in place");
    assert_eq!(content(&tree, "a.bin").expect("a file"), "new");
    tree.upload(&file, None)
        .and_then(|mut upload| upload.add(b"x"))
        .expect("begun");
    tree.abandon(&file).expect("forgotten");
    assert!(matches!(tree.abandon(&file), Err(FileError::Missing(_))));

    // A folder that came meanwhile is not replaced, and what has come is not lost.
    let late = path("late");
    let mut upload = tree.upload(&late, None).expect("begun");
    upload.add(b"x").expect("written");
    tree.make_folder(&late).expect("made");
    assert!(matches!(tree.finish(upload), Err(FileError::Folder(_))));
    assert_eq!(tree.uploaded(&late).expect("a state"), Some(1));
    assert!(matches!(put(&tree, "none/x", b"x"), Err(FileError::Missing(_))));
    assert!(FilePath::parse(".redhold/x").is_err());
}

#[test]
fn what_the_host_makes_is_the_instances() {
    if !nix::unistd::geteuid().is_root() {
        skipped("what_the_host_makes_is_the_instances", "root");
        return;
    }
    let (folder, _) = storage();
    let files = folder.path().join("files");
    chown(&files, Some(54_321), Some(54_322)).expect("given away");
    let tree = Tree::open(&files).expect("a tree");
    tree.make_folder(&path("a/b")).expect("made");
    put(&tree, "a/b/c", b"x").expect("in place");
    for name in ["a", "a/b", "a/b/c"] {
        let metadata = fs::metadata(files.join(name)).expect("it is there");
        assert_eq!((metadata.uid(), metadata.gid()), (54_321, 54_322), "{name}");
    }
    let own = fs::metadata(files.join(".redhold")).expect("it is there");
    assert_eq!((own.uid(), own.mode() & 0o777), (0, 0o700));
}

#[test]
fn moves_never_replace() {
    let (_folder, tree) = storage();
    put(&tree, "a", b"a").expect("in place");
    put(&tree, "b", b"b").expect("in place");
    tree.make_folder(&path("f/g")).expect("made");
    assert!(matches!(
        tree.make_folder(&path("f/g")),
        Err(FileError::Exists(_))
    ));
    assert!(matches!(
        tree.rename(&path("a"), &path("b")),
        Err(FileError::Exists(_))
    ));
    assert!(matches!(
        tree.rename(&path("f"), &path("f/g/h")),
        Err(FileError::Path(..))
    ));
    assert!(matches!(
        tree.rename(&path("x"), &path("y")),
        Err(FileError::Missing(_))
    ));
    tree.rename(&path("a"), &path("f/g/a")).expect("moved");
    tree.rename(&path("f"), &path("h")).expect("moved");
    assert_eq!(content(&tree, "h/g/a").expect("a file"), "a");
    assert_eq!(content(&tree, "b").expect("a file"), "b");
    assert!(tree.remove(&FilePath::root(), true).is_err());
}

#[test]
fn what_a_killed_host_left_is_taken_away() {
    let (folder, tree) = storage();
    let own = folder.path().join("files/.redhold");
    tree.sweep().expect("nothing to do");
    assert!(!own.exists());
    fs::create_dir_all(own.join("gone-1/a/b")).expect("folders");
    fs::write(own.join("gone-1/a/b/c"), "x").expect("a file");
    symlink(folder.path().join("outside"), own.join("gone-2")).expect("a link");
    for name in ["forgotten", "fresh"] {
        let mut upload = tree.upload(&path(name), None).expect("begun");
        upload.add(b"x").expect("written");
    }
    let old = SystemTime::now() - Duration::from_hours(8 * 24);
    let part = tree.part(&path("forgotten")).expect("a state").expect("a part");
    part.0.set_modified(old).expect("set back");
    tree.sweep().expect("swept");
    assert_eq!(fs::read_dir(&own).expect("a folder").count(), 1);
    assert_eq!(tree.uploaded(&path("fresh")).expect("a state"), Some(1));
    assert_eq!(tree.uploaded(&path("forgotten")).expect("a state"), None);
    assert!(folder.path().join("outside/secret").exists());
}

#[test]
fn an_upload_is_no_way_into_another_file() {
    let (folder, tree) = storage();
    let own = folder.path().join("files/.redhold");
    drop(tree.upload(&path("a"), None).expect("begun"));
    let part = fs::read_dir(&own)
        .expect("a folder")
        .next()
        .expect("an upload")
        .expect("an entry")
        .path();
    let secret = folder.path().join("outside/secret");
    for trick in [
        |secret: &std::path::Path, part: &std::path::Path| symlink(secret, part),
        |secret: &std::path::Path, part: &std::path::Path| fs::hard_link(secret, part),
    ] {
        fs::remove_file(&part).expect("removed");
        trick(&secret, &part).expect("a link");
        for from in [None, Some(0), Some(6)] {
            assert!(matches!(tree.upload(&path("a"), from), Err(FileError::Kind(_))));
        }
        assert_eq!(fs::read_to_string(&secret).expect("the secret"), "secret");
    }
    // Where the host's own folder should be, a link is replaced and not followed.
    fs::remove_dir_all(&own).expect("removed");
    symlink("../outside", &own).expect("a link");
    tree.sweep().expect("there is nothing of the host's");
    put(&tree, "f", b"x").expect("in place");
    assert!(fs::symlink_metadata(&own).expect("it is there").is_dir());
    fs::remove_dir_all(&own).expect("removed");
    mkfifo(&own, Mode::S_IRWXU).expect("a pipe");
    tree.make_folder(&path("g/h")).expect("made");
    tree.remove(&path("g"), true).expect("removed");
    assert_eq!(
        fs::read_dir(folder.path().join("outside"))
            .expect("a folder")
            .count(),
        1
    );
}
