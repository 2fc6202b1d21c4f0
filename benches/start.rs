//! Time and processor time from execution to a flow that answers: `redhold dev` beside plain Node-RED, in turns.
//!
//! Run: `cargo bench -p supervisor --bench start`, with `-- --quick` for a look whether it works.

use test_support::bench::contender::{Contender, Stack};
use test_support::bench::table::{Aim, Table};
use test_support::bench::{asked_for, median, processes};

fn main() {
    let rounds = if asked_for("--quick") { 2 } else { 11 };
    let stack = Stack::default_one();
    let mut table = Table::default();
    // The first start of a data directory compiles Node-RED for all later ones; the first of all reads from disk.
    let cold = tempfile::tempdir().expect("a folder");
    lend(&cold);
    let first = measure(Contender::redhold_in(cold.path()));
    let _ = measure(Contender::redhold());
    let _ = measure(Contender::plain(&stack));
    let mut plain = Vec::new();
    let mut ours = Vec::new();
    for _ in 0..rounds {
        plain.push(measure(Contender::plain(&stack)));
        ours.push(measure(Contender::redhold()));
    }
    let wall = |runs: &[Run]| median(runs.iter().map(|run| run.wall).collect());
    let processor = |runs: &[Run]| median(runs.iter().map(|run| run.processor).collect());
    let aim = Some(Aim::Share(0.70));
    table.compare("start: wall time", "s", wall(&plain), wall(&ours), aim);
    table.compare(
        "start: processor time",
        "s",
        processor(&plain),
        processor(&ours),
        aim,
    );
    table.alone(
        "first start, without compile cache: wall time",
        "s",
        first.wall,
        None,
    );
    table.print();
}

/// One start.
struct Run {
    wall: f64,
    processor: f64,
}

fn measure(contender: Contender) -> Run {
    let wall = contender.answers();
    let processor = processes::processor_seconds(&contender.processes());
    drop(contender);
    Run { wall, processor }
}

/// Gives a data directory the stack of the shared one, without what was compiled.
fn lend(to: &tempfile::TempDir) {
    for bucket in ["node-v1", "stacks-v1"] {
        let from = test_support::data::shared().join(bucket);
        let copied = std::process::Command::new("cp")
            .arg("-r")
            .args([from.as_path(), to.path()])
            .status()
            .expect("cp");
        assert!(copied.success(), "cannot copy {}", from.display());
    }
}
