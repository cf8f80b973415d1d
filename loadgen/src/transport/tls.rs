//! TLS between any transport and its handler.
//!
//! ```text
//! Worker ── plaintext ── TlsTransport ── ciphertext ── EpollTransport or UringTransport
//! ```
//!
//! What stands below sees a handler of its own, `Ciphertext`, whose requests are ciphertext: the
//! ClientHello when a connection opens, then what the handshake has to say, then the requests of
//! the handler above, which hears of the connection when the handshake is done. A handshake that
//! fails is a connection that could not be opened; why stands where an error number would
//! ([`tls::reason`](crate::tls::reason)).
//!
//! The clock is that of the transport below, read when ciphertext had arrived, so that the time to
//! decrypt a response is not part of its latency; the time to encrypt a request is.
//!
//! A server that ends a connection without `close_notify` ends a body all the same, since many do
//! so. We close without it, too.

use super::{Failure, Handler, Next, Transport};
use crate::tls::{Client, Received, Session, TlsError};
use std::io;

/// One connection.
#[derive(Debug, Default)]
struct Slot {
    /// From when the connection opens.
    session: Option<Session>,
    /// What the transport below sends, or has sent.
    ciphertext: Vec<u8>,
    /// Whether it has not yet sent all of it.
    sending: bool,
    /// What is to be sent after it: one request at most, and what the protocol answers by itself.
    /// That is one alert to a peer that wishes to renegotiate: rustls takes no second wish, and
    /// answers updates of keys with the next request, so that a peer cannot make this grow.
    pending: Vec<u8>,
}

impl Slot {
    fn is_open(&self) -> bool {
        self.session.as_ref().is_some_and(Session::is_open)
    }

    /// A new connection, of which nothing is sent: appends its ClientHello.
    fn begin(&mut self, client: &Client) -> Result<(), TlsError> {
        self.ciphertext.clear();
        self.pending.clear();
        self.sending = false;
        self.session.insert(client.session()?).start(&mut self.ciphertext)
    }

    /// Where ciphertext is appended.
    fn outgoing(&mut self) -> Option<(&mut Session, &mut Vec<u8>)> {
        let into = if self.sending { &mut self.pending } else { &mut self.ciphertext };
        Some((self.session.as_mut()?, into))
    }

    fn encrypt(&mut self, plaintext: &[u8]) -> Result<(), TlsError> {
        let Some((session, into)) = self.outgoing() else { return Err(TlsError::Closed) };
        session.send(plaintext, into)
    }

    fn decrypt(&mut self, bytes: &[u8], plaintext: &mut Vec<u8>) -> Result<Received, TlsError> {
        let Some((session, into)) = self.outgoing() else { return Err(TlsError::Closed) };
        session.receive(bytes, plaintext, into)
    }

    /// What the transport below is to do: send if there is something and it is not about to.
    fn flush(&mut self) -> Next {
        if self.sending || self.ciphertext.is_empty() {
            return Next::Wait;
        }
        self.sending = true;
        Next::Send
    }

    /// The transport below has sent everything.
    fn sent(&mut self) {
        self.sending = false;
        self.ciphertext.clear();
        std::mem::swap(&mut self.ciphertext, &mut self.pending);
    }
}

/// What all connections of a thread have in common, and each of them.
#[derive(Debug)]
struct Layer {
    client: Client,
    slots: Vec<Slot>,
    /// What was decrypted last, of any connection: at most as much as was received at once.
    plaintext: Vec<u8>,
}

/// The connections of one thread, with TLS.
#[derive(Debug)]
pub struct TlsTransport<T> {
    below: T,
    layer: Layer,
}

impl<T: Transport> TlsTransport<T> {
    /// Speaks TLS as `client` over so many connections of the transport below.
    pub fn new(below: T, client: Client, connections: usize) -> Self {
        let mut slots = Vec::new();
        slots.resize_with(connections, Slot::default);
        Self { below, layer: Layer { client, slots, plaintext: Vec::new() } }
    }
}

impl<T: Transport> Transport for TlsTransport<T> {
    fn sleeps(&self) -> bool {
        self.below.sleeps()
    }

    fn now_ns(&self) -> u64 {
        self.below.now_ns()
    }

    fn open(&mut self, slot: usize, handler: &mut impl Handler) {
        self.below.open(slot, &mut Ciphertext { layer: &mut self.layer, above: handler });
    }

