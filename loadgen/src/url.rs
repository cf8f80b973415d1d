//! The URL on the command line, taken apart as wrk does.

use std::fmt;
use std::path::PathBuf;

/// A URL of scheme `http`, `https` or `http+unix`.
///
/// `http+unix://%2Frun%2Fserver.sock/target` names a Unix socket where a host would stand, percent
/// encoded, as HTTP clients of many languages write it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Url {
    /// What is spoken to the server.
    pub scheme: Scheme,
    /// Host name or address, without the brackets of an IPv6 address.
    pub host: String,
    /// Port as it was written, if it was.
    pub port: Option<u16>,
    /// Path and query; `/` where the URL has no path. A fragment is not part of a request.
    pub target: String,
    /// The path of the Unix socket, where the URL names one. The host is then `localhost`.
    pub socket: Option<PathBuf>,
}

/// What is spoken to the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// HTTP, over TCP or a Unix socket.
    Http,
    /// HTTP over TLS.
    Https,
}

impl Scheme {
    /// The port of a URL that names none (RFC 9110 §4.2).
    #[must_use]
    pub fn port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }
}

impl fmt::Display for Scheme {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Http => "http",
            Self::Https => "https",
        })
    }
}

/// Why a URL was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UrlError {
    /// It has no scheme or no host, or something in it is not allowed there.
    Invalid,
    /// It has another scheme.
    Scheme,
}

impl Url {
    /// Takes a URL apart.
    ///
    /// # Errors
    /// [`UrlError`] where there is no scheme or host, or the scheme is another.
    pub fn parse(text: &str) -> Result<Self, UrlError> {
        if text.bytes().any(|byte| byte <= b' ' || byte == 0x7F) {
            return Err(UrlError::Invalid);
        }
        let (scheme, rest) = text.split_once("://").ok_or(UrlError::Invalid)?;
        let (authority, tail) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
        let tail = tail.split('#').next().unwrap_or_default();
        let target = if tail.starts_with('/') { tail } else { "/" };
        if scheme.eq_ignore_ascii_case("http+unix") {
            let path = percent_decode(authority).filter(|path| path.starts_with('/'));
            return Ok(Self {
                scheme: Scheme::Http,
                host: "localhost".to_owned(),
                port: None,
                target: target.to_owned(),
                socket: Some(PathBuf::from(path.ok_or(UrlError::Invalid)?)),
            });
        }
        let host_port = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
        let (host, port) = split_port(host_port).ok_or(UrlError::Invalid)?;
        let letters = !scheme.is_empty() && scheme.bytes().all(|byte| byte.is_ascii_alphabetic());
        let scheme = match scheme.to_ascii_lowercase().as_str() {
            "http" => Scheme::Http,
            "https" => Scheme::Https,
            _ if letters => return Err(UrlError::Scheme),
            _ => return Err(UrlError::Invalid),
        };
        let (host, target) = (host.to_owned(), target.to_owned());
        Ok(Self { scheme, host, port, target, socket: None })
    }

    /// The name that goes to the resolver and into error messages: the port, else the scheme.
    #[must_use]
    pub fn service(&self) -> String {
        self.port.map_or_else(|| self.scheme.to_string(), |port| port.to_string())
    }
}

/// Undoes percent encoding (RFC 3986 §2.1); `None` where it is broken or hides a NUL.
fn percent_decode(text: &str) -> Option<String> {
    let mut pieces = text.split('%');
    let mut bytes = pieces.next()?.as_bytes().to_vec();
    for piece in pieces {
        let digits = piece.get(..2).filter(|two| two.bytes().all(|b| b.is_ascii_hexdigit()))?;
        bytes.push(u8::from_str_radix(digits, 16).ok().filter(|byte| *byte != 0)?);
        bytes.extend_from_slice(&piece.as_bytes()[2..]);
    }
    String::from_utf8(bytes).ok()
}

