//! Packages to try judgement on: nodes that behave badly, written fresh for each seed, and twins that use the same calls
//! rightly.
//!
//! Inert by construction. Hosts end in `.example`, addresses come from the ranges for documentation, what is written or
//! deleted lies where only the sandbox's own made-up machine has something, and commands fetch from names that do not
//! exist. Nothing here is meant to run anywhere but in that sandbox.

mod behaviours;
mod build;
mod devious;
mod hidden;
mod style;
mod twins;

pub use build::{Carrier, Made, Sample, Stage};
pub use style::{HIDINGS, Hiding};

use build::{Behaviour, Way};

/// How much of the corpus.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// Each behaviour once.
    Once,
    /// Each behaviour in several ways.
    Full,
}

/// Ways of each behaviour in the whole corpus.
const WAYS: usize = 6;

/// Everything that must be refused. Other seeds give other names, hiding, carriers and stages.
#[must_use]
pub fn attacks(seed: u64, extent: Extent) -> Vec<Sample> {
    let all = behaviours::LIST.iter().chain(hidden::LIST).chain(devious::LIST);
    all.enumerate()
        .flat_map(|(number, behaviour)| {
            ways(behaviour, extent)
                .into_iter()
                .enumerate()
                .map(move |(turn, way)| {
                    let seed = seed.wrapping_mul(1_000_003) + (number * 64 + turn) as u64;
                    build::sample(behaviour, way, seed)
                })
        })
        .collect()
}

/// Near misses: each uses rightly what some attack uses wrongly. None may be refused.
#[must_use]
pub fn twins(seed: u64) -> Vec<Sample> {
    twins::LIST
        .iter()
        .enumerate()
        .map(|(number, twin)| build::sample(twin, Way::plain(twin), seed + number as u64))
        .collect()
}

/// The ways of one behaviour: its own first, then the axes crossed so that each value comes up somewhere.
fn ways(behaviour: &'static Behaviour, extent: Extent) -> Vec<Way> {
    let mut ways = vec![Way::plain(behaviour)];
    if extent == Extent::Once {
        return ways;
    }
    // Numbers without a common factor with the lengths of the axes walk through all their values.
    let own = behaviour.id.bytes().map(usize::from).sum::<usize>();
    for turn in 1..WAYS {
        let way = Way {
            code: turn % behaviour.codes.len(),
            hiding: if behaviour.half_is_editor() {
                [
                    Hiding::Plain,
                    Hiding::Minified,
                    Hiding::Split,
                    Hiding::Codes,
                    Hiding::Reversed,
                ][(own + turn) % 5]
            } else {
                HIDINGS[(own + turn * 2) % HIDINGS.len()]
            },
            carrier: behaviour.carriers[(own + turn) % behaviour.carriers.len()],
            stage: behaviour.stages[turn % behaviour.stages.len()],
            trigger: behaviour
                .triggers
                .get((own + turn) % (behaviour.triggers.len() + 1))
                .copied()
                .unwrap_or(""),
        };
        ways.push(way);
    }
    ways
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_seeds_give_equal_samples_and_others_do_not() {
        let one = attacks(1, Extent::Full);
        assert_eq!(one, attacks(1, Extent::Full));
        assert_ne!(one, attacks(2, Extent::Full));
        let mut names: Vec<&str> = one.iter().map(Sample::name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), one.len());
    }
}
