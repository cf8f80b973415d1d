//! The binary against servers in this process: what it prints, what it counts, how it ends.
//!
//! The servers are threads of `std::net` with an answer for each request, so that every count is
//! known; no test looks at a clock.
#![forbid(unsafe_code)]

#[macro_use]
mod support;

use record::LoadReport;
use std::io::{self, BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixListener;
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread;
use support::transports::transport;
use support::{Count, Scratch, load_until, loadgen, text};

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 13\r\n\r\nHello, World!";

/// What a server does with a request.
enum Answer {
    /// Sends this and waits for the next request.
    Keep(String),
    /// Sends this and closes.
    Close(String),
    /// Sends nothing and waits for the connection to be closed.
    Hang,
}

/// A server that runs until the test ends, and the requests it has read.
struct Server {
    address: SocketAddr,
    requests: Arc<Count>,
    stopping: Arc<AtomicBool>,
    acceptor: Option<thread::JoinHandle<()>>,
}

impl Server {
    /// `answer` is given the number of requests that came before, on all connections, and the
    /// request's head.
    fn start(answer: impl Fn(u64, &str) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let requests = Arc::new(Count::default());
        let stopping = Arc::new(AtomicBool::new(false));
        let answer = Arc::new(answer);
        let (counter, stop) = (Arc::clone(&requests), Arc::clone(&stopping));
        let acceptor = thread::spawn(move || {
            for stream in listener.incoming() {
                if stop.load(Ordering::Relaxed) {
                    return;
                }
                let (counter, answer) = (Arc::clone(&counter), Arc::clone(&answer));
                let stream = stream.unwrap();
                // A client that goes away ends its thread with an error, which is its end.
                thread::spawn(move || serve(stream, &counter, &*answer).ok());
            }
        });
        Self { address, requests, stopping, acceptor: Some(acceptor) }
    }

    fn url(&self) -> String {
        format!("http://{}/", self.address)
    }

    fn requests(&self) -> u64 {
        self.requests.get()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stopping.store(true, Ordering::Relaxed);
        // Any connection wakes the acceptor, which then sees the flag.
        drop(TcpStream::connect(self.address));
        if let Some(acceptor) = self.acceptor.take() {
            let ended = acceptor.join();
            assert!(ended.is_ok() || thread::panicking(), "the server's acceptor has panicked");
        }
    }
}

fn serve(
    stream: TcpStream,
    counter: &Count,
    answer: &dyn Fn(u64, &str) -> Answer,
) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut writer = stream.try_clone()?;
    let mut reader = BufReader::new(stream);
    loop {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if reader.read_line(&mut head)? == 0 {
                return Ok(());
            }
        }
        match answer(counter.add(), &head) {
            Answer::Keep(bytes) => writer.write_all(bytes.as_bytes())?,
            Answer::Close(bytes) => return writer.write_all(bytes.as_bytes()),
            Answer::Hang => {}
        }
    }
}

/// Runs a load until the server has read so many requests; returns the text and the report, which
/// is checked to balance and to agree with what the server saw.
fn load(name: &str, server: &Server, reads: u64, words: &[&str]) -> (String, LoadReport) {
    let json = Scratch::new(&format!("{name}.json"));
    let before = server.requests();
    let url = server.url();
    let words = [words, &["--json", json.path(), &url]].concat();
    let output = load_until(&words, || server.requests.wait_for(before + reads));
    check(&output, &json, server, before)
}

/// Runs a load of a second, for what has to do with its length.
fn load_for_a_second(name: &str, server: &Server, words: &[&str]) -> (String, LoadReport) {
    let json = Scratch::new(&format!("{name}.json"));
    let before = server.requests();
    let output = loadgen(&[words, &["-d1", "--json", json.path(), &server.url()]].concat());
    check(&output, &json, server, before)
}

fn read(json: &Scratch) -> LoadReport {
    serde_json::from_slice(&std::fs::read(&json.0).unwrap()).unwrap()
}

