//! The command lines, word for word.

use super::*;
use crate::contender::Contender;
use crate::experiment::{Experiment, Network, Service};
use crate::matrix;
use crate::programs::Rendezvous;
use crate::topology::Names;
use std::path::PathBuf;

/// The commands of server and client of each cell, and of the conformance suite.
fn commands(network: Place, experiment: &Experiment) -> Vec<[String; 3]> {
    let rendezvous = Rendezvous::at(PathBuf::from("/tmp/sd"));
    let folder = PathBuf::from("/bin");
    let programs = Programs { folder, server_cpu: 3, client_cpu: 0, network, rendezvous };
    let json = Path::new("/tmp/x.json");
    let load = Load { duration_s: 1, warmup: Duration::from_millis(300), json };
    let points = matrix::expand(experiment, 1 << 20).unwrap().points;
    let all = points.iter().map(|point| {
        [
            programs.server_command(point),
            programs.client_command(point, load),
            programs.conformance_command(point, json),
        ]
        .map(|words| words.join(" "))
    });
    all.collect()
}

fn on_veth(change: impl FnOnce(&mut Experiment)) -> Vec<[String; 3]> {
    let mut experiment = Experiment::load("quick").unwrap();
    change(&mut experiment);
    commands(Place::Veth(Names::new("sd")), &experiment)
}

#[test]
fn on_veth_both_sides_enter_their_namespace_and_bypass_gets_the_interface() {
    let all = on_veth(|_| ());
    assert_eq!(
        all[0][0],
        "ip netns exec sd-server setpriv --pdeathsig KILL -- /bin/server-epoll \
         --listen 198.18.0.1:8080 --cpus 3 --drain-timeout 1 --wait block"
    );
    assert_eq!(
        all[3][0],
        "ip netns exec sd-server setpriv --pdeathsig KILL -- /bin/server-xdp \
         --interface sd-srv0 --listen 198.18.0.2:8080 --cpus 3 --drain-timeout 1 --tcp smoltcp"
    );
    assert_eq!(
        all[3][1],
        "ip netns exec sd-client setpriv --pdeathsig KILL -- /bin/loadgen -t1 -c32 -d1 \
         --latency --warmup 300ms --pin 0 --json /tmp/x.json http://198.18.0.2:8080/plaintext"
    );
    assert_eq!(
        all[3][2],
        "ip netns exec sd-client setpriv --pdeathsig KILL -- /bin/conformance --quick \
         --target 198.18.0.2:8080 --server xdp --json /tmp/x.json"
    );
}

#[test]
fn on_loopback_nothing_needs_root() {
    let mut experiment = Experiment::load("quick").unwrap();
    experiment.topology = Network::Loopback;
    experiment.axes.mode = vec![Mode::Epoll, Mode::Hyper];
    let all = commands(Place::Loopback(4711), &experiment);
    assert_eq!(
        all[1][0],
        "setpriv --pdeathsig KILL -- /bin/server-hyper --listen 127.0.0.1:4711 --cpus 3 \
         --drain-timeout 1"
    );
    assert!(all[1][1].ends_with("http://127.0.0.1:4711/plaintext"), "{}", all[1][1]);
}

#[test]
fn a_client_that_bypasses_the_kernel_has_an_interface_and_addresses() {
    let all = on_veth(|experiment| experiment.axes.transport = vec![Transport::Xdp]);
    assert_eq!(
        all[0][1],
        "ip netns exec sd-client setpriv --pdeathsig KILL -- /bin/loadgen -t1 -c32 -d1 \
         --latency --transport xdp --interface sd-cli0 --source 198.18.0.20 --warmup 300ms \
         --pin 0 --json /tmp/x.json http://198.18.0.1:8080/plaintext"
    );
}

