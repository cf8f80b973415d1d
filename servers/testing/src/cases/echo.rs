//! `--service echo`.

use super::noise;
use crate::{PATIENCE, Server, refused};
use std::io::Write;
use std::net::{SocketAddr, UdpSocket};

/// One byte, then 4 MiB, come back unchanged; then the client's FIN is answered with a FIN.
pub fn echo_sends_every_byte_back(binary: &str) {
    let server = Server::start(binary, &["--service", "echo"]);
    assert_eq!(server.ready["service"], "echo");
    let mut client = server.connect();
    for byte in noise(100) {
        client.send([byte]);
        assert_eq!(client.exactly(1), [byte]);
    }
    let bytes = noise(4 << 20);
    let mut writer = client.stream().try_clone().expect("a descriptor is free");
    let sent = bytes.clone();
    let writing = std::thread::spawn(move || writer.write_all(&sent));
    assert!(client.exactly(bytes.len()) == bytes, "the bytes came back changed");
    writing.join().expect("no panic").expect("all taken");
    client.finish();
    client.expect_fin();
    drop(client);
    let counters = server.stop();
    assert_eq!(counters["received_bytes"], counters["sent_bytes"]);
    assert_eq!(counters["received_bytes"], 100 + bytes.len());
    assert_eq!(counters["closed_peer"], 1);
}

/// The idle time-out holds for echo too.
pub fn echo_closes_an_idle_client(binary: &str) {
    let server = Server::start(binary, &["--service", "echo", "--idle-timeout", "200"]);
    let mut client = server.connect();
    client.send("x");
    assert_eq!(client.exactly(1), b"x");
    client.expect_fin();
    drop(client);
    assert_eq!(server.stop()["closed_idle_timeout"], 1);
}

fn datagram_client(server: SocketAddr) -> UdpSocket {
    let client = UdpSocket::bind("127.0.0.1:0").expect("loopback is free");
    client.connect(server).expect("an address");
    client.set_read_timeout(Some(PATIENCE)).expect("not zero");
    client
}

/// Datagrams come back one for one and unchanged: empty, small, and the longest there is.
pub fn echo_sends_every_datagram_back(binary: &str) {
    let server = Server::start(binary, &["--service", "echo"]);
    assert_eq!(server.ready["udp"], true);
    let client = datagram_client(server.address);
    let mut buffer = vec![0; 1 << 16];
    let sizes = [0, 1, 0, 1472, 1473, 65_507, 100];
    for size in sizes {
        let sent = noise(size);
        client.send(&sent).expect("taken");
        let count = client.recv(&mut buffer).expect("it comes back");
        assert!(buffer[..count] == sent, "{size} bytes came back as {count}, or changed");
    }
    // TCP goes on beside it.
    let mut stream = server.connect();
    stream.send("x");
    assert_eq!(stream.exactly(1), b"x");
    drop(stream);
    let counters = server.stop();
    assert_eq!(counters["datagrams_received"], sizes.len());
    assert_eq!(counters["datagrams_sent"], sizes.len());
    assert_eq!(counters["datagrams_dropped"], 0);
    assert_eq!(counters["datagram_errors"], 0);
    assert_eq!(counters["received_bytes"], sizes.iter().sum::<usize>() + 1);
    assert_eq!(counters["sent_bytes"], counters["received_bytes"]);
}

/// Each client gets its own back, though many wait at the same time, more than a server takes in
/// one turn, on two threads where there are two CPUs.
pub fn datagrams_of_many_clients_go_back_to_each(binary: &str) {
    let cpus = std::thread::available_parallelism().map_or(1, usize::from);
    let list = if cpus > 1 { "0,1" } else { "0" };
    let server = Server::start(binary, &["--service", "echo", "--cpus", list]);
    let clients: Vec<UdpSocket> = (0..100).map(|_| datagram_client(server.address)).collect();
    let message = |index: usize, round: u8| [&noise(index)[..], &[round]].concat();
    for round in 0..3 {
        for (index, client) in clients.iter().enumerate() {
            client.send(&message(index, round)).expect("taken");
        }
        for (index, client) in clients.iter().enumerate() {
            let mut buffer = [0; 256];
            let count = client.recv(&mut buffer).expect("it comes back");
            assert_eq!(buffer[..count], message(index, round));
        }
    }
    let counters = server.stop();
    assert_eq!(counters["datagrams_received"], 300);
    assert_eq!(counters["datagrams_sent"], 300);
}

/// HTTP leaves the port's UDP alone; echo refuses to share it.
pub fn datagrams_are_for_echo_alone(binary: &str) {
    let server = Server::start(binary, &[]);
    assert_eq!(server.ready["udp"], false);
    let taken = UdpSocket::bind(server.address).expect("the port is free for UDP");
    let counters = server.stop();
    assert_eq!(counters["datagrams_received"], 0);
    let address = taken.local_addr().expect("bound").to_string();
    let message = refused(binary, &["--service", "echo", "--listen", &address]);
    assert!(message.contains("cannot take datagrams"), "{message}");
}
