//! Pressure stall information: for how long work had to wait for a resource (Documentation/accounting/psi.rst).
//!
//! The kernel keeps it for the machine and for every group of a v2 tree, also of one without controllers beside v1
//! trees. It is absent where the kernel was built or booted without it (`psi=0`), and on pure v1 machines for groups.

use std::fs;
use std::path::Path;

use super::Group;

/// What can be waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resource {
    /// Processor time.
    Cpu,
    /// Memory that has to be freed or read again first.
    Memory,
    /// A disk.
    Io,
}

impl Resource {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Cpu, Self::Memory, Self::Io];

    /// As the kernel calls it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Memory => "memory",
            Self::Io => "io",
        }
    }
}

/// How long was waited for a resource.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pressure {
    /// Time in which at least one task waited, in microseconds.
    pub waiting_us: u64,
    /// Time in which all of them waited and nothing was done, in microseconds; older kernels do not tell it of
    /// processor time.
    pub stalled_us: Option<u64>,
    /// Share of the last 10 seconds in which at least one task waited.
    pub waiting_ratio: f64,
}

impl Pressure {
    /// Of the whole machine.
    #[must_use]
    pub fn of_host(resource: Resource) -> Option<Self> {
        Self::read(&Path::new("/proc/pressure").join(resource.name()))
    }

    fn read(path: &Path) -> Option<Self> {
        Self::parse(&fs::read_to_string(path).ok()?)
    }

    fn parse(text: &str) -> Option<Self> {
        let line = |name: &str| text.lines().find_map(|line| line.strip_prefix(name));
        let value = |line: &str, key: &str| -> Option<f64> {
            let mut pairs = line.split_ascii_whitespace();
            pairs.find_map(|pair| pair.strip_prefix(key)?.parse().ok())
        };
        let total = |line: &str| {
            let mut pairs = line.split_ascii_whitespace();
            pairs.find_map(|pair| pair.strip_prefix("total=")?.parse().ok())
        };
        let some = line("some ")?;
        Some(Self {
            waiting_us: total(some)?,
            stalled_us: line("full ").and_then(total),
            waiting_ratio: value(some, "avg10=")? / 100.0,
        })
    }
}

impl Group {
    /// How long the group's tasks waited for a resource; none where the kernel does not say.
    #[must_use]
    pub fn pressure(&self, resource: Resource) -> Option<Pressure> {
        Pressure::read(&self.file(&format!("{}.pressure", resource.name()))?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_lines_or_the_first_alone() {
        let text = "some avg10=98.84 avg60=99.21 avg300=96.07 total=1032645889\n\
                    full avg10=0.00 avg60=0.00 avg300=0.00 total=7\n";
        let all = Pressure::parse(text).expect("pressure");
        assert_eq!((all.waiting_us, all.stalled_us), (1_032_645_889, Some(7)));
        assert!((all.waiting_ratio - 0.9884).abs() < 1e-9);
        let first = text.lines().next().expect("a line");
        assert_eq!(Pressure::parse(first).and_then(|one| one.stalled_us), None);
        for nonsense in ["", "some", "some avg10=1 total=x", "full avg10=0 total=1"] {
            assert_eq!(Pressure::parse(nonsense), None, "{nonsense}");
        }
    }
}
