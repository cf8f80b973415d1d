//! One thread: its ring, its listener, its connections, and the loop over them.

use crate::connection::{Connection, Io, Sending};
use crate::counters::RingCounters;
use crate::output::Pool;
use crate::ring::{Asked, Completion, ConnId, DATAGRAM_SLOTS, Received, Ring, Socket};
use crate::table::Table;
use crate::timers::{Timer, Timers};
use server_common::{
    Admission, Clock, Counters, Endpoint, Protocol, Service, Shutdown, Wait, count_answer,
    is_out_of_descriptors, sys,
};
use server_http::Limits;
use std::io;
use std::net::{TcpListener, UdpSocket};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

/// Pause before the next accept after one failed for want of descriptors or memory, unless a
/// connection of this thread closes before.
const ACCEPT_PAUSE_NS: u64 = 250_000_000;
/// What the kernel gets after the drain's deadline to give back the operations of connections cut.
const CUT_GRACE_NS: u64 = 1_000_000_000;

/// What all threads are told.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    pub(crate) asked: Asked,
    pub(crate) wait: Wait,
    pub(crate) service: Service,
    pub(crate) limits: &'static Limits,
    pub(crate) sending: Sending,
    pub(crate) admission: Admission,
    pub(crate) drain_timeout: Duration,
}

/// What one thread writes and others read.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) counters: Arc<Counters>,
    pub(crate) ring_counters: Arc<RingCounters>,
    pub(crate) shutdown: Shutdown,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Accept {
    Running,
    /// Out of descriptors: waits for a timer or a connection's end.
    Paused,
    /// Draining.
    Over,
}

/// The state of one thread.
pub(crate) struct UringWorker {
    config: Config,
    shutdown: Shutdown,
    listener: Option<OwnedFd>,
    /// There with `--service echo`.
    datagrams: Option<UdpSocket>,
    accept: Accept,
    drain_until_ns: Option<u64>,
    is_cut: bool,
    table: Table<Connection>,
    io: Io,
}

impl UringWorker {
    /// Opens the ring of the calling thread and starts accepting and receiving on `endpoint`.
    ///
    /// # Errors
    /// A sentence that names what io_uring lacks and the cure.
    pub(crate) fn new(config: Config, endpoint: Endpoint, shared: Shared) -> io::Result<Self> {
        let mut ring = Ring::open(config.asked, Arc::clone(&shared.ring_counters))?;
        let listener = prepare(endpoint.listener)?;
        ring.await_shutdown(shared.shutdown.event());
        ring.accept(listener.as_fd());
        if let Some(socket) = &endpoint.datagrams {
            // As with the listener, it is the ring that waits.
            socket.set_nonblocking(false)?;
            for slot in 0..DATAGRAM_SLOTS {
                ring.make_room()?;
                ring.receive_datagram(slot, socket.as_fd());
            }
        }
        let clock = Clock::new();
        let timers = Timers::new(clock.now().monotonic_ns);
        let io = Io {
            ring,
            pool: Pool::new(),
            clock,
            timers,
            limits: config.limits,
            sending: config.sending.clone(),
            counters: shared.counters,
            ring_counters: shared.ring_counters,
        };
        Ok(Self {
            config,
            shutdown: shared.shutdown,
            listener: Some(listener),
            datagrams: endpoint.datagrams,
            accept: Accept::Running,
            drain_until_ns: None,
            is_cut: false,
            table: Table::new(),
            io,
        })
    }

    /// What the ready line says about the ring.
    pub(crate) fn details(&self) -> server_common::Details {
        self.io.ring.details(self.config.asked)
    }

    /// Serves until the shutdown is requested and every connection is gone.
    ///
    /// # Errors
    /// Whatever `io_uring_enter` returns.
    pub(crate) fn run(mut self) -> io::Result<()> {
        while !self.is_done() {
            match self.config.wait {
                Wait::Spin => {
                    self.io.ring.poll()?;
                    std::hint::spin_loop();
                }
                Wait::Block | Wait::BusyPoll(_) | Wait::Suspend(_) => {
                    let timeout = self.timeout();
                    self.io.ring.submit_and_wait(timeout)?;
                }
            }
            self.io.clock.tick();
            let reaped = self.io.ring.reap();
            if self.config.wait == Wait::Spin {
                self.io.counters.count_poll(reaped > 0);
            }
            for _ in 0..reaped {
                self.io.ring.make_room()?;
                let completion = self.io.ring.next().expect("as many were reaped");
                self.handle(completion)?;
            }
            self.fire_timers()?;
            self.enforce_deadline()?;
        }
        self.abandon()?;
        // The last closes are still in the queue.
        self.io.ring.submit()
    }

