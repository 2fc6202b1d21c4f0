//! Control groups v2 on a machine that has v1: the limits tests again, in a guest kernel, which runs this very test
//! binary.

use std::time::Duration;

use test_support::guest::Kernel;

/// From power on to power off. A guest takes from 20 to 240 seconds, by how the machine below it deals with a kernel
/// that is a program.
const PATIENCE: Duration = Duration::from_secs(600);

#[test]
fn cgroup_v2_in_a_guest_kernel() {
    let Some(kernel) = Kernel::find("cgroup_v2_in_a_guest_kernel") else {
        return;
    };
    let said = kernel.boot(&script(), 768, &[]).ends(PATIENCE);
    for part in ["root", "delegated"] {
        assert!(said.contains(&format!("RESULT {part}=0")), "as {part}:\n{said}");
    }
    // Both runs must have had tests to run.
    assert_eq!(said.matches("test result: ok.").count(), 2, "{said}");
    assert!(!said.contains(" 0 passed"), "{said}");
}

/// First process of the guest. The second run is what systemd's `Delegate=yes` gives to a user, by hand: a group of
/// its own with the three files that delegation hands over (cgroup-v2.rst, "Model of Delegation").
fn script() -> String {
    let test = std::env::current_exe().expect("the path of this test");
    let test = test.display();
    let node = crate::support::node();
    let node = node.display();
    format!(
        r#"export REDHOLD_TEST_NODE='{node}' REDHOLD_TEST_PATIENCE=5
'{test}' limits:: groups:: --test-threads=1 --color never
echo "RESULT root=$?"
delegated=/sys/fs/cgroup/delegated
echo '+memory +cpu +pids +io' > /sys/fs/cgroup/cgroup.subtree_control
mkdir $delegated
chown 5000 $delegated $delegated/cgroup.procs $delegated/cgroup.threads $delegated/cgroup.subtree_control
echo $$ > $delegated/cgroup.procs
export REDHOLD_TEST_DELEGATED=1
setpriv --reuid 5000 --regid 5000 --clear-groups '{test}' limits:: groups:: --test-threads=1 --color never
echo "RESULT delegated=$?"
"#
    )
}
