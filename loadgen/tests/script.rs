//! Scripts under load: the binary with `-s` against a server in this process.
#![forbid(unsafe_code)]

#[macro_use]
mod support;

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::Output;
use std::sync::{Arc, Mutex};
use std::thread;
use support::{Count, Scratch, load_until, loadgen, text};

/// What a server has seen.
#[derive(Default)]
struct Seen {
    requests: Mutex<Vec<String>>,
    /// How many those are.
    count: Count,
    /// Connections that carried requests and are closed.
    ended: Count,
}

/// A server that keeps every request and answers each with a token.
struct Server {
    address: SocketAddr,
    seen: Arc<Seen>,
}

impl Server {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Seen::default());
        let all = Arc::clone(&seen);
        // Ends with the process.
        thread::spawn(move || {
            for stream in listener.incoming() {
                let all = Arc::clone(&all);
                thread::spawn(move || {
                    if serve(stream.unwrap(), &all) > 0 {
                        all.ended.add();
                    }
                });
            }
        });
        Self { address, seen }
    }

    /// The words of a command with a script, from `loadgen/scripts` if it has no folder.
    fn words(&self, words: &[&str], script: &str, args: &[&str]) -> Vec<String> {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts").join(script);
        let url = format!("http://{}/start", self.address);
        let tail = ["-s", script.to_str().unwrap(), &url, "--"];
        [words, &tail, args].concat().iter().map(|word| (*word).to_owned()).collect()
    }

    /// Runs a command with a script to its end.
    fn run(&self, words: &[&str], script: &str, args: &[&str]) -> Output {
        let words = self.words(words, script, args);
        loadgen(&words.iter().map(String::as_str).collect::<Vec<_>>())
    }

    /// Runs a load with a script until the server has seen so many requests more. A connection
    /// sends its next request when it has the answer to the one before.
    fn load(&self, requests: u64, words: &[&str], script: &str, args: &[&str]) -> Output {
        let words = self.words(words, script, args);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let wanted = self.seen.count.get() + requests;
        load_until(&words, || self.seen.count.wait_for(wanted))
    }

    /// The requests, with the server's address made the same.
    fn requests(&self) -> Vec<String> {
        let address = self.address.to_string();
        self.seen
            .requests
            .lock()
            .unwrap()
            .iter()
            .map(|request| request.replace(&address, "HOST"))
            .collect()
    }
}

/// Answers requests until the client goes away; returns how many.
fn serve(mut stream: TcpStream, seen: &Seen) -> u64 {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut answered = 0;
    while let Some(request) = read(&mut reader) {
        seen.requests.lock().unwrap().push(request);
        seen.count.add();
        let answer = b"HTTP/1.1 200 OK\r\nX-Token: t\r\nContent-Length: 2\r\n\r\nok";
        if stream.write_all(answer).is_err() {
            break;
        }
        answered += 1;
    }
    answered
}

/// The next request, with its fields sorted; `None` where the client has gone away.
fn read(reader: &mut impl BufRead) -> Option<String> {
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        match line.trim_end() {
            "" => break,
            text => lines.push(text.to_owned()),
        }
    }
    lines[1..].sort();
    let length = lines.iter().find_map(|line| line.strip_prefix("Content-Length: "));
    let mut body = vec![0; length.map_or(0, |digits| digits.parse().unwrap())];
    reader.read_exact(&mut body).ok()?;
    lines.push(String::from_utf8(body).unwrap());
    Some(lines.join("|"))
}

#[test]
fn done_comes_after_the_results_and_has_their_figures() {
    let server = Server::start();
    let output = server.load(3, &["-t1", "-c1"], "report.lua", &[]);
    let out = text(&output.stdout);
    let (results, json) = out.split_once("\nTransfer/sec").unwrap();
    let json: serde_json::Value = serde_json::from_str(json.lines().nth(1).unwrap()).unwrap();
    let counted = format!("\n  {} requests in ", json["requests"]);
    assert!(results.contains(&counted), "{out}");
    assert_eq!(json["errors"], 0);
    assert!(json["latency_p50_us"].as_u64() <= json["latency_p99_us"].as_u64(), "{out}");
    assert!(server.requests().iter().all(|request| request == "GET /start HTTP/1.1|Host: HOST|"));
}

#[test]
fn a_body_and_a_pipeline_reach_the_server() {
    let server = Server::start();
    server.load(1, &["-t1", "-c1"], "post.lua", &[]);
    let form = "POST /start HTTP/1.1|Content-Length: 24|\
                Content-Type: application/x-www-form-urlencoded|Host: HOST|\
                name=showdown&mode=epoll";
    assert_eq!(server.requests()[0], form);

    let server = Server::start();
    server.load(3, &["-t1", "-c1"], "pipeline.lua", &["3", "/p"]);
    let requests = server.requests();
    assert!(requests.iter().all(|one| one == "GET /p HTTP/1.1|Host: HOST|"));
}

#[test]
fn responses_are_told_to_the_script_and_the_next_requests_follow() {
    let server = Server::start();
    server.load(2, &["-t1", "-c1"], "token.lua", &[]);
    let requests = server.requests();
    assert_eq!(requests[0], "GET /authenticate HTTP/1.1|Host: HOST|");
    assert_eq!(requests[1], "GET /resource HTTP/1.1|Host: HOST|X-Token: t|");
}

