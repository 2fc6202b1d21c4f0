//! Crashes, rivals, damage, full disks, and removing what nobody uses.

use std::fs::File;
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use nix::mount::{MsFlags, mount, umount};
use test_support::eventually::{eventually, let_pass};
use test_support::skip::skipped;

use super::*;

#[test]
fn a_fetch_killed_at_any_moment_leaves_nothing_to_repair() {
    const ROUNDS: u32 = 24;
    let world = World::new();
    world.registry.slow(Duration::from_millis(4));
    let begun = Instant::now();
    world.fetched();
    let usual = begun.elapsed();
    fs::remove_dir_all(world.data()).unwrap();
    let mut at_work = 0;
    for round in 0..ROUNDS {
        let mut child = world.spawn_fetch();
        // Moments spread over the whole run, in no order: 7 has no factor in common with the rounds.
        let_pass(usual * (round * 7 % ROUNDS) / ROUNDS);
        at_work += usize::from(child.try_wait().unwrap().is_none());
        child.kill().unwrap();
        child.wait().unwrap();
        // Whatever is published is whole already now.
        let stacks = world.data().join("stacks-v1");
        if stacks.read_dir().is_ok_and(|mut dir| dir.next().is_some()) {
            let said = world.run(&["stack", "verify", "tiny"]);
            assert!(said.status.success(), "round {round}: {}", text(&said));
            fs::remove_dir_all(world.data()).unwrap();
        }
    }
    assert!(
        at_work >= 8,
        "only {at_work} runs were still at work when they were killed"
    );
    world.fetched();
    world.assert_whole();
}

#[test]
fn ctrl_c_clears_up_and_the_next_run_goes_on() {
    let world = World::new();
    world.registry.slow(Duration::from_millis(30));
    let child = world.spawn_fetch();
    eventually("the fetch to begin", Duration::from_secs(10), || {
        let begun = world.remains().iter().any(|path| path.starts_with("tmp-v1/"));
        begun.then_some(()).ok_or("nothing is unpacked")
    });
    let pid = nix::unistd::Pid::from_raw(child.id().cast_signed());
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGINT).unwrap();
    let said = child.wait_with_output().unwrap();
    assert_eq!(said.status.code(), Some(130), "{}", text(&said));
    assert_said(&said, &["broken off", "goes on from there"]);
    let left = world.remains();
    assert!(left.iter().all(|path| path.starts_with("blobs-v1/")), "{left:?}");
    world.registry.slow(Duration::ZERO);
    world.fetched();
    world.assert_whole();
}

#[test]
fn several_fetches_at_once_do_the_work_once() {
    let world = World::new();
    world.registry.slow(Duration::from_millis(5));
    let children: Vec<Child> = (0..3).map(|_| world.spawn_fetch()).collect();
    let outputs = children
        .into_iter()
        .map(|child| child.wait_with_output().unwrap());
    let outputs: Vec<Output> = outputs.collect();
    for output in &outputs {
        assert!(output.status.success(), "{}", text(output));
        assert_said(output, &["tiny is ready"]);
    }
    let waited = outputs
        .iter()
        .filter(|output| text(output).contains("waiting for it"));
    assert_eq!(waited.count(), 2);
    assert_eq!(world.registry.requests().len(), 4);
    world.assert_whole();
}

