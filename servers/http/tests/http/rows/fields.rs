//! C. Header fields (RFC 9112 §5).

use super::{Open, REFUSED, get_with, row, row_of_bytes};

#[test]
fn names_are_tokens_with_a_colon_behind() {
    row("H50", &get_with("X-Test : v¶"), &[400], REFUSED);
    row("H51", &get_with("X: a¶ b¶"), &[400], REFUSED);
    row("H51", &get_with("X: a¶⇥b¶"), &[400], REFUSED);
    row("H51", &get_with("X:¶ b¶"), &[400], REFUSED);
    row("H52", "GET / HTTP/1.1¶ Host: x¶¶", &[400], REFUSED);
    row("H52", "GET / HTTP/1.1¶⇥Host: x¶¶", &[400], REFUSED);
    row("H53", &get_with(": v¶"), &[400], REFUSED);
    row("H53", &get_with(":¶"), &[400], REFUSED);
    row("H54", &get_with("NoColonHere¶"), &[400], REFUSED);
    row("H54", &get_with("Content-Length 10¶"), &[400], REFUSED);
    for byte in 0..=255_u8 {
        let token = byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        // A colon ends the name, and CR or LF the line.
        let (statuses, end) = if token || byte == b':' { (200, Open) } else { (400, REFUSED) };
        let head = [b"GET / HTTP/1.1\r\nHost: x\r\nX", &[byte][..], b"T: v\r\n\r\n"].concat();
        row_of_bytes("H55", &head, &[statuses], end);
    }
    row("H55", &get_with("Content-Length\u{85}: 5¶"), &[400], REFUSED);
    row("H62", "GET / HTTP/1.1¶hOsT:⇥x¶¶", &[200], Open);
}

#[test]
fn values_have_no_control_bytes() {
    for byte in 0..=255_u8 {
        let text = byte == b'\t' || (byte >= b' ' && byte != 0x7f);
        let (statuses, end) = if text { (200, Open) } else { (400, REFUSED) };
        let head = [b"GET / HTTP/1.1\r\nHost: x\r\nX: a", &[byte][..], b"b\r\n\r\n"].concat();
        row_of_bytes("H56 H57 H59 H60", &head, &[statuses], end);
    }
    row("H57", &get_with("X: a¶␍ZGET /evil: HTTP/1.1¶"), &[400], REFUSED);
    for value in ["", " ", "⇥v ⇥ "] {
        row("H61", &get_with(&format!("X:{value}¶")), &[200], Open);
    }
}

#[test]
fn h58_a_bare_line_feed_ends_no_line() {
    row("H58", "GET / HTTP/1.1↵Host: x¶¶", &[400], REFUSED);
    row("H58", "GET / HTTP/1.1¶Host: x↵X: y¶¶", &[400], REFUSED);
    row("H58", "GET / HTTP/1.1↵Host: x↵↵", &[400], REFUSED);
    row("H58", "GET / HTTP/1.1¶Host: x¶↵", &[400], REFUSED);
    row("H58", "GET / HTTP/1.1¶Host: x↵↵", &[400], REFUSED);
    row("H58", "↵GET / HTTP/1.1¶Host: x¶¶", &[400], REFUSED);
}

#[test]
fn heads_are_bounded_in_length_and_in_fields() {
    row("H63", &get_with(&format!("X: {}¶", "v".repeat(100_000))), &[431], REFUSED);
    let many: String = (0..10_000).map(|number| format!("X-H-{number}: value¶")).collect();
    row("H64", &get_with(&many), &[431], REFUSED);
    // Host is one of the hundred.
    row("H64", &get_with(&"X: y¶".repeat(99)), &[200], Open);
    row("H64", &get_with(&"X: y¶".repeat(100)), &[431], REFUSED);
    // "GET / HTTP/1.1¶Host: x¶X: …¶¶" has 32 bytes around the value.
    row("H65", &get_with(&format!("X: {}¶", "v".repeat(32_768 - 32))), &[200], Open);
    row("H65", &get_with(&format!("X: {}¶", "v".repeat(32_768 - 31))), &[431], REFUSED);
    row("H66", &format!("GET / HTTP/1.1¶{}", "X: y¶".repeat(50)), &[], Open);
    row("H67", &get_with(&format!("Cookie: {}¶", "c".repeat(64 * 1024))), &[431], REFUSED);
    row("H67", &get_with(&format!("Cookie: {}¶", "a=b; ".repeat(1000))), &[200], Open);
    row("H67", &get_with("Cookie: ===;;;¶"), &[200], Open);
    row("H68", &get_with(&format!("Range: bytes={}¶", "0-,".repeat(1000))), &[200], Open);
    row("H68", &get_with("Range: bytes=abc¶"), &[200], Open);
}
