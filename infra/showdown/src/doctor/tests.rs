//! Machines with and without each thing, and what is said of them.

use super::{Report, Row, Verdict, examine, text};
use crate::machine::DeviceFeatures;
use crate::machine::fixture::Fixture;

const ALL_CAPABILITIES: &str = "Name:\tshowdown\nCapEff:\t000001ffffffffff\nSeccomp:\t0\n\
                                Cpus_allowed_list:\t0-3\n";
const NO_CAPABILITY: &str = "Name:\tshowdown\nCapEff:\t0000000000000000\nSeccomp:\t0\n\
                             Cpus_allowed_list:\t0-3\n";
const LIMITS: &str = "Limit              Soft Limit  Hard Limit  Units\n\
                      Max processes      30000       30000       processes\n\
                      Max open files     1024        1048576     files\n\
                      Max locked memory  8388608     8388608     bytes\n";
const STAT: &str = "cpu  0 0 0 0 0 0 0 0 0 0\ncpu0 100 0 100 800 0 0 0 0 0 0\n\
                    cpu1 100 0 100 800 0 0 0 0 0 0\nintr 1\n";

fn row<'a>(report: &'a Report, name: &str) -> &'a Row {
    let mut rows = report.groups.iter().flat_map(|group| &group.rows);
    rows.find(|row| row.name == name).unwrap_or_else(|| panic!("no row {name}: {report:#?}"))
}

/// A verdict, and what must be in the cure; every verdict but yes has a reason and a cure.
#[track_caller]
fn check(report: &Report, name: &str, verdict: Verdict, cure: &str) {
    let row = row(report, name);
    assert_eq!(row.verdict, verdict, "{row:#?}");
    let is_yes = verdict == Verdict::Yes;
    assert_eq!((row.why.is_none(), row.cure.is_none()), (is_yes, is_yes), "{row:#?}");
    assert!(row.cure.as_deref().unwrap_or_default().contains(cure), "{row:#?}");
}

#[track_caller]
fn finds(report: &Report, name: &str, part: &str) {
    let row = row(report, name);
    assert!(row.found.contains(part), "'{part}' in {row:#?}");
}

/// What is installed and set on it.
const SERVER: [(&str, &str); 31] = [
    ("/proc/self/status", ALL_CAPABILITIES),
    ("/proc/self/limits", LIMITS),
    ("/proc/self/ns/net", ""),
    ("/proc/sys/kernel/osrelease", "6.1.0-13-amd64"),
    ("/proc/net/protocols", "protocol  size sockets\nXDP       1088      0\n"),
    ("/proc/net/pf_ring/info", "PF_RING Version : 8.6\n"),
    ("/proc/cmdline", "root=/dev/sda1 isolcpus=2,3 nohz_full=2,3 quiet"),
    ("/proc/cpuinfo", "model name\t: Xeon\nflags\t\t: fpu vme\n"),
    ("/proc/stat", STAT),
    ("/proc/stat.later", STAT),
    ("/proc/901/comm", "irqbalance\n"),
    ("/proc/sys/net/core/busy_poll", "0"),
    ("/proc/sys/net/core/busy_read", "0"),
    ("/proc/sys/net/core/bpf_jit_enable", "1"),
    ("/proc/sys/net/core/somaxconn", "128"),
    ("/proc/sys/net/core/txrehash", "1"),
    ("/proc/sys/net/ipv4/ip_local_port_range", "32768\t40000"),
    ("/proc/sys/kernel/perf_event_paranoid", "2"),
    ("/dev/netmap", ""),
    ("/dev/onload", ""),
    ("/dev/sfc_char", ""),
    ("/dev/net/tun", ""),
    ("/usr/lib/x86_64-linux-gnu/libciul1.so.1", ""),
    ("/usr/lib/libvma.so.9", ""),
    ("/sys/class/infiniband/mlx5_0/ports/1/state", "4: ACTIVE"),
    ("/sys/kernel/btf/vmlinux", ""),
    ("/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages", "512"),
    ("/sys/kernel/iommu_groups/0/type", "DMA"),
    ("/sys/bus/pci/drivers/mlx5_core/new_id", ""),
    ("/sys/bus/pci/drivers/vfio-pci/0000:03:00.0/class", "0x020000"),
    ("/sys/bus/event_source/devices/cpu/type", "4"),
];
/// What it is made of.
const HARDWARE: [(&str, &str); 11] = [
    ("/sys/devices/system/cpu/online", "0-3"),
    ("/sys/devices/system/cpu/isolated", "2-3"),
    ("/sys/devices/system/cpu/intel_pstate/no_turbo", "0"),
    ("/sys/devices/system/clocksource/clocksource0/current_clocksource", "hpet"),
    ("/sys/devices/system/clocksource/clocksource0/available_clocksource", "tsc hpet"),
    ("/sys/devices/system/node/node0/cpulist", "0-1"),
    ("/sys/devices/system/node/node1/cpulist", "2-3"),
    ("/sys/devices/pci/eth1/driver", ""),
    ("/sys/devices/pci/eth1/numa_node", "1"),
    ("/sys/class/net/eth1/ifindex", "3"),
    ("/sys/class/net/eth1/speed", "10000"),
];