#[test]
fn verify_names_each_damage_and_repair_mends_it() {
    let world = World::new();
    world.fetched();
    let modules = world.stack_dir().join("node_modules");
    fs::write(modules.join("node-red/red.js"), "// bad").unwrap();
    fs::remove_file(modules.join("@team/helper/deep/er/x.js")).unwrap();
    fs::write(modules.join("large/more"), "more").unwrap();
    fs::set_permissions(modules.join("large/blob"), PermissionsExt::from_mode(0o666)).unwrap();
    fs::write(world.node_file(), "#!/bin/sh\necho evil\n").unwrap();

    let said = world.run(&["stack", "verify", "tiny"]);
    assert_eq!(said.status.code(), Some(1), "{}", text(&said));
    for (damage, path) in [
        ("changed", "node-red/red.js"),
        ("missing", "@team/helper/deep/er/x.js"),
        ("extra", "large/more"),
        ("mode", "large/blob"),
        ("changed", "bin/node"),
    ] {
        let named = |line: &str| line.starts_with(damage) && line.ends_with(path);
        assert!(text(&said).lines().any(named), "{damage} {path}: {}", text(&said));
    }
    assert_said(&said, &["5 files", "--repair"]);

    world.registry.forget();
    let said = world.run(&["stack", "verify", "tiny", "--repair"]);
    assert!(said.status.success(), "{}", text(&said));
    assert_said(&said, &["tiny is mended"]);
    world.assert_whole();
    assert_eq!(world.registry.requests().len(), 4);

    // Without the list itself, everything is fetched and compared.
    fs::remove_file(world.stack_dir().join("manifest")).unwrap();
    fs::write(modules.join("node-red/red.js"), "// bad").unwrap();
    let said = world.run(&["stack", "verify", "tiny", "--repair"]);
    assert!(said.status.success(), "{}", text(&said));
    world.assert_whole();
}

#[test]
fn prune_leaves_what_is_used() {
    let world = World::new();
    world.fetched();
    // A lease is a shared lock on the stack's folder.
    let lease = File::open(world.stack_dir()).unwrap();
    lease.lock_shared().unwrap();
    assert_said(&world.run(&["stack", "prune", "--all"]), &["nothing to remove"]);
    world.assert_whole();
    assert_said(&world.run(&["stack", "list"]), &["tiny", "in use"]);
    drop(lease);

    let said = world.run(&["stack", "prune", "--dry-run"]);
    assert_said(&said, &["would remove stack tiny-", "would remove node "]);
    world.assert_whole();
    let said = world.run(&["stack", "prune"]);
    assert_said(&said, &["removed stack tiny-", "removed node "]);
    assert_eq!(world.files(), BTreeSet::new());
}

#[test]
fn a_full_disk_is_told_beforehand_with_numbers() {
    let mut world = World::new();
    let huge = Packed {
        unpacked: 3 << 30,
        ..Package::new("huge", "1.0.0").pack()
    };
    let many = (0..2000).map(|index| Packed {
        name: format!("huge-{index}"),
        ..huge.clone()
    });
    world.packages.extend(many);
    world.write_lock();
    let said = world.fetch();
    assert_eq!(said.status.code(), Some(3), "{}", text(&said));
    assert_said(&said, &["of free space", "TiB are needed", "--data-dir"]);
    assert_eq!(world.files(), BTreeSet::new());
    assert!(world.registry.requests().is_empty());
}

#[test]
fn a_disk_that_fills_up_leaves_nothing_behind() {
    let mut world = World::new();
    let filler = Package::new("filler", "1.0.0")
        .file("zeroes", &vec![0; 6 << 20])
        .pack();
    world.registry.publish(&filler);
    world.add(filler);
    let data = world.data();
    fs::create_dir(&data).unwrap();
    let small = mount(
        Some("redhold-test"),
        &data,
        Some("tmpfs"),
        MsFlags::empty(),
        Some("size=9m"),
    );
    if small.is_err() {
        return skipped("a_disk_that_fills_up_leaves_nothing_behind", "the right to mount");
    }
    world.registry.slow(Duration::from_millis(60));
    let child = world.spawn_fetch();
    eventually("the fetch to begin", Duration::from_secs(10), || {
        data.join("blobs-v1").exists().then_some(()).ok_or("no blobs")
    });
    // What somebody else writes meanwhile.
    let ballast = data.join("ballast");
    fs::write(&ballast, vec![1; 5 << 20]).unwrap();
    let said = child.wait_with_output().unwrap();
    fs::remove_file(&ballast).unwrap();
    let left = world.remains();
    umount(&data).unwrap();
    assert_eq!(said.status.code(), Some(3), "{}", text(&said));
    assert_said(&said, &["ran full", "of free space are left", "--data-dir"]);
    assert_eq!(left, [""; 0]);
}

#[test]
fn a_folder_that_cannot_be_written_is_named() {
    let world = World::new();
    fs::write(world.data(), "a file in the way").unwrap();
    let said = world.fetch();
    assert_eq!(said.status.code(), Some(1), "{}", text(&said));
    assert_said(&said, &[world.data().to_str().unwrap()]);
}
