//! What the machine is and how it is set, read from `/proc`, `/sys` and the tools that set it.

use crate::experiment;
use crate::programs::{Place, Programs};
use crate::topology::Names;
use anyhow::{Context, Result, ensure};
use record::{Environment, Git, Network, NetworkEnd};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

/// Sysctls that decide about a measurement, by their path under `/proc/sys`; a kernel that lacks
/// one has no value for it.
const SYSCTLS: [&str; 14] = [
    "net/core/netdev_budget",
    "net/core/netdev_max_backlog",
    "net/core/rmem_max",
    "net/core/somaxconn",
    "net/core/txrehash",
    "net/core/wmem_max",
    "net/ipv4/ip_local_port_range",
    "net/ipv4/tcp_congestion_control",
    "net/ipv4/tcp_max_syn_backlog",
    "net/ipv4/tcp_rmem",
    "net/ipv4/tcp_timestamps",
    "net/ipv4/tcp_tw_reuse",
    "net/ipv4/tcp_wmem",
    "net/ipv6/conf/all/disable_ipv6",
];

/// Prints `KEY:VALUE` for each argument that this kernel has.
const SHOW_SYSCTLS: &str =
    r#"for key; do f=/proc/sys/$key; [ ! -e "$f" ] || echo "$key:$(cat "$f")"; done"#;

/// Prints `PATH:VALUE` for the settings of the interface in its argument, and how many queues it
/// has. A device may have a setting and refuse to say its value, which is then not recorded.
const SHOW_KNOBS: &str = r#"cd "/sys/class/net/$1" || exit
for f in mtu tx_queue_len threaded napi_defer_hard_irqs gro_flush_timeout \
  queues/rx-*/rps_cpus queues/tx-*/xps_cpus; do
  [ ! -e "$f" ] || { value=$(cat "$f" 2>/dev/null) && echo "$f:$value"; }
done
for way in rx tx; do set -- queues/$way-*; echo "${way}_queues:$#"; done"#;

/// Reads everything. `binaries_sha256` comes from [`Programs::sha256`].
///
/// # Errors
/// Where a file that every Linux has cannot be read, or where `ip` or `ethtool` fail.
pub(crate) fn read(
    programs: &Programs,
    binaries_sha256: BTreeMap<String, String>,
) -> Result<Environment> {
    let network = network(&programs.network)?;
    let cpus = (programs.server_cpu, programs.client_cpu);
    of_machine(&programs.folder, cpus, network, binaries_sha256)
}

/// Reads everything of one of two hosts: where the programs lie, their CPU, and the interface that
/// leads to the other.
///
/// # Errors
/// As [`read`].
pub(crate) fn of_end(
    folder: &Path,
    cpu: usize,
    interface: &str,
    binaries_sha256: BTreeMap<String, String>,
) -> Result<Environment> {
    let ends = vec![network_end("", interface)?];
    let network = Network { topology: experiment::Network::Hosts.name().to_owned(), ends };
    of_machine(folder, (cpu, cpu), network, binaries_sha256)
}

fn of_machine(
    folder: &Path,
    (server_cpu, client_cpu): (usize, usize),
    network: Network,
    binaries_sha256: BTreeMap<String, String>,
) -> Result<Environment> {
    let cpuinfo = must_read("/proc/cpuinfo")?;
    let of_server_cpu = format!("/sys/devices/system/cpu/cpu{server_cpu}");
    Ok(Environment {
        command_line: std::env::args().collect(),
        showdown_version: env!("CARGO_PKG_VERSION").to_owned(),
        rustc_version: env!("BUILD_RUSTC").to_owned(),
        build_profile: env!("BUILD_PROFILE").to_owned(),
        git: git(folder),
        binaries_sha256,
        distribution: fs::read_to_string("/etc/os-release")
            .ok()
            .and_then(|text| quoted_value(&text, "PRETTY_NAME")),
        kernel_release: must_read("/proc/sys/kernel/osrelease")?,
        kernel_version: must_read("/proc/sys/kernel/version")?,
        kernel_command_line: kernel_parameters(&must_read("/proc/cmdline")?),
        cpu_model: cpuinfo_value(&cpuinfo, "model name"),
        cpus_online: must_read("/sys/devices/system/cpu/online")?,
        virtual_machine: cpuinfo_value(&cpuinfo, "flags")
            .is_some_and(|flags| flags.split(' ').any(|flag| flag == "hypervisor")),
        server_cpu_siblings: may_read(&format!("{of_server_cpu}/topology/thread_siblings_list")),
        server_cpu,
        client_cpu,
        // What the experiment asks for decides.
        cpu_roles: BTreeMap::new(),
        governor: may_read(&format!("{of_server_cpu}/cpufreq/scaling_governor")),
        clock_source: may_read("/sys/devices/system/clocksource/clocksource0/current_clocksource"),
        memory_bytes: memory_bytes(&must_read("/proc/meminfo")?),
        mitigations: mitigations(),
        network,
        client_machine: None,
    })
}

