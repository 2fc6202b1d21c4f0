//! Disk space of instances: which mechanism bounds it on this host, how strongly, and how much is used.
//!
//! Everything here blocks: it is called from jobs.

mod layout;
mod stage;

pub(super) use self::layout::copy;

use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use runtime::error::StepError;
use runtime::error::words;
use runtime::record::{Level, Strength};
use runtime::sandbox::quota::{self, Found, Mechanism, Usage, image, level, measure, project};
use runtime::spec::Owner;
use runtime::units::Bytes;

use super::place::Place;
use crate::problem::Problem;

pub(super) use self::stage::Stage;

/// How often usage is looked at: where the kernel counts that costs nothing, elsewhere every file is visited.
const EVERY_COUNTED: Duration = Duration::from_secs(10);
const EVERY_WATCHED: Duration = Duration::from_secs(60);

/// An instance's bound, as far as disks are concerned.
#[derive(Clone, Debug)]
pub(super) struct Wanted {
    pub(super) place: Place,
    pub(super) owner: Owner,
    /// What `data/` and `files/` may hold together; `None` is no bound.
    pub(super) limit: Option<Bytes>,
}

/// The disks of all instances.
#[derive(Debug)]
pub struct Disks {
    found: Found,
    /// What was last measured of those that nobody counts.
    last: Mutex<HashMap<std::path::PathBuf, Usage>>,
}

impl Disks {
    /// Finds out what this host can do; takes a moment. `executable` is this program.
    #[must_use]
    pub fn look(executable: &Path, data_dir: &Path) -> Self {
        Self {
            found: quota::probe(executable, data_dir),
            last: Mutex::default(),
        }
    }

    /// What is lost on this host, in words.
    #[must_use]
    pub fn lesser(&self) -> Option<String> {
        (self.found.mechanism == Mechanism::Watched).then(|| {
            format!(
                "disk limits are only watched, every {} s: {}",
                EVERY_WATCHED.as_secs(),
                self.lacking()
            )
        })
    }

    fn lacking(&self) -> String {
        self.found.lacking.join("; ")
    }

    /// Finds an instance's files again after the host, or the machine, was started.
    pub(super) fn find(&self, place: &Place) -> Result<(), Problem> {
        layout::find(place)
    }

    /// Makes an instance's folders and bounds them. Nothing of it may run.
    ///
    /// # Errors
    /// When there are no folders then; a bound that is weaker than wanted is said by the level.
    pub(super) fn ready(&self, wanted: &Wanted) -> Result<Level, Problem> {
        let place = &wanted.place;
        let cannot = |error| Problem::io(format!("cannot prepare {}", place.root().display()), error);
        place.make_own().map_err(cannot)?;
        layout::find(place)?;
        let imaged = place.image().exists();
        let level = match wanted.limit {
            Some(limit) if imaged && fits(place, limit) => self.level(wanted, None),
            Some(limit) if imaged => {
                let changed = self
                    .grow(place, limit)
                    .or_else(|_| layout::remake(place, limit, wanted.owner));
                self.level(wanted, changed.err().map(|problem| problem.to_string()))
            }
            Some(limit) if self.found.mechanism == Mechanism::Image => {
                let made = layout::remake(place, limit, wanted.owner);
                self.level(wanted, made.err().map(|problem| problem.to_string()))
            }
            _ => {
                place.make(wanted.owner).map_err(cannot)?;
                self.count(wanted)
            }
        };
        place.make(wanted.owner).map_err(cannot)?;
        Ok(level)
    }

    /// Changes the bound of what runs, as far as that is possible; the level says how far.
    pub(super) fn change(&self, wanted: &Wanted) -> Level {
        let place = &wanted.place;
        match wanted.limit {
            Some(limit) if image::is_mounted(&place.disk()) && !fits(place, limit) => {
                let why = |error| format!("{limit} with its next start: {}", words(&error));
                let changed = self.grow(place, limit).map_err(why);
                self.level(wanted, changed.err())
            }
            _ => self.count(wanted),
        }
    }

    /// Makes an image larger where it is.
    fn grow(&self, place: &Place, limit: Bytes) -> Result<(), StepError> {
        if held(place) > image::length(limit) {
            let smaller = std::io::Error::other("an image cannot become smaller while it is in use");
            return Err(StepError {
                step: "change a disk image".into(),
                on: place.image().display().to_string(),
                cause: smaller,
            });
        }
        image::grow(&place.image(), &place.disk(), limit)
    }

