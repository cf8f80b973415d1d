//! Tells the program which compiler and profile it was built with, for the record of a run, and
//! makes the files of contenders part of it, so that the binary stands alone.

use std::env;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    // Cargo sets both for every build script.
    let rustc = env::var("RUSTC").expect("cargo sets RUSTC");
    let profile = env::var("PROFILE").expect("cargo sets PROFILE");
    let output = Command::new(rustc).arg("--version").output().expect("rustc runs: it built this");
    println!("cargo::rustc-env=BUILD_RUSTC={}", String::from_utf8_lossy(&output.stdout).trim());
    println!("cargo::rustc-env=BUILD_PROFILE={profile}");
    collect_contenders();
}

/// Writes an array of the name and the text of each file in `infra/contenders`, by name.
fn collect_contenders() {
    // Cargo sets both for every build script.
    let manifest = env::var("CARGO_MANIFEST_DIR").expect("cargo sets CARGO_MANIFEST_DIR");
    let out = env::var("OUT_DIR").expect("cargo sets OUT_DIR");
    let folder = Path::new(&manifest).join("../contenders");
    println!("cargo::rerun-if-changed={}", folder.display());
    let entries = fs::read_dir(&folder).expect("infra/contenders is there");
    let paths = entries.map(|entry| entry.expect("a readable entry").path());
    let is_contender = |path: &PathBuf| {
        path.extension().is_some_and(|extension| extension == "toml")
            // The workspace of those that are built lies there, too.
            && path.file_stem().is_some_and(|stem| stem != "Cargo")
    };
    let mut files: Vec<PathBuf> = paths.filter(is_contender).collect();
    files.sort();
    let mut array = String::from("&[\n");
    for file in files {
        println!("cargo::rerun-if-changed={}", file.display());
        let name = file.file_stem().expect("it has one").to_string_lossy();
        // Writing to a String cannot fail.
        let _ = writeln!(array, "    ({name:?}, include_str!({:?})),", file.display().to_string());
    }
    array.push_str("]\n");
    fs::write(Path::new(&out).join("contenders.rs"), array).expect("OUT_DIR can be written");
}
