//! A plain, blocking HTTP client that shows every byte.

use crate::PATIENCE;
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

/// One connection to a server. Reading fails the test after [`PATIENCE`].
#[derive(Debug)]
pub struct Client {
    stream: TcpStream,
    /// Received and not yet taken by [`response`](Self::response).
    received: Vec<u8>,
}

/// One response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// The head, its final empty line included.
    pub head: String,
    /// The body, as long as `content-length` says.
    pub body: Vec<u8>,
}

impl Response {
    /// The value of a field.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (key, value) = line.split_once(": ")?;
            key.eq_ignore_ascii_case(name).then_some(value)
        })
    }
}

impl Client {
    /// Connects.
    ///
    /// # Panics
    /// Where the server cannot be reached.
    #[must_use]
    pub fn connect(address: SocketAddr) -> Self {
        Self::over(TcpStream::connect(address).expect("the server listens"))
    }

    /// Takes over a connection that was made in another way: with a small receive buffer, for
    /// example.
    ///
    /// # Panics
    /// Where the socket refuses its options.
    #[must_use]
    pub fn over(stream: TcpStream) -> Self {
        stream.set_nodelay(true).expect("TCP_NODELAY");
        stream.set_read_timeout(Some(PATIENCE)).expect("not zero");
        stream.set_write_timeout(Some(PATIENCE)).expect("not zero");
        Self { stream, received: Vec::new() }
    }

    /// Sends bytes.
    ///
    /// # Panics
    /// Where the server has closed or takes nothing.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).expect("the server takes it");
    }

    /// Sends bytes and says how many the server took before it closed.
    pub fn send_while_open(&mut self, bytes: &[u8]) -> usize {
        let mut sent = 0;
        while sent < bytes.len() {
            match self.stream.write(&bytes[sent..]) {
                Ok(count) => sent += count,
                Err(_) => break,
            }
        }
        sent
    }

    /// Sends a FIN.
    ///
    /// # Panics
    /// Where the connection is gone.
    pub fn finish(&mut self) {
        self.stream.shutdown(Shutdown::Write).expect("connected");
    }

    /// The socket, for what this client does not offer.
    #[must_use]
    pub fn stream(&self) -> &TcpStream {
        &self.stream
    }

    /// Sends `GET path` and returns the response.
    ///
    /// # Panics
    /// Where no well-formed response comes.
    pub fn get(&mut self, path: &str) -> Response {
        self.send(format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n"));
        self.response()
    }

    /// The next response, its body as long as `content-length` says.
    ///
    /// # Panics
    /// Where no well-formed response comes.
    pub fn response(&mut self) -> Response {
        let head = self.head();
        let length = head.field("content-length").map_or(0, |value| value.parse().expect("length"));
        let body = self.exactly(length);
        Response { body, ..head }
    }

    /// The next head alone: of a response to HEAD, or of an interim response.
    ///
    /// # Panics
    /// Where no well-formed head comes.
    pub fn head(&mut self) -> Response {
        let end = loop {
            match self.received.windows(4).position(|window| window == b"\r\n\r\n") {
                Some(at) => break at + 4,
                None => assert_ne!(self.fill(), 0, "closed within a head: {:?}", self.received),
            }
        };
        let head = String::from_utf8(self.received.drain(..end).collect()).expect("ASCII");
        // hyper alone answers HTTP/1.0 in kind; nobody does so unasked.
        let status = head.strip_prefix("HTTP/1.1 ").or_else(|| head.strip_prefix("HTTP/1.0 "));
        let status = status.and_then(|rest| rest.get(..3));
        let status = status.and_then(|code| code.parse().ok());
        let status = status.unwrap_or_else(|| panic!("not a status line: {head}"));
        Response { status, head, body: Vec::new() }
    }

    /// The next `length` bytes.
    ///
    /// # Panics
    /// Where fewer come.
    pub fn exactly(&mut self, length: usize) -> Vec<u8> {
        while self.received.len() < length {
            let got = self.received.len();
            assert_ne!(self.fill(), 0, "closed after {got} of {length} bytes");
        }
        self.received.drain(..length).collect()
    }

    /// Asserts that the server closes with a FIN and sends nothing before it.
    ///
    /// # Panics
    /// Where anything comes, or a reset.
    pub fn expect_fin(&mut self) {
        assert_eq!(self.fill(), 0, "{:?}", String::from_utf8_lossy(&self.received));
        assert_eq!(self.received, b"");
    }

    /// Asserts that nothing comes for as long, neither bytes nor the end.
    ///
    /// # Panics
    /// Where something comes.
    pub fn expect_silence(&mut self, duration: Duration) {
        self.stream.set_read_timeout(Some(duration)).expect("not zero");
        let error = self.read(&mut [0]).expect_err("nothing was asked");
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock, "{error}");
        self.stream.set_read_timeout(Some(PATIENCE)).expect("not zero");
    }

    /// Everything until the server's FIN.
    ///
    /// # Errors
    /// A reset, for example.
    pub fn rest(&mut self) -> io::Result<Vec<u8>> {
        let mut rest = std::mem::take(&mut self.received);
        self.stream.read_to_end(&mut rest)?;
        Ok(rest)
    }

    /// Takes what comes next; 0 at the server's FIN.
    fn fill(&mut self) -> usize {
        let mut bytes = [0; 16 * 1024];
        let count = self.read(&mut bytes).expect("bytes or a FIN, in time");
        self.received.extend_from_slice(&bytes[..count]);
        count
    }

    /// Reads once. A machine that was stopped and continued interrupts reads that have a time-out.
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.stream.read(bytes) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => return result,
            }
        }
    }
}
