//! Starters come and go, by any signal and at any moment; what they started is found again, or proven gone.

use std::fs;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nix::sys::signal::{SIGKILL, kill};
use nix::unistd::Pid;
use runtime::process::{Adopted, Descriptors, Lost, adopt, spawn};
use runtime::record::RunRecord;
use test_support::eventually::{eventually, let_pass};

use crate::support::{Cell, everywhere, ours, process_is};

const PATIENCE: Duration = Duration::from_secs(20);
const SPEC: &str = "REDHOLD_TEST_STARTER";

/// Not a test: the process that the tests below kill. It starts what it is told to and waits for its own end.
#[test]
fn starter() {
    let Some(path) = std::env::var_os(SPEC) else {
        return;
    };
    let spec = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    let _running = spawn(test_support::redhold!(), &spec, Descriptors::default()).unwrap();
    loop {
        std::thread::park();
    }
}

fn start_by_another(cell: &Cell) -> Child {
    let path = cell.path().join("spec.json");
    fs::write(&path, serde_json::to_vec(&cell.spec).unwrap()).unwrap();
    Command::new(std::env::current_exe().unwrap())
        .args(["adoption::starter", "--exact"])
        .env(SPEC, path)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()
        .unwrap()
}

fn lost(cell: &Cell) -> Lost {
    match adopt(&cell.spec.run_dir).unwrap() {
        Adopted::Lost(lost) => lost,
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_instance_outlives_its_starter_and_is_adopted() {
    everywhere(|| {
        let cell = Cell::new(
            "let n = 0; setInterval(() => console.log('line', n++), 20); process.on('SIGTERM', () => process.exit(6))",
        );
        let mut starter = start_by_another(&cell);
        eventually("the instance writes", PATIENCE, || {
            if cell.log().contains("line 1") {
                Ok(())
            } else {
                Err(cell.log())
            }
        });
        // The whole process group, as a terminal or a service manager would.
        kill(Pid::from_raw(-i32::try_from(starter.id()).unwrap()), SIGKILL).unwrap();
        starter.wait().unwrap();
        let Adopted::Alive(running) = adopt(&cell.spec.run_dir).unwrap() else {
            panic!("{:?}", adopt(&cell.spec.run_dir));
        };
        assert_eq!(running.record().spec_digest, cell.spec.digest());
        let before = cell.log().lines().count();
        eventually("the instance goes on writing", PATIENCE, || {
            if cell.log().lines().count() > before + 2 {
                Ok(())
            } else {
                Err(before)
            }
        });
        running.stop(PATIENCE).unwrap();
        assert_eq!(cell.end(&running).exit.code, Some(6));
        match adopt(&cell.spec.run_dir).unwrap() {
            Adopted::Ended(exit) => assert_eq!((exit.code, exit.stopping), (Some(6), true)),
            other => panic!("{other:?}"),
        }
        running.forget().unwrap();
        assert!(matches!(adopt(&cell.spec.run_dir).unwrap(), Adopted::Nothing));
    });
}

#[test]
fn a_starter_killed_at_any_moment_leaves_a_whole_instance_or_none() {
    everywhere(|| {
        for delay in 0..12 {
            let cell = Cell::new("setInterval(() => 0, 1000)");
            let mut starter = start_by_another(&cell);
            let_pass(Duration::from_millis(delay * 3));
            kill(Pid::from_raw(-i32::try_from(starter.id()).unwrap()), SIGKILL).unwrap();
            starter.wait().unwrap();
            let keepers = || ours(cell.spec.id.as_str());
            // Whatever was under way gets done or undone; then there is an instance, or there is nothing.
            let adopted = eventually("it is one or the other", PATIENCE, || {
                match adopt(&cell.spec.run_dir).unwrap() {
                    Adopted::Alive(running) => running
                        .status()
                        .map(|_| Some(running))
                        .map_err(|error| error.to_string()),
                    Adopted::Nothing if keepers().is_empty() => Ok(None),
                    other => Err(format!("{other:?}")),
                }
            });
            if let Some(running) = adopted {
                running.kill().unwrap();
                assert_eq!(running.wait().unwrap().signal, Some(9));
            }
        }
    });
}

#[test]
fn a_lost_keeper_is_told_from_a_lost_instance() {
    everywhere(|| {
        let cell = Cell::new(
            "setInterval(() => require('fs').writeFileSync('/data/alive', String(Date.now())), 20)",
        );
        let running = cell.start().unwrap();
        let keeper = running.record().keeper;
        kill(Pid::from_raw(keeper.pid), SIGKILL).unwrap();
        eventually("the keeper is gone", PATIENCE, || {
            if process_is(&keeper) {
                Err(keeper.pid)
            } else {
                Ok(())
            }
        });
        let found = lost(&cell);
        assert!(found.is_running(), "the instance died with its keeper");
        let alive = cell.data().join("alive");
        let _ = fs::remove_file(&alive);
        eventually("the instance works without a keeper", PATIENCE, || {
            fs::metadata(&alive).map(drop)
        });
        assert!(running.wait().is_err(), "nobody knows how it will end");
        let (init, groups) = (running.record().init, running.record().cgroups.clone());
        found.clean_up().unwrap();
        eventually("the instance is gone", PATIENCE, || {
            if process_is(&init) { Err(init.pid) } else { Ok(()) }
        });
        for group in groups {
            assert!(!std::path::Path::new(&group).exists(), "{group} is left");
        }
        assert!(matches!(adopt(&cell.spec.run_dir).unwrap(), Adopted::Nothing));

        // Both gone: nobody will ever know why, but that it is gone is certain.
        let running = cell.start().unwrap();
        for process in [running.record().keeper, running.record().init] {
            kill(Pid::from_raw(process.pid), SIGKILL).unwrap();
            eventually("it is gone", PATIENCE, || {
                if process_is(&process) {
                    Err(process.pid)
                } else {
                    Ok(())
                }
            });
        }
        assert!(!lost(&cell).is_running());
        lost(&cell).clean_up().unwrap();
    });
}

#[test]
fn a_process_that_got_the_number_is_not_taken_for_the_instance() {
    everywhere(|| {
        let cell = Cell::new("");
        let running = cell.start().unwrap();
        cell.end(&running).ok();
        let record = running.record().clone();
        running.forget().unwrap();
        let mut innocent = Command::new("sleep").arg("1000").spawn().unwrap();
        let pid = i32::try_from(innocent.id()).unwrap();
        let pretend = |change: &dyn Fn(&mut RunRecord)| {
            let mut record = record.clone();
            record.keeper.pid = pid;
            record.init.pid = pid;
            change(&mut record);
            fs::write(
                cell.spec.run_dir.join("run.json"),
                serde_json::to_vec(&record).unwrap(),
            )
            .unwrap();
            let found = lost(&cell);
            assert!(!found.is_running());
            found.clean_up().unwrap();
        };
        // Another start time; or the same one in another life of the machine.
        pretend(&|_| ());
        let ticks = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
        let ticks: u64 = ticks
            .rsplit_once(") ")
            .unwrap()
            .1
            .split(' ')
            .nth(19)
            .unwrap()
            .parse()
            .unwrap();
        pretend(&|record| {
            record.init.start_ticks = ticks;
            record.boot_id = "another boot".into();
        });
        assert!(
            innocent.try_wait().unwrap().is_none(),
            "an innocent process was killed"
        );
        innocent.kill().unwrap();
        innocent.wait().unwrap();
    });
}

#[test]
fn another_process_on_the_control_socket_is_not_taken_for_the_keeper() {
    everywhere(|| {
        let cell = Cell::new("");
        let running = cell.start().unwrap();
        cell.end(&running).ok();
        fs::remove_file(cell.spec.run_dir.join("exit.json")).unwrap();
        let _impostor =
            std::os::unix::net::UnixListener::bind(cell.spec.run_dir.join("control.sock")).unwrap();
        assert!(!lost(&cell).is_running());
        assert!(running.status().is_err());
    });
}

#[test]
fn a_torn_record_is_an_error_with_its_name() {
    let cell = Cell::new("");
    fs::write(cell.spec.run_dir.join("run.json"), b"{\"id\":").unwrap();
    let error = adopt(&cell.spec.run_dir).unwrap_err();
    assert!(error.to_string().contains("run.json"), "{error}");
    fs::remove_file(cell.spec.run_dir.join("run.json")).unwrap();
}
