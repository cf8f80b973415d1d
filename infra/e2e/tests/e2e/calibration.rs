//! The load generator's transports side by side: whatever carries the requests, the same server has
//! the same latencies.
//!
//! The server is one on the kernel's TCP that holds each answer back for a time that depends on its
//! number alone. So every transport meets the same delays in the same shares, and each percentile
//! is that of one delay. The delays are far apart, so that a busy machine, which adds to all of
//! them, does not make one look like the next.

use crate::lab::{End, Lab, binary, in_namespace};
use serde_json::Value;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

/// The server's address on the veth pair, which both kinds of client can reach.
const SERVER: &str = "198.18.0.1:8090";
const CONNECTIONS: &str = "-c16";
const RESPONSE: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

/// Delays in milliseconds, each with the number of a hundred answers that have it.
const DELAYS_MS: [(u64, u64); 3] = [(80, 20), (16, 120), (4, 700)];
/// What is judged: a percentile, and the delay that it must show. What a busy machine may add is
/// less than what lies between one delay and the next.
const EXPECTED: [(&str, u64, u64); 3] = [("p50", 20, 120), ("p90", 120, 700), ("p99", 700, 1400)];

/// Of the answer of this number, counted from 0; one after another they are spread evenly.
fn delay(number: u64) -> Duration {
    // 37 and 100 have no divisor in common: a hundred answers have every place once.
    let mut place = number * 37 % 100;
    for (share, delay_ms) in DELAYS_MS {
        if place < share {
            return Duration::from_millis(delay_ms);
        }
        place -= share;
    }
    unreachable!("the shares add up to a hundred")
}

/// Answers whoever connects, each connection on a thread, until the test's process ends.
fn serve() {
    let listener = in_namespace(&End::Server.namespace(), || {
        TcpListener::bind(SERVER).expect("the address is there")
    });
    let number = Arc::new(AtomicU64::new(0));
    thread::spawn(move || {
        for stream in listener.incoming() {
            let number = Arc::clone(&number);
            let stream = stream.expect("descriptors are left");
            // A client that is gone, or has reset its connection, ends its thread.
            thread::spawn(move || answer(stream, &number));
        }
    });
}

#[expect(clippy::disallowed_methods, reason = "the delay is what is measured")]
fn answer(mut stream: TcpStream, number: &AtomicU64) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let (mut request, mut chunk) = (Vec::new(), [0; 1024]);
    loop {
        let count = stream.read(&mut chunk)?;
        if count == 0 {
            return Ok(());
        }
        request.extend_from_slice(&chunk[..count]);
        if request.ends_with(b"\r\n\r\n") {
            request.clear();
            thread::sleep(delay(number.fetch_add(1, Ordering::Relaxed)));
            stream.write_all(RESPONSE)?;
        }
    }
}

/// Loads the server for some seconds by a transport, and judges what is reported.
fn check(lab: &Lab, transport: &[&str]) {
    let file = format!("showdown-e2e-calibration-{}.json", std::process::id());
    let file = std::env::temp_dir().join(file);
    let path = file.to_str().expect("UTF-8");
    let url = format!("http://{SERVER}/");
    let common = ["-t1", CONNECTIONS, "-d6", "--json", path];
    let words = [&common[..], transport, &[&url]].concat();
    lab.run(End::Client, &binary("loadgen"), &words);
    let json = std::fs::read_to_string(&file).expect("loadgen wrote it");
    std::fs::remove_file(&file).expect("written by loadgen");
    let report: Value = serde_json::from_str(&json).expect("JSON");
    let requests = report["requests"].as_u64().expect("a count");
    assert!(requests >= 500, "too few to speak of p99: {requests}");
    for (name, least_ms, below_ms) in EXPECTED {
        let micros = report["latency"]["percentiles_us"][name].as_f64().expect("a latency");
        let millis = micros / 1000.0;
        // Three digits are kept: what is reported may be a thousandth below.
        let least = f64::from(u32::try_from(least_ms).expect("small")) * 0.999;
        let below = f64::from(u32::try_from(below_ms).expect("small"));
        assert!(
            (least..below).contains(&millis),
            "{transport:?}: {name} is {millis} ms, and should be {least_ms} to {below_ms}"
        );
    }
}

#[test]
fn every_transport_reports_the_latencies_of_a_server_that_delays() {
    let lab = Lab::new();
    serve();
    check(&lab, &["--transport", "epoll"]);
    check(&lab, &["--transport", "uring"]);
    let source = ["--source", "198.18.0.20", "--pin", "0"];
    check(&lab, &[&["--transport", "xdp", "--interface", "e2e-cli0"][..], &source].concat());
}

mod dpdk {
    use super::{Lab, check, serve};
    use crate::clients::EAL;

    #[test]
    fn a_port_of_dpdk_reports_the_latencies_of_a_server_that_delays() {
        let lab = Lab::new();
        serve();
        let eal = format!("{EAL} --vdev net_af_packet0,iface=e2e-cli0");
        let own = ["--transport", "dpdk", "--eal", &eal, "--source", "198.18.0.20", "--pin", "0"];
        check(&lab, &own);
    }
}
