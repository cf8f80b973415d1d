//! server-dpdk over virtual devices: no NIC, no huge page, no privilege. What needs namespaces is
//! in `infra/e2e`.
#![forbid(unsafe_code)]

mod capture;
mod pcap;
mod refusals;

/// The server under test.
const BINARY: &str = env!("CARGO_BIN_EXE_server-dpdk");
/// Where it answers.
const LISTEN: &str = "198.18.0.2:8080";

/// The command line of a server on `device`, with a file prefix of its own.
fn arguments(flags: &[&str], device: &str, name: &str) -> Vec<String> {
    let prefix = format!("server-dpdk-{name}-{}", std::process::id());
    let eal = ["--", "--no-huge", "-m", "64", "--no-pci", "--no-telemetry", "--file-prefix"];
    let all = [&["--listen", LISTEN], flags, &eal, &[prefix.as_str(), "--vdev", device]].concat();
    all.into_iter().map(str::to_owned).collect()
}

fn words(arguments: &[String]) -> Vec<&str> {
    arguments.iter().map(String::as_str).collect()
}
