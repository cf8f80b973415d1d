//! Active opens, from one engine to another over a simulated wire, and to a peer by hand.

mod common;

use common::{CLIENT, CLIENT_MAC, Mode, SERVER, SERVER_MAC, TestApp, config};
use engine::{Advance, Close, Closed, Config, ConnectError, Count, Engine, Event, Smoltcp};
use queue::Queue;
use sim::{Clock, Link, Port, PortConfig, pair};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::Duration;

type Host = Engine<Port, TestApp>;

fn host(port: Port, mode: Mode, config: Config) -> Host {
    let buffers = (config.rx_buffer_bytes, config.tx_buffer_bytes);
    let tcp = Smoltcp::new(*config.listen.ip(), port.caps().mtu, buffers, &config.key);
    Engine::new(port, TestApp::new(mode), tcp, config)
}

/// What the client's side is told; it listens on a port that nobody calls.
fn client_config() -> Config {
    Config { listen: SocketAddrV4::new(CLIENT, 9), ..config() }
}

/// A client and a server, both engines.
struct Two {
    clock: Clock,
    client: Host,
    server: Host,
}

impl Two {
    fn new(client_mode: Mode, client_config: Config) -> Self {
        Self::with_server(client_mode, client_config, config())
    }

    fn with_server(client_mode: Mode, client_config: Config, server_config: Config) -> Self {
        let clock = Clock::default();
        clock.advance(Duration::from_secs(1000));
        let wire = Link { delay: Duration::from_micros(50), ..Link::PERFECT };
        let (client, server) = pair(
            1,
            &clock,
            (PortConfig::new(CLIENT_MAC), wire),
            (PortConfig::new(SERVER_MAC), wire),
        );
        let client = host(client, client_mode, client_config);
        let server = host(server, Mode::Echo, server_config);
        Self { clock, client, server }
    }

    fn connect(&mut self, peer: SocketAddrV4, token: u64) -> Result<(), ConnectError> {
        self.client.connect(self.clock.now(), peer, token)
    }

    /// Lets time pass, both ends polled in small steps.
    fn pass(&mut self, duration: Duration) {
        let end = self.clock.now() + duration;
        while self.clock.now() < end {
            self.client.poll(self.clock.now());
            self.server.poll(self.clock.now());
            self.clock.advance(Duration::from_micros(50));
        }
        assert_eq!(self.client.queue().outstanding(), 0, "a frame has leaked");
        assert_eq!(self.server.queue().outstanding(), 0, "a frame has leaked");
    }
}

#[test]
fn two_engines_connect_exchange_and_close() {
    let mut two = Two::new(Mode::Say(b"hello"), client_config());
    two.connect(SERVER, 7).expect("room");
    two.pass(Duration::from_millis(100));
    let app = two.client.app();
    assert_eq!((&app.connected[..], &app.input[..]), (&[7][..], &b"hello"[..]));
    assert_eq!((&app.failed[..], &app.closed[..]), (&[][..], &[Closed::Finished][..]));
    assert_eq!(two.server.app().closed, [Closed::Finished]);
    assert!(two.server.app().connected.is_empty());
    // The second connection finds the address known.
    two.connect(SERVER, 8).expect("room");
    two.pass(Duration::from_millis(100));
    assert_eq!(two.client.app().connected, [7, 8]);
    assert_eq!(two.client.count(Count::ArpRequests), 1);
    assert_eq!(two.client.count(Count::Connects), 2);
    assert!(two.client.is_drained() && two.server.is_drained());
}

#[test]
fn a_connection_is_closed_and_reset_outside_of_any_event() {
    for (how, ends) in [(Close::Both, Closed::Finished), (Close::Reset, Closed::ResetByApp)] {
        let mut two = Two::new(Mode::Sink, client_config());
        two.connect(SERVER, 7).expect("room");
        two.pass(Duration::from_millis(10));
        let id = two.client.app().opened[0];
        let advance = Advance { close: Some(how), ..Advance::IDLE };
        two.client.act(two.clock.now(), id, advance);
        two.pass(Duration::from_millis(10));
        assert_eq!(two.client.app().closed, [ends]);
        assert!(two.client.is_drained() && two.server.is_drained());
        // Of a connection that is over, nothing is left to act on.
        two.client.act(two.clock.now(), id, advance);
        two.pass(Duration::from_millis(10));
        assert_eq!(two.client.app().closed.len(), 1);
    }
}

