//! Ways around the kernel: AF_XDP, DPDK, memif, and those that this project has no mode for.

use super::{Row, Verdict, drivers};
use crate::machine::{Capability, Machine, network};

/// Memory that `server-xdp` locks for its frames by default, in bytes, with room to spare.
const UMEM_BYTES: u64 = 64 << 20;
/// Folders in which libraries are looked for.
const LIBRARIES: [&str; 7] = [
    "/usr/lib",
    "/usr/lib64",
    "/usr/lib/x86_64-linux-gnu",
    "/usr/lib/aarch64-linux-gnu",
    "/usr/local/lib",
    "/usr/local/lib64",
    "/opt/mellanox/lib",
];

pub(super) fn rows(machine: &Machine, interfaces: &[String]) -> Vec<Row> {
    let mut rows = vec![memif(machine), af_xdp(machine)];
    rows.extend(interfaces.iter().map(|name| af_xdp_on(machine, name)));
    rows.extend([
        dpdk(machine),
        dpdk_ports(machine),
        netmap(machine),
        pf_ring(machine),
        rdma(machine),
        onload(machine),
        ef_vi(machine),
        vma(machine),
    ]);
    rows
}

fn memif(machine: &Machine) -> Row {
    match machine.probe().memif() {
        Ok(()) => Row::yes("memif", "shared memory between two processes; needs no NIC, no root"),
        Err(error) => Row::of(Verdict::No, "memif", "memory cannot be shared")
            .because(format!("memfd_create or a SEQPACKET socket was refused: {error}"))
            .cured_by("allow both in the container's seccomp profile"),
    }
}

fn af_xdp(machine: &Machine) -> Row {
    let Some(protocols) = machine.read("/proc/net/protocols") else {
        return Row::of(Verdict::Unknown, "AF_XDP", "/proc/net/protocols cannot be read")
            .because("without it nothing tells whether the kernel has the sockets")
            .cured_by("mount -t proc proc /proc");
    };
    if !protocols.lines().any(|line| line.starts_with("XDP ")) {
        return Row::of(Verdict::No, "AF_XDP", "the kernel has no AF_XDP sockets")
            .because("it was built without CONFIG_XDP_SOCKETS")
            .cured_by("boot a kernel that has it: those of Debian, Ubuntu and Fedora do");
    }
    let lacking: Vec<&str> = [
        ("CAP_NET_RAW", machine.has(Capability::NetRaw)),
        ("CAP_NET_ADMIN", machine.has(Capability::NetAdmin)),
        ("CAP_BPF", machine.has(Capability::Bpf) || machine.has(Capability::SysAdmin)),
    ]
    .into_iter()
    .filter_map(|(name, has)| (!has).then_some(name))
    .collect();
    if !lacking.is_empty() {
        return Row::of(Verdict::Partly, "AF_XDP", "the kernel has it, this user may not use it")
            .because(format!("missing: {}", lacking.join(", ")))
            .cured_by(
                "run as root, or: sudo setcap cap_net_raw,cap_net_admin,cap_bpf,\
                       cap_ipc_lock+ep target/release/server-xdp",
            );
    }
    let memlock = super::limits::soft_limit(machine, "Max locked memory");
    if !machine.has(Capability::IpcLock) && memlock.is_some_and(|bytes| bytes < UMEM_BYTES) {
        return Row::of(Verdict::Partly, "AF_XDP", "sockets and programs, but little memory")
            .because("frames are locked memory, and the limit is low (ulimit -l)")
            .cured_by("sudo prlimit --pid $$ --memlock=unlimited, or grant CAP_IPC_LOCK");
    }
    Row::yes("AF_XDP", "sockets, programs and locked memory are allowed")
}

/// One interface: native or generic, copy or not, from the driver's own word where the kernel
/// passes it on.
fn af_xdp_on(machine: &Machine, name: &str) -> Row {
    let title = format!("AF_XDP on {name}");
    let driver = network::driver(machine, name).unwrap_or_else(|| "unknown driver".to_owned());
    let index = machine.number(&format!("/sys/class/net/{name}/ifindex"));
    let index = index.and_then(|index| u32::try_from(index).ok());
    let told = index.and_then(|index| machine.probe().device_features(index).ok());
    let (native, zero_copy, source) = match told {
        Some(features) => (features.xdp_native, features.xsk_zero_copy, "says the driver"),
        None => {
            let kernel = machine.kernel().unwrap_or((0, 0));
            let (native, zero_copy) = drivers::known(&driver, kernel);
            (native, zero_copy, "as known of the driver; Linux 6.3 would tell")
        }
    };
    match (native, zero_copy) {
        (true, true) => Row::yes(title, format!("{driver}: native, zero-copy ({source})")),
        (true, false) => Row::of(
            Verdict::Partly,
            title,
            format!("{driver}: native, but every frame is copied ({source})"),
        )
        .because("the driver has no zero-copy AF_XDP under this kernel")
        .cured_by(if driver == "veth" {
            "none for veth; a NIC with ixgbe, i40e, ice, igc or mlx5_core has it"
        } else {
            "a newer kernel, or a NIC with ixgbe, i40e, ice, igc or mlx5_core"
        }),
        (false, _) => Row::of(
            Verdict::Partly,
            title,
            format!("{driver}: generic attach only, on copies that the kernel made ({source})"),
        )
        .because("XDP programs do not run in the driver: bypass costs more than the kernel's way")
        .cured_by(native_cure(machine, &driver)),
    }
}

