//! What a server survives: its own end, its clients' ends, and too few descriptors.

use crate::lab::{End, Lab, PREFIX, hurried, narrow};
use crate::mode::Mode;
use serde_json::Value;
use server_testing::{Client, Server};
use std::io::ErrorKind;
use std::net::TcpStream;
use std::time::{Duration, Instant};

/// Longer than socket buffers at both ends and a server's own output can hold: whoever has asked
/// for it and reads nothing has a response in flight.
const LONG: usize = 10 * 1024 * 1024;
const GET_LONG: &str = "GET /bytes/10485760 HTTP/1.1\r\nHost: x\r\n\r\n";
/// An address of the client's that no other test uses.
const SOURCE: &str = "198.18.0.18";

pub(crate) fn sigterm_cuts_no_response_in_flight(mode: Mode) {
    const READERS: usize = 8;
    const PIECE: usize = 32 * 1024;
    let lab = Lab::new();
    // Nobody is hurried: what is judged is that nothing is cut off, not how fast this machine is.
    let mut server = lab.start(mode, &["--drain-timeout", "600"]);
    let expected = server.connect().get("/bytes/10485760").body;
    assert_eq!(expected.len(), LONG);
    let mut idle: Vec<Client> = (0..READERS).map(|_| server.connect()).collect();
    for client in &mut idle {
        assert_eq!(client.get("/plaintext").status, 200);
    }
    // Answered before the signal, and read only when the server is gone.
    let mut late = server.connect();
    late.send("GET /bytes/5000 HTTP/1.1\r\nHost: x\r\n\r\n");
    server.wait_for("responses", 1 + 1 + READERS as u64);
    let mut readers: Vec<Client> = (0..READERS).map(|_| asks_for_long(&server)).collect();

    server.signal("TERM");
    idle.iter_mut().for_each(Client::expect_fin);
    for _ in 0..READERS {
        let refused = TcpStream::connect(server.address).expect_err("nobody listens any more");
        assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
    }
    // In turns, so that each waits for the seven others before it reads on.
    for piece in expected.chunks(PIECE) {
        for reader in &mut readers {
            assert!(reader.exactly(piece.len()) == piece, "wrong bytes");
        }
    }
    readers.iter_mut().for_each(Client::expect_fin);
    // None of the clients has closed its side: that is not what a server waits for.
    let counters = server.exit();
    assert_eq!(late.response().body, expected[..5000]);
    late.expect_fin();
    assert_eq!(counters["closed_drained"], 2 * READERS + 1, "{counters}");
    assert_eq!(counters["closed_drain_deadline"], 0, "{counters}");
    assert_eq!(counters["closed_error"], 0, "{counters}");
}

pub(crate) fn clients_killed_mid_response_leave_nothing_behind(mode: Mode) {
    const ROUNDS: usize = 8;
    const AT_ONCE: usize = 25;
    let lab = Lab::new();
    let mut server = lab.start(mode, &[]);
    let mut steady = server.connect();
    assert_eq!(steady.get("/plaintext").status, 200);
    let before = server.open_descriptors();
    for round in 0..ROUNDS {
        let mut clients: Vec<Client> = (0..AT_ONCE).map(|_| asks_for_long(&server)).collect();
        // Each is at another place of the response when its process ends, which is to the kernel
        // what closing with bytes unread is: a reset.
        for (place, client) in clients.iter_mut().enumerate() {
            client.exactly(1 + 1009 * place * round);
        }
        drop(clients);
        assert_eq!(steady.get("/plaintext").status, 200);
    }
    let killed = ROUNDS * AT_ONCE;
    server.wait_for("connections_closed", killed as u64);
    assert!(server.open_descriptors() <= before, "descriptors leak");
    drop(steady);
    let counters = server.stop();
    assert_eq!(counters["connections_accepted"], killed + 1, "{counters}");
    assert_nothing_is_left(mode, &counters);
}

pub(crate) fn clients_that_vanish_are_given_up_by_the_send_timeout(mode: Mode) {
    const CLIENTS: usize = 20;
    let lab = Lab::new();
    let mut server = lab.start(mode, &["--send-timeout", "1000"]);
    let mut steady = server.connect();
    assert_eq!(steady.get("/plaintext").status, 200);
    let before = server.open_descriptors();
    let mut clients: Vec<Client> = (0..CLIENTS).map(|_| narrow(server.address, SOURCE)).collect();
    for client in &mut clients {
        client.send(GET_LONG);
        assert_eq!(client.head().status, 200);
    }
    // Without its address a host neither acknowledges nor resets.
    let interface = format!("{PREFIX}-cli0");
    lab.run(End::Client, "ip", &["address", "del", &format!("{SOURCE}/16"), "dev", &interface]);
    server.wait_for("closed_send_timeout", CLIENTS as u64);
    assert!(server.open_descriptors() <= before, "descriptors leak");
    assert_eq!(steady.get("/plaintext").status, 200);
    drop((clients, steady));
    let counters = server.stop();
    assert_eq!(counters["closed_send_timeout"], CLIENTS, "{counters}");
    assert_nothing_is_left(mode, &counters);
}

