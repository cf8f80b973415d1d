//! Where a connection writes its responses.

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
}