    fn now_ns(&self) -> u64 {
        self.io.clock.now().monotonic_ns
    }

    /// Whether the shutdown was requested and nothing is left, or nothing moves any more.
    fn is_done(&self) -> bool {
        self.drain_until_ns.is_some_and(|until_ns| {
            let nothing_left = self.listener.is_none() && self.table.len() == 0;
            nothing_left || self.is_cut && self.now_ns() >= until_ns + CUT_GRACE_NS
        })
    }

    /// How long to wait for completions at most.
    fn timeout(&self) -> Option<Duration> {
        let deadline_ns = self
            .drain_until_ns
            .map(|until_ns| if self.is_cut { until_ns + CUT_GRACE_NS } else { until_ns });
        let due_ns = [self.io.timers.next_tick_ns(), deadline_ns].into_iter().flatten().min()?;
        Some(Duration::from_nanos(due_ns.saturating_sub(self.now_ns())))
    }

    fn handle(&mut self, completion: Completion) -> io::Result<()> {
        match completion {
            Completion::Accepted { result, more } => self.handle_accepted(result, more),
            Completion::Received { id, result, more } => {
                if let Some(connection) = self.table.get_mut(id) {
                    connection.handle_received(result, more, &mut self.io);
                    self.bury_if_gone(id);
                } else {
                    self.drop_stale(result);
                }
            }
            Completion::Sent { id, result, outgoing } => {
                if let Some(connection) = self.table.get_mut(id) {
                    connection.handle_sent(result, outgoing, &mut self.io);
                    self.bury_if_gone(id);
                } else {
                    self.io.ring_counters.stale_completions.add(1);
                    self.io.pool.put_back(outgoing.bytes);
                }
            }
            Completion::DatagramReceived { slot, result } => {
                self.handle_datagram_received(slot, result);
            }
            Completion::DatagramSent { slot, result } => {
                count_answer(result, &self.io.counters);
                self.receive_datagram(slot);
            }
            Completion::Shutdown => self.start_drain()?,
        }
        Ok(())
    }

    fn handle_datagram_received(&mut self, slot: u32, result: io::Result<usize>) {
        let counters = &self.io.counters;
        match (result, &self.datagrams) {
            (Ok(count), Some(socket)) => {
                counters.datagrams_received.add(1);
                counters.received_bytes.add(count as u64);
                // Draining as well: it came before the end was known.
                self.io.ring.send_datagram(slot, count, socket.as_fd());
            }
            _ if self.drain_until_ns.is_some() => {}
            _ => {
                counters.datagram_errors.add(1);
                self.receive_datagram(slot);
            }
        }
    }

    /// Receives the next datagram into a slot that is free, unless it drains.
    fn receive_datagram(&mut self, slot: u32) {
        if let (Some(socket), None) = (&self.datagrams, self.drain_until_ns) {
            self.io.ring.receive_datagram(slot, socket.as_fd());
        }
    }

    fn drop_stale(&mut self, result: io::Result<Received>) {
        self.io.ring_counters.stale_completions.add(1);
        if let Ok(Received::Data(buffer)) = result {
            self.io.ring.give_back(buffer);
        }
    }

    fn handle_accepted(&mut self, result: io::Result<Socket>, more: bool) {
        let mut pause = false;
        match result {
            Ok(socket) => self.open(socket),
            Err(_) if self.accept == Accept::Over => {}
            Err(error) if is_out_of_descriptors(&error) => {
                self.io.counters.accept_no_descriptors.add(1);
                pause = true;
            }
            Err(error) => {
                self.io.counters.accept_errors.add(1);
                pause = !is_of_one_connection(&error);
            }
        }
        if more {
            return;
        }
        match self.accept {
            Accept::Over => self.listener = None,
            _ if pause => {
                self.accept = Accept::Paused;
                let now_ns = self.now_ns();
                self.io.timers.retry_accept(now_ns + ACCEPT_PAUSE_NS);
            }
            _ => self.start_accept(),
        }
    }

