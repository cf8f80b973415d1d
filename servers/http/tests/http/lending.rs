//! A sink that lends its room gets the bytes that one gets to which they are put.

use crate::support::TestSink;
use server_http::{Connection, Date, Limits, Now, Sink};

/// Lends from a buffer of fixed length.
struct Lender {
    bytes: [u8; 4096],
    length: usize,
    committed: usize,
}

impl Sink for Lender {
    fn space(&self) -> usize {
        self.bytes.len() - self.length
    }

    fn put(&mut self, bytes: &[u8]) {
        self.bytes[self.length..][..bytes.len()].copy_from_slice(bytes);
        self.length += bytes.len();
    }

    fn backlog(&self) -> usize {
        0
    }

    fn lend(&mut self, len: usize) -> Option<&mut [u8]> {
        self.bytes[self.length..].get_mut(..len)
    }

    fn commit(&mut self, len: usize) {
        self.length += len;
        self.committed += 1;
    }
}

#[test]
fn lent_room_is_filled_with_what_would_have_been_put() {
    let requests = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n\
        GET /json HTTP/1.1\r\nHost: x\r\n\r\n\
        GET /bytes/3100 HTTP/1.1\r\nHost: x\r\n\r\n\
        HEAD /nowhere HTTP/1.1\r\nHost: x\r\n\r\n\
        POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello\
        GET / HTTP/1.1\r\nHost: x\r\n\r\n\
        get / HTTP/1.1\r\nHost: x\r\n\r\n";
    let now = Now { monotonic_ns: 1, date: Date::from_unix_seconds(784_111_777) };
    // What lies in the room before must not show.
    let mut lender = Lender { bytes: [b'?'; 4096], length: 0, committed: 0 };
    let lent = Connection::new(&Limits::DEFAULT, 0).advance(&now, requests, false, &mut lender);
    let mut putter = TestSink::with_space(4096);
    let put = Connection::new(&Limits::DEFAULT, 0).advance(&now, requests, false, &mut putter);
    assert_eq!(lent, put);
    assert_eq!(lent.responses, 7);
    assert_eq!(lender.bytes[..lender.length], putter.bytes[..]);
    // The last heads no longer have room for the longest head, and are put.
    assert!((4..7).contains(&lender.committed), "{} heads were lent room", lender.committed);
}
