//! Everything behind packetdrill's interface: sockets, connections, the wire, the clock.

use crate::connection::{Connection, Said};
use crate::packet::{self, Flow, IpFields, Packet};
use crate::profile::{Layout, Profile};
use crate::socket::{Listener, Role, Socket};
use std::collections::{BTreeMap, VecDeque};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::PathBuf;
use std::time::Duration;
use tcp::{
    FourTuple, HalfOpen, HalfOpenVerdict, IcmpError, Instant, Listen, Segment, SegmentOut, State,
    Tcb, TimeWait, TimeWaitVerdict, clock_offset, isn,
};

/// A descriptor, as the script's program sees it.
pub(crate) type Fd = i32;

/// Our address where the script binds to none: from the block for benchmarks (RFC 2544).
pub(crate) const LOCAL: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 2);

/// The clock begins here: high enough for any timer to be in the past.
const BEGINNING: Instant = Instant::from_nanos(1_000_000_000_000_000);

/// First port of those for sockets that are not bound (RFC 6335 §6).
const PORT_MIN: u16 = 49_152;

/// What is left of a handshake that a listener answers.
#[derive(Debug)]
pub(crate) struct Opening {
    pub(crate) half_open: HalfOpen,
    pub(crate) listener: Fd,
}

/// Which connection it is, for as long as the world stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ConnectionId(u32);

#[derive(Debug)]
pub(crate) struct World {
    pub(crate) now: Instant,
    /// What the flags asked for; [`profile`](Self::profile) is what holds after `sysctl`.
    base: Profile,
    pub(crate) profile: Profile,
    sysctl: Option<PathBuf>,
    pub(crate) sockets: BTreeMap<Fd, Socket>,
    pub(crate) connections: BTreeMap<ConnectionId, Connection>,
    pub(crate) flows: BTreeMap<Flow, ConnectionId>,
    pub(crate) openings: BTreeMap<Flow, Opening>,
    pub(crate) time_waits: BTreeMap<Flow, (TimeWait, Instant)>,
    wire: VecDeque<(Instant, Vec<u8>)>,
    next_id: u32,
    next_port: u16,
}

impl World {
    /// A world without sockets. `sysctl` is the file that the stand-in for `sysctl` writes.
    pub(crate) fn new(profile: Profile, sysctl: Option<PathBuf>) -> Self {
        Self {
            now: BEGINNING,
            base: profile,
            profile,
            sysctl,
            sockets: BTreeMap::new(),
            connections: BTreeMap::new(),
            flows: BTreeMap::new(),
            openings: BTreeMap::new(),
            time_waits: BTreeMap::new(),
            wire: VecDeque::new(),
            next_id: 0,
            next_port: PORT_MIN,
        }
    }

    /// Reads what `sysctl` was told since.
    ///
    /// # Errors
    /// If a value of it makes no sense.
    pub(crate) fn read_sysctl(&mut self) -> Result<(), String> {
        let Some(path) = &self.sysctl else { return Ok(()) };
        let lines = match std::fs::read_to_string(path) {
            Ok(lines) => lines,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(format!("{}: {error}", path.display())),
        };
        self.profile = self.base;
        self.profile.sysctl(&lines)
    }

