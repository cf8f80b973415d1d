//! Each transport against a peer whose every step is given: what the handler hears, in order.

use super::epoll::{EpollTransport, READS_MAX, RECEIVE_BYTES};
use super::uring::{RECEIVE_MAX_BYTES, UringTransport};
use super::*;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixListener;
use std::sync::mpsc::{self, Receiver};
use std::thread;

/// More than the kernel takes at once from a peer that does not read: 16 MiB.
const LARGE_BYTES: usize = 16 << 20;

const _: () = assert!(LARGE_BYTES > READS_MAX * RECEIVE_BYTES, "several turns of epoll");
const _: () = assert!(LARGE_BYTES > RECEIVE_MAX_BYTES, "more than the ring has buffers for");

/// A transport that is tested.
trait Tested: Transport + Sized {
    fn over(endpoints: &[Endpoint], connections: usize) -> io::Result<Self>;
}

impl Tested for EpollTransport {
    fn over(endpoints: &[Endpoint], connections: usize) -> io::Result<Self> {
        Self::new(endpoints, connections, 8)
    }
}

impl Tested for UringTransport {
    fn over(endpoints: &[Endpoint], connections: usize) -> io::Result<Self> {
        Self::new(endpoints, connections, 8)
    }
}

/// Runs a test over a transport; says so where the kernel refuses that.
fn test_over<T: Tested>(test: fn()) {
    match T::over(&[Endpoint::Unix(PathBuf::new())], 0) {
        Ok(_) => test(),
        Err(error) => eprintln!("not tested: {error}"),
    }
}

/// Makes a test of each of these functions for each transport.
macro_rules! test_each_transport {
    ($($name:ident)*) => {
        mod epoll {
            use super::*;
            $(#[test]
            fn $name() {
                test_over::<EpollTransport>(super::$name::<EpollTransport>);
            })*
        }

        mod uring {
            use super::*;
            $(#[test]
            fn $name() {
                test_over::<UringTransport>(super::$name::<UringTransport>);
            })*
        }
    };
}

/// Writes down what it hears; sends once on opening, and reopens whatever ends.
struct Recorder {
    request: Vec<u8>,
    heard: Vec<&'static str>,
    received_bytes: usize,
    /// Whether the connection could still be used when the latest bytes came.
    reusable: bool,
    /// The error number of the latest failure.
    errno: i32,
    /// Bytes after which the next request is sent, if the connection can be used.
    response_bytes: usize,
    /// Of each turn in which the transport did nothing but look first, whether it found something.
    looks: Vec<bool>,
}

impl Recorder {
    fn new(request_bytes: usize, response_bytes: usize) -> Self {
        Self {
            request: vec![b'x'; request_bytes],
            heard: Vec::new(),
            received_bytes: 0,
            reusable: false,
            errno: 0,
            response_bytes,
            looks: Vec::new(),
        }
    }
}

impl Handler for Recorder {
    fn looked(&mut self, clock: &dyn Fn() -> u64, found: bool) {
        assert!(clock() > 0, "the clock runs since the machine does");
        self.looks.push(found);
    }

    fn opened(&mut self, _now_ns: u64, _slot: usize) -> Next {
        self.heard.push("opened");
        Next::Send
    }

    fn received(&mut self, _now_ns: u64, _slot: usize, bytes: &[u8], reusable: bool) -> Next {
        self.received_bytes += bytes.len();
        self.reusable = reusable;
        if self.received_bytes < self.response_bytes {
            return Next::Wait;
        }
        self.heard.push("answered");
        if reusable { Next::Send } else { Next::Close }
    }

    fn closed(&mut self, _now_ns: u64, _slot: usize) -> Next {
        self.heard.push("closed");
        Next::Close
    }

    fn failed(&mut self, _now_ns: u64, _slot: usize, failure: Failure, errno: i32) -> Next {
        self.errno = errno;
        self.heard.push(match failure {
            Failure::Connect => "connect failed",
            Failure::Read => "read failed",
            Failure::Write => "write failed",
        });
        Next::Close
    }

