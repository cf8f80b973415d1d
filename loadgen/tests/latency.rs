//! The latency modes against servers in this process: what is printed, what is counted, what is
//! refused.
//!
//! The servers are threads of `std::net`; no test looks at a clock.
#![forbid(unsafe_code)]

use serde_json::Value;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::PathBuf;
use std::process::{Command, Output};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

fn loadgen(words: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_loadgen")).args(words).output().unwrap()
}

/// What it prints, where it must succeed.
fn printed(words: &[&str]) -> String {
    let output = loadgen(words);
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{words:?}: {}: {error}", output.status);
    assert_eq!(error, "", "{words:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// What it says on standard error, where it must fail.
fn refused(words: &[&str]) -> String {
    let output = loadgen(words);
    assert_ne!(output.status.code(), Some(0), "{words:?}");
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(!error.contains("panicked"), "{error}");
    error
}

/// A TCP server that hands every connection to `serve`, for as long as this process lives, and
/// counts the connections.
fn tcp_server(serve: fn(TcpStream)) -> (SocketAddr, Arc<AtomicU64>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let count = Arc::new(AtomicU64::new(0));
    let counter = Arc::clone(&count);
    thread::spawn(move || {
        for stream in listener.incoming() {
            counter.fetch_add(1, Ordering::Relaxed);
            let stream = stream.unwrap();
            stream.set_nodelay(true).unwrap();
            thread::spawn(move || serve(stream));
        }
    });
    (address, count)
}

/// Sends every byte back.
fn echo(mut stream: TcpStream) {
    let mut buffer = [0; 4096];
    // A client that goes away ends its thread.
    while let Ok(count @ 1..) = stream.read(&mut buffer) {
        if stream.write_all(&buffer[..count]).is_err() {
            return;
        }
    }
}

/// Answers `GET /bytes/N`, and closes after it where the client asks for that.
fn web(stream: TcpStream) {
    let mut writer = stream.try_clone().unwrap();
    let mut reader = BufReader::new(stream);
    loop {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if !matches!(reader.read_line(&mut head), Ok(1..)) {
                return;
            }
        }
        let size = head.strip_prefix("GET /bytes/").expect("nothing else is asked for");
        let size: usize = size.split(' ').next().unwrap().parse().unwrap();
        let closes = head.contains("Connection: close");
        let close = if closes { "connection: close\r\n" } else { "" };
        let answer = format!("HTTP/1.1 200 OK\r\n{close}content-length: {size}\r\n\r\n");
        let answer = [answer.as_bytes(), &vec![b'x'; size]].concat();
        if writer.write_all(&answer).is_err() || closes {
            return;
        }
    }
}

/// Sends every datagram back, for as long as this process lives.
fn udp_server() -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    thread::spawn(move || {
        let mut buffer = [0; 65536];
        loop {
            let (count, from) = socket.recv_from(&mut buffer).unwrap();
            // The client may have closed already.
            drop(socket.send_to(&buffer[..count], from));
        }
    });
    address
}

/// A few iterations of each size, and no time bounds.
const BRIEF: [&str; 10] =
    ["--warmupms", "0", "--warmupiter", "1", "--minms", "0", "--maxms", "0", "--miniter", "7"];

fn pingpong(words: &[&str]) -> String {
    printed(&[&["pingpong"], &BRIEF[..], words].concat())
}

/// The rows as a script for sfnt-pingpong's output reads them: what is no comment, by white space.
fn rows(text: &str) -> Vec<Vec<u64>> {
    let rows = text.lines().filter(|line| !line.starts_with('#'));
    rows.map(|row| row.split_whitespace().map(|column| column.parse().unwrap()).collect()).collect()
}

/// Sizes as asked for, seven iterations each, and figures in their order.
fn check_rows(text: &str, sizes: &[u64]) {
    let rows = rows(text);
    assert_eq!(rows.iter().map(|row| row[0]).collect::<Vec<_>>(), sizes, "{text}");
    for row in rows {
        let [_, mean, min, median, max, percentile, _, iterations] = row[..] else {
            panic!("not eight columns: {row:?}");
        };
        assert_eq!(iterations, 7);
        assert!(0 < min && min <= median && median <= percentile && percentile <= max, "{row:?}");
        assert!(min <= mean && mean <= max, "{row:?}");
    }
}

