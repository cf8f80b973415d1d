//! The Host field and the authority of a target (RFC 9110 §7.2, RFC 3986 §3.2).

use core::net::Ipv6Addr;
use core::str::FromStr;

/// Whether `value` is `uri-host [ ":" port ]` with a host that is not empty.
///
/// DEVIATION: RFC 3986 also allows an empty name, a comma in a name, and `IPvFuture`. Refused,
/// because an empty Host names nothing, a comma is what two merged Host lines look like, and no
/// version of IP but 6 is written in brackets.
#[must_use]
pub fn is_valid_host(value: &[u8]) -> bool {
    let rest = match value {
        [b'[', rest @ ..] => behind_address(rest),
        _ => behind_name(value),
    };
    match rest {
        Some([]) => true,
        Some([b':', port @ ..]) => is_port(port),
        Some(_) | None => false,
    }
}

/// Whether `value` is `uri-host ":" port`, both present: the target of CONNECT (RFC 9112 §3.2.3).
pub(crate) fn is_authority_with_port(value: &[u8]) -> bool {
    let port = value.iter().rposition(|byte| *byte == b':').map(|colon| &value[colon + 1..]);
    is_valid_host(value) && port.is_some_and(|port| !port.is_empty() && is_port(port))
}

/// Digits, perhaps none, of at most 65535 (RFC 3986 §3.2.3).
fn is_port(digits: &[u8]) -> bool {
    let mut port = 0_u32;
    for digit in digits {
        if !digit.is_ascii_digit() {
            return false;
        }
        port = port * 10 + u32::from(digit - b'0');
        if port > 65_535 {
            return false;
        }
    }
    true
}

/// What follows an IPv6 address and its bracket (RFC 3986 §3.2.2, IP-literal).
fn behind_address(value: &[u8]) -> Option<&[u8]> {
    let end = value.iter().position(|byte| *byte == b']')?;
    let address = core::str::from_utf8(&value[..end]).ok()?;
    Ipv6Addr::from_str(address).is_ok().then(|| &value[end + 1..])
}

/// What follows a name that is not empty, and has no empty label but perhaps one at its end
/// (RFC 3986 §3.2.2, reg-name).
fn behind_name(value: &[u8]) -> Option<&[u8]> {
    let mut label_is_empty = true;
    let mut rest = value;
    while let [byte, tail @ ..] = rest {
        let class = CLASSES[usize::from(*byte)];
        if class == Class::Plain {
            label_is_empty = false;
        } else if class == Class::Dot && !label_is_empty {
            label_is_empty = true;
        } else if let (b'%', [high, low, ..]) = (byte, tail)
            && high.is_ascii_hexdigit()
            && low.is_ascii_hexdigit()
        {
            label_is_empty = false;
        } else if class == Class::Other {
            break;
        } else {
            return None;
        }
        rest = tail;
    }
    (rest.len() < value.len()).then_some(rest)
}

/// What a byte is in a name.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    /// Unreserved, or a sub-delimiter other than the comma (RFC 3986 §2.2 and §2.3).
    Plain,
    Dot,
    /// The first of three bytes that stand for one.
    Percent,
    /// No part of a name.
    Other,
}

static CLASSES: [Class; 256] = {
    let mut classes = [Class::Other; 256];
    let marks = b"-_~!$&'()*+;=";
    let mut at = 0;
    while at < marks.len() {
        classes[marks[at] as usize] = Class::Plain;
        at += 1;
    }
    let mut byte = 0_u8;
    while byte < 128 {
        if byte.is_ascii_alphanumeric() {
            classes[byte as usize] = Class::Plain;
        }
        byte += 1;
    }
    classes[b'.' as usize] = Class::Dot;
    classes[b'%' as usize] = Class::Percent;
    classes
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_that_name_something_pass() {
        for host in [
            "x",
            "localhost:8080",
            "127.0.0.1",
            "x:",
            "EXAMPLE.com.:8080",
            "[::1]",
            "[::1]:80",
            "[::ffff:1.2.3.4]:65535",
            "a-b_c~d",
            "[::1]:",
            "%41.example",
            "a!$&'()*+;=b",
        ] {
            assert!(is_valid_host(host.as_bytes()), "{host}");
        }
    }

    #[test]
    fn anything_else_is_refused() {
        for host in [
            "",
            ":80",
            "u@x",
            "x/path",
            "x y",
            "x:98777",
            "x:65536",
            "x:1:2",
            "x:+1",
            "[::1",
            "[::1]80",
            "a[::1]:80",
            "[x]",
            "[]",
            "..a",
            ".",
            "a..b",
            "a,b",
            "a, b",
            "%4",
            "%zz",
            "caf\u{e9}",
            "x\u{7f}",
            "x#f",
            "x?q",
            "x\\y",
        ] {
            assert!(!is_valid_host(host.as_bytes()), "{host}");
        }
    }

    #[test]
    fn the_target_of_connect_names_a_port() {
        assert!(is_authority_with_port(b"x:443"));
        assert!(is_authority_with_port(b"[::1]:443"));
        for target in ["x", "x:", "/", "http://x:80", "[::1]", "[::1]:", "*"] {
            assert!(!is_authority_with_port(target.as_bytes()), "{target}");
        }
    }
}
