//! Where a program goes in the world beside what it has to do with: recorded by the kernel, and refused by it.
//!
//! In a world of its own, as the tests of the filter.

use std::time::{Duration, Instant};

use runtime::record::{Attempted, ExitRecord};
use runtime::spec::{Access, Network};
use runtime::traffic::Hosts;
use test_support::eventually::eventually;
use test_support::world::{can, left, world};

use crate::attempts::compiled;
use crate::filtered::{TRY, filtered};
use crate::support::{Cell, Outcome, mount};

/// A network that leads where `allow` says, for a program that has to do with `hosts`, and with what its file `flows.json`
/// names.
fn watching(cell: &mut Cell, allow: &[&str], hosts: &[&str], enforce: bool) {
    let Network::Filtered(mut network) = filtered(1, allow, &[]) else {
        unreachable!()
    };
    network.hosts = Some(Box::new(Hosts {
        enforce,
        allow: hosts.iter().map(|text| text.parse().unwrap()).collect(),
        named_in: vec![cell.data().join("flows.json")],
        words: "what the test says".to_owned(),
    }));
    cell.spec.network = Network::Filtered(network);
}

fn tries(allow: &[&str], hosts: &[&str], enforce: bool, places: &[&str]) -> Outcome {
    let mut cell = Cell::new(TRY);
    watching(&mut cell, allow, hosts, enforce);
    cell.spec.program.env.push(("PLACES".into(), places.join(" ")));
    cell.run()
}

/// Each thing once, with whether it was refused.
fn attempts(exit: &ExitRecord) -> Vec<(Attempted, &str, bool)> {
    let all = exit.attempts.iter();
    all.map(|one| (one.what, one.name.as_str(), one.refused))
        .collect()
}

const PLACES: [&str; 9] = [
    "broker.example:1000",
    "[2001:db8:1::3]:1000",
    "198.18.0.2:1001",
    "[2001:db8::2]:1000",
    "198.18.0.2:1000/udp",
    "169.254.169.254:1000",
    "198.18.0.1:1000",
    "alien.example/txt",
    "198.18.0.2:53",
];

#[test]
fn observed_everything_is_reached_as_before_and_what_is_nobody_s_business_is_recorded() {
    if !can("observed_everything_is_reached_as_before_and_what_is_nobody_s_business_is_recorded") {
        return;
    }
    world();
    let outcome = tries(&["*"], &["broker.example", "2001:db8:1::/48"], false, &PLACES);
    assert_eq!(
        outcome.output,
        "broker.example:1000 world 1000\n[2001:db8:1::3]:1000 world 1000\n198.18.0.2:1001 world 1001\n\
         [2001:db8::2]:1000 world 1000\n198.18.0.2:1000/udp world\n169.254.169.254:1000 ECONNREFUSED\n\
         198.18.0.1:1000 ECONNREFUSED\nalien.example/txt told\n198.18.0.2:53 ECONNREFUSED\n"
    );
    use Attempted::{Closed, Connect, Name};
    assert_eq!(
        attempts(&outcome.exit),
        [
            (Name, "alien.example", false),
            (Connect, "198.18.0.2:1000/udp", false),
            (Connect, "198.18.0.2:1001", false),
            (Connect, "198.18.0.2:53", false),
            (Connect, "[2001:db8::2]:1000", false),
            (Closed, "169.254.169.254:1000", true),
            (Closed, "198.18.0.1:1000", true),
        ]
    );
    assert_eq!(left(), "");
}

