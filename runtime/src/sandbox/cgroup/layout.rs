//! Where this process stands in the machine's control group trees: its own directory in each of them.
//!
//! Two files of the kernel tell it: `/proc/self/cgroup` names the group per tree, `/proc/self/mountinfo` says where
//! a tree (or, in a container, a part of it) is mounted (`cgroups(7)`, `proc(5)`).

use std::path::{Path, PathBuf};

use super::files::{self, CgroupError};

/// Controllers that matter to us, by their v1 name where it differs.
const V1: [&str; 5] = ["memory", "cpu", "cpuacct", "pids", "blkio"];

/// The caller's place in the trees that it can see.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    /// v1 trees: controller and the caller's own directory. Controllers mounted together appear once each.
    pub v1: Vec<(String, PathBuf)>,
    /// The v2 tree, with or without controllers.
    pub v2: Option<Unified>,
}

/// The caller's place in the v2 tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unified {
    /// Where the tree is mounted: its root, or in a container the container's part.
    pub mount: PathBuf,
    /// The caller's own directory, or the one that was named instead.
    pub own: PathBuf,
    /// `own` was named: it alone will do.
    pub named: bool,
}

/// Which generation of control groups the machine runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Generation {
    /// v1 only.
    Legacy,
    /// v1 controllers, with a v2 tree beside them.
    Hybrid,
    /// v2 only.
    Unified,
    /// None is mounted.
    None,
}

impl Layout {
    /// Reads the caller's place.
    ///
    /// # Errors
    /// When `/proc` is not readable.
    pub fn of_self() -> Result<Self, CgroupError> {
        Self::around(None)
    }

    /// Reads the caller's place, and puts the group that is named in the place of the caller's own v2 group. A machine
    /// without v2 has no such group, and the caller's own v1 groups do.
    ///
    /// # Errors
    /// When `/proc` is not readable.
    pub fn around(named: Option<&Path>) -> Result<Self, CgroupError> {
        Ok(Self::parse(
            &files::read(Path::new("/proc/self/cgroup"))?,
            &files::read(Path::new("/proc/self/mountinfo"))?,
            named,
        ))
    }

    /// Which generation it is.
    #[must_use]
    pub fn generation(&self) -> Generation {
        match (self.v1.is_empty(), self.v2.is_some()) {
            (true, true) => Generation::Unified,
            (false, true) => Generation::Hybrid,
            (false, false) => Generation::Legacy,
            (true, false) => Generation::None,
        }
    }

    fn parse(groups: &str, mounts: &str, named: Option<&Path>) -> Self {
        let mut layout = Self {
            v1: Vec::new(),
            v2: None,
        };
        for mount in mounts.lines().filter_map(Mount::parse) {
            // `hierarchy:controllers:path`; the v2 line is `0::path`.
            let own = groups.lines().find_map(|line| {
                let mut fields = line.splitn(3, ':').skip(1);
                let (controllers, path) = (fields.next()?, fields.next()?);
                let ours = match mount.v1_controllers() {
                    Some(mut mounted) => {
                        mounted.any(|name| controllers.split(',').any(|other| other == name))
                    }
                    None => controllers.is_empty(),
                };
                ours.then_some(path)
            });
            let named = named.filter(|_| mount.v1_options.is_none());
            let own = match named {
                Some(path) => path.to_str(),
                None => own,
            };
            let Some(own) = own.and_then(|path| mount.inside(path)) else {
                continue;
            };
            match mount.v1_controllers() {
                None if layout.v2.is_none() => {
                    layout.v2 = Some(Unified {
                        mount: mount.point,
                        own,
                        named: named.is_some(),
                    });
                }
                None => {}
                Some(controllers) => {
                    for name in controllers {
                        if V1.contains(&name) && !layout.v1.iter().any(|(known, _)| known == name) {
                            layout.v1.push((name.to_owned(), own.clone()));
                        }
                    }
                }
            }
        }
        layout
    }
}

/// A mounted tree.
struct Mount<'a> {
    root: &'a str,
    point: PathBuf,
    v1_options: Option<&'a str>,
}