fn check(output: &Output, json: &Scratch, server: &Server, before: u64) -> (String, LoadReport) {
    assert!(output.status.success(), "{}", text(&output.stderr));
    let report = read(json);
    let limit = report.client.as_ref().unwrap().limit.as_ref();
    assert_eq!(text(&output.stderr).strip_suffix('\n'), limit.map(String::as_str));
    let errors = &report.errors;
    let ended = report.requests + errors.read + errors.write + errors.framing + errors.hung;
    assert_eq!(report.setup.transport, transport());
    assert_eq!(report.sent, ended + report.in_flight, "{report:?}");
    assert!(report.in_flight <= report.setup.connections, "{report:?}");
    assert_eq!(report.censored, errors.hung + report.unsent);
    assert_eq!(report.latency.count, report.requests + report.censored);
    assert_eq!(report.status.values().sum::<u64>(), report.requests);
    assert_eq!(report.interval_requests.iter().sum::<u64>(), report.requests);
    let histogram = record::decode_histogram(&report.latency.histogram_ns).unwrap();
    assert_eq!(histogram.len(), report.latency.count);
    // What was in flight at the end may not have been read; nothing else can be missing.
    let seen = server.requests() - before;
    assert!(seen <= report.sent && seen >= report.sent - report.in_flight, "{seen}: {report:?}");
    (text(&output.stdout).to_owned(), report)
}

/// Serves a path with [`OK`] until the test ends; returns the URL that names it, and counts the
/// requests.
fn unix_server(name: &str) -> (std::path::PathBuf, String, Arc<Count>) {
    let file = format!("loadgen-{name}-{}-{}", transport(), std::process::id());
    let path = std::env::temp_dir().join(file);
    let listener = UnixListener::bind(&path).unwrap();
    let requests = Arc::new(Count::default());
    let counter = Arc::clone(&requests);
    thread::spawn(move || {
        for stream in listener.incoming() {
            let (mut stream, counter) = (stream.unwrap(), Arc::clone(&counter));
            thread::spawn(move || {
                let mut reader = BufReader::new(stream.try_clone().unwrap());
                let mut line = String::new();
                while reader.read_line(&mut line).is_ok_and(|count| count > 0) {
                    let ended = line == "\r\n";
                    line.clear();
                    if ended {
                        counter.add();
                        if stream.write_all(OK.as_bytes()).is_err() {
                            return;
                        }
                    }
                }
            });
        }
    });
    let encoded = path.to_str().unwrap().replace('/', "%2F");
    (path, format!("http+unix://{encoded}/"), requests)
}

/// The lines that only stand there when something went wrong.
fn complaints(output: &str) -> Vec<&str> {
    output
        .lines()
        .filter(|line| line.contains("Socket errors") || line.contains("Non-2xx"))
        .collect()
}

#[test]
fn a_plain_run_prints_wrks_lines_and_counts_no_error() {
    let server = Server::start(|_, _| Answer::Keep(OK.into()));
    let (output, report) = load("plain", &server, 20, &["-t2", "-c5", "--latency"]);
    let lines: Vec<&str> = output.lines().collect();
    let starts = [
        &format!("Running 60m test @ {}", server.url()),
        "  2 threads and 5 connections",
        "  Thread Stats   Avg      Stdev     Max   +/- Stdev",
        "    Latency  ",
        "    Req/Sec  ",
        "  Latency Distribution",
        "     50%  ",
        "     75%  ",
        "     90%  ",
        "     99%  ",
        &format!("  {} requests in ", report.requests),
        "Requests/sec: ",
        "Transfer/sec: ",
    ];
    assert_eq!(lines.len(), starts.len(), "{output}");
    for (line, start) in lines.iter().zip(starts) {
        assert!(line.starts_with(start), "{line:?} does not start with {start:?}");
    }
    assert!(report.requests > 0);
    assert_eq!(report.read_bytes, report.requests * OK.len() as u64);
    assert_eq!((report.setup.connections, report.setup.threads), (4, 2));
    assert_eq!(report.errors, record::LoadErrors::default());
    assert_eq!(report.reopened, 0);
}

#[test]
fn the_request_is_wrks() {
    let (sender, heads) = mpsc::channel();
    let server = Server::start(move |_, head| {
        // The test may have seen enough and be gone.
        sender.send(head.to_owned()).ok();
        Answer::Keep(OK.into())
    });
    load("request", &server, 20, &["-t1", "-c1", "-H", "X-Test: a", "-H", "X-Test: b"]);
    let expect = format!("GET / HTTP/1.1\r\nHost: {}\r\nX-Test: b\r\n\r\n", server.address);
    assert!(heads.try_iter().all(|head| head == expect));
}

