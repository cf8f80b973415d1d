//! `showdown diagnose` on real runs: each fault that can be provoked here is named first.
//!
//! Which cannot, and why, is in `infra/README.md`.

use crate::experiment::Scratch;
use crate::lab::{PREFIX, Turn, binary, succeeded};
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Two servers, the second with the fault; nothing that the machine does drops a round.
const EXPERIMENT: &str = r#"
question = "Is the fault named?"
hypothesis = "It is, and first."
topology = "veth"
counts = false
rounds = 1
duration_s = 1
warmup_s = 0.1
steal_share_max = 1.0
repeats = 0
budget_s = 60
[disturbed]
foreign_share_max = 1.0
client_delayed_share_max = 1.0
[axes]
transport = ["TRANSPORT"]
connections = [CONNECTIONS]
[[step]]
name = "kernel"
change = "Nothing is wrong."
mode = "epoll"
[[step]]
name = "provoked"
change = "The fault."
mode = "xdp"
tcp = "native"
server_args = [ARGUMENTS]
"#;

/// As `ip`, but whatever brings the server's interface up also defers its interrupts.
const DEFERRING_IP: &str = r#"#!/bin/sh
case "$*" in
  *"link set dev PREFIX-srv0 mtu"*) ;;
  *) exec IP "$@" ;;
esac
IP "$@" || exit
exec IP netns exec PREFIX-server sh -c '
  cd /sys/class/net/PREFIX-srv0 && echo 2 >napi_defer_hard_irqs && echo 200000 >gro_flush_timeout'
"#;

/// What is wrong with a run.
struct Fault<'a> {
    /// Flags of the server, as a list of TOML.
    server_args: &'a str,
    transport: &'a str,
    connections: u32,
    /// Where programs are looked for before all others.
    path: Option<&'a Path>,
}

/// A kernel's client and thirty-two connections, with nothing wrong.
const NONE: Fault<'_> = Fault { server_args: "", transport: "epoll", connections: 32, path: None };

/// The names of the causes of a run with this fault, in their order.
fn causes(name: &str, fault: &Fault<'_>) -> Vec<String> {
    let _turn = Turn::wait();
    let scratch = Scratch::new(name);
    let files = Scratch::new(&format!("{name}-files"));
    let experiment = files.path().join(format!("{name}.toml"));
    let text = EXPERIMENT
        .replace("TRANSPORT", fault.transport)
        .replace("CONNECTIONS", &fault.connections.to_string())
        .replace("ARGUMENTS", fault.server_args);
    fs::write(&experiment, text).expect("a temporary file");
    let mut run = scratch.run(&experiment, &[]);
    if let Some(folder) = fault.path {
        run.env("PATH", before_path(folder));
    }
    succeeded("showdown run", &run.output().expect("it starts"));
    scratch.assert_nothing_is_left();
    let [folder] = &scratch.folders()[..] else { panic!("one run is one folder") };
    let mut diagnose = Command::new(binary("showdown"));
    diagnose.arg("diagnose").arg(folder).stdin(Stdio::null());
    let said = succeeded("showdown diagnose", &diagnose.output().expect("it starts"));
    let numbered = said.lines().filter_map(|line| line.trim_start().split_once(". "));
    let names = numbered.filter(|(number, _)| number.parse::<u32>().is_ok());
    // What the hypervisor takes from the suite is nobody's provocation.
    let names = names.map(|(_, name)| name.to_owned()).filter(|name| name != "steal");
    names.collect()
}

fn before_path(folder: &Path) -> OsString {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = [folder.to_path_buf()].into_iter().chain(std::env::split_paths(&path));
    std::env::join_paths(folders).expect("no folder has a colon in its name")
}

/// Where a program of this name lies.
fn which(name: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let system = ["/usr/sbin", "/sbin"].map(PathBuf::from);
    let places = std::env::split_paths(&path).chain(system).map(|folder| folder.join(name));
    places.into_iter().find(|place| place.is_file()).expect("the suite needs iproute2")
}

#[test]
fn a_busy_client_of_the_kernels_is_named_and_then_what_belongs_to_veth() {
    let causes = causes("client", &NONE);
    assert_eq!(causes[0], "client was the limit", "{causes:?}");
    for place in ["copy mode of veth", "software checksums"] {
        assert!(causes.iter().any(|name| name == place), "{place}: {causes:?}");
    }
}

#[test]
fn the_generic_hook_is_named_first() {
    let fault = Fault { server_args: r#""--attach", "generic""#, ..NONE };
    let causes = causes("generic", &fault);
    assert_eq!(causes[0], "generic attach", "{causes:?}");
}

#[test]
fn frames_that_found_no_room_are_named_first() {
    let server_args = r#""--frames", "256", "--rx-ring", "64""#;
    let fault = Fault { server_args, transport: "xdp", connections: 256, path: None };
    let causes = causes("frames", &fault);
    assert_eq!(causes[0], "frames lost", "{causes:?}");
}

#[test]
fn interrupts_deferred_on_veth_are_named_first() {
    let wrapper = Scratch::new("deferring-ip");
    let program = wrapper.path().join("ip");
    let text = DEFERRING_IP.replace("PREFIX", PREFIX).replace("IP ", &format!("{} ", ip()));
    fs::write(&program, text).expect("a temporary file");
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).expect("it is ours");
    let causes = causes("deferral", &Fault { path: Some(wrapper.path()), ..NONE });
    assert_eq!(causes[0], "interrupt deferral on veth", "{causes:?}");
}

fn ip() -> String {
    which("ip").into_os_string().into_string().expect("UTF-8")
}

/// What would be named a shared core is refused before anything is measured.
#[test]
fn one_cpu_for_both_is_refused() {
    let _turn = Turn::wait();
    let scratch = Scratch::new("one-cpu");
    let mut command = Command::new("taskset");
    command.args(["-c", "0"]).arg(binary("showdown")).args(["run", "quick", "--out"]);
    let output = command.arg(scratch.path()).stdin(Stdio::null()).output().expect("util-linux");
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{error}");
    assert!(error.contains("only 1 CPU may be used"), "{error}");
    assert!(error.contains("allow more with taskset"), "{error}");
}
