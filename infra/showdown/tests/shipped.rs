//! Every experiment in the folder is one that the command understands.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// The files of experiments.
fn files() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../experiments");
    let entries = fs::read_dir(folder).expect("the folder of experiments");
    entries.map(|entry| entry.expect("an entry").path()).collect()
}

fn showdown(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_showdown"));
    command.args(arguments).output().expect("it was built")
}

#[test]
fn every_file_in_the_folder_is_understood() {
    let files = files();
    for file in &files {
        // It is read and checked, and then found to ask for no round.
        let file = file.to_str().expect("UTF-8");
        let output = showdown(&["run", file, "--rounds", "0"]);
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success(), "{file}");
        assert!(error.contains("rounds = 0 is not 1 to"), "{file}: {error}");
    }
    assert!(files.len() >= 14, "{} experiments", files.len());
}

#[test]
fn every_file_in_the_folder_comes_with_the_program() {
    let output = showdown(&["list"]);
    let list = String::from_utf8_lossy(&output.stdout);
    for file in files() {
        let name = file.file_stem().and_then(|stem| stem.to_str()).expect("UTF-8");
        assert!(list.lines().any(|line| line.starts_with(&format!("{name} "))), "{name}:\n{list}");
    }
}

#[test]
fn every_experiment_has_a_plan_in_both_its_forms() {
    for file in files() {
        let name = file.file_stem().and_then(|stem| stem.to_str()).expect("UTF-8");
        for form in [&["plan", name][..], &["plan", name, "--quick"][..]] {
            let output = showdown(form);
            let plan = String::from_utf8_lossy(&output.stdout);
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            let servers = plan.matches("\n  server:   ").count();
            assert!(plan.contains(&format!("\n{servers} cells, ")), "{form:?}:\n{plan}");
        }
    }
}