fn native_cure(machine: &Machine, driver: &str) -> String {
    let cpus = machine.cpus().len();
    match driver {
        // These give XDP a transmit queue for each CPU, which the device must offer.
        "virtio_net" => format!(
            "give the virtual NIC {} queues or more (QEMU: mq=on with queues={}), or take memif",
            2 * cpus,
            2 * cpus
        ),
        "ena" => "halve the queues: ethtool -L INTERFACE combined N".to_owned(),
        _ => "a NIC whose driver has XDP, or memif, which needs none".to_owned(),
    }
}

fn dpdk(machine: &Machine) -> Row {
    let version = machine.ask(&["pkg-config", "--modversion", "libdpdk"]);
    let testpmd = machine.has_program("dpdk-testpmd");
    let Some(version) = version else {
        let found = if testpmd { "dpdk-testpmd, but no headers" } else { "not installed" };
        return Row::of(Verdict::No, "DPDK", found)
            .because("pkg-config does not find libdpdk, so that server-dpdk cannot be built")
            .cured_by("sudo apt-get install libdpdk-dev dpdk-dev pkg-config");
    };
    let pages = huge_pages_bytes(machine);
    let found = format!(
        "libdpdk {}, {}, {} MiB of huge pages free",
        version.trim(),
        if testpmd { "dpdk-testpmd" } else { "no dpdk-testpmd" },
        pages >> 20
    );
    if pages == 0 {
        return Row::of(Verdict::Partly, "DPDK", found)
            .because("without huge pages only virtual devices run (--no-huge)")
            .cured_by("sudo infra/scripts/hugepages.sh up");
    }
    Row::yes("DPDK", found)
}

/// Free memory in huge pages of every size, in bytes.
fn huge_pages_bytes(machine: &Machine) -> u64 {
    let folders = machine.glob("/sys/kernel/mm/hugepages/hugepages-*kB");
    let bytes = folders.iter().filter_map(|folder| {
        let kib: u64 = folder.rsplit_once('-')?.1.strip_suffix("kB")?.parse().ok()?;
        Some(kib * 1024 * machine.number(&format!("{folder}/free_hugepages"))?)
    });
    bytes.sum()
}

/// Ports that DPDK could open: NICs that a driver for userspace holds.
fn dpdk_ports(machine: &Machine) -> Row {
    const NAME: &str = "DPDK ports";
    let mut ports = Vec::new();
    for driver in ["vfio-pci", "uio_pci_generic", "igb_uio"] {
        for device in machine.glob(&format!("/sys/bus/pci/drivers/{driver}/0*")) {
            let is_network =
                machine.read(&format!("{device}/class")).is_some_and(|id| id.starts_with("0x02"));
            if is_network {
                let address = device.rsplit('/').next().unwrap_or_default();
                ports.push(format!("{address} ({driver})"));
            }
        }
    }
    if !ports.is_empty() {
        return Row::yes(NAME, ports.join(", "));
    }
    let groups = machine.list("/sys/kernel/iommu_groups").len();
    let vfio = machine.exists("/sys/bus/pci/drivers/vfio-pci") || has_vfio_module(machine);
    let found = format!(
        "no NIC is bound; {} IOMMU groups; vfio-pci {}",
        groups,
        if vfio { "there" } else { "not there" }
    );
    let row = Row::of(if vfio { Verdict::Partly } else { Verdict::No }, NAME, found);
    match (vfio, groups) {
        (false, _) => row
            .because("this kernel has no vfio-pci; virtual devices (net_memif, net_af_xdp) remain")
            .cured_by("boot a kernel with CONFIG_VFIO_PCI"),
        (true, 0) => row
            .because("without an IOMMU, VFIO opens a NIC only in its unsafe mode")
            .cured_by("boot with intel_iommu=on (or amd_iommu=on) and turn VT-d on in the BIOS"),
        (true, _) => row
            .because("every NIC belongs to the kernel")
            .cured_by("sudo infra/scripts/nic-bind.sh status, then nic-bind.sh up INTERFACE"),
    }
}

/// Whether `modprobe` would find it.
fn has_vfio_module(machine: &Machine) -> bool {
    let release = machine.read("/proc/sys/kernel/osrelease").unwrap_or_default();
    let pattern = format!("/lib/modules/{release}/kernel/drivers/vfio/pci/vfio-pci.ko*");
    !machine.glob(&pattern).is_empty()
}

fn netmap(machine: &Machine) -> Row {
    if machine.exists("/dev/netmap") {
        return Row::yes("netmap", "/dev/netmap (no mode of this project uses it)");
    }
    Row::of(Verdict::No, "netmap", "no /dev/netmap")
        .because("the module is not in mainline Linux and not loaded")
        .cured_by("build it from https://github.com/luigirizzo/netmap, then modprobe netmap")
}

