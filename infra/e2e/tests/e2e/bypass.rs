//! What only the mode that bypasses the kernel can break.

use crate::lab::{End, Lab, PREFIX};
use crate::mode::Mode;
use server_testing::Client;

/// Whether a program is attached to the server's interface.
fn has_program(lab: &Lab) -> bool {
    let interface = format!("{PREFIX}-srv0");
    let link = lab.run(End::Server, "ip", &["-details", "link", "show", "dev", &interface]);
    link.contains("prog/xdp")
}

/// Asserts that an address answers pings.
fn ping(lab: &Lab, address: &str) {
    lab.run(End::Client, "ping", &["-c1", "-W30", address]);
}

pub(crate) fn a_thousand_connections_leave_the_tables_empty(mode: Mode) {
    const CONNECTIONS: usize = 1000;
    let lab = Lab::new();
    let mut server = lab.start(mode, &[]);
    // The clients of the first half close first; the server does in the second half, and is
    // left with the TIME-WAITs of that half (RFC 9293 §3.6.1).
    let mut clients: Vec<Client> = (0..CONNECTIONS).map(|_| server.connect()).collect();
    for client in &mut clients[..CONNECTIONS / 2] {
        assert_eq!(client.get("/plaintext").status, 200);
    }
    for client in &mut clients[CONNECTIONS / 2..] {
        client.send("GET /plaintext HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        assert_eq!(client.response().status, 200);
        client.expect_fin();
    }
    drop(clients);
    let all = u64::try_from(CONNECTIONS).expect("a small number");
    assert_eq!(server.wait_for("connections_closed", all), all);
    let counters = server.stop();
    assert_eq!(counters["connections_accepted"], CONNECTIONS, "{counters}");
    assert_eq!(counters["closed_peer"], CONNECTIONS / 2, "{counters}");
    assert_eq!(counters["closed_asked"], CONNECTIONS / 2, "{counters}");
    assert_eq!(counters["time_wait_entered"], CONNECTIONS / 2, "{counters}");
    assert_eq!(counters["time_wait_now"], CONNECTIONS / 2, "60 s have not passed: {counters}");
    for empty in ["connections_now", "half_open_now", "frames_outstanding"] {
        assert_eq!(counters[empty], 0, "{empty}: {counters}");
    }
}

pub(crate) fn the_kernel_still_answers_beside_it(mode: Mode) {
    let lab = Lab::new();
    let server = lab.start(mode, &[]);
    assert!(has_program(&lab), "the program is attached");
    ping(&lab, "198.18.0.2");
    ping(&lab, "198.18.0.1");
    let kernel = lab.start(Mode::of("epoll"), &[]);
    for running in [&server, &kernel] {
        assert_eq!(running.connect().get("/plaintext").body, b"Hello, World!");
    }
    kernel.stop();
    server.stop();
    assert!(!has_program(&lab), "the program is gone");
}

pub(crate) fn kill_9_leaves_no_program_and_the_kernel_answers(mode: Mode) {
    let lab = Lab::new();
    let server = lab.start(mode, &[]);
    assert_eq!(server.connect().get("/plaintext").status, 200);
    assert!(has_program(&lab), "the program is attached");
    server.signal("KILL");
    // Dropping waits for the process; its descriptors are closed by then.
    drop(server);
    assert!(!has_program(&lab), "the program is gone");
    ping(&lab, "198.18.0.1");
    let again = lab.start(mode, &[]);
    assert_eq!(again.connect().get("/plaintext").status, 200, "the interface can be used again");
    again.stop();
}

#[test]
fn an_interface_that_is_not_there_is_refused() {
    let flags = ["--interface", "no-such-if0", "--listen", "198.18.0.2:8080"];
    let error = server_testing::refused(&Mode::of("xdp").binary(), &flags);
    assert!(error.contains("no-such-if0"), "{error}");
}