#[test]
fn a_wake_up_is_asked_for_outside_of_any_event() {
    let mut two = Two::new(Mode::Sink, client_config());
    two.connect(SERVER, 7).expect("room");
    two.pass(Duration::from_millis(10));
    let id = two.client.app().opened[0];
    let wake_at = two.clock.now() + Duration::from_millis(5);
    two.client.act(two.clock.now(), id, Advance { wake_at, ..Advance::IDLE });
    two.pass(Duration::from_millis(4));
    assert!(!two.client.app().events.contains(&Event::Timer));
    two.pass(Duration::from_millis(2));
    assert!(two.client.app().events.contains(&Event::Timer));
}

#[test]
fn many_connections_wait_for_one_answer_and_each_has_a_port_of_its_own() {
    let mut two = Two::new(Mode::Say(b"x"), client_config());
    for token in 0..1000 {
        two.connect(SERVER, token).expect("room");
    }
    two.pass(Duration::from_millis(200));
    let app = two.client.app();
    app.connected.sort_unstable();
    assert_eq!(app.connected, (0..1000).collect::<Vec<u64>>());
    assert_eq!(app.input, [b'x'; 1000]);
    assert_eq!(two.client.count(Count::ArpRequests), 1);
}

#[test]
fn a_port_that_nobody_listens_on_refuses() {
    let mut two = Two::new(Mode::Say(b"hello"), client_config());
    let closed = SocketAddrV4::new(*SERVER.ip(), 81);
    two.connect(closed, 7).expect("room");
    two.pass(Duration::from_millis(10));
    assert_eq!(two.client.app().failed, [(7, ConnectError::Refused)]);
    assert!(two.client.app().connected.is_empty() && two.client.app().closed.is_empty());
    assert!(two.client.is_drained());
}

#[test]
fn an_address_that_nobody_has_is_asked_for_three_times_and_unreachable() {
    let mut two = Two::new(Mode::Say(b"hello"), client_config());
    let nobody = SocketAddrV4::new(Ipv4Addr::new(198, 18, 0, 77), 80);
    two.connect(nobody, 7).expect("room");
    two.pass(Duration::from_millis(2990));
    assert_eq!(two.client.app().failed, []);
    two.pass(Duration::from_millis(20));
    assert_eq!(two.client.app().failed, [(7, ConnectError::Unreachable)]);
    assert_eq!(two.client.count(Count::ArpRequests), 3);
    assert_eq!(two.client.count(Count::ArpUnanswered), 1);
    assert!(two.client.is_drained());
    // It can be tried again.
    two.connect(nobody, 8).expect("room");
    two.pass(Duration::from_millis(10));
    assert_eq!(two.client.count(Count::ArpRequests), 4);
}

#[test]
fn a_peer_that_does_not_answer_is_given_up_after_the_time_out() {
    let config = Config { connect_timeout: Duration::from_secs(5), ..client_config() };
    let deaf = Config { half_open: 0, ..common::config() };
    let mut two = Two::with_server(Mode::Say(b"hello"), config, deaf);
    two.connect(SERVER, 7).expect("room");
    two.pass(Duration::from_millis(4990));
    assert_eq!(two.client.app().failed, []);
    two.pass(Duration::from_millis(20));
    assert_eq!(two.client.app().failed, [(7, ConnectError::TimedOut)]);
    assert_eq!(two.server.count(Count::SynBacklogFull), 3, "sent again after 1 and 3 seconds");
    assert!(two.client.is_drained());
}

