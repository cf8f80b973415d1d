//! Network interfaces as they are set, and the sysctls that decide about a measurement.

use super::{Row, Verdict};
use crate::machine::{Machine, network};

/// Sysctls below `/proc/sys`, the least that is enough, and what goes wrong below it.
const AT_LEAST: [(&str, u64, &str); 3] = [
    ("net/core/somaxconn", 4096, "a burst of connects is refused beyond the backlog"),
    ("net/ipv4/tcp_max_syn_backlog", 4096, "a burst of connects gets SYN cookies"),
    ("net/core/netdev_budget", 300, "the kernel's poll of queues ends early"),
];

/// Sysctls that are shown only.
const SHOWN: [&str; 8] = [
    "net/core/busy_poll",
    "net/core/netdev_budget_usecs",
    "net/core/netdev_max_backlog",
    "net/ipv4/ip_local_port_range",
    "net/ipv4/tcp_congestion_control",
    "net/ipv4/tcp_rmem",
    "net/ipv4/tcp_timestamps",
    "net/ipv4/tcp_wmem",
];

/// Ports below which the connections of one client address run out.
const PORTS_MIN: u64 = 20_000;

pub(super) fn rows(machine: &Machine, interfaces: &[String]) -> Vec<Row> {
    let mut rows = Vec::new();
    for name in interfaces {
        rows.push(queues(machine, name));
        rows.push(offloads(machine, name));
        rows.push(coalescing(machine, name));
        rows.push(interrupts(machine, name));
    }
    rows.extend(
        AT_LEAST.iter().filter_map(|(path, least, why)| at_least(machine, path, *least, why)),
    );
    rows.extend([ports(machine), txrehash(machine), irqbalance(machine)].into_iter().flatten());
    rows.push(shown(machine));
    rows
}

fn queues(machine: &Machine, name: &str) -> Row {
    let title = format!("{name} queues");
    let driver = network::driver(machine, name).unwrap_or_else(|| "unknown driver".to_owned());
    let speed = machine.number(&format!("/sys/class/net/{name}/speed"));
    let speed = speed.map_or_else(String::new, |mbits| format!(", {mbits} Mbit/s"));
    let numa = machine.read(&format!("/sys/class/net/{name}/device/numa_node"));
    let numa = numa
        .filter(|node| node != "-1")
        .map_or_else(String::new, |node| format!(", NUMA node {node}"));
    let count = machine.glob(&format!("/sys/class/net/{name}/queues/rx-*")).len();
    let settings = network::settings(machine, "-l", name).unwrap_or_default();
    let max: Option<usize> = settings.max.get("combined").and_then(|max| max.parse().ok());
    let of_max = max.map_or_else(String::new, |max| format!(" of {max}"));
    let default = network::of_default_route(machine).iter().any(|one| one == name);
    let route = if default { "; it carries the default route" } else { "" };
    let found = format!("{driver}{speed}{numa}: {count}{of_max} for receiving{route}");
    let cpus = machine.cpus().len();
    match max {
        _ if cpus < 2 || count >= 2 => Row::yes(title, found),
        Some(max) if max > count => Row::of(Verdict::Partly, title, found)
            .because("one core receives for all")
            .cured_by(format!("sudo ethtool -L {name} combined {}", max.min(cpus))),
        _ => Row::of(Verdict::Partly, title, found)
            .because("one core receives for all, and the device has no more queues")
            .cured_by(format!(
                "none with this device; for kernel servers RPS spreads the work: \
                               sudo showdown tune apply pinning --interface {name}"
            )),
    }
}

fn offloads(machine: &Machine, name: &str) -> Row {
    let title = format!("{name} offloads");
    let Some(features) = network::features(machine, name) else {
        return no_ethtool(machine, title);
    };
    let is_on = |key: &str| {
        let mut found = features.iter().filter(|(feature, _)| feature == key);
        found.next().is_some_and(|(_, value)| value.starts_with("on"))
    };
    let all = [
        ("rx-checksumming", "receive checksum"),
        ("tx-checksumming", "transmit checksum"),
        ("tcp-segmentation-offload", "TSO"),
        ("generic-segmentation-offload", "GSO"),
        ("generic-receive-offload", "GRO"),
        ("large-receive-offload", "LRO"),
        ("receive-hashing", "RSS hash"),
    ];
    let on: Vec<&str> = all.iter().filter(|(key, _)| is_on(key)).map(|(_, name)| *name).collect();
    let found = if on.is_empty() { "none on".to_owned() } else { format!("on: {}", on.join(", ")) };
    let missing: Vec<&str> =
        all[..2].iter().filter(|(key, _)| !is_on(key)).map(|(_, name)| *name).collect();
    if missing.is_empty() {
        return Row::yes(title, found);
    }
    Row::of(Verdict::Partly, title, found)
        .because(format!("processors compute the {}", missing.join(" and the ")))
        .cured_by(format!("sudo ethtool -K {name} rx on tx on, where the device has it"))
}

