//! Processors: which there are, who else uses them, and how steady they run.

use super::{Row, Verdict};
use crate::machine::Machine;
use std::time::Duration;

const CPU: &str = "/sys/devices/system/cpu";
/// How long stolen time is watched.
const STEAL_WINDOW: Duration = Duration::from_millis(500);
/// Share of stolen time from which a measurement is disturbed, in percent.
const STEAL_PERCENT_MAX: f64 = 1.0;

pub(super) fn rows(machine: &Machine) -> Vec<Row> {
    vec![
        cores(machine),
        isolation(machine),
        governor(machine),
        turbo(machine),
        smt(machine),
        steal(machine),
        clock_source(machine),
        numa(machine),
        virtualisation(machine),
        mitigations(machine),
        command_line(machine),
    ]
}

fn cores(machine: &Machine) -> Row {
    let allowed = machine.cpus();
    let online = machine.read(&format!("{CPU}/online")).unwrap_or_else(|| "?".to_owned());
    let cpuinfo = machine.read("/proc/cpuinfo").unwrap_or_default();
    let lines = cpuinfo.lines().filter_map(|line| line.split_once(':'));
    let model = lines.filter(|(key, _)| key.trim() == "model name").map(|(_, model)| model.trim());
    let model = model.into_iter().next().unwrap_or("unknown model");
    let found = format!("{} may be used (online: {online}); {model}", allowed.len());
    if allowed.len() < 2 {
        return Row::of(Verdict::No, "cores", found)
            .because("server and client would share one core, and measure each other")
            .cured_by("more virtual CPUs, or a wider cpuset (taskset, docker --cpuset-cpus)");
    }
    if allowed.len() < 4 {
        return Row::of(Verdict::Partly, "cores", found)
            .because("one for the server, one for the client, none for interrupts and the rest")
            .cured_by("four cores or more, or a second machine for the client");
    }
    Row::yes("cores", found)
}

fn isolation(machine: &Machine) -> Row {
    const NAME: &str = "isolation";
    let command_line = machine.read("/proc/cmdline").unwrap_or_default();
    let options: Vec<&str> = command_line
        .split_whitespace()
        .filter(|word| {
            ["isolcpus=", "nohz_full=", "rcu_nocbs="].iter().any(|start| word.starts_with(start))
        })
        .collect();
    let isolated = machine.read(&format!("{CPU}/isolated")).filter(|list| !list.is_empty());
    let cpuset = machine.glob("/sys/fs/cgroup/*/cpuset.cpus.partition");
    let is_partition = |path: &String| machine.read(path).as_deref() == Some("isolated");
    let partition = cpuset.iter().any(is_partition);
    if isolated.is_some() || partition {
        let list = isolated.unwrap_or_else(|| "a cpuset partition".to_owned());
        return Row::yes(NAME, format!("{list} isolated; {}", options.join(" ")));
    }
    let last = machine.cpus().last().copied().unwrap_or(1);
    Row::of(Verdict::Partly, NAME, "no CPU is kept free of other work")
        .because("the scheduler, timers and RCU interrupt the measured cores: jitter at p99.9")
        .cured_by(format!("boot with isolcpus={last} nohz_full={last} rcu_nocbs={last}"))
}

fn governor(machine: &Machine) -> Row {
    const NAME: &str = "governor";
    let files = machine.glob(&format!("{CPU}/cpu*/cpufreq/scaling_governor"));
    let mut values: Vec<String> = files.iter().filter_map(|file| machine.read(file)).collect();
    values.sort();
    values.dedup();
    if values.is_empty() {
        return Row::of(Verdict::Unknown, NAME, "no cpufreq")
            .because("the frequency is the hypervisor's or the firmware's")
            .cured_by("none from here: set it on the host, or in the BIOS");
    }
    if values == ["performance"] {
        return Row::yes(NAME, "performance on every CPU");
    }
    Row::of(Verdict::Partly, NAME, values.join(", "))
        .because("the clock follows the load, so that light loads look slow")
        .cured_by(
            "sudo cpupower frequency-set -g performance, or: sudo showdown tune apply latency",
        )
}

