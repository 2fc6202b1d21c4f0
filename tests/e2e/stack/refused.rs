//! Hostile archives and locks: refused by name, for the reason, with nothing left.

use std::time::{Duration, Instant};

use super::*;

/// Fetches a stack with one bad package in it, whose archive the registry gives as `served`.
fn assert_refused(bad: Packed, served: &Packed, reasons: &[&str]) {
    let mut world = World::new();
    world.registry.publish(served);
    let name = format!("{}@{}", bad.name, bad.version);
    world.add(bad);
    let said = world.fetch();
    assert_eq!(said.status.code(), Some(1), "{}", text(&said));
    assert_said(&said, &[&name, "hint:"]);
    assert_said(&said, reasons);
    assert_eq!(world.remains(), [""; 0]);
    assert!(!world.dir.path().join("escaped").exists());
}

/// A package that is bad in itself: even its hash is right.
fn assert_bad(bad: &Packed, reasons: &[&str]) {
    assert_refused(bad.clone(), bad, reasons);
}

fn bad() -> Package {
    Package::new("bad", "6.6.6").file("index.js", b"evil")
}

#[test]
fn what_leaves_the_package_is_refused() {
    for (path, reason) in [
        ("package/../../../../../escaped", "leaves the package"),
        ("../escaped", "leaves the package"),
        ("package/a/../../escaped", "leaves the package"),
        ("/tmp/redhold-escaped", "is absolute"),
    ] {
        assert_bad(&bad().raw(path, b"out").pack(), &["is refused", path, reason]);
    }
    assert!(!Path::new("/tmp/redhold-escaped").exists());
}

#[test]
fn links_and_devices_are_refused() {
    for (package, kind) in [
        (bad().symlink("link", "/etc/passwd"), "a symbolic link"),
        (bad().hardlink("link", "/etc/passwd"), "a hard link"),
        (bad().device("device"), "a device"),
        (bad().fifo("pipe"), "a named pipe"),
    ] {
        assert_bad(&package.pack(), &["is refused", kind]);
    }
}

#[test]
fn bytes_that_are_not_the_promised_ones_are_refused() {
    let good = bad().noise("more", 20_000).pack();
    let mut flipped = good.bytes.clone();
    let middle = flipped.len() / 2;
    flipped[middle] ^= 1;
    let wrong = ["is not what was expected", "sha512-"];
    assert_refused(good.clone(), &good.with_bytes(flipped), &wrong);

    // A well-formed archive of the same length, but another one.
    let mut other = bad().noise("erom", 20_000).pack().bytes;
    other.resize(good.bytes.len(), 0);
    assert_refused(good.clone(), &good.with_bytes(other), &wrong);

    let short = good.bytes[..good.bytes.len() - 100].to_vec();
    let sizes = format!("{} bytes, not {}", short.len(), good.bytes.len());
    assert_refused(good.clone(), &good.with_bytes(short), &[&sizes]);

    let mut long = good.bytes.clone();
    long.extend([0; 100]);
    assert_refused(good.clone(), &good.with_bytes(long), &["bytes, not"]);
}

#[test]
fn archives_that_are_none_are_refused() {
    let noise = bad().pack().with_bytes(package::noise(3, 5000).into_bytes());
    assert_bad(&noise, &["not a package archive"]);

    let whole = bad().noise("more", 20_000).pack();
    let cut = whole.with_bytes(whole.bytes[..whole.bytes.len() / 2].to_vec());
    assert_bad(&cut, &["is refused", "ends in the middle"]);
}

#[test]
fn a_bomb_is_refused_at_the_limit() {
    let bomb = bad().file("zeroes", &vec![0; 300 << 20]).pack();
    assert!(bomb.bytes.len() < 1 << 20);
    let begun = Instant::now();
    assert_bad(
        &Packed {
            unpacked: 10_000,
            ..bomb
        },
        &["more than the 10000 bytes"],
    );
    assert!(begun.elapsed() < Duration::from_secs(20));

    let many = (0..200).fold(bad(), |package, index| package.file(&format!("f{index}"), b""));
    assert_bad(
        &Packed {
            files: 10,
            ..many.pack()
        },
        &["more than the 10 files"],
    );
}

#[test]
fn a_lock_cannot_lead_out_of_the_store() {
    for place in [
        "../../evil",
        "/etc/evil",
        "a/../../b",
        "node-red/../..",
        ".bin",
        "a/node_modules/",
    ] {
        let world = World::new();
        let mut lock: Value = serde_json::from_slice(&fs::read(world.lock()).unwrap()).unwrap();
        lock["packages"][2]["path"] = place.into();
        fs::write(world.lock(), lock.to_string()).unwrap();
        let said = world.fetch();
        assert_eq!(said.status.code(), Some(2), "{place}: {}", text(&said));
        assert_said(&said, &["lock.json", "is no place for a package"]);
        assert!(world.registry.requests().is_empty());
    }
}