pub(crate) fn out_of_descriptors_the_connected_are_served(mode: Mode) {
    const CROWD: usize = 1000;
    // Some of the 64 are taken by something else: the server finds fewer than it reckons with, and
    // accept fails with EMFILE.
    let taken = "for fd in 3 4 5 6 7 8 9; do eval \"exec $fd</dev/null\"; done; exec \"$@\"";
    let command = ["sh", "-c", taken, "sh", "prlimit", "--nofile=64:64"];
    let lab = Lab::new();
    let mut server = lab.start_by(mode, &command, &[]);
    let mut crowd: Vec<Client> = (0..CROWD).map(|_| server.connect()).collect();
    if mode.is_bypass() {
        // A connection of the userspace stack needs none.
        assert!(crowd.iter_mut().all(|client| client.get("/plaintext").status == 200));
        drop(crowd);
        assert_eq!(server.stop()["connections_accepted"], CROWD);
        return;
    }
    server.wait_for("accept_no_descriptors", 1);
    let accepted = server.report()["connections_accepted"].as_u64().expect("a count");
    // The backlog is a queue: those that connected first are established, the others wait.
    let accepted = usize::try_from(accepted).expect("a few");
    assert!((32..64).contains(&accepted), "{accepted} were accepted");
    let waiting = crowd.split_off(accepted);
    let used = share_of_cpu(&server, &mut crowd[0]);
    assert!(used < 0.5, "{used} of a CPU for doing nothing");
    for client in &mut crowd {
        assert_eq!(client.get("/plaintext").status, 200);
    }
    // Each that leaves gives its descriptor to one that waits.
    for mut client in waiting {
        crowd.pop();
        client.send("GET /plaintext HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        assert_eq!(client.response().status, 200);
    }
    drop(crowd);
    let counters = server.stop();
    assert_eq!(counters["connections_accepted"], CROWD, "{counters}");
    assert_eq!(counters["connections_refused"], 0, "{counters}");
}

pub(crate) fn a_burst_of_five_thousand_connects_is_accepted(mode: Mode) {
    const CLIENTS: usize = 5000;
    let lab = Lab::new();
    let server = lab.start(mode, &[]);
    // All SYNs are sent before the first handshake is waited for.
    let mut clients: Vec<Client> = (0..CLIENTS).map(|_| hurried(server.address)).collect();
    for client in &mut clients {
        assert_eq!(client.get("/plaintext").status, 200);
    }
    drop(clients);
    let counters = server.stop();
    assert_eq!(counters["connections_accepted"], CLIENTS, "{counters}");
    assert_eq!(counters["responses"], CLIENTS, "{counters}");
}

/// A client that has the head of a response in flight, and reads no further.
fn asks_for_long(server: &Server) -> Client {
    let mut client = narrow(server.address, SOURCE);
    client.send(GET_LONG);
    assert_eq!(client.head().status, 200);
    client
}

/// Asserts that a userspace stack has everything back; `Server::stop` has looked at the rest.
fn assert_nothing_is_left(mode: Mode, counters: &Value) {
    if mode.is_bypass() {
        for empty in ["connections_now", "half_open_now", "frames_outstanding"] {
            assert_eq!(counters[empty], 0, "{empty}: {counters}");
        }
    }
    if mode.flags.contains(&"native") {
        for empty in ["tx_pool_chunks_now", "rx_pool_chunks_now"] {
            assert_eq!(counters[empty], 0, "{empty}: {counters}");
        }
    }
}

/// The part of a CPU that the server uses while nothing is asked of it: of a second of waiting for
/// bytes that do not come.
fn share_of_cpu(server: &Server, client: &mut Client) -> f64 {
    let (before_ns, start) = (server.cpu_ns(), Instant::now());
    client.expect_silence(Duration::from_secs(1));
    Duration::from_nanos(server.cpu_ns() - before_ns).as_secs_f64() / start.elapsed().as_secs_f64()
}
