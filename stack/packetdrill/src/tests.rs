//! The world without packetdrill: a peer that is written by hand, and two threads.

use crate::calls::{How, Stop, fail};
use crate::packet::{self, Flow, IpFields, Packet, Refused};
use crate::profile::{Layout, Profile};
use crate::shared::Shared;
use crate::world::{Fd, LOCAL, World};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::Duration;
use tcp::{Flags, Instant, OptionsOut, SegmentOut, Seq};

const OURS: SocketAddrV4 = SocketAddrV4::new(LOCAL, 8080);
const PEERS: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(192, 0, 2, 1), 40_000);
const MS: Duration = Duration::from_millis(1);

/// A segment of the peer's, whose initial number is zero.
fn segment(flags: Flags, seq: u32, ack: Seq) -> SegmentOut {
    SegmentOut { seq: Seq(seq), ack, flags, wnd: 60_000, ..SegmentOut::default() }
}

fn syn() -> SegmentOut {
    let options = OptionsOut { mss: Some(1000), sack_permitted: true, ..OptionsOut::default() };
    SegmentOut { options, ..segment(Flags::SYN, 0, Seq(0)) }
}

fn packet(segment: &SegmentOut, payload: &[u8]) -> Vec<u8> {
    let flow = Flow { local: PEERS, remote: OURS };
    packet::emit(&flow, segment, payload, Layout::Linux, IpFields::default())
}

fn hears(world: &mut World, segment: &SegmentOut, payload: &[u8]) {
    world.inject(&packet(segment, payload)).expect("the checksums are right");
}

/// What the peer hears next: flags, number, acknowledgement and payload.
fn says(world: &mut World) -> Option<(Flags, Seq, Seq, Vec<u8>)> {
    let (_, bytes) = world.sniff()?;
    let Packet::Tcp { flow, segment, payload } = packet::parse(&bytes).expect("it is good") else {
        panic!("only TCP is sent");
    };
    assert_eq!(flow, Flow { local: PEERS, remote: OURS });
    Some((segment.flags, segment.seq, segment.ack, payload.to_vec()))
}

fn listening() -> (World, Fd) {
    let mut world = World::new(Profile::linux(), None);
    let fd = world.socket(libc::AF_INET, libc::SOCK_STREAM, libc::IPPROTO_TCP).expect("a socket");
    world.bind(fd, OURS).expect("it is not bound");
    world.listen(fd, 1).expect("it is bound");
    (world, fd)
}

/// An accepted connection, and the number of our first byte.
fn accepted() -> (World, Fd, Seq) {
    let (mut world, listener) = listening();
    hears(&mut world, &syn(), &[]);
    let (flags, iss, ack, _) = says(&mut world).expect("a SYN-ACK");
    assert_eq!((flags, ack), (Flags::SYN | Flags::ACK, Seq(1)));
    assert_eq!(world.accept(listener), Err(Stop::Block));
    hears(&mut world, &segment(Flags::ACK, 1, iss + 1), &[]);
    let (fd, remote) = world.accept(listener).expect("the handshake is complete");
    assert_eq!(remote, PEERS);
    (world, fd, iss + 1)
}

fn receive(world: &mut World, fd: Fd) -> Result<Vec<u8>, Stop> {
    let mut buffer = vec![0; 10_000];
    let count = world.receive(fd, &mut buffer, 0)?;
    buffer.truncate(count);
    Ok(buffer)
}

#[test]
fn a_connection_from_its_beginning_to_its_end() {
    let (mut world, fd, ours) = accepted();
    hears(&mut world, &segment(Flags::ACK, 1, ours), b"ping");
    assert_eq!(receive(&mut world, fd), Ok(b"ping".to_vec()));
    assert_eq!(receive(&mut world, fd), Err(Stop::Block));
    assert_eq!(world.send(fd, b"pong", 0, &mut 0), Ok(4));
    let said = says(&mut world).expect("the answer");
    assert_eq!(said, (Flags::PSH | Flags::ACK, ours, Seq(5), b"pong".to_vec()));
    hears(&mut world, &segment(Flags::FIN | Flags::ACK, 5, ours + 4), &[]);
    assert_eq!(receive(&mut world, fd), Ok(Vec::new()));
    world.close(fd).expect("it is open");
    assert!(world.sockstat().contains("? 1 3 tcp4 198.18.0.2:8080 192.0.2.1:40000 LAST_ACK"));
    hears(&mut world, &segment(Flags::ACK, 6, ours + 5), &[]);
    assert!(!world.sockstat().contains("192.0.2.1"), "{}", world.sockstat());
    assert_eq!(world.close(fd), fail(libc::EBADF));
}

