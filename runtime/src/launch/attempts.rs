//! Pure: what a program tried and may not do, counted and bounded. However often and however cleverly it tries, this
//! takes a few kilobytes, and tells of each kind of attempt a number of times that grows with the logarithm.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::record::{Attempt, Attempted};

/// Different things of a kind that are kept apart; what comes beyond is counted together, so that a flood of one kind
/// hides nothing of another.
const MOST: usize = 48;
/// Hints about whose code something was; the oldest programs stay.
const MOST_HINTS: usize = 64;
/// Longest name, in characters.
pub(crate) const LONGEST: usize = 200;
/// A thing that goes on is told again after this long, whatever its count, so that its last time is not too old.
const AGAIN: Duration = Duration::from_secs(600);

/// See the module.
#[derive(Default)]
pub(crate) struct Attempts {
    known: BTreeMap<(Attempted, String), Known>,
    /// By file name of a program: the code that asked for it, by its own account.
    hints: BTreeMap<String, String>,
}

struct Known {
    attempt: Attempt,
    told_ms: u64,
}

/// What was tried, once or a number of times.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Tried {
    pub(crate) what: Attempted,
    pub(crate) name: String,
    pub(crate) times: u64,
    pub(crate) refused: bool,
}

impl Attempts {
    /// Counts what was tried; what is to be told, when it is time for that.
    pub(crate) fn count(&mut self, tried: &Tried, now_ms: u64) -> Option<Attempt> {
        let (what, refused) = (tried.what, tried.refused);
        let mut key = (what, clean(&tried.name));
        if !self.known.contains_key(&key)
            && self.known.keys().filter(|(kind, _)| *kind == what).count() >= MOST
        {
            key = (
                Attempted::Others,
                format!("more than {MOST} different {}", things(what)),
            );
        }
        let known = self.known.entry(key).or_insert_with_key(|(what, name)| Known {
            attempt: Attempt {
                what: *what,
                name: name.clone(),
                count: 0,
                first_ms: now_ms,
                last_ms: now_ms,
                refused,
                by: None,
            },
            told_ms: now_ms,
        });
        let attempt = &mut known.attempt;
        let before = attempt.count;
        attempt.count = before.saturating_add(tried.times.max(1));
        attempt.last_ms = now_ms;
        attempt.refused = refused;
        if attempt.by.is_none() {
            attempt.by = self.hints.get(file_name(&attempt.name)).cloned();
        }
        let silent = Duration::from_millis(now_ms.saturating_sub(known.told_ms));
        if digits(before) == digits(attempt.count) && silent < AGAIN {
            return None;
        }
        known.told_ms = now_ms;
        Some(attempt.clone())
    }

    /// The program says whose code asks for something; what is to be told, when that was known without it.
    pub(crate) fn hint(&mut self, program: &str, by: &str) -> Option<Attempt> {
        let (program, by) = (clean(program), clean(by));
        let file = file_name(&program).to_owned();
        if self.hints.len() >= MOST_HINTS && !self.hints.contains_key(&file) {
            return None;
        }
        let known = self
            .known
            .values_mut()
            .find(|known| known.attempt.by.is_none() && file_name(&known.attempt.name) == file);
        let told = known.map(|known| {
            known.attempt.by = Some(by.clone());
            known.attempt.clone()
        });
        self.hints.entry(file).or_insert(by);
        told
    }

    /// Everything so far.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Attempt> {
        self.known.values().map(|known| &known.attempt)
    }
}

/// The last part of a path.
pub(crate) fn file_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// Without what would do something to a terminal or a log.
fn clean(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(LONGEST).collect()
}

/// Decimal digits; none of 0. They grow with the first, the tenth, the hundredth.
const fn digits(number: u64) -> u32 {
    match number.checked_ilog10() {
        Some(log) => log + 1,
        None => 0,
    }
}

const fn things(what: Attempted) -> &'static str {
    match what {
        Attempted::Execute => "programs",
        Attempted::RawSocket | Attempted::Socket => "sockets",
        Attempted::Name => "names",
        Attempted::Connect | Attempted::Closed => "places",
        Attempted::Others => "things",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tried(what: Attempted, name: &str, refused: bool) -> Tried {
        let (name, times) = (name.to_owned(), 1);
        Tried {
            what,
            name,
            times,
            refused,
        }
    }

    #[test]
    fn a_flood_is_counted_and_told_seldom() {
        let mut attempts = Attempts::default();
        let told: Vec<u64> = (0..25_000)
            .filter_map(|_| attempts.count(&tried(Attempted::Execute, "/bin/sh", false), 5))
            .map(|attempt| attempt.count)
            .collect();
        assert_eq!(told, [1, 10, 100, 1000, 10_000]);
        // Many at once are one step.
        let many = Tried {
            times: 9_000_000,
            ..tried(Attempted::Connect, "a.example:1", true)
        };
        let told = attempts.count(&many, 5).map(|attempt| attempt.count);
        assert_eq!(told, Some(9_000_000));
        // One that goes on slowly is told again after a while.
        assert!(
            attempts
                .count(&tried(Attempted::Execute, "/bin/sh", false), 600_004)
                .is_none()
        );
        let late = attempts
            .count(&tried(Attempted::Execute, "/bin/sh", true), 600_005)
            .expect("it is told");
        assert_eq!(
            (late.count, late.first_ms, late.last_ms, late.refused),
            (25_002, 5, 600_005, true)
        );
    }

    #[test]
    fn different_names_are_bounded_too() {
        let mut attempts = Attempts::default();
        let mut told = 0;
        for number in 0..10_000 {
            let name = format!("/tmp/{number}\n\u{1b}[2J{}", "x".repeat(1000));
            told += usize::from(
                attempts
                    .count(&tried(Attempted::Execute, &name, true), 1)
                    .is_some(),
            );
        }
        assert!(told < MOST + 6, "{told}");
        // Another kind has room of its own.
        assert!(
            attempts
                .count(&tried(Attempted::Connect, "a.example:1", true), 1)
                .is_some_and(|attempt| attempt.name == "a.example:1")
        );
        let all: Vec<_> = attempts
            .all()
            .filter(|one| one.what != Attempted::Connect)
            .collect();
        assert_eq!(all.len(), MOST + 1);
        assert!(
            all.iter()
                .all(|one| one.name.chars().count() <= LONGEST && !one.name.contains('\n'))
        );
        assert_eq!(all.iter().map(|one| one.count).sum::<u64>(), 10_000);
    }

    #[test]
    fn whose_code_it_was_may_be_said_before_or_after() {
        let mut attempts = Attempts::default();
        assert_eq!(attempts.hint("ping", "node-red-node-ping"), None);
        let first = attempts
            .count(&tried(Attempted::Execute, "/usr/bin/ping", false), 1)
            .expect("told");
        assert_eq!(first.by.as_deref(), Some("node-red-node-ping"));
        attempts.count(&tried(Attempted::Execute, "/bin/sh", false), 1);
        let again = attempts.hint("/bin/sh", "function node").expect("told again");
        assert_eq!((again.count, again.by.as_deref()), (1, Some("function node")));
        assert_eq!(attempts.hint("/bin/sh", "another"), None);
        for number in 0..1000 {
            attempts.hint(&number.to_string(), "x");
        }
        assert!(attempts.hints.len() <= MOST_HINTS);
    }
}