fn turbo(machine: &Machine) -> Row {
    const NAME: &str = "turbo";
    // Intel's driver says whether it is off, the others whether it is on.
    let no_turbo = machine.number(&format!("{CPU}/intel_pstate/no_turbo")).map(|off| off == 0);
    let boost = machine.number(&format!("{CPU}/cpufreq/boost")).map(|on| on != 0);
    let cure = if no_turbo.is_some() {
        format!("echo 1 | sudo tee {CPU}/intel_pstate/no_turbo")
    } else {
        format!("echo 0 | sudo tee {CPU}/cpufreq/boost")
    };
    match no_turbo.or(boost) {
        Some(false) => Row::yes(NAME, "off"),
        Some(true) => Row::of(Verdict::Partly, NAME, "on")
            .because("the clock depends on temperature and on how many cores are busy")
            .cured_by(cure),
        None => Row::of(Verdict::Unknown, NAME, "nothing tells")
            .because("no cpufreq: the hypervisor or the firmware decides")
            .cured_by("none from here: turn it off on the host, or in the BIOS"),
    }
}

fn smt(machine: &Machine) -> Row {
    const NAME: &str = "SMT";
    let siblings = machine.glob(&format!("{CPU}/cpu*/topology/thread_siblings_list"));
    let mut pairs: Vec<String> = siblings
        .iter()
        .filter_map(|file| machine.read(file))
        .filter(|list| list.contains([',', '-']))
        .collect();
    pairs.sort();
    pairs.dedup();
    if pairs.is_empty() {
        return Row::yes(NAME, "no two CPUs share a core");
    }
    Row::of(Verdict::Partly, NAME, format!("siblings: {}", pairs.join(" ")))
        .because("two threads of one core take from each other")
        .cured_by(format!(
            "give server and client different cores, or: echo off | sudo tee {CPU}/smt/control"
        ))
}

/// Ticks of all CPUs that are allowed: stolen, and all.
fn ticks(machine: &Machine, cpus: &[usize]) -> Option<(u64, u64)> {
    let stat = machine.read("/proc/stat")?;
    let mut sum = (0, 0);
    for line in stat.lines() {
        let mut words = line.split_whitespace();
        let Some(cpu) = words.next()?.strip_prefix("cpu").and_then(|cpu| cpu.parse().ok()) else {
            continue;
        };
        let times: Vec<u64> = words.filter_map(|word| word.parse().ok()).collect();
        if cpus.contains(&cpu) && times.len() >= 8 {
            // user nice system idle iowait irq softirq steal
            sum = (sum.0 + times[7], sum.1 + times[..8].iter().sum::<u64>());
        }
    }
    Some(sum)
}

fn steal(machine: &Machine) -> Row {
    const NAME: &str = "steal";
    let cpus = machine.cpus();
    let before = ticks(machine, &cpus);
    machine.probe().pause(STEAL_WINDOW);
    let after = ticks(machine, &cpus);
    let (Some(before), Some(after)) = (before, after) else {
        return Row::of(Verdict::Unknown, NAME, "/proc/stat cannot be read")
            .because("nothing else tells")
            .cured_by("mount -t proc proc /proc");
    };
    let stolen = after.0.saturating_sub(before.0);
    let all = after.1.saturating_sub(before.1).max(1);
    #[expect(clippy::cast_precision_loss, reason = "ticks of half a second")]
    let percent = 100.0 * stolen as f64 / all as f64;
    let found = format!("{percent:.1} % over {} ms", STEAL_WINDOW.as_millis());
    if percent < STEAL_PERCENT_MAX {
        return Row::yes(NAME, found);
    }
    Row::of(Verdict::Partly, NAME, found)
        .because("the hypervisor gives the cores to others; rounds will be disturbed")
        .cured_by("dedicated cores for this virtual machine, or a quieter hour")
}

