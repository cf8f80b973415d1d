//! Limits of this process, and whether the local topology can be built.

use super::{Row, Verdict};
use crate::machine::{Capability, Machine};

/// Open files that the largest shipped experiment wants, at each end.
const OPEN_FILES_MIN: u64 = 12_000;
/// Memory that may be locked, in bytes: rings and frames of one AF_XDP queue.
const MEMLOCK_BYTES_MIN: u64 = 64 << 20;
/// Threads and processes of this user.
const THREADS_MIN: u64 = 1024;

pub(super) fn rows(machine: &Machine) -> Vec<Row> {
    let mut rows = vec![
        limit(machine, "open files", "Max open files", OPEN_FILES_MIN, "-n"),
        limit(machine, "threads", "Max processes", THREADS_MIN, "-u"),
        memlock(machine),
    ];
    rows.extend([namespaces(machine), nftables(machine), tap(machine)]);
    rows
}

/// The soft limit of `/proc/self/limits`; `u64::MAX` where there is none.
pub(super) fn soft_limit(machine: &Machine, name: &str) -> Option<u64> {
    let limits = machine.read("/proc/self/limits")?;
    let line = limits.lines().find_map(|line| line.strip_prefix(name))?;
    let value = line.split_whitespace().next()?;
    if value == "unlimited" { Some(u64::MAX) } else { value.parse().ok() }
}

fn limit(machine: &Machine, name: &str, key: &str, least: u64, flag: &str) -> Row {
    match soft_limit(machine, key) {
        None => Row::of(Verdict::Unknown, name, "/proc/self/limits cannot be read")
            .because("nothing else tells")
            .cured_by("mount -t proc proc /proc"),
        Some(value) if value >= least => Row::yes(name, shown(value)),
        Some(value) => Row::of(Verdict::Partly, name, shown(value))
            .because(format!("experiments with many connections want {least}"))
            .cured_by(format!("ulimit {flag} {least}, or LimitNOFILE= and its like in the unit")),
    }
}

fn shown(value: u64) -> String {
    if value == u64::MAX { "unlimited".to_owned() } else { value.to_string() }
}

fn memlock(machine: &Machine) -> Row {
    const NAME: &str = "locked memory";
    if machine.has(Capability::IpcLock) {
        return Row::yes(NAME, "no limit: CAP_IPC_LOCK");
    }
    match soft_limit(machine, "Max locked memory") {
        Some(bytes) if bytes < MEMLOCK_BYTES_MIN => {
            Row::of(Verdict::Partly, NAME, format!("{} KiB", bytes / 1024))
                .because("frames of AF_XDP are locked memory")
                .cured_by("ulimit -l unlimited, or grant CAP_IPC_LOCK")
        }
        Some(bytes) => Row::yes(NAME, shown(bytes)),
        None => Row::of(Verdict::Unknown, NAME, "/proc/self/limits cannot be read")
            .because("nothing else tells")
            .cured_by("mount -t proc proc /proc"),
    }
}

/// Whether namespaces and the veth pair can be made.
fn namespaces(machine: &Machine) -> Row {
    const NAME: &str = "topology (veth)";
    if !machine.exists("/proc/self/ns/net") {
        return Row::of(Verdict::No, NAME, "no network namespaces")
            .because("the kernel was built without CONFIG_NET_NS")
            .cured_by("boot a kernel that has it, or run the experiment 'unprivileged'");
    }
    if !machine.has_program("ip") {
        return Row::of(Verdict::No, NAME, "no ip command")
            .because("namespaces and interfaces are made by it")
            .cured_by("sudo apt-get install iproute2");
    }
    if !machine.has(Capability::SysAdmin) || !machine.has(Capability::NetAdmin) {
        let users = machine.number("/proc/sys/user/max_user_namespaces").unwrap_or(0);
        let own = if users > 0 { "namespaces of one's own are allowed" } else { "none for users" };
        return Row::of(Verdict::Partly, NAME, format!("namespaces and ip; {own}"))
            .because("making it needs CAP_SYS_ADMIN and CAP_NET_ADMIN")
            .cured_by("run as root; without, 'showdown run unprivileged' needs none of it");
    }
    Row::yes(NAME, "namespaces, ip, and the right to use them")
}

fn nftables(machine: &Machine) -> Row {
    if machine.has_program("nft") {
        return Row::yes("nftables", "nft, for tests over a wire that loses");
    }
    Row::of(Verdict::Partly, "nftables", "no nft command")
        .because("the end-to-end tests make faulty wires with it; experiments need it not")
        .cured_by("sudo apt-get install nftables")
}

/// What joins the conformance suite to a server on shared memory.
fn tap(machine: &Machine) -> Row {
    if machine.exists("/dev/net/tun") {
        return Row::yes("TAP", "/dev/net/tun");
    }
    Row::of(Verdict::Partly, "TAP", "no /dev/net/tun")
        .because("a server on memif cannot be examined, and gets no figures")
        .cured_by("sudo modprobe tun")
}