impl<'a> Mount<'a> {
    /// `36 35 98:0 /root /point options... - type source super-options`
    fn parse(line: &'a str) -> Option<Self> {
        let (fields, rest) = line.split_once(" - ")?;
        let mut fields = fields.split(' ').skip(3);
        let (root, point) = (fields.next()?, fields.next()?);
        let mut rest = rest.split(' ');
        let (kind, options) = (rest.next()?, rest.nth(1)?);
        let v1_options = match kind {
            "cgroup2" => None,
            "cgroup" => Some(options),
            _ => return None,
        };
        Some(Self {
            root,
            point: PathBuf::from(point.replace("\\040", " ")),
            v1_options,
        })
    }

    /// Names of v1 controllers, among other mount options; nothing for v2.
    fn v1_controllers(&self) -> Option<impl Iterator<Item = &'a str> + use<'a>> {
        self.v1_options.map(|options| options.split(','))
    }

    /// The directory of group `path`, when this mount shows it.
    fn inside(&self, path: &str) -> Option<PathBuf> {
        let relative = match self.root {
            "/" => path,
            root => path.strip_prefix(root)?,
        };
        // A group outside of the namespace's root shows as `/..`: not ours to touch.
        if relative.split('/').any(|part| part == "..") || !(relative.is_empty() || relative.starts_with('/'))
        {
            return None;
        }
        Some(match relative.trim_matches('/') {
            "" => self.point.clone(),
            relative => self.point.join(relative),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hybrid_machine_has_both() {
        let layout = Layout::parse(
            "6:memory:/user/a\n5:cpu,cpuacct:/\n1:name=systemd:/\n0::/\n",
            "30 25 0:26 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory\n\
             31 25 0:27 / /sys/fs/cgroup/cpu,cpuacct rw shared:9 - cgroup cgroup rw,cpu,cpuacct\n\
             32 25 0:28 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,name=systemd\n\
             33 25 0:29 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n",
            None,
        );
        let v1 = |name: &str, path: &str| (name.to_owned(), PathBuf::from(path));
        assert_eq!(
            layout.v1,
            [
                v1("memory", "/sys/fs/cgroup/memory/user/a"),
                v1("cpu", "/sys/fs/cgroup/cpu,cpuacct"),
                v1("cpuacct", "/sys/fs/cgroup/cpu,cpuacct"),
            ]
        );
        assert_eq!(
            layout.v2.as_ref().unwrap().own,
            Path::new("/sys/fs/cgroup/unified")
        );
        assert_eq!(layout.generation(), Generation::Hybrid);
    }

    #[test]
    fn a_user_session_on_v2() {
        let layout = Layout::parse(
            "0::/user.slice/user-1000.slice/user@1000.service/app.slice/run-1.scope\n",
            "33 25 0:29 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n",
            None,
        );
        assert_eq!(layout.generation(), Generation::Unified);
        assert_eq!(
            layout.v2.unwrap().own,
            Path::new("/sys/fs/cgroup/user.slice/user-1000.slice/user@1000.service/app.slice/run-1.scope")
        );
    }

    #[test]
    fn a_container_sees_only_its_part() {
        let mounts = "33 25 0:29 /docker/ab /sys/fs/cgroup ro - cgroup2 cgroup rw\n";
        let layout = Layout::parse("0::/docker/ab/inner\n", mounts, None);
        assert_eq!(layout.v2.unwrap().own, Path::new("/sys/fs/cgroup/inner"));
        for outside in ["0::/docker/abc\n", "0::/../other\n", "0::/\n"] {
            assert_eq!(Layout::parse(outside, mounts, None).v2, None, "{outside}");
        }
        assert_eq!(Layout::parse("", "", None).generation(), Generation::None);
    }

    #[test]
    fn a_named_group_stands_in_the_v2_tree_only() {
        let groups = "6:memory:/system.slice/redhold.service\n0::/system.slice/redhold.service\n";
        let mounts = "30 25 0:26 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n\
                      33 25 0:29 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n";
        let holder = Path::new("/system.slice/redhold-instances.service");
        let layout = Layout::parse(groups, mounts, Some(holder));
        assert_eq!(
            layout.v1,
            [(
                "memory".to_owned(),
                PathBuf::from("/sys/fs/cgroup/memory/system.slice/redhold.service")
            )]
        );
        let unified = layout.v2.expect("a v2 tree");
        assert_eq!(
            unified.own,
            Path::new("/sys/fs/cgroup/unified/system.slice/redhold-instances.service")
        );
        assert!(unified.named);
        for outside in ["/../other", "relative"] {
            assert_eq!(Layout::parse(groups, mounts, Some(Path::new(outside))).v2, None);
        }
    }
}
