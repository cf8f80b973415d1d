//! Proof that a thread which serves does not allocate: a counting allocator, and one test.

use crate::worker::{Sending, Setup, Worker};
use server_common::{
    Admission, Counters, Endpoint, PatternFile, Service, Shutdown, Wait, listeners,
};
use server_http::Limits;
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// The system's allocator, which counts what watched threads ask of it.
struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

thread_local! {
    static WATCHED: Cell<bool> = const { Cell::new(false) };
}

fn count() {
    if WATCHED.get() {
        ALLOCATIONS.fetch_add(1, Ordering::SeqCst);
    }
}

// SAFETY: every call is passed on unchanged to the system's allocator; counting allocates nothing,
// because the thread-local is initialised at compile time and has no destructor.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: our caller keeps to the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: our caller keeps to the contract of `dealloc`.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: our caller keeps to the contract of `alloc_zeroed`.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        count();
        // SAFETY: our caller keeps to the contract of `realloc`.
        unsafe { System.realloc(pointer, layout, new_size) }
    }
}

/// Plain, pipelined, serialised, unknown; each in two pieces that are received apart, so that the
/// first one is kept unconsumed.
fn one_round(client: &mut TcpStream, answers: &[usize; 4], counters: &Counters) {
    let plain = "GET /plaintext HTTP/1.1\r\nHost: x\r\n\r\n";
    let json = "GET /json HTTP/1.1\r\nHost: x\r\n\r\n";
    let requests = [plain.to_owned(), plain.repeat(16), json.to_owned(), plain.replace("pl", "PL")];
    for (request, answer) in requests.iter().zip(answers) {
        let (first, second) = request.split_at(request.len() / 2);
        let received = counters.received_bytes.value() + first.len() as u64;
        client.write_all(first.as_bytes()).expect("taken");
        while counters.received_bytes.value() < received {
            std::thread::yield_now();
        }
        client.write_all(second.as_bytes()).expect("taken");
        client.read_exact(&mut vec![0; *answer]).expect("answered");
    }
}

/// Lengths of the answers to the requests of a round, so that none needs parsing.
fn lengths(client: &mut TcpStream) -> [usize; 4] {
    let mut length = |path: &str| {
        let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n");
        client.write_all(request.as_bytes()).expect("taken");
        // One short write of the server is one read here.
        client.read(&mut [0; 4096]).expect("answered")
    };
    let (plain, json, unknown) = (length("/plaintext"), length("/json"), length("/PLaintext"));
    [plain, 16 * plain, json, unknown]
}

#[test]
fn nothing_is_allocated_per_request() {
    // No time-out comes due during the test, however slow the machine is.
    let day = Duration::from_hours(24);
    let limits = Limits { head_timeout: day, idle_timeout: day, ..Limits::DEFAULT };
    let limits: &'static Limits = Box::leak(Box::new(limits));
    let (address, mut sockets) = listeners(([127, 0, 0, 1], 0).into(), 16, 1).expect("loopback");
    let shutdown = Shutdown::new().expect("a descriptor is free");
    let setup = Setup {
        service: Service::Http,
        limits,
        wait: Wait::Block,
        admission: Admission::new(16),
        drain_timeout: Duration::ZERO,
        sending: Sending {
            pattern: PatternFile::new().expect("memory is left"),
            sendfile_bytes: 1,
            quick_ack: false,
        },
    };
    let counters = Arc::new(Counters::default());
    let endpoint = Endpoint { listener: sockets.remove(0), datagrams: None };
    let (stop, own) = (shutdown.clone(), (counters.clone(), Arc::default()));
    let serving = std::thread::spawn(move || {
        WATCHED.set(true);
        Worker::new(setup, endpoint, &stop, own)?.run(&stop)
    });

    let mut clients: Vec<TcpStream> =
        (0..8).map(|_| TcpStream::connect(address).expect("it listens")).collect();
    let answers = lengths(&mut clients[0]);
    for client in &mut clients {
        client.set_nodelay(true).expect("an option of TCP");
        one_round(client, &answers, &counters);
    }
    let before = ALLOCATIONS.load(Ordering::SeqCst);
    assert_ne!(before, 0, "setting up allocates: the counter counts");
    for _ in 0..100 {
        for client in &mut clients {
            one_round(client, &answers, &counters);
        }
    }
    assert_eq!(ALLOCATIONS.load(Ordering::SeqCst), before);
    assert_eq!(counters.responses.value(), 3 + 101 * 8 * 19);
    shutdown.request().expect("an eventfd takes it");
    serving.join().expect("no panic").expect("no error");
}
