//! Every experiment in the folder is one that the command understands.

use std::fs;
use std::path::Path;
use std::process::Command;

#[test]
fn every_file_in_the_folder_is_understood() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../experiments");
    let mut count = 0;
    for entry in fs::read_dir(folder).expect("the folder of experiments") {
        let file = entry.expect("an entry").path();
        // It is read and checked, and then found to ask for no round.
        let mut command = Command::new(env!("CARGO_BIN_EXE_showdown"));
        let output = command.arg("run").arg(&file).args(["--rounds", "0"]).output();
        let output = output.expect("it was built");
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success(), "{}", file.display());
        assert!(error.contains("rounds = 0 is not 1 to"), "{}: {error}", file.display());
        count += 1;
    }
    assert!(count >= 3, "{count} experiments");
}
