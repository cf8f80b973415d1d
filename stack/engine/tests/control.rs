//! What needs no connection: ARP, ICMP echo, resets to strangers, and frames that are dropped.

mod common;

use common::{
    CLIENT, CLIENT_MAC, FIN, Heard, Mode, Peer, RST, SERVER, SERVER_MAC, SYN, Segment, TestTcp,
    World,
};
use common::{config, fix_checksums};
use engine::{Config, Native};
use smoltcp::wire::TcpControl;
use std::time::Duration;

/// Takes what the engine has sent, as bytes.
fn frames<T: TestTcp>(world: &mut World<T>) -> Vec<Vec<u8>> {
    let mut frames = Vec::new();
    while world.port.take(|frame| frames.push(frame.to_vec())) {}
    frames
}

fn send<T: TestTcp>(world: &mut World<T>, frame: &[u8]) -> Vec<Vec<u8>> {
    world.port.send(frame);
    world.poll();
    frames(world)
}

fn arp_request(target: [u8; 4]) -> Vec<u8> {
    let mut frame = Vec::new();
    frame.extend_from_slice(&[0xff; 6]);
    frame.extend_from_slice(&CLIENT_MAC);
    // ARP, Ethernet, IPv4, lengths 6 and 4, request.
    frame.extend_from_slice(&[0x08, 0x06, 0, 1, 0x08, 0, 6, 4, 0, 1]);
    frame.extend_from_slice(&CLIENT_MAC);
    frame.extend_from_slice(&CLIENT.octets());
    frame.extend_from_slice(&[0; 6]);
    frame.extend_from_slice(&target);
    frame
}

fn an_arp_request_for_our_address_is_answered_without_its_padding<T: TestTcp>() {
    let mut world = World::<T>::new(Mode::Echo, config());
    let mut request = arp_request(SERVER.ip().octets());
    request.extend_from_slice(&[0x77; 18]);
    let replies = send(&mut world, &request);
    let mut expected = Vec::new();
    expected.extend_from_slice(&CLIENT_MAC);
    expected.extend_from_slice(&SERVER_MAC);
    expected.extend_from_slice(&[0x08, 0x06, 0, 1, 0x08, 0, 6, 4, 0, 2]);
    expected.extend_from_slice(&SERVER_MAC);
    expected.extend_from_slice(&SERVER.ip().octets());
    expected.extend_from_slice(&CLIENT_MAC);
    expected.extend_from_slice(&CLIENT.octets());
    assert_eq!(replies, [expected]);
    world.assert_at_rest();
}

fn other_arp_is_dropped_and_the_rate_is_limited<T: TestTcp>() {
    let mut world =
        World::<T>::new(Mode::Echo, Config { control_replies_per_second: 5, ..config() });
    assert!(send(&mut world, &arp_request([198, 18, 0, 3])).is_empty());
    let mut reply = arp_request(SERVER.ip().octets());
    reply[21] = 2;
    assert!(send(&mut world, &reply).is_empty());
    assert!(send(&mut world, &arp_request(SERVER.ip().octets())[..30]).is_empty());
    assert_eq!(world.counter("rx_other_arp_frames"), 3);
    let request = arp_request(SERVER.ip().octets());
    let answered = (0..20).filter(|_| !send(&mut world, &request).is_empty()).count();
    assert_eq!((answered, world.counter("arp_suppressed_requests")), (5, 15));
    world.clock.advance(Duration::from_millis(200));
    assert_eq!(send(&mut world, &request).len(), 1);
    world.assert_at_rest();
}

/// An ICMP packet from the client, with good checksums.
fn icmp(kind: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = Peer::new(1).frame(&Segment::NONE)[..34].to_vec();
    frame[23] = 1;
    frame.extend_from_slice(&[kind, 0, 0, 0, 0x12, 0x34, 0, 7]);
    frame.extend_from_slice(payload);
    fix_checksums(&mut frame);
    frame
}