    fn start_accept(&mut self) {
        if let Some(listener) = &self.listener {
            self.io.ring.accept(listener.as_fd());
            self.accept = Accept::Running;
        }
    }

    fn open(&mut self, socket: Socket) {
        if !self.config.admission.admit() {
            self.io.counters.connections_refused.add(1);
            return self.io.ring.close(socket);
        }
        self.io.counters.connections_accepted.add(1);
        let now_ns = self.now_ns();
        let protocol = Protocol::new(self.config.service, self.config.limits, now_ns);
        let io = &mut self.io;
        let id = self.table.insert(|id| Connection::new(id, socket, protocol, io));
        if self.drain_until_ns.is_some() {
            self.with(id, Connection::drain);
        }
    }

    /// Does something with a connection, and buries it if that was the end.
    fn with(&mut self, id: ConnId, act: impl FnOnce(&mut Connection, &mut Io)) {
        if let Some(connection) = self.table.get_mut(id) {
            act(connection, &mut self.io);
            self.bury_if_gone(id);
        }
    }

    fn bury_if_gone(&mut self, id: ConnId) {
        if !self.table.get_mut(id).is_some_and(|connection| connection.is_gone()) {
            return;
        }
        if let Some(connection) = self.table.remove(id) {
            connection.bury(&mut self.io);
            self.config.admission.leave();
            if self.accept == Accept::Paused {
                // The close comes first in the queue, so there is a descriptor again.
                self.start_accept();
            }
        }
    }

    fn fire_timers(&mut self) -> io::Result<()> {
        let now_ns = self.now_ns();
        self.io.timers.advance(now_ns);
        while let Some(timer) = self.io.timers.next(now_ns) {
            self.io.ring.make_room()?;
            match timer {
                Timer::Slot(slot) => {
                    if let Some((id, _)) = self.table.in_slot(slot) {
                        self.with(id, Connection::handle_timer);
                    }
                }
                Timer::Accept if self.accept == Accept::Paused => self.start_accept(),
                Timer::Accept => {}
            }
        }
        Ok(())
    }

    /// Stops accepting; idle connections close, others after the response in flight.
    fn start_drain(&mut self) -> io::Result<()> {
        debug_assert!(
            self.shutdown.is_requested(),
            "nobody reads the event, nobody else writes it"
        );
        let timeout_ns = u64::try_from(self.config.drain_timeout.as_nanos()).unwrap_or(u64::MAX);
        self.drain_until_ns = Some(self.now_ns().saturating_add(timeout_ns));
        if self.accept == Accept::Running {
            self.io.ring.cancel_accept();
        } else {
            self.listener = None;
        }
        self.accept = Accept::Over;
        if let Some(socket) = &self.datagrams {
            self.io.ring.cancel_datagrams(socket.as_fd());
        }
        self.with_each(Connection::drain)
    }

    /// Cuts off what is still busy when the drain's deadline has passed.
    fn enforce_deadline(&mut self) -> io::Result<()> {
        match self.drain_until_ns {
            Some(until_ns) if !self.is_cut && self.now_ns() >= until_ns => {
                self.is_cut = true;
                self.with_each(Connection::cut)
            }
            _ => Ok(()),
        }
    }

    /// Lets go of connections whose operations the kernel has not given back in time.
    fn abandon(&mut self) -> io::Result<()> {
        for id in self.table.ids() {
            self.io.ring.make_room()?;
            if let Some(connection) = self.table.remove(id) {
                connection.bury(&mut self.io);
            }
        }
        Ok(())
    }

    fn with_each(&mut self, act: fn(&mut Connection, &mut Io)) -> io::Result<()> {
        for id in self.table.ids() {
            self.io.ring.make_room()?;
            self.with(id, act);
        }
        Ok(())
    }
}

/// Puts the listener in blocking mode, where the ring waits for connections, and sets TCP_NODELAY,
/// which accepted sockets inherit.
fn prepare(listener: OwnedFd) -> io::Result<OwnedFd> {
    sys::set_option(listener.as_fd(), libc::IPPROTO_TCP, libc::TCP_NODELAY, 1)?;
    let listener = TcpListener::from(listener);
    listener.set_nonblocking(false)?;
    Ok(listener.into())
}

