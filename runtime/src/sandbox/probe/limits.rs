//! Which limits hold here: a group is made, limited, read back and removed.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;

use super::{Feature, Subject};
use crate::record::{Level, Strength};
use crate::sandbox::cgroup::{Generation, Ground, Group, Layout, Resource, delegate, ground, systemd_runs};
use crate::spec::Limits;
use crate::units::{Bytes, CpuShare, Pids};

const LIMITS: Subject = Subject::Limits;

/// What is lost with each controller.
const COSTS: [(&str, &str); 4] = [
    (
        "memory",
        "an instance that leaks can use up the machine's memory; only the heap of Node.js is bounded",
    ),
    (
        "cpu",
        "an instance in an endless loop takes a whole core or more from the others",
    ),
    (
        "pids",
        "an instance can start processes until the machine has no more",
    ),
    ("io", "an instance can keep the disk busy"),
];

pub(super) fn probe(data_dir: &Path) -> Vec<Feature> {
    let layout = match Layout::of_self() {
        Ok(layout) => layout,
        Err(error) => {
            return vec![Feature::missing(
                LIMITS,
                "control-groups",
                error.to_string(),
                "no limit can be enforced",
            )];
        }
    };
    let mend = mend(&layout);
    let mut features = Vec::new();
    let limits = Limits {
        memory: Some(Bytes::mib(64)),
        cpu: Some(CpuShare(500)),
        pids: Some(Pids(64)),
        io: Some(Bytes::mib(64)),
        ..Limits::default()
    };
    let id = format!("probe-{}", std::process::id());
    let group = id
        .parse()
        .map_err(|error: crate::spec::InvalidInstanceId| error.to_string())
        .and_then(|id| {
            Group::create(&id, &limits, Some(existing(data_dir))).map_err(|error| error.to_string())
        });
    match group {
        Ok(group) => {
            features.push(place(&layout, group.paths().is_empty(), mend.as_deref()));
            features.extend(group.levels().iter().map(|level| feature(level, mend.as_deref())));
            features.push(at_once(&group));
            features.push(instance_pressure(&group));
            // What could not be removed is empty and harmless, and was made in the caller's own place.
            let _ = group.remove();
        }
        Err(error) => features.push(Feature::missing(
            LIMITS,
            "limits",
            error,
            "no limit can be enforced",
        )),
    }
    features.push(pressure());
    features
}

/// The nearest folder that is there already, as the data folder may still have to be made.
pub(super) fn existing(path: &Path) -> &Path {
    path.ancestors()
        .find(|path| path.exists())
        .unwrap_or_else(|| Path::new("/"))
}

/// What is there, and whether this account has a place in it.
fn place(layout: &Layout, nowhere: bool, mend: Option<&str>) -> Feature {
    let name = "control-groups";
    let costs = "no limit can be enforced";
    let controllers: Vec<&str> = layout.v1.iter().map(|(name, _)| name.as_str()).collect();
    let controllers = controllers.join(", ");
    let detail = match (layout.generation(), layout.v2.as_ref().map(ground)) {
        (Generation::None, _) => {
            return Feature::missing(LIMITS, name, "none are mounted", costs)
                .mend("sudo mount -t cgroup2 none /sys/fs/cgroup");
        }
        (Generation::Legacy, _) => format!("v1: {controllers}"),
        (Generation::Hybrid, _) => format!("v1: {controllers}; v2 beside it"),
        (Generation::Unified, Some(Ground::Delegated(place))) => {
            format!("v2, delegated at {}", place.display())
        }
        (Generation::Unified, Some(Ground::Root(_))) => "v2, below the root group".to_owned(),
        (Generation::Unified, Some(Ground::Nowhere(why))) => format!("v2: {why}"),
        (Generation::Unified, None) => "v2, not visible".to_owned(),
    };
    match nowhere {
        true => Feature {
            mend: mend.map(str::to_owned),
            ..Feature::missing(LIMITS, name, format!("none for this account ({detail})"), costs)
        },
        false => Feature::offered(LIMITS, name, detail),
    }
}

