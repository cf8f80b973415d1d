//! Kernel servers that poll the device, where there is one to poll; refused where there is not.

use crate::lab::{End, Lab, PREFIX};
use crate::mode::Mode;
use server_testing::refused;

const CONNECTIONS: usize = 16;

#[test]
fn epoll_polls_a_veth_with_gro() {
    let counters = polls(Mode::of("epoll"));
    // Each accepted socket was asked which NAPI its packets had come by.
    assert_eq!(counters["connections_not_polled"], 0, "{counters}");
}

#[test]
fn uring_polls_a_veth_with_gro() {
    polls(Mode::of("uring"));
}

/// With GRO on, a veth has a NAPI for each queue; the ready line names them, and requests are
/// answered.
fn polls(mode: Mode) -> serde_json::Value {
    let lab = Lab::new();
    set_gro(&lab, "on");
    let server = lab.start(mode, &["--wait", "busy-poll:1000"]);
    let ready = &server.ready;
    assert_eq!((&ready["wait"], &ready["busy_poll_us"]), (&"busy-poll:1000".into(), &1000.into()));
    let ids = ready["napi_ids"][interface()].as_array().expect("a list for the interface");
    // Identifiers below this are no device's (include/net/busy_poll.h, MIN_NAPI_ID).
    let all_real = ids.iter().all(|id| id.as_u64() > Some(256));
    assert!(!ids.is_empty() && all_real, "{ready}");
    let mut clients: Vec<_> = (0..CONNECTIONS).map(|_| server.connect()).collect();
    for client in &mut clients {
        for _ in 0..10 {
            assert_eq!(client.get("/plaintext").body, b"Hello, World!");
        }
    }
    drop(clients);
    let counters = server.stop();
    assert_eq!(counters["responses"], 10 * CONNECTIONS, "{counters}");
    counters
}

#[test]
fn a_veth_without_gro_is_not_polled() {
    let lab = Lab::new();
    for mode in ["epoll", "uring"] {
        let message = refusal(&lab, Mode::of(mode), "busy-poll");
        let cure = format!("ethtool -K {} gro on", interface());
        assert!(message.contains("--wait busy-poll") && message.contains(&cure), "{message}");
    }
}

#[test]
fn a_veth_has_no_interrupts_to_suspend() {
    let lab = Lab::new();
    set_gro(&lab, "on");
    let message = refusal(&lab, Mode::of("epoll"), "suspend");
    // Before Linux 6.13 it is the kernel that cannot.
    let causes = ["is no device on a bus", "Linux 6.13 is needed"];
    assert!(causes.iter().any(|cause| message.contains(cause)), "{message}");
    assert!(message.contains(&interface()) && message.contains("--wait busy-poll"), "{message}");
    let message = refusal(&lab, Mode::of("uring"), "suspend");
    assert!(message.contains("use server-epoll"), "{message}");
}

fn interface() -> String {
    format!("{PREFIX}-srv0")
}

fn set_gro(lab: &Lab, state: &str) {
    lab.run(End::Server, "ethtool", &["-K", &interface(), "gro", state]);
}

/// What a server says that does not start.
fn refusal(_lab: &Lab, mode: Mode, wait: &str) -> String {
    let (namespace, binary) = (End::Server.namespace(), mode.binary());
    let exec = ["netns", "exec", &namespace, &binary];
    refused("ip", &[&exec[..], &["--listen", mode.listen, "--wait", wait]].concat())
}
