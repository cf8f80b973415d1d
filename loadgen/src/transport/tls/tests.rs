//! The layer over a transport that finishes writing only when told, so that what is to be sent
//! meets what is still being sent.

use super::*;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use rustls::{ServerConfig, ServerConnection};
use std::io::{Read, Write};
use std::sync::Arc;

/// One connection, whose bytes lie in memory.
#[derive(Default)]
struct Memory {
    /// What was written, once it is.
    written: Vec<u8>,
    sending: bool,
    opens: usize,
}

impl Memory {
    fn apply(&mut self, next: Next, handler: &mut impl Handler) {
        match next {
            Next::Wait => {}
            Next::Send => self.send(0, handler),
            Next::Reopen => self.open(0, handler),
            Next::Close => self.sending = false,
        }
    }

    /// All that is being sent is written.
    fn finish(&mut self, handler: &mut impl Handler) {
        if std::mem::take(&mut self.sending) {
            self.written.extend_from_slice(handler.request(0));
            let next = handler.sent(0);
            self.apply(next, handler);
        }
    }

    fn deliver(&mut self, bytes: &[u8], handler: &mut impl Handler) {
        let next = handler.received(0, 0, bytes, true);
        self.apply(next, handler);
    }
}

impl Transport for Memory {
    fn now_ns(&self) -> u64 {
        0
    }

    fn open(&mut self, _slot: usize, handler: &mut impl Handler) {
        self.opens += 1;
        self.sending = false;
        let next = handler.opened(0, 0);
        self.apply(next, handler);
    }

    fn send(&mut self, _slot: usize, _handler: &mut impl Handler) {
        assert!(!self.sending, "only what sends nothing may be told to send");
        self.sending = true;
    }

    fn poll(&mut self, _wait_ns: u64, handler: &mut impl Handler) -> io::Result<()> {
        self.finish(handler);
        Ok(())
    }
}

/// What the worker would be: sends nothing by itself.
#[derive(Default)]
struct Listener {
    opened: usize,
    received: Vec<u8>,
    closed: usize,
    failures: Vec<(Failure, i32)>,
}

impl Handler for Listener {
    fn opened(&mut self, _now_ns: u64, _slot: usize) -> Next {
        self.opened += 1;
        Next::Wait
    }

    fn received(&mut self, _now_ns: u64, _slot: usize, bytes: &[u8], _reusable: bool) -> Next {
        self.received.extend_from_slice(bytes);
        Next::Wait
    }

    fn closed(&mut self, _now_ns: u64, _slot: usize) -> Next {
        self.closed += 1;
        Next::Close
    }

    fn failed(&mut self, _now_ns: u64, _slot: usize, failure: Failure, number: i32) -> Next {
        self.failures.push((failure, number));
        Next::Close
    }

    fn request(&self, _slot: usize) -> &[u8] {
        b"GET / HTTP/1.1\r\n\r\n"
    }
}

struct World {
    transport: TlsTransport<Memory>,
    listener: Listener,
    server: ServerConnection,
}

impl World {
    fn new() -> Self {
        let certificate =
            CertificateDer::from(&include_bytes!("../../../tests/tls/certificate.der")[..]);
        let key = PrivatePkcs8KeyDer::from(&include_bytes!("../../../tests/tls/key.der")[..]);
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key.into())
            .unwrap();
        let client = Client::new("server.test").unwrap();
        let mut world = Self {
            transport: TlsTransport::new(Memory::default(), client, 1),
            listener: Listener::default(),
            server: ServerConnection::new(Arc::new(config)).unwrap(),
        };
        world.transport.open(0, &mut world.listener);
        world
    }

    /// The transport below writes all that it was told to; the server reads it. Returns what the
    /// server has decrypted.
    fn write(&mut self) -> Vec<u8> {
        self.transport.poll(0, &mut self.listener).unwrap();
        let written = std::mem::take(&mut self.transport.below.written);
        let mut rest = written.as_slice();
        let mut plaintext = Vec::new();
        while !rest.is_empty() {
            self.server.read_tls(&mut rest).unwrap();
            self.server.process_new_packets().unwrap();
            // Nothing to read yet is an error of that name.
            drop(self.server.reader().read_to_end(&mut plaintext));
        }
        plaintext
    }

    /// What the server says arrives.
    fn read(&mut self) {
        let mut bytes = Vec::new();
        while self.server.wants_write() {
            self.server.write_tls(&mut bytes).unwrap();
        }
        self.deliver(&bytes);
    }

    fn deliver(&mut self, bytes: &[u8]) {
        let mut above = Ciphertext { layer: &mut self.transport.layer, above: &mut self.listener };
        self.transport.below.deliver(bytes, &mut above);
    }
}

