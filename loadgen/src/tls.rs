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
use rustls::{
    AlertDescription, ClientConfig, ClientConnection, DigitallySignedStruct, Error, InvalidMessage,
    SignatureScheme,
};
use std::fmt;
use std::io::{self, BufRead, Read, Write};
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
    /// The peer closed the connection before the handshake was done.
    Closed,
    /// The connection below, while [`probe`] used it.
    Connection(io::Error),
}

/// Codes of what can go wrong beside an alert; alerts are -1 - their number (RFC 8446 §6).
pub(crate) const CODE_NOT_TLS: i32 = -300;
const CODE_CLOSED: i32 = -301;
const CODE_OTHER: i32 = -302;

impl TlsError {
    /// A number that stands where an error number of the system would, by which failures are
    /// counted; always negative. [`reason`] has the words for it.
    #[must_use]
    pub fn code(&self) -> i32 {
        match self {
            Self::Protocol(Error::AlertReceived(alert)) => -1 - i32::from(u8::from(*alert)),
            Self::Protocol(Error::InvalidMessage(InvalidMessage::InvalidContentType)) => {
                CODE_NOT_TLS
            }
            Self::Closed => CODE_CLOSED,
            Self::Name(_) | Self::Protocol(_) | Self::Buffer(_) | Self::Connection(_) => CODE_OTHER,
        }
    }
}

/// What a number of [`TlsError::code`] stands for.
#[must_use]
pub fn reason(code: i32) -> String {
    match code {
        CODE_NOT_TLS => "SSL: the server does not speak TLS on this port".to_owned(),
        CODE_CLOSED => "SSL: the server closed the connection in the handshake".to_owned(),
        _ => match u8::try_from(-1 - code) {
            Ok(alert) => {
                format!("SSL: the server sent the alert {:?}", AlertDescription::from(alert))
            }
            Err(_) => "SSL: the server broke the protocol".to_owned(),
        },
    }
}

impl fmt::Display for TlsError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(error) => write!(formatter, "no name that TLS could ask for: {error}"),
            Self::Protocol(error) if self.code() == CODE_OTHER => write!(formatter, "SSL: {error}"),
            Self::Buffer(error) | Self::Connection(error) => write!(formatter, "SSL: {error}"),
            Self::Protocol(_) | Self::Closed => formatter.write_str(&reason(self.code())),
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

/// Most reads of [`probe`]: a handshake is over after a few flights, whatever they are split in.
const PROBE_READS_MAX: usize = 256;

/// Goes through a handshake on a connection that blocks, to see whether there is TLS at its end.
///
/// # Errors
/// [`TlsError`]: what the connection says, its time-outs included, or what the peer does wrong.
pub fn probe(client: &Client, connection: &mut (impl Read + Write)) -> Result<(), TlsError> {
    let mut session = client.session()?;
    let (mut plaintext, mut ciphertext) = (Vec::new(), Vec::new());
    let mut buffer = [0; 16 * 1024];
    session.start(&mut ciphertext)?;
    for _ in 0..PROBE_READS_MAX {
        connection.write_all(&ciphertext).map_err(TlsError::Connection)?;
        if session.is_open() {
            return Ok(());
        }
        ciphertext.clear();
        match connection.read(&mut buffer).map_err(TlsError::Connection)? {
            0 => return Err(TlsError::Closed),
            count => session.receive(&buffer[..count], &mut plaintext, &mut ciphertext)?,
        };
    }
    Err(TlsError::Closed)
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