/// A server with an ixgbe NIC of four queues on the second NUMA node, whose interrupts all go to
/// one CPU, threads, a governor that saves power, and everything installed.
fn server() -> Fixture {
    let mut fixture = Fixture::new()
        .files(&SERVER)
        .files(&HARDWARE)
        .link("/sys/class/net/eth1/device", "../../../devices/pci/eth1")
        .command("pkg-config --modversion libdpdk", "22.11.3\n")
        .command("onload", "")
        .command("ip", "")
        .command("nft", "")
        .command("perf", "")
        .command("ethtool -i eth1", "driver: ixgbe\nversion: 6.1\n")
        .command(
            "ethtool -l eth1",
            "Channel parameters for eth1:\nPre-set maximums:\nCombined:\t63\n\
             Current hardware settings:\nCombined:\t4\n",
        )
        .command("ethtool -c eth1", "Adaptive RX: on  TX: off\nrx-usecs: 50\n")
        .command(
            "ethtool -k eth1",
            "Features for eth1:\nrx-checksumming: on\ntx-checksumming: off\n\
             tcp-segmentation-offload: off [requested on]\ngeneric-receive-offload: on\n",
        )
        .uring(&["fast poll", "DEFER_TASKRUN"], &["NO_SQARRAY"]);
    let mut interrupts = String::from("            CPU0   CPU1   CPU2   CPU3\n");
    for queue in 0..4 {
        let irq = 60 + queue;
        interrupts.push_str(&format!(" {irq}:  1 2 3 4  PCI-MSI 1-edge  eth1-TxRx-{queue}\n"));
        fixture = fixture
            .file(&format!("/sys/devices/pci/eth1/msi_irqs/{irq}"), "msix")
            .file(&format!("/proc/irq/{irq}/smp_affinity_list"), "0")
            .file(&format!("/sys/class/net/eth1/queues/rx-{queue}/rps_cpus"), "0");
        let cpu = format!("/sys/devices/system/cpu/cpu{queue}");
        let siblings = if queue % 2 == 0 { "0,2" } else { "1,3" };
        fixture = fixture
            .file(&format!("{cpu}/cpufreq/scaling_governor"), "powersave")
            .file(&format!("{cpu}/topology/thread_siblings_list"), siblings);
    }
    fixture.file("/proc/interrupts", &interrupts)
}

#[test]
fn a_server_with_everything_installed() {
    let report = examine(&server().machine(), &[]).unwrap();
    for name in ["memif", "AF_XDP", "DPDK", "DPDK ports", "netmap", "PF_RING", "RDMA", "Onload"] {
        check(&report, name, Verdict::Yes, "");
    }
    for name in ["ef_vi/TCPDirect", "VMA/XLIO", "perf", "eBPF/XDP programs", "nftables", "TAP"] {
        check(&report, name, Verdict::Yes, "");
    }
    check(&report, "AF_XDP on eth1", Verdict::Yes, "");
    finds(&report, "AF_XDP on eth1", "ixgbe: native, zero-copy (as known of the driver");
    finds(&report, "DPDK", "libdpdk 22.11.3, no dpdk-testpmd, 1024 MiB of huge pages free");
    finds(&report, "DPDK ports", "0000:03:00.0 (vfio-pci)");
    check(&report, "io_uring", Verdict::Partly, "Linux 6.12");
    check(&report, "kernel busy-poll", Verdict::Partly, "showdown tune apply busy-poll");
    check(&report, "IRQ suspension", Verdict::No, "Linux 6.13");
    finds(&report, "IRQ suspension", "6.1.0-13-amd64");
}

