//! Machines that packages are for.

use npm::Manifest;
use serde::{Deserialize, Serialize};

/// A kind of machine, in Node.js's words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Platform {
    /// `linux`, `darwin`, `win32`.
    pub os: String,
    /// `x64`, `arm64`, `arm`.
    pub cpu: String,
    /// `glibc` or `musl`; empty on systems other than Linux.
    pub libc: String,
}

impl Platform {
    /// The machine that this runs on.
    #[must_use]
    pub fn here() -> Self {
        let cpu = match std::env::consts::ARCH {
            "x86_64" => "x64",
            "aarch64" => "arm64",
            "x86" => "ia32",
            other => other,
        };
        let os = match std::env::consts::OS {
            "macos" => "darwin",
            "windows" => "win32",
            other => other,
        };
        let libc = match (os, cfg!(target_env = "musl")) {
            ("linux", true) => "musl",
            ("linux", false) => "glibc",
            _ => "",
        };
        Self {
            os: os.to_owned(),
            cpu: cpu.to_owned(),
            libc: libc.to_owned(),
        }
    }

    /// Whether a package can be used there, as it says itself.
    #[must_use]
    pub(super) fn suits(&self, manifest: &Manifest) -> bool {
        allows(&manifest.os, &self.os)
            && allows(&manifest.cpu, &self.cpu)
            && (manifest.libc.is_empty() || !self.libc.is_empty() && allows(&manifest.libc, &self.libc))
    }
}

/// An empty list allows everything; `!x` forbids x, and a list of such entries allows the rest.
fn allows(list: &[String], value: &str) -> bool {
    if list.is_empty() || list == ["any"] {
        return true;
    }
    let forbidden = |entry: &String| entry.strip_prefix('!').is_some_and(|entry| entry == value);
    !list.iter().any(forbidden)
        && (list.iter().any(|entry| entry == value) || list.iter().all(|entry| entry.starts_with('!')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_allow_as_npm_reads_them() {
        let list = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        for (entries, value, yes) in [
            ("", "linux", true),
            ("any", "linux", true),
            ("linux darwin", "linux", true),
            ("darwin", "linux", false),
            ("!win32", "linux", true),
            ("!linux", "linux", false),
            ("!win32 darwin", "linux", false),
        ] {
            assert_eq!(allows(&list(entries), value), yes, "{entries}");
        }
    }

    #[test]
    fn a_library_that_is_not_known_suits_nobody() {
        let manifest: Manifest = serde_json::from_value(serde_json::json!({
            "version": "1.0.0", "dist": { "tarball": "" }, "os": ["linux", "darwin"], "libc": ["musl"],
        }))
        .expect("a manifest");
        let on = |os: &str, libc: &str| Platform {
            os: os.to_owned(),
            cpu: "x64".to_owned(),
            libc: libc.to_owned(),
        };
        assert!(on("linux", "musl").suits(&manifest));
        assert!(!on("linux", "glibc").suits(&manifest));
        assert!(!on("darwin", "").suits(&manifest));
    }
}