fn an_echo_request_comes_back_as_a_reply<T: TestTcp>() {
    let mut world = World::<T>::new(Mode::Echo, config());
    for len in [0, 1, 56, 1472] {
        let payload: Vec<u8> = (0..=255).cycle().take(len).collect();
        let request = icmp(8, &payload);
        let mut padded = request.clone();
        padded.resize(request.len().max(60), 0x77);
        let replies = send(&mut world, &padded);
        let mut expected = icmp(0, &payload);
        expected[..6].copy_from_slice(&CLIENT_MAC);
        expected[6..12].copy_from_slice(&SERVER_MAC);
        expected[26..30].copy_from_slice(&SERVER.ip().octets());
        expected[30..34].copy_from_slice(&CLIENT.octets());
        fix_checksums(&mut expected);
        assert_eq!(replies, [expected], "{len}");
    }
    assert!(send(&mut world, &icmp(3, &[0; 28])).is_empty());
    assert_eq!(world.counter("rx_other_icmp_frames"), 1);
    let mut bad = icmp(8, b"hello");
    bad[40] ^= 1;
    assert!(send(&mut world, &bad).is_empty());
    assert_eq!(world.counter("rx_bad_icmp_frames"), 1);
    world.assert_at_rest();
}

/// Sends a segment to a port that nobody listens on.
fn knock<T: TestTcp>(world: &mut World<T>, peer: &Peer, segment: &Segment<'_>) -> Vec<Heard> {
    let mut frame = peer.frame(segment);
    frame[36..38].copy_from_slice(&81_u16.to_be_bytes());
    fix_checksums(&mut frame);
    world.port.send(&frame);
    world.poll();
    world.heard()
}

fn segments_of_no_connection_are_answered_as_rfc_9293_says_and_at_a_limited_rate<T: TestTcp>() {
    let mut world = World::<T>::new(Mode::Echo, Config { resets_per_second: 10, ..config() });
    let peer = Peer { ack: Some(1000), ..Peer::new(40_000) };
    let said = |heard: &[Heard]| (heard[0].control, heard[0].seq, heard[0].ack);
    // ACK on: <SEQ=SEG.ACK><CTL=RST>, whether somebody listens or not.
    let data = Segment { payload: b"data", ..Segment::NONE };
    assert_eq!(said(&world.exchange(&peer, &data)), (TcpControl::Rst, 1000, None));
    assert_eq!(said(&knock(&mut world, &peer, &data)), (TcpControl::Rst, 1000, None));
    // ACK off: <SEQ=0><ACK=SEG.SEQ+SEG.LEN><CTL=RST,ACK>; the FIN counts one.
    let peer = Peer { ack: None, ..peer };
    let without = knock(&mut world, &peer, &Segment { payload: b"data", ..FIN });
    assert_eq!(said(&without), (TcpControl::Rst, 0, Some(peer.seq.wrapping_add(5))));
    // A reset is never answered, nor does a SYN for a port that nobody listens on open anything.
    assert!(world.exchange(&peer, &RST).is_empty());
    let refused = knock(&mut world, &peer, &SYN);
    assert_eq!(said(&refused), (TcpControl::Rst, 0, Some(peer.seq.wrapping_add(1))));
    assert_eq!(world.tables(), (0, 0, 0));
    let answered = (0..100).filter(|_| !knock(&mut world, &peer, &FIN).is_empty()).count();
    assert_eq!(answered, 6);
    assert_eq!(world.counter("unknown_flow_suppressed_resets"), 94);
    world.assert_at_rest();
}

fn every_segment_has_the_time_to_live_that_was_asked_for<T: TestTcp>() {
    assert_eq!(config().hop_limit, 64);
    let mut world = World::<T>::new(Mode::Lines(5000), Config { hop_limit: 7, ..config() });
    // A SYN-ACK, an answer in pieces, and a reset for a stranger.
    let mut said = send(&mut world, &Peer::new(40_000).frame(&SYN));
    let peer = world.open(40_001);
    said.extend(send(&mut world, &peer.frame(&Segment { payload: b"\n", ..Segment::NONE })));
    said.extend(send(&mut world, &Peer::new(40_002).frame(&Segment::NONE)));
    let lives: Vec<u8> = said.iter().map(|frame| frame[22]).collect();
    assert_eq!(lives, vec![7; lives.len().max(4)]);
}