/// Splits `host`, `host:port`, `[v6]` and `[v6]:port`; `None` where it is none of them.
fn split_port(text: &str) -> Option<(&str, Option<u16>)> {
    let (host, rest, allowed): (_, _, fn(u8) -> bool) = match text.strip_prefix('[') {
        Some(bracketed) => {
            let (host, rest) = bracketed.split_once(']')?;
            (host, rest, |byte| byte.is_ascii_hexdigit() || matches!(byte, b':' | b'.'))
        }
        None => {
            let (host, rest) = text.split_at(text.find(':').unwrap_or(text.len()));
            (host, rest, |byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_'))
        }
    };
    if host.is_empty() || !host.bytes().all(allowed) {
        return None;
    }
    let port = match rest.strip_prefix(':') {
        Some(digits) if digits.bytes().all(|digit| digit.is_ascii_digit()) => {
            Some(digits.parse().ok()?)
        }
        Some(_) => return None,
        None if rest.is_empty() => None,
        None => return None,
    };
    Some((host, port))
}

impl fmt::Display for Url {
    /// `host` or `host:port`, an IPv6 address in brackets: what the `Host` field says.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(formatter, "[{}]", self.host)?;
        } else {
            formatter.write_str(&self.host)?;
        }
        self.port.map_or(Ok(()), |port| write!(formatter, ":{port}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_taken_apart() {
        let check = |text: &str, authority: &str, target: &str, service: &str| {
            let url = Url::parse(text).unwrap_or_else(|error| panic!("{text}: {error:?}"));
            assert_eq!(
                (url.to_string().as_str(), url.target.as_str(), url.service().as_str()),
                (authority, target, service),
                "{text}"
            );
        };
        check("http://127.0.0.1:8080/plaintext", "127.0.0.1:8080", "/plaintext", "8080");
        check("http://example.test", "example.test", "/", "http");
        check("HTTP://example.test/", "example.test", "/", "http");
        check("http://example.test/a?b=c/d", "example.test", "/a?b=c/d", "http");
        check("http://example.test?b=c", "example.test", "/", "http");
        check("http://example.test/a#part", "example.test", "/a", "http");
        check("http://user:word@example.test:1/", "example.test:1", "/", "1");
        check("http://[::1]:80/x", "[::1]:80", "/x", "80");
        check("http://[fe80::1]", "[fe80::1]", "/", "http");
        check("https://example.test/a", "example.test", "/a", "https");
        check("HTTPS://example.test:8443", "example.test:8443", "/", "8443");
    }

    #[test]
    fn a_unix_socket_stands_where_the_host_would() {
        let check = |text: &str, socket: &str, target: &str| {
            let url = Url::parse(text).unwrap();
            assert_eq!(url.socket, Some(PathBuf::from(socket)), "{text}");
            assert_eq!((url.to_string().as_str(), url.target.as_str()), ("localhost", target));
        };
        check("http+unix://%2Frun%2Fserver.sock/a?b", "/run/server.sock", "/a?b");
        check("HTTP+UNIX://%2frun%2fserver.sock", "/run/server.sock", "/");
        check("http+unix://%2Fa%25b/", "/a%b", "/");
        for text in [
            "http+unix://",
            "http+unix:///run/server.sock",
            "http+unix://relative/",
            "http+unix://%2Fa%/",
            "http+unix://%2Fa%0/",
            "http+unix://%2Fa%+1/",
            "http+unix://%2Fa%00/",
            "http+unix://%2F%FF/",
        ] {
            assert_eq!(Url::parse(text), Err(UrlError::Invalid), "{text}");
        }
    }

    #[test]
    fn what_is_not_a_url_of_ours_is_refused() {
        let check = |text: &str, expect| assert_eq!(Url::parse(text), Err(expect), "{text}");
        for text in [
            "foo",
            "",
            "http://",
            "//127.0.0.1:1",
            "http:///path",
            "http://h:99999/",
            "http://h:x/",
            "http://h:/",
            "http://a b/",
            "http://h/a\r\nb",
            "http://[::1",
            "http://[::1]x/",
            "http://[]/",
            "http://h\u{e9}/",
            "ht~tp://h/",
            "://h/",
        ] {
            check(text, UrlError::Invalid);
        }
        check("ftp://example.test/", UrlError::Scheme);
    }
}