#[test]
fn pingpong_measures_through_everything_that_needs_no_server() {
    let sizes = ["--sizes", "1-64x4,100"];
    for through in ["tcp", "udp", "unix_stream", "unix_datagram", "pipe"] {
        check_rows(&pingpong(&[&sizes[..], &[through]].concat()), &[1, 4, 16, 64, 100]);
    }
    for ways in [
        ["--spin", "--nodelay"],
        ["--muxer", "select"],
        ["--muxer", "poll"],
        ["--muxer", "epoll"],
        ["--muxer", "epoll_mod;epoll_adddel"],
        ["--muxer=epoll", "--spin=1;0"],
        ["--n-pings", "3"],
        ["--affinity", "any;0"],
        ["--sleep-gap", "1"],
        ["--spin-gap", "1"],
        ["--timeout", "60"],
        ["--ttl", "1"],
    ] {
        check_rows(&pingpong(&[&["--sizes", "1,9"], &ways[..], &["tcp"]].concat()), &[1, 9]);
    }
    let watched = ["--n-pipe", "3", "--n-unix-d=2", "--n-unix-s=2", "--n-udp=1", "--n-tcpl=1"];
    let with_muxer = [&["--muxer", "poll", "--sizes", "1"], &watched[..], &["udp"]].concat();
    check_rows(&pingpong(&with_muxer), &[1]);
    check_rows(&pingpong(&["--more", "--n-pings", "2", "--sizes", "5", "tcp"]), &[5]);
    check_rows(&pingpong(&["--connect=1;1", "--sizes", "0,5", "udp"]), &[0, 5]);
}

#[test]
fn pingpong_measures_servers_elsewhere() {
    let (tcp, connections) = tcp_server(echo);
    check_rows(&pingpong(&["--sizes", "1,70000", "tcp", &tcp.to_string()]), &[1, 70000]);
    assert_eq!(connections.load(Ordering::Relaxed), 1);
    let port = tcp.port().to_string();
    let bound = ["--bind", "127.0.0.1", "--ipv4", "--port", &port, "--sizes", "8"];
    check_rows(&pingpong(&[&bound[..], &["tcp", "localhost"]].concat()), &[8]);
    let udp = udp_server().to_string();
    check_rows(&pingpong(&["--sizes", "0,1,1473,32768", "udp", &udp]), &[0, 1, 1473, 32768]);
    check_rows(&pingpong(&["--sizes", "4", "--connect", "--n-pings", "4", "udp", &udp]), &[4]);
    let (http, connections) = tcp_server(web);
    let url = format!("http://{http}");
    for muxer in ["none", "epoll"] {
        let words = ["--sizes", "0,1,300000", "--n-pings", "2", "--muxer", muxer, "http", &url];
        check_rows(&pingpong(&words), &[0, 1, 300_000]);
    }
    assert_eq!(connections.load(Ordering::Relaxed), 2);
}

#[test]
fn the_layout_is_that_of_sfnt_pingpong() {
    let text = pingpong(&["--sizes", "1", "--percentile", "99.9", "unix_stream"]);
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines[0].starts_with("# cmdline: loadgen pingpong --warmupms 0 "), "{text}");
    let count = lines.len();
    assert_eq!(
        lines[count - 5..count - 1],
        [
            "# percentile=99.9",
            "# reporting: 1/2 RTT",
            "#",
            "#\tsize\tmean\tmin\tmedian\tmax\t%ile\tstddev\titer",
        ]
    );
    assert!(lines[count - 1].starts_with("\t1\t"), "{text}");
    assert_eq!(lines[count - 1].split('\t').count(), 9);
    assert!(lines[..count - 1].iter().all(|line| line.starts_with('#')), "{text}");
    let text = pingpong(&["--sizes", "1", "--rtt", "unix_stream"]);
    assert!(text.contains("\n# reporting: RTT\n"), "{text}");
}