#[test]
fn chunked_and_long_bodies_are_read_to_their_end() {
    // Longer than what is read on one connection before the others have their turn.
    let long = "x".repeat(2_500_000);
    let chunked = format!(
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n\
         5\r\nhello\r\n{:x}\r\n{long}\r\n0\r\n\r\n",
        long.len()
    );
    let length = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{long}", long.len());
    let server = Server::start(move |n, _| {
        Answer::Keep(match n % 3 {
            0 => chunked.clone(),
            1 => length.clone(),
            _ => OK.into(),
        })
    });
    let (output, report) = load("bodies", &server, 20, &["-t1", "-c3"]);
    assert!(report.requests > 0);
    assert_eq!(report.errors, record::LoadErrors::default());
    assert_eq!(complaints(&output), [""; 0]);
}

#[test]
fn a_server_that_closes_after_each_response_is_reconnected_without_errors() {
    let close = "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok";
    let until = "HTTP/1.1 200 OK\r\n\r\nok";
    let server = Server::start(move |n, _| {
        Answer::Close(if n % 2 == 0 { close.into() } else { until.into() })
    });
    let (output, report) = load("close", &server, 20, &["-t1", "-c4"]);
    assert!(report.requests > 4, "{report:?}");
    assert_eq!(report.errors, record::LoadErrors::default());
    assert_eq!(report.reopened, report.requests);
    assert_eq!(complaints(&output), [""; 0]);
}

#[test]
fn malformed_responses_are_framing_errors_and_wrks_read_errors() {
    for (name, answer) in [
        ("garbage", Answer::Keep as fn(String) -> Answer),
        ("excess", Answer::Keep),
        ("short", Answer::Close),
    ] {
        let bytes = match name {
            "garbage" => "220 mail.example.test ESMTP\r\n",
            "excess" => "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok!",
            _ => "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nok",
        };
        let server = Server::start(move |_, _| answer(bytes.into()));
        let (output, report) = load(name, &server, 20, &["-t1", "-c2"]);
        let errors = &report.errors;
        assert!(errors.framing > 0, "{name}: {errors:?}");
        assert_eq!((report.requests, errors.read, errors.write), (0, 0, 0), "{name}");
        let line =
            format!("  Socket errors: connect 0, read {}, write 0, timeout 0", errors.framing);
        assert_eq!(complaints(&output), [line], "{name}");
    }
}

#[test]
fn a_close_without_a_response_is_a_read_error() {
    let server = Server::start(|_, _| Answer::Close(String::new()));
    let (_, report) = load("eof", &server, 20, &["-t1", "-c2"]);
    assert!(report.errors.read > 0 && report.errors.framing == 0, "{report:?}");
    assert_eq!(report.requests, 0);
}

#[test]
fn bad_statuses_are_counted() {
    let server = Server::start(|n, _| {
        let bad = "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n";
        Answer::Keep(if n % 2 == 0 { OK.into() } else { bad.into() })
    });
    let (output, report) = load("status", &server, 20, &["-t1", "-c2"]);
    assert_eq!(report.errors.status, report.status[&503]);
    assert_eq!(report.requests, report.status[&503] + report.status[&200]);
    let line = format!("  Non-2xx or 3xx responses: {}", report.errors.status);
    assert_eq!(complaints(&output), [line]);
}

#[test]
fn hung_connections_are_in_flight_at_the_end() {
    let server = Server::start(|n, _| if n < 3 { Answer::Hang } else { Answer::Keep(OK.into()) });
    let (_, report) = load("hung", &server, 20, &["-t1", "-c5"]);
    assert!((3..=5).contains(&report.in_flight), "{report:?}");
    let server = Server::start(|_, _| Answer::Hang);
    let (output, report) = load("all-hung", &server, 5, &["-t1", "-c5"]);
    assert_eq!((report.sent, report.requests, report.in_flight), (5, 0, 5));
    assert!(output.contains("    Latency     0.00us    0.00us   0.00us    -nan%\n"), "{output}");
}

#[test]
fn hung_requests_may_be_ended() {
    let server = Server::start(|_, _| Answer::Hang);
    // The second request of a connection is sent when the first has hung.
    let words = ["-t1", "-c3", "-T1", "--end-hung"];
    let (output, report) = load("end-hung", &server, 6, &words);
    // How often it is sent again before the interrupt is a matter of time: the loop in virtual time
    // has the exact counts.
    assert!(report.errors.hung >= 3 && report.requests == 0, "{report:?}");
    assert!(report.setup.ends_hung && report.latency.min_us >= 1e6);
    let line =
        format!("  Socket errors: connect 0, read 0, write 0, timeout {}", report.errors.hung);
    assert_eq!(complaints(&output), [line]);
}

