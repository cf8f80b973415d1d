//! The commands in README.md do what it says.
//!
//! A block is tested where an HTML comment `<!-- e2e: NAME -->` stands before it. What is changed
//! before it runs: the prefix of namespaces, the folder of binaries, and how long a load lasts.

use crate::lab::{Lab, PREFIX, binary, root, succeeded};
use crate::mode::{MODES, Mode};
use server_testing::Server;
use std::path::Path;
use std::process::{Command, Stdio};

/// The shell block of README.md with this name, made ready for the suite's own topology.
fn block(name: &str) -> String {
    let readme = std::fs::read_to_string(root().join("README.md")).expect("it is there");
    let marked = readme.split_once(&format!("<!-- e2e: {name} -->\n```bash\n"));
    let (_, rest) = marked.unwrap_or_else(|| panic!("README.md has no block `{name}`"));
    let (code, _) = rest.split_once("```").expect("a block ends");
    let folder = binary("loadgen").replace("/loadgen", "");
    code.replace("target/release", &folder)
        .replace(" sd-", &format!(" {PREFIX}-"))
        .replace("-d5", "-d1")
}

pub(crate) fn by_hand_commands_work(mode: Mode) {
    let lab = Lab::new();
    let line = block(&format!("by-hand-server {}", mode.name));
    let cpu = crate::lab::cpus().saturating_sub(1);
    let line = line.trim().replace("--cpus 1", &format!("--cpus {cpu}"));
    let words: Vec<&str> = line.split_whitespace().collect();
    let server = Server::start(words[0], &words[1..]);
    assert_eq!(server.ready["mode"], mode.name);

    let address = mode.listen;
    let client = block("by-hand-client").replace("198.18.0.1:8080", address);
    let text = shell(&client);
    assert!(text.contains("HTTP/1.1 200 OK"), "{text}");
    assert!(text.contains(r#"{"message":"Hello, World!"}"#), "{text}");
    // wrk and loadgen print the same lines.
    for line in ["Running 1s test @ http://", "  Latency Distribution", "Requests/sec:"] {
        assert_eq!(text.matches(line).count(), 2, "`{line}` in:\n{text}");
    }
    server.stop();
    drop(lab);
}

#[test]
fn by_hand_on_loopback_works() {
    // The client's namespace has a loopback of its own, where port 8080 is free.
    let _lab = Lab::new();
    let text = shell(&block("by-hand-loopback"));
    assert!(text.contains("Hello, World!"), "{text}");
}

#[test]
fn by_hand_over_shared_memory_works() {
    let _lab = Lab::new();
    let socket = std::env::temp_dir().join(format!("showdown-readme-{}.sock", std::process::id()));
    let commands = block("by-hand-memif").replace("/tmp/showdown.sock", &socket.to_string_lossy());
    let cpu = crate::lab::cpus().saturating_sub(1);
    let text = shell(&commands.replace("--cpus 1", &format!("--cpus {cpu}")));
    assert!(text.contains("Requests/sec:"), "{text}");
    assert!(!text.contains("Socket errors"), "{text}");
}

#[test]
fn by_hand_set_up_and_tear_down_are_what_the_script_offers() {
    let setup = block("by-hand-setup");
    assert!(setup.contains("cargo build --release\n"), "{setup}");
    // The topology that they bring up is the users' own, so that only a dry run is made here.
    for (block, verb) in [(setup, "up"), (block("by-hand-teardown"), "down")] {
        let command = format!("infra/scripts/topology.sh {verb}");
        assert!(block.lines().any(|line| line == command), "{block}");
        shell(&format!("{command} --dry-run"));
    }
}

#[test]
fn run_sh_builds_all_that_an_experiment_starts() {
    let script = std::fs::read_to_string(root().join("infra/run.sh")).expect("it is there");
    // memif-tap is one of the programs of queue-memif.
    let others = ["showdown", "loadgen", "conformance", "floor", "queue-memif"];
    let servers = MODES.map(|mode| format!("server-{}", mode.name));
    for package in servers.iter().map(String::as_str).chain(others) {
        let built = script
            .split("--package ")
            .skip(1)
            .any(|rest| rest.split_whitespace().next().is_some_and(|name| name == package));
        assert!(built, "infra/run.sh does not build {package}");
    }
}

#[test]
fn links_between_documents_lead_somewhere() {
    for document in ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md"] {
        let text = std::fs::read_to_string(root().join(document)).expect("it is there");
        for rest in text.split("](").skip(1) {
            let target = rest.split(')').next().expect("a link ends");
            let path = target.split('#').next().unwrap_or(target);
            let elsewhere = path.contains("://") || path.is_empty();
            assert!(elsewhere || root().join(Path::new(path)).exists(), "{document}: {target}");
        }
    }
}

/// Runs shell commands from the root of the tree; the first that fails fails the test.
fn shell(commands: &str) -> String {
    let mut bash = Command::new("bash");
    bash.args(["-euo", "pipefail", "-c", commands]).current_dir(root()).stdin(Stdio::null());
    succeeded(commands, &bash.output().expect("bash is there"))
}