#[test]
fn a_server_as_it_came_out_of_its_box() {
    let report = examine(&server().machine(), &[]).unwrap();
    check(&report, "governor", Verdict::Partly, "showdown tune apply latency");
    check(&report, "turbo", Verdict::Partly, "intel_pstate/no_turbo");
    check(&report, "SMT", Verdict::Partly, "smt/control");
    finds(&report, "SMT", "siblings: 0,2 1,3");
    check(&report, "NUMA", Verdict::Partly, "--cpus");
    finds(&report, "NUMA", "node0: CPUs 0-1; node1: CPUs 2-3");
    check(&report, "clock source", Verdict::Partly, "echo tsc");
    check(&report, "isolation", Verdict::Yes, "");
    finds(&report, "isolation", "isolcpus=2,3 nohz_full=2,3");
    check(&report, "virtualisation", Verdict::Yes, "");
    check(&report, "steal", Verdict::Yes, "");
    check(&report, "eth1 queues", Verdict::Yes, "");
    finds(&report, "eth1 queues", "ixgbe, 10000 Mbit/s, NUMA node 1: 4 of 63 for receiving");
    check(&report, "eth1 offloads", Verdict::Partly, "ethtool -K eth1 rx on tx on");
    finds(&report, "eth1 offloads", "on: receive checksum, GRO");
    check(&report, "eth1 coalescing", Verdict::Partly, "tune apply latency --interface eth1");
    check(&report, "eth1 interrupts", Verdict::Partly, "tune apply pinning --interface eth1");
    finds(&report, "eth1 interrupts", "4 on CPUs 0 0 0 0");
    check(&report, "irqbalance", Verdict::Partly, "systemctl stop irqbalance");
    check(&report, "somaxconn", Verdict::Partly, "sysctl net.core.somaxconn=4096");
    check(&report, "txrehash", Verdict::Partly, "net.core.txrehash=0");
    check(&report, "local ports", Verdict::Partly, "1024 65535");
    check(&report, "open files", Verdict::Partly, "ulimit -n");
    check(&report, "locked memory", Verdict::Yes, "");
}

#[test]
fn a_virtual_machine_with_one_queue_and_a_greedy_neighbour() {
    let later = STAT.replace("800 0 0 0 0 0 0", "840 0 0 0 10 0 0");
    let fixture = Fixture::new()
        .files(&[
            ("/proc/self/status", &ALL_CAPABILITIES.replace("0-3", "0-1")),
            ("/proc/sys/kernel/osrelease", "6.18.1"),
            ("/proc/net/protocols", "XDP       1088      0\n"),
            ("/proc/cpuinfo", "model name\t: EPYC\nflags\t\t: fpu hypervisor\n"),
            ("/proc/cmdline", "quiet"),
            ("/proc/stat", STAT),
            ("/proc/stat.later", &later),
            ("/proc/sys/net/core/busy_poll", "0"),
            ("/proc/sys/kernel/perf_event_paranoid", "2"),
            ("/sys/class/net/eth0/ifindex", "2"),
            ("/sys/class/net/eth0/queues/rx-0/rps_cpus", "0"),
            ("/sys/class/net/eth0/device/vendor", "0x1af4"),
            ("/sys/class/net/bonding_masters", ""),
        ])
        .command("ethtool -i eth0", "driver: virtio_net\n")
        .device_features(DeviceFeatures { xdp_native: true, xsk_zero_copy: false, napis: Some(1) })
        .uring(&["fast poll"], &[]);
    let report = examine(&fixture.machine(), &[]).unwrap();
    check(&report, "AF_XDP", Verdict::Yes, "");
    check(&report, "AF_XDP on eth0", Verdict::Partly, "ixgbe");
    finds(&report, "AF_XDP on eth0", "native, but every frame is copied (says the driver)");
    check(&report, "DPDK", Verdict::No, "apt-get install libdpdk-dev");
    check(&report, "DPDK ports", Verdict::No, "CONFIG_VFIO_PCI");
    check(&report, "io_uring", Verdict::Yes, "");
    check(&report, "kernel busy-poll", Verdict::Yes, "");
    finds(&report, "kernel busy-poll", "1 NAPI on eth0");
    check(&report, "IRQ suspension", Verdict::Yes, "");
    check(&report, "perf", Verdict::Partly, "pmu=on");
    check(&report, "cores", Verdict::Partly, "four cores");
    check(&report, "isolation", Verdict::Partly, "isolcpus=1");
    check(&report, "governor", Verdict::Unknown, "host");
    check(&report, "virtualisation", Verdict::Partly, "bare metal");
    check(&report, "steal", Verdict::Partly, "dedicated cores");
    // 20 of 100 ticks.
    finds(&report, "steal", "20.0 % over 500 ms");
    check(&report, "eth0 queues", Verdict::Partly, "tune apply pinning --interface eth0");
    check(&report, "eth0 offloads", Verdict::Unknown, "");
}