fn feature(level: &Level, mend: Option<&str>) -> Feature {
    let costs = COSTS
        .iter()
        .find(|(name, _)| *name == level.name)
        .map_or("", |(_, costs)| costs);
    let detail = level.detail.as_str();
    match level.strength {
        Strength::Hard | Strength::Off => {
            Feature::offered(LIMITS, &level.name, format!("a trial held: {detail}"))
        }
        Strength::Partial => Feature::partial(LIMITS, &level.name, detail, costs),
        Strength::None => Feature {
            mend: mend.map(str::to_owned).filter(|_| {
                detail.contains("denied") || detail.contains("delegated") || detail.contains("controller")
            }),
            ..Feature::missing(LIMITS, &level.name, detail, costs)
        },
    }
}

/// How this account gets a place of its own.
fn mend(layout: &Layout) -> Option<String> {
    match (&layout.v2, layout.v1.is_empty()) {
        (Some(unified), true) => match ground(unified) {
            // The place is there; what lacks is a controller that systemd does not hand to users by itself.
            Ground::Delegated(_) if systemd_runs() => Some(
                "sudo mkdir -p /etc/systemd/system/user@.service.d && \
                 printf '[Service]\\nDelegate=cpu cpuset io memory pids\\n' | \
                 sudo tee /etc/systemd/system/user@.service.d/redhold.conf && sudo systemctl daemon-reload"
                    .to_owned(),
            ),
            Ground::Delegated(_) | Ground::Root(_) => None,
            Ground::Nowhere(_) if systemd_runs() => Some(format!("{} -- redhold dev", delegate().join(" "))),
            Ground::Nowhere(_) => {
                let own = unified.mount.join("redhold-of-$USER");
                let own = own.display();
                Some(format!(
                    "sudo sh -c 'echo +memory +cpu +pids > {mount}/cgroup.subtree_control; mkdir -p {own} && \
                     chown '$USER' {own} {own}/cgroup.procs {own}/cgroup.threads {own}/cgroup.subtree_control && \
                     echo '$$' > {own}/cgroup.procs'",
                    mount = unified.mount.display(),
                ))
            }
        },
        (_, false) => {
            let mut folders: Vec<String> = layout
                .v1
                .iter()
                .map(|(_, own)| own.join("redhold").display().to_string())
                .collect();
            folders.dedup();
            Some(format!("sudo install -d -o $USER {}", folders.join(" ")))
        }
        (None, true) => None,
    }
}

fn at_once(group: &Group) -> Feature {
    if group.offers("cgroup.kill") {
        Feature::offered(LIMITS, "kill-at-once", "cgroup.kill")
    } else {
        Feature::partial(
            LIMITS,
            "kill-at-once",
            "no cgroup.kill (Linux 5.14 with v2 groups)",
            "an instance's processes are killed one by one; what kills them all is the end of their namespace",
        )
    }
}

fn instance_pressure(group: &Group) -> Feature {
    match group.pressure(Resource::Cpu) {
        Some(_) => Feature::offered(LIMITS, "instance-pressure", "kept for each instance"),
        None => Feature::missing(
            LIMITS,
            "instance-pressure",
            "not kept for groups: that needs a v2 tree, and a kernel that was not booted with psi=0",
            "for how long work had to wait is told of the machine, not of each instance",
        ),
    }
}

/// A trigger is what watching needs; without CAP_SYS_RESOURCE its window must be a multiple of two seconds.
/// The kernel takes the last byte for the end of the text (Documentation/accounting/psi.rst, its example).
fn pressure() -> Feature {
    let outcome = OpenOptions::new()
        .read(true)
        .write(true)
        .open("/proc/pressure/memory")
        .and_then(|mut file| file.write_all(b"some 150000 2000000\0"));
    match outcome {
        Ok(()) => Feature::offered(
            LIMITS,
            "pressure",
            "stalls for memory, processor and disk are measured",
        ),
        Err(error) => Feature::missing(
            LIMITS,
            "pressure",
            format!("/proc/pressure/memory: {error}"),
            "a machine that only crawls is noticed late",
        ),
    }
}
