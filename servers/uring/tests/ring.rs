//! What only this server has: steps of degradation, multishot operations, paused receives.

use server_testing::{Server, refused};

const BINARY: &str = env!("CARGO_BIN_EXE_server-uring");
const PLAINTEXT: &str = "GET /plaintext HTTP/1.1\r\nHost: x\r\n\r\n";

/// Every way to set the ring up serves small and large messages, and the ready line tells it.
#[test]
fn each_step_of_degradation_serves_and_is_told() {
    for taskrun in ["defer", "coop", "interrupt"] {
        for receive in ["bundle", "incremental", "multishot", "single"] {
            for wait in ["block", "spin"] {
                serve(&["--taskrun", taskrun, "--receive", receive, "--wait", wait]);
            }
        }
    }
}

fn serve(arguments: &[&str]) {
    let server = Server::start(BINARY, arguments);
    let asked = &server.ready["uring_asked"];
    let obtained = &server.ready["uring_obtained"];
    assert_eq!(asked["taskrun"], arguments[1]);
    assert_eq!(asked["receive"], arguments[3]);
    assert_eq!(server.ready["wait"], arguments[5]);
    // Asked for the least, a kernel has nothing lesser to give.
    if arguments[1] == "interrupt" {
        assert_eq!(obtained["taskrun"], "interrupt");
        assert_eq!(obtained["setup_flags"], serde_json::json!(["SUBMIT_ALL"]));
    }
    if arguments[3] == "single" {
        assert_eq!(obtained["receive"], "single");
    }
    let mut client = server.connect();
    assert_eq!(client.get("/plaintext").body, b"Hello, World!");
    assert_eq!(client.get("/bytes/1048576").body.len(), 1 << 20);
    let body = vec![b'e'; 100_000];
    client
        .send(format!("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n", body.len()));
    client.send(&body);
    assert!(client.response().body == body, "{arguments:?}: the body came back changed");
    drop(client);
    let counters = server.stop();
    assert_eq!(counters["responses"], 3, "{arguments:?}");
    assert_eq!(counters["stale_completions"], 0, "{arguments:?}");
}

/// What only some kernels have is told where it is had, refused where it is not, and serves.
#[test]
fn a_thread_of_the_kernel_and_waits_for_several_serve() {
    let defaults = ["--taskrun", "defer", "--receive", "multishot", "--wait", "block"];
    let (sqpoll, min_wait) = (["--sqpoll", "1"], ["--min-wait", "8:500"]);
    serve(&[&defaults[..], &sqpoll[..]].concat());
    serve(&[&defaults[..], &["--files", "registered"]].concat());
    let server = Server::start(BINARY, &sqpoll);
    assert_eq!(server.ready["uring_asked"]["sqpoll_idle_ms"], 1);
    let flags = &server.ready["uring_obtained"]["setup_flags"];
    assert!(flags.as_array().expect("a list").contains(&"SQPOLL".into()), "{flags}");
    let features = server.ready["uring_obtained"]["kernel_features"].clone();
    server.stop();
    if features.as_array().expect("a list").contains(&"min_timeout".into()) {
        serve(&[&defaults[..], &min_wait[..]].concat());
    } else {
        assert!(refused(BINARY, &min_wait).contains("Linux 6.12 is needed"));
    }
    assert!(refused(BINARY, &["--min-wait", "8"]).contains("not COMPLETIONS:USEC"));
}

/// Sent without a copy: the same bytes, a client that takes nothing is reset all the same, and the
/// drain ends.
#[test]
fn sends_without_a_copy_serve_and_end() {
    let send_zc = ["--send-zc", "1000"];
    let zero_copy = ["--taskrun", "defer", "--receive", "multishot", "--wait", "block"];
    if !has_send_zc() {
        assert!(refused(BINARY, &send_zc).contains("Linux 6.2 is needed"));
        return;
    }
    serve(&[&zero_copy[..], &send_zc[..]].concat());

    let mut server = Server::start(BINARY, &["--send-zc", "1000", "--send-timeout", "200"]);
    let mut client = server.connect();
    client.send("GET /bytes/16777216 HTTP/1.1\r\nHost: x\r\n\r\n");
    server.wait_for("closed_send_timeout", 1);
    drop(client);
    let counters = server.stop();
    assert!(counters["sends_zero_copy"].as_u64() > Some(0), "{counters}");

    let mut server = Server::start(BINARY, &["--send-zc", "1000", "--drain-timeout", "0"]);
    let mut client = server.connect();
    client.send("GET /bytes/16777216 HTTP/1.1\r\nHost: x\r\n\r\n");
    server.wait_for("sends_zero_copy", 1);
    let counters = server.stop();
    assert_eq!(counters["closed_drain_deadline"], 1, "{counters}");
    drop(client);
}

