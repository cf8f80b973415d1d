//! TLS for `https://`, as wrk has it: the host's name is sent (SNI), no certificate is verified, no
//! session is resumed, so that each connection pays for a whole handshake.
//!
//! A [`Session`] turns plaintext to send into ciphertext, and received ciphertext into plaintext.
//! It has neither socket nor loop: whoever moves the bytes of a connection passes them through.
//!
//! What is checked all the same is that the server holds the key of the certificate that it shows,
//! as OpenSSL does without verification: it is part of what a handshake costs a client.

use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{self, CryptoProvider};
use rustls::pki_types::{CertificateDer, InvalidDnsNameError, ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, Error, SignatureScheme};
use std::fmt;
use std::io::{self, BufRead, Write};
use std::sync::Arc;

/// Why a connection cannot speak TLS, or cannot go on.
#[derive(Debug)]
pub enum TlsError {
    /// The host is neither a name nor an address.
    Name(InvalidDnsNameError),
    /// The peer broke the protocol, refused, or is not a TLS server.
    Protocol(Error),
    /// The library's buffers: its own limits, since nothing here does I/O.
    Buffer(io::Error),
}

impl fmt::Display for TlsError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(error) => write!(formatter, "no name that TLS could ask for: {error}"),
            Self::Protocol(error) => write!(formatter, "TLS: {error}"),
            Self::Buffer(error) => write!(formatter, "TLS: {error}"),
        }
    }
}

impl std::error::Error for TlsError {}

impl From<Error> for TlsError {
    fn from(error: Error) -> Self {
        Self::Protocol(error)
    }
}

impl From<io::Error> for TlsError {
    fn from(error: io::Error) -> Self {
        Self::Buffer(error)
    }
}

/// What all connections to a host share.
#[derive(Clone, Debug)]
pub struct Client {
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
}

impl Client {
    /// A client of `host`, which is a name or an address without brackets. To an address no name
    /// is sent (RFC 6066 §3).
    ///
    /// # Errors
    /// [`TlsError::Name`] where it is neither; [`TlsError::Protocol`] where the library has no
    /// version of TLS in common with its cryptography.
    pub fn new(host: &str) -> Result<Self, TlsError> {
        let provider = Arc::new(crypto::ring::default_provider());
        let verifier = Arc::new(AnyCertificate(Arc::clone(&provider)));
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .dangerous()
            .with_custom_certificate_verifier(verifier)
            .with_no_client_auth();
        config.resumption = Resumption::disabled();
        let name = ServerName::try_from(host.to_owned()).map_err(TlsError::Name)?;
        Ok(Self { config: Arc::new(config), name })
    }

    /// A connection that has not begun.
    ///
    /// # Errors
    /// Where the library refuses the configuration.
    pub fn session(&self) -> Result<Session, TlsError> {
        let mut connection = ClientConnection::new(Arc::clone(&self.config), self.name.clone())?;
        // A request is encrypted whole; its length is the bound.
        connection.set_buffer_limit(None);
        Ok(Session { connection })
    }
}

/// One connection's TLS.
#[derive(Debug)]
pub struct Session {
    connection: ClientConnection,
}

/// What ciphertext brought beside plaintext.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Received {
    /// The handshake ended with it: requests can be sent.
    pub opened: bool,
    /// The peer sends nothing more (`close_notify`).
    pub closed: bool,
}

impl Session {
    /// Whether requests can be sent.
    #[must_use]
    pub fn is_open(&self) -> bool {
        !self.connection.is_handshaking()
    }

    /// Appends what is to be sent first, the ClientHello.
    ///
    /// # Errors
    /// None in practice: the ciphertext goes to memory.
    pub fn start(&mut self, ciphertext: &mut Vec<u8>) -> Result<(), TlsError> {
        self.flush(ciphertext)
    }

    /// Encrypts what is to be sent, and appends it.
    ///
    /// # Errors
    /// None in practice, once the session is open: the ciphertext goes to memory.
    pub fn send(&mut self, plaintext: &[u8], ciphertext: &mut Vec<u8>) -> Result<(), TlsError> {
        self.connection.writer().write_all(plaintext)?;
        self.flush(ciphertext)
    }

    /// Takes all of `received`, appends its plaintext, and appends to `ciphertext` what the
    /// protocol itself has to send: the end of the handshake, the answer to an update of keys.
    ///
    /// # Errors
    /// [`TlsError`]; the connection is then of no more use.
    pub fn receive(
        &mut self,
        mut received: &[u8],
        plaintext: &mut Vec<u8>,
        ciphertext: &mut Vec<u8>,
    ) -> Result<Received, TlsError> {
        let was_open = self.is_open();
        let mut closed = false;
        // The library takes a few KiB at a time; after `close_notify` it takes nothing.
        while !received.is_empty() && self.connection.read_tls(&mut received)? > 0 {
            let state = self.connection.process_new_packets()?;
            closed |= state.peer_has_closed();
            self.drain(plaintext)?;
        }
        self.flush(ciphertext)?;
        Ok(Received { opened: !was_open && self.is_open(), closed })
    }

    fn drain(&mut self, plaintext: &mut Vec<u8>) -> Result<(), TlsError> {
        let mut reader = self.connection.reader();
        loop {
            let length = match reader.fill_buf() {
                Ok(bytes) => {
                    plaintext.extend_from_slice(bytes);
                    bytes.len()
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error.into()),
            };
            if length == 0 {
                return Ok(());
            }
            reader.consume(length);
        }
    }

    fn flush(&mut self, ciphertext: &mut Vec<u8>) -> Result<(), TlsError> {
        while self.connection.wants_write() {
            self.connection.write_tls(ciphertext)?;
        }
        Ok(())
    }
}

/// Takes every certificate, as wrk does.
#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        crypto::verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        crypto::verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests;
