//! All modes answer with the same bytes.

use crate::lab::Lab;
use crate::mode::Mode;
use std::collections::BTreeMap;

/// Requests after which the connection stays open; one connection carries them all.
const KEPT: [&str; 14] = [
    "GET /plaintext HTTP/1.1\r\nHost: x\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    "GET /json HTTP/1.1\r\nHost: x\r\n\r\n",
    "GET /bytes/0 HTTP/1.1\r\nHost: x\r\n\r\n",
    "GET /bytes/100000 HTTP/1.1\r\nHost: x\r\n\r\n",
    "HEAD /plaintext HTTP/1.1\r\nHost: x\r\n\r\n",
    "HEAD /bytes/100000 HTTP/1.1\r\nHost: x\r\n\r\n",
    "GET http://x/json HTTP/1.1\r\nHost: x\r\n\r\n",
    "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello",
    "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n",
    "POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    "GET /nowhere HTTP/1.1\r\nHost: x\r\n\r\n",
    "POST /plaintext HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n",
    "GET /echo HTTP/1.1\r\nHost: x\r\n\r\n",
];

/// Requests after which the server closes; each has a connection of its own.
const CLOSED: [&str; 2] = [
    "GET /json HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    "POST /echo HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello",
];

/// The same, but hyper answers in words of its own; servers/README.md lists them.
const CLOSED_BUT_HYPER: [&str; 6] = [
    "GET /plaintext HTTP/1.0\r\n\r\n",
    "GET / HTTP/1.1\r\n\r\n",
    "GET /pa th HTTP/1.1\r\nHost: x\r\n\r\n",
    "GET / HTTP/2.0\r\nHost: x\r\n\r\n",
    "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 17000000\r\n\r\n",
    "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: x\r\n\r\n",
];

#[test]
fn answers_are_identical_byte_for_byte() {
    let lab = Lab::new();
    let mut answers: Vec<(Mode, BTreeMap<&str, String>)> = Vec::new();
    for mode in Mode::built() {
        answers.push((mode, all_answers(&lab, mode)));
    }
    for pair in answers.windows(2) {
        let [(first, expected), (second, got)] = pair else { unreachable!("windows of two") };
        for request in KEPT.iter().chain(&CLOSED).chain(&CLOSED_BUT_HYPER) {
            if CLOSED_BUT_HYPER.contains(request) && first.name == "hyper" {
                continue;
            }
            let (first, second) = (first.module, second.module);
            assert_eq!(expected[request], got[request], "{first} and {second} on {request:?}");
        }
    }
}

/// What a mode answers to every request, the date masked.
fn all_answers<'a>(lab: &Lab, mode: Mode) -> BTreeMap<&'a str, String> {
    let server = lab.start(mode, &[]);
    let mut answers = BTreeMap::new();
    let mut client = server.connect();
    for request in KEPT {
        client.send(request);
        let mut response = client.head();
        if !request.starts_with("HEAD") {
            let length = response.field("content-length").expect("every answer has one");
            response.body = client.exactly(length.parse().expect("a length"));
        }
        answers.insert(request, masked(&response.head, &response.body));
    }
    drop(client);
    for request in CLOSED.into_iter().chain(CLOSED_BUT_HYPER) {
        let mut client = server.connect();
        client.send(request);
        let bytes = client.rest().expect("an answer, then a FIN");
        let end = bytes.windows(4).position(|window| window == b"\r\n\r\n").expect("a head") + 4;
        let head = String::from_utf8(bytes[..end].to_vec()).expect("ASCII");
        answers.insert(request, masked(&head, &bytes[end..]));
    }
    server.stop();
    answers
}

/// The answer as text; a line of the head that tells the date keeps its name and its length.
fn masked(head: &str, body: &[u8]) -> String {
    let mut text = String::new();
    for line in head.split_inclusive("\r\n") {
        match line.strip_prefix("date: ") {
            Some(date) => text.push_str(&format!("date: <{} bytes>\r\n", date.trim_end().len())),
            None => text.push_str(line),
        }
    }
    text.push_str(&String::from_utf8_lossy(body));
    text
}
