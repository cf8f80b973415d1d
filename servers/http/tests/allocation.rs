//! No allocation per request once a connection has answered its first.

use server_http::{Connection, Date, Limits, Now, Sink};
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

/// The system's allocator, which counts the calls of this thread.
struct Counting;

thread_local! {
    static CALLS: Cell<u64> = const { Cell::new(0) };
}

fn count() {
    CALLS.set(CALLS.get() + 1);
}

// SAFETY: every call is passed on to the system's allocator as it is.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller keeps the contract of `GlobalAlloc::alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps the contract of `GlobalAlloc::dealloc`.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        // SAFETY: the caller keeps the contract of `GlobalAlloc::realloc`.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Output that forgets.
struct Drain(usize);

impl Sink for Drain {
    fn space(&self) -> usize {
        1 << 20
    }

    fn put(&mut self, bytes: &[u8]) {
        self.0 += bytes.len();
    }

    fn backlog(&self) -> usize {
        0
    }
}

/// Answers `request`, delivered in pieces of `step` bytes, and counts allocations.
fn allocations(connection: &mut Connection, request: &[u8], step: usize) -> u64 {
    let now = Now { monotonic_ns: 0, date: Date::from_unix_seconds(0) };
    let mut output = Drain(0);
    let (mut consumed, mut responses, mut end) = (0, 0, 0);
    let before = CALLS.get();
    while end < request.len() {
        end = request.len().min(end + step);
        let advance = connection.advance(&now, &request[consumed..end], false, &mut output);
        consumed += advance.consumed;
        responses += advance.responses;
    }
    let calls = CALLS.get() - before;
    assert_eq!((responses, consumed), (1, request.len()));
    assert!(output.0 > 90, "an answer was put");
    calls
}

#[test]
fn requests_after_the_first_do_not_allocate() {
    let get = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n");
    let post =
        |lines: &str, body: &str| format!("POST /echo HTTP/1.1\r\nHost: x\r\n{lines}\r\n{body}");
    let fields: String = (0..90).map(|number| format!("X-{number}: value\r\n")).collect();
    let requests = [
        get("/plaintext"),
        get("/json"),
        get("/bytes/1000000"),
        get("/none"),
        format!("GET / HTTP/1.1\r\nHost: x\r\n{fields}\r\n"),
        format!("GET / HTTP/1.2\r\nHost: x\r\n{fields}\r\n"),
        post("Content-Length: 1000\r\n", &"b".repeat(1000)),
        post("Transfer-Encoding: chunked\r\n", "5\r\nhello\r\n3\r\nyou\r\n0\r\nX: y\r\n\r\n"),
    ];
    for step in [usize::MAX / 2, 100, 7] {
        let mut connection = Connection::new(&Limits::DEFAULT, 0);
        // The first request of each kind may.
        for request in &requests {
            let _ = allocations(&mut connection, request.as_bytes(), step);
        }
        for request in &requests {
            let calls = allocations(&mut connection, request.as_bytes(), step);
            assert_eq!(calls, 0, "steps of {step}: {}", &request[..20]);
        }
    }
}

#[test]
fn a_long_body_allocates_as_it_arrives_and_is_given_back() {
    let body = "b".repeat(1 << 20);
    let length = body.len();
    let head = format!("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n");
    // Too long for the sink, so it is kept; doubling takes about ten allocations from 1,000 up.
    let mut connection = Connection::new(&Limits::DEFAULT, 0);
    let calls = allocations(&mut connection, (head.clone() + &body).as_bytes(), 1000);
    assert!((1..=20).contains(&calls), "{calls}");
    // The head alone, which claims a megabyte, allocates nothing.
    let now = Now { monotonic_ns: 0, date: Date::from_unix_seconds(0) };
    let before = CALLS.get();
    let _ = connection.advance(&now, head.as_bytes(), false, &mut Drain(0));
    assert_eq!(CALLS.get() - before, 0);
}