fn no_ethtool(machine: &Machine, title: String) -> Row {
    let row = Row::of(Verdict::Unknown, title, "ethtool does not tell");
    if machine.has_program("ethtool") {
        row.because("the driver does not answer").cured_by("none: the driver would have to")
    } else {
        row.because("ethtool is not installed").cured_by("sudo apt-get install ethtool")
    }
}

fn coalescing(machine: &Machine, name: &str) -> Row {
    let title = format!("{name} coalescing");
    let Some(settings) = network::settings(machine, "-c", name) else {
        return if machine.has_program("ethtool") {
            Row::yes(title, "the driver holds no interrupts back")
        } else {
            no_ethtool(machine, title)
        };
    };
    let value = |key: &str| settings.now.get(key).map_or("n/a", String::as_str);
    let found = format!(
        "adaptive rx {}, rx-usecs {}, rx-frames {}, tx-usecs {}",
        value("adaptive-rx"),
        value("rx-usecs"),
        value("rx-frames"),
        value("tx-usecs")
    );
    if value("adaptive-rx") == "on" {
        return Row::of(Verdict::Partly, title, found)
            .because("the delay of interrupts changes with the load, and latency with it")
            .cured_by(format!("sudo showdown tune apply latency --interface {name}"));
    }
    Row::yes(title, found)
}

fn interrupts(machine: &Machine, name: &str) -> Row {
    let title = format!("{name} interrupts");
    let irqs = network::queue_interrupts(machine, name);
    if irqs.is_empty() {
        return Row::yes(title, "none of its own");
    }
    let cpus_of = |irq: u32| {
        let files = ["effective_affinity_list", "smp_affinity_list"];
        let read = |file| machine.read(&format!("/proc/irq/{irq}/{file}"));
        files.into_iter().find_map(read).unwrap_or_else(|| "?".to_owned())
    };
    let places: Vec<String> = irqs.iter().map(|(irq, _)| cpus_of(*irq)).collect();
    let found = format!("{} on CPUs {}", irqs.len(), places.join(" "));
    let one_place = places.iter().all(|place| *place == places[0]);
    if irqs.len() > 1 && one_place && machine.cpus().len() > 1 {
        return Row::of(Verdict::Partly, title, found)
            .because("all queues interrupt the same CPU")
            .cured_by(format!("sudo showdown tune apply pinning --interface {name}"));
    }
    Row::yes(title, found)
}

fn at_least(machine: &Machine, path: &str, least: u64, why: &str) -> Option<Row> {
    let value = machine.number(&format!("/proc/sys/{path}"))?;
    let key = path.replace('/', ".");
    // The full key would not fit its column.
    let name = key.rsplit('.').next().unwrap_or_default();
    if value >= least {
        return Some(Row::yes(name, format!("{key} = {value}")));
    }
    let row = Row::of(Verdict::Partly, name, format!("{key} = {value}"));
    Some(row.because(why).cured_by(format!("sudo sysctl {key}={least}")))
}

fn ports(machine: &Machine) -> Option<Row> {
    let range = machine.read("/proc/sys/net/ipv4/ip_local_port_range")?;
    let mut ends = range.split_whitespace().filter_map(|port| port.parse::<u64>().ok());
    let (first, last) = (ends.next()?, ends.next()?);
    let count = (last + 1).saturating_sub(first);
    let found = format!("{count} for each client address ({first} to {last})");
    if count >= PORTS_MIN {
        return Some(Row::yes("local ports", found));
    }
    Some(
        Row::of(Verdict::Partly, "local ports", found)
            .because("many connections from one address use them up")
            .cured_by("sudo sysctl net.ipv4.ip_local_port_range='1024 65535'"),
    )
}

fn txrehash(machine: &Machine) -> Option<Row> {
    let value = machine.number("/proc/sys/net/core/txrehash")?;
    let row = if value == 0 {
        Row::yes("txrehash", "net.core.txrehash = 0")
    } else {
        Row::of(Verdict::Partly, "txrehash", format!("net.core.txrehash = {value}"))
            .because("a kernel client moves a flow to another queue after a retransmission")
            .cured_by("sudo sysctl net.core.txrehash=0 on the client; the topology does it")
    };
    Some(row)
}

/// A daemon that moves interrupts while something is measured.
fn irqbalance(machine: &Machine) -> Option<Row> {
    let is_running = machine.glob("/proc/*/comm").iter().any(|path| {
        // It ends in the meantime, or is another's: not this one, then.
        machine.read(path).is_some_and(|name| name == "irqbalance")
    });
    is_running.then(|| {
        Row::of(Verdict::Partly, "irqbalance", "is running")
            .because("it moves interrupts between CPUs while something is measured")
            .cured_by("sudo systemctl stop irqbalance")
    })
}

fn shown(machine: &Machine) -> Row {
    let values = SHOWN.iter().filter_map(|path| {
        let value = machine.read(&format!("/proc/sys/{path}"))?;
        let value = value.split_whitespace().collect::<Vec<_>>().join(" ");
        Some(format!("{} = {value}", path.replace('/', ".")))
    });
    Row::yes("other sysctls", values.collect::<Vec<_>>().join("; "))
}
