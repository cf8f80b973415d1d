//! Queues over a real kernel: a veth pair between two namespaces that the test makes and removes.
//! Needs root and `ip`; without them every test says `SKIPPED` and why.

mod net;
mod reflect;
mod sys;

use net::{Net, SERVER, ip, within};
use queue::{Attach, Burst, BusyPoll, CopyMode, Queue, QueueCaps};
use queue_xdp::{AttachWish, BusyPollWish, Config, CopyWish, Error, Port, TcpPorts, XdpQueue};
use reflect::{OURS, PORT, Traffic, exchange};
use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, UdpSocket};
use std::process::{Child, Command, Stdio};
use std::thread;

fn config() -> Config {
    Config::new(SERVER, OURS, TcpPorts::List(vec![PORT]))
}

fn check_reflection(change: impl FnOnce(&mut Config), traffic: &Traffic) -> Option<QueueCaps> {
    let net = Net::make(1)?;
    let mut config = config();
    change(&mut config);
    let result = exchange(&net, &config, &[0], traffic);
    assert_eq!(result.counter("tx_frames"), u64::from(traffic.frame_count));
    assert_eq!(result.counter("rx_frames"), u64::from(traffic.frame_count));
    assert_eq!(result.counter("rx_bytes"), result.counter("tx_bytes"));
    for dropped in [
        "rx_bad_frames",
        "tx_bad_length_frames",
        "tx_bad_completions",
        "tx_other_errors",
        "kernel_rx_dropped_frames",
        "kernel_rx_ring_full_frames",
        "kernel_fill_ring_empty_frames",
        "kernel_rx_invalid_descs",
        "kernel_tx_invalid_descs",
    ] {
        assert_eq!(result.counter(dropped), 0, "{dropped}");
    }
    Some(result.caps)
}

#[test]
fn ten_thousand_frames_come_back_unchanged() {
    let traffic = Traffic { frame_count: 10_000, window: 64 };
    let Some(caps) = check_reflection(|_| (), &traffic) else { return };
    assert_eq!(caps.attach, Attach::Native);
    assert_eq!(caps.copy_mode, CopyMode::Copy, "veth cannot do without a copy");
    assert_eq!(caps.busy_poll, BusyPoll::Off, "veth sits on no bus");
    assert_eq!((caps.mtu, caps.frame_bytes), (1500, 1792));
    assert_ne!(caps.mac, [0; 6]);
}

#[test]
fn a_umem_of_256_frames_keeps_working() {
    let traffic = Traffic { frame_count: 10_000, window: 64 };
    check_reflection(|config| config.frame_count = Config::FRAME_COUNT_MIN, &traffic);
}

#[test]
fn rings_of_64_frames_keep_working() {
    let traffic = Traffic { frame_count: 2000, window: 32 };
    let change = |config: &mut Config| {
        config.rx_ring_frames = 64;
        config.tx_ring_frames = 64;
    };
    check_reflection(change, &traffic);
}

#[test]
fn a_generic_program_does_the_same() {
    let traffic = Traffic { frame_count: 1000, window: 32 };
    let change = |config: &mut Config| config.attach = AttachWish::Generic;
    let Some(caps) = check_reflection(change, &traffic) else { return };
    assert_eq!(caps.attach, Attach::Generic);
}

#[test]
fn a_busy_polled_queue_does_the_same() {
    let traffic = Traffic { frame_count: 1000, window: 32 };
    let change = |config: &mut Config| config.busy_poll = BusyPollWish::On;
    let Some(caps) = check_reflection(change, &traffic) else { return };
    assert_eq!(caps.busy_poll, BusyPoll::On);
}

#[test]
fn queues_of_one_port_share_its_program() {
    let Some(net) = Net::make(2) else { return };
    let traffic = Traffic { frame_count: 2000, window: 64 };
    let result = exchange(&net, &config(), &[0, 1], &traffic);
    assert_eq!(result.counter("rx_frames"), 2000);
    // The source port of each frame differs, so its sender's hash spreads them.
    assert!(result.rx_frames.iter().all(|&count| count > 0), "{:?}", result.rx_frames);
}

#[test]
fn the_kernel_keeps_what_is_not_ours() {
    let Some(net) = Net::make(1) else { return };
    within(&net.server, || {
        let port = Port::open(&config()).expect("a port");
        let mut queue = port.bind(0).expect("a queue");
        let server = UdpSocket::bind("198.18.0.1:9").expect("the kernel's address");
        within(&net.client, || {
            let client = UdpSocket::bind("198.18.0.10:0").expect("the kernel's address");
            client.send_to(b"past the queue", "198.18.0.1:9").expect("sent");
        });
        let mut datagram = [0; 64];
        let (len, _) = server.recv_from(&mut datagram).expect("ARP and UDP reach the kernel");
        assert_eq!(&datagram[..len], b"past the queue");
        assert_eq!(queue.rx_burst(&mut Burst::new()), 0);
    });
    assert!(!net.server_link().contains("xdp"), "a dropped port is detached");
}

