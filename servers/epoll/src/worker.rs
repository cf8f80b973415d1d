//! One thread: its listener, its connections, its loop.

use crate::buffers::Buffers;
use crate::connection::{Connection, Ended, Turn};
use crate::counters::EpollCounters;
use crate::slab::{Key, Slab};
use crate::sys::{self, Epoll, Event, IN};
use crate::waiting;
use server_common::{
    Admission, Clock, Counters, DatagramEcho, Details, Endpoint, PatternFile, Protocol, Service,
    Shutdown, TimerWheel, Wait, is_out_of_descriptors,
};
use server_http::Limits;
use std::collections::VecDeque;
use std::io::{self, ErrorKind};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

/// Events taken by one call.
const EVENTS_PER_WAIT: usize = 512;
/// Connections accepted in one turn of the loop; the others wait in the backlog.
const ACCEPTS_PER_TURN: usize = 64;
/// Pause of the listener after an accept that would fail again at once.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The listener's key.
const LISTENER: u64 = Key::LIMIT;
/// The shutdown event's key.
const SHUTDOWN: u64 = Key::LIMIT + 1;

/// The UDP socket's key.
const DATAGRAMS: u64 = Key::LIMIT + 2;

/// What all threads are set up with.
#[derive(Clone)]
pub(crate) struct Setup {
    pub(crate) service: Service,
    pub(crate) limits: &'static Limits,
    pub(crate) wait: Wait,
    pub(crate) admission: Admission,
    pub(crate) drain_timeout: Duration,
    pub(crate) sending: Sending,
}

/// How bytes are sent and acknowledged.
#[derive(Clone)]
pub(crate) struct Sending {
    /// The body of `/bytes/N`, for `sendfile`.
    pub(crate) pattern: PatternFile,
    /// It is used where so many bytes or more are left.
    pub(crate) sendfile_bytes: usize,
    /// Acknowledge what was received at once, not with the answer.
    pub(crate) quick_ack: bool,
}

/// One thread's state.
pub(crate) struct Worker {
    setup: Setup,
    epoll: Epoll,
    /// `None` once it drains.
    listener: Option<OwnedFd>,
    /// There with `--service echo`, until it drains.
    datagrams: Option<DatagramEcho>,
    /// Accepting would fail now: the listener is not watched until then.
    accept_paused_until_ns: Option<u64>,
    connections: Slab<Connection>,
    /// Connections that could go on when their turn was over.
    ready: VecDeque<Key>,
    wheel: TimerWheel<Key>,
    fired: Vec<Key>,
    clock: Clock,
    buffers: Buffers,
    counters: Arc<EpollCounters>,
    details: Details,
    /// The time at which what is still open is cut off; set while draining.
    drain_until_ns: Option<u64>,
}

impl Worker {
    /// Sets a thread up: the sockets of `endpoint` are watched from here on.
    pub(crate) fn new(
        setup: Setup,
        endpoint: Endpoint,
        shutdown: &Shutdown,
        (common, counters): (Arc<Counters>, Arc<EpollCounters>),
    ) -> io::Result<Self> {
        let epoll = Epoll::new()?;
        waiting::set_busy_poll(&epoll, setup.wait)?;
        let Endpoint { listener, datagrams } = endpoint;
        let datagrams = datagrams.map(DatagramEcho::new);
        if let Some(echo) = &datagrams {
            epoll.add(echo.socket().as_fd(), DATAGRAMS, IN)?;
        }
        sys::set_no_delay(listener.as_fd())?;
        let details = waiting::set_socket_busy_poll(listener.as_fd(), setup.wait)?;
        epoll.add(listener.as_fd(), LISTENER, IN)?;
        epoll.add(shutdown.event(), SHUTDOWN, IN)?;
        let clock = Clock::new();
        Ok(Self {
            epoll,
            listener: Some(listener),
            datagrams,
            accept_paused_until_ns: None,
            connections: Slab::new(),
            ready: VecDeque::new(),
            wheel: TimerWheel::new(clock.now().monotonic_ns),
            fired: Vec::new(),
            clock,
            buffers: Buffers::new(common, setup.limits, setup.sending.clone()),
            counters,
            details,
            setup,
            drain_until_ns: None,
        })
    }

    /// What the ready line says of this thread.
    pub(crate) fn details(&self) -> &Details {
        &self.details
    }

