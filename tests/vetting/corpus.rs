//! The fixed part of the corpus: each behaviour once, and all near misses. The bench `corpus` runs the rest, and real
//! packages.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use bytes::Bytes;
use node_vetting::analysis::analyse;
use node_vetting::closure::{Closure, Gap, Why};
use node_vetting::exercise::{Profile, exercise};
use node_vetting::package::Package;
use node_vetting::policy::{Decision, Policy, Scene, decide};
use node_vetting::report::{Tools, Verdict};
use node_vetting::resolve::Resolved;
use node_vetting::vet;
use npm::{Algorithm, Hasher};
use test_support::corpus::{Extent, Made, Sample, attacks, twins};

use crate::guest::engine;

/// Whose rule lets a person decide: only one host's description opens the blob.
const REVIEWED: [&str; 2] = ["A03", "B14"];

/// What is not found yet; this list only ever shrinks. The text of a stand-in's function is that of machine code, and by
/// it code can tell that it is watched.
const MISSED: [&str; 1] = ["B12"];

fn package(made: &Made) -> Package {
    let files: BTreeMap<String, Bytes> = made
        .files
        .iter()
        .map(|(path, text)| (path.clone(), Bytes::from(text.clone())))
        .collect();
    Package::from_files(files, Hasher::new(Algorithm::Sha512).finish()).expect("a package")
}

/// Laid out as npm would; what lies inside an archive stays there.
fn closure(sample: &Sample) -> Closure {
    let mut made = sample.packages.iter().map(package);
    let root = made.next().expect("the package in question");
    let others = made.map(|package| (format!("node_modules/{}", package.name), package.into()));
    // What npm would not have from a registry is named by the resolver, which has none here.
    let gaps = root.manifest["dependencies"].as_object().into_iter().flatten();
    let gaps: Vec<Gap> = gaps
        .filter_map(|(name, wanted)| Some((name, wanted.as_str()?)))
        .filter(|(_, wanted)| wanted.contains("://"))
        .map(|(name, wanted)| Gap {
            wanted_by: root.spec(),
            name: name.clone(),
            wanted: wanted.to_owned(),
            why: Why::Url,
            optional: false,
        })
        .collect();
    let mut closure = Closure::new(root, others.collect());
    closure.gaps.extend(gaps);
    closure
}

fn decided(sample: &Sample) -> Decision {
    let closure = closure(sample);
    let observations = exercise(engine(), &closure, &Profile::default()).expect("observations");
    let resolved = Resolved {
        closure,
        listings: BTreeMap::new(),
    };
    let report = vet::report(
        &resolved,
        &analyse(&resolved.closure, &resolved.listings),
        &observations,
        Tools::default(),
    );
    let policy = Policy::default();
    let scene = Scene {
        now: 1_767_693_600,
        policies: &[("host", &policy)],
        waivers: &[],
    };
    decide(&report, &scene)
}

/// Judges samples on all processors; gives what is wrong with each.
fn wrong(samples: &[Sample], judge: impl Fn(&Sample, &Decision) -> bool + Sync) -> Vec<String> {
    let next = AtomicUsize::new(0);
    let work = || {
        let mut wrong = Vec::new();
        while let Some(sample) = samples.get(next.fetch_add(1, Ordering::Relaxed)) {
            let decision = decided(sample);
            if !judge(sample, &decision) {
                let said: Vec<String> = decision
                    .reasons
                    .iter()
                    .filter(|judged| judged.counts_as > Verdict::Trusted)
                    .map(|judged| format!("{}: {}", judged.reason.rule, judged.reason.says))
                    .collect();
                let (id, title, verdict) = (sample.id, sample.title, decision.verdict);
                wrong.push(format!("{id} {title}: {verdict:?} {said:#?}"));
            }
        }
        wrong
    };
    let processors = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        let workers: Vec<_> = (0..processors).map(|_| scope.spawn(work)).collect();
        let found = workers.into_iter().map(|worker| worker.join().expect("a worker"));
        found.flatten().collect()
    })
}

#[test]
fn each_behaviour_is_refused_for_its_own_reason() {
    let found = wrong(&attacks(1, Extent::Once), |sample, decision| {
        let least = if REVIEWED.contains(&sample.id) {
            Verdict::Review
        } else {
            Verdict::Refused
        };
        decision
            .reasons
            .iter()
            .any(|judged| judged.counts_as >= least && sample.right.contains(&judged.reason.rule.as_str()))
    });
    let missed = |one: &String| MISSED.iter().any(|id| one.starts_with(id));
    let (known, new): (Vec<String>, Vec<String>) = found.into_iter().partition(missed);
    assert!(new.is_empty(), "{}", new.join("\n"));
    assert_eq!(
        known.len(),
        MISSED.len(),
        "found now, so it goes off the list of what is missed"
    );
}

#[test]
fn no_near_miss_is_held_back() {
    let found = wrong(&twins(1), |_, decision| decision.verdict == Verdict::Trusted);
    assert!(found.is_empty(), "{}", found.join("\n"));
}
