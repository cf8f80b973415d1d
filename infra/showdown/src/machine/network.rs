//! Network interfaces: what they are, which carries the default route, which interrupts they have.

use super::Machine;
use anyhow::{Result, ensure};
use std::collections::BTreeMap;

/// Names of all interfaces.
pub(crate) fn interfaces(machine: &Machine) -> Vec<String> {
    machine.list("/sys/class/net").into_iter().filter(|name| is_interface(machine, name)).collect()
}

/// `/sys/class/net` may hold files of drivers, too: `bonding_masters`.
fn is_interface(machine: &Machine, name: &str) -> bool {
    machine.exists(&format!("/sys/class/net/{name}/ifindex"))
}

/// Those on a bus, which have queues and interrupts.
pub(crate) fn devices(machine: &Machine) -> Vec<String> {
    let on_a_bus = |name: &String| machine.exists(&format!("/sys/class/net/{name}/device"));
    interfaces(machine).into_iter().filter(on_a_bus).collect()
}

/// Checks that an interface of this name is there.
///
/// # Errors
/// A sentence that names those that are.
pub(crate) fn check(machine: &Machine, name: &str) -> Result<()> {
    let there = interfaces(machine);
    ensure!(
        there.iter().any(|one| one == name),
        "there is no interface '{name}' here; there are: {}",
        there.join(", ")
    );
    Ok(())
}

/// The interfaces that carry a default route: whoever is logged in from afar depends on them.
pub(crate) fn of_default_route(machine: &Machine) -> Vec<String> {
    let ipv4 = machine.read("/proc/net/route").unwrap_or_default();
    let ipv6 = machine.read("/proc/net/ipv6_route").unwrap_or_default();
    let ipv4 = ipv4.lines().filter_map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [name, destination, _, _, _, _, _, mask, ..] = words[..] else { return None };
        (destination == "00000000" && mask == "00000000").then_some(name)
    });
    let ipv6 = ipv6.lines().filter_map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let (destination, name) = (words.first()?, words.last()?);
        // The last route of all, on the loopback, refuses what no other takes.
        let is_default =
            destination.bytes().all(|byte| byte == b'0') && words.get(1) == Some(&"00");
        (is_default && *name != "lo").then_some(*name)
    });
    let mut names: Vec<String> = ipv4.chain(ipv6).map(str::to_owned).collect();
    names.sort();
    names.dedup();
    names
}

/// The name of an interface's driver.
pub(crate) fn driver(machine: &Machine, name: &str) -> Option<String> {
    let link = machine.link_name(&format!("/sys/class/net/{name}/device/driver"));
    link.or_else(|| {
        let text = machine.ask(&["ethtool", "-i", name])?;
        text.lines().find_map(|line| line.strip_prefix("driver: ")).map(|name| name.trim().into())
    })
}

/// Interrupts of an interface's queues, with the name that the driver gave each, in order.
///
/// Drivers have others, too, for changes of the link and of the configuration: left out.
pub(crate) fn queue_interrupts(machine: &Machine, name: &str) -> Vec<(u32, String)> {
    let device = format!("/sys/class/net/{name}/device");
    // The interrupts of a virtio device are those of the PCI device that carries it.
    let folders = ["msi_irqs", "../msi_irqs"].map(|folder| format!("{device}/{folder}"));
    let own: Vec<String> = folders.iter().flat_map(|folder| machine.list(folder)).collect();
    let text = machine.read("/proc/interrupts").unwrap_or_default();
    let mut found = Vec::new();
    for line in text.lines() {
        let Some((number, rest)) = line.trim().split_once(':') else { continue };
        let (Ok(irq), Some(action)) = (number.parse(), rest.split_whitespace().last()) else {
            continue;
        };
        let ends = ["-config", "-event", "-control", "-misc"];
        let is_of_queue = action != name && !ends.iter().any(|end| action.ends_with(end));
        if own.iter().any(|one| one == number) && is_of_queue {
            found.push((irq, action.to_owned()));
        }
    }
    found
}

/// Features as `ethtool -k` prints them: name and value, in order. Names of features that belong to
/// the one above begin with a tab.
pub(crate) fn features(machine: &Machine, name: &str) -> Option<Vec<(String, String)>> {
    let text = machine.ask(&["ethtool", "-k", name])?;
    let lines = text.lines().skip(1).filter_map(|line| line.split_once(": "));
    Some(lines.map(|(key, value)| (key.to_owned(), value.trim().to_owned())).collect())
}

/// `key: value` lines of `ethtool -l`, `-g` or `-c`: the settings in force, and for `-l` and `-g`
/// the largest that the driver takes. What it has not (`n/a`) is left out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Settings {
    /// In force, by the name that `ethtool` takes it by: `rx`, `combined`, `rx-usecs`.
    pub(crate) now: BTreeMap<String, String>,
    /// The largest.
    pub(crate) max: BTreeMap<String, String>,
}

