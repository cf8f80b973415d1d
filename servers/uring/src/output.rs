//! Where responses are written: buffers that a connection has only while it needs them.

use crate::pattern;
use crate::ring::Bytes;
use server_common::Piece;
use server_http::Sink;
use server_http::catalogue::pattern_from;

/// Room of a small buffer in bytes: some thirty short responses.
const SMALL_BYTES: usize = 4 * 1024;
/// Room of a large buffer in bytes: what one send carries at most.
const LARGE_BYTES: usize = 256 * 1024;
/// So many bytes of a body or more are sent from where they lie; fewer are copied behind the head,
/// which saves an operation: measured in turns over veth with offloads off, bodies of 64 KiB came
/// 0.93 times as fast as copied, of 256 KiB 1.74 times.
const PATTERN_BYTES: usize = 128 * 1024;
/// Small buffers kept for reuse at most: 16 MiB per thread.
const SMALL_KEPT: usize = 4096;
/// Large buffers kept for reuse at most: 16 MiB per thread.
const LARGE_KEPT: usize = 64;

const _: () = assert!(SMALL_KEPT * SMALL_BYTES == 16 << 20);
const _: () = assert!(LARGE_KEPT * LARGE_BYTES == 16 << 20);

/// Buffers between uses. The one used last is used next, while the cache still has it.
#[derive(Debug)]
pub(crate) struct Pool {
    small: Vec<Vec<u8>>,
    large: Vec<Vec<u8>>,
}

impl Pool {
    /// An empty pool.
    pub(crate) const fn new() -> Self {
        Self { small: Vec::new(), large: Vec::new() }
    }

    /// An empty buffer with room for `len_bytes`, and usually more.
    pub(crate) fn take(&mut self, len_bytes: usize) -> Vec<u8> {
        if len_bytes <= SMALL_BYTES {
            return self.small.pop().unwrap_or_else(|| Vec::with_capacity(SMALL_BYTES));
        }
        self.large.pop().unwrap_or_else(|| Vec::with_capacity(len_bytes.max(LARGE_BYTES)))
    }

    /// Keeps `buffer` for reuse, or frees it where there are enough or it is of an odd size.
    pub(crate) fn put(&mut self, mut buffer: Vec<u8>) {
        let (kept, most) = match buffer.capacity() {
            SMALL_BYTES => (&mut self.small, SMALL_KEPT),
            LARGE_BYTES => (&mut self.large, LARGE_KEPT),
            _ => return,
        };
        if kept.len() < most {
            buffer.clear();
            kept.push(buffer);
        }
    }

    /// Keeps what bytes that are sent lay in, if it is a buffer.
    pub(crate) fn put_back(&mut self, bytes: Bytes) {
        match bytes {
            Bytes::Buffer(buffer) => self.put(buffer),
            Bytes::Static(_) | Bytes::File(_) => {}
        }
    }

    /// Appends `bytes` to `buffer`, moving it to a larger one if it does not fit.
    pub(crate) fn append(&mut self, buffer: &mut Vec<u8>, bytes: &[u8]) {
        let len_bytes = buffer.len() + bytes.len();
        if len_bytes > buffer.capacity() {
            let mut larger = self.take(len_bytes);
            larger.extend_from_slice(buffer);
            self.put(std::mem::replace(buffer, larger));
        }
        buffer.extend_from_slice(bytes);
    }
}

/// The output of one connection while it is being advanced.
#[derive(Debug)]
pub(crate) struct Output<'a> {
    /// Where buffers come from.
    pub(crate) pool: &'a mut Pool,
    /// What the next send will carry.
    pub(crate) next: &'a mut Vec<u8>,
    /// What the one after it will carry, the last that there is room for: a piece of a large body.
    pub(crate) piece: &'a mut Option<Bytes>,
    /// From how many bytes of a body on such a piece is one of the pattern's file.
    pub(crate) sendfile_bytes: Option<usize>,
    /// Bytes of the send in flight that the kernel has not taken yet.
    pub(crate) in_flight_bytes: usize,
    /// Bytes that may wait for the client, in flight or not.
    pub(crate) limit_bytes: usize,
}

