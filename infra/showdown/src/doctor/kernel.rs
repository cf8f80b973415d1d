//! What the kernel itself has for fast servers: io_uring, busy-polling, IRQ suspension, eBPF, perf.

use super::{Row, Verdict};
use crate::machine::{Capability, Machine, network};
use std::io;

pub(super) fn rows(machine: &Machine, interfaces: &[String]) -> Vec<Row> {
    vec![
        io_uring(machine),
        busy_polling(machine, interfaces),
        irq_suspension(machine, interfaces),
        ebpf(machine),
        perf(machine),
    ]
}

fn io_uring(machine: &Machine) -> Row {
    const NAME: &str = "io_uring";
    const CURE: &str = "sudo sysctl kernel.io_uring_disabled=0";
    let disabled = machine.number("/proc/sys/kernel/io_uring_disabled");
    match machine.probe().io_uring() {
        Ok(uring) if uring.lacks.is_empty() => Row::yes(NAME, uring.has.join(", ")),
        Ok(uring) => {
            let has = if uring.has.is_empty() { "rings".to_owned() } else { uring.has.join(", ") };
            Row::of(Verdict::Partly, NAME, has)
                .because(format!("this kernel lacks: {}", uring.lacks.join(", ")))
                .cured_by("Linux 6.12 has all of it; server-uring degrades, and says so")
        }
        Err(error) => {
            let row = Row::of(Verdict::No, NAME, format!("a ring cannot be made: {error}"));
            match (disabled, error.kind()) {
                (Some(2), _) => {
                    row.because("kernel.io_uring_disabled is 2: nobody may").cured_by(CURE)
                }
                (Some(1), _) => row
                    .because("kernel.io_uring_disabled is 1: only root and a group may")
                    .cured_by(CURE),
                (_, io::ErrorKind::Unsupported) => row
                    .because("the kernel was built without CONFIG_IO_URING, or a filter hides it")
                    .cured_by("boot a kernel that has it (5.1 and later)"),
                (_, io::ErrorKind::PermissionDenied) => row
                    .because("a seccomp filter refuses it, as container engines do by default")
                    .cured_by("docker run --security-opt seccomp=unconfined"),
                _ => row
                    .because("the kernel refuses a small ring")
                    .cured_by("raise the limit on locked memory: ulimit -l unlimited"),
            }
        }
    }
}

fn busy_polling(machine: &Machine, interfaces: &[String]) -> Row {
    const NAME: &str = "kernel busy-poll";
    let Some(poll) = machine.number("/proc/sys/net/core/busy_poll") else {
        // Network namespaces other than the first do not have the sysctl.
        return Row::of(Verdict::No, NAME, "no net.core.busy_poll")
            .because("the kernel was built without CONFIG_NET_RX_BUSY_POLL, or hides it here")
            .cured_by("look in the first network namespace, or boot a kernel that has it");
    };
    let read = machine.number("/proc/sys/net/core/busy_read").unwrap_or(0);
    let found = format!("net.core.busy_poll {poll} us, busy_read {read} us");
    if machine.kernel().unwrap_or((0, 0)) < (6, 9) {
        return Row::of(Verdict::Partly, NAME, found)
            .because("without EPIOCSPARAMS (Linux 6.9) a server cannot ask for it by itself")
            .cured_by("sudo showdown tune apply busy-poll, or Linux 6.9");
    }
    let pollable = pollable(machine, interfaces);
    if pollable.is_empty() {
        return Row::of(Verdict::Partly, NAME, format!("{found}; EPIOCSPARAMS"))
            .because("no interface looked at has a queue that can be polled (NAPI)")
            .cured_by("a NIC; a veth has one with ethtool -K INTERFACE gro on");
    }
    Row::yes(NAME, format!("{found}; EPIOCSPARAMS; {}", pollable.join(", ")))
}

/// Interfaces with the number of their queues that can be polled, where the kernel tells.
fn pollable(machine: &Machine, interfaces: &[String]) -> Vec<String> {
    let napis = |name: &String| {
        let index = machine.number(&format!("/sys/class/net/{name}/ifindex"))?;
        let features = machine.probe().device_features(u32::try_from(index).ok()?).ok()?;
        features.napis.filter(|count| *count > 0)
    };
    let found = interfaces.iter().filter_map(|name| Some((name, napis(name)?)));
    found.map(|(name, count)| format!("{count} NAPI on {name}")).collect()
}

