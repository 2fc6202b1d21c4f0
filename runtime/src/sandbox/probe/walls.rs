//! Namespaces, Landlock and seccomp: what two children of the hidden role found, in words.

use std::path::Path;
use std::process::{Command, Stdio};

use super::limits::existing;
use super::reasons::{self, Switches};
use super::role::NAMESPACES;
use super::{Feature, Subject};

const WALLS: Subject = Subject::Walls;

/// What one step of the role reported.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Step {
    name: String,
    errno: i32,
    words: String,
}

pub(super) fn probe(executable: &Path) -> Vec<Feature> {
    // Both run at the same time.
    let children = ["walls", "filters"].map(|what| role(executable, what).spawn());
    let mut steps = Vec::new();
    for child in children {
        let output = child.and_then(std::process::Child::wait_with_output);
        let text = output.map(|output| output.stdout).unwrap_or_default();
        steps.extend(parse(&String::from_utf8_lossy(&text)));
    }
    features(&steps, &Switches::read(), executable)
}

/// Whether root's own folders can be shown to an instance as if they were the instance's: only root ever needs it.
pub(super) fn owners(executable: &Path, data_dir: &Path) -> Option<Feature> {
    const NAME: &str = "translated-owners";
    if !nix::unistd::geteuid().is_root() {
        return None;
    }
    let folder = existing(data_dir);
    let output = role(executable, "owners").arg(folder).output();
    let text = output.map(|output| output.stdout).unwrap_or_default();
    let steps: Vec<Step> = parse(&String::from_utf8_lossy(&text)).collect();
    Some(match steps.first() {
        Some(Step { errno: 0, .. }) => Feature::offered(
            WALLS,
            NAME,
            format!("folders of root's can be projects, in {}", folder.display()),
        ),
        _ => Feature::missing(
            WALLS,
            NAME,
            format!("{}: {}", folder.display(), failure(&steps, "owners")),
            "a folder that belongs to root cannot be a project here; one that belongs to anybody else can",
        ),
    })
}

fn role(executable: &Path, what: &str) -> Command {
    let mut command = Command::new(executable);
    command
        .args(["probe", what])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    command
}

fn parse(text: &str) -> impl Iterator<Item = Step> {
    text.lines().filter_map(|line| {
        let mut fields = line.splitn(3, '\t');
        Some(Step {
            name: fields.next()?.to_owned(),
            errno: fields.next()?.parse().ok()?,
            words: fields.next()?.to_owned(),
        })
    })
}

/// A pure function of what was found.
fn features(steps: &[Step], switches: &Switches, executable: &Path) -> Vec<Feature> {
    let step = |name: &str| steps.iter().find(|step| step.name == name);
    let mut features = Vec::new();
    match step("user") {
        Some(Step { errno: 0, .. }) => {
            features.push(Feature::offered(
                WALLS,
                "user-namespaces",
                "an instance's root is nobody outside",
            ));
        }
        Some(Step { errno, .. }) => {
            let (why, mend) = reasons::user_namespaces(*errno, switches, executable);
            let feature = Feature::missing(
                WALLS,
                "user-namespaces",
                why,
                "no root of its own for an instance: Landlock must do, and processes and sockets of the same user stay visible",
            );
            features.push(Feature { mend, ..feature });
        }
        None => features.push(Feature::missing(
            WALLS,
            "user-namespaces",
            format!("could not be tried: {} did not run", executable.display()),
            "nothing can be said about walls",
        )),
    }
    if step("user").is_some_and(|step| step.errno == 0) {
        features.push(namespaces(steps, switches, executable));
        features.push(match step("net") {
            Some(Step { errno: 0, .. }) => Feature::offered(
                Subject::Network,
                "network-namespaces",
                "an instance can have a network of its own",
            ),
            _ => Feature::missing(
                Subject::Network,
                "network-namespaces",
                failure(steps, "net"),
                "instances share the host's network; outbound rules cannot be enforced",
            ),
        });
        features.push(match step("private-root") {
            Some(Step { errno: 0, .. }) => Feature::offered(
                WALLS,
                "private-root",
                "an instance sees only the files given to it",
            ),
            _ => restricted(
                Feature::missing(
                    WALLS,
                    "private-root",
                    failure(steps, "private-root"),
                    "no root of its own for an instance: Landlock must do",
                ),
                switches,
                executable,
            ),
        });
        features.push(match step("proc") {
            Some(Step { errno: 0, .. }) => {
                Feature::offered(WALLS, "proc", "an instance sees only its own processes")
            }
            Some(Step {
                errno: libc::EPERM, ..
            }) => Feature::missing(
                WALLS,
                "proc",
                "refused: a part of this machine's own /proc is covered, as in most containers",
                "no root of its own for an instance: Landlock must do",
            )
            .mend("docker run --security-opt systempaths=unconfined ..."),
            _ => Feature::missing(
                WALLS,
                "proc",
                failure(steps, "proc"),
                "no root of its own for an instance: Landlock must do",
            ),
        });
    }
    features.push(landlock(steps, switches));
    features.push(match step("seccomp") {
        Some(Step { errno: 0, words, .. }) => {
            Feature::offered(WALLS, "seccomp", format!("filters run, for {words}"))
        }
        Some(Step {
            errno: libc::ENOSYS, ..
        }) => Feature::missing(
            WALLS,
            "seccomp",
            format!("no filter exists for {}", std::env::consts::ARCH),
            "an instance can make every system call that its capabilities allow",
        ),
        _ => Feature::missing(
            WALLS,
            "seccomp",
            failure(steps, "seccomp"),
            "an instance can make every system call that its capabilities allow",
        ),
    });
    features
}