/// The CPUs that this process may use, in ascending order.
///
/// # Errors
/// Where `/proc/self/status` is not as proc(5) says.
pub(crate) fn allowed_cpus() -> Result<Vec<usize>> {
    let status = must_read("/proc/self/status")?;
    let list = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"));
    list.and_then(|list| parse_cpu_list(list.trim()))
        .context("/proc/self/status has no list of the CPUs that are allowed")
}

/// Reads a list as the kernel writes it: `0-1,4`.
pub(crate) fn parse_cpu_list(list: &str) -> Option<Vec<usize>> {
    let mut cpus = Vec::new();
    for part in list.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        cpus.extend(first.parse().ok()?..=last.parse::<usize>().ok()?);
    }
    Some(cpus)
}

fn must_read(path: &str) -> Result<String> {
    let text = fs::read_to_string(path).with_context(|| format!("{path} cannot be read"))?;
    Ok(text.trim().to_owned())
}

/// A kernel's command line without what says nothing about its speed: where it boots from, and
/// what it passes on, behind `--`, to the first process.
fn kernel_parameters(command_line: &str) -> String {
    const OF_BOOT: [&str; 6] = ["BOOT_IMAGE", "console", "init", "initrd", "rdinit", "root"];
    let of_boot = |word: &&str| OF_BOOT.contains(&word.split('=').next().unwrap_or_default());
    let words = command_line.split_whitespace().take_while(|word| *word != "--");
    words.filter(|word| !of_boot(word)).collect::<Vec<_>>().join(" ")
}

/// What a machine does not have is absent from its record, not an error.
fn may_read(path: &str) -> Option<String> {
    fs::read_to_string(path).ok().map(|text| text.trim().to_owned())
}

/// The first `key : value` of `/proc/cpuinfo`.
fn cpuinfo_value(text: &str, key: &str) -> Option<String> {
    let pairs = text.lines().filter_map(|line| line.split_once(':'));
    let mut values = pairs.filter(|(name, _)| name.trim() == key);
    values.next().map(|(_, value)| value.trim().to_owned())
}

/// `KEY="value"` as in os-release(5).
fn quoted_value(text: &str, key: &str) -> Option<String> {
    let mut pairs = text.lines().filter_map(|line| line.split_once('='));
    let (_, value) = pairs.find(|(name, _)| *name == key)?;
    Some(value.trim_matches('"').to_owned())
}