#[test]
fn enforced_only_what_it_has_to_do_with_is_reached() {
    if !can("enforced_only_what_it_has_to_do_with_is_reached") {
        return;
    }
    world();
    let outcome = tries(&["*"], &["broker.example", "2001:db8:1::/48"], true, &PLACES);
    assert_eq!(
        outcome.output,
        "broker.example:1000 world 1000\n[2001:db8:1::3]:1000 world 1000\n198.18.0.2:1001 ECONNREFUSED\n\
         [2001:db8::2]:1000 ECONNREFUSED\n198.18.0.2:1000/udp ECONNREFUSED\n169.254.169.254:1000 ECONNREFUSED\n\
         198.18.0.1:1000 ECONNREFUSED\nalien.example/txt EREFUSED\n198.18.0.2:53 ECONNREFUSED\n"
    );
    assert!(outcome.exit.attempts.iter().all(|one| one.refused), "{outcome:?}");
    assert_eq!(outcome.exit.attempts.len(), 7, "{outcome:?}");
    // What the network names itself is its operator's word, with its port.
    let places = [
        "198.18.0.2:1000",
        "198.18.0.2:1001",
        "broker.example:1001",
        "broker.example:1000",
    ];
    let outcome = tries(
        &["*", "198.18.0.2:1000", "broker.example:1001"],
        &[],
        true,
        &places,
    );
    assert_eq!(
        outcome.output,
        "198.18.0.2:1000 world 1000\n198.18.0.2:1001 ECONNREFUSED\nbroker.example:1001 world 1001\n\
         broker.example:1000 ECONNREFUSED\n"
    );
    assert_eq!(
        attempts(&outcome.exit),
        [
            (Attempted::Connect, "198.18.0.2:1001", true),
            (Attempted::Connect, "broker.example:1000", true),
        ]
    );
    // Where it leads to few places only, those are not narrowed, and what is refused is recorded.
    let outcome = tries(
        &["198.18.0.2:1000"],
        &[],
        false,
        &["198.18.0.2:1000", "198.18.0.2:1001", "a.example"],
    );
    assert_eq!(
        outcome.output,
        "198.18.0.2:1000 world 1000\n198.18.0.2:1001 ECONNREFUSED\na.example EAI_AGAIN\n"
    );
    assert_eq!(
        attempts(&outcome.exit),
        [
            (Attempted::Closed, "198.18.0.2:1001", true),
            (Attempted::Closed, "a.example", true),
        ]
    );
    assert_eq!(left(), "");
}

