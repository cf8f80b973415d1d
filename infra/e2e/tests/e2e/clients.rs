//! The load generator's transports that leave the kernel's TCP out, against servers of every kind.

use crate::lab::Lab;
use crate::mode::{MEMIF_SOCKET, Mode};
use crate::tools::load_and_account;
use server_testing::Server;

/// What every EAL of these tests has: neither huge pages nor a NIC, and files of its own.
pub(crate) const EAL: &str = "--no-huge -m 256 --no-pci --no-telemetry --file-prefix=e2e-client";
const SOURCE: [&str; 2] = ["--source", "198.18.0.20"];

mod dpdk {
    /// Over the memif protocol: our own end of it, and DPDK's.
    #[test]
    fn net_memif_loads_either_server_on_a_memif() {
        super::over_memif("memif_native");
        super::over_memif("dpdk_native");
    }

    #[test]
    fn net_af_packet_loads_the_kernel_and_ours() {
        super::over_veth("net_af_packet0", &["epoll", "xdp_native"]);
    }

    #[test]
    fn net_af_xdp_loads_the_kernel_and_ours() {
        super::over_veth("net_af_xdp0", &["epoll", "xdp_native"]);
    }
}

#[test]
fn xdp_loads_the_kernel_and_ours() {
    for module in ["epoll", "xdp_native"] {
        let (lab, mode) = (Lab::new(), Mode::of(module));
        let server = lab.start(mode, &[]);
        let own = ["--transport", "xdp", "--interface", "e2e-cli0"];
        load(&lab, mode, server, &own);
    }
}

#[test]
fn a_memif_has_a_number_and_a_secret() {
    let (lab, mode) = (Lab::new(), Mode::of("memif_native"));
    let server = lab.start_unjoined(mode, &[], &["--id", "7", "--secret", "hush"]);
    let own = ["--transport", "memif", "--socket", MEMIF_SOCKET, "--id", "7", "--secret", "hush"];
    load(&lab, mode, server, &own);
}

fn over_memif(module: &str) {
    let (lab, mode) = (Lab::new(), Mode::of(module));
    let server = lab.start_unjoined(mode, &[], &[]);
    let device = format!("net_memif0,role=client,socket={MEMIF_SOCKET},socket-abstract=no");
    over_dpdk(&lab, mode, server, &device);
}

fn over_veth(driver: &str, modules: &[&str]) {
    for module in modules {
        let (lab, mode) = (Lab::new(), Mode::of(module));
        let server = lab.start(mode, &[]);
        over_dpdk(&lab, mode, server, &format!("{driver},iface=e2e-cli0"));
    }
}

fn over_dpdk(lab: &Lab, mode: Mode, server: Server, device: &str) {
    let eal = format!("{EAL} --vdev {device}");
    load(lab, mode, server, &["--transport", "dpdk", "--eal", &eal]);
}

/// The generator runs on the first CPU, servers on the last: each polls.
fn load(lab: &Lab, mode: Mode, server: Server, own: &[&str]) {
    let options = [own, &SOURCE, &["--pin", "0"]].concat();
    load_and_account(lab, (server, &mode.url("/plaintext")), &options);
}
