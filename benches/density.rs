//! Memory of instances: what Redhold's own processes take, what is left after a burst, what many cost together.
//!
//! Run: `cargo bench -p supervisor --bench density`, with `-- --quick` for a look whether it works. As root, because
//! nobody else may look into the first process of a sandbox.

use std::time::Duration;

use test_support::bench::contender::{Contender, Stack};
use test_support::bench::table::{Aim, Table};
use test_support::bench::{asked_for, median, processes};
use test_support::eventually::let_pass;

/// How many run side by side where sharing is measured.
const MANY: usize = 10;

/// How long things are left alone.
struct Times {
    settle: Duration,
    burst: Duration,
    after_burst: Duration,
    together: Duration,
}

fn main() {
    let times = if asked_for("--quick") {
        Times {
            settle: Duration::from_secs(5),
            burst: Duration::from_secs(1),
            after_burst: Duration::from_secs(5),
            together: Duration::from_secs(5),
        }
    } else {
        Times {
            settle: Duration::from_secs(180),
            burst: Duration::from_secs(4),
            after_burst: Duration::from_secs(60),
            together: Duration::from_secs(45),
        }
    };
    let stack = Stack::default_one();
    let mut table = Table::default();
    one(&stack, &times, &mut table);
    many(&stack, &times, &mut table);
    table.print();
}

/// Two of each, at rest and after work.
fn one(stack: &Stack, times: &Times, table: &mut Table) {
    let plain = [Contender::plain(stack), Contender::plain(stack)];
    let ours = [Contender::redhold(), Contender::redhold()];
    for contender in plain.iter().chain(&ours) {
        contender.answers();
    }
    let_pass(times.settle);
    let anonymous = |all: &[Contender]| {
        let each = all.iter().map(|one| processes::memory(&[one.node()]).anonymous);
        median(each.collect())
    };
    custodians(&ours, table);
    let aim = Some(Aim::Share(0.9));
    let name = format!("Node.js after {} s: anonymous", times.settle.as_secs());
    table.compare(&name, "MiB", anonymous(&plain), anonymous(&ours), aim);
    for _ in 0..5 {
        for contender in plain.iter().chain(&ours) {
            contender.burst(times.burst);
        }
    }
    let name = "Node.js right after a burst: anonymous";
    table.compare(name, "MiB", anonymous(&plain), anonymous(&ours), None);
    let_pass(times.after_burst);
    let aim = Some(Aim::Share(0.45));
    let name = format!("Node.js {} s after it: anonymous", times.after_burst.as_secs());
    table.compare(&name, "MiB", anonymous(&plain), anonymous(&ours), aim);
    let name = "requests per second in a burst";
    let rate = |all: &[Contender; 2]| all[0].burst(times.burst) as f64 / times.burst.as_secs_f64();
    table.compare(name, "/s", rate(&plain), rate(&ours), None);
}

/// What Redhold's own processes take beside Node.js.
fn custodians(ours: &[Contender], table: &mut Table) {
    if !ours.iter().all(|one| processes::readable(&one.custodians())) {
        return;
    }
    let sum = |pids: &dyn Fn(&Contender) -> Vec<i32>| {
        median(
            ours.iter()
                .map(|one| processes::memory(&pids(one)).anonymous)
                .collect(),
        )
    };
    let keeper_and_init = sum(&Contender::custodians);
    let front = sum(&|one| vec![one.front()]);
    table.alone(
        "keeper and init: anonymous",
        "MiB",
        keeper_and_init,
        Some(Aim::Most(1.0)),
    );
    table.alone(
        "keeper, init and front: anonymous",
        "MiB",
        keeper_and_init + front,
        Some(Aim::Most(3.0)),
    );
}

/// Ten of ours, then ten plain ones, each with an install of its own.
fn many(stack: &Stack, times: &Times, table: &mut Table) {
    let measure = |all: Vec<Contender>| {
        for contender in &all {
            contender.answers();
        }
        let_pass(times.together);
        let pids: Vec<i32> = all.iter().flat_map(Contender::processes).collect();
        processes::memory(&pids).proportional
    };
    let ours = measure((0..MANY).map(|_| Contender::redhold()).collect());
    let installs = tempfile::tempdir().expect("a folder");
    let plain = (0..MANY)
        .map(|number| {
            let folder = installs.path().join(number.to_string());
            std::fs::create_dir(&folder).expect("a folder");
            Contender::plain(&stack.copy(&folder))
        })
        .collect();
    let plain = measure(plain);
    let name = format!("{MANY} instances with all that belongs to them: proportional");
    table.compare(&name, "MiB", plain, ours, Some(Aim::Share(0.55)));
}