#[test]
fn a_memif_needs_no_namespace_but_for_the_suite() {
    let all = on_veth(|experiment| {
        experiment.axes.mode = vec![Mode::Memif];
        experiment.baseline = Mode::Memif;
        experiment.axes.transport = vec![Transport::Memif];
        experiment.axes.connections = vec![100_000];
    });
    let [server, client, suite] = &all[0];
    assert_eq!(
        server,
        "setpriv --pdeathsig KILL -- /bin/server-memif --socket /tmp/sd/memif.sock \
         --listen 198.18.0.2:8080 --cpus 3 --drain-timeout 1 --tcp smoltcp"
    );
    assert_eq!(
        client,
        "setpriv --pdeathsig KILL -- /bin/loadgen -t1 -c100000 -d1 --latency --transport memif \
         --socket /tmp/sd/memif.sock --source 198.18.0.20-198.18.0.23 --warmup 300ms --pin 0 \
         --json /tmp/x.json http://198.18.0.2:8080/plaintext"
    );
    assert!(suite.starts_with("unshare ") && suite.contains(" --net -- setpriv "), "{suite}");
    assert!(
        suite.ends_with(
            "behind-a-tap /bin/memif-tap /tmp/sd/memif.sock /bin/conformance --quick \
             --target 198.18.0.2:8080 --server memif --json /tmp/x.json"
        ),
        "{suite}"
    );
}

#[test]
fn a_client_of_dpdk_has_the_device_of_its_link() {
    let all = on_veth(|experiment| {
        experiment.axes.mode = vec![Mode::Epoll, Mode::Memif];
        experiment.axes.transport = vec![Transport::Dpdk];
        experiment.baseline = Mode::Epoll;
    });
    let [veth, memif] = [&all[0][1], &all[1][1]];
    for client in [veth, memif] {
        assert!(client.contains("--transport dpdk --eal --no-huge -m 256 "), "{client}");
        assert!(!client.contains("--socket ") && !client.contains("--interface "), "{client}");
    }
    assert!(veth.contains("-client --vdev net_af_xdp0,iface=sd-cli0 --source "), "{veth}");
    let device = "net_memif0,role=client,socket=/tmp/sd/memif.sock,socket-abstract=no --source ";
    assert!(memif.contains(device), "{memif}");
}

#[test]
fn a_server_of_dpdk_has_the_device_of_its_link() {
    let all = on_veth(|experiment| {
        experiment.axes.mode = vec![Mode::Dpdk];
        experiment.baseline = Mode::Dpdk;
        experiment.axes.tcp = vec![crate::experiment::Tcp::Native];
        experiment.axes.transport = vec![Transport::Xdp, Transport::Memif];
    });
    let begins = "setpriv --pdeathsig KILL -- /bin/server-dpdk --listen 198.18.0.2:8080 --cpus 3 \
                  --drain-timeout 1 --tcp native -- --no-huge ";
    let [veth, memif] = [&all[0][0], &all[1][0]];
    assert_eq!(
        veth.strip_prefix("ip netns exec sd-server ").map(|at| at.find(begins)),
        Some(Some(0))
    );
    assert!(veth.ends_with("--vdev net_af_xdp0,iface=sd-srv0"), "{veth}");
    assert!(memif.starts_with(begins), "{memif}");
    let device = "--vdev net_memif0,role=server,socket=/tmp/sd/memif.sock,socket-abstract=no";
    assert!(memif.ends_with(device), "{memif}");
}

#[test]
fn a_floor_has_a_queue_at_both_ends_and_frames_of_a_request() {
    let all = on_veth(|experiment| experiment.floor = true);
    let [far, near, _] = all.last().unwrap();
    assert_eq!(
        far,
        "ip netns exec sd-server setpriv --pdeathsig KILL -- /bin/floor reflect \
         --interface sd-srv0 --cpu 3"
    );
    // 66 bytes of headers, and a request of 50.
    assert_eq!(
        near,
        "ip netns exec sd-client setpriv --pdeathsig KILL -- /bin/floor send \
         --interface sd-cli0 --cpu 0 --in-flight 32 --bytes 116 --duration 1 --warmup 300 \
         --json /tmp/x.json"
    );
}

#[test]
fn a_frame_is_never_shorter_or_longer_than_one_can_be() {
    assert_eq!(frame_bytes("/", "h"), 66 + "GET / HTTP/1.1\r\nHost: h\r\n\r\n".len());
    assert_eq!(frame_bytes(&"/".repeat(2000), "h"), 1514);
}