    /// Serves until the shutdown is requested and every connection is closed.
    pub(crate) fn run(&mut self, shutdown: &Shutdown) -> io::Result<()> {
        let mut events = [Event::NONE; EVENTS_PER_WAIT];
        while self.listener.is_some() || !self.connections.is_empty() {
            self.counters.epoll_waits.add(1);
            let count = self.epoll.wait(&mut events, self.timeout_ms())?;
            if self.setup.wait == Wait::Spin {
                self.buffers.counters.count_poll(count > 0 || !self.ready.is_empty());
            }
            self.clock.tick();
            for event in &events[..count] {
                self.handle(event, shutdown)?;
            }
            self.continue_ready()?;
            self.handle_timers()?;
        }
        Ok(())
    }

    /// How long the kernel may sleep: not at all while something can go on.
    fn timeout_ms(&self) -> i32 {
        if self.setup.wait == Wait::Spin || !self.ready.is_empty() {
            return 0;
        }
        let deadlines =
            [self.wheel.next_tick_ns(), self.accept_paused_until_ns, self.drain_until_ns];
        let Some(next_ns) = deadlines.into_iter().flatten().min() else { return -1 };
        let left_ns = next_ns.saturating_sub(self.clock.now().monotonic_ns);
        // Rounded up: waking before the deadline would mean to wait again, for no time at all.
        i32::try_from(left_ns.div_ceil(1_000_000)).unwrap_or(i32::MAX)
    }

    fn handle(&mut self, event: &Event, shutdown: &Shutdown) -> io::Result<()> {
        match event.key() {
            LISTENER => self.accept(),
            SHUTDOWN => self.start_draining(shutdown),
            DATAGRAMS => {
                self.echo_datagrams();
                Ok(())
            }
            number => {
                let key = Key::from_u64(number);
                let Some(connection) = self.connections.get_mut(key) else { return Ok(()) };
                connection.hear(event.bits());
                // One that is queued has its turn later in this round.
                if connection.queued { Ok(()) } else { self.turn(key) }
            }
        }
    }

    /// Answers datagrams that have come; those beyond a turn's bound are told again.
    fn echo_datagrams(&mut self) {
        if let Some(echo) = &mut self.datagrams {
            echo.turn(&self.buffers.counters);
        }
    }

    /// Lets a connection do what it can, and arranges for what comes after.
    fn turn(&mut self, key: Key) -> io::Result<()> {
        let Some(connection) = self.connections.get_mut(key) else { return Ok(()) };
        match connection.turn(&mut self.buffers, self.clock.now()) {
            Turn::Wait => {}
            Turn::Again => {
                connection.queued = true;
                self.ready.push_back(key);
            }
            Turn::Ended(how) => return self.end(key, how),
        }
        // Time-outs mostly move away, with every request: then the wheel finds out when it fires.
        let deadline_ns = connection.deadline_ns();
        if deadline_ns < connection.timer_at_ns {
            connection.timer_at_ns = deadline_ns;
            self.wheel.schedule(deadline_ns, key);
        }
        Ok(())
    }

    fn end(&mut self, key: Key, how: Ended) -> io::Result<()> {
        let Some(connection) = self.connections.remove(key) else { return Ok(()) };
        how.count(&self.buffers.counters).add(1);
        self.buffers.counters.connections_closed.add(1);
        self.setup.admission.leave();
        connection.end(how, &mut self.buffers)?;
        // It has left a descriptor behind.
        if self.accept_paused_until_ns.is_some() { self.resume_accepting() } else { Ok(()) }
    }

    /// Each connection whose turn was cut short gets another one; those cut short again wait for
    /// the next round, after new events.
    fn continue_ready(&mut self) -> io::Result<()> {
        for _ in 0..self.ready.len() {
            let Some(key) = self.ready.pop_front() else { break };
            if let Some(connection) = self.connections.get_mut(key) {
                connection.queued = false;
                self.turn(key)?;
            }
        }
        Ok(())
    }

    fn handle_timers(&mut self) -> io::Result<()> {
        let now_ns = self.clock.now().monotonic_ns;
        let mut fired = std::mem::take(&mut self.fired);
        self.wheel.advance(now_ns, &mut fired);
        for key in fired.drain(..) {
            self.fire(key, now_ns)?;
        }
        self.fired = fired;
        if self.accept_paused_until_ns.is_some_and(|until_ns| now_ns >= until_ns) {
            self.resume_accepting()?;
        }
        if self.drain_until_ns.is_some_and(|until_ns| now_ns >= until_ns) {
            self.cut_off()?;
        }
        Ok(())
    }

