//! What a userspace stack does when its frames are few and its clients many and lazy.

use crate::lab::{End, Lab, narrow};
use crate::mode::Mode;
use server_testing::{Client, Server};

const CONNECTIONS: usize = 2000;
/// Requests that each client has in flight.
const PIPELINED: usize = 4;
const MEBIBYTE: usize = 1024 * 1024;
/// The smallest that --rx-buffer takes, and as much for --tx-buffer.
const BUFFER_BYTES: usize = 64 * 1024;
/// An address of the client's that no other test uses.
const SOURCE: &str = "198.18.0.17";

pub(crate) fn frames_run_short_and_back_pressure_holds_until_clients_read_or_leave(mode: Mode) {
    let lab = Lab::new();
    let buffer = BUFFER_BYTES.to_string();
    // Nobody is given up on: what ends the pressure is what the clients do.
    let patient = ["--send-timeout", "3600000", "--idle-timeout", "3600000"];
    // Where connections share a pool, it must not be what holds them back.
    let pool = ["--tx-pool", "268435456"];
    let flags = ["--frames", "256", "--rx-buffer", &buffer, "--tx-buffer", &buffer];
    let mut server = lab.start(mode, &[&flags[..], &pool, &patient].concat());
    let mut steady = server.connect();
    let expected = steady.get("/bytes/1048576").body;
    let before = server.report();
    let memory_before = resident_bytes(&server);

    let requests = "GET /bytes/1048576 HTTP/1.1\r\nHost: x\r\n\r\n".repeat(PIPELINED);
    let mut lazy: Vec<Client> = Vec::with_capacity(CONNECTIONS);
    for _ in 0..CONNECTIONS {
        let mut client = narrow(server.address, SOURCE);
        client.send(&requests);
        lazy.push(client);
    }
    // As much was put as the send buffers hold, and not one response has found room whole.
    server.wait_for("connections_accepted", CONNECTIONS as u64 + 1);
    let sent_before = before["sent_bytes"].as_u64().expect("a count");
    server.wait_for("sent_bytes", sent_before + (CONNECTIONS * BUFFER_BYTES) as u64);
    let held = server.report();
    assert_eq!(held["responses"], before["responses"], "{held}");
    assert_eq!(held["connections_closed"], 0, "{held}");
    let grown = resident_bytes(&server) - memory_before;
    let bound = CONNECTIONS * (2 * BUFFER_BYTES + 4096) + 16 * MEBIBYTE;
    assert!(grown < bound, "{grown} bytes for {CONNECTIONS} connections, more than {bound}");

    // What is sent now, window probes of every connection, stays in the transmit ring, until the
    // link is there again.
    lab.set_link(mode, false);
    let stuck = held[mode.stuck_counter()].as_u64().expect("a count");
    server.wait_for(mode.stuck_counter(), stuck + 1);
    lab.set_link(mode, true);

    // ARP, SYNs and acknowledgements get frames, and so does who reads what he asked for.
    lab.run(End::Client, "ip", &["neigh", "flush", "dev", &mode.client_interface()]);
    lab.run(End::Client, "ping", &["-c1", "-W30", "198.18.0.2"]);
    assert_eq!(steady.get("/plaintext").status, 200);
    let mut fresh = server.connect();
    assert_eq!(fresh.get("/plaintext").status, 200);
    assert!(fresh.get("/bytes/1048576").body == expected, "wrong bytes");

    // A few read all that they asked for; the others leave.
    let readers = lazy.split_off(CONNECTIONS - 20);
    drop(lazy);
    for mut reader in readers {
        for _ in 0..PIPELINED {
            assert!(reader.response().body == expected, "wrong bytes");
        }
    }
    drop((steady, fresh));
    server.wait_for("connections_closed", CONNECTIONS as u64 + 2);
    let counters = server.stop();
    for back in ["connections_now", "half_open_now", "frames_outstanding"] {
        assert_eq!(counters[back], 0, "{back}: {counters}");
    }
}

/// Memory of the process that is not swapped out.
fn resident_bytes(server: &Server) -> usize {
    let path = format!("/proc/{}/status", server.pid());
    let status = std::fs::read_to_string(path).expect("the server runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB"));
    kib.expect("the kernel tells").trim().parse::<usize>().expect("a number") * 1024
}