    /// When the next timer expires.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        let connections = self.connections.values().filter_map(|it| it.tcb.poll_timeout());
        let openings = self.openings.values().map(|opening| opening.half_open.poll_timeout());
        let time_waits = self.time_waits.values().map(|(_, end)| *end);
        connections.chain(openings).chain(time_waits).min()
    }

    /// Moves the clock to the next timer that expires by `end` and lets it take effect; if there
    /// is none, moves the clock to `end`. Whether there was one.
    pub(crate) fn step(&mut self, end: Instant) -> bool {
        let Some(at) = self.poll_timeout().filter(|at| *at <= end) else {
            self.now = self.now.max(end);
            return false;
        };
        self.now = self.now.max(at);
        self.expire();
        true
    }

    fn expire(&mut self) {
        let now = self.now;
        let due: Vec<ConnectionId> = self
            .connections
            .iter()
            .filter(|(_, it)| it.tcb.poll_timeout().is_some_and(|at| at <= now))
            .map(|(id, _)| *id)
            .collect();
        for id in due {
            if let Some(connection) = self.connections.get_mut(&id) {
                connection.handle_timeout(now);
            }
            self.settle(id);
        }
        let due: Vec<Flow> = self
            .openings
            .iter()
            .filter(|(_, opening)| opening.half_open.poll_timeout() <= now)
            .map(|(flow, _)| *flow)
            .collect();
        for flow in due {
            self.opening_expired(&flow);
        }
        self.time_waits.retain(|_, (_, end)| *end > now);
    }

    fn opening_expired(&mut self, flow: &Flow) {
        let Some(Opening { half_open, listener }) = self.openings.get_mut(flow) else { return };
        let config = match self.sockets.get(listener) {
            Some(socket) => socket.options.config(&self.profile),
            None => self.profile.config,
        };
        match half_open.handle_timeout(self.now, &config) {
            Some(segment) => self.answer(flow, &segment),
            None => {
                self.openings.remove(flow);
            }
        }
    }

    /// The next packet on the wire, with the time when it was sent.
    pub(crate) fn sniff(&mut self) -> Option<(Instant, Vec<u8>)> {
        self.wire.pop_front()
    }

    fn put(&mut self, said: &Said) {
        let layout = self.profile.layout;
        let bytes = packet::emit(&said.flow, &said.segment, &said.payload, layout, said.ip);
        self.wire.push_back((self.now, bytes));
    }

    /// Sends a segment without payload that belongs to no connection.
    fn answer(&mut self, flow: &Flow, segment: &SegmentOut) {
        let (ip, payload) = (IpFields::default(), Vec::new());
        self.put(&Said { flow: *flow, ip, segment: *segment, payload });
    }

    /// A packet arrives.
    pub(crate) fn inject(&mut self, bytes: &[u8]) -> Result<(), packet::Refused> {
        match packet::parse(bytes)? {
            Packet::Tcp { flow, segment, payload } => {
                self.segment_arrives(&flow, &segment, payload)
            }
            Packet::Icmp { flow, kind, seq } => {
                if let Some(id) = self.flows.get(&flow).copied()
                    && let Some(connection) = self.connections.get_mut(&id)
                {
                    let layout = self.profile.layout;
                    connection.handle_icmp(self.now, IcmpError { kind, seq }, layout);
                    self.settle(id);
                }
            }
        }
        Ok(())
    }

    fn segment_arrives(&mut self, flow: &Flow, segment: &Segment<'_>, payload: &[u8]) {
        if let Some(id) = self.flows.get(flow).copied() {
            return self.connection_hears(id, segment, payload);
        }
        if let Some((time_wait, _)) = self.time_waits.get(flow).copied() {
            return self.time_wait_hears(flow, &time_wait, segment, payload);
        }
        if self.openings.contains_key(flow) {
            return self.opening_hears(flow, segment, payload);
        }
        self.listener_hears(flow, segment);
    }

    fn connection_hears(&mut self, id: ConnectionId, segment: &Segment<'_>, payload: &[u8]) {
        let mut said = Vec::new();
        let Some(connection) = self.connections.get_mut(&id) else { return };
        let flow = connection.flow;
        let verdict = connection.handle_segment(self.now, segment, payload, &mut said);
        self.raise_capacity(id);
        for said in said {
            self.put(&said);
        }
        if verdict.reopen {
            self.flows.remove(&flow);
            self.settle(id);
            return self.listener_hears(&flow, segment);
        }
        self.settle(id);
    }

    /// FreeBSD makes a buffer hold a whole number of segments once it knows their size, and its
    /// scripts look at that.
    fn raise_capacity(&mut self, id: ConnectionId) {
        let layout = self.profile.layout;
        let Some(connection) = self.connections.get_mut(&id) else { return };
        if layout == Layout::FreeBsd && connection.tcb.state() != State::SynSent {
            let mss = u32::from(connection.tcb.eff_snd_mss());
            let bytes = connection.receive_bytes.next_multiple_of(mss);
            connection.receive_bytes = bytes;
            connection.tcb.receive_capacity(bytes);
        }
    }

    /// What a connection has to say goes out; if it is over, what nobody needs of it is dropped.
    pub(crate) fn settle(&mut self, id: ConnectionId) {
        let mut said = Vec::new();
        let Some(connection) = self.connections.get_mut(&id) else { return };
        connection.poll(self.now, self.profile.layout, &mut said);
        let flow = connection.flow;
        let is_ours = self.flows.get(&flow) == Some(&id);
        let (state, is_owned) = (connection.tcb.state(), connection.is_owned);
        if !is_owned && let Some(entry) = connection.tcb.time_wait() {
            let end = connection.tcb.poll_timeout().unwrap_or(self.now);
            self.connections.remove(&id);
            if is_ours {
                self.flows.remove(&flow);
                self.time_waits.insert(flow, (entry, end));
            }
        } else if state == State::Closed {
            if is_ours {
                self.flows.remove(&flow);
            }
            if !is_owned {
                self.connections.remove(&id);
            }
        }
        for said in said {
            self.put(&said);
        }
    }

    fn time_wait_hears(
        &mut self,
        flow: &Flow,
        time_wait: &TimeWait,
        segment: &Segment<'_>,
        payload: &[u8],
    ) {
        match time_wait.segment_arrives(self.now, segment) {
            TimeWaitVerdict::Ignore => {}
            TimeWaitVerdict::Answer(answer) => self.answer(flow, &answer),
            TimeWaitVerdict::Restart(answer) => {
                let end = self.now + self.profile.config.time_wait;
                self.time_waits.insert(*flow, (*time_wait, end));
                self.answer(flow, &answer);
            }
            TimeWaitVerdict::Reopen => {
                self.time_waits.remove(flow);
                self.segment_arrives(flow, segment, payload);
            }
        }
    }

    fn opening_hears(&mut self, flow: &Flow, segment: &Segment<'_>, payload: &[u8]) {
        let Some(Opening { half_open, listener }) = self.openings.get(flow) else { return };
        let (half_open, fd) = (*half_open, *listener);
        let Some(socket) = self.sockets.get(&fd) else { return };
        let Role::Listener(listener) = &socket.role else { return };
        let is_full = listener.is_full();
        let options = socket.options;
        let config = options.config(&self.profile);
        match half_open.segment_arrives(self.now, &config, segment) {
            HalfOpenVerdict::Ignore => {}
            HalfOpenVerdict::Answer(answer) => self.answer(flow, &answer),
            HalfOpenVerdict::Remove(_) => {
                self.openings.remove(flow);
            }
            // The accept queue has no room: the peer will send again what completes it.
            HalfOpenVerdict::Establish if is_full => {}
            HalfOpenVerdict::Establish => {
                self.openings.remove(flow);
                let tcb = Tcb::from_half_open(self.now, &config, &half_open);
                let id = self.add(Connection::new(tcb, *flow, &options));
                self.connection_hears(id, segment, payload);
                if let Some(Socket { role: Role::Listener(listener), .. }) =
                    self.sockets.get_mut(&fd)
                {
                    listener.ready.push_back(id);
                }
            }
        }
    }

    fn listener_hears(&mut self, flow: &Flow, segment: &Segment<'_>) {
        let found = self.sockets.iter().find_map(|(fd, socket)| match &socket.role {
            Role::Listener(listener) if listener.hears(&flow.local) => {
                Some((*fd, socket.options.config(&self.profile)))
            }
            _ => None,
        });
        let Some((listener, config)) = found else {
            if let Some(reset) = tcp::closed(segment) {
                self.answer(flow, &reset);
            }
            return;
        };
        match tcp::listen(segment) {
            Listen::Ignore => {}
            Listen::Answer(answer) => self.answer(flow, &answer),
            Listen::Open => {
                let (iss, offset) = self.numbers(flow);
                let half_open = HalfOpen::new(self.now, &config, iss, offset, segment);
                self.answer(flow, &half_open.syn_ack(self.now, &config));
                self.openings.insert(*flow, Opening { half_open, listener });
            }
        }
    }

    /// An initial sequence number and the beginning of a timestamp clock.
    pub(crate) fn numbers(&self, flow: &Flow) -> (tcp::Seq, u32) {
        // Nobody guesses here: a script is to do the same each time.
        let secret = [0x5d; 16];
        let tuple = FourTuple { local: flow.local, remote: flow.remote };
        (isn(&secret, &tuple, self.now), clock_offset(&secret, &tuple))
    }

    pub(crate) fn add(&mut self, connection: Connection) -> ConnectionId {
        let id = ConnectionId(self.next_id);
        self.next_id += 1;
        self.flows.insert(connection.flow, id);
        self.connections.insert(id, connection);
        id
    }

    /// A port for a socket that is bound to none.
    pub(crate) fn fresh_port(&mut self) -> u16 {
        self.next_port = self.next_port.checked_add(1).unwrap_or(PORT_MIN);
        self.next_port
    }

    pub(crate) fn local_address(&mut self, bound: Option<SocketAddrV4>) -> SocketAddrV4 {
        let ip = bound.map(|address| *address.ip()).filter(|ip| !ip.is_unspecified());
        let port = bound.map(|address| address.port()).filter(|port| *port != 0);
        let port = port.unwrap_or_else(|| self.fresh_port());
        SocketAddrV4::new(ip.unwrap_or(LOCAL), port)
    }

    /// A line for each connection and socket, with its state, in the columns of `sockstat -s`.
    pub(crate) fn sockstat(&self) -> String {
        let mut lines = String::new();
        let mut line = |owner: &str, flow: &str, state: &str| {
            lines.push_str(&format!("root {owner} 1 3 tcp4 {flow} {state}\n"));
        };
        for socket in self.sockets.values() {
            match &socket.role {
                Role::Fresh { .. } => line("packetdrill", "*:* *:*", "CLOSED"),
                Role::Listener(Listener { local, .. }) => {
                    line("packetdrill", &format!("{local} *:*"), "LISTEN");
                }
                Role::Stream(_) => {}
            }
        }
        for connection in self.connections.values() {
            let owner = if connection.is_owned { "packetdrill" } else { "?" };
            let Flow { local, remote } = connection.flow;
            line(owner, &format!("{local} {remote}"), name(connection.tcb.state()));
        }
        for Flow { local, remote } in self.openings.keys() {
            line("?", &format!("{local} {remote}"), name(State::SynReceived));
        }
        for Flow { local, remote } in self.time_waits.keys() {
            line("?", &format!("{local} {remote}"), name(State::TimeWait));
        }
        lines
    }
}

/// The longest time that a packet is waited for: no script waits as long.
pub(crate) const PATIENCE: Duration = Duration::from_secs(24 * 3600);

fn name(state: State) -> &'static str {
    match state {
        State::SynSent => "SYN_SENT",
        State::SynReceived => "SYN_RCVD",
        State::Established => "ESTABLISHED",
        State::FinWait1 => "FIN_WAIT_1",
        State::FinWait2 => "FIN_WAIT_2",
        State::CloseWait => "CLOSE_WAIT",
        State::Closing => "CLOSING",
        State::LastAck => "LAST_ACK",
        State::TimeWait => "TIME_WAIT",
        State::Closed => "CLOSED",
    }
}