#[test]
fn a_rate_is_kept_and_what_it_took_is_told() {
    let server = Server::start(|_, _| Answer::Keep(OK.into()));
    let words = ["-t1", "-c4", "-R", "500", "-U", "--check", "--arrival", "poisson", "--seed", "9"];
    let (output, report) = load_for_a_second("rate", &server, &words);
    assert_eq!(report.setup.schedule, "open");
    assert_eq!((report.setup.rate_rps, report.setup.seed), (Some(500), Some(9)));
    // The seed gives the times, so as many as these are due within the second each time; a thread
    // that is late to see the end may send what is due after it.
    let due = report.sent + report.unsent;
    assert!(due >= 430, "{due}");
    let client = report.client.unwrap();
    assert!(client.on_time_percent.is_some() && client.target_rps.is_some());
    assert_eq!(report.service.unwrap().count, report.requests + report.errors.hung);
    for line in [
        "  Latency Distribution (HdrHistogram - Recorded Latency)\n 50.000% ",
        "  Latency Distribution (HdrHistogram - Uncorrected Latency (measured without",
        "\nCheck\n  Requests due          ",
        "\n  Latency from sent     p50 ",
        "\n  Requests in flight    ",
        "\n  Status 200            ",
    ] {
        assert!(output.contains(line), "{line:?} in {output}");
    }
}

#[test]
fn unix_sockets_are_loaded_like_any_other() {
    let (path, url, requests) = unix_server("unix");
    let json = Scratch::new("unix.json");
    load_until(&["-t1", "-c2", "--json", json.path(), &url], || requests.wait_for(20));
    let report = read(&json);
    assert!(report.requests > 0 && report.errors == record::LoadErrors::default());
    assert_eq!(report.setup.endpoints, [path.to_str().unwrap()]);
    std::fs::remove_file(path).unwrap();
    let output = loadgen(&["-t1", "-c1", "-d1", &url]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).starts_with("unable to connect to /"), "{output:?}");
    assert!(text(&output.stderr).ends_with(" No such file or directory\n"), "{output:?}");
}

#[test]
fn connections_may_lead_to_several_servers() {
    let servers = [0, 1].map(|_| Server::start(|_, _| Answer::Keep(OK.into())));
    let connect = servers.each_ref().map(|server| server.address.to_string()).join(",");
    // NB: nobody listens at the URL, which only gives the Host field.
    let words = ["-t2", "-c6", "--connect", &connect, "http://127.0.0.1:1/"];
    let output = load_until(&words, || {
        servers.iter().for_each(|server| server.requests.wait_for(20));
    });
    assert_eq!(complaints(text(&output.stdout)), [""; 0]);
}

#[test]
fn pinned_threads_say_so_and_a_cpu_that_is_not_there_is_refused() {
    let server = Server::start(|_, _| Answer::Keep(OK.into()));
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let allowed = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:")).unwrap();
    let first = allowed.trim().split([',', '-']).next().unwrap();
    let (_, report) = load("pin", &server, 1, &["-t1", "-c1", "--pin", first]);
    assert_eq!(report.setup.cpus, [first.parse::<usize>().unwrap()]);
    let output = loadgen(&["-t1", "-c1", "--pin", "1023", &server.url()]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("CPU 1023 does not exist"), "{}", text(&output.stderr));
}

#[test]
fn a_server_that_is_not_there_ends_the_run_as_wrk_ends_it() {
    // NB: port 1 is tcpmux, which nobody runs; a free port of our own could be given to another.
    let output = loadgen(&["-t1", "-c1", "http://127.0.0.1:1/"]);
    assert_eq!(output.status.code(), Some(1));
    let expect = "unable to connect to 127.0.0.1:1 Connection refused\n";
    assert_eq!((text(&output.stderr), text(&output.stdout)), (expect, ""));
}

#[test]
fn wrong_command_lines_end_with_wrks_words() {
    let check = |words: &[&str], stderr: &str| {
        let output = loadgen(words);
        assert_eq!(output.status.code(), Some(1), "{words:?}");
        assert!(text(&output.stderr).contains(stderr), "{words:?}: {}", text(&output.stderr));
        assert!(text(&output.stdout).starts_with("Usage: loadgen <options> <url>"), "{words:?}");
    };
    check(
        &["-t", "5", "-c", "2", "http://127.0.0.1/"],
        "number of connections must be >= threads\n",
    );
    check(&["-d", "500ms", "http://127.0.0.1/"], "500ms");
    check(&["nonsense"], "invalid URL: nonsense\n");
    check(&["-z"], ": invalid option -- 'z'\n");
    check(&[], "");
}