/// Writes `flows.json` as Node-RED does, then tries until it works; says how often it was refused.
const DEPLOY: &str = "
const fs = require('fs'), net = require('net');
const tcp = (host, port) => new Promise(go => {
  const s = net.connect({ host, port, family: 4 });
  s.on('data', d => { go(String(d)); s.destroy(); }).on('error', e => go(e.code));
});
const sleep = ms => new Promise(go => setTimeout(go, ms));
(async () => {
  for (const [host, text] of [
    ['198.18.0.2', JSON.stringify([{ url: 'http://198.18.0.2:1000/' }])],
    ['broker.example', JSON.stringify([{ func: \"x('https://broker.example/')\" }])],
  ]) {
    const before = await tcp(host, 1000);
    fs.writeFileSync('/data/flows.json.$$$', text);
    fs.renameSync('/data/flows.json.$$$', '/data/flows.json');
    let after, tries = 0;
    do { await sleep(10); after = await tcp(host, 1000); tries++ } while (after !== 'world 1000' && tries < 1000);
    console.log(host, before, after, tries < 100);
  }
  // What was taken out again is closed again.
  let last;
  do { await sleep(10); last = await tcp('198.18.0.2', 1000) } while (last === 'world 1000');
  console.log(last);
})();";

#[test]
fn what_flows_name_is_followed_as_they_change() {
    if !can("what_flows_name_is_followed_as_they_change") {
        return;
    }
    world();
    let mut cell = Cell::new(DEPLOY);
    watching(&mut cell, &["*"], &[], true);
    assert_eq!(
        cell.run().ok(),
        "198.18.0.2 ECONNREFUSED world 1000 true\nbroker.example EAI_AGAIN world 1000 true\nECONNREFUSED\n"
    );
    // Rules that somebody flushes come back with what the flows name.
    let mut cell = Cell::new(
        "setInterval(() => require('net').connect(1000, '198.18.0.2')
           .on('data', d => console.log(String(d))).on('error', e => console.log(e.code)), 50)",
    );
    watching(&mut cell, &["*"], &[], true);
    std::fs::write(cell.data().join("flows.json"), "[\"198.18.0.2\"]").unwrap();
    let running = cell.start().unwrap();
    let count = |word: &str| cell.log().matches(word).count();
    let reached = |more: usize| {
        eventually("it reaches what its flows name", Duration::from_secs(20), || {
            let now = count("world 1000");
            (now > more).then_some(()).ok_or(now)
        });
    };
    reached(0);
    test_support::world::sh("nft flush ruleset");
    eventually("the rules are back", Duration::from_secs(20), || {
        left().contains("hosts_1").then_some(()).ok_or("not yet")
    });
    reached(count("world 1000") + 1);
    running.kill().unwrap();
    running.wait().unwrap();
    assert_eq!(left(), "");
}

#[test]
fn who_changes_the_address_while_the_kernel_reads_it_reaches_nothing_more() {
    if !can("who_changes_the_address_while_the_kernel_reads_it_reaches_nothing_more") {
        return;
    }
    world();
    for enforce in [true, false] {
        let mut cell = Cell::perl("");
        watching(&mut cell, &["*"], &["10.1.2.3"], enforce);
        cell.spec
            .mounts
            .push(mount(&compiled("racer"), "/racer", Access::ReadOnly));
        cell.spec.program.path = "/racer".into();
        cell.spec.program.args = ["10.1.2.3", "198.18.0.2", "1000", "500"]
            .map(str::to_owned)
            .to_vec();
        let outcome = cell.run();
        let counts: Vec<u64> = outcome
            .output
            .split_whitespace()
            .map(|one| one.parse().unwrap())
            .collect();
        assert_eq!(outcome.exit.attempts.len(), 1, "{outcome:?}");
        let attempt = &outcome.exit.attempts[0];
        assert_eq!(
            (attempt.name.as_str(), attempt.refused),
            ("198.18.0.2:1000", enforce)
        );
        assert!(
            counts[0] > 0 && counts[0] + counts[1] + counts[2] == 500,
            "{counts:?}"
        );
        // Each one that was let through is counted, however its address came to the kernel.
        assert!(attempt.count >= counts[1].max(1), "{attempt:?} {counts:?}");
        if enforce {
            assert_eq!(counts[1], 0, "{counts:?}");
        }
    }
}

#[test]
fn a_flood_of_places_and_names_is_bounded_and_hides_nothing_else() {
    if !can("a_flood_of_places_and_names_is_bounded_and_hides_nothing_else") {
        return;
    }
    world();
    // Three thousand addresses without an answer, ports of one, and names; then a single raw socket's worth of news.
    let mut cell = Cell::new(
        "const dgram = require('dgram'), dns = require('dns');
        const s = dgram.createSocket('udp4');
        s.bind(0, async () => {
          for (let n = 0; n < 3000; n++) s.send('x', 9, `203.0.${n >> 8}.${n & 255}`);
          for (let n = 2000; n < 5000; n++) s.send('x', n, '198.18.0.2');
          for (let n = 0; n < 300; n++) await dns.promises.resolve4(`n${n}.example`).catch(() => 0);
          try { require('child_process').execFileSync('/node/bin/nothing') } catch {}
          console.log('done');
          process.exit(0);
        });",
    );
    watching(&mut cell, &["*"], &[], false);
    cell.spec.watch = Some(runtime::spec::Watch {
        enforce: false,
        programs: runtime::spec::Programs::Named(Vec::new()),
        raw_sockets: false,
        words: String::new(),
    });
    let begun = Instant::now();
    let outcome = cell.run();
    assert_eq!(outcome.output, "done\n", "{outcome:?}");
    assert!(begun.elapsed() < Duration::from_secs(20));
    let all = attempts(&outcome.exit);
    // A few dozen of each kind, and what there is more of.
    assert!(all.len() < 48 * 3 + 4, "{}", all.len());
    assert!(
        all.contains(&(Attempted::Execute, "/node/bin/nothing", false)),
        "{all:?}"
    );
    for more in ["more than 48 different names", "more than 48 different places"] {
        assert!(
            all.contains(&(Attempted::Others, more, false)),
            "{more} in {all:?}"
        );
    }
}