#[test]
fn bytes_out_of_order_are_read_in_order() {
    let (mut world, fd, ours) = accepted();
    let bytes: Vec<u8> = (0..=255).cycle().take(3000).collect();
    for (start, end) in [(2000, 3000), (500, 1200), (1000, 2500), (0, 600)] {
        let from = u32::try_from(start).expect("it is small") + 1;
        hears(&mut world, &segment(Flags::ACK, from, ours), &bytes[start..end]);
    }
    assert_eq!(receive(&mut world, fd), Ok(bytes));
}

#[test]
fn what_nobody_listens_for_is_reset_and_what_is_broken_is_refused() {
    let mut world = World::new(Profile::linux(), None);
    hears(&mut world, &segment(Flags::ACK, 17, Seq(34)), &[]);
    assert_eq!(says(&mut world), Some((Flags::RST, Seq(34), Seq(0), Vec::new())));
    let good = packet(&syn(), &[]);
    for place in 0..good.len() {
        let mut broken = good.clone();
        broken[place] ^= 0x10;
        assert!(world.inject(&broken).is_err(), "byte {place}");
    }
    assert_eq!(world.inject(&good[..19]), Err(Refused::Ip));
    assert_eq!(says(&mut world), None);
}

#[test]
fn the_clock_jumps_from_timer_to_timer() {
    let (mut world, _) = listening();
    hears(&mut world, &syn(), &[]);
    let start = world.now;
    let far = start + Duration::from_secs(1000);
    let mut sent = vec![Duration::ZERO];
    while world.step(far) {
        sent.extend((world.poll_timeout().is_some()).then(|| world.now - start));
    }
    let seconds: Vec<u64> = sent.iter().map(Duration::as_secs).collect();
    assert_eq!(seconds, [0, 1, 3, 7, 15, 31]);
    assert_eq!(std::iter::from_fn(|| says(&mut world)).count(), 6);
    assert_eq!(world.now, far);
}

#[test]
fn a_write_waits_for_room_and_a_shut_socket_takes_none() {
    let (mut world, fd, ours) = accepted();
    world
        .setsockopt(fd, libc::SOL_SOCKET, libc::SO_SNDBUF, &5000_i32.to_ne_bytes())
        .expect("it is a size");
    assert_eq!(world.getsockopt(fd, libc::SOL_SOCKET, libc::SO_SNDBUF), Ok(10_000));
    let (bytes, mut sent) = (vec![7; 12_000], 0);
    assert_eq!(world.send(fd, &bytes, 0, &mut sent), Err(Stop::Block));
    assert_eq!(world.events(fd, libc::POLLOUT), 0);
    hears(&mut world, &segment(Flags::ACK, 1, ours + 2000), &[]);
    assert_eq!(world.send(fd, &bytes, 0, &mut sent), Ok(12_000));
    world.shutdown(fd, How::Write).expect("it is open");
    assert_eq!(world.send(fd, &bytes, 0, &mut 0), fail(libc::EPIPE));
    assert_eq!(world.fcntl(fd, libc::F_SETFL, libc::O_NONBLOCK), Ok(0));
    assert_eq!(receive(&mut world, fd), fail(libc::EAGAIN));
}

/// The kinds of the options in a packet, in their order.
fn kinds(packet: &[u8]) -> Vec<u8> {
    let (mut rest, mut kinds) = (&packet[40..], Vec::new());
    while let [kind, tail @ ..] = rest {
        kinds.push(*kind);
        let len = if *kind <= 1 { 1 } else { usize::from(tail[0]) };
        rest = &rest[len..];
    }
    kinds
}

#[test]
fn a_syn_is_laid_out_as_its_system_does() {
    for (flags, expected) in [("linux", [2, 4, 8, 1, 3]), ("freebsd", [2, 1, 3, 4, 8])] {
        let profile = Profile::parse(flags).expect("it is a system");
        let mut world = World::new(profile, None);
        let fd = world.socket(libc::AF_INET, libc::SOCK_STREAM, 0).expect("a socket");
        world.connect(fd, PEERS).expect("it begins");
        let (_, bytes) = world.sniff().expect("a SYN");
        assert_eq!(kinds(&bytes), expected, "{flags}");
        assert!(packet::parse(&bytes).is_ok());
    }
}