#[test]
fn refusals_of_the_kernel_are_explained() {
    let Some(net) = Net::make(1) else { return };
    let refused = |change: fn(&mut Config)| {
        let mut config = config();
        change(&mut config);
        Port::open(&config).and_then(|port| port.bind(0)).expect_err("refused")
    };
    within(&net.server, || {
        let error = refused(|config| config.copy = CopyWish::ZeroCopy);
        assert!(
            matches!(&error, Error::NoZeroCopy { kernel_driver, .. } if kernel_driver == "veth")
        );
        let error = refused(|config| config.ips = Ipv4Addr::new(198, 18, 0, 1).into());
        assert!(matches!(error, Error::KernelOwnsAddress { .. }), "{error}");

        let port = Port::open(&config()).expect("a port");
        let error = port.bind(1).expect_err("there is one queue");
        assert!(matches!(error, Error::NoQueue { queue_count: 1, .. }), "{error}");
        let error = refused(|_| ());
        assert!(matches!(error, Error::ProgramAttached { .. }), "{error}");
        let queue = port.bind(0).expect("a queue");
        let error = port.bind(0).expect_err("it is taken");
        assert!(matches!(error, Error::QueueBusy { queue_id: 0, .. }), "{error}");
        drop(queue);
        port.bind(0).expect("waits until the kernel has freed the queue");
    });
    // Without any address, too: the queues need none of the kernel's.
    ip(&format!("-n {} address flush dev {SERVER}", net.server));
    within(&net.server, || {
        let mut config = config();
        config.ips = Ipv4Addr::new(198, 18, 0, 1).into();
        Port::open(&config).expect("the kernel no longer has it");
    });
    ip(&format!("-n {} link set {SERVER} down", net.server));
    within(&net.server, || {
        let error = refused(|_| ());
        assert!(matches!(error, Error::InterfaceDown { .. }), "{error}");
    });
}

fn counter(queue: &XdpQueue, name: &str) -> u64 {
    let mut found = None;
    queue.counters(&mut |counter, count| {
        if counter.0 == name {
            found = Some(count);
        }
    });
    found.unwrap_or_else(|| panic!("there is no counter {name}"))
}

fn send_one(queue: &mut XdpQueue) {
    let mut frame = queue.alloc().expect("a free frame");
    queue.bytes_mut(&mut frame, 60).fill(0);
    let mut burst = Burst::new();
    burst.push(frame).expect("room in an empty burst");
    assert_eq!(queue.tx_burst(&mut burst), 1);
}

#[test]
fn a_link_that_goes_down_or_away_is_survived() {
    let Some(net) = Net::make(1) else { return };
    within(&net.server, || {
        let port = Port::open(&config()).expect("a port");
        let mut queue = port.bind(0).expect("a queue");
        ip(&format!("-n {} link set {SERVER} down", net.server));
        send_one(&mut queue);
        let refused = counter(&queue, "tx_link_down_errors");
        assert!(refused > 0);
        queue.tx_burst(&mut Burst::new());
        assert_eq!(counter(&queue, "tx_link_down_errors"), refused + 1, "offered again");

        ip(&format!("-n {} link set {SERVER} up", net.server));
        queue.tx_burst(&mut Burst::new());
        assert_eq!(counter(&queue, "tx_link_down_errors"), refused + 1, "the kernel took it");
        send_one(&mut queue);

        ip(&format!("-n {} link delete {SERVER}", net.server));
        send_one(&mut queue);
        let lost = counter(&queue, "tx_link_down_errors") + counter(&queue, "tx_other_errors");
        assert!(lost > refused + 1, "nothing is sent into an interface that is gone");
        assert_eq!(queue.rx_burst(&mut Burst::new()), 0);
        assert_eq!(queue.outstanding(), 0);
        queue.audit();
    });
}

/// Starts the reflector as a process of its own and waits until it is ready.
fn spawn_reflector(net: &Net) -> Child {
    let mut child = Command::new("ip")
        .args(["netns", "exec", &net.server, env!("CARGO_BIN_EXE_xdp-reflect")])
        .args([SERVER, &OURS.to_string(), &PORT.to_string()])
        .stdout(Stdio::piped())
        .spawn()
        .expect("ip runs");
    let mut line = String::new();
    let stdout = child.stdout.take().expect("a pipe");
    BufReader::new(stdout).read_line(&mut line).expect("a line");
    assert!(line.starts_with("ready: "), "{line:?}");
    child
}

#[test]
fn a_killed_process_leaves_no_program() {
    let Some(net) = Net::make(1) else { return };
    // `ip netns exec` becomes the reflector, so this is its process.
    let mut child = spawn_reflector(&net);
    let attached = net.server_link();
    let reflected =
        within(&net.client, || reflect::round_trip(&Traffic { frame_count: 100, window: 10 }));
    child.kill().expect("SIGKILL");
    child.wait().expect("dead");
    assert!(attached.contains("prog/xdp"), "{attached}");
    assert_eq!(reflected, 100);

    // The kernel may detach it a moment after the process is gone.
    let is_detached = (0..1000).any(|_| {
        thread::yield_now();
        !net.server_link().contains("xdp")
    });
    assert!(is_detached, "{}", net.server_link());
    let traffic = Traffic { frame_count: 100, window: 10 };
    let result = exchange(&net, &config(), &[0], &traffic);
    assert_eq!(result.counter("rx_frames"), 100, "the queue can be bound again");
}
