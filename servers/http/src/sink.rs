//! Where a connection writes its responses.

use crate::catalogue::pattern_from;

/// Bounded output of one connection: a server's buffer or the stack's send buffer.
pub trait Sink {
    /// Bytes that can be put now.
    fn space(&self) -> usize;

    /// Appends `bytes` whole.
    ///
    /// # Panics
    /// May panic if `bytes` is longer than [`space`](Sink::space): a programmer's error.
    fn put(&mut self, bytes: &[u8]);

    /// Bytes put earlier that the client's side has not taken yet.
    fn backlog(&self) -> usize;

    /// Appends some of the `len` bytes of the body of `/bytes/N` that begin at `offset`, at least
    /// one if there is [`space`](Sink::space), and says how many. `len` is not 0.
    ///
    /// A sink that has those bytes at hand need not copy them.
    fn put_pattern(&mut self, offset: usize, len: usize) -> usize {
        let piece = pattern_from(offset);
        let len = len.min(piece.len()).min(self.space());
        self.put(&piece[..len]);
        len
    }

    /// Lends room for the next `len` bytes of output in one piece, or `None` where there is none:
    /// then they are [`put`](Sink::put). What the room holds before is of no account.
    ///
    /// Writing there saves reading back at once what was just written in small parts.
    fn lend(&mut self, _len: usize) -> Option<&mut [u8]> {
        None
    }

    /// Appends the first `len` bytes of the room that was lent last.
    ///
    /// # Panics
    /// If none was lent, or less: a programmer's error.
    fn commit(&mut self, len: usize) {
        panic!("{len} bytes committed to a sink that lends none");
    }
}