#[test]
fn what_can_be_known_at_once_is_told_at_once() {
    let config = Config { connecting: 2, ephemeral_ports: 9..=10, ..client_config() };
    let mut two = Two::new(Mode::Say(b"hello"), config);
    let peer = |a, b, c, d, port| SocketAddrV4::new(Ipv4Addr::new(a, b, c, d), port);
    let nobody = [
        peer(0, 0, 0, 0, 80),
        peer(127, 0, 0, 1, 80),
        peer(224, 0, 0, 1, 80),
        peer(255, 255, 255, 255, 80),
        peer(198, 18, 0, 2, 0),
        SocketAddrV4::new(CLIENT, 80),
    ];
    for peer in nobody {
        assert_eq!(two.connect(peer, 1), Err(ConnectError::Unaddressable), "{peer}");
    }
    // Port 9 is the one that we listen on.
    assert_eq!(two.connect(SERVER, 2), Ok(()));
    assert_eq!(two.connect(SERVER, 3), Err(ConnectError::NoPort));
    let other = SocketAddrV4::new(*SERVER.ip(), 81);
    assert_eq!(two.connect(other, 4), Ok(()));
    assert_eq!(two.connect(other, 5), Err(ConnectError::TableFull));
    two.pass(Duration::from_millis(10));
    assert_eq!(two.client.app().failed, [(4, ConnectError::Refused)]);
    assert_eq!(two.client.app().connected, [2]);
    // Our port waits in TIME-WAIT, and then is free again.
    two.pass(Duration::from_millis(10));
    assert_eq!(two.connect(SERVER, 6), Err(ConnectError::NoPort));
    two.pass(Duration::from_secs(60));
    assert_eq!(two.connect(SERVER, 7), Ok(()));
    two.pass(Duration::from_millis(10));
    assert_eq!(two.client.app().connected, [2, 7]);
}

#[test]
fn as_many_neighbours_are_asked_as_there_is_room_for_and_those_known_give_way() {
    let config = Config { neighbours: 2, ..client_config() };
    let mut two = Two::new(Mode::Say(b"hello"), config);
    let nobody = |last| SocketAddrV4::new(Ipv4Addr::new(198, 18, 0, last), 80);
    two.connect(SERVER, 1).expect("room");
    two.pass(Duration::from_millis(10));
    assert_eq!(two.client.app().connected, [1]);
    two.connect(nobody(71), 2).expect("room");
    two.connect(nobody(72), 3).expect("in the place of the server");
    assert_eq!(two.connect(nobody(73), 4), Err(ConnectError::TableFull));
    assert_eq!(two.connect(SERVER, 5), Err(ConnectError::TableFull));
    two.pass(Duration::from_secs(4));
    two.connect(SERVER, 6).expect("room");
    two.pass(Duration::from_millis(10));
    assert_eq!(two.client.app().connected, [1, 6]);
    // What was learnt is forgotten after a minute.
    assert_eq!(neighbours(&two.client), 1);
    two.pass(Duration::from_secs(61));
    assert_eq!(neighbours(&two.client), 0);
}

fn neighbours(host: &Host) -> u64 {
    let mut found = None;
    host.counters(&mut |counter, value| {
        if counter.0 == "neighbours_now" {
            found = Some(value);
        }
    });
    found.expect("a counter")
}

#[test]
fn a_drain_ends_what_is_being_opened_and_begins_nothing() {
    let deaf = Config { half_open: 0, ..config() };
    let mut two = Two::with_server(Mode::Say(b"hello"), client_config(), deaf);
    two.connect(SERVER, 1).expect("room");
    two.connect(SocketAddrV4::new(Ipv4Addr::new(198, 18, 0, 77), 80), 2).expect("room");
    two.pass(Duration::from_millis(10));
    let now = two.clock.now();
    two.client.drain(now, now + Duration::from_secs(9));
    assert_eq!(two.connect(SERVER, 3), Err(ConnectError::Draining));
    two.pass(Duration::from_millis(1100));
    let app = two.client.app();
    app.failed.sort_unstable_by_key(|(token, _)| *token);
    assert_eq!(app.failed, [(1, ConnectError::Draining), (2, ConnectError::Draining)]);
    assert!(two.client.is_drained());
}

#[test]
fn an_application_may_refuse_what_it_opened() {
    let mut two = Two::new(Mode::Say(b"hello"), client_config());
    two.client.app().refuse = true;
    two.connect(SERVER, 1).expect("room");
    two.pass(Duration::from_millis(10));
    assert_eq!(two.client.count(Count::OpenRefused), 1);
    // The reset is all that the server hears of it: the handshake was never completed.
    assert_eq!(two.server.count(Count::HalfOpenAborted), 1);
    assert!(two.client.is_drained() && two.server.is_drained());
}

#[test]
fn a_reset_after_the_handshake_is_no_failed_open() {
    let mut two = Two::new(Mode::Sink, client_config());
    two.connect(SERVER, 1).expect("room");
    two.server.app().close_next = Some(Close::Reset);
    two.pass(Duration::from_millis(10));
    let app = two.client.app();
    assert_eq!((&app.connected[..], &app.failed[..]), (&[1][..], &[][..]));
    assert_eq!(app.closed, [Closed::ResetByPeer]);
}

