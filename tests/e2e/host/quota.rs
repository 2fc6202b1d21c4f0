//! An instance that fills its disk breaks its own writes, and nothing else.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use test_support::eventually::eventually;
use test_support::host::{Host, SOON};
use test_support::skip::skipped;

use super::endpoint;

const MIB: u64 = 1 << 20;

/// `GET /run?mib=n` writes a file of so many MiB; the answer says how that went.
fn writer() -> Value {
    let mut flows = endpoint(
        "const file = '/files/' + (msg.req.query.name || 'big'); \
         try { \
           if (msg.req.query.remove) { fs.rmSync(file); } \
           else { fs.writeFileSync(file, Buffer.alloc(msg.req.query.mib * 1048576, 7)); } \
           msg.payload = 'done'; \
         } catch (error) { msg.payload = String(error.code) + ' ' + error.errno; } \
         return msg",
    );
    flows[2]["libs"] = json!([{ "var": "fs", "module": "fs" }]);
    flows
}

fn limited(mib: u64) -> Value {
    json!({ "limits": { "diskMib": mib } })
}

fn disk(view: &Value) -> &Value {
    let walls = view["observed"]["walls"].as_array().expect("walls");
    walls.iter().find(|wall| wall["name"] == "disk").expect("disk")
}

/// Whether something hard bounds it here; says so where not.
fn hard(test: &str, view: &Value) -> bool {
    let detail = disk(view)["detail"].as_str().expect("a detail");
    let watched = detail.contains("watched");
    if watched {
        skipped(test, &format!("a hard limit of disk space ({detail})"));
    }
    !watched
}

fn said(host: &Host, name: &str, query: &str) -> String {
    let answer = host.get(name, &format!("/run?{query}")).expect("an answer");
    answer.text()
}

fn stats(host: &Host, name: &str) -> (u64, u64) {
    let stats = host
        .ask("GET", &format!("/instances/{name}/stats"), &Value::Null)
        .expect("stats");
    let number = |key: &str| stats[key].as_u64().expect("a number");
    (number("diskBytes"), number("diskLimitBytes"))
}

/// Mounts, and loop devices, that have to do with a folder.
fn remains(folder: &Path) -> Vec<String> {
    let folder = folder.to_string_lossy();
    let mounts = fs::read_to_string("/proc/self/mountinfo").expect("mounts");
    let devices = fs::read_dir("/sys/block").expect("devices").flatten();
    let shown = devices.filter_map(|entry| fs::read_to_string(entry.path().join("loop/backing_file")).ok());
    let all = mounts.lines().map(str::to_owned).chain(shown);
    all.filter(|line| line.contains(&*folder)).collect()
}

