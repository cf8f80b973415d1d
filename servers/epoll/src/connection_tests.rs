//! A connection over loopback, driven turn by turn with a clock of our own.

use super::*;
use crate::sys::Event;
use crate::sys::tests::pair;
use crate::worker::Sending;
use server_common::{PatternFile, Service};
use server_http::{Date, Limits};
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;

/// A client, the server's connection, and what a thread would have.
struct World {
    client: TcpStream,
    /// The server's end once more, to see what has arrived without taking it.
    arrived: TcpStream,
    connection: Connection,
    buffers: Buffers,
}

fn at(monotonic_ns: u64) -> Now {
    Now { monotonic_ns, date: Date::from_unix_seconds(0) }
}

impl World {
    fn new(service: Service, limits: Limits) -> Self {
        Self::sending_from(usize::MAX, service, limits)
    }

    /// Bodies of so many bytes or more are sent from the file.
    fn sending_from(sendfile_bytes: usize, service: Service, limits: Limits) -> Self {
        let limits: &'static Limits = Box::leak(Box::new(limits));
        let (client, socket) = pair();
        let arrived = TcpStream::from(socket.try_clone().expect("a descriptor is free"));
        let protocol = Protocol::new(service, limits, 0);
        let mut connection = Connection::new(socket, protocol, &at(0));
        let pattern = PatternFile::new().expect("memory is left");
        let sending = Sending { pattern, sendfile_bytes, quick_ack: false };
        let mut buffers = Buffers::new(Arc::default(), limits, sending);
        // As after accept: the first turn finds nothing and learns the first time-out.
        assert!(matches!(connection.turn(&mut buffers, &at(0)), Turn::Wait));
        Self { client, arrived, connection, buffers }
    }

    /// Sends from the client, and returns when all of it has arrived.
    fn send(&mut self, bytes: &[u8]) {
        self.client.write_all(bytes).expect("taken");
        let mut seen = vec![0; bytes.len()];
        while self.arrived.peek(&mut seen).unwrap_or(0) < bytes.len() {
            std::thread::yield_now();
        }
    }

    /// Sends the client's FIN, and returns when it has arrived.
    fn finish(&mut self) {
        self.client.shutdown(Shutdown::Write).expect("connected");
        let epoll = Epoll::new().expect("a descriptor is free");
        epoll.add(self.arrived.as_fd(), 0, RDHUP).expect("not yet there");
        assert_eq!(epoll.wait(&mut [Event::NONE], 60_000).expect("valid"), 1);
    }

    /// Has a non-blocking client send, and take nothing back, until the kernel refuses our output.
    fn fill(&mut self, now_ns: u64) {
        while !self.connection.has_output() {
            let _full = self.client.write(&[7; 1 << 16]);
            self.connection.hear(IN);
            assert!(!matches!(self.turn(now_ns), Turn::Ended(_)));
        }
    }

    fn turn(&mut self, now_ns: u64) -> Turn {
        self.connection.turn(&mut self.buffers, &at(now_ns))
    }

    fn received_bytes(&self) -> u64 {
        self.buffers.counters.received_bytes.value()
    }
}

#[test]
fn a_turn_is_bounded_and_says_that_there_is_more() {
    let mut world = World::new(Service::Echo, Limits::DEFAULT);
    world.buffers.input = vec![0; 10].into_boxed_slice();
    world.send(&[7; 10 * (2 * STEPS_PER_TURN + 1)]);
    world.connection.hear(IN);
    for turns in 1..=2 {
        assert!(matches!(world.turn(0), Turn::Again));
        assert_eq!(world.received_bytes(), (10 * STEPS_PER_TURN * turns) as u64);
    }
    assert!(matches!(world.turn(0), Turn::Wait));
    assert_eq!(world.received_bytes(), 10 * (2 * STEPS_PER_TURN as u64 + 1));
}

#[test]
fn data_and_fin_told_together_end_in_one_turn() {
    let mut world = World::new(Service::Echo, Limits::DEFAULT);
    world.send(b"last words");
    world.finish();
    world.connection.hear(IN | RDHUP);
    assert!(matches!(world.turn(0), Turn::Ended(Ended::Closed(Reason::PeerClosed))));
    assert_eq!(world.buffers.counters.sent_bytes.value(), 10);
}

#[test]
fn a_fin_that_comes_after_the_event_is_not_guessed() {
    let mut world = World::new(Service::Echo, Limits::DEFAULT);
    world.send(b"first");
    world.connection.hear(IN);
    assert!(matches!(world.turn(0), Turn::Wait));
    world.finish();
    assert!(matches!(world.turn(0), Turn::Wait), "no event, no receive");
    world.connection.hear(IN | RDHUP);
    assert!(matches!(world.turn(0), Turn::Ended(Ended::Closed(Reason::PeerClosed))));
}