    fn request(&self, _slot: usize) -> &[u8] {
        &self.request
    }
}

/// Opens one connection to `peer` and polls until the handler has heard `things` things. The peer
/// can wait for the end of that on its second argument.
fn hear<T: Tested>(
    mut recorder: Recorder,
    things: usize,
    peer: impl FnOnce(TcpStream, Receiver<()>) + Send + 'static,
) -> Recorder {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (running, ended) = mpsc::channel();
    let peer = thread::spawn(move || peer(listener.accept().unwrap().0, ended));
    let mut transport = T::over(&[Endpoint::Tcp(address)], 1).unwrap();
    transport.open(0, &mut recorder);
    while recorder.heard.len() < things {
        transport.poll(60_000_000_000, &mut recorder).unwrap();
    }
    drop((transport, running));
    peer.join().unwrap();
    recorder
}

/// Keeps the connection open, without reading, until the test is over.
fn hold(ended: &Receiver<()>) {
    assert!(ended.recv().is_err(), "nothing is sent; the sender is dropped");
}

fn read_whole(stream: &mut TcpStream, bytes: usize) {
    stream.read_exact(&mut vec![0; bytes]).unwrap();
}

fn a_request_that_does_not_fit_at_once_is_sent_in_parts<T: Tested>() {
    let recorder = hear::<T>(Recorder::new(LARGE_BYTES, 2), 2, |mut stream, ended| {
        read_whole(&mut stream, LARGE_BYTES);
        stream.write_all(b"ok").unwrap();
        hold(&ended);
    });
    assert_eq!(recorder.heard, ["opened", "answered"]);
    assert!(recorder.reusable);
}

fn a_response_that_overtakes_its_request_ends_the_connection<T: Tested>() {
    let recorder = hear::<T>(Recorder::new(LARGE_BYTES, 2), 2, |mut stream, ended| {
        stream.write_all(b"no").unwrap();
        hold(&ended);
    });
    assert_eq!(recorder.heard, ["opened", "answered"]);
    assert!(!recorder.reusable);
}

fn a_long_response_is_read_to_its_end_over_several_turns<T: Tested>() {
    let recorder = hear::<T>(Recorder::new(4, LARGE_BYTES), 2, |mut stream, ended| {
        read_whole(&mut stream, 4);
        stream.write_all(&vec![b'y'; LARGE_BYTES]).unwrap();
        hold(&ended);
    });
    assert_eq!(recorder.heard, ["opened", "answered"]);
    assert_eq!(recorder.received_bytes, LARGE_BYTES);
}

fn bytes_before_a_close_are_heard_before_the_close<T: Tested>() {
    let recorder = hear::<T>(Recorder::new(4, usize::MAX), 2, |mut stream, _| {
        read_whole(&mut stream, 4);
        stream.write_all(&vec![b'y'; LARGE_BYTES]).unwrap();
    });
    assert_eq!(recorder.heard, ["opened", "closed"]);
    assert_eq!(recorder.received_bytes, LARGE_BYTES);
}

fn a_close_without_bytes_is_heard_as_one<T: Tested>() {
    let recorder = hear::<T>(Recorder::new(4, 2), 2, |mut stream, _| read_whole(&mut stream, 4));
    assert_eq!(recorder.heard, ["opened", "closed"]);
}

fn a_reset_is_a_failure<T: Tested>() {
    // A socket that is closed with bytes unread sends a reset.
    let recorder = hear::<T>(Recorder::new(4, 2), 2, |mut stream, _| read_whole(&mut stream, 2));
    assert_eq!(recorder.heard, ["opened", "read failed"]);
    assert_eq!(recorder.errno, libc::ECONNRESET);
}

