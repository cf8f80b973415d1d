//! Tells the program which compiler and profile it was built with, for the record of a run.

use std::env;
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    // Cargo sets both for every build script.
    let rustc = env::var("RUSTC").expect("cargo sets RUSTC");
    let profile = env::var("PROFILE").expect("cargo sets PROFILE");
    let output = Command::new(rustc).arg("--version").output().expect("rustc runs: it built this");
    println!("cargo::rustc-env=BUILD_RUSTC={}", String::from_utf8_lossy(&output.stdout).trim());
    println!("cargo::rustc-env=BUILD_PROFILE={profile}");
}
