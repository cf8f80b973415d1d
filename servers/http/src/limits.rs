//! The bounds on one connection: same defaults, same flags, on every server.

use core::time::Duration;

/// Bounds and time-outs of one connection. Sizes in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Longest request line, without its CR LF; beyond it 414.
    pub request_line_bytes: usize,
    /// Longest head (request line, fields and the final empty line); beyond it 431.
    pub head_bytes: usize,
    /// Most header fields, at most [`Limits::HEADER_COUNT_MAX`]; beyond it 431.
    pub header_count: usize,
    /// Most empty lines before a request line; beyond it 400.
    pub empty_lines: usize,
    /// Longest request body; beyond it 413.
    pub body_bytes: usize,
    /// Most bytes spent on chunk sizes, extensions and line ends of one body beyond one for each
    /// byte of its data, and on its trailer section; beyond it 400.
    pub chunk_overhead_bytes: usize,
    /// Output waiting for the client beyond which no further request is read.
    pub output_bytes: usize,
    /// From the first byte of a head to its end; beyond it 408.
    pub head_timeout: Duration,
    /// Grace before the rate of a body is judged.
    pub body_grace: Duration,
    /// Slowest body after the grace, in bytes per second, averaged from its start; below it 408.
    pub body_rate_bytes_per_s: u64,
    /// Keep-alive without a request; beyond it a FIN.
    pub idle_timeout: Duration,
    /// Output waiting and none of it taken; beyond it an RST. The server's driver enforces it.
    pub send_timeout: Duration,
    /// Bytes still read and dropped from a client after a refusal was sent.
    pub linger_bytes: usize,
    /// How long they are read before the connection is closed all the same.
    pub linger_timeout: Duration,
}

impl Limits {
    /// The table of parsed fields has this many places.
    pub const HEADER_COUNT_MAX: usize = 256;
    /// The defaults that every server has.
    pub const DEFAULT: Self = Self {
        request_line_bytes: 8 * 1024,
        head_bytes: 32 * 1024,
        header_count: 100,
        empty_lines: 8,
        body_bytes: 16 * 1024 * 1024,
        chunk_overhead_bytes: 16 * 1024,
        output_bytes: 256 * 1024,
        head_timeout: Duration::from_secs(10),
        body_grace: Duration::from_secs(10),
        body_rate_bytes_per_s: 1024,
        idle_timeout: Duration::from_secs(60),
        send_timeout: Duration::from_secs(30),
        linger_bytes: 64 * 1024,
        linger_timeout: Duration::from_secs(2),
    };
}
