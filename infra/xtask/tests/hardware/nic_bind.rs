//! `nic-bind.sh`, with a thread that plays the kernel's part.

use crate::{Machine, Outcome};
use std::fs;
use std::process::Command;
use std::thread::JoinHandle;

const PCI: &str = "0000:01:00.0";
/// What `ip route show table all dev IFACE` says of an interface that is up and has no address.
const IDLE: &str = "local fe80::1 dev eth7 proto kernel metric 0 pref medium\n\
                    fe80::/64 dev eth7 proto kernel metric 256 pref medium\n\
                    multicast ff00::/8 dev eth7 proto kernel metric 256 pref medium\n";

/// A machine with one NIC, `eth7`, of driver igb, that nobody uses, in an IOMMU group of its own.
fn machine(name: &str) -> Machine {
    let machine = Machine::new(&format!("nic-bind-{name}"));
    add_nic(&machine, PCI, "igb");
    machine.put("sys/devices/pci0/0000:01:00.0/net/eth7/mtu", "1500\n");
    machine.link("sys/class/net/eth7/device", "sys/devices/pci0/0000:01:00.0");
    machine.put("sys/bus/pci/drivers/vfio-pci/bind", "");
    machine.put("sys/bus/pci/drivers_probe", "");
    // ip -4 route show table all dev eth7
    machine.program("ip", "#!/bin/sh\ncat \"${0%/bin/ip}/routes$1-$7\" 2>/dev/null || true\n");
    machine.put("routes-6-eth7", IDLE);
    machine
}

fn add_nic(machine: &Machine, pci: &str, driver: &str) {
    let device = format!("sys/devices/pci0/{pci}");
    machine.put(&format!("{device}/class"), "0x020000\n");
    machine.put(&format!("{device}/driver_override"), "(null)\n");
    machine.put(&format!("sys/bus/pci/drivers/{driver}/unbind"), "");
    machine.link(&format!("{device}/driver"), &format!("sys/bus/pci/drivers/{driver}"));
    machine.link(&format!("sys/bus/pci/devices/{pci}"), &device);
    machine.link(&format!("sys/kernel/iommu_groups/1/devices/{pci}"), &device);
    machine.link(&format!("{device}/iommu_group"), "sys/kernel/iommu_groups/1");
}

fn run(machine: &Machine, arguments: &str) -> Outcome {
    machine.run("nic-bind.sh", arguments)
}

fn driver(machine: &Machine) -> String {
    let link = machine.path(&format!("sys/devices/pci0/{PCI}/driver"));
    let target = fs::read_link(link).expect("it has one");
    target.file_name().expect("a name").to_str().expect("UTF-8").to_owned()
}

/// Plays the kernel: takes the device from one driver and has another probe it, as often as there
/// are drivers to take it from.
fn kernel(machine: &Machine, froms: &[&str]) -> JoinHandle<()> {
    let path = |path: &str| machine.path(&format!("sys/{path}"));
    let make = |path: &std::path::Path| {
        drop(fs::remove_file(path));
        let made = Command::new("mkfifo").arg(path).status().expect("coreutils");
        assert!(made.success());
    };
    let probe = path("bus/pci/drivers_probe");
    make(&probe);
    let unbinds: Vec<_> = froms
        .iter()
        .map(|driver| path(&format!("bus/pci/drivers/{driver}/unbind")))
        .inspect(|path| make(path))
        .collect();
    let (drivers, device) = (path("bus/pci/drivers"), path(&format!("devices/pci0/{PCI}")));
    std::thread::spawn(move || {
        for unbind in unbinds {
            assert_eq!(fs::read_to_string(unbind).expect("a pipe").trim(), PCI);
            fs::remove_file(device.join("driver")).expect("it had one");
            assert_eq!(fs::read_to_string(&probe).expect("a pipe").trim(), PCI);
            let wanted = fs::read_to_string(device.join("driver_override")).expect("a file");
            let wanted = Some(wanted.trim()).filter(|name| !name.is_empty()).unwrap_or("igb");
            std::os::unix::fs::symlink(drivers.join(wanted), device.join("driver"))
                .expect("a link");
        }
    })
}

#[test]
fn a_nic_is_taken_and_given_back() {
    let machine = machine("cycle");
    let kernel = kernel(&machine, &["igb", "vfio-pci"]);
    run(&machine, "up eth7").is(0, "up; for server-dpdk: -- -a 0000:01:00.0");
    assert_eq!(driver(&machine), "vfio-pci");
    run(&machine, "up 01:00.0").is(0, "has vfio-pci already");
    // As the kernel does with the interface of a device that has changed its driver.
    fs::remove_dir_all(machine.path("sys/class/net/eth7")).expect("it was there");
    let status = run(&machine, "status eth7");
    status.is(0, "");
    assert!(status.output.contains("taken here from 'igb'"), "{}", status.output);
    run(&machine, "down eth7").is(0, "down");
    assert_eq!(driver(&machine), "igb");
    assert_eq!(machine.get(&format!("sys/devices/pci0/{PCI}/driver_override")), "");
    kernel.join().expect("the script wrote what the kernel wants");
    run(&machine, &format!("status {PCI}")).is(3, "");
    run(&machine, &format!("down {PCI}")).is(1, "was not taken by this script");
}

