//! One run of each test.

use super::super::clock::now_ns;
use super::super::dial;
use super::super::link::Io;
use super::super::sys;
use super::options::{Length, Options, Test};
use super::outcome::Counts;
use super::peer::{self, Peer};
use crate::samples::Samples;
use socket2::{Domain, Socket, Type};
use std::collections::VecDeque;
use std::fs;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::time::Duration;

/// Requests of TCP_MAERTS in flight: while one is answered, the next one waits at the server.
const MAERTS_IN_FLIGHT: usize = 2;

/// What every run of a test has in common.
pub(super) struct Setup<'a> {
    pub(super) options: &'a Options,
    pub(super) address: SocketAddr,
    pub(super) request: Vec<u8>,
    /// How long datagrams that are in flight at the end of a run are waited for, one after the
    /// other: those that have not come by then are lost.
    pub(super) loss_wait: Duration,
}

/// What a run found out besides its counts.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Found {
    pub(super) counts: Counts,
    /// Sizes of the socket's buffers: send, receive.
    pub(super) buffers: (usize, usize),
}

/// When a run ends.
struct Until {
    at_ns: u64,
    count: u64,
}

impl Until {
    fn new(length: Length, begin_ns: u64) -> Self {
        match length {
            Length::Time(time) => {
                let ns = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
                Self { at_ns: begin_ns.saturating_add(ns), count: u64::MAX }
            }
            Length::Count(count) => Self { at_ns: u64::MAX, count },
        }
    }

    fn is_over(&self, now_ns: u64, count: u64) -> bool {
        now_ns >= self.at_ns || count >= self.count
    }
}

/// Runs the test once; latencies go to `latency`.
///
/// # Errors
/// A sentence that says what went wrong, with the likely cause.
pub(super) fn run(setup: &Setup<'_>, latency: &mut Samples) -> Result<Found, String> {
    let usage = sys::usage();
    let remote_us = remote_us(setup.options)?;
    let mut found = match setup.options.test {
        Test::TcpCrr | Test::HttpCrr => connect_request_response(setup, latency)?,
        Test::TcpStream => stream(setup)?,
        Test::TcpMaerts => request_response(setup, MAERTS_IN_FLIGHT, latency)?,
        Test::TcpRr | Test::UdpRr | Test::HttpRr => {
            request_response(setup, setup.options.burst + 1, latency)?
        }
    };
    let after = sys::usage();
    found.counts.user_us = after.user_us - usage.user_us;
    found.counts.system_us = after.system_us - usage.system_us;
    found.counts.remote_us = match (remote_us, self::remote_us(setup.options)?) {
        // Less than before: a thread has ended and taken its time with it, so nothing is known.
        (Some(before), Some(after)) => after.checked_sub(before),
        _ => None,
    };
    Ok(found)
}

/// CPU time of the server's process in microseconds, all threads together
/// (kernel `sched-stats.rst`: the first field of `schedstat`, in nanoseconds).
fn remote_us(options: &Options) -> Result<Option<u64>, String> {
    let Some(pid) = options.server_pid else { return Ok(None) };
    let told = |error: std::io::Error| {
        format!("--server-pid {pid}: its CPU time cannot be read: {error}; does it run here?")
    };
    let mut total_ns = 0;
    for task in fs::read_dir(format!("/proc/{pid}/task")).map_err(told)? {
        let path = task.map_err(told)?.path().join("schedstat");
        let text = match fs::read_to_string(path) {
            // The thread has ended since the folder was read, and what it used is not known.
            Err(error) if matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ESRCH)) => {
                return Ok(None);
            }
            text => text.map_err(told)?,
        };
        let first = text.split_whitespace().next().and_then(|ns| ns.parse::<u64>().ok());
        total_ns +=
            first.ok_or_else(|| format!("--server-pid {pid}: its schedstat is no number"))?;
    }
    Ok(Some(total_ns / 1000))
}

