//! The request target and its four forms (RFC 9112 §3.2).

use crate::Method;
use crate::host::{is_authority_with_port, is_valid_host};

/// The path that `target` asks for, without its query; `*` for the asterisk-form, and the whole
/// target for the authority-form. `None` where the form does not fit the method, or is no form.
///
/// Called with visible bytes only: what precedes has seen to that.
pub(crate) fn path(method: Method, target: &str) -> Option<&str> {
    // RFC 9112 §3.2.3: CONNECT takes the authority-form, and nothing else does.
    if method == Method::Connect {
        return is_authority_with_port(target.as_bytes()).then_some(target);
    }
    match target.as_bytes() {
        // RFC 9112 §3.2.1, origin-form.
        [b'/', ..] => without_query(target),
        // RFC 9112 §3.2.4, asterisk-form: for OPTIONS only.
        b"*" => (method == Method::Options).then_some(target),
        _ => without_query(absolute(target)?),
    }
}

/// The path of an origin-form. RFC 9112 §3.2: a target is visible ASCII, and has no fragment.
fn without_query(target: &str) -> Option<&str> {
    let mut end = target.len();
    for (at, byte) in target.bytes().enumerate() {
        match byte {
            b'#' | 0x80.. => return None,
            b'?' => end = end.min(at),
            _ => {}
        }
    }
    Some(&target[..end])
}

/// RFC 9112 §3.2.2, absolute-form: what follows the authority, which must be valid, without user.
///
/// An origin server of `http` is asked for `http`; `https` is accepted too, because a proxy that
/// ends TLS in front may leave it in.
fn absolute(target: &str) -> Option<&str> {
    let (scheme, rest) = target.split_once("://")?;
    if !scheme.eq_ignore_ascii_case("http") && !scheme.eq_ignore_ascii_case("https") {
        return None;
    }
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    if !is_valid_host(authority.as_bytes()) {
        return None;
    }
    // RFC 9112 §3.2.1: an empty path is sent as "/".
    Some(match path.as_bytes() {
        [b'/', ..] => path,
        [] => "/",
        // A query with no path before it: the path "/" alone decides.
        [b'?', ..] if !path.contains('#') => "/",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_form_yields_its_path() {
        let check = |method: &str, target: &str, expect: Option<&str>| {
            assert_eq!(path(Method::from_name(method), target), expect, "{method} {target}");
        };
        check("GET", "/", Some("/"));
        check("GET", "/json?a=b?c", Some("/json"));
        check("GET", "/%00", Some("/%00"));
        check("GET", "http://x", Some("/"));
        check("GET", "http://x?q", Some("/"));
        check("GET", "HTTP://[::1]:80/json?q", Some("/json"));
        check("GET", "https://x/", Some("/"));
        check("OPTIONS", "*", Some("*"));
        check("OPTIONS", "/", Some("/"));
        check("CONNECT", "x:443", Some("x:443"));

        check("GET", "*", None);
        check("OPTIONS", "*/test", None);
        check("GET", "admin", None);
        check("GET", "haproxy.org:80", None);
        check("GET", "ftp://x/", None);
        check("GET", "http:///", None);
        check("GET", "http://u@x/", None);
        check("GET", "http://x#f", None);
        check("GET", "http://x?q#f", None);
        check("GET", "/p#frag", None);
        check("GET", "/p?q#frag", None);
        check("GET", "/caf\u{e9}", None);
        check("CONNECT", "/", None);
        check("CONNECT", "http://x:80", None);
        check("CONNECT", "x", None);
    }
}
