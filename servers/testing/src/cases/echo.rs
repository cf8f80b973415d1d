//! `--service echo`.

use super::noise;
use crate::Server;
use std::io::Write;

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