#[test]
fn a_full_disk_breaks_the_writes_of_its_instance_and_nothing_else() {
    let test = "a_full_disk_breaks_the_writes_of_its_instance_and_nothing_else";
    let mut host = Host::start();
    let id = host.create("full", &writer(), &limited(20));
    host.create("roomy", &writer(), &limited(100));
    if !hard(test, &host.view("full")) {
        return;
    }
    let (used, limit) = stats(&host, "full");
    assert!(used < 2 * MIB, "{used}");
    assert!((20 * MIB..23 * MIB).contains(&limit), "{limit}");

    // ENOSPC of an image, EDQUOT of a quota, which Node.js has no name for.
    let refused = said(&host, "full", "mib=40");
    assert!(
        refused.starts_with("ENOSPC") || refused.ends_with("-122"),
        "{refused}"
    );
    host.wait_event("full", "disk: used up its disk space");
    let (used, limit) = stats(&host, "full");
    assert!(used * 100 >= limit * 95, "{used} of {limit}");
    assert_eq!(said(&host, "roomy", "mib=40"), "done");
    let roomy = |host: &Host| stats(host, "roomy").0;
    assert!(roomy(&host) > 40 * MIB);
    host.deploy("roomy", &writer());
    host.wait("roomy", "running");
    let more = host.create("more", &writer(), &limited(20));

    // What lives goes on without a supervisor, and is known again.
    let before = host.record(&id).expect("a record");
    host.kill();
    host.run();
    host.wait("full", "running");
    assert_eq!(host.record(&id).expect("a record")["init"], before["init"]);
    host.until("full", "its disk is known", |view| {
        view["observed"]["walls"]
            .as_array()
            .is_some_and(|walls| walls.iter().any(|wall| wall["name"] == "disk"))
    });
    assert_eq!(said(&host, "full", "remove=1"), "done");
    host.wait_event("full", "disk: has disk space again");
    assert_eq!(said(&host, "full", "mib=4&name=kept"), "done");

    // Both stop, and what was written is there.
    host.act("full", "stop");
    host.wait("full", "stopped");
    host.stop();
    // As after the machine was started anew: nothing is mounted any more.
    for id in [&id, &more] {
        let at = host.data().join("instances").join(id).join("disk");
        if at.exists() {
            nix::mount::umount2(&at, nix::mount::MntFlags::MNT_DETACH).expect("unmounted");
        }
    }
    host.run();
    host.act("full", "start");
    host.wait("full", "running");
    let kept = host.data().join("instances").join(&id).join("files/kept");
    assert_eq!(fs::metadata(kept).expect("a file").len(), 4 * MIB);
    assert_eq!(said(&host, "full", "mib=4"), "done");

    // Deleted, nothing is left: no file, no mount, no device.
    for name in ["full", "more"] {
        host.ask("DELETE", &format!("/instances/{name}?now=true"), &Value::Null)
            .expect("deleted");
    }
    for id in [&id, &more] {
        let folder = host.data().join("instances").join(id);
        eventually("everything of it is gone", SOON, || {
            let remains = remains(&folder);
            let image = folder.with_extension("img");
            if folder.exists() || image.exists() || !remains.is_empty() {
                return Err(format!("{remains:?}"));
            }
            Ok(())
        });
    }
    assert_eq!(said(&host, "roomy", "mib=10"), "done");
}

#[test]
fn a_limit_that_changes_takes_the_files_along() {
    let test = "a_limit_that_changes_takes_the_files_along";
    let host = Host::start();
    host.create("pump", &writer(), &limited(0));
    assert_eq!(disk(&host.view("pump"))["strength"], "off");
    assert_eq!(said(&host, "pump", "mib=10&name=kept"), "done");
    let change = |mib: u64| {
        let changes = json!({ "settings": limited(mib) });
        host.ask("PATCH", "/instances/pump", &changes).expect("changed");
        host.act("pump", "restart");
        host.until("pump", "restarted", |view| {
            view["observed"]["state"] == "running" && view["observed"]["restartNeeded"] == false
        })
    };

    // A limit where there was none, a higher one, and a lower one.
    for (mib, fits, does_not) in [(20, 5, 30), (60, 40, 80), (32, 10, 40)] {
        let view = change(mib);
        if !hard(test, &view) {
            return;
        }
        let detail = disk(&view)["detail"].as_str().expect("a detail").to_owned();
        assert!(detail.starts_with(&format!("{mib} MiB")), "{detail}");
        let (used, limit) = stats(&host, "pump");
        assert!(used >= 10 * MIB, "{used}");
        assert!((mib * MIB..mib * MIB * 115 / 100).contains(&limit), "{limit}");
        assert_eq!(said(&host, "pump", &format!("mib={fits}")), "done");
        assert_ne!(said(&host, "pump", &format!("mib={does_not}")), "done");
        assert_eq!(said(&host, "pump", "remove=1"), "done");
    }

    // One below what is there is not taken, and said so.
    let view = change(16);
    assert!(
        disk(&view)["detail"]
            .as_str()
            .expect("a detail")
            .contains("16 MiB"),
        "{view}"
    );
    assert_eq!(said(&host, "pump", "mib=1&name=small"), "done");
}