/// Whether an accept failed because of the connection it would have brought, and the next one may
/// be fine (accept(2), "Error handling").
fn is_of_one_connection(error: &io::Error) -> bool {
    let errors = [libc::ECONNABORTED, libc::EPROTO, libc::EPERM, libc::EINTR, libc::ENETDOWN];
    error.raw_os_error().is_some_and(|errno| errors.contains(&errno))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ring::{Bytes, Files, Outgoing, Receive, Taskrun};
    use server_common::PatternFile;
    use std::net::Ipv4Addr;

    fn worker() -> UringWorker {
        let config = Config {
            asked: Asked {
                taskrun: Taskrun::Defer,
                receive: Receive::Multishot,
                napi: None,
                sqpoll: None,
                min_wait: None,
                send_zc_bytes: None,
                files: Files::Plain,
                places: 0,
            },
            wait: Wait::Block,
            service: Service::Http,
            limits: &Limits::DEFAULT,
            sending: Sending {
                pattern: PatternFile::new().expect("memory is left"),
                sendfile_bytes: None,
            },
            admission: Admission::new(10),
            drain_timeout: Duration::from_secs(1),
        };
        let shared = Shared {
            counters: Arc::default(),
            ring_counters: Arc::default(),
            shutdown: Shutdown::new().expect("descriptors are free"),
        };
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("loopback is free");
        let endpoint = Endpoint { listener: listener.into(), datagrams: None };
        UringWorker::new(config, endpoint, shared).expect("this kernel has io_uring")
    }

    fn socket() -> Socket {
        let (near, far) = std::os::unix::net::UnixStream::pair().expect("descriptors are free");
        // The peer is gone: that is as good as any connection here.
        drop(near);
        Socket::Descriptor(far.into())
    }

    #[test]
    fn completions_of_a_connection_that_is_gone_miss_its_successor() {
        let mut worker = worker();
        worker.open(socket());
        let gone = worker.table.ids()[0];
        worker.table.remove(gone);
        worker.open(socket());
        let successor = worker.table.ids()[0];
        assert_eq!(gone.slot(), successor.slot());

        let outgoing = Outgoing::new(Bytes::Buffer(b"late".to_vec()));
        let sent = Completion::Sent { id: gone, result: Ok(4), outgoing };
        worker.handle(sent).expect("the ring works");
        let ended = Completion::Received { id: gone, result: Ok(Received::End), more: false };
        worker.handle(ended).expect("the ring works");
        assert_eq!(worker.io.ring_counters.stale_completions.value(), 2);
        assert_eq!(worker.io.counters.sent_bytes.value(), 0);
        let connection = worker.table.get_mut(successor).expect("nothing has happened to it");
        assert!(!connection.is_gone());
    }

    #[test]
    fn an_accept_out_of_descriptors_waits_for_its_timer_and_another_failure_does_not() {
        let check = |errno: i32, expect: Accept| {
            let mut worker = worker();
            worker.handle_accepted(Err(io::Error::from_raw_os_error(errno)), false);
            assert_eq!(worker.accept, expect, "errno {errno}");
            assert_eq!(worker.io.timers.next_tick_ns().is_some(), expect == Accept::Paused);
        };
        check(libc::EMFILE, Accept::Paused);
        check(libc::ENFILE, Accept::Paused);
        check(libc::ENOMEM, Accept::Paused);
        check(libc::ECONNABORTED, Accept::Running);
    }

    #[test]
    fn a_connection_that_ends_resumes_a_paused_accept() {
        let mut worker = worker();
        worker.open(socket());
        worker.handle_accepted(Err(io::Error::from_raw_os_error(libc::EMFILE)), false);
        assert_eq!(worker.accept, Accept::Paused);
        let id = worker.table.ids()[0];
        worker.with(id, Connection::cut);
        let cancelled = Err(io::Error::from_raw_os_error(libc::ECANCELED));
        let over = Completion::Received { id, result: cancelled, more: false };
        worker.handle(over).expect("the ring works");
        assert_eq!((worker.table.len(), worker.accept), (0, Accept::Running));
    }
}