impl Sink for Output<'_> {
    fn space(&self) -> usize {
        if self.piece.is_some() {
            return 0;
        }
        let room = LARGE_BYTES - self.next.len();
        room.min(self.limit_bytes.saturating_sub(self.backlog()))
    }

    fn put(&mut self, bytes: &[u8]) {
        assert!(bytes.len() <= self.space(), "put {} into {}", bytes.len(), self.space());
        self.pool.append(self.next, bytes);
    }

    fn put_pattern(&mut self, offset: usize, len: usize) -> usize {
        let large = if self.sendfile_bytes.is_some_and(|bytes| len >= bytes) {
            Some(Bytes::File(Piece::of_body(offset, len)))
        } else if len >= PATTERN_BYTES {
            Some(Bytes::Static(pattern::piece_of_body(offset, len)))
        } else {
            None
        };
        if let Some(piece) = large {
            return self.piece.insert(piece).len();
        }
        let piece = pattern_from(offset);
        let len = len.min(piece.len()).min(self.space());
        self.put(&piece[..len]);
        len
    }

    fn backlog(&self) -> usize {
        self.next.len() + self.piece.as_ref().map_or(0, Bytes::len) + self.in_flight_bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_grows_from_small_to_large_and_both_are_used_again() {
        let mut pool = Pool::new();
        let mut buffer = Vec::new();
        pool.append(&mut buffer, b"abc");
        assert_eq!(buffer.capacity(), SMALL_BYTES);
        let small = buffer.as_ptr();
        pool.append(&mut buffer, &[b'd'; SMALL_BYTES]);
        assert_eq!(buffer.capacity(), LARGE_BYTES);
        assert_eq!((&buffer[..4], buffer.len()), (&b"abcd"[..], SMALL_BYTES + 3));
        let again = pool.take(1);
        assert_eq!(again.as_ptr(), small);

        let large = buffer.as_ptr();
        pool.put(buffer);
        let again = pool.take(SMALL_BYTES + 1);
        assert_eq!((again.as_ptr(), again.len()), (large, 0));
    }

    #[test]
    fn the_pool_keeps_no_more_than_its_bound_and_nothing_of_an_odd_size() {
        let mut pool = Pool::new();
        for _ in 0..=LARGE_KEPT {
            pool.put(Vec::with_capacity(LARGE_BYTES));
        }
        pool.put(Vec::with_capacity(LARGE_BYTES + 1));
        pool.put(Vec::new());
        assert_eq!((pool.large.len(), pool.small.len()), (LARGE_KEPT, 0));
    }

    fn check(taken_bytes: (usize, usize), limit_bytes: usize, expect: usize) {
        let (next_bytes, in_flight_bytes) = taken_bytes;
        let (mut pool, mut next, mut piece) = (Pool::new(), vec![0; next_bytes], None);
        let mut output = Output {
            pool: &mut pool,
            next: &mut next,
            piece: &mut piece,
            sendfile_bytes: None,
            in_flight_bytes,
            limit_bytes,
        };
        assert_eq!(output.backlog(), next_bytes + in_flight_bytes);
        assert_eq!(output.space(), expect);
        output.put(&vec![0; expect]);
        assert_eq!(output.space(), 0);
    }

    #[test]
    fn space_ends_at_the_limit_and_at_the_largest_buffer() {
        check((0, 0), 1000, 1000);
        check((300, 200), 1000, 500);
        check((300, 900), 1000, 0);
        check((10, 0), 1 << 30, LARGE_BYTES - 10);
    }

    #[test]
    fn the_piece_of_a_large_body_is_the_last_that_there_is_room_for() {
        let (mut pool, mut next, mut piece) = (Pool::new(), Vec::new(), None);
        let mut output = Output {
            pool: &mut pool,
            next: &mut next,
            piece: &mut piece,
            sendfile_bytes: None,
            in_flight_bytes: 0,
            limit_bytes: 1 << 20,
        };
        let short = PATTERN_BYTES - 1;
        let copied = output.put_pattern(0, short);
        assert!(0 < copied && copied == output.next.len(), "a short one is copied: {copied}");
        assert_eq!(output.put_pattern(7, PATTERN_BYTES), PATTERN_BYTES);
        assert_eq!((output.space(), output.backlog()), (0, copied + PATTERN_BYTES));
        let Some(Bytes::Static(piece)) = piece else { panic!("not in memory: {piece:?}") };
        assert_eq!(piece[..3], [7, 8, 9]);
        assert_eq!(next.len(), copied);
    }

    #[test]
    fn a_piece_is_of_the_file_from_the_bound_on() {
        let piece_of = |sendfile_bytes: usize, len: usize| {
            let (mut pool, mut next, mut piece) = (Pool::new(), Vec::new(), None);
            let mut output = Output {
                pool: &mut pool,
                next: &mut next,
                piece: &mut piece,
                sendfile_bytes: Some(sendfile_bytes),
                in_flight_bytes: 0,
                limit_bytes: 1 << 20,
            };
            let put = output.put_pattern(7, len);
            assert_eq!(output.backlog(), put);
            (put, piece)
        };
        let (put, piece) = piece_of(1000, 1000);
        let Some(Bytes::File(piece)) = piece else { panic!("not in the file: {piece:?}") };
        assert_eq!((put, piece), (1000, Piece::of_body(7, 1000)));
        let (put, piece) = piece_of(1000, 999);
        assert!(put > 0 && piece.is_none(), "copied: {put} {piece:?}");
    }
}