/// A client engine, and the other end of its wire by hand.
fn alone() -> (Clock, Host, Port) {
    let clock = Clock::default();
    clock.advance(Duration::from_secs(1000));
    let ends = (PortConfig::new(CLIENT_MAC), PortConfig::new(SERVER_MAC));
    let (client, wire) = pair(1, &clock, (ends.0, Link::PERFECT), (ends.1, Link::PERFECT));
    (clock, host(client, Mode::Say(b"hello"), client_config()), wire)
}

/// An ARP packet in a frame.
fn arp(
    (source, destination): ([u8; 6], [u8; 6]),
    operation: u8,
    sender: ([u8; 6], Ipv4Addr),
    target: ([u8; 6], Ipv4Addr),
) -> Vec<u8> {
    let mut frame = [destination, source].concat();
    frame.extend_from_slice(&[0x08, 0x06, 0, 1, 0x08, 0, 6, 4, 0, operation]);
    for (mac, address) in [sender, target] {
        frame.extend_from_slice(&mac);
        frame.extend_from_slice(&address.octets());
    }
    frame
}

fn heard(wire: &mut Port) -> Vec<Vec<u8>> {
    let mut frames = Vec::new();
    while wire.take(|frame| frames.push(frame.to_vec())) {}
    frames
}

const EVIL_MAC: [u8; 6] = [2, 0, 0, 0, 0, 0x66];

#[test]
fn only_the_answer_to_our_question_is_believed_and_only_the_first() {
    let (clock, mut client, mut wire) = alone();
    let server = *SERVER.ip();
    let evil = arp((EVIL_MAC, CLIENT_MAC), 2, (EVIL_MAC, server), (CLIENT_MAC, CLIENT));
    // Before anything is asked, nothing is believed.
    wire.send(&evil);
    client.poll(clock.now());
    assert_eq!(client.count(Count::RxUnsolicitedArp), 1);
    client.connect(clock.now(), SERVER, 1).expect("room");
    client.poll(clock.now());
    let request = arp((CLIENT_MAC, [0xff; 6]), 1, (CLIENT_MAC, CLIENT), ([0; 6], server));
    assert_eq!(heard(&mut wire), [request]);
    // Neither a request, nor a broadcast, nor an answer for another address or to another host,
    // nor one whose sender is not the sender of the frame.
    let other = Ipv4Addr::new(198, 18, 0, 3);
    for frame in [
        arp((EVIL_MAC, [0xff; 6]), 1, (EVIL_MAC, server), ([0; 6], CLIENT)),
        arp((EVIL_MAC, [0xff; 6]), 2, (EVIL_MAC, server), (CLIENT_MAC, CLIENT)),
        arp((EVIL_MAC, [0xff; 6]), 2, (EVIL_MAC, server), ([0xff; 6], server)),
        arp((EVIL_MAC, CLIENT_MAC), 2, (EVIL_MAC, other), (CLIENT_MAC, CLIENT)),
        arp((EVIL_MAC, CLIENT_MAC), 2, (EVIL_MAC, server), (CLIENT_MAC, other)),
        arp((EVIL_MAC, CLIENT_MAC), 2, (SERVER_MAC, server), (CLIENT_MAC, CLIENT)),
        arp((EVIL_MAC, CLIENT_MAC), 3, (EVIL_MAC, server), (CLIENT_MAC, CLIENT)),
        evil[..40].to_vec(),
    ] {
        wire.send(&frame);
        client.poll(clock.now());
        assert_eq!(client.count(Count::ArpLearnt), 0, "{frame:02x?}");
    }
    heard(&mut wire);
    wire.send(&arp((SERVER_MAC, CLIENT_MAC), 2, (SERVER_MAC, server), (CLIENT_MAC, CLIENT)));
    wire.send(&evil);
    client.poll(clock.now());
    assert_eq!(client.count(Count::ArpLearnt), 1);
    let frames = heard(&mut wire);
    assert_eq!(frames.len(), 1);
    assert_eq!((&frames[0][..6], frames[0][47]), (&SERVER_MAC[..], 0x02), "a SYN to the server");
    // A second connection goes where the first answer said.
    wire.send(&evil);
    client.connect(clock.now(), SERVER, 2).expect("room");
    client.poll(clock.now());
    assert_eq!(heard(&mut wire)[0][..6], SERVER_MAC);
    assert_eq!(client.queue().outstanding(), 0);
}
