//! `net_pcap`: requests come from one file, answers go to another.

use crate::{arguments, capture, words};
use server_testing::Server;
use std::path::PathBuf;

const CLIENT_MAC: [u8; 6] = [2, 0, 0, 0, 0, 0x0a];
const CLIENT: [u8; 4] = [198, 18, 0, 10];
const SERVER: [u8; 4] = [198, 18, 0, 2];
/// 8080, and where the client sends from.
const SERVER_PORT: [u8; 2] = [0x1f, 0x90];
const CLIENT_PORT: [u8; 2] = [0xc0, 0x00];
const SEQ: u32 = 0x0102_0304;
const SYN: u8 = 0x02;
const ACK: u8 = 0x10;
const RST: u8 = 0x04;

/// RFC 1071's sum of 16-bit words.
fn sum(parts: &[&[u8]]) -> u16 {
    let words = parts.iter().flat_map(|part| part.chunks(2));
    let word =
        |bytes: &[u8]| u32::from(bytes[0]) << 8 | bytes.get(1).map_or(0, |low| (*low).into());
    let total: u32 = words.map(word).sum();
    let folded = (total & 0xffff) + (total >> 16);
    u16::try_from((folded & 0xffff) + (folded >> 16)).expect("folded twice")
}

fn ethernet(target: [u8; 6], kind: u16, payload: &[u8]) -> Vec<u8> {
    let mut frame = [&target[..], &CLIENT_MAC, &kind.to_be_bytes(), payload].concat();
    frame.resize(frame.len().max(60), 0);
    frame
}

fn arp_request() -> Vec<u8> {
    let head = [0, 1, 8, 0, 6, 4, 0, 1];
    let body = [&head[..], &CLIENT_MAC, &CLIENT, &[0; 6], &SERVER].concat();
    ethernet([0xff; 6], 0x0806, &body)
}

fn ipv4(mac: [u8; 6], protocol: u8, payload: &[u8]) -> Vec<u8> {
    let len = u16::try_from(20 + payload.len()).expect("a short packet").to_be_bytes();
    let start = [0x45, 0, len[0], len[1], 0, 1, 0x40, 0, 64, protocol];
    let checksum = !sum(&[&start, &CLIENT, &SERVER]);
    let packet = [&start[..], &checksum.to_be_bytes(), &CLIENT, &SERVER, payload].concat();
    ethernet(mac, 0x0800, &packet)
}

fn ping(mac: [u8; 6]) -> Vec<u8> {
    let rest = [0, 7, 0, 1, b'p', b'i', b'n', b'g'];
    let checksum = (!sum(&[&[8, 0], &rest])).to_be_bytes();
    ipv4(mac, 1, &[&[8, 0][..], &checksum, &rest].concat())
}

/// A SYN to a port, with its checksum, or one that is wrong by `error`.
fn syn(mac: [u8; 6], port: [u8; 2], error: u16) -> Vec<u8> {
    let start = [&CLIENT_PORT[..], &port, &SEQ.to_be_bytes(), &[0; 4]].concat();
    let (flags, window) = ([0x50, SYN], [0xff, 0xff]);
    let pseudo = [0, 6, 0, 20];
    let checksum = !sum(&[&CLIENT, &SERVER, &pseudo, &start, &flags, &window]);
    let checksum = (checksum ^ error).to_be_bytes();
    ipv4(mac, 6, &[&start[..], &flags, &window, &checksum, &[0, 0]].concat())
}

/// Files of this test, removed in the end.
struct Files(PathBuf, PathBuf);

impl Files {
    fn new(name: &str) -> Self {
        let path = |end: &str| {
            let file = format!("server-dpdk-{name}-{}-{end}.pcap", std::process::id());
            std::env::temp_dir().join(file)
        };
        Self(path("in"), path("out"))
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        // The second is only there once the server was.
        let _not_there = (std::fs::remove_file(&self.0), std::fs::remove_file(&self.1));
    }
}

/// Starts a server that reads one file and writes the other.
fn serve(files: &Files) -> Server {
    let (from, to) = (files.0.to_str().expect("UTF-8"), files.1.to_str().expect("UTF-8"));
    let device = format!("net_pcap0,rx_pcap={from},tx_pcap={to}");
    Server::start(crate::BINARY, &words(&arguments(&["--tcp", "native"], &device, "pcap")))
}

#[test]
fn what_is_asked_in_one_file_is_answered_in_another() {
    let files = Files::new("answers");
    // The driver makes an address up, and takes no other.
    capture::write(&files.0, &[]);
    let server = serve(&files);
    let mac = server.ready["mac"].as_str().expect("a string").to_owned();
    server.stop();
    let mac: Vec<u8> =
        mac.split(':').map(|byte| u8::from_str_radix(byte, 16).expect("two digits")).collect();
    let mac: [u8; 6] = mac.try_into().expect("six of them");

    let closed_port = [0x1f, 0x91];
    let good = syn(mac, SERVER_PORT, 0);
    let requests =
        [arp_request(), ping(mac), syn(mac, SERVER_PORT, 1), syn(mac, closed_port, 0), good];
    capture::write(&files.0, &requests);
    let mut server = serve(&files);
    server.wait_for("rx_frames", 5);
    let counters = server.stop();
    assert_eq!(counters["rx_frames"], 5, "{counters}");
    assert_eq!(counters["rx_bad_tcp_checksum_segments"], 1, "{counters}");
    check_answers(&capture::read(&files.1), mac);
}

fn check_answers(answers: &[Vec<u8>], mac: [u8; 6]) {
    let [arp, pong, reset, syn_ack, ..] = answers else { panic!("{answers:02x?}") };
    for answer in answers {
        assert_eq!((&answer[..6], &answer[6..12]), (&CLIENT_MAC[..], &mac[..]), "{answer:02x?}");
    }
    // RFC 826: a reply, with the address that was asked for.
    assert_eq!((&arp[12..14], &arp[20..22]), (&[8, 6][..], &[0, 2][..]));
    assert_eq!((&arp[22..28], &arp[28..32]), (&mac[..], &SERVER[..]));
    // RFC 792: echo reply, with what was sent.
    assert_eq!((pong[34], &pong[38..46]), (0, &[0, 7, 0, 1, b'p', b'i', b'n', b'g'][..]));
    assert_eq!(sum(&[&pong[34..46]]), 0xffff, "its checksum");
    for (segment, flags, port) in
        [(reset, RST | ACK, [0x1f, 0x91]), (syn_ack, SYN | ACK, SERVER_PORT)]
    {
        let len = usize::from(u16::from_be_bytes([segment[16], segment[17]]));
        let tcp = &segment[34..14 + len];
        assert_eq!((&tcp[..2], &tcp[2..4]), (&port[..], &CLIENT_PORT[..]));
        assert_eq!((&tcp[8..12], tcp[13]), (&(SEQ + 1).to_be_bytes()[..], flags));
        let pseudo = [0, 6, 0, u8::try_from(tcp.len()).expect("no payload")];
        assert_eq!(sum(&[&SERVER, &CLIENT, &pseudo, tcp]), 0xffff, "its checksum");
    }
}