/// Asks `ethtool` with `flag`; `None` where the driver has none of these settings.
pub(crate) fn settings(machine: &Machine, flag: &str, name: &str) -> Option<Settings> {
    Some(parse_settings(&machine.ask(&["ethtool", flag, name])?))
}

fn parse_settings(text: &str) -> Settings {
    let mut settings = Settings::default();
    let mut is_max = false;
    for line in text.lines() {
        if line.starts_with("Pre-set maximums") {
            is_max = true;
        } else if line.starts_with("Current hardware settings") {
            is_max = false;
        }
        let Some((key, value)) = line.split_once(':') else { continue };
        let key = key.trim().to_lowercase().replace(' ', "-");
        let into = if is_max { &mut settings.max } else { &mut settings.now };
        if key == "adaptive-rx" || key == "cqe-mode-rx" {
            // Two settings in one line: `Adaptive RX: off  TX: n/a`.
            let (receive, send) = value.split_once("TX:").unwrap_or((value, "n/a"));
            let other = key.replace("-rx", "-tx");
            insert(into, key, receive);
            insert(into, other, send);
        } else {
            insert(into, key, value);
        }
    }
    settings
}

fn insert(into: &mut BTreeMap<String, String>, key: String, value: &str) {
    let value = value.trim();
    if !value.is_empty() && value != "n/a" {
        into.insert(key, value.to_owned());
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture::Fixture;
    use super::*;

    #[test]
    fn the_interfaces_of_default_routes_are_found() {
        let route = "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\n\
                     eth0\t00000000\t010200C0\t0003\t0\t0\t0\t00000000\t0\t0\t0\n\
                     eth1\t000200C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n";
        let zero = "0".repeat(32);
        let ipv6 = format!(
            "{zero} 00 {zero} 00 {zero} 00000400 00000003 00000000 00000003     eth2\n\
             fd{} 40 {zero} 00 {zero} 00000100 00000001 00000000 00000001     eth3\n\
             {zero} 00 {zero} 00 {zero} ffffffff 00000001 00000000 00200200       lo\n",
            "0".repeat(30)
        );
        let machine =
            Fixture::new().file("/proc/net/route", route).file("/proc/net/ipv6_route", &ipv6);
        assert_eq!(of_default_route(&machine.machine()), ["eth0", "eth2"]);
        assert_eq!(of_default_route(&Fixture::new().machine()), [""; 0]);
    }

    #[test]
    fn interrupts_of_queues_are_told_from_others() {
        let interrupts = "           CPU0       CPU1\n \
             37:          0          0 PCI-MSIX-0000:00:03.0   0-edge      virtio2-config\n \
             38:          0      20662 PCI-MSIX-0000:00:03.0   1-edge      virtio2-input.0\n \
             39:      15163          0 PCI-MSIX-0000:00:03.0   2-edge      virtio2-output.0\n \
             40:          0          0 PCI-MSIX-0000:00:04.0   0-edge      virtio3-input.0\n\
             NMI:         0          0   Non-maskable interrupts\n";
        let machine = Fixture::new()
            .file("/proc/interrupts", interrupts)
            .file("/sys/devices/pci/msi_irqs/37", "msix")
            .file("/sys/devices/pci/msi_irqs/38", "msix")
            .file("/sys/devices/pci/msi_irqs/39", "msix")
            .file("/sys/devices/pci/virtio2/vendor", "")
            .link("/sys/class/net/eth0/device", "../../../devices/pci/virtio2")
            .machine();
        let found = queue_interrupts(&machine, "eth0");
        assert_eq!(found, [(38, "virtio2-input.0".into()), (39, "virtio2-output.0".into())]);
    }

    #[test]
    fn settings_of_ethtool_are_told_from_their_maxima() {
        let channels = "Channel parameters for eth0:\nPre-set maximums:\nRX:\t\tn/a\n\
                        Combined:\t63\nCurrent hardware settings:\nRX:\t\tn/a\nCombined:\t4\n";
        let settings = parse_settings(channels);
        assert_eq!(settings.now["combined"], "4");
        assert_eq!(settings.max["combined"], "63");
        assert!(!settings.now.contains_key("rx"), "{settings:?}");
        let coalesce = "Coalesce parameters for eth0:\nAdaptive RX: on  TX: off\nrx-usecs: 50\n\
                        rx-frames: n/a\n\nCQE mode RX: n/a  TX: n/a\n";
        let now = parse_settings(coalesce).now;
        let expect = [("adaptive-rx", "on"), ("adaptive-tx", "off"), ("rx-usecs", "50")];
        let expect = expect.map(|(key, value)| (key.to_owned(), value.to_owned()));
        assert_eq!(now, BTreeMap::from(expect));
    }
}
