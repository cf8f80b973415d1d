//! The status codes that are answered (RFC 9110 §15).

/// A final status.
///
/// 404, 405 and 417 keep the connection: the request was understood, and its end is known. Every
/// other 4xx and 5xx closes it, because where the next request begins is then in doubt, or
/// because the client must be slowed down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// 200.
    Ok,
    /// 400: the message is malformed, or its framing ambiguous.
    BadRequest,
    /// 404: there is no such route.
    NotFound,
    /// 405: the route exists, the method is another; `allow` says which.
    MethodNotAllowed,
    /// 408: the head or the body came too slowly.
    RequestTimeout,
    /// 413: the body is longer than allowed.
    ContentTooLarge,
    /// 414: the request line is longer than allowed.
    UriTooLong,
    /// 417: an expectation other than `100-continue`.
    ExpectationFailed,
    /// 431: the head is longer, or has more fields, than allowed.
    FieldsTooLarge,
    /// 501: an unknown method or transfer coding.
    NotImplemented,
    /// 505: HTTP, but not HTTP/1.
    VersionNotSupported,
}

impl Status {
    /// The three digits.
    #[must_use]
    pub const fn code(self) -> u16 {
        match self {
            Self::Ok => 200,
            Self::BadRequest => 400,
            Self::NotFound => 404,
            Self::MethodNotAllowed => 405,
            Self::RequestTimeout => 408,
            Self::ContentTooLarge => 413,
            Self::UriTooLong => 414,
            Self::ExpectationFailed => 417,
            Self::FieldsTooLarge => 431,
            Self::NotImplemented => 501,
            Self::VersionNotSupported => 505,
        }
    }

    /// The status line, with the reason phrases that hyper writes.
    pub(crate) const fn line(self) -> &'static [u8] {
        match self {
            Self::Ok => b"HTTP/1.1 200 OK\r\n",
            Self::BadRequest => b"HTTP/1.1 400 Bad Request\r\n",
            Self::NotFound => b"HTTP/1.1 404 Not Found\r\n",
            Self::MethodNotAllowed => b"HTTP/1.1 405 Method Not Allowed\r\n",
            Self::RequestTimeout => b"HTTP/1.1 408 Request Timeout\r\n",
            Self::ContentTooLarge => b"HTTP/1.1 413 Payload Too Large\r\n",
            Self::UriTooLong => b"HTTP/1.1 414 URI Too Long\r\n",
            Self::ExpectationFailed => b"HTTP/1.1 417 Expectation Failed\r\n",
            Self::FieldsTooLarge => b"HTTP/1.1 431 Request Header Fields Too Large\r\n",
            Self::NotImplemented => b"HTTP/1.1 501 Not Implemented\r\n",
            Self::VersionNotSupported => b"HTTP/1.1 505 HTTP Version Not Supported\r\n",
        }
    }

    /// Whether the connection ends with this answer.
    #[must_use]
    pub const fn closes(self) -> bool {
        !matches!(
            self,
            Self::Ok | Self::NotFound | Self::MethodNotAllowed | Self::ExpectationFailed
        )
    }
}
