//! The disk under a folder, in the form in which the kernel limits it.

use std::fmt;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// A whole disk: limits are refused for partitions (`ENODEV`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Device {
    major: u64,
    minor: u64,
}

impl Device {
    /// The disk that holds `folder`, or why there is none.
    pub(super) fn under(folder: &Path) -> Result<Self, String> {
        let about = |why: &str| format!("{} is {why}", folder.display());
        let number = fs::metadata(folder)
            .map_err(|error| about(&format!("not readable: {error}")))?
            .dev();
        let (mut major, mut minor) = (libc::major(number), libc::minor(number));
        if major == 0 {
            // btrfs and others show an anonymous number; the mount table knows what is below.
            (major, minor) = source_of(u64::from(major), u64::from(minor))
                .ok_or_else(|| about("on no disk of this machine (memory, network or overlay)"))?;
        }
        Self::whole(&format!("{major}:{minor}"))
            .ok_or_else(|| about("on a device that the kernel does not list"))
    }

    /// Major and minor number.
    pub(super) fn number(&self) -> (u64, u64) {
        (self.major, self.minor)
    }

    /// `/sys/dev/block/M:m` leads to the device's folder; a partition's folder is inside its disk's.
    fn whole(number: &str) -> Option<Self> {
        let entry = fs::canonicalize(Path::new("/sys/dev/block").join(number)).ok()?;
        let disk = match entry.join("partition").exists() {
            true => entry.parent()?,
            false => &entry,
        };
        let text = fs::read_to_string(disk.join("dev")).ok()?;
        let (major, minor) = text.trim().split_once(':')?;
        Some(Self {
            major: major.parse().ok()?,
            minor: minor.parse().ok()?,
        })
    }
}

/// The block device named as source of the mount with this number.
fn source_of(major: u64, minor: u64) -> Option<(u32, u32)> {
    let wanted = format!("{major}:{minor}");
    let mounts = fs::read_to_string("/proc/self/mountinfo").ok()?;
    let source = mounts.lines().find_map(|line| {
        let (fields, rest) = line.split_once(" - ")?;
        (fields.split(' ').nth(2)? == wanted).then(|| rest.split(' ').nth(1))?
    })?;
    let device = fs::metadata(source).ok()?.rdev();
    (device != 0).then(|| (libc::major(device), libc::minor(device)))
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.major, self.minor)
    }
}