fn request_response(
    setup: &Setup<'_>,
    in_flight: usize,
    latency: &mut Samples,
) -> Result<Found, String> {
    let mut buffer = peer::buffer();
    let mut peer = Peer::open(setup.options, setup.address, &setup.request, &mut buffer)?;
    let begin_ns = now_ns();
    let until = Until::new(setup.options.length, begin_ns);
    let mut begun_ns = VecDeque::with_capacity(in_flight);
    let mut completed = 0;
    let mut early = 0;
    for _ in 0..in_flight {
        begun_ns.push_back(now_ns());
        early += peer.send()?;
    }
    loop {
        let mut arrived = early + if early == 0 { peer.receive()? } else { 0 };
        early = 0;
        let mut now_at_ns = now_ns();
        while arrived > 0 {
            arrived -= 1;
            let Some(sent_ns) = begun_ns.pop_front() else {
                return Err("more came back than was asked for".to_owned());
            };
            latency.record(now_at_ns - sent_ns);
            completed += 1;
            let amount =
                if setup.options.test.is_stream() { peer.received_bytes } else { completed };
            if until.is_over(now_at_ns, amount) {
                let awaited = begun_ns.len() as u64 - arrived - early;
                let counts = Counts {
                    elapsed_ns: now_at_ns - begin_ns,
                    transactions: completed,
                    sent_bytes: peer.sent_bytes,
                    received_bytes: peer.received_bytes,
                    connections: 1,
                    retransmitted: peer.retransmitted(),
                    lost: peer.lost(awaited, setup.loss_wait)?,
                    ..Counts::default()
                };
                return Ok(Found { counts, buffers: peer.buffers() });
            }
            begun_ns.push_back(now_at_ns);
            early += peer.send()?;
            if arrived > 0 {
                // Those that arrived together are sent again one by one, each from its own time.
                now_at_ns = now_ns();
            }
        }
    }
}

fn connect_request_response(setup: &Setup<'_>, latency: &mut Samples) -> Result<Found, String> {
    let mut buffer = peer::buffer();
    let begin_ns = now_ns();
    let until = Until::new(setup.options.length, begin_ns);
    let mut found = Found::default();
    let mut from_ns = begin_ns;
    loop {
        let mut peer = Peer::open(setup.options, setup.address, &setup.request, &mut buffer)?;
        let mut arrived = peer.send()?;
        while arrived == 0 {
            arrived = peer.receive()?;
        }
        if arrived > 1 {
            return Err("more came back than was asked for".to_owned());
        }
        found.counts.connections += 1;
        found.counts.transactions += 1;
        found.counts.sent_bytes += peer.sent_bytes;
        found.counts.received_bytes += peer.received_bytes;
        if found.counts.connections == 1 {
            found.buffers = peer.buffers();
        }
        peer.close()?;
        let now_at_ns = now_ns();
        latency.record(now_at_ns - from_ns);
        from_ns = now_at_ns;
        if until.is_over(now_at_ns, found.counts.transactions) {
            found.counts.elapsed_ns = now_at_ns - begin_ns;
            return Ok(found);
        }
    }
}

/// Sends all that goes, and reads all that comes back: what has come back was carried both ways.
fn stream(setup: &Setup<'_>) -> Result<Found, String> {
    let options = setup.options;
    let told = |error: std::io::Error| match error.kind() {
        ErrorKind::TimedOut => {
            format!("nothing moved within {:?} (--timeout): does the server read?", options.timeout)
        }
        _ => format!("{} failed: {error}", options.test.name()),
    };
    let socket = Socket::new(Domain::for_address(setup.address), Type::STREAM, None);
    let socket = socket.map_err(told)?;
    socket.set_tcp_nodelay(options.nodelay).map_err(told)?;
    dial::connect(&socket, setup.address)?;
    socket.set_nonblocking(true).map_err(told)?;
    let message: Vec<u8> = (b'a'..=b'z').cycle().take(options.message).collect();
    let mut buffer = peer::buffer();
    let io = Io::Socket { socket, to: None };
    let begin_ns = now_ns();
    let until = Until::new(options.length, begin_ns);
    let mut counts = Counts { connections: 1, ..Counts::default() };
    loop {
        let sent = transient(io.send(&message, false)).map_err(told)?;
        counts.sent_bytes += sent.unwrap_or(0) as u64;
        let received = transient(io.receive(&mut buffer)).map_err(told)?;
        if received == Some(0) {
            return Err("the server closed the connection: does it echo (--service echo)?".into());
        }
        counts.received_bytes += received.unwrap_or(0) as u64;
        let now_at_ns = now_ns();
        if until.is_over(now_at_ns, counts.received_bytes) {
            counts.elapsed_ns = now_at_ns - begin_ns;
            break;
        }
        if sent.is_none() && received.is_none() {
            io.wait(options.timeout).map_err(told)?;
        }
    }
    let Io::Socket { socket, .. } = &io else { return Err("a stream is a socket".to_owned()) };
    counts.retransmitted = sys::retransmitted(socket.as_fd()).map_err(told)?.into();
    let send_buffer = socket.send_buffer_size().map_err(told)?;
    let buffers = (send_buffer, socket.recv_buffer_size().map_err(told)?);
    Ok(Found { counts, buffers })
}

/// `None` where there is nothing to be had, or no room, at the moment.
fn transient(result: std::io::Result<usize>) -> std::io::Result<Option<usize>> {
    match result {
        Ok(count) => Ok(Some(count)),
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}
