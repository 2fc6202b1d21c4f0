//! Waivers of this host, in a file beside its policy: read by whoever judges, changed by one at a time.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use nix::fcntl::{Flock, FlockArg};
use node_vetting::policy::Waiver;
use npm::{PackageName, Version};
use sha2::{Digest, Sha256};

use crate::ids::hexadecimal;
use crate::paths::write_private;
use crate::problem::{Code, Problem};

/// The file of a data directory.
#[derive(Clone, Debug)]
pub struct Waivers(PathBuf);

impl Waivers {
    /// Those of the host with this data directory.
    #[must_use]
    pub fn of(data_dir: &Path) -> Self {
        Self(data_dir.join("vetting/waivers.json"))
    }

    /// The file itself.
    #[must_use]
    pub fn file(&self) -> &Path {
        &self.0
    }

    /// All, also those that have ended.
    ///
    /// # Errors
    /// When the file cannot be read, or is no list of waivers.
    pub fn all(&self) -> Result<Vec<Waiver>, Problem> {
        let text = match fs::read_to_string(&self.0) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(self.cannot("read", error)),
        };
        serde_json::from_str(&text).map_err(|error| {
            Problem::new(Code::Usage, format!("{} cannot be used", self.0.display()))
                .because(error)
                .hint("mend it, or move it away and make the waivers again with `redhold waiver add`")
        })
    }

    /// Names a list by content, for whoever changes it.
    #[must_use]
    pub fn digest(all: &[Waiver]) -> String {
        // Waivers are plain data.
        let text = serde_json::to_vec(all).unwrap_or_default();
        hexadecimal(&Sha256::digest(text))
    }

    /// Adds one, in place of those of the same package, version and rules; `based_on` names the list that it was decided
    /// on, if any.
    ///
    /// # Errors
    /// When the file cannot be read or written, and with [`Code::Conflict`] when somebody else changed it first; it is as it
    /// was then.
    pub fn add(&self, waiver: Waiver, based_on: Option<&str>) -> Result<(), Problem> {
        self.change(based_on, |all| {
            all.retain(|other| {
                (&other.package, &other.version, &other.rules)
                    != (&waiver.package, &waiver.version, &waiver.rules)
            });
            all.push(waiver);
        })
    }

    /// Removes those of a package in a version; tells how many there were.
    ///
    /// # Errors
    /// As [`Waivers::add`].
    pub fn remove(
        &self,
        package: &PackageName,
        version: &Version,
        based_on: Option<&str>,
    ) -> Result<usize, Problem> {
        let mut removed = 0;
        self.change(based_on, |all| {
            let before = all.len();
            all.retain(|waiver| waiver.package != *package || waiver.version != *version);
            removed = before - all.len();
        })?;
        Ok(removed)
    }

    /// Reads, changes and writes under a lock, so that two changes at once do not lose one.
    fn change(&self, based_on: Option<&str>, change: impl FnOnce(&mut Vec<Waiver>)) -> Result<(), Problem> {
        let folder = self.0.parent().unwrap_or(&self.0);
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)
            .map_err(|error| self.cannot("make the folder of", error))?;
        let lock = File::create(self.0.with_extension("lock")).map_err(|error| self.cannot("lock", error))?;
        let _lock = Flock::lock(lock, FlockArg::LockExclusive)
            .map_err(|(_, error)| self.cannot("lock", error.into()))?;
        let mut all = self.all()?;
        if based_on.is_some_and(|digest| digest != Self::digest(&all)) {
            return Err(Problem::new(
                Code::Conflict,
                "the waivers were changed by somebody else meanwhile",
            )
            .hint("look at them again and repeat your change"));
        }
        change(&mut all);
        let mut text = serde_json::to_vec_pretty(&all).map_err(|error| self.cannot("write", error.into()))?;
        text.push(b'\n');
        write_private(&self.0, &text).map_err(|error| self.cannot("write", error))
    }

    fn cannot(&self, what: &str, error: io::Error) -> Problem {
        Problem::io(format!("cannot {what} {}", self.0.display()), error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waiver(version: &str, rule: &str) -> Waiver {
        Waiver {
            package: "node-red-contrib-pump".parse().expect("a name"),
            version: version.parse().expect("a version"),
            integrity: None,
            rules: vec![rule.to_owned()],
            who: "kim".to_owned(),
            why: "read it".to_owned(),
            until: "2027-05-01".parse().expect("a day"),
        }
    }

    #[test]
    fn changes_at_once_are_all_kept() {
        let place = tempfile::tempdir().expect("a folder");
        let waivers = Waivers::of(place.path());
        assert_eq!(waivers.all().expect("none"), []);
        std::thread::scope(|scope| {
            for number in 0..8 {
                let waivers = &waivers;
                scope.spawn(move || {
                    let added = waivers.add(waiver(&format!("1.{number}.0"), "grant"), None);
                    added.expect("added");
                });
            }
        });
        assert_eq!(waivers.all().expect("all").len(), 8);
        waivers
            .add(waiver("1.0.0", "grant"), None)
            .expect("the same once more");
        waivers
            .add(waiver("1.0.0", "editor.network"), None)
            .expect("another rule");
        assert_eq!(waivers.all().expect("all").len(), 9);
        let version = "1.0.0".parse().expect("a version");
        let name = "node-red-contrib-pump".parse().expect("a name");
        let stale = waivers.remove(&name, &version, Some(&Waivers::digest(&[])));
        assert_eq!(stale.expect_err("another list").code(), Code::Conflict);
        let present = Waivers::digest(&waivers.all().expect("all"));
        assert_eq!(
            waivers.remove(&name, &version, Some(&present)).expect("removed"),
            2
        );
        assert_eq!(waivers.remove(&name, &version, None).expect("none left"), 0);
    }

    #[test]
    fn a_file_that_is_none_is_named_and_kept() {
        let place = tempfile::tempdir().expect("a folder");
        let waivers = Waivers::of(place.path());
        waivers.add(waiver("1.0.0", "grant"), None).expect("added");
        fs::write(&waivers.0, "{ not a list").expect("damaged");
        let problem = waivers
            .add(waiver("2.0.0", "grant"), None)
            .expect_err("it cannot be read");
        assert!(problem.to_string().contains("waivers.json"), "{problem}");
        assert_eq!(fs::read_to_string(&waivers.0).expect("kept"), "{ not a list");
    }
}