#[test]
fn more_connections_than_files_are_refused_with_the_cure() {
    let output = loadgen(&["-t1", "-c1G", "http://127.0.0.1/"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("ulimit -Hn 1000000017"), "{}", text(&output.stderr));
}

#[test]
fn a_report_that_cannot_be_written_ends_the_run_before_it_begins() {
    let server = Server::start(|_, _| Answer::Keep(OK.into()));
    let output = loadgen(&["-t1", "-c1", "--json", "/nowhere/report.json", &server.url()]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(text(&output.stderr), "--json /nowhere/report.json: No such file or directory\n");
    assert_eq!(server.requests(), 0);
}

/// What a terminal is sent by a load of a second; its lines end with CR and LF.
fn on_a_terminal(url: &str, term: &str) -> String {
    let command = format!("{} -t1 -c2 -d1 {url}", env!("CARGO_BIN_EXE_loadgen"));
    let output = Command::new("script")
        .args(["-qec", &command, "/dev/null"])
        .env("TERM", term)
        .stdin(Stdio::null())
        .output()
        .expect("script, of the package bsdutils, runs a command on a terminal of its own");
    assert!(output.status.success(), "{output:?}");
    text(&output.stdout).to_owned()
}

#[test]
fn a_terminal_shows_a_line_of_progress_and_loses_it_before_the_results() {
    const CLEAR: &str = "\r\x1b[K";
    let server = Server::start(|_, _| Answer::Keep(OK.into()));
    let shown = on_a_terminal(&server.url(), "xterm");
    let pieces: Vec<&str> = shown.split(CLEAR).collect();
    let [title, lines @ .., results] = pieces.as_slice() else { panic!("{shown:?}") };
    assert!(title.ends_with("  1 threads and 2 connections\r\n"), "{shown:?}");
    assert!(results.starts_with("  Thread Stats   Avg "), "{shown:?}");
    assert!(!lines.is_empty(), "{shown:?}");
    for line in lines {
        let line = line.strip_prefix("\x1b[?7l").and_then(|line| line.strip_suffix("\x1b[?7h"));
        assert!(line.is_some_and(|line| line.contains(" of 1 s  ")), "{shown:?}");
    }
    let dumb = on_a_terminal(&server.url(), "dumb");
    assert!(!dumb.contains('\x1b') && dumb.contains("  Thread Stats   Avg "), "{dumb:?}");
}

/// Runs a load of an hour, interrupts it when the server has read 100 requests, and returns what
/// was printed.
fn interrupted(words: &[&str]) -> String {
    let server = Server::start(|_, _| Answer::Keep(OK.into()));
    let url = server.url();
    let words = [&["-t1", "-c2"], words, &[url.as_str()]].concat();
    let output = load_until(&words, || server.requests.wait_for(100));
    text(&output.stdout).to_owned()
}

#[test]
fn an_interrupt_ends_the_run_early_with_its_results() {
    let output = interrupted(&[]);
    assert!(output.contains("Running 60m test"), "{output}");
    let last = output.lines().last().unwrap();
    assert!(last.starts_with("Transfer/sec: ") && !last.contains(" 0.00B"), "{output}");
}

#[test]
fn what_the_warmup_saw_is_not_reported() {
    let json = Scratch::new("warmup.json");
    let output = interrupted(&["--warmup", "1h", "--json", json.path()]);
    assert!(output.contains("\n  0 requests in 0.00us, 0.00B read\n"), "{output}");
    let report = read(&json);
    assert_eq!((report.requests, report.setup.warmup_s), (0, 3600.0));
    assert_eq!(report.sent, report.in_flight);
}

repeat_over_uring! {
    a_plain_run_prints_wrks_lines_and_counts_no_error
    the_request_is_wrks
    chunked_and_long_bodies_are_read_to_their_end
    a_server_that_closes_after_each_response_is_reconnected_without_errors
    malformed_responses_are_framing_errors_and_wrks_read_errors
    a_close_without_a_response_is_a_read_error
    bad_statuses_are_counted
    hung_connections_are_in_flight_at_the_end
    hung_requests_may_be_ended
    a_rate_is_kept_and_what_it_took_is_told
    unix_sockets_are_loaded_like_any_other
    connections_may_lead_to_several_servers
    pinned_threads_say_so_and_a_cpu_that_is_not_there_is_refused
    an_interrupt_ends_the_run_early_with_its_results
    what_the_warmup_saw_is_not_reported
}