#[test]
fn threads_hand_their_counts_to_done() {
    let server = Server::start();
    let words = server.words(&["-t2", "-c2"], "threads.lua", &[]);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    // A thread that asks again has counted an answer.
    let asks_again = |thread: &str| {
        server.requests().iter().filter(|request| request.contains(thread)).count() > 1
    };
    let output = load_until(&words, || {
        let mut seen = 0;
        while !["X-Thread: 1", "X-Thread: 2"].iter().all(|thread| asks_again(thread)) {
            seen += 1;
            server.seen.count.wait_for(seen);
        }
    });
    let out = text(&output.stdout);
    assert!(out.contains("\nthread 1: ") && out.contains("\nthread 2: "), "{out}");
    let last = out.lines().filter_map(|line| line.split_once(": ")?.1.strip_suffix(" times 200"));
    let counted: u64 = last.map(|count| count.parse::<u64>().unwrap()).sum();
    assert!(out.contains(&format!("\n  {counted} requests in ")), "{out}");
}

#[test]
fn what_init_prints_comes_before_the_title() {
    let server = Server::start();
    let output = server.load(1, &["-t1", "-c1"], "addr.lua", &[]);
    let expect = format!("connecting to {}\nRunning 60m test @ ", server.address);
    assert!(text(&output.stdout).starts_with(&expect), "{}", text(&output.stdout));
}

#[test]
fn a_thread_stops_after_its_responses_and_sends_nothing_more() {
    let server = Server::start();
    let words = server.words(&["-t1", "-c1"], "stop.lua", &["5"]);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    // A thread that has stopped closes its connections.
    let output = load_until(&words, || server.seen.ended.wait_for(1));
    assert_eq!(server.requests().len(), 5);
    assert!(text(&output.stdout).contains("\n  5 requests in "), "{}", text(&output.stdout));
}

#[test]
fn a_script_that_is_not_there_is_told_once_and_the_run_goes_on() {
    let server = Server::start();
    let output = server.load(1, &["-t2", "-c2"], "no-such.lua", &[]);
    let err = text(&output.stderr);
    assert_eq!(err.lines().count(), 1, "{err}");
    assert!(err.ends_with("no-such.lua: No such file or directory\n"), "{err}");
}

#[test]
fn a_script_that_fails_before_the_load_ends_with_1_and_sends_nothing() {
    let server = Server::start();
    let output = server.run(&["-t1", "-c1"], "pipeline.lua", &["2", "no-slash"]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(text(&output.stderr), "invalid URL at 1:7\n");
    assert_eq!(text(&output.stdout), "");
    assert!(server.requests().is_empty());
}

#[test]
fn with_a_rate_a_delay_is_not_asked_for_and_that_is_said() {
    let server = Server::start();
    let output = server.load(1, &["-t1", "-c1", "-R100"], "delay.lua", &["5"]);
    let said = "delay.lua: delay() is not called: with a rate, each request has its time, as in \
                wrk2\n";
    assert!(text(&output.stderr).contains(said), "{}", text(&output.stderr));
    let output = server.load(1, &["-t1", "-c1"], "delay.lua", &["5"]);
    assert!(!text(&output.stderr).contains("delay()"), "{}", text(&output.stderr));
}

#[test]
fn a_sweep_runs_a_script_anew_at_each_rate() {
    let server = Server::start();
    let script = Scratch::new("script-anew.lua");
    let source = "runs = (runs or 0) + 1 function done() print('run', runs, wrk.path) end";
    std::fs::write(&script.0, source).unwrap();
    let words = ["sweep", "--rates", "50,100", "-d1", "-t1", "-c2"];
    let output = server.run(&words, script.path(), &[]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let lines: Vec<&str> = text(&output.stdout).lines().collect();
    let after_done = lines.windows(2).filter(|pair| pair[0] == "run\t1\t/start");
    let rates: Vec<_> = after_done.map(|pair| pair[1].split_whitespace().next()).collect();
    assert_eq!(rates, [Some("50"), Some("100")], "{output:?}");
}

#[test]
fn a_search_tells_of_its_script_once_and_ends_with_its_mistakes() {
    let server = Server::start();
    let words = ["search", "--slo", "errors==0", "--min", "20", "--max", "40", "-d1", "-t1", "-c2"];
    let output = server.run(&words, "delay.lua", &["1"]);
    let err = text(&output.stderr);
    assert_eq!(err.matches("delay() is not called").count(), 1, "{err}");
    assert!(text(&output.stdout).contains("\n        20 "), "{output:?}");
    let output = server.run(&words, "pipeline.lua", &["2", "no-slash"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).ends_with("invalid URL at 1:7\n"), "{output:?}");
    assert_eq!(text(&output.stdout), "");
}

repeat_over_uring! {
    done_comes_after_the_results_and_has_their_figures
    a_body_and_a_pipeline_reach_the_server
    responses_are_told_to_the_script_and_the_next_requests_follow
    threads_hand_their_counts_to_done
    a_thread_stops_after_its_responses_and_sends_nothing_more
}