#[test]
fn a_nic_in_use_is_not_taken() {
    let machine = machine("use");
    let refused = |words: &str| {
        for name in ["eth7", PCI, "01:00.0"] {
            run(&machine, &format!("up {name}")).is(1, words);
            run(&machine, &format!("up --dry-run {name}")).is(1, words);
        }
        assert_eq!(driver(&machine), "igb");
    };
    machine.put("routes-4-eth7", "default via 10.0.0.1 dev eth7\n10.0.0.0/8 dev eth7\n");
    refused("eth7 (0000:01:00.0) is in use, and is not taken: the default route leads over it");
    machine.put("routes-4-eth7", "10.0.0.0/8 dev eth7 proto kernel\n");
    refused("routes lead over it: 10.0.0.0/8 dev eth7 proto kernel");
    machine.put("routes-4-eth7", "");
    machine.put("routes-6-eth7", &format!("{IDLE}default via fe80::2 dev eth7 metric 1024\n"));
    refused("the default route leads over it");
    machine.put("routes-6-eth7", IDLE);
    machine.put("sys/class/net/br0/mtu", "");
    machine.link("sys/class/net/eth7/master", "sys/class/net/br0");
    refused("master is made of it");
    fs::remove_file(machine.path("sys/class/net/eth7/master")).expect("it was there");
    machine.put(&format!("sys/devices/pci0/{PCI}/sriov_numvfs"), "2\n");
    refused("has virtual functions");
}

#[test]
fn an_interface_behind_a_bus_of_its_own_is_found() {
    let machine = machine("virtio");
    fs::remove_dir_all(machine.path("sys/class/net/eth7")).expect("it was there");
    machine.put("sys/devices/pci0/0000:01:00.0/virtio2/net/eth7/mtu", "1500\n");
    machine.link("sys/class/net/eth7/device", "sys/devices/pci0/0000:01:00.0/virtio2");
    machine.put("routes-4-eth7", "default via 10.0.0.1 dev eth7\n");
    for name in ["eth7", PCI] {
        run(&machine, &format!("up {name}")).is(1, "the default route leads over it");
    }
    let status = run(&machine, "status");
    status.is(0, "");
    let row = "0000:01:00.0   eth7         igb          the default route leads over it";
    assert!(status.output.contains(row), "{}", status.output);
}

#[test]
fn a_nic_that_vfio_cannot_open_is_not_taken() {
    let machine = machine("vfio");
    let device = format!("sys/devices/pci0/{PCI}");
    add_nic(&machine, "0000:01:00.1", "e1000e");
    run(&machine, "up eth7").is(1, "shares its IOMMU group with 0000:01:00.1 (driver e1000e)");
    machine.put("sys/devices/pci0/0000:01:00.1/class", "0x060400\n");
    run(&machine, "up eth7 --dry-run").is(0, "nic-bind: up");
    fs::remove_file(machine.path(&format!("{device}/iommu_group"))).expect("it was there");
    run(&machine, "up eth7").is(1, "has no IOMMU: start the kernel with intel_iommu=on");
    machine.put("sys/module/vfio/parameters/enable_unsafe_noiommu_mode", "Y\n");
    run(&machine, "up eth7 --dry-run").is(0, "the NIC can write to all of the memory");
    machine.put(&format!("{device}/class"), "0x010802\n");
    run(&machine, "up eth7").is(1, "0000:01:00.0 is no network device (class 0x010802)");
    assert_eq!(driver(&machine), "igb");
}

#[test]
fn a_dry_run_says_and_does_not() {
    let machine = machine("dry");
    let outcome = run(&machine, "up --dry-run eth7");
    outcome.is(0, "+ echo vfio-pci >");
    let steps: Vec<&str> = outcome.error.lines().filter(|line| line.starts_with('+')).collect();
    assert!(steps[1].ends_with("0000:01:00.0/driver/unbind"), "{steps:?}");
    assert!(steps[2].ends_with("bus/pci/drivers_probe"), "{steps:?}");
    assert_eq!(machine.get(&format!("sys/devices/pci0/{PCI}/driver_override")), "(null)");
    assert!(!machine.path("state").exists());
    fs::remove_dir_all(machine.path("sys/bus/pci/drivers/vfio-pci")).expect("it was there");
    machine.program("modprobe", "#!/bin/sh\nexit 1\n");
    run(&machine, "up --dry-run eth7").is(0, "+ modprobe vfio-pci");
    run(&machine, "up eth7").is(1, "this kernel has no vfio-pci");
}

#[test]
fn nonsense_is_refused_with_a_sentence() {
    let machine = machine("nonsense");
    run(&machine, "").is(2, "usage: nic-bind.sh");
    run(&machine, "up").is(2, "usage");
    run(&machine, "up eth7 eth8").is(2, "usage");
    run(&machine, "up eth8").is(1, "there is no NIC eth8; 'nic-bind.sh status' lists them");
    run(&machine, "up ../../x").is(1, "is neither a PCI address nor an interface");
    run(&machine, "down eth8").is(1, "there is no NIC eth8, and none of that name was taken");
    run(&machine, "up lo").is(1, "there is no NIC lo");
}
