//! B. Host (RFC 9112 §3.2).

use super::{ASKED, Open, REFUSED, row};

#[test]
fn host_is_there_once_and_valid() {
    row("H40", "GET / HTTP/1.1¶¶", &[400], REFUSED);
    row("H41", "GET / HTTP/1.0¶¶", &[200], ASKED);
    row("H42", "GET / HTTP/1.1¶Host: x¶Host: x¶¶", &[400], REFUSED);
    row("H42", "GET / HTTP/1.1¶Host: x¶Host: y¶¶", &[400], REFUSED);
    row("H42", "GET / HTTP/1.0¶Host: x¶Host: y¶¶", &[400], REFUSED);
    for host in
        ["a, b", "u@x", "x/path", "x y", "x:98777", "x:1:2", "[::1", "a[::1]:80", "..a", "", " "]
    {
        row("H43 H44 H46", &format!("GET / HTTP/1.1¶Host: {host}¶¶"), &[400], REFUSED);
        // The target names the host, but an invalid field is refused all the same.
        row("H44", &format!("GET http://x/ HTTP/1.1¶Host: {host}¶¶"), &[400], REFUSED);
    }
    row("H46", "GET / HTTP/1.1¶Host:¶¶", &[400], REFUSED);
    for host in ["[::1]:80", "EXAMPLE.com.:8080"] {
        row("H45", &format!("GET / HTTP/1.1¶Host: {host}¶¶"), &[200], Open);
    }
}
