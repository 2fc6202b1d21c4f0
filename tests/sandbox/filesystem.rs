//! What a program sees of the files of the host: nothing that its spec does not name.

use crate::support::Cell;

#[test]
fn a_program_runs_behind_all_walls() {
    let cell =
        Cell::new("console.log(process.getuid(), process.pid, process.cwd(), require('os').hostname())");
    assert_eq!(cell.run().ok(), "1000 2 /data cell\n");
}
