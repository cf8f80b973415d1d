//! The binary against servers of the same library's TLS in this process, over loopback, with the
//! certificate beside this file.
//!
//! Each connection has a thread; no test looks at a clock.
#![forbid(unsafe_code)]

#[macro_use]
#[path = "../support/mod.rs"]
mod support;

use record::LoadReport;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use rustls::version::{TLS12, TLS13};
use rustls::{ServerConfig, ServerConnection, StreamOwned, SupportedProtocolVersion};
use std::io::{self, BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::Output;
use std::sync::Arc;
use std::thread;
use support::{Count, Scratch, load_until, loadgen, text};

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

const CLOSING: &str = "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok";

/// Its length is told by the end of the connection.
const UNTIL_CLOSE: &str = "HTTP/1.1 200 OK\r\n\r\nok";

type Stream = StreamOwned<ServerConnection, TcpStream>;

/// A listener whose connections have a thread each, to the end of the test process.
struct Server {
    address: SocketAddr,
    /// Connections so far.
    connections: Arc<Count>,
    /// Requests that were read so far.
    requests: Arc<Count>,
}

impl Server {
    /// `serve` is given each connection, how many came before it, and where requests are counted.
    /// It may end with an error: the client is gone.
    fn plain(
        serve: impl Fn(TcpStream, u64, &Count) -> io::Result<()> + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let connections = Arc::new(Count::default());
        let requests = Arc::new(Count::default());
        let (serve, counter) = (Arc::new(serve), Arc::clone(&connections));
        let reads = Arc::clone(&requests);
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (serve, reads) = (Arc::clone(&serve), Arc::clone(&reads));
                let before = counter.add();
                thread::spawn(move || serve(stream.unwrap(), before, &reads).ok());
            }
        });
        Self { address, connections, requests }
    }

    fn tls(serve: impl Fn(Stream, &Count) -> io::Result<()> + Send + Sync + 'static) -> Self {
        Self::of_version(&TLS13, serve)
    }

    fn of_version(
        version: &'static SupportedProtocolVersion,
        serve: impl Fn(Stream, &Count) -> io::Result<()> + Send + Sync + 'static,
    ) -> Self {
        let config = config(version);
        Self::plain(move |stream, _, requests| serve(accept(&config, stream), requests))
    }

    fn url(&self) -> String {
        format!("https://{}/", self.address)
    }
}

fn config(version: &'static SupportedProtocolVersion) -> Arc<ServerConfig> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let certificate = CertificateDer::from(&include_bytes!("certificate.der")[..]);
    let key = PrivatePkcs8KeyDer::from(&include_bytes!("key.der")[..]);
    let config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[version])
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key.into());
    Arc::new(config.unwrap())
}

fn accept(config: &Arc<ServerConfig>, stream: TcpStream) -> Stream {
    stream.set_nodelay(true).unwrap();
    StreamOwned::new(ServerConnection::new(Arc::clone(config)).unwrap(), stream)
}

/// Reads a request; `None` where the client has closed.
fn read_head(reader: &mut impl BufRead) -> io::Result<Option<String>> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head)? == 0 {
            return Ok(None);
        }
    }
    Ok(Some(head))
}

/// Answers every request with `answer`.
fn keep(stream: Stream, requests: &Count, answer: &[u8]) -> io::Result<()> {
    let mut reader = BufReader::new(stream);
    while read_head(&mut reader)?.is_some() {
        requests.add();
        reader.get_mut().write_all(answer)?;
        reader.get_mut().flush()?;
    }
    Ok(())
}

/// Answers one request and closes, with `close_notify` or without.
fn answer_and_close(
    stream: Stream,
    requests: &Count,
    answer: &str,
    notify: bool,
) -> io::Result<()> {
    let mut reader = BufReader::new(stream);
    if read_head(&mut reader)?.is_some() {
        requests.add();
        let stream = reader.get_mut();
        stream.write_all(answer.as_bytes())?;
        if notify {
            stream.conn.send_close_notify();
        }
        stream.flush()?;
    }
    Ok(())
}

/// Runs a load until `reached` returns; returns what was printed and the report, which is checked
/// to balance.
fn load_while(
    name: &str,
    server: &Server,
    words: &[&str],
    reached: impl FnOnce(),
) -> (Output, LoadReport) {
    let json = Scratch::new(&format!("tls-{name}.json"));
    let url = server.url();
    let output = load_until(&[words, &["--json", json.path(), &url]].concat(), reached);
    let report: LoadReport = serde_json::from_slice(&std::fs::read(&json.0).unwrap()).unwrap();
    let errors = &report.errors;
    let ended = report.requests + errors.read + errors.write + errors.framing + errors.hung;
    assert_eq!(report.sent, ended + report.in_flight, "{report:?}");
    (output, report)
}