#[test]
fn a_container_without_anything() {
    let fixture = Fixture::new()
        .files(&[
            ("/proc/self/status", NO_CAPABILITY),
            ("/proc/self/limits", LIMITS),
            ("/proc/sys/kernel/osrelease", "5.4.0"),
            ("/proc/sys/kernel/io_uring_disabled", "2"),
            ("/proc/net/protocols", "TCP       2304      2\n"),
            ("/.dockerenv", ""),
        ])
        .without_memif();
    let report = examine(&fixture.machine(), &[]).unwrap();
    check(&report, "memif", Verdict::No, "seccomp");
    check(&report, "AF_XDP", Verdict::No, "boot a kernel");
    check(&report, "netmap", Verdict::No, "modprobe netmap");
    check(&report, "PF_RING", Verdict::No, "modprobe pf_ring");
    check(&report, "RDMA", Verdict::No, "rdma_rxe");
    check(&report, "Onload", Verdict::No, "Xilinx-CNS/onload");
    check(&report, "ef_vi/TCPDirect", Verdict::No, "onload_tool");
    check(&report, "VMA/XLIO", Verdict::No, "libvma");
    check(&report, "io_uring", Verdict::No, "sysctl kernel.io_uring_disabled=0");
    check(&report, "kernel busy-poll", Verdict::No, "namespace");
    check(&report, "eBPF/XDP programs", Verdict::Partly, "setcap");
    check(&report, "perf", Verdict::No, "boot a kernel");
    check(&report, "virtualisation", Verdict::Partly, "--privileged");
    check(&report, "steal", Verdict::Unknown, "");
    check(&report, "clock source", Verdict::Unknown, "sysfs");
    check(&report, "locked memory", Verdict::Partly, "ulimit -l");
    check(&report, "topology (veth)", Verdict::No, "unprivileged");
    check(&report, "nftables", Verdict::Partly, "apt-get install nftables");
    check(&report, "TAP", Verdict::Partly, "modprobe tun");
}

#[test]
fn a_user_without_rights_learns_what_root_could() {
    let fixture = server().files(&[("/proc/self/status", NO_CAPABILITY)]);
    let report = examine(&fixture.machine(), &[]).unwrap();
    check(&report, "AF_XDP", Verdict::Partly, "setcap cap_net_raw");
    check(&report, "perf", Verdict::Partly, "perf_event_paranoid=1");
    check(&report, "topology (veth)", Verdict::Partly, "run as root");
    check(&report, "memif", Verdict::Yes, "");
}

#[test]
fn an_interface_that_is_not_there_is_refused_with_those_that_are() {
    let error = examine(&server().machine(), &["eth7".to_owned()]).unwrap_err().to_string();
    assert_eq!(error, "there is no interface 'eth7' here; there are: eth1");
}

#[test]
fn the_worst_comes_first_within_a_group_and_everything_fits_a_terminal() {
    let report = examine(&server().machine(), &[]).unwrap();
    for group in &report.groups {
        assert!(group.rows.is_sorted_by_key(|row| row.verdict), "{group:#?}");
    }
    let text = text::render(&report);
    assert!(text.starts_with("can be used here: memif, AF_XDP,"), "{text}");
    for line in text.lines() {
        let cut = line.chars().count() > 80 && line.trim().contains(' ');
        assert!(!cut || line.contains("/sys/"), "{line}");
    }
}