#[test]
fn refused_output_stops_the_input_and_times_out_from_the_last_progress() {
    let quarter_ns = nanoseconds(Limits::DEFAULT.send_timeout) / 4;
    let mut world = World::new(Service::Echo, Limits::DEFAULT);
    world.client.set_nonblocking(true).expect("an option of sockets");
    world.fill(0);
    let before = world.received_bytes();
    world.connection.hear(IN);
    assert!(matches!(world.turn(1), Turn::Wait));
    assert_eq!(world.received_bytes(), before, "nothing is received while output waits");
    let waiting = world.connection.output.len() - world.connection.output_sent;
    assert!(waiting <= world.buffers.limits.output_bytes);
    assert_eq!(world.connection.deadline_ns(), quarter_ns);
    assert!(matches!(world.turn(quarter_ns), Turn::Wait));
    // The client takes some: the time-out starts anew.
    let acknowledged = |world: &World| acknowledged_bytes(world.arrived.as_fd()).expect("TCP");
    let before = acknowledged(&world);
    while acknowledged(&world) == before {
        let _empty = world.client.read(&mut [0; 1 << 12]);
    }
    assert!(!matches!(world.turn(2 * quarter_ns), Turn::Ended(_)));
    world.fill(2 * quarter_ns);
    let over_at = |quarters: u64| (quarters * quarter_ns, quarters);
    let over = (3..20).map(over_at).find(|(now_ns, _)| match world.turn(*now_ns) {
        Turn::Ended(how) => matches!(how, Ended::SendTimeout),
        Turn::Wait | Turn::Again => false,
    });
    // Four quarters later, or five if all that had waited was taken and other output waits now.
    let (_, quarters) = over.expect("the time-out comes");
    assert!((6..=7).contains(&quarters), "{quarters}");
}

const REFUSED: &[u8] = b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n";

fn lingering(limits: Limits) -> World {
    let mut world = World::new(Service::Http, limits);
    world.send(REFUSED);
    world.connection.hear(IN);
    assert!(matches!(world.turn(0), Turn::Wait));
    let mut answer = Vec::new();
    world.client.read_to_end(&mut answer).expect("a FIN follows at once");
    assert!(answer.starts_with(b"HTTP/1.1 400 "), "{:?}", String::from_utf8_lossy(&answer));
    world
}

#[test]
fn lingering_ends_by_time() {
    let mut world = lingering(Limits::DEFAULT);
    let until_ns = nanoseconds(Limits::DEFAULT.linger_timeout);
    assert_eq!(world.connection.deadline_ns(), until_ns);
    assert!(matches!(world.turn(until_ns - 1), Turn::Wait));
    assert!(matches!(world.turn(until_ns), Turn::Ended(Ended::Closed(Reason::Refused))));
}

#[test]
fn lingering_ends_by_volume() {
    let mut world = lingering(Limits { linger_bytes: 100, ..Limits::DEFAULT });
    world.send(&[7; 99]);
    world.connection.hear(IN);
    assert!(matches!(world.turn(1), Turn::Wait));
    world.send(&[7; 50]);
    world.connection.hear(IN);
    assert!(matches!(world.turn(1), Turn::Ended(Ended::Closed(Reason::Refused))));
    assert_eq!(world.received_bytes(), REFUSED.len() as u64 + 100, "not a byte beyond the bound");
}

#[test]
fn lingering_ends_with_the_client() {
    let mut world = lingering(Limits::DEFAULT);
    world.finish();
    world.connection.hear(IN | RDHUP);
    assert!(matches!(world.turn(1), Turn::Ended(Ended::Closed(Reason::Refused))));
}

#[test]
fn an_idle_connection_owns_no_buffer() {
    let mut world = World::new(Service::Http, Limits::DEFAULT);
    world.send(b"GET /plaintext HTTP/1.1\r\nHo");
    world.connection.hear(IN);
    assert!(matches!(world.turn(0), Turn::Wait));
    assert_eq!(world.connection.input, b"GET /plaintext HTTP/1.1\r\nHo");
    world.send(b"st: x\r\n\r\n");
    world.connection.hear(IN);
    assert!(matches!(world.turn(0), Turn::Wait));
    assert_eq!(world.buffers.counters.responses.value(), 1);
    assert_eq!((world.connection.input.capacity(), world.connection.output.capacity()), (0, 0));
}

/// What a client gets for bodies before, at and behind the bound, with other answers between them.
fn answers(sendfile_bytes: usize) -> Vec<u8> {
    let mut world = World::sending_from(sendfile_bytes, Service::Http, Limits::DEFAULT);
    let paths = ["/plaintext", "/bytes/3000000", "/bytes/999", "/bytes/1000", "/json"];
    let requests = paths.map(|path| format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n")).concat();
    world.send(requests.as_bytes());
    world.client.shutdown(Shutdown::Write).expect("connected");
    let mut client = world.client.try_clone().expect("a descriptor is free");
    let reading = std::thread::spawn(move || {
        let mut bytes = Vec::new();
        client.read_to_end(&mut bytes).expect("a clean end");
        bytes
    });
    let epoll = Epoll::new().expect("a descriptor is free");
    epoll.add(world.arrived.as_fd(), 0, CONNECTION).expect("not yet there");
    let mut events = [Event::NONE];
    loop {
        match world.turn(1) {
            Turn::Ended(how) => {
                let World { connection, mut buffers, arrived, .. } = world;
                connection.end(how, &mut buffers).expect("nothing to refuse");
                drop(arrived);
                return reading.join().expect("no panic");
            }
            Turn::Again => {}
            Turn::Wait => {
                assert_eq!(epoll.wait(&mut events, 60_000).expect("valid"), 1, "it hangs");
                world.connection.hear(events[0].bits());
            }
        }
    }
}

#[test]
fn bodies_from_the_file_are_the_bytes_that_would_be_copied() {
    let copied = answers(usize::MAX);
    assert!(copied.len() > 3_001_999, "{}", copied.len());
    for sendfile_bytes in [1, 1000, 1 << 20] {
        assert!(answers(sendfile_bytes) == copied, "sendfile from {sendfile_bytes} bytes on");
    }
}
