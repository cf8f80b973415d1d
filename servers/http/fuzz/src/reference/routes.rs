//! What each request is answered with: the table of `servers/README.md`, written a second time.

use core::net::Ipv6Addr;
use core::str::FromStr;

/// The answer to a request that is accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Expected {
    pub(crate) status: u16,
    pub(crate) content: Content,
    pub(crate) media_type: Option<&'static str>,
    pub(crate) allow: Option<&'static str>,
    /// The answer to HEAD: no body follows.
    pub(crate) head_only: bool,
}

/// The body of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Content {
    /// These bytes.
    Text(&'static str),
    /// So many bytes, each its offset modulo 251.
    Pattern(usize),
    /// The body of the request.
    Echo,
}

impl Content {
    /// The bytes, for a request with this body.
    pub(crate) fn bytes(&self, body: &[u8]) -> Vec<u8> {
        match self {
            Self::Text(text) => text.as_bytes().to_vec(),
            Self::Pattern(length) => (0..=250).cycle().take(*length).collect(),
            Self::Echo => body.to_vec(),
        }
    }
}

impl Expected {
    const fn status(status: u16) -> Self {
        let content = Content::Text("");
        Self { status, content, media_type: None, allow: None, head_only: false }
    }

    const fn ok(content: Content, media_type: &'static str) -> Self {
        let media_type = Some(media_type);
        Self { status: 200, content, media_type, allow: None, head_only: false }
    }

    const fn allow(status: u16, methods: &'static str) -> Self {
        Self { allow: Some(methods), ..Self::status(status) }
    }

    /// RFC 9110 §10.1.1: an expectation that cannot be met.
    pub(crate) const fn failed_expectation() -> Self {
        Self::status(417)
    }
}

/// What `method` and `target` ask for, or why they are refused.
pub(super) fn expected(method: &str, target: &str) -> Result<Expected, &'static str> {
    if !["GET", "HEAD", "POST", "OPTIONS", "PUT", "DELETE", "PATCH", "TRACE"].contains(&method) {
        return Err("a method that is not implemented");
    }
    let path = path(method, target).ok_or("a target that is none")?;
    if path == "*" {
        return Ok(Expected::allow(200, "GET, HEAD, POST, OPTIONS"));
    }
    let (on_get, methods) = match path {
        "/" => {
            (Some(Expected::ok(Content::Text("Hello, World!"), "text/plain")), "GET, HEAD, POST")
        }
        "/plaintext" => {
            (Some(Expected::ok(Content::Text("Hello, World!"), "text/plain")), "GET, HEAD")
        }
        "/json" => {
            let json = Content::Text("{\"message\":\"Hello, World!\"}");
            (Some(Expected::ok(json, "application/json")), "GET, HEAD")
        }
        "/echo" => (None, "POST"),
        _ => match pattern_length(path) {
            Some(length) => {
                let pattern = Content::Pattern(length);
                (Some(Expected::ok(pattern, "application/octet-stream")), "GET, HEAD")
            }
            None => return Ok(Expected { head_only: method == "HEAD", ..Expected::status(404) }),
        },
    };
    let answer = match (method, on_get) {
        ("GET" | "HEAD", Some(answer)) => answer,
        ("POST", _) if methods.contains("POST") => {
            Expected::ok(Content::Echo, "application/octet-stream")
        }
        _ => Expected::allow(405, methods),
    };
    Ok(Expected { head_only: method == "HEAD", ..answer })
}

/// RFC 9112 §3.2: the path of a target, which CONNECT's authority-form has not.
fn path<'a>(method: &str, target: &'a str) -> Option<&'a str> {
    if target.contains('#') {
        return None;
    }
    if target == "*" {
        return (method == "OPTIONS").then_some(target);
    }
    let target = if target.starts_with('/') { target } else { behind_authority(target)? };
    Some(target.split('?').next().unwrap_or(target))
        .map(|path| if path.is_empty() { "/" } else { path })
}

/// What follows the authority of an absolute-form, of `http` or `https`.
fn behind_authority(target: &str) -> Option<&str> {
    let (scheme, rest) = target.split_once("://")?;
    let known = ["http", "https"].iter().any(|known| scheme.eq_ignore_ascii_case(known));
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    (known && is_host(&rest.as_bytes()[..end])).then_some(&rest[end..])
}

/// The N of `/bytes/N`: as Rust writes it, up to 16 MiB.
fn pattern_length(path: &str) -> Option<usize> {
    let digits = path.strip_prefix("/bytes/")?;
    let length: usize = digits.parse().ok()?;
    (length.to_string() == digits && length <= 16 << 20).then_some(length)
}

/// RFC 3986 §3.2: host [ ":" port ], the host not empty.
///
/// DEVIATION: a comma, an empty label and IPvFuture are refused, which the grammar allows.
pub(super) fn is_host(value: &[u8]) -> bool {
    let Ok(value) = core::str::from_utf8(value) else {
        return false;
    };
    let (host, port) = match value.rfind(']') {
        Some(end) => value.split_at(end + 1),
        None => value.split_at(value.find(':').unwrap_or(value.len())),
    };
    let is_port = |digits: &str| {
        let number = digits.trim_start_matches('0');
        digits.bytes().all(|byte| byte.is_ascii_digit())
            && (number.is_empty() || number.parse::<u16>().is_ok())
    };
    let port_fits = port.is_empty() || port.strip_prefix(':').is_some_and(is_port);
    let bracketed = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let host_fits = match bracketed {
        Some(address) => Ipv6Addr::from_str(address).is_ok(),
        None => is_name(host),
    };
    host_fits && port_fits
}

/// Labels with dots between, perhaps one at the end, of unreserved bytes, sub-delimiters and
/// percent-encoded bytes.
fn is_name(name: &str) -> bool {
    let labels = name.strip_suffix('.').unwrap_or(name).split('.');
    let is_label = |label: &str| {
        let mut pieces = label.split('%');
        let plain = |piece: &str| {
            piece
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"-_~!$&'()*+;=".contains(&byte))
        };
        let encoded = |piece: &str| {
            let digits = piece.as_bytes().get(..2);
            digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit)) && plain(piece)
        };
        !label.is_empty() && pieces.next().is_some_and(plain) && pieces.all(encoded)
    };
    labels.into_iter().all(is_label)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts() {
        for host in ["x", "x:", "x:80", "[::1]:80", "a.b.", "%41b", "x:0000080"] {
            assert!(is_host(host.as_bytes()), "{host}");
        }
        for host in ["", ":80", "a..b", ".", "x:65536", "[::1", "[x]", "u@x", "a,b", "%4", "a b"] {
            assert!(!is_host(host.as_bytes()), "{host}");
        }
    }

    #[test]
    fn targets() {
        let status = |method, target| expected(method, target).map(|answer| answer.status);
        assert_eq!(status("GET", "/json?x"), Ok(200));
        assert_eq!(status("GET", "http://x?y"), Ok(200));
        assert_eq!(status("PUT", "/bytes/7"), Ok(405));
        assert_eq!(status("GET", "/bytes/07"), Ok(404));
        assert_eq!(status("OPTIONS", "*"), Ok(200));
        for target in ["*", "x", "/a#b", "ftp://x/", "http://"] {
            assert_eq!(status("GET", target), Err("a target that is none"), "{target}");
        }
    }
}