#[test]
fn a_request_waits_for_the_end_of_the_handshake_to_be_written() {
    let mut world = World::new();
    assert_eq!(world.listener.opened, 0);
    world.write();
    world.read();
    assert_eq!(world.listener.opened, 1);
    // The end of the handshake is being sent; the request goes out after it, and whole.
    assert!(world.transport.below.sending);
    world.transport.send(0, &mut world.listener);
    assert_eq!(world.write(), b"");
    assert_eq!(world.write(), world.listener.request(0));
    assert!(!world.transport.below.sending);
    world.server.writer().write_all(b"HTTP/1.1 204 No Content\r\n\r\n").unwrap();
    world.read();
    assert_eq!(world.listener.received, b"HTTP/1.1 204 No Content\r\n\r\n");
    world.transport.send(0, &mut world.listener);
    assert_eq!(world.write(), world.listener.request(0));
    world.server.send_close_notify();
    world.read();
    assert_eq!((world.listener.closed, world.transport.below.opens), (1, 1));
    assert_eq!(world.listener.failures, []);
}

#[test]
fn updates_of_keys_are_answered_with_the_next_request_and_hold_no_memory() {
    let mut world = World::new();
    world.write();
    world.read();
    world.write();
    world.transport.send(0, &mut world.listener);
    let sending_bytes = world.transport.layer.slots[0].ciphertext.len();
    for _ in 0..100 {
        world.server.refresh_traffic_keys().unwrap();
        world.server.writer().write_all(b"x").unwrap();
        world.read();
    }
    assert_eq!((world.listener.received.len(), world.listener.failures.len()), (100, 0));
    let slot = &world.transport.layer.slots[0];
    assert_eq!((slot.ciphertext.len(), slot.pending.len()), (sending_bytes, 0));
    for _ in 0..2 {
        assert_eq!(world.write(), world.listener.request(0));
        world.transport.send(0, &mut world.listener);
    }
}

#[test]
fn what_ends_a_handshake_is_a_failure_to_connect() {
    let check = |act: &dyn Fn(&mut World), number: i32| {
        let mut world = World::new();
        world.write();
        act(&mut world);
        assert_eq!(world.listener.failures, [(Failure::Connect, number)]);
        assert_eq!((world.listener.opened, world.listener.closed), (0, 0));
    };
    let with = |world: &mut World, act: &dyn Fn(&mut Ciphertext<'_, Listener>)| {
        act(&mut Ciphertext { layer: &mut world.transport.layer, above: &mut world.listener });
    };
    check(&|world| world.deliver(b"HTTP/1.1 400 Bad\r\n"), crate::tls::CODE_NOT_TLS);
    check(
        &|world| with(world, &|above| assert_eq!(above.closed(0, 0), Next::Close)),
        TlsError::Closed.code(),
    );
    let reset = libc::ECONNRESET;
    check(
        &|world| {
            with(world, &|above| assert_eq!(above.failed(0, 0, Failure::Read, reset), Next::Close))
        },
        reset,
    );
    // A fatal alert: handshake_failure (RFC 8446 §6).
    check(&|world| world.deliver(&[21, 3, 3, 0, 2, 2, 40]), -41);
    assert_eq!(crate::tls::reason(-41), "SSL: the server sent the alert HandshakeFailure");
}
