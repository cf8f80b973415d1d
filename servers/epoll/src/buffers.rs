//! The buffers of a thread: one for input, one for output, and a pool for what must wait.

use crate::worker::Sending;
use server_common::{Counters, Piece};
use server_http::catalogue::pattern_from;
use server_http::{Limits, Sink};
use std::sync::Arc;

/// One receive takes at most about this many bytes.
const RECEIVE_BYTES: usize = 64 * 1024;
/// One send offers the kernel at most this many bytes: more would leave the cache before it is
/// sent, less would cost more calls.
const SEND_BYTES_MAX: usize = 256 * 1024;
/// Buffers kept for the next connection that needs one; beyond them, memory is given back.
const POOL_BUFFERS: usize = 256;

/// What every connection of a thread uses while it is its turn.
pub(crate) struct Buffers {
    /// Received bytes, behind those that were left unconsumed the turn before.
    pub(crate) input: Box<[u8]>,
    /// The answer that is being put together.
    pub(crate) output: Output,
    /// Memory for bytes that must wait for the next turn.
    pub(crate) pool: Pool,
    /// The thread's counters.
    pub(crate) counters: Arc<Counters>,
    /// The bounds on a connection.
    pub(crate) limits: &'static Limits,
    /// Where large bodies are sent from, and more of that kind.
    pub(crate) sending: Sending,
}

impl Buffers {
    /// Buffers as large as `limits` makes necessary.
    pub(crate) fn new(counters: Arc<Counters>, limits: &'static Limits, sending: Sending) -> Self {
        // HTTP leaves less than a head, or a chunk's framing, unconsumed while it waits for more
        // input: behind that, there is always room to receive.
        let unconsumed = limits.head_bytes.max(limits.chunk_overhead_bytes);
        Self {
            input: vec![0; unconsumed + RECEIVE_BYTES].into_boxed_slice(),
            output: Output::new(limits.output_bytes.min(SEND_BYTES_MAX), sending.sendfile_bytes),
            pool: Pool::default(),
            counters,
            limits,
            sending,
        }
    }
}

/// The output buffer: always empty between two connections.
pub(crate) struct Output {
    bytes: Box<[u8]>,
    len: usize,
    /// Behind the bytes, and the last that there is room for: a piece of the pattern's file.
    piece: Piece,
    sendfile_bytes: usize,
}

impl Output {
    fn new(capacity: usize, sendfile_bytes: usize) -> Self {
        let bytes = vec![0; capacity].into_boxed_slice();
        Self { bytes, len: 0, piece: Piece::default(), sendfile_bytes }
    }

    /// What was put, and what is to be sent from the pattern's file behind it.
    pub(crate) fn filled(&self) -> (&[u8], Piece) {
        (&self.bytes[..self.len], self.piece)
    }

    /// Forgets what was put.
    pub(crate) fn clear(&mut self) {
        self.len = 0;
        self.piece = Piece::default();
    }
}

impl Sink for Output {
    fn space(&self) -> usize {
        if self.piece.len == 0 { self.bytes.len() - self.len } else { 0 }
    }

    fn put(&mut self, bytes: &[u8]) {
        let end = self.len + bytes.len();
        self.bytes[self.len..end].copy_from_slice(bytes);
        self.len = end;
    }

    fn put_pattern(&mut self, offset: usize, len: usize) -> usize {
        if len >= self.sendfile_bytes {
            self.piece = Piece::of_body(offset, len);
            return self.piece.len;
        }
        let piece = pattern_from(offset);
        let len = len.min(piece.len()).min(self.space());
        self.put(&piece[..len]);
        len
    }

    fn backlog(&self) -> usize {
        self.len + self.piece.len
    }

    fn lend(&mut self, len: usize) -> Option<&mut [u8]> {
        if self.piece.len == 0 { self.bytes[self.len..].get_mut(..len) } else { None }
    }

    fn commit(&mut self, len: usize) {
        assert!(len <= self.space(), "commit of {len} bytes into {}", self.space());
        self.len += len;
    }
}

/// Buffers between two uses, so that connections that need one now and then do not allocate.
#[derive(Default)]
pub(crate) struct Pool(Vec<Vec<u8>>);

impl Pool {
    /// Puts `bytes` in place of what `buffer` holds; an empty `buffer` owns no memory.
    pub(crate) fn keep(&mut self, buffer: &mut Vec<u8>, bytes: &[u8]) {
        if bytes.is_empty() {
            self.empty(buffer);
            return;
        }
        if buffer.capacity() == 0 {
            *buffer = self.0.pop().unwrap_or_default();
        }
        buffer.clear();
        buffer.extend_from_slice(bytes);
    }

    /// Empties `buffer` and takes its memory back.
    pub(crate) fn empty(&mut self, buffer: &mut Vec<u8>) {
        if buffer.capacity() == 0 {
            return;
        }
        let mut memory = std::mem::take(buffer);
        if self.0.len() < POOL_BUFFERS {
            memory.clear();
            self.0.push(memory);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kept_buffer_is_used_again_and_an_empty_one_owns_no_memory() {
        let mut pool = Pool::default();
        let mut first = Vec::new();
        pool.keep(&mut first, b"abc");
        let memory = first.as_ptr();
        pool.keep(&mut first, b"de");
        assert_eq!(first, b"de");
        pool.keep(&mut first, b"");
        assert_eq!(first.capacity(), 0);
        let mut second = Vec::new();
        pool.keep(&mut second, b"f");
        assert_eq!((second.as_ptr(), &second[..]), (memory, &b"f"[..]));
    }

    #[test]
    fn the_pool_is_bounded() {
        let mut pool = Pool::default();
        for _ in 0..2 * POOL_BUFFERS {
            pool.empty(&mut vec![1, 2, 3]);
        }
        assert_eq!(pool.0.len(), POOL_BUFFERS);
    }
}
