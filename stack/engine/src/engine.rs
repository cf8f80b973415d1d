//! The engine: a queue below, an application above, and one poll that runs to completion.

use crate::app::{Advance, App, ConnId, ConnectError, Outbox};
use crate::config::Config;
use crate::core::Core;
use crate::counters::Count;
use crate::packet::ETHERNET_LEN;
use crate::port::Port;
use crate::smol::Smoltcp;
use crate::table::NOWHERE;
use crate::transport::Tcp;
use queue::{BURST_MAX, Burst, Counter, Queue};
use std::net::SocketAddrV4;
use tcp::Instant;

/// A TCP/IPv4 stack on one queue, with one application, polled by one thread.
pub struct Engine<Q, A: App, T: Tcp = Smoltcp> {
    received: Burst,
    port: Port<Q>,
    core: Core<A, T>,
}

impl<Q: Queue, A: App, T: Tcp> Engine<Q, A, T> {
    /// An engine on `queue` that tells `app` of connections and lets `tcp` run them.
    ///
    /// # Panics
    /// If a frame of the queue cannot hold a packet of the queue's MTU: the driver is at fault.
    #[must_use]
    pub fn new(queue: Q, app: A, tcp: T, config: Config) -> Self {
        let caps = queue.caps();
        let (mtu, frame_bytes) = (usize::from(caps.mtu), usize::from(caps.frame_bytes));
        assert!(
            ETHERNET_LEN + mtu <= frame_bytes,
            "frames of {frame_bytes} bytes cannot hold packets of {mtu} bytes",
        );
        let port = Port::new(queue, *config.listen.ip(), config.hop_limit);
        Self { received: Burst::new(), port, core: Core::new(app, tcp, config, mtu) }
    }

    /// Runs the stack once, to completion: at most one burst in, what follows from it, and at most
    /// one burst of output. Returns how many frames were received.
    ///
    /// Neither allocates nor blocks, but for the memory of connections that open. `now` must not
    /// go backwards from call to call.
    pub fn poll(&mut self, now: Instant) -> usize {
        let Self { received, port, core } = self;
        let count = port.queue.rx_burst(received);
        let mut ahead = [NOWHERE; BURST_MAX];
        core.look_ahead(&port.queue, received.frames(), &mut ahead);
        for (frame, place) in received.drain(count).zip(ahead) {
            core.frame_arrives(now, port, frame, place);
        }
        core.input(now);
        core.timers(now);
        core.ask_neighbours(now, port);
        core.output(now, port);
        if !port.flush() {
            core.counters.add(Count::RingFull);
        }
        count
    }

    /// Calls `send` with a connection and its outbox, outside of any event; `None` if the
    /// connection is over or was closed.
    pub fn with<R>(
        &mut self,
        now: Instant,
        id: ConnId,
        send: impl FnOnce(&mut A::Conn, &mut Outbox<'_>) -> R,
    ) -> Option<R> {
        self.core.with(now, id, send)
    }

    /// Does what `advance` says with a connection, outside of any event: to be told of space or of
    /// a time, or to close. Nothing where the connection is over.
    pub fn act(&mut self, now: Instant, id: ConnId, advance: Advance) {
        self.core.act(now, id, advance);
    }

    /// Begins to open a connection to `peer`, which must be on the link: there is no routing.
    ///
    /// If this returns `Ok`, [`App::connected`] or [`App::connect_failed`] is told of it with
    /// `token`. Nothing is sent before the next [`poll`](Self::poll). The peer's MAC address is
    /// asked for if it is not known: three requests, a second apart.
    ///
    /// # Errors
    /// What can be known at once: [`NoPort`](ConnectError::NoPort),
    /// [`TableFull`](ConnectError::TableFull), [`Unaddressable`](ConnectError::Unaddressable),
    /// [`Draining`](ConnectError::Draining). Then nothing has begun, and `App` is not told.
    pub fn connect(
        &mut self,
        now: Instant,
        peer: SocketAddrV4,
        token: u64,
    ) -> Result<(), ConnectError> {
        self.core.connect(now, self.port.identity.address, peer, token)
    }

    /// Ends gently: no new connections from now on, every application is told once, and what is
    /// left at `deadline` is reset.
    pub fn drain(&mut self, now: Instant, deadline: Instant) {
        self.core.drain(now, deadline);
    }

    /// Whether no connection is left. Those in TIME-WAIT do not count.
    #[must_use]
    pub fn is_drained(&self) -> bool {
        self.core.table.len() + self.core.tcp.half_open() == 0
    }

    /// No timer is due before this instant: how long a caller may sleep, or a simulator skip,
    /// while nothing arrives and nothing waits for room in the queue.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Instant> {
        self.core.next_deadline()
    }

    /// The application.
    pub fn app(&mut self) -> &mut A {
        &mut self.core.app
    }

    /// The queue.
    pub fn queue(&mut self) -> &mut Q {
        &mut self.port.queue
    }

    /// Calls `visit` with every counter of the engine, then of the queue.
    ///
    /// The first ones are what is there now: connections, those half open by passive and by active
    /// opens among them, those in TIME-WAIT, and MAC addresses known or asked for.
    pub fn counters(&self, visit: &mut dyn FnMut(Counter, u64)) {
        let gauge = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
        // A handshake may have a connection in the table, or be known to TCP only.
        let half_open = self.core.tcp.half_open();
        visit(Counter("connections_now"), gauge(self.core.table.len() + half_open));
        visit(Counter("half_open_now"), gauge(self.core.table.half_open() + half_open));
        visit(Counter("connecting_now"), gauge(self.core.table.connecting()));
        visit(Counter("neighbours_now"), gauge(self.core.neighbours.len()));
        visit(Counter("time_wait_now"), gauge(self.core.time_wait.len()));
        visit(Counter("frames_outstanding"), gauge(self.port.queue.outstanding()));
        self.core.counters.visit(visit);
        self.core.tcp.counters(visit);
        self.port.queue.counters(visit);
    }

    /// The value of one counter of the engine.
    #[must_use]
    pub fn count(&self, count: Count) -> u64 {
        self.core.counters.value(count)
    }

    /// Ends at once: every frame goes back to the queue, which is handed over with the
    /// application. Connections that are left are forgotten without a word to the peer.
    pub fn close(mut self) -> (Q, A) {
        self.port.close();
        (self.port.queue, self.core.app)
    }
}