#[test]
fn an_open_loop_and_a_pipeline_are_told_to_the_generator() {
    let all = on_veth(|experiment| {
        experiment.axes.mode = vec![Mode::Epoll];
        experiment.axes.rate = vec![20_000];
        experiment.axes.pipeline = vec![16];
        experiment.axes.payload = vec![64];
    });
    assert_eq!(
        all[0][1],
        "ip netns exec sd-client setpriv --pdeathsig KILL -- /bin/loadgen -t1 -c32 -d1 --latency \
         -R20000 --warmup 300ms --pin 0 --json /tmp/x.json -s /tmp/sd/pipeline.lua \
         http://198.18.0.1:8080/bytes/64 -- 16 /bytes/64"
    );
}

#[test]
fn an_echo_is_loaded_by_ping_pong() {
    let all = on_veth(|experiment| {
        experiment.axes.mode = vec![Mode::Epoll];
        experiment.axes.service = vec![Service::Echo];
        experiment.axes.connections = vec![1];
        experiment.axes.payload = vec![64];
    });
    assert!(all[0][0].ends_with("--wait block --service echo"), "{}", all[0][0]);
    assert_eq!(
        all[0][1],
        "ip netns exec sd-client setpriv --pdeathsig KILL -- /bin/loadgen pingpong --rtt --spin \
         --nodelay --sizes 64 --minms 1000 --maxms 1000 --maxiter 1000000 --warmupms 300 \
         --warmupiter 1 --affinity 0 --json /tmp/x.json tcp 198.18.0.1:8080"
    );
}

#[test]
fn a_contender_is_pinned_and_has_its_words_filled_in() {
    let all = on_veth(|experiment| {
        experiment.contenders = Contender::named("mine=serve '{dir}/a b' --port {port}").unwrap();
        experiment.contenders[0].env.insert("ON".to_owned(), "{address}".to_owned());
    });
    let [server, client, suite] = all.last().unwrap();
    assert_eq!(
        server,
        "ip netns exec sd-server setpriv --pdeathsig KILL -- env ON=198.18.0.1:8080 \
         taskset -c 3 serve /tmp/sd/mine/a b --port 8080"
    );
    assert!(client.ends_with("http://198.18.0.1:8080/plaintext"), "{client}");
    assert!(suite.contains("--server mine "), "{suite}");
}

#[test]
fn offloads_are_turned_on_for_a_cell_and_off_again() {
    let network = Place::Veth(Names::new("sd"));
    let rendezvous = Rendezvous::at(PathBuf::from("/tmp/sd"));
    let folder = PathBuf::from("/bin");
    let programs = Programs { folder, server_cpu: 3, client_cpu: 0, network, rendezvous };
    let mut experiment = Experiment::load("quick").unwrap();
    let mut check = |offloads: Option<&str>, on: bool, expect: &[&str]| {
        experiment.axes.mode = vec![Mode::Epoll];
        let mut point = matrix::expand(&experiment, 1 << 20).unwrap().points.remove(0);
        point.cell.offloads = offloads.map(str::to_owned);
        let commands = programs.offload_commands(&point, on);
        let commands: Vec<String> = commands.iter().map(|words| words.join(" ")).collect();
        assert_eq!(commands, expect);
    };
    check(None, true, &[]);
    check(Some("gro"), true, &["ip netns exec sd-server ethtool -K sd-srv0 gro on"]);
    check(Some("gro"), false, &["ip netns exec sd-server ethtool -K sd-srv0 gro off"]);
    check(
        Some("on"),
        true,
        &[
            "ip netns exec sd-server ethtool -K sd-srv0 tx on sg on tso on gso on gro on",
            "ip netns exec sd-client ethtool -K sd-cli0 tx on sg on tso on gso on gro on",
        ],
    );
    check(
        Some("on"),
        false,
        &[
            "ip netns exec sd-server ethtool -K sd-srv0 tx off tso off gso off gro off",
            "ip netns exec sd-client ethtool -K sd-cli0 tx off tso off gso off gro off",
        ],
    );
}