fn namespaces(steps: &[Step], switches: &Switches, executable: &Path) -> Feature {
    let wanted = NAMESPACES
        .iter()
        .map(|(name, _)| *name)
        .filter(|name| *name != "net");
    let (there, lacking): (Vec<&str>, Vec<&str>) =
        wanted.partition(|name| steps.iter().any(|step| step.name == *name && step.errno == 0));
    match lacking.first() {
        None => Feature::offered(WALLS, "namespaces", there.join(", ")),
        Some(first) => restricted(
            Feature::missing(
                WALLS,
                "namespaces",
                format!("{} refused ({})", lacking.join(", "), failure(steps, first)),
                "no root of its own for an instance: Landlock must do",
            ),
            switches,
            executable,
        ),
    }
}

/// Ubuntu lets the namespace be made and takes its capabilities away, so what fails is the first use of one.
fn restricted(feature: Feature, switches: &Switches, executable: &Path) -> Feature {
    if !switches.apparmor_restricts() {
        return feature;
    }
    let (why, mend) = reasons::user_namespaces(libc::EPERM, switches, executable);
    Feature {
        detail: why,
        mend,
        ..feature
    }
}

fn landlock(steps: &[Step], switches: &Switches) -> Feature {
    const COSTS: &str = "one wall less behind the namespaces, and no lesser mode for machines without them";
    let Some(step) = steps.iter().find(|step| step.name == "landlock") else {
        return Feature::missing(WALLS, "landlock", failure(steps, "landlock"), COSTS);
    };
    match (step.errno, step.words.parse::<u32>()) {
        (0, Ok(abi)) if abi >= 6 => Feature::offered(WALLS, "landlock", format!("ABI {abi}")),
        (0, Ok(abi)) => Feature::partial(
            WALLS,
            "landlock",
            format!("ABI {abi}"),
            "no scoping of signals and abstract sockets, which takes ABI 6 (Linux 6.12)",
        ),
        (libc::EOPNOTSUPP, _) => Feature {
            mend: switches.lsm.as_deref().map(reasons::landlock_at_boot),
            ..Feature::missing(WALLS, "landlock", "built in but not enabled at boot", COSTS)
        },
        (libc::ENOSYS, _) => {
            Feature::missing(WALLS, "landlock", "not in this kernel (Linux 5.13 has it)", COSTS)
        }
        _ => Feature::missing(WALLS, "landlock", failure(steps, "landlock"), COSTS),
    }
}

fn failure(steps: &[Step], name: &str) -> String {
    match steps.iter().find(|step| step.name == name) {
        Some(step) => step.words.clone(),
        None => "could not be tried".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Host, State};
    use super::*;
    use crate::spec::Isolation;

    const GOOD: &str = "user\t0\t\nmount\t0\t\nipc\t0\t\nuts\t0\t\ncgroup\t0\t\npid\t0\t\nnet\t0\t\nprivate-root\t0\t\n\
                        proc\t0\t\nlandlock\t0\t7\nseccomp\t0\tx86_64\n";

    fn host(text: &str, switches: &Switches) -> Host {
        let steps: Vec<Step> = parse(text).collect();
        Host {
            features: features(&steps, switches, Path::new("/usr/bin/redhold")),
            ..Host::default()
        }
    }

    #[test]
    fn a_good_machine_lacks_nothing() {
        let host = host(GOOD, &Switches::default());
        assert_eq!(host.lesser().collect::<Vec<_>>(), Vec::<&Feature>::new());
        assert_eq!(host.isolation(), Ok(Isolation::Namespaces));
    }

    #[test]
    fn ubuntu_s_restriction_is_named_where_it_bites() {
        let text = GOOD.replace("mount\t0\t", "mount\t1\tEPERM");
        let switches = Switches {
            apparmor: Some(1),
            ..Switches::default()
        };
        let host = host(&text, &switches);
        let lesser: Vec<&Feature> = host.lesser().collect();
        assert_eq!(lesser.len(), 1);
        assert!(lesser[0].detail.contains("AppArmor") && lesser[0].mend.is_some());
        assert_eq!(host.isolation(), Ok(Isolation::Landlock));
    }

    #[test]
    fn a_container_falls_back_and_says_why() {
        let host = host(&GOOD.replace("proc\t0\t", "proc\t1\tEPERM"), &Switches::default());
        assert_eq!(host.isolation(), Ok(Isolation::Landlock));
        assert!(host.lesser().next().unwrap().detail.contains("covered"));
    }

    #[test]
    fn silence_is_no_success() {
        let host = host("", &Switches::default());
        assert!(host.isolation().is_err());
        assert!(
            host.features
                .iter()
                .all(|feature| feature.state == State::Missing)
        );
    }
}