/// From a file: the same bytes, a client that takes nothing is reset all the same, and the drain
/// ends.
#[test]
fn bodies_from_the_file_are_served_and_end() {
    let defaults = ["--taskrun", "defer", "--receive", "multishot", "--wait", "block"];
    for bytes in ["1", "1000", "1000000"] {
        serve(&[&defaults[..], &["--sendfile-from", bytes]].concat());
    }
    let least = ["--taskrun", "interrupt", "--receive", "single", "--wait", "block"];
    serve(&[&least[..], &["--sendfile-from", "1"]].concat());
    serve(&[&defaults[..], &["--sendfile-from", "1", "--files", "registered"]].concat());

    let mut server = Server::start(BINARY, &["--send-timeout", "200"]);
    assert_eq!(server.ready["sendfile_from_bytes"], 65_536, "as loopback computes checksums");
    let mut client = server.connect();
    client.send("GET /bytes/16777216 HTTP/1.1\r\nHost: x\r\n\r\n");
    server.wait_for("closed_send_timeout", 1);
    drop(client);
    let counters = server.stop();
    assert!(counters["sends_from_file"].as_u64() > Some(0), "{counters}");

    let mut server = Server::start(BINARY, &["--drain-timeout", "0"]);
    let mut client = server.connect();
    client.send("GET /bytes/16777216 HTTP/1.1\r\nHost: x\r\n\r\n");
    server.wait_for("sends_from_file", 1);
    let counters = server.stop();
    assert_eq!(counters["closed_drain_deadline"], 1, "{counters}");
    drop(client);
}

#[test]
fn sendfile_is_refused_with_what_rules_it_out() {
    for other in [&["--sqpoll", "1"][..], &["--files", "direct"], &["--send-zc", "1000"]] {
        let sentence = refused(BINARY, &[&["--sendfile-from", "1"][..], other].concat());
        assert!(sentence.contains(&format!("cannot be had with {}", other[0])), "{sentence}");
    }
}

/// Without descriptors: what needs one gets it for as long, and the bound on connections holds.
#[test]
fn connections_without_a_descriptor_serve_and_end() {
    let direct = ["--files", "direct"];
    if !is_linux(6, 8) {
        assert!(refused(BINARY, &direct).contains("Linux 6.8 is needed"));
        return;
    }
    let defaults = ["--taskrun", "defer", "--receive", "multishot", "--wait", "block"];
    serve(&[&defaults[..], &direct].concat());
    serve(&[&defaults[..], &direct, &["--sqpoll", "1"]].concat());

    // TCP_INFO, by which the time-out goes, and SO_LINGER, with which it ends, need a descriptor.
    let mut server = Server::start(BINARY, &["--files", "direct", "--send-timeout", "200"]);
    assert_eq!(server.ready["uring_obtained"]["files"], "direct");
    let mut client = server.connect();
    client.send("GET /bytes/16777216 HTTP/1.1\r\nHost: x\r\n\r\n");
    server.wait_for("closed_send_timeout", 1);
    drop(client);
    // shutdown(2) does as well.
    let mut client = server.connect();
    client.send("GET /plaintext HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    assert_eq!(client.response().status, 200);
    server.wait_for("connections_closed", 2);
    server.stop();

    let mut server = Server::start(BINARY, &["--files", "direct", "--max-connections", "2"]);
    let mut kept = [server.connect(), server.connect()];
    for client in &mut kept {
        assert_eq!(client.get("/plaintext").status, 200);
    }
    // More than there are spare places for, one after the other.
    for refused in 1..=20 {
        drop(server.connect());
        server.wait_for("connections_refused", refused);
    }
    assert_eq!(kept[0].get("/plaintext").status, 200);
    drop(kept);
    let counters = server.stop();
    assert_eq!(counters["connections_accepted"], 2, "{counters}");
    assert_eq!(counters["accept_no_descriptors"], 0, "{counters}");
}

/// Whether the kernel has `IORING_SEND_ZC_REPORT_USAGE`.
fn has_send_zc() -> bool {
    is_linux(6, 2)
}

/// Whether the kernel is that version or a newer one.
fn is_linux(major: u32, minor: u32) -> bool {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").expect("Linux has it");
    let mut numbers = release.split(['.', '-']).map_while(|part| part.parse::<u32>().ok());
    (numbers.next(), numbers.next()) >= (Some(major), Some(minor))
}

/// Multishot: one receive operation, however many requests.
#[test]
fn a_receive_is_started_once_for_many_requests() {
    let server = Server::start(BINARY, &[]);
    let multishot = server.ready["uring_obtained"]["receive"] == "multishot";
    let mut client = server.connect();
    for _ in 0..100 {
        assert_eq!(client.get("/plaintext").status, 200);
    }
    drop(client);
    let started = server.stop()["receives_started"].as_u64().expect("a count");
    assert_eq!(started, if multishot { 1 } else { 101 });
}

/// A client that sends requests and reads no answers is not read from for ever; when it reads, it
/// gets them all, in order.
#[test]
fn receiving_pauses_while_a_client_does_not_read() {
    let mut server = Server::start(BINARY, &["--max-output", "65536"]);
    let mut client = server.connect();
    let requests = 40_000;
    let mut writer = client.stream().try_clone().expect("a descriptor is free");
    let writing = std::thread::spawn(move || {
        use std::io::Write;
        writer.write_all(PLAINTEXT.repeat(requests).as_bytes())
    });
    server.wait_for("receives_paused", 1);
    for _ in 0..requests {
        assert_eq!(client.response().body, b"Hello, World!");
    }
    writing.join().expect("no panic").expect("all was read");
    drop(client);
    let counters = server.stop();
    assert_eq!(counters["responses"], requests);
    assert_eq!(counters["received_bytes"], requests * PLAINTEXT.len());
}
