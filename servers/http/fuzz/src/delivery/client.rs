//! The other side: a sink, and whoever takes out of it.

use super::OUTPUT_BYTES_MAX;
use super::plan::Taking;
use crate::engine::Random;
use server_http::Sink;

/// Space of a sink out of which everything is taken at once.
const AMPLE_BYTES: usize = 16 * 1024;

/// `Connection::advance` promises that a sink suffices which reaches so much space now and then.
const SUFFICIENT_BYTES: usize = 512;

/// A client, and the sink between it and the connection.
pub(super) struct Client {
    sink: TestSink,
    /// Who takes slowly, takes so much at a time.
    slowness: Option<Random>,
    taken: Vec<u8>,
}

impl Client {
    pub(super) fn new(taking: Taking) -> Self {
        let mut slowness = match taking {
            Taking::Slowly(seed) => Some(Random::new(seed)),
            Taking::AtOnce | Taking::AtOnceLending => None,
        };
        let capacity =
            slowness.as_mut().map_or(AMPLE_BYTES, |random| SUFFICIENT_BYTES + random.up_to_bits(9));
        let sink = TestSink {
            bytes: Vec::with_capacity(AMPLE_BYTES),
            length: 0,
            capacity,
            lends: taking == Taking::AtOnceLending,
            put_something: false,
        };
        Self { sink, slowness, taken: Vec::new() }
    }

    pub(super) fn sink(&mut self) -> &mut TestSink {
        &mut self.sink
    }

    /// Takes what it takes of its own accord.
    pub(super) fn take_now(&mut self) {
        let length = self.sink.length;
        let count = match &mut self.slowness {
            None => length,
            Some(random) => {
                let takes = random.one_in(4);
                if takes { random.below(length + 1) } else { 0 }
            }
        };
        self.take(count);
    }

    /// Takes something, because the connection waits for it; false where there was nothing, so
    /// that the connection waits in vain.
    pub(super) fn make_room(&mut self) -> bool {
        match &mut self.slowness {
            // What was there was taken after the call: was it anything?
            None => core::mem::take(&mut self.sink.put_something),
            Some(_) if self.sink.length == 0 => core::mem::take(&mut self.sink.put_something),
            Some(random) => {
                let count = 1 + random.below(self.sink.length);
                self.take(count);
                true
            }
        }
    }

    /// More was answered than is worth comparing.
    pub(super) fn is_cut_short(&self) -> bool {
        self.taken.len() > OUTPUT_BYTES_MAX
    }

    pub(super) fn into_output(mut self) -> Vec<u8> {
        self.take(self.sink.length);
        self.taken
    }

    fn take(&mut self, count: usize) {
        self.taken.extend_from_slice(&self.sink.bytes[..count]);
        self.sink.bytes.truncate(self.sink.length);
        self.sink.bytes.drain(..count);
        self.sink.length -= count;
    }
}

/// Bounded output that never allocates, so that whatever a call allocates is the connection's.
pub(super) struct TestSink {
    /// What was put and not taken, and behind it room that was lent.
    bytes: Vec<u8>,
    length: usize,
    capacity: usize,
    lends: bool,
    put_something: bool,
}

impl TestSink {
    fn append(&mut self, length: usize) {
        self.length += length;
        self.put_something |= length > 0;
    }
}

impl Sink for TestSink {
    fn space(&self) -> usize {
        self.capacity - self.length
    }

    fn put(&mut self, bytes: &[u8]) {
        assert!(bytes.len() <= self.space(), "{} bytes put into {}", bytes.len(), self.space());
        self.bytes.truncate(self.length);
        self.bytes.extend_from_slice(bytes);
        self.append(bytes.len());
    }

    fn backlog(&self) -> usize {
        self.length
    }

    fn lend(&mut self, len: usize) -> Option<&mut [u8]> {
        let fits = self.lends && len <= self.space();
        fits.then(|| {
            self.bytes.truncate(self.length);
            // What lies there before must not show.
            self.bytes.resize(self.length + len, b'?');
            &mut self.bytes[self.length..]
        })
    }

    fn commit(&mut self, len: usize) {
        assert!(self.length + len <= self.bytes.len(), "{len} bytes committed, fewer lent");
        self.append(len);
    }
}