    /// Lets the kernel count, where it does, what lies in the instance's folder.
    fn count(&self, wanted: &Wanted) -> Level {
        let place = &wanted.place;
        if self.found.mechanism != Mechanism::Project || image::is_mounted(&place.disk()) {
            return self.level(wanted, None);
        }
        let Some(number) = number(wanted.owner) else {
            return self.level(wanted, None);
        };
        let counted = [place.data(), place.files()]
            .iter()
            .try_for_each(|folder| project::assign(folder, number))
            .and_then(|()| project::limit(&place.data(), number, wanted.limit));
        self.level(wanted, counted.err().map(|error| words(&error)))
    }

    /// The wall named `disk`, as it is; `but` says what could not be done.
    fn level(&self, wanted: &Wanted, but: Option<String>) -> Level {
        let but = but.map(|but| format!("; {but}")).unwrap_or_default();
        let disk = wanted.place.disk();
        if image::is_mounted(&disk) {
            let room = image::usage(&disk).ok().and_then(|usage| usage.limit);
            let size = match wanted.limit {
                Some(limit) if fits(&wanted.place, limit) => limit.to_string(),
                _ => Bytes(room.unwrap_or_default() >> 20 << 20).to_string(),
            };
            let ready = image::reserved(&wanted.place.image());
            let (strength, text) = if ready {
                (Strength::Hard, "in an image of its own")
            } else {
                (
                    Strength::Partial,
                    "in an image of its own, for which the host's disk keeps no room ready",
                )
            };
            let stays = if wanted.limit.is_none() {
                "; it stays there although the limit was lifted"
            } else {
                ""
            };
            return level(strength, format!("{size} {text}{stays}{but}"));
        }
        match (wanted.limit, self.found.mechanism, but.is_empty()) {
            (None, ..) => level(Strength::Off, "no limit"),
            (Some(limit), Mechanism::Project, true) => {
                level(Strength::Hard, format!("{limit} by a project quota"))
            }
            (Some(limit), ..) => level(
                Strength::Partial,
                format!(
                    "{limit}, watched every {} s{but}; {}",
                    EVERY_WATCHED.as_secs(),
                    self.lacking()
                ),
            ),
        }
    }

    /// Whether only this host's own looking bounds an instance.
    pub(super) fn is_watched(&self, place: &Place) -> bool {
        self.found.mechanism != Mechanism::Project && !place.image().exists()
    }

    /// How often an instance's usage is worth a look.
    pub(super) fn every(&self, place: &Place) -> Duration {
        if self.is_watched(place) {
            EVERY_WATCHED
        } else {
            EVERY_COUNTED
        }
    }

    /// What an instance uses; of what nobody counts, what was last measured.
    pub(super) fn usage(&self, wanted: &Wanted) -> Option<Usage> {
        let place = &wanted.place;
        if image::is_mounted(&place.disk()) {
            return image::usage(&place.disk()).ok();
        }
        if self.is_watched(place) {
            let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
            return last.get(place.root()).copied();
        }
        project::usage(&place.data(), number(wanted.owner)?).ok()
    }

    /// What an instance uses now; of what nobody counts, every file is visited.
    pub(super) fn measure(&self, wanted: &Wanted) -> Option<Usage> {
        let place = &wanted.place;
        if !self.is_watched(place) || wanted.limit.is_none() {
            return self.usage(wanted);
        }
        let (used, _) = measure(&[place.data(), place.files()]).ok()?;
        let usage = Usage::of((used, wanted.limit.map_or(0, |limit| limit.0)), (0, 0));
        self.last
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(place.root().to_owned(), usage);
        Some(usage)
    }

    /// Removes everything that an instance has.
    pub(super) fn erase(&self, place: &Place) -> std::io::Result<()> {
        self.last
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(place.root());
        place.erase()
    }
}

/// Bytes that its image has on the host's disk.
fn held(place: &Place) -> u64 {
    fs::metadata(place.image()).map_or(0, |metadata| metadata.len())
}

/// Whether its image is the one for this limit, and no growth to it was cut off.
fn fits(place: &Place, limit: Bytes) -> bool {
    let room = image::usage(&place.disk()).ok().and_then(|usage| usage.limit);
    held(place) == image::length(limit) && room.is_some_and(|room| room >= limit.0 - limit.0 / 16)
}

/// An instance's project is numbered like its user, which nobody else has.
fn number(owner: Owner) -> Option<u32> {
    match owner {
        Owner::Own { uid, .. } => Some(uid),
        _ => None,
    }
}