fn irq_suspension(machine: &Machine, interfaces: &[String]) -> Row {
    const NAME: &str = "IRQ suspension";
    let release = machine.read("/proc/sys/kernel/osrelease").unwrap_or_default();
    if machine.kernel().unwrap_or((0, 0)) < (6, 13) {
        return Row::of(Verdict::No, NAME, format!("Linux {release}"))
            .because("it came with Linux 6.13")
            .cured_by("boot Linux 6.13 or later");
    }
    let devices = network::devices(machine);
    let devices: Vec<String> =
        interfaces.iter().filter(|name| devices.contains(name)).cloned().collect();
    let pollable = pollable(machine, &devices);
    if pollable.is_empty() {
        return Row::of(Verdict::Partly, NAME, format!("Linux {release} has it"))
            .because("no NIC looked at has queues whose interrupts could be suspended")
            .cured_by("a NIC on a bus; veth and loopback have no interrupts");
    }
    if !machine.has(Capability::NetAdmin) {
        return Row::of(Verdict::Partly, NAME, pollable.join(", "))
            .because("setting it needs CAP_NET_ADMIN")
            .cured_by("run the server as root: server-epoll --wait suspend");
    }
    Row::yes(NAME, format!("{}; server-epoll --wait suspend", pollable.join(", ")))
}

fn ebpf(machine: &Machine) -> Row {
    const NAME: &str = "eBPF/XDP programs";
    let jit = machine.number("/proc/sys/net/core/bpf_jit_enable");
    let found = format!(
        "JIT {}, BTF {}",
        match jit {
            Some(0) => "off",
            Some(_) => "on",
            None => "unknown",
        },
        if machine.exists("/sys/kernel/btf/vmlinux") { "there" } else { "not there" }
    );
    let may_load = machine.has(Capability::Bpf) && machine.has(Capability::NetAdmin)
        || machine.has(Capability::SysAdmin);
    if !may_load {
        let unprivileged = machine.number("/proc/sys/kernel/unprivileged_bpf_disabled");
        let others = match unprivileged {
            Some(0) => "kernel.unprivileged_bpf_disabled is 0, which allows socket filters only",
            _ => "kernel.unprivileged_bpf_disabled keeps others out",
        };
        return Row::of(Verdict::Partly, NAME, found)
            .because(format!("XDP programs need CAP_BPF and CAP_NET_ADMIN; {others}"))
            .cured_by("run as root, or grant both by setcap");
    }
    if machine.status("Seccomp").as_deref() == Some("2") {
        return Row::of(Verdict::Unknown, NAME, found)
            .because("a seccomp filter is active, and may refuse bpf(2)")
            .cured_by("docker run --security-opt seccomp=unconfined");
    }
    if jit == Some(0) {
        return Row::of(Verdict::Partly, NAME, found)
            .because("programs are interpreted, several times slower")
            .cured_by("sudo sysctl net.core.bpf_jit_enable=1");
    }
    Row::yes(NAME, found)
}

fn perf(machine: &Machine) -> Row {
    const NAME: &str = "perf";
    let Some(paranoid) = machine.read("/proc/sys/kernel/perf_event_paranoid") else {
        return Row::of(Verdict::No, NAME, "no kernel.perf_event_paranoid")
            .because("the kernel was built without CONFIG_PERF_EVENTS")
            .cured_by("boot a kernel that has it");
    };
    // `cpu` on most, `cpu_core` on hybrid processors, `armv8_…` on Arm.
    let devices = machine.list("/sys/bus/event_source/devices");
    let counters = devices
        .iter()
        .any(|name| ["cpu", "cpu_core"].contains(&name.as_str()) || name.starts_with("armv8_"));
    let program = machine.has_program("perf");
    let found = format!(
        "perf_event_paranoid {paranoid}; hardware counters {}; the command {}",
        if counters { "there" } else { "not there" },
        if program { "is installed" } else { "is not installed" }
    );
    let privileged = machine.has(Capability::Perfmon) || machine.has(Capability::SysAdmin);
    let level: i64 = paranoid.parse().unwrap_or(i64::MAX);
    let row = |found| Row::of(Verdict::Partly, NAME, found);
    if level > 1 && !privileged {
        return row(found)
            .because("this user may not count what the kernel does")
            .cured_by("sudo sysctl kernel.perf_event_paranoid=1");
    }
    if !counters {
        return row(found)
            .because("no cycles, instructions or cache misses: the hypervisor hides the counters")
            .cured_by("a virtual PMU (QEMU: -cpu host,pmu=on), or a machine of one's own");
    }
    if !program {
        return row(found)
            .because("counts can be read, but nothing shows where the time goes")
            .cured_by("sudo apt-get install linux-perf");
    }
    Row::yes(NAME, found)
}