fn pf_ring(machine: &Machine) -> Row {
    if machine.exists("/proc/net/pf_ring/info") || machine.exists("/sys/module/pf_ring") {
        return Row::yes("PF_RING", "the module is loaded (no mode of this project uses it)");
    }
    Row::of(Verdict::No, "PF_RING", "no /proc/net/pf_ring")
        .because("the module is not in mainline Linux and not loaded")
        .cured_by("install ntop's pfring-dkms, then modprobe pf_ring")
}

fn rdma(machine: &Machine) -> Row {
    let devices = machine.list("/sys/class/infiniband");
    let state = |device: &String| {
        let states = machine.glob(&format!("/sys/class/infiniband/{device}/ports/*/state"));
        let states = states.iter().filter_map(|path| machine.read(path));
        // `4: ACTIVE`
        states.filter_map(|state| state.split(": ").nth(1).map(str::to_owned)).next()
    };
    let found: Vec<String> = devices
        .iter()
        .map(|device| format!("{device} {}", state(device).unwrap_or_default()))
        .collect();
    if devices.is_empty() {
        return Row::of(Verdict::No, "RDMA", "no device in /sys/class/infiniband")
            .because("no NIC with RDMA, or its driver (mlx5_ib, irdma, bnxt_re) is not loaded")
            .cured_by(
                "modprobe rdma_rxe && rdma link add rxe0 type rxe netdev INTERFACE \
                       emulates it, without the speed",
            );
    }
    if !found.iter().any(|device| device.ends_with("ACTIVE")) {
        return Row::of(Verdict::Partly, "RDMA", found.join(", "))
            .because("no port is active")
            .cured_by("ip link set INTERFACE up, and look at the cable");
    }
    Row::yes("RDMA", format!("{} (no mode of this project uses it)", found.join(", ")))
}

fn onload(machine: &Machine) -> Row {
    const NAME: &str = "Onload";
    let module = machine.exists("/dev/onload") || machine.exists("/sys/module/onload");
    let program = machine.has_program("onload");
    match (module, program) {
        (true, true) => Row::yes(NAME, "module and command: onload server-epoll ... uses it"),
        (false, true) => Row::of(Verdict::Partly, NAME, "the command, but no module")
            .because("its drivers are not loaded")
            .cured_by("sudo onload_tool reload"),
        (true, false) => Row::of(Verdict::Partly, NAME, "the module, but no command")
            .because("the library that takes over sockets is not installed")
            .cured_by("install onload-user from https://github.com/Xilinx-CNS/onload"),
        (false, false) => Row::of(Verdict::No, NAME, "neither /dev/onload nor the command")
            .because("it is not installed")
            .cured_by(
                "build it from https://github.com/Xilinx-CNS/onload; it wants a Solarflare \
                       NIC, or any with AF_XDP",
            ),
    }
}

fn ef_vi(machine: &Machine) -> Row {
    const NAME: &str = "ef_vi/TCPDirect";
    let device = machine.exists("/dev/sfc_char");
    let libraries: Vec<&str> = [("libciul1", "ef_vi"), ("libonload_zf", "TCPDirect")]
        .into_iter()
        .filter_map(|(library, name)| has_library(machine, library).then_some(name))
        .collect();
    if device && !libraries.is_empty() {
        return Row::yes(NAME, format!("/dev/sfc_char and {}", libraries.join(", ")));
    }
    let found = if device { "/dev/sfc_char, but no library" } else { "no /dev/sfc_char" };
    Row::of(Verdict::No, NAME, found)
        .because("both come with Onload, and need a Solarflare NIC (driver sfc)")
        .cured_by("install Onload and TCPDirect, then: sudo onload_tool reload")
}

fn vma(machine: &Machine) -> Row {
    const NAME: &str = "VMA/XLIO";
    let libraries: Vec<&str> =
        ["libvma", "libxlio"].into_iter().filter(|name| has_library(machine, name)).collect();
    let nic = machine.exists("/sys/bus/pci/drivers/mlx5_core");
    match (libraries.is_empty(), nic) {
        (false, true) => {
            Row::yes(NAME, format!("{}: LD_PRELOAD it to server-epoll", libraries.join(", ")))
        }
        (false, false) => {
            Row::of(Verdict::No, NAME, format!("{}, but no NIC for it", libraries.join(", ")))
                .because("it drives NVIDIA's ConnectX only (driver mlx5_core)")
                .cured_by("a ConnectX NIC")
        }
        (true, _) => Row::of(Verdict::No, NAME, "neither libvma nor libxlio")
            .because("not installed; it drives NVIDIA's ConnectX only")
            .cured_by("sudo apt-get install libvma"),
    }
}

fn has_library(machine: &Machine, name: &str) -> bool {
    LIBRARIES.iter().any(|folder| !machine.glob(&format!("{folder}/{name}.so*")).is_empty())
}