fn every_malformed_frame_is_dropped_under_its_name<T: TestTcp>() {
    let check = |name: &str, mend: bool, spoil: &dyn Fn(&mut Vec<u8>)| {
        let mut world = World::<T>::new(Mode::Echo, config());
        let mut frame = Peer::new(40_000).frame(&SYN);
        spoil(&mut frame);
        if mend {
            fix_checksums(&mut frame);
        }
        assert!(send(&mut world, &frame).is_empty(), "{name} was answered");
        let counters = world.counters();
        let dropped: Vec<&str> = counters
            .iter()
            .filter(|(name, value)| {
                name.starts_with("rx_") && **name != "rx_segments" && **value > 0
            })
            .map(|(name, _)| *name)
            .collect();
        assert_eq!(dropped, [name]);
        assert_eq!((counters[name], counters["rx_segments"]), (1, 0));
        assert_eq!(world.tables(), (0, 0, 0));
        world.assert_at_rest();
    };
    check("rx_runt_frames", false, &|frame| frame.truncate(13));
    check("rx_other_mac_frames", false, &|frame| frame[5] ^= 4);
    check("rx_other_mac_frames", false, &|frame| frame[..6].fill(0xff));
    check("rx_bad_source_mac_frames", false, &|frame| frame[6..12].fill(0));
    check("rx_bad_source_mac_frames", false, &|frame| frame[6] |= 1);
    check("rx_bad_source_mac_frames", false, &|frame| frame[6..12].copy_from_slice(&SERVER_MAC));
    check("rx_unknown_ethertype_frames", false, &|frame| frame[12..14].copy_from_slice(&[0x81, 0]));
    check("rx_bad_ipv4_header_frames", true, &|frame| frame[14] = 0x65);
    check("rx_bad_ipv4_header_frames", false, &|frame| frame[14] = 0x44);
    check("rx_bad_ipv4_header_frames", false, &|frame| frame[14] = 0x4f);
    check("rx_bad_ipv4_header_frames", false, &|frame| frame[16..18].copy_from_slice(&[0, 19]));
    check("rx_bad_ipv4_header_frames", false, &|frame| frame[16..18].copy_from_slice(&[0, 200]));
    check("rx_bad_ipv4_header_frames", true, &|frame| frame[22] = 0);
    check("rx_bad_ipv4_header_frames", false, &|frame| frame.truncate(33));
    check("rx_bad_ipv4_checksum_frames", false, &|frame| frame[24] ^= 1);
    check("rx_ipv4_fragment_frames", true, &|frame| frame[20] = 0x20);
    check("rx_ipv4_fragment_frames", true, &|frame| frame[20..22].copy_from_slice(&[0, 1]));
    check("rx_other_ipv4_frames", true, &|frame| frame[33] = 3);
    check("rx_other_ipv4_frames", true, &|frame| frame[30..34].fill(0xff));
    check("rx_bad_ipv4_source_frames", true, &|frame| frame[26..30].fill(0));
    check("rx_bad_ipv4_source_frames", true, &|frame| frame[26] = 127);
    check("rx_bad_ipv4_source_frames", true, &|frame| frame[26] = 224);
    check("rx_bad_ipv4_source_frames", true, &|frame| frame[26..30].fill(0xff));
    check("rx_bad_ipv4_source_frames", true, &|frame| {
        frame[26..30].copy_from_slice(&SERVER.ip().octets());
    });
    check("rx_unknown_protocol_frames", true, &|frame| frame[23] = 17);
    check("rx_bad_tcp_header_segments", true, &|frame| frame[46] = 0x40);
    check("rx_bad_tcp_header_segments", true, &|frame| frame[46] = 0xf0);
    check("rx_bad_tcp_header_segments", true, &|frame| frame[34..36].fill(0));
    check("rx_bad_tcp_header_segments", true, &|frame| frame[36..38].fill(0));
    check("rx_bad_tcp_header_segments", true, &|frame| {
        frame.truncate(14 + 20 + 19);
        frame[17] = 39;
    });
    check("rx_bad_tcp_checksum_segments", false, &|frame| frame[50] ^= 1);
    check("rx_bad_tcp_checksum_segments", false, &|frame| frame[50..52].fill(0));
    check("rx_bad_tcp_flags_segments", true, &|frame| frame[47] = 0x03);
    check("rx_bad_tcp_flags_segments", true, &|frame| frame[47] = 0x06);
    check("rx_bad_tcp_flags_segments", true, &|frame| frame[47] = 0xff);
    // The first option is the MSS: of length 0, 1, and longer than the header.
    check("rx_bad_tcp_options_segments", true, &|frame| frame[55] = 0);
    check("rx_bad_tcp_options_segments", true, &|frame| frame[55] = 1);
    check("rx_bad_tcp_options_segments", true, &|frame| frame[55] = 41);
}

fn ip_options_are_skipped_and_ethernet_padding_is_no_data<T: TestTcp>() {
    let mut world = World::<T>::new(Mode::Lines(10), config());
    let peer = world.open(40_000);
    let mut frame = peer.frame(&Segment { payload: b"GET\n", ..Segment::NONE });
    // A record-route option of 7 bytes and an end of list, behind the IPv4 header.
    frame.splice(34..34, [7, 7, 4, 0, 0, 0, 0, 0]);
    frame[14] = 0x47;
    frame[17] += 8;
    fix_checksums(&mut frame);
    frame.resize(80, b'\n');
    world.port.send(&frame);
    world.poll();
    let answers = world.heard();
    assert_eq!(answers.len(), 1);
    assert_eq!((answers[0].payload.len(), answers[0].ack), (10, Some(peer.seq.wrapping_add(4))));
    world.assert_at_rest();
}