/// Waits until the call of the other thread waits itself.
fn until_it_waits(shared: &Shared) {
    while !shared.is_waited_on() {
        std::thread::yield_now();
    }
}

#[test]
fn a_call_that_waits_returns_at_the_moment_it_waited_for() {
    let (world, listener) = listening();
    let shared = Shared::new(world, None);
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| {
            let result = shared.call(None, fail(0), |world| world.accept(listener));
            (result.map(|(_, remote)| remote), shared.time())
        });
        until_it_waits(&shared);
        shared.sleep(100 * MS);
        shared.inject(&packet(&syn(), &[])).expect("it is good");
        let (_, bytes) = shared.sniff().expect("a SYN-ACK");
        let Ok(Packet::Tcp { segment: syn_ack, .. }) = packet::parse(&bytes) else {
            panic!("not TCP");
        };
        shared.sleep(50 * MS);
        let opened = at(&shared);
        let ack = segment(Flags::ACK, 1, syn_ack.seq + 1);
        shared.inject(&packet(&ack, &[])).expect("it is good");
        // Whatever comes afterwards, the other thread has seen the time of its return.
        shared.sleep(1000 * MS);
        assert_eq!(waiting.join().expect("no panic"), (Ok(PEERS), opened));
    });
}

#[test]
fn a_call_with_a_time_out_returns_when_it_is_over() {
    let (world, listener) = listening();
    let shared = Shared::new(world, None);
    let start = at(&shared);
    let poll = |world: &mut World| match world.events(listener, libc::POLLIN) {
        0 => Err(Stop::Block),
        found => Ok(found),
    };
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| {
            let result = shared.call(Some(30 * MS), Ok(0), poll);
            (result, shared.time())
        });
        until_it_waits(&shared);
        shared.sleep(1000 * MS);
        assert_eq!(waiting.join().expect("no panic"), (Ok(0), start + 30 * MS));
    });
    // On the thread of the script the call moves the clock itself.
    assert_eq!(shared.call(Some(30 * MS), Ok(0), poll), Ok(0));
    assert_eq!(at(&shared), start + 1030 * MS);
    // What nothing can end is an error, rather than a test that hangs.
    assert_eq!(shared.call(None, fail(0), |world| world.accept(listener)), Err(libc::EDEADLK));
    assert_eq!(shared.sniff(), None);
}

/// The time, unmoved.
fn at(shared: &Shared) -> Instant {
    shared.call(None, fail(0), |world| Ok(world.now)).expect("it does not fail")
}

#[test]
fn what_is_still_to_be_read_is_told_and_the_end_is_one() {
    let (mut world, fd, next) = accepted();
    assert_eq!(world.unread_hint(fd), Ok(None), "nobody asked");
    world.setsockopt(fd, libc::IPPROTO_TCP, libc::TCP_INQ, &1_i32.to_ne_bytes()).expect("known");
    let text = segment(Flags::ACK | Flags::FIN, 1, next);
    hears(&mut world, &text, b"text");
    assert_eq!(world.unread_hint(fd), Ok(Some(4)));
    assert_eq!(receive(&mut world, fd), Ok(b"text".to_vec()));
    assert_eq!(world.unread_hint(fd), Ok(Some(1)));
}

#[test]
fn fragments_are_forbidden_unless_the_program_does_not_mind() {
    const DONT_FRAGMENT: u8 = 0x40;
    let (mut world, fd, _) = accepted();
    let on = 1_i32.to_ne_bytes();
    world.setsockopt(fd, libc::IPPROTO_TCP, libc::TCP_NODELAY, &on).expect("known");
    let mut flags_with = |mode: i32| {
        let mode = [u8::try_from(mode).expect("small")];
        world.setsockopt(fd, libc::IPPROTO_IP, libc::IP_MTU_DISCOVER, &mode).expect("known");
        assert_eq!(world.send(fd, b"text", 0, &mut 0), Ok(4));
        let (_, packet) = world.sniff().expect("a segment");
        packet[6]
    };
    assert_eq!(flags_with(libc::IP_PMTUDISC_DO), DONT_FRAGMENT);
    assert_eq!(flags_with(libc::IP_PMTUDISC_DONT), 0);
}