fn a_refused_connection_is_a_failure_to_connect<T: Tested>() {
    // NB: port 1 is tcpmux, which nobody runs.
    let nobody = Endpoint::Tcp(SocketAddr::from(([127, 0, 0, 1], 1)));
    let mut transport = T::over(&[nobody], 1).unwrap();
    let mut recorder = Recorder::new(4, 2);
    transport.open(0, &mut recorder);
    while recorder.heard.is_empty() {
        transport.poll(60_000_000_000, &mut recorder).unwrap();
    }
    assert_eq!(recorder.heard, ["connect failed"]);
    assert_eq!(recorder.errno, libc::ECONNREFUSED);
}

fn connections_are_spread_over_the_endpoints_in_turn<T: Tested>() {
    let path = std::env::temp_dir().join(format!("loadgen-spread-{}", std::process::id()));
    let unix = UnixListener::bind(&path).unwrap();
    // IPv6, but for machines that have it switched off.
    let tcp = TcpListener::bind("[::1]:0").or_else(|_| TcpListener::bind("127.0.0.1:0")).unwrap();
    let endpoints = [Endpoint::Unix(path.clone()), Endpoint::Tcp(tcp.local_addr().unwrap())];
    let mut transport = T::over(&endpoints, 3).unwrap();
    let mut recorder = Recorder::new(4, 2);
    (0..3).for_each(|slot| transport.open(slot, &mut recorder));
    while recorder.heard.len() < 3 {
        transport.poll(60_000_000_000, &mut recorder).unwrap();
    }
    // Requests may go with the turn that follows.
    transport.poll(0, &mut recorder).unwrap();
    std::fs::remove_file(path).unwrap();
    assert_eq!(recorder.heard, ["opened"; 3]);
    let read = |mut stream: Box<dyn Read>| {
        let mut request = [0; 4];
        stream.read_exact(&mut request).unwrap();
        assert_eq!(&request, b"xxxx");
    };
    read(Box::new(unix.accept().unwrap().0));
    read(Box::new(tcp.accept().unwrap().0));
    read(Box::new(unix.accept().unwrap().0));
}

fn a_turn_without_work_is_told<T: Tested>() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut recorder = Recorder::new(4, 2);
    let endpoint = Endpoint::Tcp(listener.local_addr().unwrap());
    let mut transport = T::over(&[endpoint], 1).unwrap();
    transport.poll(0, &mut recorder).unwrap();
    assert_eq!(recorder.looks, [false]);
}

#[test]
fn epoll_tells_of_what_it_found_before_it_works() {
    let recorder = hear::<EpollTransport>(Recorder::new(4, 2), 2, |mut stream, ended| {
        read_whole(&mut stream, 4);
        stream.write_all(b"ok").unwrap();
        hold(&ended);
    });
    assert_eq!(recorder.heard, ["opened", "answered"]);
    assert!(recorder.looks.iter().filter(|found| **found).count() >= 2, "{:?}", recorder.looks);
}

#[test]
fn a_turn_of_the_ring_that_sends_is_work() {
    test_over::<UringTransport>(|| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = Endpoint::Tcp(listener.local_addr().unwrap());
        let mut transport = UringTransport::over(&[endpoint], 1).unwrap();
        let mut recorder = Recorder::new(4, 2);
        transport.open(0, &mut recorder);
        while recorder.heard.is_empty() {
            transport.poll(60_000_000_000, &mut recorder).unwrap();
        }
        recorder.looks.clear();
        transport.poll(0, &mut recorder).unwrap();
        assert_eq!(recorder.looks, [false; 0], "the request went in this turn");
    });
}

test_each_transport! {
    a_turn_without_work_is_told
    a_request_that_does_not_fit_at_once_is_sent_in_parts
    a_response_that_overtakes_its_request_ends_the_connection
    a_long_response_is_read_to_its_end_over_several_turns
    bytes_before_a_close_are_heard_before_the_close
    a_close_without_bytes_is_heard_as_one
    a_reset_is_a_failure
    a_refused_connection_is_a_failure_to_connect
    connections_are_spread_over_the_endpoints_in_turn
}
