//! What happens when there is more than there is room for.

use super::PLAINTEXT;
use crate::{Client, Server};
use std::io::{Read, Write};
use std::net::TcpStream;
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
    let mut server = Server::start(binary, &[]);
    let mut clients: Vec<Client> = (0..10).map(|_| server.connect()).collect();
    for client in &mut clients {
        assert_eq!(client.get("/plaintext").status, 200);
    }
    // Not one more descriptor: the kernel completes the handshakes, accept fails with EMFILE.
    server.limit_open_files(server.open_descriptors());
    let mut waiting: Vec<Client> = (0..10).map(|_| server.connect()).collect();
    for client in &mut waiting {
        client.send(PLAINTEXT);
    }
    server.wait_for("accept_no_descriptors", 1);
    for client in &mut clients {
        assert_eq!(client.get("/plaintext").status, 200);
    }
    // A second in which nothing happens: a server that spins would use most of it.
    let before_ns = server.cpu_ns();
    silent_second(&clients[0]);
    let used = Duration::from_nanos(server.cpu_ns() - before_ns);
    assert!(used < Duration::from_millis(300), "{used:?} of CPU time for doing nothing");
    // One descriptor is given back by a client, the others by the limit: all get served.
    clients.pop();
    server.limit_open_files(1024);
    for client in &mut waiting {
        assert_eq!(client.response().status, 200);
    }
    drop((clients, waiting));
    let counters = server.stop();
    assert_eq!(counters["connections_accepted"], 20);
    assert_eq!(counters["responses"], 40 - 10);
}

/// Waits for bytes that do not come.
fn silent_second(client: &Client) {
    let mut stream = client.stream();
    stream.set_read_timeout(Some(Duration::from_secs(1))).expect("not zero");
    stream.read(&mut [0]).expect_err("nothing was asked");
    stream.set_read_timeout(Some(crate::PATIENCE)).expect("not zero");
}

/// A client that always has requests waiting does not keep others from being served.
pub fn a_greedy_client_does_not_starve_others(binary: &str) {
    let server = Server::start(binary, &[]);
    let greedy = TcpStream::connect(server.address).expect("the server listens");
    let mut writer = greedy.try_clone().expect("a descriptor is free");
    let mut reader = greedy.try_clone().expect("a descriptor is free");
    // Both end when the socket is shut down below.
    let writing = std::thread::spawn(move || {
        let requests = PLAINTEXT.repeat(1000);
        while writer.write_all(requests.as_bytes()).is_ok() {}
    });
    let reading = std::thread::spawn(move || {
        let mut bytes = vec![0; 1 << 20];
        let mut total = 0_u64;
        while let Ok(count @ 1..) = reader.read(&mut bytes) {
            total += u64::try_from(count).expect("a length");
        }
        total
    });
    let mut modest = server.connect();
    for _ in 0..200 {
        assert_eq!(modest.get("/json").status, 200);
    }
    greedy.shutdown(std::net::Shutdown::Both).expect("connected");
    writing.join().expect("no panic");
    assert!(reading.join().expect("no panic") > 0, "the greedy client was served as well");
    drop((greedy, modest));
    server.stop();
}