/// `MemTotal:  1234 kB`, in bytes.
fn memory_bytes(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

fn mitigations() -> BTreeMap<String, String> {
    let folder = "/sys/devices/system/cpu/vulnerabilities";
    let Ok(entries) = fs::read_dir(folder) else { return BTreeMap::new() };
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    names.filter_map(|name| Some((name.clone(), may_read(&format!("{folder}/{name}"))?))).collect()
}

/// The checkout that the binaries lie in; none where git is not there or does not know it.
pub(crate) fn git(folder: &Path) -> Option<Git> {
    let git = |arguments: &[&str]| {
        let mut command = Command::new("git");
        // Reading is harmless, whoever owns the checkout.
        command.args(["-c", "safe.directory=*", "-C"]).arg(folder).args(arguments);
        let output = command.output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let commit = git(&["rev-parse", "HEAD"])?;
    // The root of the checkout, because status shows only what lies below the current folder.
    let root = git(&["rev-parse", "--show-toplevel"])?;
    let dirty = !git(&["-C", &root, "status", "--porcelain"])?.is_empty();
    Some(Git { commit, dirty })
}

fn network(place: &Place) -> Result<Network> {
    let ends = match place {
        Place::Loopback(_) => vec![loopback_end()],
        // They say it themselves.
        Place::Hosts(_) => Vec::new(),
        Place::Veth(Names {
            server_namespace,
            client_namespace,
            server_interface,
            client_interface,
            ..
        }) => vec![
            network_end(server_namespace, server_interface)?,
            network_end(client_namespace, client_interface)?,
        ],
    };
    Ok(Network { topology: place.network().name().to_owned(), ends })
}

/// Loopback in the namespace of this process; read without `ip`, which may not be installed.
fn loopback_end() -> NetworkEnd {
    let value = |key: &str| may_read(&format!("/proc/sys/{key}"));
    let sysctls = SYSCTLS.iter().filter_map(|key| Some(((*key).to_owned(), value(key)?)));
    NetworkEnd {
        namespace: String::new(),
        interface: "lo".to_owned(),
        addresses: String::new(),
        offloads: BTreeMap::new(),
        sysctls: sysctls.map(|(key, value)| (key, value.replace('\t', " "))).collect(),
        knobs: BTreeMap::new(),
    }
}

fn network_end(namespace: &str, interface: &str) -> Result<NetworkEnd> {
    let inside = |arguments: &[&str]| match (namespace, arguments) {
        ("", [program, arguments @ ..]) => output(program, arguments),
        _ => output("ip", &[&["netns", "exec", namespace], arguments].concat()),
    };
    let mut show = vec!["sh", "-c", SHOW_SYSCTLS, "sh"];
    show.extend(SYSCTLS);
    Ok(NetworkEnd {
        namespace: namespace.to_owned(),
        interface: interface.to_owned(),
        addresses: inside(&["ip", "address", "show", "dev", interface])?,
        offloads: parse_offloads(&inside(&["ethtool", "-k", interface])?),
        sysctls: parse_sysctls(&inside(&show)?),
        knobs: parse_sysctls(&inside(&["sh", "-c", SHOW_KNOBS, "sh", interface])?),
    })
}

/// `feature: on [fixed]` of `ethtool -k`, indented or not, after a line of title.
fn parse_offloads(text: &str) -> BTreeMap<String, String> {
    let pairs = text.lines().filter_map(|line| line.split_once(": "));
    pairs.map(|(name, value)| (name.trim().to_owned(), value.trim().to_owned())).collect()
}

/// A path and its value on each line, `net/core/somaxconn:4096`; several numbers are separated by
/// tabs.
fn parse_sysctls(text: &str) -> BTreeMap<String, String> {
    let pairs = text.lines().filter_map(|line| line.split_once(':'));
    pairs.map(|(key, value)| (key.to_owned(), value.replace('\t', " "))).collect()
}

/// Standard output of a command that must succeed.
fn output(program: &str, arguments: &[&str]) -> Result<String> {
    let command = || format!("{program} {}", arguments.join(" "));
    let output = Command::new(program)
        .args(arguments)
        .output()
        .with_context(|| format!("cannot be started: {}", command()))?;
    ensure!(
        output.status.success(),
        "failed: {}\n{}",
        command(),
        String::from_utf8_lossy(&output.stderr).trim()
    );
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_cpus_are_read_as_the_kernel_writes_them() {
        assert_eq!(parse_cpu_list("0"), Some(vec![0]));
        assert_eq!(parse_cpu_list("0-2,5"), Some(vec![0, 1, 2, 5]));
        assert_eq!(parse_cpu_list(""), None);
        assert_eq!(parse_cpu_list("a-b"), None);
        assert!(!allowed_cpus().unwrap().is_empty());
    }

    #[test]
    fn of_the_kernels_command_line_what_may_matter_is_kept() {
        let line = "BOOT_IMAGE=/vmlinuz root=UUID=1 ro isolcpus=2 console=ttyS0 nosmt -- single";
        assert_eq!(kernel_parameters(line), "ro isolcpus=2 nosmt");
    }

    #[test]
    fn values_are_found_by_their_key() {
        let cpuinfo = "processor\t: 0\nmodel name\t: Fast CPU @ 3 GHz\nflags\t\t: fpu hypervisor\n";
        assert_eq!(cpuinfo_value(cpuinfo, "model name").as_deref(), Some("Fast CPU @ 3 GHz"));
        assert_eq!(cpuinfo_value(cpuinfo, "microcode"), None);
        let release = "ID=debian\nPRETTY_NAME=\"Debian GNU/Linux 12\"\n";
        assert_eq!(quoted_value(release, "PRETTY_NAME").as_deref(), Some("Debian GNU/Linux 12"));
        assert_eq!(memory_bytes("MemFree: 1 kB\nMemTotal:       16 kB\n"), Some(16_384));
        assert_eq!(memory_bytes(""), None);
    }

    #[test]
    fn offloads_and_sysctls_become_maps() {
        let text = "Features for sd-srv0:\nrx-checksumming: on\n\ttx-checksum-ipv4: off [fixed]\n";
        let offloads = parse_offloads(text);
        assert_eq!(offloads.len(), 2, "{offloads:?}");
        assert_eq!(offloads["tx-checksum-ipv4"], "off [fixed]");
        let sysctls = parse_sysctls("net/ipv4/tcp_rmem:4096\t131072\t6291456\n");
        assert_eq!(sysctls["net/ipv4/tcp_rmem"], "4096 131072 6291456");
    }
}