/// An ICMP error about the packet in `frame`, which the engine has sent.
fn error_about(frame: &[u8], (kind, code): (u8, u8), mtu: u16) -> Vec<u8> {
    let mut error = icmp(kind, &frame[14..14 + 28]);
    error[35] = code;
    error[38..42].copy_from_slice(&[0, 0, mtu.to_be_bytes()[0], mtu.to_be_bytes()[1]]);
    fix_checksums(&mut error);
    error
}

/// A connection of the native TCP with a full segment on its way, and that segment's frame.
fn with_a_segment_outstanding() -> (World<Native>, Peer, Vec<u8>) {
    let mut world = World::<Native>::new(Mode::Lines(5000), config());
    let peer = world.open(40_000);
    let answers = send(&mut world, &peer.frame(&Segment { payload: b"GET\n", ..Segment::NONE }));
    let first = answers.into_iter().next().expect("an answer");
    assert_eq!(first.len(), 14 + 1500);
    (world, peer, first)
}

#[test]
fn icmp_errors_reach_their_connection_and_those_that_are_forged_do_nothing() {
    let (mut world, mut peer, frame) = with_a_segment_outstanding();
    let count = |world: &World<Native>, name: &str| world.counter(name);
    // Hard and soft errors, time exceeded, a parameter problem: none ends a connection.
    for (kind, code) in [(3, 0), (3, 1), (3, 2), (3, 3), (3, 13), (11, 0), (12, 0)] {
        assert!(send(&mut world, &error_about(&frame, (kind, code), 0)).is_empty());
    }
    assert_eq!(count(&world, "icmp_errors_soft"), 7);
    send(&mut world, &error_about(&frame, (4, 0), 0));
    assert_eq!(count(&world, "icmp_errors_ignored"), 1);
    // A sequence number that is not outstanding, another connection, somebody else's segment.
    let mut other = frame.clone();
    other[38..42].copy_from_slice(&[1, 2, 3, 4]);
    send(&mut world, &error_about(&other, (3, 3), 0));
    assert_eq!(count(&world, "icmp_errors_out_of_window"), 1);
    other[37] ^= 1;
    send(&mut world, &error_about(&other, (3, 3), 0));
    assert_eq!(count(&world, "icmp_errors_no_connection"), 1);
    other[29] ^= 1;
    send(&mut world, &error_about(&other, (3, 3), 0));
    send(&mut world, &error_about(&frame, (5, 0), 0));
    send(&mut world, &icmp(3, &frame[14..14 + 20]));
    assert_eq!(count(&world, "rx_other_icmp_frames"), 3);
    assert_eq!(world.tables(), (1, 0, 0));
    // It goes on as if nothing had happened.
    peer.seq = peer.seq.wrapping_add(4);
    peer.ack = peer.ack.map(|ack| ack.wrapping_add(5000));
    assert!(world.exchange(&peer, &Segment::NONE).is_empty());
    assert_eq!(world.request(&mut peer, b"GET\n").len(), 5000);
    world.assert_at_rest();
}

#[test]
fn a_smaller_mtu_is_believed_down_to_the_floor() {
    for (claimed, then) in
        [(0, None), (67, None), (1500, None), (1400, Some(1400)), (68, Some(552))]
    {
        let (mut world, _, frame) = with_a_segment_outstanding();
        let again = send(&mut world, &error_about(&frame, (3, 4), claimed));
        let largest = again.iter().map(|frame| frame.len() - 14).max();
        assert_eq!(largest, then, "{claimed}");
        let counted = world.counter("icmp_errors_path_mtu");
        assert_eq!(counted, u64::from(then.is_some()), "{claimed}");
        world.assert_at_rest();
    }
}

on_both! {
    an_arp_request_for_our_address_is_answered_without_its_padding,
    other_arp_is_dropped_and_the_rate_is_limited,
    an_echo_request_comes_back_as_a_reply,
    segments_of_no_connection_are_answered_as_rfc_9293_says_and_at_a_limited_rate,
    every_segment_has_the_time_to_live_that_was_asked_for,
    every_malformed_frame_is_dropped_under_its_name,
    ip_options_are_skipped_and_ethernet_padding_is_no_data,
}
