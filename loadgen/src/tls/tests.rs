//! A session against a server of the same library, with a certificate that it signed itself and,
//! but for one host, the wrong name.

use super::*;
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::version::{TLS12, TLS13};
use rustls::{ServerConfig, ServerConnection, SupportedProtocolVersion};
use std::io::Read;

const VERSIONS: [&SupportedProtocolVersion; 2] = [&TLS12, &TLS13];

/// A server's configuration, with a certificate for `server.test` that it signed itself.
fn self_signed(version: &'static SupportedProtocolVersion) -> Arc<ServerConfig> {
    let certificate = include_bytes!("../../tests/tls/certificate.der");
    let key = include_bytes!("../../tests/tls/key.der");
    let config = ServerConfig::builder_with_provider(Arc::new(crypto::ring::default_provider()))
        .with_protocol_versions(&[version])
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![CertificateDer::from(&certificate[..])],
            PrivatePkcs8KeyDer::from(&key[..]).into(),
        )
        .unwrap();
    Arc::new(config)
}

/// A session and a server, joined by memory that hands bytes on `piece_bytes` at a time.
struct Pair {
    session: Session,
    server: ServerConnection,
    piece_bytes: usize,
    /// What the client has received so far.
    plaintext: Vec<u8>,
    received: Received,
}

impl Pair {
    fn new(host: &str, version: &'static SupportedProtocolVersion, piece_bytes: usize) -> Self {
        let mut server = ServerConnection::new(self_signed(version)).unwrap();
        server.set_buffer_limit(None);
        Self {
            session: Client::new(host).unwrap().session().unwrap(),
            server,
            piece_bytes,
            plaintext: Vec::new(),
            received: Received::default(),
        }
    }

    /// Hands ciphertext to the server and its answers back, until neither says anything. Returns
    /// what the server has read.
    fn exchange(&mut self, mut ciphertext: Vec<u8>) -> Vec<u8> {
        let mut read = Vec::new();
        for _ in 0..100 {
            for mut piece in ciphertext.chunks(self.piece_bytes) {
                while !piece.is_empty() {
                    self.server.read_tls(&mut piece).unwrap();
                    self.server.process_new_packets().unwrap();
                    // Nothing to read yet is an error of that name.
                    drop(self.server.reader().read_to_end(&mut read));
                }
            }
            let mut answer = Vec::new();
            while self.server.wants_write() {
                self.server.write_tls(&mut answer).unwrap();
            }
            ciphertext.clear();
            for piece in answer.chunks(self.piece_bytes) {
                let received =
                    self.session.receive(piece, &mut self.plaintext, &mut ciphertext).unwrap();
                self.received.opened |= received.opened;
                self.received.closed |= received.closed;
            }
            if ciphertext.is_empty() {
                return read;
            }
        }
        panic!("they never fall silent");
    }

    fn open(&mut self) {
        let mut hello = Vec::new();
        self.session.start(&mut hello).unwrap();
        assert!(!self.session.is_open());
        self.exchange(hello);
        assert!(self.session.is_open() && self.received.opened);
    }

    fn send(&mut self, plaintext: &[u8]) -> Vec<u8> {
        let mut ciphertext = Vec::new();
        self.session.send(plaintext, &mut ciphertext).unwrap();
        self.exchange(ciphertext)
    }
}

#[test]
fn requests_and_responses_pass_in_both_versions_and_in_any_pieces() {
    for version in VERSIONS {
        for piece_bytes in [1, 7, 16_384, usize::MAX] {
            let mut pair = Pair::new("another.test", version, piece_bytes);
            pair.open();
            assert_eq!(pair.server.server_name(), Some("another.test"), "{version:?}");
            for round in 0..3 {
                assert_eq!(pair.send(b"GET / HTTP/1.1\r\n\r\n"), b"GET / HTTP/1.1\r\n\r\n");
                pair.server.writer().write_all(b"HTTP/1.1 200 OK\r\n\r\n").unwrap();
                pair.exchange(Vec::new());
                assert_eq!(pair.plaintext, b"HTTP/1.1 200 OK\r\n\r\n", "{version:?}, {round}");
                pair.plaintext.clear();
            }
            assert!(!pair.received.closed);
            pair.server.send_close_notify();
            pair.exchange(Vec::new());
            assert!(pair.received.closed);
        }
    }
}

#[test]
fn bodies_longer_than_any_buffer_pass_whole() {
    let long: Vec<u8> = (0..3_000_000_u32).map(|n| (n % 251) as u8).collect();
    for version in VERSIONS {
        let mut pair = Pair::new("server.test", version, 64 * 1024);
        pair.open();
        assert!(pair.send(&long) == long);
        pair.server.writer().write_all(&long).unwrap();
        pair.exchange(Vec::new());
        assert!(pair.plaintext == long);
    }
}

#[test]
fn to_an_address_no_name_is_sent() {
    for host in ["127.0.0.1", "::1"] {
        let mut pair = Pair::new(host, &TLS13, usize::MAX);
        pair.open();
        assert_eq!(pair.server.server_name(), None, "{host}");
    }
    let error = Client::new("no name").unwrap_err().to_string();
    assert!(error.starts_with("no name that TLS could ask for: "), "{error}");
}

#[test]
fn a_peer_that_does_not_speak_tls_is_an_error() {
    let mut session = Client::new("server.test").unwrap().session().unwrap();
    session.start(&mut Vec::new()).unwrap();
    let answer = b"HTTP/1.1 400 Bad Request\r\n\r\n";
    let error = session.receive(answer, &mut Vec::new(), &mut Vec::new()).unwrap_err();
    assert!(matches!(error, TlsError::Protocol(_)), "{error}");
}

#[test]
fn ciphertext_that_was_changed_on_its_way_is_an_error() {
    let mut pair = Pair::new("another.test", &TLS13, usize::MAX);
    pair.open();
    pair.server.writer().write_all(b"HTTP/1.1 200 OK\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    pair.server.write_tls(&mut answer).unwrap();
    *answer.last_mut().unwrap() ^= 1;
    let mut plaintext = Vec::new();
    assert!(pair.session.receive(&answer, &mut plaintext, &mut Vec::new()).is_err());
    assert!(plaintext.is_empty());
}