    fn fire(&mut self, key: Key, now_ns: u64) -> io::Result<()> {
        let Some(connection) = self.connections.get_mut(key) else { return Ok(()) };
        // A deadline that was brought forward leaves its later entry in the wheel.
        if connection.timer_at_ns > now_ns {
            return Ok(());
        }
        connection.timer_at_ns = u64::MAX;
        self.turn(key)
    }

    fn accept(&mut self) -> io::Result<()> {
        for _ in 0..ACCEPTS_PER_TURN {
            let Some(listener) = &self.listener else { return Ok(()) };
            match sys::accept(listener.as_fd()) {
                Ok(socket) => self.open(socket)?,
                Err(error) => match error.kind() {
                    ErrorKind::WouldBlock => return Ok(()),
                    // The client was gone before we came: the next one may be there.
                    ErrorKind::ConnectionAborted | ErrorKind::Interrupted => {
                        self.buffers.counters.accept_errors.add(1);
                    }
                    _ => return self.pause_accepting(&error),
                },
            }
        }
        Ok(())
    }

    fn open(&mut self, socket: OwnedFd) -> io::Result<()> {
        if !self.setup.admission.admit() {
            self.buffers.counters.connections_refused.add(1);
            return Ok(());
        }
        if waiting::is_missed(socket.as_fd(), self.setup.wait)? {
            self.counters.connections_not_polled.add(1);
        }
        let now = *self.clock.now();
        let protocol = Protocol::new(self.setup.service, self.setup.limits, now.monotonic_ns);
        self.buffers.counters.connections_accepted.add(1);
        let key = self.connections.insert(Connection::new(socket, protocol, &now));
        let connection = self.connections.get_mut(key);
        let watched = connection.map(|connection| connection.watch(&self.epoll, key));
        match watched {
            // ENOSPC or ENOMEM: this one cannot be served, the others still can.
            Some(Err(_)) => self.end(key, Ended::Failed),
            _ => self.turn(key),
        }
    }

    /// The next accept would fail as this one did, and at once: not before a pause, or until a
    /// connection has freed a descriptor.
    fn pause_accepting(&mut self, error: &io::Error) -> io::Result<()> {
        let counters = &self.buffers.counters;
        let out = is_out_of_descriptors(error);
        if out { &counters.accept_no_descriptors } else { &counters.accept_errors }.add(1);
        let pause_ns = u64::try_from(ACCEPT_PAUSE.as_nanos()).expect("a tenth of a second fits");
        self.accept_paused_until_ns = Some(self.clock.now().monotonic_ns + pause_ns);
        self.watch_listener(0)
    }

    fn resume_accepting(&mut self) -> io::Result<()> {
        self.accept_paused_until_ns = None;
        self.watch_listener(IN)
    }

    fn watch_listener(&self, bits: u32) -> io::Result<()> {
        match &self.listener {
            Some(listener) => self.epoll.modify(listener.as_fd(), LISTENER, bits),
            None => Ok(()),
        }
    }

    /// Takes what waits in the backlog, closes the listener, and asks every connection for an
    /// early end.
    fn start_draining(&mut self, shutdown: &Shutdown) -> io::Result<()> {
        self.epoll.remove(shutdown.event())?;
        // Closing the listener would reset those who wait. One round takes what a client may have
        // been told is connected before we heard of the shutdown, without an end for latecomers.
        self.accept()?;
        self.listener = None;
        self.echo_datagrams();
        self.datagrams = None;
        self.accept_paused_until_ns = None;
        let timeout_ns = u64::try_from(self.setup.drain_timeout.as_nanos()).unwrap_or(u64::MAX / 2);
        self.drain_until_ns = Some(self.clock.now().monotonic_ns.saturating_add(timeout_ns));
        for key in self.connections.keys() {
            if let Some(connection) = self.connections.get_mut(key) {
                connection.drain();
                if !connection.queued {
                    self.turn(key)?;
                }
            }
        }
        Ok(())
    }

    /// The drain's deadline has passed: resets every connection that is left.
    fn cut_off(&mut self) -> io::Result<()> {
        for key in self.connections.keys() {
            if let Some(connection) = self.connections.remove(key) {
                self.buffers.counters.closed_drain_deadline.add(1);
                self.buffers.counters.connections_closed.add(1);
                self.setup.admission.leave();
                connection.abort()?;
            }
        }
        Ok(())
    }
}
