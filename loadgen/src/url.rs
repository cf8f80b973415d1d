//! The URL on the command line, taken apart as wrk does.

use std::fmt;

/// A URL of scheme `http`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Url {
    /// Host name or address, without the brackets of an IPv6 address.
    pub host: String,
    /// Port as it was written, if it was.
    pub port: Option<u16>,
    /// Path and query; `/` where the URL has no path. A fragment is not part of a request.
    pub target: String,
}

/// Why a URL was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UrlError {
    /// It has no scheme or no host, or something in it is not allowed there.
    Invalid,
    /// It is `https`, for which there is no transport.
    Https,
    /// It has another scheme.
    Scheme,
}

impl Url {
    /// Takes a URL apart.
    ///
    /// # Errors
    /// [`UrlError`] where there is no scheme or host, or the scheme is not `http`.
    pub fn parse(text: &str) -> Result<Self, UrlError> {
        if text.bytes().any(|byte| byte <= b' ' || byte == 0x7F) {
            return Err(UrlError::Invalid);
        }
        let (scheme, rest) = text.split_once("://").ok_or(UrlError::Invalid)?;
        let (authority, tail) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
        let host_port = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
        let (host, port) = split_port(host_port).ok_or(UrlError::Invalid)?;
        let letters = !scheme.is_empty() && scheme.bytes().all(|byte| byte.is_ascii_alphabetic());
        match scheme.to_ascii_lowercase().as_str() {
            "http" => {}
            "https" => return Err(UrlError::Https),
            _ if letters => return Err(UrlError::Scheme),
            _ => return Err(UrlError::Invalid),
        }
        let target = tail.split('#').next().unwrap_or_default();
        let target = if target.starts_with('/') { target } else { "/" };
        Ok(Self { host: host.to_owned(), port, target: target.to_owned() })
    }

    /// The name that goes to the resolver and into error messages: the port, else the scheme.
    #[must_use]
    pub fn service(&self) -> String {
        self.port.map_or_else(|| "http".to_owned(), |port| port.to_string())
    }
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
        check("https://example.test/", UrlError::Https);
        check("ftp://example.test/", UrlError::Scheme);
    }
}