/// Runs a load until the server has read 20 requests.
fn load(name: &str, server: &Server, words: &[&str]) -> (Output, LoadReport) {
    load_while(name, server, words, || server.requests.wait_for(20))
}

fn has_no_errors(report: &LoadReport) {
    assert!(report.requests > 0, "{report:?}");
    assert_eq!(report.errors, record::LoadErrors::default(), "{:?}", report.errors_by_errno);
}

#[test]
fn connections_are_kept_and_the_output_is_wrks() {
    for (name, version) in [("keep-12", &TLS12), ("keep-13", &TLS13)] {
        let server =
            Server::of_version(version, |stream, requests| keep(stream, requests, OK.as_bytes()));
        let (output, report) = load(name, &server, &["-t2", "-c6", "--latency"]);
        has_no_errors(&report);
        assert_eq!(report.reopened, 0);
        assert_eq!(report.read_bytes, report.requests * OK.len() as u64);
        // Before the load, one connection finds the address, and one shakes hands.
        assert_eq!(server.connections.get(), 6 + 2);
        let starts = [
            &format!("Running 60m test @ {}", server.url()),
            "  2 threads and 6 connections",
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
        let stdout = text(&output.stdout);
        assert_eq!(stdout.lines().count(), starts.len(), "{stdout}");
        for (line, start) in stdout.lines().zip(starts) {
            assert!(line.starts_with(start), "{line:?} does not start with {start:?}");
        }
    }
}

#[test]
fn a_server_that_closes_is_reconnected_without_errors() {
    for (name, answer, notify) in [
        ("closing", CLOSING, true),
        ("closing-rude", CLOSING, false),
        ("until-close", UNTIL_CLOSE, true),
        ("until-close-rude", UNTIL_CLOSE, false),
    ] {
        let server =
            Server::tls(move |stream, requests| answer_and_close(stream, requests, answer, notify));
        let (_, report) = load(name, &server, &["-t1", "-c3"]);
        has_no_errors(&report);
        assert_eq!(report.reopened, report.requests, "{name}");
    }
}

#[test]
fn bodies_of_many_records_are_read_to_their_end() {
    let mut answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2500000\r\n\r\n".to_vec();
    answer.resize(answer.len() + 2_500_000, b'x');
    let answer_bytes = answer.len() as u64;
    let server = Server::tls(move |stream, requests| keep(stream, requests, &answer));
    let (_, report) = load("bodies", &server, &["-t1", "-c2"]);
    has_no_errors(&report);
    assert!(report.read_bytes >= report.requests * answer_bytes);
}

#[test]
fn an_open_loop_sends_on_connections_that_have_waited() {
    let server = Server::tls(|stream, requests| keep(stream, requests, OK.as_bytes()));
    let (_, report) = load("rate", &server, &["-t1", "-c4", "-R200", "--spin", "never"]);
    has_no_errors(&report);
    // A thread that is late to see the end may send what is due after it.
    #[expect(clippy::cast_precision_loss, reason = "a few hundred")]
    let due = (report.sent + report.unsent) as f64;
    assert!(due >= 200.0 * report.duration_s - 1.0, "{report:?}");
    assert_eq!(report.reopened, 0);
}

#[test]
fn scripts_make_batches_and_see_responses() {
    let script = Scratch::new("tls-batches.lua");
    let source = "
        local n, seen = 0, 0
        function request()
          n = n + 1
          return wrk.format('GET', '/a' .. n) .. wrk.format('GET', '/b' .. n)
        end
        function response(status, headers, body)
          if status == 200 and body == 'ok' then seen = seen + 1 end
          total = seen
        end
        local threads = {}
        function setup(thread) table.insert(threads, thread) end
        function done(summary, latency, requests)
          print(wrk.scheme, threads[1]:get('total') == summary.requests)
        end";
    std::fs::write(&script.0, source).unwrap();
    let server = Server::tls(|stream, requests| keep(stream, requests, OK.as_bytes()));
    let (output, report) = load("script", &server, &["-t1", "-c3", "-s", script.path()]);
    has_no_errors(&report);
    assert_eq!(report.setup.pipeline, Some(2));
    let stdout = text(&output.stdout);
    assert!(stdout.ends_with("https\ttrue\n"), "{stdout}");
}

#[test]
fn a_sweep_goes_over_tls_too() {
    let server = Server::tls(|stream, requests| keep(stream, requests, OK.as_bytes()));
    let output = loadgen(&["sweep", "--rates", "100", "-t1", "-c2", "-d1", &server.url()]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(server.connections.get() > 2);
}

#[test]
fn a_server_without_tls_ends_the_run_with_a_sentence() {
    let check = |server: &Server, words: &str| {
        for command in [&["-t1", "-c1", "-d1"] as &[&str], &["sweep", "--rates", "10", "-d1"]] {
            let url = server.url();
            let output = loadgen(&[command, &[&url]].concat());
            assert_eq!(output.status.code(), Some(1));
            let sentence = format!("unable to connect to {} {words}\n", server.address);
            assert!(text(&output.stderr).ends_with(&sentence), "{}", text(&output.stderr));
            assert_eq!(text(&output.stdout), "");
        }
    };
    let plain = Server::plain(|mut stream, _, _| {
        let mut reader = BufReader::new(stream.try_clone()?);
        // Any bytes of the ClientHello are enough to know that this is no HTTP.
        reader.fill_buf()?;
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n")?;
        io::copy(&mut reader, &mut io::sink()).map(drop)
    });
    check(&plain, "SSL: the server does not speak TLS on this port");
    let silent = Server::plain(|stream, _, _| {
        let mut reader = BufReader::new(stream);
        let hello_bytes = reader.fill_buf()?.len();
        reader.consume(hello_bytes);
        Ok(())
    });
    check(&silent, "SSL: the server closed the connection in the handshake");
}

#[test]
fn a_handshake_that_fails_later_is_a_connection_that_could_not_be_opened() {
    let config = config(&TLS13);
    let server = Server::plain(move |mut stream, before, requests| {
        // Two connections come before the load.
        if before < 2 {
            return keep(accept(&config, stream), requests, OK.as_bytes());
        }
        stream.write_all(b"220 mail.example.test ESMTP\r\n")?;
        io::copy(&mut stream, &mut io::sink()).map(drop)
    });
    let words = ["-t1", "-c2", "--check"];
    let (output, report) =
        load_while("later", &server, &words, || server.connections.wait_for(2 + 4));
    assert!(report.errors.connect > 0 && report.sent == 0, "{report:?}");
    let [kind] = report.errors_by_errno.as_slice() else { panic!("{report:?}") };
    let words = "SSL: the server does not speak TLS on this port";
    assert_eq!((kind.during.as_str(), kind.text.as_str()), ("connect", words));
    assert_eq!(kind.count, report.errors.connect);
    let stdout = text(&output.stdout);
    let connect = report.errors.connect;
    assert!(stdout.contains(&format!("  Socket errors: connect {connect}, read 0")), "{stdout}");
    assert!(stdout.contains(&format!("  Failed to connect     {connect} ({words})\n")), "{stdout}");
    let sentence = format!("{connect} connections failed to connect: {words}\n");
    assert!(text(&output.stderr).starts_with(&sentence), "{}", text(&output.stderr));
}

#[test]
fn a_server_that_is_silent_in_a_handshake_is_named() {
    let config = config(&TLS13);
    let server = Server::plain(move |mut stream, before, requests| {
        // Two connections come before the load.
        if before < 2 {
            return keep(accept(&config, stream), requests, OK.as_bytes());
        }
        io::copy(&mut stream, &mut io::sink()).map(drop)
    });
    // However late it is looked at, more than no time has passed. That an attempt is given up
    // after ten seconds is shown in virtual time.
    let words = ["-t1", "-c3", "-T0"];
    let (output, report) =
        load_while("silent", &server, &words, || server.connections.wait_for(2 + 3));
    assert_eq!((report.errors.connect, report.sent), (3, 0), "{report:?}");
    assert!(text(&output.stdout).contains("  Socket errors: connect 3, read 0"), "{output:?}");
    let sentence = "3 connections failed to connect: Connection timed out\n";
    assert!(text(&output.stderr).starts_with(sentence), "{}", text(&output.stderr));
}

repeat_over_uring! {
    connections_are_kept_and_the_output_is_wrks
    a_server_that_closes_is_reconnected_without_errors
    bodies_of_many_records_are_read_to_their_end
    an_open_loop_sends_on_connections_that_have_waited
    scripts_make_batches_and_see_responses
    a_handshake_that_fails_later_is_a_connection_that_could_not_be_opened
}