#[test]
fn files_hold_every_sample() {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("pingpong-files");
    std::fs::create_dir_all(&folder).unwrap();
    let place = |name: &str| folder.join(name).to_str().unwrap().to_owned();
    let (raw, json, hgrm) = (place("raw"), place("run.json"), place("spectrum"));
    let files = ["--raw", &raw, "--json", &json, "--hgrm", &hgrm];
    let text = pingpong(&[&["--sizes", "2,4"], &files[..], &["unix_datagram"]].concat());
    let rows = rows(&text);
    let report: Value = serde_json::from_slice(&std::fs::read(&json).unwrap()).unwrap();
    assert_eq!(
        (&report["schema"], &report["reporting"]),
        (&"pingpong/1".into(), &"1/2 RTT".into())
    );
    assert!(report["facts"]["cmdline"].as_str().unwrap().starts_with("loadgen pingpong"));
    for (row, size) in rows.iter().zip(report["sizes"].as_array().unwrap()) {
        let dat = std::fs::read_to_string(format!("{raw}-{}.dat", row[0])).unwrap();
        let mut samples: Vec<u64> = dat.lines().map(|line| line.parse().unwrap()).collect();
        samples.sort_unstable();
        assert_eq!(samples.len(), 7);
        assert_eq!((samples[0], samples[3], samples[6]), (row[2], row[3], row[4]));
        assert_eq!(size["size_bytes"], row[0]);
        assert_eq!((&size["mean_ns"], &size["max_ns"]), (&row[1].into(), &row[4].into()));
        assert_eq!(size["percentiles_ns"]["p50"], row[3]);
        let histogram = record::decode_histogram(size["histogram_ns"].as_str().unwrap()).unwrap();
        assert_eq!(histogram.len(), 7);
        let spectrum = std::fs::read_to_string(format!("{hgrm}-{}.hgrm", row[0])).unwrap();
        assert!(spectrum.contains("Total count    =            7]"), "{spectrum}");
    }
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn pingpong_says_what_is_wrong_with_a_server() {
    let (http, _) = tcp_server(|mut stream| {
        drop(stream.read(&mut [0; 1]));
        drop(stream.write_all(b"?"));
    });
    let words = ["pingpong", "--warmupiter", "1", "tcp", &http.to_string()];
    let message = refused(&words);
    assert!(message.contains("--service echo"), "{message}");
    let (deaf, _) = tcp_server(|stream| drop(BufReader::new(stream).read_line(&mut String::new())));
    let message = refused(&["pingpong", "--timeout", "1", "tcp", &deaf.to_string()]);
    assert!(message.contains("no pong of 1 bytes within 1s"), "{message}");
    // NB: port 1 is tcpmux, which nobody runs.
    let message = refused(&["pingpong", "tcp", "127.0.0.1:1"]);
    assert!(message.contains("nobody listens on 127.0.0.1:1"), "{message}");
    let message = refused(&["pingpong", "http", &tcp_server(echo).0.to_string()]);
    assert!(message.contains("not HTTP"), "{message}");
    let message = refused(&["pingpong", "--affinity", "1023;any", "unix_stream"]);
    assert!(message.contains("CPU 1023 cannot be used (--affinity)"), "{message}");
    let message = refused(&["pingpong", "--affinity", "any;1023", "unix_stream"]);
    assert!(message.contains("thread cannot run on CPU 1023 (--affinity)"), "{message}");
}

/// The value of a selector in what `-k` prints.
fn selected(text: &str, name: &str) -> f64 {
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
    value.unwrap_or_else(|| panic!("no {name}: {text}")).parse().unwrap()
}

#[test]
fn transactions_are_counted_on_one_connection() {
    let check = |test: &str, port: u16, sizes: &str, bytes: (f64, f64), more: &[&str]| {
        let port = port.to_string();
        let words = ["rr", "-p", &port, "-t", test, "-l", "-50", "--", "-r", sizes, "-k"];
        let text = printed(&[&words[..], more].concat());
        assert_eq!(selected(&text, "LOCAL_BYTES_RECVD"), bytes.1 * 50.0, "{test}: {text}");
        let in_flight = selected(&text, "BURST_SIZE");
        assert_eq!(selected(&text, "LOCAL_BYTES_SENT"), bytes.0 * (50.0 + in_flight), "{text}");
        let rate = selected(&text, "THROUGHPUT");
        assert_eq!(selected(&text, "TRANSACTION_RATE"), rate);
        let lowest = selected(&text, "MIN_LATENCY");
        let order = ["P50_LATENCY", "P90_LATENCY", "P99_LATENCY", "MAX_LATENCY"];
        let order: Vec<f64> = order.iter().map(|name| selected(&text, name)).collect();
        assert!(0.0 < lowest && lowest <= order[0] && order.is_sorted(), "{text}");
        assert_eq!(selected(&text, "CONFIDENCE_ITERATION"), 1.0);
    };
    let (tcp, connections) = tcp_server(echo);
    check("TCP_RR", tcp.port(), "1,1", (1.0, 1.0), &[]);
    check("TCP_RR", tcp.port(), "100000", (100_000.0, 100_000.0), &["-D"]);
    assert_eq!(connections.load(Ordering::Relaxed), 2);
    check("UDP_RR", udp_server().port(), "0,0", (0.0, 0.0), &[]);
    check("UDP_RR", udp_server().port(), "64", (64.0, 64.0), &[]);
    let (http, connections) = tcp_server(web);
    let request = format!("GET /bytes/10 HTTP/1.1\r\nHost: {http}\r\n\r\n").len() as f64;
    let response = "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n0123456789".len() as f64;
    check("HTTP_RR", http.port(), ",10", (request, response), &[]);
    assert_eq!(connections.load(Ordering::Relaxed), 1);
}

#[test]
fn a_burst_keeps_more_requests_in_flight() {
    let (tcp, _) = tcp_server(echo);
    let port = tcp.port().to_string();
    let words = ["rr", "-p", &port, "-l", "-100", "-b", "7", "-r", "32", "-D", "-k"];
    let text = printed(&words);
    assert_eq!(selected(&text, "BURST_SIZE"), 7.0);
    // What was sent beyond the hundred is in flight when it ends.
    assert_eq!(selected(&text, "LOCAL_BYTES_SENT"), 32.0 * 107.0);
}

#[test]
fn connections_are_opened_for_each_transaction() {
    let (tcp, connections) = tcp_server(echo);
    let port = tcp.port().to_string();
    for close in ["fin", "rst"] {
        let words = ["crr", "-p", &port, "-l", "-20", "-r", "8", "--close", close, "-k"];
        let text = printed(&words);
        assert_eq!(selected(&text, "LOCAL_BYTES_RECVD"), 160.0, "{text}");
    }
    assert_eq!(connections.load(Ordering::Relaxed), 40);
    let (http, connections) = tcp_server(web);
    let port = http.port().to_string();
    let text = printed(&["crr", "-t", "HTTP_CRR", "-p", &port, "-l", "-20", "-P", "0"]);
    assert_eq!(text.lines().count(), 2, "{text}");
    assert_eq!(connections.load(Ordering::Relaxed), 20);
}

#[test]
fn streams_count_what_has_come() {
    let (tcp, _) = tcp_server(echo);
    let port = tcp.port().to_string();
    let text = printed(&["stream", "-p", &port, "-l", "-1000000", "-m", "5000", "-k"]);
    let (sent, back) = (selected(&text, "LOCAL_BYTES_SENT"), selected(&text, "LOCAL_BYTES_RECVD"));
    assert!(back >= 1e6 && sent >= back, "{text}");
    assert_eq!(selected(&text, "P50_LATENCY"), -1.0);
    let (http, _) = tcp_server(web);
    let port = http.port().to_string();
    let words = ["stream", "-t", "TCP_MAERTS", "-p", &port, "-l", "-1000000", "-m", "300000", "-k"];
    let text = printed(&words);
    // The run ends with a body, when what has come of the one behind it counts as well.
    let received = selected(&text, "LOCAL_BYTES_RECVD");
    assert!((1e6..1.6e6).contains(&received), "{text}");
}

#[test]
fn the_classic_layout_has_its_figures_where_scripts_look() {
    let (tcp, _) = tcp_server(echo);
    let port = tcp.port().to_string();
    let text = printed(&["rr", "-p", &port, "-l", "-10", "-r", "16"]);
    let lines: Vec<&str> = text.lines().collect();
    assert!(
        lines[0].starts_with("TCP REQUEST/RESPONSE TEST from 0.0.0.0 (0.0.0.0) port 0 AF_INET")
    );
    assert!(lines[0].contains(&format!("(127.0.0.1) port {port} AF_INET")), "{text}");
    let columns: Vec<&str> = lines[6].split_whitespace().collect();
    assert_eq!((columns.len(), columns[2], columns[3]), (6, "16", "16"));
    assert!(columns[5].parse::<f64>().unwrap() > 0.0);
    let pid = std::process::id().to_string();
    let with_cpu = ["rr", "-p", &port, "-l", "-10", "-c", "-C", "--server-pid", &pid, "-P", "0"];
    let text = printed(&with_cpu);
    let columns: Vec<f64> = text.split_whitespace().map(|word| word.parse().unwrap()).collect();
    assert_eq!(columns.len(), 12, "{text}");
    // Threads of other tests may have ended meanwhile: then what the server used is not known.
    assert!(columns[9] >= 0.0 || columns[9] == -1.0, "{text}");
    let repeated = ["rr", "-p", &port, "-l", "-10", "-I", "95,1000000", "-i", "9,4", "-v", "0"];
    assert_eq!(printed(&repeated).lines().count(), 1);
    let keys = [&repeated[..], &["-k", "CONFIDENCE_ITERATION"]].concat();
    assert_eq!(printed(&keys), "CONFIDENCE_ITERATION=4\n");
}

#[test]
fn transactions_say_what_is_wrong_with_a_server() {
    let (closing, _) = tcp_server(drop);
    let port = closing.port().to_string();
    let message = refused(&["rr", "-p", &port]);
    assert!(message.contains("--service echo"), "{message}");
    let message = refused(&["stream", "-p", &port]);
    assert!(
        message.contains("TCP_STREAM failed") || message.contains("--service echo"),
        "{message}"
    );
    let (tcp, _) = tcp_server(echo);
    let port = tcp.port().to_string();
    let message = refused(&["rr", "-t", "HTTP_RR", "-p", &port]);
    assert!(message.contains("not HTTP"), "{message}");
    let message = refused(&["rr", "-p", "1"]);
    assert!(message.contains("nobody listens on 127.0.0.1:1"), "{message}");
    let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = silent.local_addr().unwrap().port().to_string();
    let message = refused(&["rr", "-t", "UDP_RR", "-p", &port, "--timeout", "1"]);
    assert!(message.contains("a datagram was lost"), "{message}");
    let message = refused(&["rr", "--server-pid", "4194304"]);
    assert!(message.contains("does it run here?"), "{message}");
    let message = refused(&["rr", "-k", "P99"]);
    assert!(message.contains("there is no selector \"P99\"; there are PROTOCOL"), "{message}");
}

#[test]
fn noise_watches_every_moment() {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("noise.json");
    let file = path.to_str().unwrap();
    let words = ["noise", "-d50ms", "--threshold", "5000", "--json", file];
    let text = printed(&words);
    let report: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    std::fs::remove_file(&path).unwrap();
    assert_eq!(report["schema"], "noise/1");
    let number = |key: &str| report[key].as_u64().unwrap_or_else(|| panic!("no {key}"));
    assert!(number("elapsed_ns") >= 50_000_000);
    let histogram = record::decode_histogram(report["histogram_ns"].as_str().unwrap()).unwrap();
    assert_eq!(histogram.len(), number("readings"));
    let above = histogram.count_between(5000, u64::MAX);
    // The histogram tells apart three digits, so gaps at the threshold may be on either side.
    assert!(number("interruptions").abs_diff(above) <= above / 10 + 1, "{text}");
    assert!(number("stolen_ns") <= number("elapsed_ns"));
    assert!(text.contains(&format!("# readings={}\n", number("readings"))), "{text}");
    let message = refused(&["noise", "--cpu", "1023"]);
    assert!(message.contains("CPU 1023 cannot be used (--cpu)"), "{message}");
    for time in ["0", "25h", "0.5"] {
        let message = refused(&["noise", "--duration", time]);
        assert!(message.contains("not a time from 1ms to 24h"), "{message}");
    }
}

#[test]
fn help_goes_to_standard_output() {
    let output = loadgen(&["pingpong", "--help"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success());
    assert!(text.contains("loadgen pingpong") && text.contains("--warmupiter"), "{text}");
    assert_eq!(loadgen(&["pingpong", "--frobnicate", "tcp"]).status.code(), Some(2));
}
