//! A caller as a server is one: keeps what was not consumed, and takes output when it likes.

use server_http::{Advance, Close, Connection, Date, Limits, Now, Sink};

/// 1994-11-06T08:49:37Z, the example of RFC 9110.
pub(crate) const DATE: &str = "Sun, 06 Nov 1994 08:49:37 GMT";

pub(crate) fn at(monotonic_ns: u64) -> Now {
    Now { monotonic_ns, date: Date::from_unix_seconds(784_111_777) }
}

/// Bytes from readable text: `¶` is CR LF, `␍` a bare CR, `↵` a bare LF, `⇥` a tab, and a
/// character up to U+00FF is the byte of that number.
pub(crate) fn bytes(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    for character in text.chars() {
        match character {
            '¶' => bytes.extend_from_slice(b"\r\n"),
            '␍' => bytes.push(b'\r'),
            '↵' => bytes.push(b'\n'),
            '⇥' => bytes.push(b'\t'),
            other => bytes.push(u8::try_from(u32::from(other)).expect("a byte")),
        }
    }
    bytes
}

/// Output that takes `space` bytes, and remembers all that was ever put.
#[derive(Debug)]
pub(crate) struct TestSink {
    pub(crate) bytes: Vec<u8>,
    pub(crate) space: usize,
    pub(crate) backlog: usize,
}

impl TestSink {
    pub(crate) fn with_space(space: usize) -> Self {
        Self { bytes: Vec::new(), space, backlog: 0 }
    }
}

impl Sink for TestSink {
    fn space(&self) -> usize {
        self.space
    }

    fn put(&mut self, bytes: &[u8]) {
        self.space = self.space.checked_sub(bytes.len()).expect("no more than there is space");
        self.bytes.extend_from_slice(bytes);
    }

    fn backlog(&self) -> usize {
        self.backlog
    }
}

/// A connection with its caller. The clock stands still unless a test moves it.
#[derive(Debug)]
pub(crate) struct Peer {
    pub(crate) connection: Connection,
    pub(crate) sink: TestSink,
    /// Received and not consumed.
    pub(crate) pending: Vec<u8>,
    pub(crate) eof: bool,
    pub(crate) now: Now,
    pub(crate) responses: u32,
    pub(crate) close: Option<Close>,
}

impl Peer {
    pub(crate) fn new(limits: &'static Limits) -> Self {
        Self {
            connection: Connection::new(limits, 0),
            sink: TestSink::with_space(1 << 30),
            pending: Vec::new(),
            eof: false,
            now: at(0),
            responses: 0,
            close: None,
        }
    }

    /// One call of `advance`, after `input` has arrived.
    pub(crate) fn hears(&mut self, input: &[u8]) -> Advance {
        self.pending.extend_from_slice(input);
        let advance = self.connection.advance(&self.now, &self.pending, self.eof, &mut self.sink);
        self.pending.drain(..advance.consumed);
        self.responses += advance.responses;
        self.close = self.close.or(advance.close);
        advance
    }

    /// One call after the clock has moved.
    pub(crate) fn hears_at(&mut self, monotonic_ns: u64, input: &[u8]) -> Advance {
        self.now = at(monotonic_ns);
        self.hears(input)
    }

    pub(crate) fn ends(&mut self) -> Advance {
        self.eof = true;
        self.hears(b"")
    }

    /// What was put since the last call, as responses to requests other than HEAD.
    pub(crate) fn said(&mut self) -> Vec<Reply> {
        replies(&std::mem::take(&mut self.sink.bytes), &[])
    }

    pub(crate) fn said_statuses(&mut self) -> Vec<u16> {
        self.said().iter().map(|reply| reply.status).collect()
    }
}

/// One response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) fields: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Reply {
    pub(crate) fn values(&self, name: &str) -> Vec<&str> {
        let named = self.fields.iter().filter(|(field, _)| field == name);
        named.map(|(_, value)| value.as_str()).collect()
    }
}

/// Splits output into responses, checks what holds for every response, and that nothing is left.
///
/// `heads` are the indices of those that answer HEAD.
pub(crate) fn replies(output: &[u8], heads: &[usize]) -> Vec<Reply> {
    let mut replies = Vec::new();
    let mut rest = output;
    while !rest.is_empty() {
        let before: Option<&Reply> = replies.last();
        assert!(before.is_none_or(|reply| reply.values("connection") != ["close"]), "after close");
        let is_head = heads.contains(&replies.len());
        let (reply, length) = reply(rest, is_head);
        replies.push(reply);
        rest = &rest[length..];
    }
    replies
}

fn reply(output: &[u8], is_head: bool) -> (Reply, usize) {
    let end = output.windows(4).position(|window| window == b"\r\n\r\n").expect("a whole head");
    let head = std::str::from_utf8(&output[..end]).expect("ASCII");
    let mut lines = head.split("\r\n");
    let status_line = lines.next().expect("a status line");
    let status = status_line.strip_prefix("HTTP/1.1 ").expect("R1").split_once(' ').expect("R1");
    let status = status.0.parse().expect("R1: three digits");
    let mut fields = Vec::new();
    for line in lines {
        let (name, value) = line.split_once(": ").expect("a field");
        assert!(!value.contains(['\r', '\n', '\0']), "R10");
        fields.push((name.to_owned(), value.to_owned()));
    }
    let mut reply = Reply { status, fields, body: Vec::new() };
    if status == 100 {
        assert!(reply.fields.is_empty(), "R4");
        return (reply, end + 4);
    }
    assert_eq!(reply.values("date"), [DATE], "R2");
    assert_eq!(reply.values("server"), ["showdown"]);
    assert!(reply.values("transfer-encoding").is_empty(), "R3, R9");
    assert!(status != 405 || reply.values("allow").len() == 1, "R7");
    let refused = status >= 400 && ![404, 405, 417].contains(&status);
    assert!(!refused || reply.values("connection") == ["close"], "R8");
    let length: usize = reply.values("content-length")[0].parse().expect("R5");
    assert!(status < 400 || length == 0, "error bodies are empty");
    let sent = if is_head { 0 } else { length };
    reply.body = output[end + 4..][..sent].to_vec();
    (reply, end + 4 + sent)
}
