//! What happens when there is more than there is room for.

use super::PLAINTEXT;
use crate::{Client, Server};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::sync::mpsc::channel;
use std::time::Duration;

/// Beyond `--max-connections` a connection is accepted and closed, until another one ends.
pub fn more_connections_than_allowed_are_closed(binary: &str) {
    let mut server = Server::start(binary, &["--max-connections", "2"]);
    let mut first = server.connect();
    let mut second = server.connect();
    assert_eq!(first.get("/plaintext").status, 200);
    assert_eq!(second.get("/plaintext").status, 200);
    let mut third = TcpStream::connect(server.address).expect("the kernel completes it");
    let mut bytes = Vec::new();
    // A FIN or a reset: the server need not read what a refused client sends.
    assert_eq!(third.read_to_end(&mut bytes).unwrap_or(0), 0, "{bytes:?}");
    assert_eq!(server.wait_for("connections_refused", 1), 1);
    drop(first);
    server.wait_for("connections_closed", 1);
    let mut fourth = server.connect();
    assert_eq!(fourth.get("/plaintext").status, 200);
    assert_eq!(second.get("/plaintext").status, 200);
    drop((second, fourth));
    let counters = server.stop();
    assert_eq!(counters["connections_accepted"], 3, "a refused one is not among them");
}

/// Out of descriptors, the server goes on serving, does not spin, and recovers.
pub fn without_descriptors_the_established_are_served(binary: &str) {
    let mut server = Server::start_crowded(binary, 32);
    let most = server.ready["max_connections"].as_u64().expect("a count");
    // All are within the bound on connections, and the kernel completes the handshakes; but not
    // for all of them there is a descriptor: accept fails with EMFILE.
    let mut clients: Vec<Client> = (0..most).map(|_| server.connect()).collect();
    for client in &mut clients {
        client.send(PLAINTEXT);
    }
    server.wait_for("accept_no_descriptors", 1);
    let accepted = server.report()["connections_accepted"].as_u64().expect("a count");
    assert!(accepted < most, "{accepted} of {most} were accepted: nobody waits");
    // The backlog is a queue: those that connected first are established, the others wait.
    let mut waiting = clients.split_off(usize::try_from(accepted).expect("a few"));
    for client in &mut clients {
        assert_eq!(client.response().status, 200);
        assert_eq!(client.get("/plaintext").status, 200);
    }
    // A second in which nothing happens: a server that spins would use most of it.
    let before_ns = server.cpu_ns();
    clients[0].expect_silence(Duration::from_secs(1));
    let used = Duration::from_nanos(server.cpu_ns() - before_ns);
    assert!(used < Duration::from_millis(300), "{used:?} of CPU time for doing nothing");
    // Each client that leaves gives its descriptor to one that waits.
    for client in &mut waiting {
        clients.pop();
        assert_eq!(client.response().status, 200);
    }
    drop((clients, waiting));
    let counters = server.stop();
    assert_eq!(counters["connections_accepted"], most);
    assert_eq!(counters["responses"], most + accepted);
}

/// For servers whose accept obeys the limit of the moment: descriptors that become free without any
/// connection of ours ending are noticed too.
pub fn descriptors_freed_elsewhere_are_noticed(binary: &str) {
    let mut server = Server::start(binary, &[]);
    // Descriptors from 1 on are out of bounds, wherever there is a gap among those in use.
    limit_open_files(&server, 1);
    let mut waiting = server.connect();
    waiting.send(PLAINTEXT);
    let failed = server.wait_for("accept_no_descriptors", 1);
    // It tries again now and then, though nothing happens.
    server.wait_for("accept_no_descriptors", failed + 2);
    limit_open_files(&server, 1024);
    assert_eq!(waiting.response().status, 200);
    drop(waiting);
    server.stop();
}

/// Sets the soft limit of the running process.
fn limit_open_files(server: &Server, most: usize) {
    let arguments = [format!("--pid={}", server.pid()), format!("--nofile={most}:")];
    let status = Command::new("prlimit").args(&arguments).status().expect("util-linux");
    assert!(status.success(), "prlimit {arguments:?}: {status}");
}

/// A client that always has requests waiting does not keep others from being served.
pub fn a_greedy_client_does_not_starve_others(binary: &str) {
    let server = Server::start(binary, &[]);
    let greedy = TcpStream::connect(server.address).expect("the server listens");
    let mut writer = greedy.try_clone().expect("a descriptor is free");
    let mut reader = greedy.try_clone().expect("a descriptor is free");
    // Both threads end when the socket is shut down below.
    let writing = std::thread::spawn(move || {
        let requests = PLAINTEXT.repeat(1000);
        while writer.write_all(requests.as_bytes()).is_ok() {}
    });
    let (begun, begins) = channel();
    let reading = std::thread::spawn(move || {
        let mut bytes = vec![0; 1 << 20];
        while let Ok(1..) = reader.read(&mut bytes) {
            // Only the first is waited for.
            let _unheard = begun.send(());
        }
    });
    begins.recv_timeout(crate::PATIENCE).expect("the greedy client is served as well");
    let mut modest = server.connect();
    for _ in 0..200 {
        assert_eq!(modest.get("/json").status, 200);
    }
    greedy.shutdown(std::net::Shutdown::Both).expect("connected");
    writing.join().expect("no panic");
    reading.join().expect("no panic");
    drop((greedy, modest));
    server.stop();
}