    fn send(&mut self, slot: usize, handler: &mut impl Handler) {
        let mut ciphertext = Ciphertext { layer: &mut self.layer, above: handler };
        match ciphertext.obey(self.below.now_ns(), slot, Next::Send) {
            Next::Wait => {}
            Next::Send => self.below.send(slot, &mut ciphertext),
            // The session is broken. There is no closing from here but by opening again.
            Next::Reopen | Next::Close => self.below.open(slot, &mut ciphertext),
        }
    }

    fn poll(&mut self, wait_ns: u64, handler: &mut impl Handler) -> io::Result<()> {
        self.below.poll(wait_ns, &mut Ciphertext { layer: &mut self.layer, above: handler })
    }
}

/// The handler that the transport below talks to.
struct Ciphertext<'a, H> {
    layer: &'a mut Layer,
    above: &'a mut H,
}

impl<H: Handler> Ciphertext<'_, H> {
    /// Does what the handler above has answered.
    fn obey(&mut self, now_ns: u64, slot: usize, answer: Next) -> Next {
        let next = self.encrypt(now_ns, slot, answer);
        self.flush(slot, next)
    }

    /// Encrypts the request of the handler above, if it has answered that there is one to send;
    /// what is left is never [`Next::Send`].
    fn encrypt(&mut self, now_ns: u64, slot: usize, answer: Next) -> Next {
        if answer != Next::Send {
            return answer;
        }
        match self.layer.slots[slot].encrypt(self.above.request(slot)) {
            Ok(()) => Next::Wait,
            Err(error) => self.above.failed(now_ns, slot, Failure::Write, error.code()),
        }
    }

    /// What the transport below is to do: unless the connection is over, send what there is.
    fn flush(&mut self, slot: usize, next: Next) -> Next {
        if next == Next::Wait { self.layer.slots[slot].flush() } else { next }
    }

    /// The session is of no more use.
    fn fail(&mut self, now_ns: u64, slot: usize, was_open: bool, error: &TlsError) -> Next {
        let failure = if was_open { Failure::Read } else { Failure::Connect };
        self.above.failed(now_ns, slot, failure, error.code())
    }
}

impl<H: Handler> Handler for Ciphertext<'_, H> {
    fn looked(&mut self, clock: &dyn Fn() -> u64, found: bool) {
        self.above.looked(clock, found);
    }

    fn opened(&mut self, now_ns: u64, slot: usize) -> Next {
        let connection = &mut self.layer.slots[slot];
        match connection.begin(&self.layer.client) {
            Ok(()) => connection.flush(),
            Err(error) => self.fail(now_ns, slot, false, &error),
        }
    }

    fn received(&mut self, now_ns: u64, slot: usize, bytes: &[u8], reusable: bool) -> Next {
        let Layer { slots, plaintext, .. } = &mut *self.layer;
        let was_open = slots[slot].is_open();
        plaintext.clear();
        let Received { opened, closed } = match slots[slot].decrypt(bytes, plaintext) {
            Ok(received) => received,
            Err(error) => return self.fail(now_ns, slot, was_open, &error),
        };
        let mut next = Next::Wait;
        if opened {
            let answer = self.above.opened(now_ns, slot);
            next = self.encrypt(now_ns, slot, answer);
        }
        if next == Next::Wait && !self.layer.plaintext.is_empty() {
            let plaintext = &self.layer.plaintext;
            let answer = self.above.received(now_ns, slot, plaintext, reusable && !closed);
            next = self.encrypt(now_ns, slot, answer);
        }
        if next == Next::Wait && closed {
            let answer = self.above.closed(now_ns, slot);
            next = self.encrypt(now_ns, slot, answer);
        }
        // The protocol may have something to say, though the handler above has not.
        self.flush(slot, next)
    }

    fn closed(&mut self, now_ns: u64, slot: usize) -> Next {
        if self.layer.slots[slot].is_open() {
            let answer = self.above.closed(now_ns, slot);
            return self.obey(now_ns, slot, answer);
        }
        self.fail(now_ns, slot, false, &TlsError::Closed)
    }

    fn failed(&mut self, now_ns: u64, slot: usize, failure: Failure, errno: i32) -> Next {
        let is_open = failure != Failure::Connect && self.layer.slots[slot].is_open();
        let failure = if is_open { failure } else { Failure::Connect };
        self.above.failed(now_ns, slot, failure, errno)
    }

    fn request(&self, slot: usize) -> &[u8] {
        &self.layer.slots[slot].ciphertext
    }

    fn sent(&mut self, slot: usize) -> Next {
        let connection = &mut self.layer.slots[slot];
        connection.sent();
        connection.flush()
    }
}

#[cfg(test)]
mod tests;
