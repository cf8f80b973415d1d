//! Compiles the shim against the DPDK that pkg-config finds, and links that one.
//!
//! The flags are taken from the tool itself: headers of DPDK do not compile without the
//! `-include rte_config.h` and `-march` among them, which wrappers of the tool leave out.

use std::process::{Command, ExitCode};

/// Oldest release that the shim is written for.
const OLDEST: &str = "22.11";
/// What the shim calls. Drivers of devices are loaded by EAL, from its folder of plug-ins.
const LIBRARIES: [&str; 4] = ["rte_ethdev", "rte_mbuf", "rte_mempool", "rte_eal"];
const SHIM: &str = "src/sys/shim.c";

fn main() -> ExitCode {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed={SHIM}");
    println!("cargo::rerun-if-env-changed=PKG_CONFIG_PATH");
    match build() {
        Ok(()) => ExitCode::SUCCESS,
        Err(sentence) => {
            eprintln!("queue-dpdk: {sentence}");
            ExitCode::FAILURE
        }
    }
}

fn build() -> Result<(), String> {
    pkg_config(&["--atleast-version", OLDEST])?;
    let mut shim = cc::Build::new();
    shim.file(SHIM).warnings(true).extra_warnings(true);
    for flag in pkg_config(&["--cflags"])?.split_whitespace() {
        // Headers that are not ours do not warn.
        match flag.strip_prefix("-I") {
            Some(folder) => shim.flag(format!("-isystem{folder}")),
            None => shim.flag(flag),
        };
    }
    shim.try_compile("dpdk_shim").map_err(|error| format!("the C shim: {error}"))?;
    for flag in pkg_config(&["--libs-only-L"])?.split_whitespace() {
        if let Some(folder) = flag.strip_prefix("-L") {
            println!("cargo::rustc-link-search=native={folder}");
        }
    }
    for library in LIBRARIES {
        println!("cargo::rustc-link-lib=dylib={library}");
    }
    Ok(())
}

fn pkg_config(arguments: &[&str]) -> Result<String, String> {
    let cure = "as root: apt-get install --no-install-recommends libdpdk-dev pkg-config gcc";
    let output = Command::new("pkg-config").args(arguments).arg("libdpdk").output();
    let output = output.map_err(|error| format!("cannot run pkg-config ({error}); {cure}"))?;
    if !output.status.success() {
        let why = String::from_utf8_lossy(&output.stderr);
        let why = why.trim();
        return Err(format!("no DPDK {OLDEST} or later, says pkg-config: {why}; {cure}"));
    }
    String::from_utf8(output.stdout).map_err(|_| "pkg-config printed no UTF-8".to_owned())
}
