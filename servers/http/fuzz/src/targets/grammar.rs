//! Requests and bodies after the grammar, with a defect now and then.

use crate::engine::Random;

const METHODS: [&str; 9] = ["GET", "GET", "GET", "POST", "POST", "HEAD", "OPTIONS", "PUT", "BREW"];
const TARGETS: [&str; 12] = [
    "/",
    "/plaintext",
    "/json",
    "/echo",
    "/echo",
    "/bytes/0",
    "/bytes/700",
    "/none",
    "/json?query",
    "http://a:80/echo",
    "*",
    "/p#f",
];
const VERSIONS: [&str; 7] =
    ["HTTP/1.1", "HTTP/1.1", "HTTP/1.1", "HTTP/1.1", "HTTP/1.0", "HTTP/1.2", "HTTP/2.0"];
const HOSTS: [&str; 6] = ["x", "x", "x", "[::1]:80", "a.b.:8080", "a b"];
const FIELDS: [&str; 12] = [
    "Accept: */*",
    "X:",
    "X-Long: 0123456789012345678901234567890123456789",
    "X: \u{a0}obs\u{ff}",
    "Connection: close",
    "Connection: keep-alive, x",
    "Expect: 100-continue",
    "Expect: other",
    "Upgrade: h2c",
    "TE: trailers",
    "Content-Length: 7",
    "X : y",
];
const EXTENSIONS: [&str; 8] =
    ["", "", "", ";a", ";a=b", " ;\ta = \"q\\\"q\"", ";a;b;c=d", ";0123456789=0123456789"];

/// One request with its body.
pub(super) fn request(random: &mut Random) -> Vec<u8> {
    let mut text = String::new();
    if random.one_in(8) {
        text.push_str("\r\n");
    }
    let words = [random.pick(&METHODS), random.pick(&TARGETS), random.pick(&VERSIONS)];
    text.push_str(&words.join(" "));
    text.push_str("\r\n");
    if !random.one_in(12) {
        text.push_str(&format!("Host: {}\r\n", random.pick(&HOSTS)));
    }
    for _ in 0..random.below(3) {
        text.push_str(random.pick(&FIELDS));
        text.push_str("\r\n");
    }
    let mut body = Vec::new();
    match random.below(5) {
        0 => {
            body = data(random);
            text.push_str(&format!("Content-Length: {}\r\n", body.len()));
        }
        1 => {
            body = chunked_body(random);
            text.push_str("Transfer-Encoding: chunked\r\n");
        }
        _ => {}
    }
    text.push_str("\r\n");
    // U+0080 to U+00FF stand for the byte of that number.
    let head = text.chars().map(|character| u8::try_from(u32::from(character)).unwrap_or(b'?'));
    head.chain(body).collect()
}

/// A chunked body.
pub(super) fn chunked_body(random: &mut Random) -> Vec<u8> {
    let mut body = Vec::new();
    for _ in 0..random.below(5) {
        let data = data(random);
        let zeros = if random.one_in(8) { "00" } else { "" };
        let size = if random.one_in(2) {
            format!("{zeros}{:x}", data.len())
        } else {
            format!("{zeros}{:X}", data.len())
        };
        let line = [size.as_str(), random.pick(&EXTENSIONS), "\r\n"].concat();
        body.extend_from_slice(line.as_bytes());
        body.extend_from_slice(&data);
        body.extend_from_slice(b"\r\n");
    }
    let last = ["0", random.pick(&EXTENSIONS), "\r\n"].concat();
    body.extend_from_slice(last.as_bytes());
    for _ in 0..random.below(3) * random.below(2) {
        body.extend_from_slice(b"X-Trailer: y\r\n");
    }
    body.extend_from_slice(b"\r\n");
    body
}

/// At least one byte of data, seldom many.
fn data(random: &mut Random) -> Vec<u8> {
    let length = 1 + random.up_to_bits(9);
    (0..length).map(|_| if random.one_in(4) { random.byte() } else { b'd' }).collect()
}