fn clock_source(machine: &Machine) -> Row {
    const NAME: &str = "clock source";
    let folder = "/sys/devices/system/clocksource/clocksource0";
    let Some(source) = machine.read(&format!("{folder}/current_clocksource")) else {
        return Row::of(Verdict::Unknown, NAME, "nothing tells")
            .because("/sys is not mounted")
            .cured_by("mount -t sysfs sysfs /sys");
    };
    if ["tsc", "arch_sys_counter", "kvm-clock"].contains(&source.as_str()) {
        return Row::yes(NAME, format!("{source}: read without a system call"));
    }
    let others = machine.read(&format!("{folder}/available_clocksource")).unwrap_or_default();
    let row = Row::of(Verdict::Partly, NAME, source)
        .because("reading the time may be a system call, a microsecond each");
    if others.split_whitespace().any(|other| other == "tsc") {
        row.cured_by(format!("echo tsc | sudo tee {folder}/current_clocksource"))
    } else {
        row.cured_by(format!("none here: there are only {others}"))
    }
}

fn numa(machine: &Machine) -> Row {
    let nodes = machine.glob("/sys/devices/system/node/node*/cpulist");
    let nodes: Vec<String> = nodes
        .iter()
        .filter_map(|file| {
            let node = file.rsplit('/').nth(1)?;
            Some(format!("{node}: CPUs {}", machine.read(file)?))
        })
        .collect();
    if nodes.len() < 2 {
        return Row::yes("NUMA", "one node");
    }
    Row::of(Verdict::Partly, "NUMA", nodes.join("; "))
        .because("memory and NICs of another node are farther away")
        .cured_by("take cores of the NIC's node: --cpus, numactl --membind")
}

fn virtualisation(machine: &Machine) -> Row {
    const NAME: &str = "virtualisation";
    let cpuinfo = machine.read("/proc/cpuinfo").unwrap_or_default();
    let is_guest = cpuinfo
        .lines()
        .any(|line| line.starts_with("flags") && line.split(' ').any(|flag| flag == "hypervisor"));
    let vendor = machine.read("/sys/class/dmi/id/sys_vendor");
    let product = machine.read("/sys/class/dmi/id/product_name");
    let what: Vec<String> = [vendor, product].into_iter().flatten().collect();
    let found = |kind: &str| {
        let words = [&[kind.to_owned()], &what[..]].concat();
        words.join(", ")
    };
    let container = machine.exists("/.dockerenv") || machine.exists("/run/.containerenv");
    let kind = match (is_guest, container) {
        (true, true) => "container in a virtual machine",
        (true, false) => "virtual machine",
        (false, true) => "container",
        (false, false) => return Row::yes(NAME, found("none seen")),
    };
    let row = Row::of(Verdict::Partly, NAME, found(kind));
    if is_guest {
        row.because(
            "waking a sleeping core costs more in a guest, which flatters servers that spin",
        )
        .cured_by("measure on bare metal too; compare ratios, not figures")
    } else {
        row.because("the host's limits and filters apply")
            .cured_by("run on the host, or docker run --privileged --network host")
    }
}

fn mitigations(machine: &Machine) -> Row {
    let files = machine.glob(&format!("{CPU}/vulnerabilities/*"));
    let active: Vec<String> = files
        .iter()
        .filter(|file| machine.read(file).is_some_and(|text| text.starts_with("Mitigation")))
        .filter_map(|file| file.rsplit('/').next().map(str::to_owned))
        .collect();
    if active.is_empty() {
        return Row::yes("mitigations", "none in force");
    }
    // Not a fault: most servers run so, and a fair comparison does, too.
    Row::yes("mitigations", format!("in force, as on most servers: {}", active.join(", ")))
}

fn command_line(machine: &Machine) -> Row {
    match machine.read("/proc/cmdline") {
        Some(text) => Row::yes("kernel options", text),
        None => Row::of(Verdict::Unknown, "kernel options", "/proc/cmdline cannot be read")
            .because("nothing else tells")
            .cured_by("mount -t proc proc /proc"),
    }
}
